"""An idle service is asked for its memory as its project documents it, and gets it back; nothing else is touched."""

import json

import pytest

from model_servers import ModelServer, OllamaServer, VllmServer
from overnight.base.clock import SystemClock
from overnight.base.errors import TransientError
from overnight.base.resource_settings import CallSettings, ServiceSettings
from overnight.resources.probes.hooks import can_release, prepare, release, wake
from web_server import WebServer, answers_json

CLOCK = SystemClock()


def described(**settings):
    return ServiceSettings(words=("serve",), **settings)


def test_vllm_sleeps_and_wakes():
    with VllmServer() as server:
        service = described(kind="vllm", url=server.url)
        prepared = prepare(service, CLOCK)
        assert server.changes() == [], "preparing changes nothing"
        release(prepared)
        assert server.asleep
        wake(prepared)
        assert not server.asleep
        wake(prepared)
    assert [path for _, path, _ in server.changes()] == ["/sleep?level=1&mode=wait", "/wake_up", "/wake_up"]


def test_a_vllm_that_sleeps_already_is_left_alone():
    with VllmServer() as server:
        server.asleep = True
        service = described(kind="vllm", url=server.url)
        prepared = prepare(service, CLOCK)
        release(prepared)
        wake(prepared)
        assert server.changes() == []
        assert server.asleep


def test_what_ollama_has_loaded_is_unloaded_and_loaded_again_and_what_should_stay_stays():
    with OllamaServer(**{"gemma3": "2026-01-01T00:05:00Z", "qwen3:8b": "2318-02-11T02:30:55.439Z"}) as server:
        service = described(kind="ollama", url=server.url)
        prepared = json.loads(json.dumps(prepare(service, CLOCK)))
        release(prepared)
        assert server.models == {}
        wake(prepared)
        assert server.models == {"gemma3": "2026-01-01T00:05:00Z", "qwen3:8b": "2318-02-11T02:30:55.4Z"}
    assert [body for _, _, body in server.changes()] == [
        {"model": "gemma3", "keep_alive": 0, "stream": False},
        {"model": "qwen3:8b", "keep_alive": 0, "stream": False},
        {"model": "gemma3", "stream": False},
        {"model": "qwen3:8b", "keep_alive": -1, "stream": False},
    ]


def test_one_model_that_is_refused_does_not_keep_the_others_from_being_loaded():
    with OllamaServer(a="2026-01-01T00:05:00Z", b="2026-01-01T00:05:00Z") as server:
        service = described(kind="ollama", url=server.url)
        prepared = prepare(service, CLOCK)
        release(prepared)
        server.broken = {"a"}
        with pytest.raises(TransientError, match=r"^a: http://127.0.0.1:\d+/api/generate: answered 500$"):
            wake(prepared)
        assert set(server.models) == {"b"}


def test_any_two_calls_release_and_wake():
    with ModelServer() as server:
        service = described(
            release=CallSettings(url=f"{server.url}/free", body={"unload_models": True, "level": 2}),
            wake=CallSettings(url=f"{server.url}/warm?x=1", method="PUT"),
        )
        prepared = prepare(service, CLOCK)
        release(prepared)
        wake(prepared)
    assert server.asked == [("POST", "/free", {"unload_models": True, "level": 2}), ("PUT", "/warm?x=1", None)]


def test_own_calls_come_before_those_of_the_kind():
    with VllmServer() as server, ModelServer() as other:
        service = described(kind="vllm", url=server.url, release=CallSettings(url=f"{other.url}/free"))
        prepared = prepare(service, CLOCK)
        release(prepared)
        wake(prepared)
        assert (server.asked, other.asked) == ([], [("POST", "/free", None)])


@pytest.mark.parametrize(
    ("settings", "can"),
    [
        ({}, False),
        ({"kind": "llama.cpp", "url": "http://a"}, False),
        ({"kind": "tgi", "url": "http://a"}, False),
        ({"kind": "vllm", "url": "http://a"}, True),
        ({"kind": "ollama", "url": "http://a"}, True),
        ({"kind": "tgi", "url": "http://a", "release": CallSettings(url="http://a")}, True),
    ],
)
def test_who_can_be_asked_is_known(settings, can):
    assert can_release(described(**settings)) is can


def test_a_vllm_outside_its_development_mode_says_no_before_anything_is_asked():
    with WebServer() as web:
        service = described(kind="vllm", url=web.url(""))
        with pytest.raises(TransientError, match=r"/is_sleeping: answered 404$"):
            prepare(service, CLOCK)


@pytest.mark.parametrize("answer", [{}, [], {"is_sleeping": "no"}])
def test_what_is_no_vllm_is_said(answer):
    with WebServer() as web:
        web.routes["/is_sleeping"] = answers_json(answer)
        with pytest.raises(TransientError, match="did not answer as vLLM does"):
            prepare(described(kind="vllm", url=web.url("")), CLOCK)


def test_who_is_not_there_cannot_be_asked():
    with WebServer() as web:
        url = web.url("")
    with pytest.raises(TransientError, match="nobody answers there"):
        prepare(described(kind="ollama", url=url), CLOCK)
    with pytest.raises(TransientError, match="nobody answers there"):
        release({"release": [{"method": "POST", "url": url, "body": None}]})
