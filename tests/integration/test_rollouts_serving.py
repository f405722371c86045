"""A rollout of a model that the daemon serves: loaded beside the champion, tried on recorded requests, watched."""

import json

import pytest
from test_rollouts_http import call

from daemons import Daemon, wait_for
from overnight.app.project import Project
from overnight.app.trying import tried
from overnight.registry import store
from overnight.registry.store import Candidate
from overnight.serving.replay import Pair, Side

MODULE = '''
import json
from overnight.base.errors import UserMistake

def configure(project):
    pass

class Answers:
    """Answers as its file says: good (the input again), bad (no answer), picky (none to long texts), nan."""

    metric, metric_sign = "accuracy", 1
    # It was trained elsewhere.
    check = prepare = batch_size = train_batch = validate = state = restore = save = None

    @classmethod
    def load(cls, folder):
        made = cls()
        made.kind = json.loads((folder / "kind.json").read_text())
        return made

    def predict(self, inputs):
        if self.kind == "bad" or (self.kind == "picky" and any(len(one) > 5 for one in inputs)):
            raise RuntimeError("it is broken")
        if self.kind == "nan":
            return [float("nan") for _ in inputs]
        return [{"label": str(one)} for one in inputs]
'''
TOML = """
[training.models.echo]
trainer = "work:Answers"
[models.echo]
record = true
"""


def register(project, run_id, kind, *, serve=False, size=0):
    content = json.dumps(kind).encode().ljust(size)
    manifest = {"kind.json": {"sha256": project.artifacts.put(content), "size": len(content), "format": "json"}}
    candidate = Candidate(
        model="echo", run_id=run_id, snapshot_id="0" * 64, manifest=manifest,
        signature={"trainer": "work:Answers"}, metrics={}, verdict={},
    )  # fmt: skip
    return project.database.writer.do(lambda tx: store.register(tx, candidate, serve=serve, why="test")).number


@pytest.fixture
def daemon(tmp_path):
    made = Daemon(tmp_path / "p", TOML, MODULE)
    with Project.open(made.folder) as project:
        made.numbers = {
            kind: register(project, place, kind.split()[0], serve=place == 1)
            for place, kind in enumerate(("good", "good again", "bad", "nan", "picky"), start=1)
        }
    made.up()
    yield made
    made.end()


def predict(daemon, key, text="hello"):
    code, body, _ = call(daemon, "/api/models/echo/predict", {"input": text, "key": key})
    return code, body


def deployed(daemon, kind, **options):
    code, body, _ = call(
        daemon, "/api/models/deploy", {"model_version": daemon.numbers[kind], "model_type": "echo", **options}
    )
    assert code == 200, body
    number = body["deployment_id"]
    wait_for(lambda: status(daemon, number)["status"] != "pending")
    return number


def status(daemon, number):
    return call(daemon, f"/api/deployments/{number}")[1]


def test_good_bad_and_broken_versions_under_requests(daemon):
    quick = {"monitor_duration_seconds": 0.2, "min_requests": 5}
    for place in range(40):
        code, body = predict(daemon, f"user {place}", "hello" if place < 20 else "hello again")
        assert code == 200, body
    # What cannot answer what users asked before never reaches one.
    for kind, words in (
        ("bad", "cannot serve: echo v1.0.2 failed: RuntimeError: it is broken"),
        ("nan", "cannot serve: echo v1.0.3"),
        ("picky", "of 40 recorded requests it failed at 20, the champion at 0"),
    ):
        body = status(daemon, deployed(daemon, kind, config=quick))
        assert (body["status"], body["candidate_counts"]["requests"]) == ("rolled_back", 0)
        assert words in body["message"]
    # Without that trial the guard sees it in what it does to users, who get the champion's answers all the same.
    number = deployed(daemon, "picky", config={**quick, "replay": False})
    answers = []
    for place in range(400):
        answers.append(predict(daemon, f"customer {place}", "hello again"))
        if status(daemon, number)["status"] == "rolled_back":
            break
    body = wait_for(lambda: (one := status(daemon, number))["status"] == "rolled_back" and one)
    assert body["candidate_counts"]["errors"] >= 3
    assert {code for code, _ in answers} == {200}, "nobody was refused"
    assert {answer["outputs"][0]["label"] for _, answer in answers} == {"hello again"}
    # A good one goes all the way.
    number = deployed(daemon, "good again", config=quick)
    asked = iter(range(100_000))

    def served():
        predict(daemon, f"visitor {next(asked)}")
        return status(daemon, number)["status"] == "completed"

    wait_for(served)
    assert predict(daemon, "anybody")[1]["model_version"] == daemon.numbers["good again"]
    runs = call(daemon, f"/api/runs/{status(daemon, number)['run_id']}")[1]
    wait_for(lambda: call(daemon, f"/api/runs/{runs['run_id']}")[1]["state"] == "COMPLETED")


def side(*, ok=True, score=None, hard=False):
    error = None if ok else "broken"
    return Side(ok=ok, timed_out=False, invalid=False, ms=1.0, score=score, error=error, hard=hard)


def pairs(count, mine, theirs):
    return [Pair(request_id=str(n), champion=theirs, candidate=mine, agree=None) for n in range(count)]


@pytest.mark.parametrize(
    ("found", "worse"),
    [
        (pairs(30, side(), side()), False),
        (pairs(30, side(ok=False), side(ok=False)), False),
        (pairs(30, side(ok=False), side()), True),
        (pairs(30, side(), side(ok=False)), False),
        (pairs(3, side(ok=False), side()), False),
        (pairs(30, side(score=0.0), side(score=1.0)), True),
        (pairs(30, side(score=1.0), side(score=0.0)), False),
    ],
)
def test_pairs_of_recorded_requests_decide_where_they_differ(found, worse):
    assert tried(found).worse is worse


@pytest.mark.parametrize("before", [0, 30])
def test_a_hard_failure_at_one_recorded_request_is_enough(before):
    told = tried(pairs(before, side(), side()) + pairs(1, side(ok=False, hard=True), side()))
    assert (told.worse, told.message) == (True, "it failed for good at a recorded request: broken")


def test_too_few_pairs_say_nothing():
    assert tried(pairs(1, side(ok=False), side())) is None
