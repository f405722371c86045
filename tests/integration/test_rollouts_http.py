"""Rollouts over HTTP and from the command line, with a real daemon."""

import json
import urllib.error
import urllib.request

import pytest

from daemons import Daemon, wait_for
from overnight.app.project import Project
from overnight.registry import store
from overnight.registry.store import Candidate


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = Daemon(tmp_path_factory.mktemp("rollouts"))
    with Project.open(made.folder) as project:
        for run_id, serve in ((1, True), (2, False), (3, False)):
            manifest = {"model.npz": {"sha256": project.blobs.put(b"weights %d" % run_id), "size": 9}}
            candidate = Candidate(
                model="nlu", run_id=run_id, snapshot_id="0" * 64, manifest=manifest, signature={},
                metrics={}, verdict={},
            )  # fmt: skip
            project.database.writer.do(
                lambda tx, one=candidate, now=serve: store.register(tx, one, serve=now, why="test")
            )
    made.up()
    yield made
    made.end()


def call(daemon, path, body=None, headers=None):
    url = daemon.about["url"] + path
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers or {}, method="GET" if body is None else "POST")
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read() or b"null"), dict(answer.headers)
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null"), dict(error.headers)


def deploy(daemon, version, **options):
    code, body, _ = call(daemon, "/api/models/deploy", {"model_version": version, "model_type": "nlu", **options})
    assert code == 200, body
    number = body["deployment_id"]
    wait_for(lambda: call(daemon, f"/api/deployments/{number}")[1]["status"] != "pending")
    return number


def send(daemon, number, outcomes, version="v1.0.1"):
    told = [
        {"request_id": f"{number}-{place}", "key": f"user {place}", "version": version, "percentage": 10.0, **one}
        for place, one in enumerate(outcomes)
    ]
    return call(daemon, "/api/outcomes", {"batch_id": f"b{number}", "model_type": "nlu", "outcomes": told})[1]


def test_a_failing_version_is_taken_back_in_the_answer_to_its_outcomes(daemon):
    number = deploy(daemon, "v1.0.1", by="Ada")
    code, before, headers = call(daemon, "/api/routing")
    [split] = before["splits"]
    assert (code, split["champion"], split["candidate"], split["percentage"]) == (200, "v1.0.0", "v1.0.1", 10)
    assert call(daemon, "/api/routing", headers={"If-None-Match": headers["etag"]})[0] == 304
    answer = send(daemon, number, [{"ok": False}] * 6)
    assert (answer["accepted"], answer["duplicate"]) == (6, False)
    assert answer["etag"] != before["etag"], "who routes learns of it in the same answer"
    assert call(daemon, "/api/routing")[1]["splits"][0]["candidate"] is None
    body = call(daemon, f"/api/deployments/{number}")[1]
    assert (body["status"], body["current_percentage"], body["candidate_counts"]["errors"]) == ("rolled_back", 0, 6)
    assert body["guards"]["errors"]["e_value"] >= body["guards"]["errors"]["limit"] == 200
    decisions = call(daemon, f"/api/deployments/{number}/decisions")[1]["decisions"]
    assert [one["reason"] for one in decisions] == ["opened", "worse"]
    assert all(one["again"] for one in decisions)
    assert send(daemon, number, [{"ok": False}])["duplicate"] is True


@pytest.mark.parametrize(
    ("query", "code"), [("nlu:12", 200), ("nlu:0&routed=a:b:3", 200), ("nlu", 400), ("nlu:x", 400)]
)
def test_who_routes_tells_how_much_with_the_question(daemon, query, code):
    status, body, _ = call(daemon, f"/api/routing?routed={query}")
    assert status == code, body


def test_its_stream_tells_each_decision_and_ends(daemon):
    number = deploy(daemon, "v1.0.1")
    assert call(daemon, f"/api/deployments/{number}/pause", {})[1]["status"] == "paused"
    assert call(daemon, f"/api/deployments/{number}/resume?by=Ada", {})[1]["status"] == "running"
    assert call(daemon, f"/api/deployments/{number}/abort", {})[1]["status"] == "aborted"
    url = f"{daemon.about['url']}/api/deployments/{number}/stream"
    with urllib.request.urlopen(url, timeout=20) as stream:
        text = stream.read().decode()
    told = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: ")]
    assert [one["status"] for one in told] == ["running", "paused", "running", "aborted"]
    assert [one["by"] for one in told][2] == "Ada"
    last = [line[4:] for line in text.splitlines() if line.startswith("id: ")][-1]
    request = urllib.request.Request(url, headers={"Last-Event-ID": last})
    with urllib.request.urlopen(request, timeout=20) as stream:
        assert stream.status == 204


