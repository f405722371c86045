"""Services that make videos for the fleet of music_video: asked once, waited for, and never told on or paid twice."""

import json
import time
from importlib import import_module

import pytest

from music_video_example import EXAMPLE
from overnight import ActContext, PermanentError, TransientError
from overnight.base.errors import ConfigError, NotMeasured, OvernightError
from overnight.studio import ffmpeg
from video_service_server import KEY, VideoServer

assert EXAMPLE
services = import_module("video_services")
BRIEF = {"title": "Neon Rain", "genre": "Musical, Drama", "sound_designer": {"label": "reel"}}
BOTH = pytest.mark.parametrize("service", [services.Runway, services.Veo])


class Stumbling(dict):
    """Faults of a server that go away after some times."""

    def __init__(self, what, answer, *, times):
        super().__init__({what: lambda: answer})
        self.left = times

    def __getitem__(self, what):
        self.left -= 1
        return super().__getitem__(what) if self.left else self.pop(what)


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
    assert service is services.Runway or ("127.0.0.1/file", True) in server.told


def test_the_best_prompt_that_the_refiner_knows_comes_first(server, tmp_path):
    brief = {**BRIEF, "prompt_refiner": {"text": "Slow dolly shots, in rain."}}
    asked = act(services.Runway, server, tmp_path / "a", brief=brief)["prompt"]
    assert asked.startswith("Slow dolly shots, in rain. A music video for Neon Rain")


@BOTH
def test_one_that_was_killed_while_it_waited_goes_on_waiting_for_the_same_order(service, server, tmp_path):
    server.looks = 1000
    with pytest.raises(TransientError, match="another try goes on waiting"):
        act(service, server, tmp_path / "a", timeout_s=0.01)
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
        (services.Veo, "order", (200, {"name": "x" * 2_000_000}), PermanentError, "answered more than 1 MB"),
        (services.Runway, "order", (400, {"error": f"{'x' * 283}{KEY}"}), PermanentError, "answered 400"),
        (services.Runway, "look", (200, {"status": "FAILED", "failure": "unsafe"}), PermanentError, "unsafe"),
        (services.Veo, "look", (200, {"done": True, "error": {"message": "quota"}}), PermanentError, "quota"),
        (
            services.Veo,
            "look",
            (200, {"done": True, "error": f"no\nquota for {KEY}"}),
            PermanentError,
            "no quota for **",
        ),
        (services.Runway, "look", (200, {"status": "FAILED", "failure": f"a\n{KEY}"}), PermanentError, "video: a **"),
        (services.Runway, "look", (200, {"status": "R", "progress": "half"}), PermanentError, "expected: ValueError"),
        (services.Runway, "look", (200, {"status": "R", "progress": float("nan")}), PermanentError, "expected: Value"),
        (services.Runway, "look", (200, {"status": "SUCCEEDED", "output": [None]}), PermanentError, "expected: TypeE"),
        (services.Runway, "look", (200, {"status": "SUCCEEDED", "output": ["ftp://x"]}), PermanentError, "no address"),
        (services.Veo, "file", (503, b"later"), TransientError, "answered 503"),
        (services.Veo, "file", (401, KEY.encode()), ConfigError, "`key` hold the right one?"),
        (services.Runway, "file", (200, b"no video"), OvernightError, "cannot be read"),
    ],
)
def test_what_goes_wrong_is_one_line_without_the_key(server, tmp_path, service, what, answer, error, says):
    server.faults[what] = lambda: answer
    with pytest.raises(error) as refused:
        act(service, server, tmp_path / "a")
    said = str(refused.value)
    assert says in said and KEY[:5] not in said.removesuffix("does the variable of its `key` hold the right one?")
    assert "\n" not in said and len(said) < 450


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


@pytest.mark.parametrize("key", ["two words", "line\n", "schlüssel", "\x00nul", ""])
@BOTH
def test_a_key_that_can_be_none_is_not_sent(service, server, tmp_path, key):
    with pytest.raises(ConfigError, match="the variable of `key` holds") as refused:
        act(service, server, tmp_path / "a", key=key)
    assert not server.orders and (not key or key not in str(refused.value))


def test_a_key_is_hidden_as_python_and_as_json_write_it(server, tmp_path):
    key = """ke'y"\\7"""
    server.faults["order"] = lambda: (400, f"{key} {key!r} {json.dumps(key)}".encode())
    with pytest.raises(PermanentError) as refused:
        act(services.Runway, server, tmp_path / "a", key=key)
    assert "ke'" not in str(refused.value) and str(refused.value).count("********") == 3


@BOTH
def test_what_another_service_has_made_is_not_ordered_again(service, server, tmp_path):
    for name in ("video_service_a", "video_service_b"):
        with pytest.raises(NotMeasured, match=f"{name} has made the video already: nothing was ordered"):
            act(service, server, tmp_path / "a", brief={**BRIEF, name: {"path": "made.mp4"}})
    assert not server.orders
    assert act(service, server, tmp_path / "a", brief={**BRIEF, "video_service_a": None, "video_service_b": "x"})


@pytest.mark.parametrize(
    ("what", "answer"),
    [
        *[(what, (status, b"busy")) for what in ("look", "file") for status in (429, 503)],
        *[("look", (200, answer)) for answer in (b"<html>", b"", b"[" * 100_000, [1])],
    ],
)
@BOTH
def test_a_service_that_stumbles_is_waited_for(service, server, clip, tmp_path, what, answer):
    server.faults = Stumbling(what, answer, times=2)
    assert act(service, server, tmp_path / "a")["duration_s"]
    assert (tmp_path / "a" / "video.mp4").read_bytes() == clip and len(server.orders) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
