"""Services that make videos for the fleet of music_video: asked once, waited for, and never told on or paid twice."""

import json
from importlib import import_module

import pytest

from music_video_example import EXAMPLE
from overnight import ActContext, PermanentError, TransientError
from overnight.base.errors import ConfigError, OvernightError
from overnight.studio import ffmpeg
from video_service_server import KEY, VideoServer

assert EXAMPLE
services = import_module("video_services")
BRIEF = {"title": "Neon Rain", "genre": "Musical, Drama", "sound_designer": {"label": "reel"}}
BOTH = pytest.mark.parametrize("service", [services.Runway, services.Veo])


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    made = tmp_path_factory.mktemp("clip") / "clip.mp4"
    ffmpeg.run(["-f", "lavfi", "-i", "testsrc=s=64x64:r=10:d=1", "-pix_fmt", "yuv420p", made])
    return made.read_bytes()


@pytest.fixture
def server(clip):
    with VideoServer(clip) as one:
        yield one


def act(service, server, folder, *, key=KEY, brief=BRIEF, **settings):
    folder.mkdir(exist_ok=True)
    context = ActContext(folder=folder, key=key, settings={"url": server.url, "poll_s": 0.01, **settings})
    return service().act(brief, context)


@BOTH
def test_a_video_is_ordered_waited_for_and_fetched(service, server, clip, tmp_path):
    answer = act(service, server, tmp_path / "a")
    assert (tmp_path / "a" / "video.mp4").read_bytes() == clip
    assert answer["path"].endswith("video.mp4") and answer["duration_s"] == pytest.approx(1, abs=0.1)
    [order] = server.orders
    asked = order.get("promptText") or order["instances"][0]["prompt"]
    assert asked == answer["prompt"]
    assert "Neon Rain, a musical drama" in asked and "a reel" in asked
    assert len(server.looked) == 2
    assert ("localhost/clip", False) in server.told, "another host is not told the key"


def test_the_best_prompt_that_the_refiner_knows_comes_first(server, tmp_path):
    brief = {**BRIEF, "prompt_refiner": {"text": "Slow dolly shots, in rain."}}
    asked = act(services.Runway, server, tmp_path / "a", brief=brief)["prompt"]
    assert asked.startswith("Slow dolly shots, in rain. A music video for Neon Rain")


@BOTH
def test_one_that_was_killed_while_it_waited_goes_on_waiting_for_the_same_order(service, server, tmp_path):
    server.looks = 1000
    with pytest.raises(TransientError, match="another try goes on waiting"):
        act(service, server, tmp_path / "a", timeout_s=0.0)
    server.looks = 2
    assert act(service, server, tmp_path / "a")["duration_s"]
    assert len(server.orders) == 1, "it is paid for once"


@BOTH
def test_a_wrong_key_is_told_without_the_key(service, server, tmp_path):
    with pytest.raises(ConfigError) as refused:
        act(service, server, tmp_path / "a", key="wrong-secret")
    assert "does the variable of its `key` hold the right one?" in str(refused.value)
    assert "wrong-secret" not in str(refused.value) and not list((tmp_path / "a").iterdir())


@pytest.mark.parametrize(
    ("service", "what", "answer", "error", "says"),
    [
        (services.Runway, "order", (429, {"error": f"busy, {KEY}"}), TransientError, "answered 429"),
        (services.Veo, "order", (400, {"error": "too long"}), PermanentError, "answered 400"),
        (services.Veo, "order", (200, [1]), PermanentError, "did not answer with a JSON object"),
        (services.Runway, "order", (200, {"no": "id"}), PermanentError, "expected: KeyError('id')"),
        (services.Runway, "order", (200, b"<html>"), TransientError, "JSONDecodeError"),
        (services.Runway, "look", (200, {"status": "FAILED", "failure": "unsafe"}), PermanentError, "unsafe"),
        (services.Veo, "look", (200, {"done": True, "error": {"message": "quota"}}), PermanentError, "quota"),
        (services.Veo, "file", (503, b"later"), TransientError, "answered 503"),
        (services.Runway, "file", (200, b"no video"), OvernightError, "cannot be read"),
    ],
)
def test_what_goes_wrong_is_one_line_without_the_key(server, tmp_path, service, what, answer, error, says):
    server.faults[what] = lambda: answer
    with pytest.raises(error) as refused:
        act(service, server, tmp_path / "a")
    assert says in str(refused.value) and KEY not in str(refused.value) and "\n" not in str(refused.value)


def test_an_order_that_failed_is_placed_anew_by_the_next_try(server, tmp_path):
    server.faults["look"] = lambda: (200, {"status": "FAILED"})
    with pytest.raises(PermanentError):
        act(services.Runway, server, tmp_path / "a")
    server.faults.clear()
    assert act(services.Runway, server, tmp_path / "a")["order"] == "task-1"
    assert len(server.orders) == 2
    assert json.loads((tmp_path / "a" / "order.json").read_text())["order"] == "task-1"


def test_a_service_that_is_away_and_a_wrong_setting_are_one_line(server, tmp_path):
    with pytest.raises(TransientError, match=r"127\.0\.0\.1: ConnectError"):
        act(services.Veo, server, tmp_path / "a", url="http://127.0.0.1:9")
    with pytest.raises(ConfigError, match="settings: there is no 'modle'"):
        act(services.Veo, server, tmp_path / "a", modle="x")
