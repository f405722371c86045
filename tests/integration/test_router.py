"""A router in a user's process: with its daemon, without it, before it, after it."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemons import wait_for
from overnight import Router
from overnight.base.backoff import Backoff
from overnight.base.errors import DaemonAway, UnknownName, UserMistake
from overnight.registry.routing import Split
from overnight.serving import outcomes
from routing_server import RoutingServer

SPLIT = {
    "model": "nlu", "champion": "v1.0.0", "candidate": "v1.0.1", "percentage": 30.0, "salt": 5, "deployment_id": 4,
    "shadow": False,
}  # fmt: skip


@pytest.fixture
def server():
    made = RoutingServer([SPLIT])
    yield made
    made.stop()


@pytest.fixture
def router(server, tmp_path):
    with Router(server.url, state=tmp_path) as made:
        yield made


def test_versions_are_chosen_as_the_daemon_says(router):
    chosen = [router.choose("nlu", f"user-{number}") for number in range(1000)]
    assert 250 < chosen.count("v1.0.1") < 350
    assert set(chosen) == {"v1.0.0", "v1.0.1"}
    assert router.splits == {"nlu": Split(**SPLIT)}
    assert router.error is None


def test_a_changed_split_is_taken_up_and_an_unchanged_one_is_not_sent_again(router, server):
    wait_for(lambda: server.asked.count('"1"') >= 1)
    server.splits, server.etag = [{**SPLIT, "percentage": 100.0, "new_in_a_later_version": 1}], '"2"'
    wait_for(lambda: router.choose("nlu", "user-1") == "v1.0.1" == router.choose("nlu", "user-2"))
    wait_for(lambda: '"2"' in server.asked)


def test_each_question_tells_what_was_routed_since_the_one_before_and_nothing_where_nothing_was(router, server):
    def told():
        return [int(one.removeprefix("nlu:")) for one in server.routed]

    with ThreadPoolExecutor(4) as users:
        list(users.map(lambda number: router.choose("nlu", f"user-{number}"), range(1000)))
    with router.serve("nlu", "user-1"):
        router.update([Split(**{**SPLIT, "percentage": 50.0})])
    wait_for(lambda: sum(told()) == 1001)
    asked = len(server.asked)
    wait_for(lambda: len(server.asked) > asked + 1)
    assert sum(told()) == 1001
    assert 0 not in told()


def test_what_came_of_a_request_is_told(router, server):
    with router.serve("nlu", "user-1") as served:
        served.score = 0.9
    with router.serve("nlu", b"\x01\x02") as invalid:
        invalid.invalid()
    with pytest.raises(ZeroDivisionError), router.serve("nlu", "\ud800"):
        1 / 0  # noqa: B018
    with pytest.raises(TimeoutError), router.serve("nlu", "user-3"):
        raise TimeoutError
    wait_for(lambda: len(server.taken) == 4)
    for told in server.taken:
        assert 0 <= told.pop("latency_ms") < 60_000
        assert told.pop("at").startswith("20")
        assert told.pop("version") in ("v1.0.0", "v1.0.1")
    fine = {"percentage": 30.0, "deployment_id": 4, "ok": True, "timed_out": False, "invalid": False, "score": None}
    assert server.taken == [
        {**fine, "request_id": served.request_id, "key": "user-1", "score": 0.9},
        {**fine, "request_id": invalid.request_id, "key": "0102", "invalid": True},
        {**fine, "request_id": server.taken[2]["request_id"], "key": "\\ud800", "ok": False},
        {**fine, "request_id": server.taken[3]["request_id"], "key": "user-3", "ok": False, "timed_out": True},
    ]
    assert len({told["request_id"] for told in server.taken}) == 4
    assert {batch["model_type"] for batch in server.batches} == {"nlu"}


def test_what_is_not_the_models_fault_is_not_recorded(router, server):
    with pytest.raises(KeyboardInterrupt), router.serve("nlu", "user-1"):
        raise KeyboardInterrupt
    with pytest.raises(UserMistake, match=r"score: 9 is not a number from 0 to 1"), router.serve("nlu", "u") as served:
        served.score = 9
    with router.serve("nlu", "user-2"):
        pass
    wait_for(lambda: server.taken)
    assert [told["key"] for told in server.taken] == ["user-2"]


def test_an_outcome_of_a_split_that_has_changed_tells_the_share_as_it_was(router, server):
    with router.serve("nlu", "user-1"):
        router.update([Split(**{**SPLIT, "percentage": 50.0, "deployment_id": 5})])
    [told] = wait_for(lambda: server.taken)
    assert (told["percentage"], told["deployment_id"]) == (30.0, 4)


def test_a_batch_whose_answer_is_lost_is_sent_again_under_its_name_and_counts_once(router, server):
    server.trouble = ["lose", 503]
    with router.serve("nlu", "user-1"):
        pass
    wait_for(lambda: router.counts.sent == 1)
    assert len({batch["batch_id"] for batch in server.batches}) == 1
    assert (len(server.batches), len(server.taken)) == (3, 1)


def test_a_batch_that_is_refused_stands_in_nobodys_way(router, server):
    server.trouble = [400]
    for _ in range(2):
        with router.serve("nlu", "user-1"):
            pass
        wait_for(lambda: router.counts.waiting == 0)
    assert (router.counts.refused, router.counts.sent, len(server.taken)) == (1, 1, 1)


def test_a_batch_that_the_daemon_fails_at_again_and_again_stands_in_nobodys_way(router, server, monkeypatch):
    monkeypatch.setattr("overnight.serving.outcomes._WAITS", Backoff(base_s=0.01, cap_s=0.01))
    server.trouble = [503] * (outcomes.MOST_TRIES - 1) + [500] + ["drop"] * (outcomes.MOST_TRIES + 2)
    for _ in range(2):
        with router.serve("nlu", "user-1"):
            pass
        wait_for(lambda: router.counts.waiting == 0)
    # A daemon that does not answer at all is waited for.
    assert (router.counts.refused, router.counts.sent, len(server.taken)) == (1, 1, 1)
    assert len(server.batches) == 2 * outcomes.MOST_TRIES + 3


def test_news_of_the_split_in_an_answer_is_followed_at_once(router, server, monkeypatch):
    monkeypatch.setattr("overnight.serving.router.POLL_EVERY_S", 3600.0)
    # The pause that is under way still has its old length.
    before = len(server.asked)
    wait_for(lambda: len(server.asked) > before)
    server.splits, server.etag = [{**SPLIT, "percentage": 0.0}], '"2"'
    with pytest.raises(ZeroDivisionError), router.serve("nlu", "user-1"):
        1 / 0  # noqa: B018
    wait_for(lambda: router.splits["nlu"].percentage == 0.0)


def test_without_its_daemon_a_router_goes_on_and_then_tells_all(router, server):
    before = [router.choose("nlu", f"user-{number}") for number in range(50)]
    server.stop()
    try:
        wait_for(lambda: router.error)
        assert [router.choose("nlu", f"user-{number}") for number in range(50)] == before
        for number in range(1500):
            with router.serve("nlu", f"user-{number}"):
                pass
        wait_for(lambda: router.counts.error)
        assert router.counts.waiting == 1500
    finally:
        server.start()
    wait_for(lambda: router.counts.sent == 1500)
    assert sorted(told["key"] for told in server.taken) == sorted(f"user-{number}" for number in range(1500))
    assert max(len(batch["outcomes"]) for batch in server.batches) <= 1000
    wait_for(lambda: router.error is None)


def test_a_router_starts_without_its_daemon_by_what_was_known_last(router, server, tmp_path):
    router.close()
    with Router("http://127.0.0.1:9", state=tmp_path) as stranger, pytest.raises(DaemonAway, match="overnight up"):
        stranger.choose("nlu", "user-1")
    [kept] = tmp_path.iterdir()
    server.stop()
    try:
        with Router(server.url, state=tmp_path) as again:
            assert again.choose("nlu", "user-1") == router.choose("nlu", "user-1")
            assert again.splits == {"nlu": Split(**SPLIT)}
            with pytest.raises(UnknownName, match=r"no version of 'nlo' serves; did you mean nlu\?"):
                again.choose("nlo", "user-1")
            with pytest.raises(UnknownName):
                again.serve("nlo", "user-1")
        for damaged in ("", '{"splits": [{"model": "nlu"}], "etag": ""}', '{"splits": 1}', "[]"):
            kept.write_text(damaged)
            with Router(server.url, state=tmp_path, models={"nlu": "v0.9.0"}) as given:
                assert given.choose("nlu", "user-1") == "v0.9.0"
    finally:
        server.start()


def test_an_answer_that_is_no_split_changes_nothing(router, server):
    server.splits, server.etag = [{**SPLIT, "percentage": 300.0}], '"2"'
    wait_for(lambda: router.error)
    assert "300.0 % is not from 0 to 100" in router.error
    assert router.splits == {"nlu": Split(**SPLIT)}


def test_an_address_that_is_none_is_refused(tmp_path):
    with pytest.raises(UserMistake, match="url: 'localhost'"):
        Router("localhost", state=tmp_path)


def test_the_queue_is_bounded_and_says_what_it_dropped(server, tmp_path, monkeypatch):
    monkeypatch.setattr(outcomes, "MOST_WAITING", 100)
    monkeypatch.setattr(outcomes, "MOST_IN_BATCH", 10)
    with Router(server.url, state=tmp_path) as router:
        server.stop()
        try:
            # The thread takes some, meets nobody, and waits with these.
            with router.serve("nlu", "first"):
                pass
            wait_for(lambda: router.counts.error)
            for number in range(150):
                with router.serve("nlu", str(number)):
                    pass
            assert (router.counts.waiting, router.counts.dropped) == (101, 50)
        finally:
            server.start()
        wait_for(lambda: router.counts.sent == 101)
    assert [told["key"] for told in server.taken] == ["first", *map(str, range(50, 150))]


def test_closing_hands_on_what_waits_and_does_not_wait_for_ever(server, tmp_path):
    with Router(server.url, state=tmp_path) as router, router.serve("nlu", "user-1"):
        pass
    assert len(server.taken) == 1
    with router.serve("nlu", "user-2"):
        pass
    assert router.counts.dropped == 1
    server.stop()
    try:
        away = Router(server.url, state=tmp_path)
        with away.serve("nlu", "user-3"):
            pass
        away.close(timeout_s=0.3)
        away.close()
        assert (away.counts.dropped, away.counts.waiting) == (1, 0)
    finally:
        server.start()


PROGRAM = """
import os
from overnight import Router

router = Router()
with router.serve("nlu", "before"):
    pass
if os.fork() == 0:
    with router.serve("nlu", "child"):
        pass
    router.close()
    os._exit(0)
os.wait()
with router.serve("nlu", "parent"):
    pass
"""


def test_a_forked_child_tells_its_own_and_an_ending_interpreter_the_rest(server, tmp_path):
    env = {**os.environ, "OVERNIGHT_URL": server.url, "XDG_CACHE_HOME": str(tmp_path)}
    subprocess.run([sys.executable, "-c", PROGRAM], env=env, cwd=tmp_path, check=True, timeout=60)
    assert sorted(told["key"] for told in server.taken) == ["before", "child", "parent"]
    assert len({told["request_id"] for told in server.taken}) == 3
    assert [path.name[:8] for path in (tmp_path / "overnight").iterdir()] == ["routing-"]