@BOTH
def test_a_fresh_address_is_asked_for_where_one_is_too_old(service, server, tmp_path, status):
    server.faults = Stumbling("file", (status, b"expired"), times=1)
    assert act(service, server, tmp_path / "a")["duration_s"]
    assert len(server.looked) == 3


def test_a_video_that_another_host_keeps_to_itself_tells_nothing_of_the_key(server, tmp_path):
    server.faults["file"] = lambda: (403, b"expired")
    with pytest.raises(PermanentError, match=r"answered 403: expired$"):
        act(services.Runway, server, tmp_path / "a")


def test_what_a_service_that_stays_away_said_last_is_told_in_the_end(server, tmp_path):
    server.faults["look"] = lambda: (503, b"later")
    with pytest.raises(TransientError, match=r"not done within 0\.1 s; another try .*answered 503: later"):
        act(services.Runway, server, tmp_path / "a", timeout_s=0.1)


def test_a_fetch_stops_when_somebody_asks_to(server, tmp_path):
    class Stopping(ActContext):
        cancelled = property(lambda _: bool(server.told))

    folder = tmp_path / "a"
    folder.mkdir()
    with pytest.raises(TransientError, match="was asked to stop; another try goes on waiting for it"):
        services.Runway().act(BRIEF, Stopping(folder=folder, key=KEY, settings={"url": server.url, "poll_s": 0.01}))
    assert [one.name for one in folder.iterdir()] == ["order.json"]


@pytest.mark.parametrize("answer", [(200, b"<html>"), (200, {}), (200, {"id": None}), (200, {"id": 3}), (502, b"oh")])
def test_an_order_of_which_nobody_knows_whether_it_was_taken_is_not_placed_again(server, tmp_path, answer):
    server.faults["order"] = lambda: answer
    with pytest.raises(PermanentError, match="may have been ordered: look at the service before you try again"):
        act(services.Runway, server, tmp_path / "a")


def test_an_order_that_is_not_answered_in_time_may_have_been_taken(server, tmp_path, monkeypatch):
    monkeypatch.setattr(services, "ANSWER_S", 0.2)
    server.faults["order"] = lambda: time.sleep(0.6) or (200, {"id": "task-1"})
    with pytest.raises(PermanentError, match="ReadTimeout: timed out; it may have been ordered"):
        act(services.Runway, server, tmp_path / "a")


@pytest.mark.parametrize("status", [408, 425, 429, 503])
def test_an_order_that_was_not_taken_may_be_placed_again(server, tmp_path, status):
    server.faults["order"] = lambda: (status, b"busy")
    with pytest.raises(TransientError, match=f"answered {status}: busy"):
        act(services.Veo, server, tmp_path / "a")


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("url", [1, "", "127.0.0.1", "ftp://127.0.0.1", "http://", "https://me:pw@host", "https://host:99999"]),
        ("url", ["http://example.com", "http://192.168.0.7:80"]),
        ("model", ["", " ", 3, None]),
        ("ratio", ["", 1.5, ["16:9"]]),
        ("seconds", [0, 61, 8.0, "8", True, None]),
        ("poll_s", [0, 0.001, 601, float("nan"), "5", True]),
        ("timeout_s", [0, -1, 3501, float("inf"), float("nan"), "60", None]),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(server, tmp_path, name, values):
    for value in values:
        with pytest.raises(ConfigError, match=rf"^settings\.{name} must be an? "):
            act(services.Veo, server, tmp_path / "a", **{name: value})
    assert not server.orders


@pytest.mark.parametrize("other", ["prompt", "service", "url", "damage"])
def test_an_order_for_something_else_is_not_waited_for(server, tmp_path, other):
    act(services.Runway, server, tmp_path / "a")
    order = tmp_path / "a" / "order.json"
    kept = json.loads(order.read_text())
    order.write_text("{" if other == "damage" else json.dumps({**kept, other: "another"}))
    answer = act(services.Runway, server, tmp_path / "a")
    assert len(server.orders) == 2 and json.loads(order.read_text()) == kept and kept["prompt"] == answer["prompt"]


def test_a_prompt_that_is_too_long_loses_nothing_of_what_the_brief_says(server, tmp_path):
    for refined in ("In slow rain. " * 100, "雨" * 1000):
        server.orders.clear()
        brief = {**BRIEF, "prompt_refiner": {"text": refined}}
        answer = act(services.Runway, server, tmp_path / "a", brief=brief)
        [order] = server.orders
        assert order["promptText"] == answer["prompt"] and 980 < len(answer["prompt"]) <= 1000
        assert answer["prompt"].endswith(" A music video for Neon Rain, a musical drama. The music is a reel.")
        assert answer["prompt"].startswith(refined[:900])
    with pytest.raises(PermanentError, match="the service 1000: nothing was ordered"):
        act(services.Runway, server, tmp_path / "a", brief={**BRIEF, "title": "x" * 1000})


def test_the_same_host_at_another_port_is_not_told_the_key(server, clip, tmp_path):
    with VideoServer(clip) as other:
        server.faults["look"] = lambda: (200, {"status": "SUCCEEDED", "output": [f"{other.url}/clip"]})
        assert act(services.Runway, server, tmp_path / "a")["duration_s"]
        assert other.told == [("127.0.0.1/clip", False)]


@BOTH
def test_a_service_does_not_take_what_it_has_no_form_for(service, server, tmp_path):
    with pytest.raises(PermanentError, match="answered 400"):
        act(service, server, tmp_path / "a", ratio="wide")
