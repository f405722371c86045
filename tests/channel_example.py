"""The agents of the example channel, for tests: their modules, and videos as other agents leave them.

What an example holds is a project's code, so its folder has to be among the paths of modules.
"""

import sys
from importlib import import_module
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "src" / "overnight" / "examples" / "channel"
if str(EXAMPLE) not in sys.path:
    sys.path.insert(0, str(EXAMPLE))

files = import_module("channel_files")
TITLES = ["Hash tables", "Binary search", "Merge sort", "Bloom filters", "Heaps", "Tries", "Stacks", "Queues"]


class Context:
    """Stands for the run: it remembers what was counted."""

    cancelled = False

    def __init__(self, run_id=1):
        self.run_id, self.counts = run_id, {}

    def progress(self, done, total=None, **figures):
        pass

    def count(self, name, number=1):
        self.counts[name] = self.counts.get(name, 0) + number


def approved_video(number=0, *, size=1000, decision="approve", minutes=2.5, angle="cost"):
    """Make a video in the folder that a test works in, as it is when the committee is done with it."""
    title, slot = TITLES[number % len(TITLES)], f"2026-07-{1 + number:02d}T00:00"
    video_id = files.video_id_of(slot, title)
    files.write(
        video_id,
        files.TOPIC,
        {
            "video_id": video_id,
            "topic": title,
            "slot": slot,
            "angle": angle,
            "research_keywords": ["buckets", "collisions"],
            "sources": [title.lower().replace(" ", "-")],
            "reason": "this side of it was never told",
        },
    )
    files.write(
        video_id,
        files.SCRIPT,
        {
            "title": f"{title}: the {angle}",
            "hook": "How can one look find one of a million keys?",
            "intro": f"{title} do it.",
            "summary": "A good hash spreads keys over all buckets.",
            "cta": "Tell us what comes next.",
            "citations": [{"id": "c1", "document": title, "heading": "What it costs", "text": "One look."}],
        },
    )
    chapters = [{"title": "How it works", "begin_s": 0.0}, {"title": "What it costs", "begin_s": 61.5}]
    files.write(video_id, files.ASSEMBLY, {"duration_s": minutes * 60, "chapters": chapters, "size": [320, 180]})
    files.write(video_id, files.COMMITTEE, {"decision": decision})
    folder = files.folder_of(video_id)
    (folder / "video.mp4").write_bytes(bytes(place % 251 for place in range(size)))
    (folder / "captions.vtt").write_text("WEBVTT\n\n00:00.000 --> 00:01.000\nHow can one look\n")
    (folder / "captions.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\nHow can one look\n")
    for variant in "abc":
        (folder / f"thumbnail_{variant}.png").write_bytes(b"\x89PNG " + variant.encode())
    return video_id
