"""A small good video of the example channel, made by ffmpeg, with all that the agents before the reviewer write of it.

Its sound is a hum in the rhythm of its words; its slides are drawn here, as plainly as they can be.
"""

import math
import shutil
import wave
from array import array
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from channel_example import files
from overnight.studio import ffmpeg
from overnight.studio.loudness import normalise

SIZE = (320, 180)
FPS = 10
SCENE_S = 5.0
RATE_HZ = 16_000
TITLE = "Hash tables"
PASSAGES = {
    "c1": "A hash table keeps each key in one of its buckets. A hash function says which one. With 1,024 buckets and "
    "700 keys, a search looks at 2 keys on average.",
    "c2": "When three quarters of the buckets are in use, the table doubles its size. Moving 700 keys costs about 700 "
    "steps. A table never shrinks by itself.",
}
SECTIONS = [
    {
        "title": "How a hash table works",
        "content": "A hash function says in which bucket a key is kept. With 1,024 buckets and 700 keys, a search "
        "looks at 2 keys on average.",
        "source": "c1",
    },
    {
        "title": "What a hash table costs",
        "content": "When three quarters of the buckets are in use, the table doubles its size. Moving 700 keys costs "
        "about 700 steps. A table never shrinks by itself.",
        "source": "c2",
    },
]
HOOK = "How can you find one of 700 keys by looking at 2?"
INTRO = "A hash table keeps each key in one of its buckets."
SUMMARY = "A hash function says which bucket a key is in. The table doubles its size when it fills up."
CTA = "Tell us which idea should be explained next."
SLIDES = [
    ("title", TITLE, ["The cost"]),
    ("bullets", "Buckets", ["a key", "a bucket", "a function"]),
    ("diagram", "How it works", ["key > hash > bucket"]),
    ("table", "Searches", ["buckets  1,024", "keys  700"]),
    ("citation", "Source", ["hash-tables.md"]),
    ("bullets", "When it fills", ["three quarters", "twice the size"]),
    ("bullets", "In short", ["one look", "one bucket"]),
    ("outro", "Goodbye", ["What comes next?"]),
]
DURATION_S = SCENE_S * len(SLIDES)


def spoken() -> str:
    return " ".join([HOOK, INTRO, *(str(one["content"]) for one in SECTIONS), SUMMARY, CTA])


def words() -> list[dict]:
    """Return the words, each as long as the others, over all of the video but its first and last half second."""
    texts = spoken().split()
    each = (DURATION_S - 1) / len(texts)
    return [
        {"text": text, "begin_s": 0.5 + each * place, "end_s": 0.5 + each * (place + 0.9)}
        for place, text in enumerate(texts)
    ]


def captions(late_s: float = 0.0) -> str:
    """Return captions of six words each as SRT."""
    said, lines = words(), []
    for number, place in enumerate(range(0, len(said), 6), start=1):
        part = said[place : place + 6]
        times = (_clock(part[0]["begin_s"] + late_s), _clock(part[-1]["end_s"] + late_s))
        lines.append(f"{number}\n{times[0]} --> {times[1]}\n{' '.join(one['text'] for one in part)}\n")
    return "\n".join(lines)


def make(video_id: str, root: Path | None = None) -> Path:
    """Make the video and its files, and return its folder."""
    folder = files.folder_of(video_id, root=root)
    folder.mkdir(parents=True)
    _write_texts(video_id, root)
    stills = [draw(title, lines) for _, title, lines in SLIDES]
    scenes = [
        {
            "kind": kind,
            "title": title,
            "begin_s": place * SCENE_S,
            "end_s": (place + 1) * SCENE_S,
            "boxes": stills[place][1],
            "overflow": [],
        }
        for place, (kind, title, _) in enumerate(SLIDES)
    ]
    assembly = {"path": "video.mp4", "duration_s": DURATION_S, "size": list(SIZE), "fps": FPS, "scenes": scenes}
    files.write(video_id, files.ASSEMBLY, {**assembly, "chapters": []}, root=root)
    _hum(folder / "raw.wav")
    normalise(folder / "raw.wav", folder / "voice.wav")
    (folder / "captions.srt").write_text(captions())
    film(folder, [image for image, _ in stills])
    return folder