def test_promote_serves_and_rollback_goes_back(daemon):
    number = deploy(daemon, "v1.0.1", strategy="canary")
    assert call(daemon, f"/api/deployments/{number}/promote", {})[1]["status"] == "completed"
    assert call(daemon, "/api/routing")[1]["splits"][0]["champion"] == "v1.0.1"
    code, body, _ = call(daemon, "/api/models/rollback", {"model_type": "nlu"})
    assert (code, body["model_version"]) == (200, "v1.0.0")
    assert call(daemon, "/api/routing")[1]["splits"][0]["champion"] == "v1.0.0"


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        ({"model_type": "nlu", "model_version": "v9.0.0"}, 404, "there is no version 'v9.0.0' of model 'nlu'"),
        ({"model_type": "nlx", "model_version": "v1.0.1"}, 404, "did you mean nlu"),
        ({"model_type": "nlu", "model_version": "v1.0.0"}, 400, "serves already"),
        ({"model_type": "nlu", "model_version": "v1.0.1", "strategy": "sudden"}, 400, "strategy"),
        ({"model_type": "nlu", "model_version": "v1.0.1", "config": {"rollout_steps": [50, 10]}}, 400, "does not rise"),
        ({"model_type": "nlu", "model_version": "v1.0.1", "config": {"rollout_steps": [500]}}, 400, "not a percentage"),
    ],
)
def test_what_cannot_be_deployed_is_told(daemon, body, code, words):
    got, answer, _ = call(daemon, "/api/models/deploy", body)
    assert got == code
    assert words in json.dumps(answer)


def test_a_second_rollout_of_a_model_is_a_conflict_that_names_the_first(daemon):
    number = deploy(daemon, "v1.0.1")
    code, body, _ = call(daemon, "/api/models/deploy", {"model_type": "nlu", "model_version": "v1.0.2"})
    assert code == 409
    assert f"deployment {number} of nlu v1.0.1 is running at 10 %" in body["error"]
    assert call(daemon, f"/api/deployments/{number}/rollback", {})[1]["status"] == "rolled_back"
    assert call(daemon, f"/api/deployments/{number}/resume", {})[0] == 409
    assert call(daemon, "/api/deployments/999999")[0] == 404


def test_the_command_line_does_the_same(daemon):
    said = daemon.ok("deploy", "nlu", "v1.0.2", "--set", "rollout_steps=[5,100]", "--set", "min_requests=7")
    number = int(said.split(":")[0].removeprefix("deployment "))
    wait_for(lambda: json.loads(daemon.ok("rollout", "list", "--json"))[0]["status"] == "running")
    assert "5 %" in daemon.ok("rollout", "list", "--model", "nlu")
    assert "is paused at 5 %" in daemon.ok("rollout", "pause", str(number))
    assert "is running at 5 %" in daemon.ok("rollout", "resume", str(number))
    explained = daemon.ok("rollout", "explain", str(number))
    assert explained.count("decided again from this: the same") == 3
    assert "v1.0.0 serves" in daemon.ok("rollback", "nlu")
    watched = daemon.run("rollout", "watch", str(number))
    assert (watched.returncode, "rolled_back at 0 %" in watched.stdout) == (1, True)
    for words, code in (
        (("deploy", "nlu", "v1.0.2", "--set", "rubbish"), 2),
        (("deploy", "nlu", "v1.0.2", "--strategy", "sudden"), 2),
        (("rollout", "abort", str(number)), 2),
        (("rollout", "watch", "12345"), 2),
    ):
        done = daemon.run(*words)
        assert done.returncode == code
        assert done.stderr.startswith("overnight: ")
        assert done.stderr.count("\n") == 1
