"""A router and its daemon through a rollout: the daemon is killed in the middle, and takes a bad version back."""

import itertools
from contextlib import suppress

import pytest

from daemons import wait_for
from http_daemon import ask, prepared
from lines import add_version
from overnight import Project, Router

TOML = '[training.models.line]\ntrainer = "small_trainer:Line"\n'
CONFIG = {"initial_percentage": 50, "rollout_steps": [50, 100], "monitor_duration_seconds": 3600}


@pytest.fixture
def daemon(tmp_path, monkeypatch):
    made = prepared(tmp_path / "p", TOML)
    with Project.open(made.folder) as project:
        add_version(project, 2.0, serve=True)
        add_version(project, 3.0)
    monkeypatch.chdir(made.folder)
    monkeypatch.delenv("OVERNIGHT_URL", raising=False)
    try:
        made.up()
        yield made
    finally:
        made.end()


def test_a_rollout_is_routed_through_a_kill_of_the_daemon_and_a_bad_version_taken_back(daemon, tmp_path):
    with Router(state=tmp_path / "state") as router:
        assert router.choose("line", "anybody") == "v1.0.0"
        body = {"model_type": "line", "model_version": "v1.0.1", "strategy": "gradual_rollout", "config": CONFIG}
        status, begun = ask(daemon, "POST", "/api/models/deploy", body)
        assert status == 200, begun
        deployment = f"/api/deployments/{begun['deployment_id']}"
        wait_for(lambda: router.splits["line"].percentage == 50)
        keys = (f"user-{number}" for number in itertools.count())

        def serve(count, *, bad=False):
            for key in itertools.islice(keys, count):
                with suppress(ZeroDivisionError), router.serve("line", key) as served:
                    if bad and served.version == "v1.0.1":
                        raise ZeroDivisionError

        serve(20)
        daemon.kill()
        wait_for(lambda: router.error)
        serve(30)
        daemon.up()
        wait_for(lambda: router.counts.sent == 50)
        stands = ask(daemon, "GET", deployment)[1]
        counted = {side: stands[f"{side}_counts"]["requests"] for side in ("candidate", "champion")}
        assert sum(counted.values()) == 50
        assert min(counted.values()) > 10
        wait_for(lambda: router.error is None)
        wait_for(lambda: serve(1, bad=True) or router.splits["line"].candidate is None)
        assert {router.choose("line", f"user-{number}") for number in range(100)} == {"v1.0.0"}
    stands = ask(daemon, "GET", deployment)[1]
    assert stands["status"] == "rolled_back"
    assert stands["candidate_counts"]["errors"] < 20
