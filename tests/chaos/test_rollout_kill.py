"""A daemon that is killed again and again while versions are rolled out: the last split that was written holds."""

import json
import urllib.error
import urllib.request
from random import Random

import pytest

from daemons import Daemon, wait_for
from overnight.app import deployments
from overnight.app.project import Project
from overnight.registry import store
from overnight.registry.routing import Split, chosen
from overnight.registry.store import Candidate


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "p")
    with Project.open(made.folder) as project:
        for run_id, serve in ((1, True), (2, False), (3, False)):
            manifest = {"model.npz": {"sha256": project.artifacts.put(b"weights %d" % run_id), "size": 9}}
            candidate = Candidate(
                model="nlu",
                run_id=run_id,
                snapshot_id="0" * 64,
                manifest=manifest,
                signature={},
                metrics={},
                verdict={},
            )
            project.database.writer.do(
                lambda tx, one=candidate, now=serve: store.register(tx, one, serve=now, why="test")
            )
    made.up()
    yield made
    made.end()


class Users:
    """Requests that go where the last known split says, and outcomes that are sent until they are taken."""

    def __init__(self, daemon, random):
        self.daemon = daemon
        self.random = random
        self.split = Split(model="nlu", champion="v1.0.0")
        self.number = 0
        self.taken = 0
        self.waiting = []

    def ask(self, *, candidate):
        """Serve ten requests; who cannot reach the daemon goes on with what he knows."""
        served = []
        for _ in range(10):
            self.number += 1
            key = f"user {self.number}"
            version = chosen(self.split, key)
            fails = self.random.random() < (candidate if version == self.split.candidate else 0.01)
            served.append(
                {
                    "request_id": key,
                    "key": key,
                    "version": version,
                    "percentage": self.split.percentage,
                    "ok": not fails,
                }
            )
        self.waiting.append({"batch_id": f"batch {self.number}", "model_type": "nlu", "outcomes": served})
        try:
            while self.waiting:
                self.taken += self._call("/api/outcomes", self.waiting[0])["accepted"]
                self.waiting.pop(0)
            [found] = self._call("/api/routing")["splits"]
        except (OSError, urllib.error.URLError):
            return False
        self.split = Split(**found)
        return True

    def _call(self, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.daemon.about["url"] + path, data=data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.loads(answer.read())


def deploy(daemon, version, **config):
    said = daemon.ok("deploy", "nlu", version, "--json", *(f"--set={name}={value}" for name, value in config.items()))
    return json.loads(said)["deployment_id"]


def standing(project, number):
    return deployments.deployment_of(project, number)


def test_a_rollout_goes_on_where_it_was_and_counts_nothing_twice(daemon, chance, long_form):
    number = deploy(daemon, "v1.0.1", monitor_duration_seconds=0, min_requests=60)
    users, kills = Users(daemon, Random(1)), 0
    with Project.open(daemon.folder) as project:
        for _ in range(3000):
            reached = users.ask(candidate=0.01)
            one = standing(project, number)
            if one.state.status == "completed":
                break
            counted = one.evidence.candidate.requests + one.evidence.champion.requests
            assert counted <= 10 * (users.number // 10), "a batch was counted twice"
            if kills < (20 if long_form else 3) and reached and chance.random() < 0.15:
                before = one.percentage
                daemon.kill()
                kills += 1
                assert not users.ask(candidate=0.01), "nobody is there"
                assert standing(project, number).percentage >= before, "the last split holds"
                daemon.up()
        assert standing(project, number).state.status == "completed"
        assert kills >= (10 if long_form else 2)
        wait_for(lambda: project.get(standing(project, number).run_id).state == "COMPLETED")
        assert all(one.again for one in deployments.explain(project, number))
        plan = standing(project, number).plan
        stages = [one.decided.after.percentage(plan) for one in deployments.explain(project, number)]
    assert sorted(stages) == stages, "it never went back"


def test_a_bad_version_is_taken_back_though_the_daemon_dies_between_its_errors(daemon, chance):
    number = deploy(daemon, "v1.0.2")
    users = Users(daemon, Random(2))
    with Project.open(daemon.folder) as project:
        wait_for(lambda: standing(project, number).state.status != "pending")
        for place in range(200):
            users.ask(candidate=1.0)
            if standing(project, number).state.status == "rolled_back":
                break
            if place == 3:
                daemon.kill()
                daemon.up()
        one = standing(project, number)
        assert (one.state.status, one.percentage) == ("rolled_back", 0)
        assert one.evidence.candidate.errors <= 8
        [split] = deployments.splits(project)
        assert split.candidate is None
