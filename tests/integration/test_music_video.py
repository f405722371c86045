"""Eight of the example's ten agents learn from real films and tunes, as `overnight train` and `make demo` do it."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageStat

from overnight.app.examples import new_project
from overnight.app.project import Project
from overnight.base.clock import SystemClock
from overnight.proof.metrics import measure, metric_named
from overnight.registry import store
from overnight.studio import captions
from overnight.studio.probe import frame, probe

pytestmark = [
    # Two nights of ten agents are trained before the first test.
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not all(map(find_spec, ("sklearn", "skops", "bokeh_sampledata", "music21", "imageio_ffmpeg"))),
        reason="needs the extras ml, demo and studio",
    ),
]

TRAINED = {
    "trend_detective": 50,
    "audio_curator": 100,
    "video_concept": 13_700,
    "screenplay_generator": 75,
    "influencer_matcher": 50,
    "distribution_metadata": 100,
    "sound_designer": 75,
    "master_distributor": 100,
}
DAY_US = 86_400_000_000
LARGE = 'settings = { voice = { engine = "espeak" } }'
SMALL = 'settings = { width = 320, height = 180, fps = 10, voice = { engine = "espeak" } }'


class Tomorrow(SystemClock):
    """The clock of this machine, a day ahead."""

    def now_us(self) -> int:
        return super().now_us() + DAY_US


@dataclass(frozen=True)
class Nights:
    """The results of two nights, and what the project says afterwards."""

    folder: Path
    first: dict[str, Any]
    second: dict[str, Any]
    health: dict[str, Any]
    produced: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> "Nights":
        new_project(folder, "music_video")
        toml = (folder / "overnight.toml").read_text()
        assert LARGE in toml
        (folder / "overnight.toml").write_text(toml.replace(LARGE, SMALL))
        with Project.open(folder) as project:
            first = project.train().to_json()
        with Project.open(folder, clock=Tomorrow()) as project:
            second, health = project.train().to_json(), project.health()
            with project.running():
                produced = project.result(project.submit("production"), 240)
        return cls(folder, first, second, health, produced)


@pytest.fixture(scope="module")
def nights(once):
    # Other tests of this process have a module of this name.
    sys.modules.pop("agents", None)
    yield once("demo", lambda folder: Nights.of(folder / "music_video"))[1]
    sys.modules.pop("agents", None)


def test_eight_of_ten_agents_train_and_beat_the_naive_baseline(nights):
    result = nights.first
    assert (result["status"], result["agents_trained"]) == ("partial", 8)
    for name, records in TRAINED.items():
        line = result["agents"][name]
        assert (line["status"], line["decision"], line["compared_with"]) == ("trained", "ACCEPT", "baseline"), name
        assert line["data_count"] == records and line["held_out"] >= 200
        assert 0 < line["quality"] <= 10 and line["quality"] == line["quality_raw"]
        assert line["improvement"] == pytest.approx(10 * line["quality"]), "from the baseline, 0"
    skipped = {name: line["reason"] for name, line in result["agents"].items() if line["status"] == "skipped"}
    assert skipped == {
        "prompt_refiner": "no data: category 'prompts' has no source",
        "meta_trainer": "0 of 20 trainings recorded",
    }
    services = {name for name, line in result["agents"].items() if line["status"] == "not configured"}
    assert services == {"video_service_a", "video_service_b"}
    qualities = [result["agents"][name]["quality"] for name in TRAINED]
    assert result["overall_quality"] == pytest.approx(sum(qualities) / 8)


def test_every_figure_follows_from_the_answers_that_the_version_names(nights):
    with Project.open(nights.folder) as project:
        for name in TRAINED:
            line = nights.first["agents"][name]
            with project.database.read() as connection:
                version = store.of_run(connection, line["run"])
            found = json.loads(project.blobs.get(version.metrics["answers"]))
            metric = metric_named(found["metric"])
            value = measure(metric, found["truths"], found["answers"]["candidate"], found["groups"])
            assert abs(value) == pytest.approx(line["metric"]), name
            about = json.loads(project.blobs.get(version.manifest["version.json"]["sha256"]))
            assert len(found["ids"]) == line["held_out"] and not {*found["ids"]} & {*about["seen"]}


def test_the_next_day_each_agent_meets_its_champion(nights):
    assert nights.second["timestamp"] > nights.first["timestamp"]
    for name in TRAINED:
        line, before = nights.second["agents"][name], nights.first["agents"][name]
        assert (line["compared_with"], line["decision"], line["serving"]) == ("champion", "REJECT", "v1.0.0"), name
        assert "the same" in line["reason"] and line["metric"] == pytest.approx(before["metric"])
        assert not line["model_updated"]
    assert nights.second["agents"]["meta_trainer"]["reason"] == "8 of 20 trainings recorded"
    assert nights.second["system_quality_delta"] == 0
    logs = nights.folder / ".overnight" / "logs"
    assert len(list(logs.glob("daily_report_*.txt"))) == len(list(logs.glob("daily_report_*.html"))) == 2
    history = json.loads((logs / "training_metrics.json").read_text())["nights"]
    assert [night["run"] for night in history] == [nights.first["run"], nights.second["run"]]


def test_health_is_that_of_the_fleet_and_agents_are_online_that_really_load(nights):
    health = nights.health
    assert health["overall_quality"] == pytest.approx(nights.second["overall_quality"])
    assert health["trend"] == "STABLE" and health["agents_needing_attention"] == []
    assert health["agents_online"] == sorted(TRAINED)
    assert health["next_training"].endswith("T03:00:00+00:00")
    assert health["estimated_video_quality"] is None


def test_the_agents_act_on_a_brief_each_with_what_the_ones_before_have_answered(nights):
    agents = nights.produced["agents"]
    assert list(agents)[:4] == ["trend_detective", "video_concept", "screenplay_generator", "audio_curator"]
    assert {name for name, one in agents.items() if one["status"] == "done"} == {*TRAINED, "video_maker", "packager"}
    assert agents["video_service_a"]["status"] == "not configured"
    assert nights.produced["status"] == "partial"
    assert 0 <= agents["video_concept"]["output"]["expected_rating"] <= 10
    assert agents["sound_designer"]["output"]["label"] in ("reel", "jig", "hornpipe", "strathspey", "clog")
    assert not list((nights.folder / ".overnight" / "production").iterdir())


def test_the_production_makes_a_video_of_what_they_have_answered(nights):
    agents = nights.produced["agents"]
    video, packed = agents["video_maker"]["output"], agents["packager"]["output"]
    assert video["made_by"] == "slides" and video["problems"] == [] and packed["video"] == video["path"]
    path = nights.folder / video["path"]
    media, found = probe(path), video["measured"]
    assert (media.video.codec, media.video.width, media.audio.codec) == ("h264", 320, "aac")
    assert media.duration_s == pytest.approx(found["duration_s"], abs=0.1) and 30 < media.duration_s < 120
    assert found["loudness"]["integrated_lufs"] == pytest.approx(-16, abs=1.5)
    assert found["black_s"] < 1 and found["silent_s"] < 3
    assert ImageStat.Stat(frame(path, 0.0).convert("L")).stddev[0] > 5, "the first frame shows something"
    # The music alone, before and after, is not the voice.
    assert found["voice_alike"] > 0.6 and abs(found["voice_late_s"]) < 0.1
    assert abs(found["captions_late_s"]) < 0.3 and found["captions_missing_share"] < 0.02
    said = " ".join(" ".join(one.lines) for one in captions.read((nights.folder / video["captions"][0]).read_text()))
    rating = agents["video_concept"]["output"]["expected_rating"]
    assert f"give it {rating:.1f} out of 10" in said
    for one in agents["screenplay_generator"]["output"]["exemplars"][:3]:
        assert one["title"] in said
    assert video["music"]["tune"] and agents["audio_curator"]["output"]["ranked"][0].endswith(".abc")
    assert packed["creators"] == agents["influencer_matcher"]["output"]["ranked"][:3]
    assert packed["distribution"]["box_office"] == agents["distribution_metadata"]["output"]["label"]
    for name in packed["thumbnails"]:
        assert (nights.folder / name).stat().st_size > 5000
    assert json.loads((nights.folder / packed["path"]).read_text())["title"] == "Neon Rain"


def test_what_came_of_the_production_is_shown(nights):
    shown = subprocess.run([sys.executable, "show.py"], cwd=nights.folder, capture_output=True, text=True, check=True)
    assert nights.produced["agents"]["video_maker"]["output"]["path"] in shown.stdout
    assert "video_service_a        not configured: VIDEO_SERVICE_A_KEY is not set" in shown.stdout
    nothing = subprocess.run([sys.executable, "show.py", "7777"], cwd=nights.folder, capture_output=True, text=True)
    assert nothing.returncode == 1 and "there is no production 7777; there are " in nothing.stderr


def test_a_damaged_version_is_not_online(nights, tmp_path):
    folder = Path(shutil.copytree(nights.folder, tmp_path / "music_video"))
    with Project.open(folder) as project, project.database.read() as connection:
        version = store.serving(connection, "sound_designer")
    sys.modules.pop("agents", None)
    name = version.manifest["agent/model.skops"]["sha256"]
    blob = folder / ".overnight" / "blobs" / name[:2] / name
    blob.write_bytes(b"x" * blob.stat().st_size)
    with Project.open(folder) as project:
        assert project.health()["agents_online"] == sorted(TRAINED.keys() - {"sound_designer"})
