"""The health of a service is looked at as it really answers over HTTP: by its status, and by what stands in it."""

import socket

import pytest

from overnight.base.resource_settings import HealthSettings
from overnight.supervisor.health import look
from web_server import answers, answers_json, hangs, redirects


@pytest.fixture
def seen(server):
    """Look at a service that answers by `route`, with settings of its health."""

    def looked(route, **settings):
        server.routes["/health"] = route
        return look(HealthSettings(url=server.url("/health"), **settings), (), "/", {})

    return looked


@pytest.mark.parametrize("status", [200, 202, 204])
def test_any_success_is_healthy_unless_another_status_is_wanted(seen, status):
    found = seen(answers(status=status))
    assert (found.healthy, found.problem, found.answered) == (True, None, True)


@pytest.mark.parametrize("status", [301, 418, 500])
def test_no_other_answer_is_and_it_is_told_which_one_it_was(seen, status):
    found = seen(answers(status=status))
    assert (found.healthy, found.answered) == (False, True)
    assert found.problem.endswith(f"/health: answered {status}")


@pytest.mark.parametrize("status", [202, 204, 301, 418, 500])
def test_a_status_of_its_own_is_healthy_and_no_other_one(seen, status):
    assert seen(answers(status=status), status=status).healthy
    found = seen(answers(status=200), status=status)
    assert not found.healthy and found.problem.endswith("answered 200")


def test_a_redirect_is_an_answer_and_is_not_followed(seen, server):
    server.routes["/elsewhere"] = answers()
    assert not seen(redirects("/elsewhere")).healthy
    assert seen(redirects("/elsewhere"), status=302).healthy
    assert server.paths() == ["/health", "/health"]


def test_what_stands_in_the_answer_counts_whatever_its_status(seen):
    waits = answers_json({"state": {"ready": True}}, status=503)
    wanted = {"status": 503, "path": "state.ready"}
    assert seen(waits, **wanted, equals=True).healthy
    assert seen(waits, **wanted, equals=False).problem.endswith("state.ready is true, and not false")
    assert not seen(waits, **wanted, equals=1).healthy, "a number is no yes"
    assert seen(waits, path="state.ready", equals=True).problem.endswith("answered 503")
    assert not seen(answers("all is well", status=503), **wanted, equals=True).healthy, "no JSON"


def test_what_only_has_to_be_there_has_to_be_there(seen):
    route = answers_json({"state": {"ready": False, "mode": None}})
    assert seen(route, path="state.ready").healthy
    for path in ("state.mode", "state.queue", "ready"):
        assert seen(route, path=path).problem.endswith(f"/health: the answer has no {path}")


def test_nobody_and_somebody_silent_are_told_apart(seen):
    silent = seen(hangs, timeout_s=0.2)
    assert (silent.healthy, silent.answered) == (False, True)
    assert silent.problem.endswith("did not answer within 0.2 s")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/health"
        nobody = look(HealthSettings(url=url), (), "/", {})
    assert (nobody.healthy, nobody.answered) == (False, False)
    assert nobody.problem.endswith("nobody answers there")