def film(folder: Path, images: Sequence[Image.Image]) -> None:
    """Write the video: each image for as long as a scene lasts, with the voice."""
    stills = folder / "stills"
    stills.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        image.save(stills / f"{number}.png")
    pictures = ["-framerate", f"1/{SCENE_S:g}", "-i", stills / "%d.png"]
    encoded = ["-c:v", "libx264", "-preset", "ultrafast", "-crf", "18", "-pix_fmt", "yuv420p", "-r", FPS]
    heard = ["-i", folder / "voice.wav", "-i", folder / "captions.srt"]
    ffmpeg.run([*pictures, *heard, *encoded, "-c:a", "aac", "-c:s", "mov_text", folder / "video.mp4"])
    shutil.rmtree(stills)


def draw(
    title: str, lines: Sequence[str], *, left: int = 24, colour: str = "#e9edf3"
) -> tuple[Image.Image, list[dict]]:
    """Return a slide and the boxes of its texts."""
    image = Image.new("RGB", SIZE, "#1a2540")
    pen, boxes = ImageDraw.Draw(image), []
    for place, text in enumerate([title, *lines]):
        font = ImageFont.load_default(size=22 if place == 0 else 16)
        at = (24, 24 if place == 0 else 40 + 26 * place)
        pen.text(at, text, font=font, fill=colour)
        x, y, right, bottom = pen.textbbox(at, text, font=font)
        boxes.append({"text": text, "x": x, "y": y, "w": right - x, "h": bottom - y, "contrast": 14.0})
    return image, boxes


def _write_texts(video_id: str, root: Path | None) -> None:
    script = {
        "video_id": video_id,
        "title": f"{TITLE}: the cost",
        "hook": HOOK,
        "intro": INTRO,
        "sections": SECTIONS,
        "summary": SUMMARY,
        "cta": CTA,
        "citations": [
            {"id": key, "document": "Hash tables", "heading": "How it works", "text": text}
            for key, text in PASSAGES.items()
        ],
        "full_script": spoken(),
        "estimated_duration_seconds": DURATION_S,
    }
    narration = (
        f"[show title: {TITLE}]\n[enthusiastic] {HOOK} [pause]\n\n[explanatory] {INTRO}\n\n"
        + "\n\n".join(f"[explanatory] {one['content']}" for one in SECTIONS)
        + f"\n\n{SUMMARY}\n\n[enthusiastic] {CTA}"
    )
    lesson = {
        "objectives": ["tell the cost of hash tables", "explain the idea of hash tables"],
        "examples": [SECTIONS[0]],
        "summary": ["A hash function says which bucket a key is in.", "The table doubles its size when it fills up."],
        "readability": {"flesch": 78.0},
        "narration": narration,
    }
    topic = {"video_id": video_id, "topic": TITLE, "angle": "cost", "research_keywords": ["buckets"]}
    voice = {"engine": "hum", "wav": "voice.wav", "duration_s": DURATION_S, "words": words(), "timed": "measured"}
    for name, value in ((files.TOPIC, topic), (files.SCRIPT, script), (files.LESSON, lesson), (files.VOICE, voice)):
        files.write(video_id, name, value, root=root)


def _hum(path: Path) -> None:
    samples = array("h", bytes(2 * int(DURATION_S * RATE_HZ)))
    for word in words():
        first, last = int(word["begin_s"] * RATE_HZ), int(word["end_s"] * RATE_HZ)
        for place in range(first, last):
            swell = math.sin(math.pi * (place - first) / (last - first))
            samples[place] = int(9000 * swell * math.sin(place * 0.09))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(samples.tobytes())


def _clock(seconds: float) -> str:
    whole = round(seconds * 1000)
    return f"{whole // 3_600_000:02d}:{whole // 60_000 % 60:02d}:{whole // 1000 % 60:02d},{whole % 1000:03d}"
