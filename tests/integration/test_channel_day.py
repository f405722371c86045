"""The example channel at work: a topic becomes a reviewed video, and a whole day of its schedule survives crashes.

All is real but the clock: agents run in processes of their own, speak, draw, render and measure. Pictures are small.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import psutil
import pytest
from PIL import ImageStat
from test_rollouts import Clock

from channel_example import EXAMPLE
from channel_project import channel, one_video
from daemons import wait_for
from overnight.app.project import Project
from overnight.base.instants import US, from_datetime
from overnight.base.settings import load_config
from overnight.engine.overview import standing
from overnight.studio import captions
from overnight.studio.loudness import measured as loudness
from overnight.studio.measure import measured
from overnight.studio.probe import frame, probe
from overnight.studio.speech.ports import Word

SHORT = {"minutes": 0.6, "shortest_minutes": 0.5, "longest_minutes": 1.0, "sections": "[2, 2]"}
HOUR_US = 3600 * US
KILLS_A_DAY = 6


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def made(once):
    """The folder of a video that the agents made."""
    return Path(once("channel", one_video)[1])


def test_a_topic_becomes_a_video_with_sound_captions_and_chapters(made):
    assembly, voice = read(made, "assembly.json"), read(made, "voice.json")
    media = probe(made / "video.mp4")
    assert (media.video.codec, media.video.width, media.video.height) == ("h264", 320, 180)
    assert media.audio.codec == "aac" and [one.codec for one in media.subtitles] == ["mov_text"]
    assert media.duration_s == pytest.approx(voice["duration_s"], abs=0.1)
    assert 120 <= media.duration_s <= 240
    assert [one.title for one in media.chapters] == [one["title"] for one in assembly["chapters"]]
    assert len(media.chapters) >= 4 and media.chapters[0].title == "Introduction"
    for name in "abc":
        assert (made / f"thumbnail_{name}.png").stat().st_size > 5000
    assert assembly["problems"] == [] and not any(scene["overflow"] for scene in assembly["scenes"])


def test_it_is_as_loud_as_players_expect_never_black_and_never_still_for_long(made):
    found = measured(made / "video.mp4")
    assert found.loudness.integrated_lufs == pytest.approx(-16, abs=1)
    assert [run for run in found.black_runs if run.long_s > 1] == []
    assert [run for run in found.frozen_runs if run.long_s > 20] == [], "something new is seen every 20 s"
    assert found.clipped_share < 0.005
    assert loudness(made / "voice.wav").integrated_lufs == pytest.approx(-16, abs=1)


def test_the_first_frame_shows_something(made):
    assert ImageStat.Stat(frame(made / "video.mp4", 0.0).convert("L")).stddev[0] > 5


def test_captions_are_in_time_with_the_words_and_hold_all_of_them(made):
    voice = read(made, "voice.json")
    words = [Word(**word) for word in voice["words"]]
    for name in ("captions.srt", "captions.vtt"):
        shown = captions.read((made / name).read_text())
        late = captions.late_by(shown, words)
        assert abs(late.worst_s) < 0.5 and late.missing < 0.02, (name, late)


def test_what_stands_on_slides_is_inside_of_the_picture_and_can_be_read(made):
    assembly = read(made, "assembly.json")
    for scene in assembly["scenes"]:
        for box in scene["boxes"]:
            assert box["x"] >= 0 and box["x"] + box["w"] <= 320 and box["y"] >= 0 and box["y"] + box["h"] <= 180, box
            assert box["contrast"] >= 4.5, box
    first = assembly["scenes"][0]
    picture = frame(made / "video.mp4", first["end_s"] - 0.5).convert("L")
    box = max(first["boxes"], key=lambda one: one["h"])
    inside = picture.crop((box["x"], box["y"], box["x"] + box["w"], box["y"] + box["h"])).getextrema()
    assert inside[1] - inside[0] > 120, "letters stand out"
    assert picture.crop((0, 0, 320, 6)).getextrema()[1] < 120, "nothing stands at the edge"


def test_what_it_says_has_sources_that_exist_and_its_review_explains_itself(made):
    script, review, committee = (read(made, name) for name in ("script.json", "review.json", "committee.json"))
    knowledge = made.parents[3] / "knowledge"
    cited = {section["source"] for section in script["sections"]}
    assert cited and cited <= {one["id"] for one in script["citations"]}
    for one in script["citations"]:
        text = " ".join(" ".join(path.read_text().split()) for path in knowledge.glob(f"{one['id'].split('#')[0]}*"))
        assert one["text"].split(".")[0] in text.replace("`", ""), one["id"]
    assert review["claims"] and all(claim["supported"] for claim in review["claims"])
    assert review["decision"] == "approve" and committee["decision"] in ("approve", "split")
    assert set(review["scores"]) == {"educational", "engagement", "accuracy", "visual", "accessibility"}


def test_where_it_is_and_what_its_review_says_is_shown(made):
    review = read(made, "review.json")
    shown = subprocess.run(
        [sys.executable, "show.py"], cwd=made.parents[3], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert shown[0].endswith(f"{made.name}/video.mp4") and (made.parents[3] / shown[0]).is_file()
    assert f"  review: {review['decision']}, {review['overall']:.2f} of 10" in shown
    assert any(line.startswith("  committee: ") for line in shown)


def test_the_table_of_the_readme_names_the_task_of_each_agent():
    rows = re.findall(r"^\| [\w/, ]+ \| ((?:`\w+`(?:, )?)+) \|", (EXAMPLE / "README.md").read_text(), re.MULTILINE)
    named = {task for row in rows for task in re.findall(r"`(\w+)`", row)}
    assert len(rows) == 11 and "uploading" in named
    assert named <= set(load_config(EXAMPLE).tasks)


@pytest.mark.parametrize("name", ["nope", "../nope"])
def test_a_video_that_is_not_there_is_one_line(tmp_path, name):
    shutil.copytree(EXAMPLE, tmp_path, dirs_exist_ok=True)
    shown = subprocess.run([sys.executable, "show.py", name], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (shown.returncode, shown.stdout, shown.stderr.count("\n")) == (2, "", 1)
    assert name in shown.stderr and "Traceback" not in shown.stderr


class Killer(threading.Thread):
    """Kills agents and their programs at work, now and then, up to `most` in all, which grows from day to day."""

    def __init__(self, seed):
        super().__init__(daemon=True)
        self.random, self.most, self.killed, self.over = Random(seed), 0, [], threading.Event()

    def run(self):
        while not self.over.wait(self.random.uniform(0.3, 2.5)):
            agents = [one for one in psutil.Process().children(recursive=True) if self.works(one)]
            if agents and len(self.killed) < self.most:
                one = self.random.choice(agents)
                try:
                    one.send_signal(signal.SIGKILL)
                    self.killed.append(one.pid)
                except psutil.Error:
                    continue

    @staticmethod
    def works(one):
        try:
            return "OVERNIGHT_CHILD" in one.environ()
        except psutil.Error:
            return False


def idle(project):
    """Tell whether the scheduler has looked, and nothing is to be done before the clock goes on."""
    threading.Event().wait(0.2)
    with project.database.read() as connection:
        found = standing(connection)
    return project.runtime.worker.decided_s_ago < 1.0 and not (found.active or found.ready or found.later)


def live(folder, clock, days, seed):
    """Let the channel work on its schedule; return who was killed and the runs that there were."""
    killer = Killer(seed)
    with Project.open(folder, clock=clock) as project:
        begun_us = clock.now_us()
        until_us = begun_us + int(days * 24 * HOUR_US)
        killer.start()
        while clock.now_us() < until_us:
            killer.most = KILLS_A_DAY * (1 + (clock.now_us() - begun_us) // (24 * HOUR_US))
            with project.running():
                wait_for(lambda: idle(project), patience_s=240)
            clock.ahead_us += HOUR_US
        killer.over.set()
        killer.join()
        return killer.killed, project.runs(limit=10_000)


@pytest.mark.timeout(3600)
def test_a_day_of_the_schedule_brings_videos_through_crashes_and_publishes_each_once(tmp_path, long_form, request):
    days = 7 if long_form else 1
    folder = channel(tmp_path / "c", **({} if long_form else SHORT))
    clock = Clock()
    clock.ahead_us = from_datetime(datetime(2027, 1, 3, 23, 45, tzinfo=UTC)) - clock.now_us()
    seed = request.config.option.kill_seed
    killed, runs = live(folder, clock, days + 0.6, seed=seed)
    videos = sorted((folder / ".overnight" / "data" / "videos").iterdir())
    finished = [one for one in videos if (one / "assembly.json").exists()]
    assert len(killed) >= 2 * days, "agents were killed"
    assert all("SIGKILL" in run.error.message for run in runs if run.state == "FAILED"), "nothing else went wrong"
    by_day = {f"202701{4 + day:02}": 0 for day in range(days)}
    for one in finished:
        by_day[one.name[:8]] = by_day.get(one.name[:8], 0) + 1
    assert all(by_day[day] >= 3 for day in list(by_day)[:days]), by_day
    behind = [one.name for one in videos if one not in finished and not (one / "refused.json").exists()]
    assert all(name[:8] > f"202701{3 + days:02}" for name in behind), "what a lost run has left is made by later ones"
    for one in videos:
        if (one / "review.json").exists():
            review = read(one, "review.json")
            assert review["decision"] == "approve" or review["reasons"], one
        elif (one / "refused.json").exists():
            assert read(one, "refused.json")["reason"]
    approved = [one for one in finished if read(one, "committee.json")["decision"] == "approve"]
    feed = json.loads((folder / ".overnight" / "data" / "published" / "feed.json").read_text())
    published = [item["id"] for item in feed["items"]]
    assert len(published) == len(set(published)), "nothing is published twice"
    uploaded = {one.name for one in videos if (one / "upload.json").exists()}
    assert len(published) == len(uploaded) and uploaded <= {one.name for one in approved}
    assert {one.name for one in approved if one.name < "202701050000"} <= uploaded, "the next noon took all"
