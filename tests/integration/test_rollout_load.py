"""Updates of a model that a daemon serves, under requests of several clients: nobody is refused but by an outage."""

import threading
import time
from pathlib import Path

import pytest
from test_rollouts_http import call
from test_rollouts_serving import TOML, register, status

from daemons import Daemon, wait_for
from overnight.app.project import Project

MODULE = """
import json
from pathlib import Path

def configure(project):
    pass

class Answers:
    metric, metric_sign = "accuracy", 1
    # It was trained elsewhere.
    check = prepare = batch_size = train_batch = validate = state = restore = save = None

    @classmethod
    def load(cls, folder):
        made = cls()
        made.kind = json.loads((folder / "kind.json").read_text())
        made.outage = next(place for place in folder.parents if (place / "overnight.toml").exists()) / "outage"
        return made

    def predict(self, inputs):
        if self.kind == "bad" or self.outage.exists():
            raise RuntimeError("no answer")
        return [{"label": one} for one in inputs]
"""
SLOW = {"monitor_duration_seconds": 600, "min_requests": 20, "replay": False}


class Clients:
    """Threads that ask without a pause, each time for another user."""

    def __init__(self, daemon, count=3):
        self.daemon = daemon
        self.answers: dict[str, int] = {}
        self.refused: list[object] = []
        self.number = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._go, daemon=True) for _ in range(count)]
        for thread in self._threads:
            thread.start()

    def _go(self):
        while not self._stop.is_set():
            with self._lock:
                self.number += 1
                key = f"user {self.number}"
            try:
                code, body, _ = call(self.daemon, "/api/models/echo/predict", {"input": "hello", "key": key})
            except OSError as error:
                code, body = 0, error
            with self._lock:
                if code == 200 and body["outputs"] == [{"label": "hello"}]:
                    self.answers[body["model_version"]] = self.answers.get(body["model_version"], 0) + 1
                else:
                    self.refused.append((code, body))
            time.sleep(0.005)

    def end(self):
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "p", TOML, MODULE)
    with Project.open(made.folder) as project:
        for place, kind in enumerate(("good", "good again", "bad"), start=1):
            register(project, place, kind.split()[0], serve=place == 1)
    made.up()
    yield made
    made.end()


def deploy(daemon, version, **config):
    body = {"model_version": version, "model_type": "echo", "config": {**SLOW, **config}}
    return wait_for(lambda: (said := call(daemon, "/api/models/deploy", body))[0] == 200 and said[1])["deployment_id"]


def test_updates_under_load_refuse_nobody(daemon):
    clients = Clients(daemon)
    try:
        wait_for(lambda: clients.answers.get("v1.0.0", 0) > 20)
        # A bad update: the champion answers what it cannot, until the guard has its proof.
        number = deploy(daemon, "v1.0.2")
        wait_for(lambda: status(daemon, number)["status"] == "rolled_back")
        assert status(daemon, number)["candidate_counts"]["errors"] <= 20
        assert clients.refused == []
        # A good one that a person takes back, and lets serve in the end.
        number = deploy(daemon, "v1.0.1")
        wait_for(lambda: clients.answers.get("v1.0.1", 0) > 3)
        assert call(daemon, f"/api/deployments/{number}/rollback", {})[1]["status"] == "rolled_back"
        number = deploy(daemon, "v1.0.1", monitor_duration_seconds=0.3)
        wait_for(lambda: status(daemon, number)["status"] == "completed")
        assert call(daemon, "/api/models/rollback", {"model_type": "echo"})[1]["model_version"] == "v1.0.0"
        before = clients.answers["v1.0.0"]
        wait_for(lambda: clients.answers["v1.0.0"] > before + 20)
        assert clients.refused == []
        # An outage of both takes nothing back.
        number = deploy(daemon, "v1.0.1")
        wait_for(lambda: status(daemon, number)["candidate_counts"]["requests"] > 5)
        Path(daemon.folder / "outage").touch()
        wait_for(lambda: status(daemon, number)["status"] == "held")
        Path(daemon.folder / "outage").unlink()
        body = status(daemon, number)
        assert (body["reason"], body["current_percentage"]) == ("error_budget", 10)
        wait_for(lambda: call(daemon, "/api/models/echo/predict", {"input": "hello", "key": "k"})[0] == 200)
        refused = len(clients.refused)
        assert refused > 0
        assert call(daemon, f"/api/deployments/{number}/resume", {})[1]["status"] == "running"
        # Killed in the middle of a stage, it goes on with the split that it had.
        daemon.kill()
        daemon.up()
        assert status(daemon, number)["current_percentage"] == 10
        assert status(daemon, number)["status"] == "running"
        seen = dict(clients.answers)
        wait_for(lambda: clients.answers["v1.0.1"] > seen["v1.0.1"] + 3)
    finally:
        clients.end()
    away = [code for code, _ in clients.refused[refused:]]
    assert set(away) <= {0, 500}, "only while nobody was there, and for the outage"
