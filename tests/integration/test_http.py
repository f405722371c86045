"""The HTTP API of a real daemon: what each operation answers, well and badly asked."""

import contextlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from daemons import wait_for
from http_daemon import TOML, ask, experiences, job, prepared
from overnight.registry.rollout import COMMANDS

ENDS = ("completed", "failed", "cancelled")
NAN = json.dumps(job(experiences=[{"input": 1, "expected_output": 2}])).replace("1,", "NaN,").encode()


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    made = prepared(tmp_path_factory.mktemp("http") / "p")
    try:
        made.up()
        yield made
    finally:
        made.end()


def status(daemon, job_id):
    return ask(daemon, "GET", f"/api/training/status/{job_id}")[1]


def ended(daemon, job_id):
    return wait_for(lambda: (found := status(daemon, job_id))["status"] in ENDS and found)


def test_a_job_is_started_and_its_status_tells_what_was_measured(daemon):
    code, said = ask(daemon, "POST", "/api/training/start", job(job_id="one", model_type="fresh"))
    assert (code, said) == (200, {"job_id": "one", "status": "started", "estimated_duration_seconds": None})
    found = ended(daemon, "one")
    assert (found["status"], found["epoch"], found["total_epochs"], found["error"]) == ("completed", 12, 12, None)
    assert found["loss"] > 0 and found["val_loss"] > 0 and found["metric"] == "R2" and 0 < found["val_metric"] <= 1
    assert found["accuracy"] is found["val_accuracy"] is None, "R2 is no accuracy"
    assert found["submitted_at"] < found["started_at"] < found["completed_at"]
    assert (
        ask(daemon, "POST", "/api/training/start", job(job_id="one", model_type="fresh", epochs=99))[1]["status"]
        == "started"
    )
    assert status(daemon, "one") == found, "the same id is the same job"
    second = ask(daemon, "POST", "/api/training/start", job(model_type="fresh", epochs=4))[1]
    assert second["job_id"].startswith("fresh-") and second["estimated_duration_seconds"] is None
    ended(daemon, second["job_id"])
    said = ask(daemon, "POST", "/api/training/start", job(model_type="fresh", epochs=4))[1]
    assert said["estimated_duration_seconds"] > 0, "known once two were recorded"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"", "JSON"),
        (b"{", "JSON"),
        (b"\xff{}", "JSON"),
        (b"[" * 100_000, "JSON"),
        ({}, "model_type"),
        (job(model_type="unknown"), "unknown"),
        (job(epochs=0), "epochs"),
        (job(epochs="3"), "epochs"),
        (job(epochs=10**30), "epochs"),
        (job(checkpoint_interval=0), "checkpoint_interval"),
        (job(priority="URGENT"), "priority"),
        (job(job_id="../x"), "job_id"),
        (job(job_id="a\0b"), "job_id"),
        (job(experiences=[]), "experiences"),
        (job(experiences=[1]), "experiences"),
        (job(experiences=[{"input": "x", "expected_output": 1}]), "experiences[0]: input"),
        (NAN, "experiences"),
        (job(strange=1), "strange"),
    ],
    ids=str,
)  # fmt: skip
def test_a_job_that_cannot_be_is_refused_with_the_place_and_the_reason(daemon, body, names):
    def known():
        return [one["job_id"] for one in ask(daemon, "GET", "/api/training/jobs?limit=1000")[1]["jobs"]]

    before = known()
    code, said = ask(daemon, "POST", "/api/training/start", body)
    assert code == 400 and set(said) == {"error", "details"}, said
    assert names in json.dumps(said)
    assert known() == before


def test_jobs_are_listed_by_state_and_model_type_a_page_at_a_time(daemon):
    for number in range(3):
        ask(daemon, "POST", "/api/training/start", job(job_id=f"page-{number}", epochs=1))
    ask(daemon, "POST", "/api/training/start", job(job_id="bad", model_type="bad"))
    for name in (*(f"page-{number}" for number in range(3)), "bad"):
        ended(daemon, name)
    names, cursor = [], None
    while True:
        path = "/api/training/jobs?state=completed&model_type=line&limit=2"
        said = ask(daemon, "GET", path + (f"&cursor={cursor}" if cursor else ""))[1]
        assert len(said["jobs"]) <= 2 and all(one["status"] == "completed" for one in said["jobs"])
        names += [one["job_id"] for one in said["jobs"]]
        cursor = said["next_cursor"]
        if cursor is None:
            break
    assert names[:3] == ["page-2", "page-1", "page-0"] and len(set(names)) == len(names)
    failed = ask(daemon, "GET", "/api/training/jobs?state=failed")[1]["jobs"]
    assert [one["job_id"] for one in failed] == ["bad"] and failed[0]["error"]
    assert ask(daemon, "GET", "/api/training/jobs?model_type=nobody")[1] == {"jobs": [], "next_cursor": None}
    for query in (
        "state=strange",
        "limit=0",
        "limit=1001",
        "cursor=x",
        "cursor=99999999999999999999",
        "model_type=%00",
    ):
        assert ask(daemon, "GET", f"/api/training/jobs?{query}")[0] == 400, query


def test_a_job_is_cancelled_once(daemon):
    ask(daemon, "POST", "/api/training/start", job(job_id="gone", model_type="slow", epochs=500))
    wait_for(lambda: status(daemon, "gone")["status"] == "training")
    code, said = ask(daemon, "POST", "/api/training/cancel/gone")
    assert code == 200 and said["job_id"] == "gone" and said["status"] in ("cancelling", "cancelled")
    assert ended(daemon, "gone")["status"] == "cancelled"
    assert ask(daemon, "POST", "/api/training/cancel/gone")[0] == 409
    assert "error" in ask(daemon, "POST", "/api/training/cancel/nobody")[1]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "/api/training/status/nobody", 404),
        ("POST", "/api/training/cancel/nobody", 404),
        ("GET", "/api/training/stream/nobody", 404),
        ("POST", "/api/tasks/nobody/run", 404),
        ("GET", "/api/runs/999999", 404),
        ("POST", "/api/runs/999999/cancel", 404),
        ("GET", "/api/runs/0", 400),
        ("GET", "/api/runs/99999999999999999999", 400),
        ("GET", "/api/runs?state=ODD", 400),
        ("GET", "/api/data/nothing", 404),
        ("GET", "/api/data/film?min_score=nan", 400),
        ("POST", "/api/harvest", 400),
        ("GET", "/api/nothing", 404),
        ("DELETE", "/health", 405),
    ],
)
def test_what_is_not_there_is_an_error_in_json(daemon, method, path, code):
    found, said = ask(daemon, method, path)
    assert found == code and isinstance(said["error"], str)


def test_tasks_run_and_runs_are_read_and_cancelled(daemon):
    assert {one["task_id"] for one in ask(daemon, "GET", "/api/tasks")[1]["tasks"]} == {"hello", "long"}
    run = ask(daemon, "POST", "/api/tasks/hello/run", {"key": "once"})[1]
    assert ask(daemon, "POST", "/api/tasks/hello/run", {"key": "once"})[1]["run_id"] == run["run_id"]
    wait_for(lambda: ask(daemon, "GET", f"/api/runs/{run['run_id']}")[1]["state"] == "COMPLETED")
    listed = ask(daemon, "GET", "/api/runs?task_id=hello&state=COMPLETED&limit=1")[1]
    assert [one["run_id"] for one in listed["runs"]] == [run["run_id"]]
    assert ask(daemon, "GET", f"/api/runs?task_id=hello&cursor={run['run_id']}")[1]["runs"] == []
    long = ask(daemon, "POST", "/api/tasks/long/run", {})[1]["run_id"]
    wait_for(lambda: ask(daemon, "GET", f"/api/runs/{long}")[1]["state"] == "IN_PROGRESS")
    assert ask(daemon, "POST", f"/api/runs/{long}/cancel")[0] == 200
    wait_for(lambda: ask(daemon, "GET", f"/api/runs/{long}")[1]["state"] == "CANCELLED")
    assert ask(daemon, "POST", f"/api/runs/{long}/cancel")[0] == 409
    assert ask(daemon, "POST", "/api/tasks/hello/run", {"args": {"x": 1}, "due": "tomorrow"})[0] == 400


def test_records_are_harvested_and_read(daemon):
    code, said = ask(daemon, "POST", "/api/harvest", {"type": "film", "force": False})
    assert (code, said["category"], said["records"]) == (200, "film", 3)
    found = ask(daemon, "GET", "/api/data/film?limit=2&max_age_hours=1")[1]
    assert (found["total"], len(found["records"]), found["snapshot"]) == (3, 2, said["snapshot"])
    assert ask(daemon, "GET", "/api/data/film?max_age_hours=0")[1]["total"] <= 3
    assert ask(daemon, "GET", "/api/data/film?min_score=10")[1]["total"] < 3
    [stands] = ask(daemon, "GET", "/api/harvest/stats")[1]["categories"]
    assert stands["category"] == "film" and stands["sources"][0]["source"] == "films"
    assert ask(daemon, "POST", "/api/harvest", {"type": "nothing"})[0] == 404
    assert ask(daemon, "POST", "/api/harvest", {"type": "film", "force": "yes"})[0] == 400


def test_health_resources_and_the_state_file_agree(daemon):
    for state in ("queued", "preparing", "training"):  # what other tests have left
        for one in ask(daemon, "GET", f"/api/training/jobs?state={state}")[1]["jobs"]:
            ask(daemon, "POST", f"/api/training/cancel/{one['job_id']}")
    wait_for(lambda: daemon.health()["active_training_jobs"] == 0)
    ask(daemon, "POST", "/api/training/start", job(job_id="watched", model_type="slow", epochs=500))
    path = daemon.state / "server_state.json"
    state = wait_for(lambda: (found := json.loads(path.read_text()))["status"] == "busy" and found)
    assert set(state) == {
        "status", "last_update", "active_training_jobs", "memory_usage_gb", "cpu_percent", "models_deployed",
        "last_heartbeat",
    }  # fmt: skip
    assert state["active_training_jobs"] == 1 and state["memory_usage_gb"] > 0 and 0 <= state["cpu_percent"] <= 100
    health = daemon.health()
    assert set(health) == {
        "status", "uptime_seconds", "last_decision_age_s", "queue", "active_training_jobs", "experience_buffer_size",
        "models_deployed", "problems",
    }  # fmt: skip
    assert health["active_training_jobs"] == 1
    code, found = ask(daemon, "GET", "/api/resources")
    assert code == 200 and found["active_training_jobs"] == 1 and found["gpu_memory_gb"] is None
    assert 0 < found["memory_usage_gb"] < found["memory_total_gb"]
    ask(daemon, "POST", "/api/training/cancel/watched")
    later = wait_for(lambda: (found := json.loads(path.read_text()))["status"] == "healthy" and found)
    assert later["last_update"] > state["last_update"] and later["last_heartbeat"] >= later["last_update"]


def test_other_names_and_other_pages_are_refused(daemon):
    host = daemon.about["url"].removeprefix("http://")
    assert ask(daemon, "GET", "/api/tasks", headers={"Host": "evil.example"})[0] == 421
    assert ask(daemon, "GET", "/api/tasks", headers={"Origin": "http://evil.example"})[0] == 403
    assert ask(daemon, "POST", "/api/tasks/hello/run", {}, {"Origin": "null"})[0] == 403
    assert ask(daemon, "GET", "/api/tasks", headers={"Origin": f"http://{host}"})[0] == 200


def test_a_fault_of_the_program_shows_nobody_where_it_stands(daemon):
    # A snapshot whose blob is gone: nothing that who asks has done wrong.
    ask(daemon, "POST", "/api/harvest", {"type": "film"})
    snapshot = ask(daemon, "GET", "/api/data/film")[1]["snapshot"]
    files = (path for path in (daemon.state / "blobs").rglob("*") if path.is_file())
    [blob] = [path for path in files if snapshot in "".join(path.parts)]
    content = blob.read_bytes()
    blob.chmod(0o644)
    blob.write_bytes(b"broken")
    try:
        assert ask(daemon, "GET", "/api/data/film") == (500, {"error": "internal error; see the log"})
    finally:
        blob.write_bytes(content)
    assert "event=request_failed method=GET path='/api/data/film'" in daemon.log() and "Traceback" in daemon.log()


@contextlib.contextmanager
def limited(folder, limits):
    """A daemon of tight limits."""
    made = prepared(folder / "p")
    exclusive = TOML.replace("[training]", "[training]\nexclusive = true\nmax_queue = 2\nslot_wait_s = 1")
    name = f'[project]\nname = "{folder.name}"\n'
    (made.folder / "overnight.toml").write_text(f"[server]\nport = 0\n{limits}{name}{exclusive}")
    try:
        made.up()
        yield made
    finally:
        made.end()


@pytest.fixture(scope="module")
def strict(tmp_path_factory):
    """A daemon that takes little at a time."""
    with limited(tmp_path_factory.mktemp("strict"), "max_body_mb = 0.01\nconnections = 5\n") as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("announced", "sent"),
    [("Content-Length: 999999", b""), ("Transfer-Encoding: chunked", b"3e80\r\n%s\r\n" % bytes(16000))],
)
def test_a_body_that_is_too_large_is_refused_before_and_while_it_is_read(strict, announced, sent):
    host, _, port = strict.about["url"].removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as sender:
        sender.sendall(f"POST /api/training/start HTTP/1.1\r\nHost: localhost\r\n{announced}\r\n\r\n".encode() + sent)
        answer = b""
        while b"server.max_body_mb" not in answer and (piece := sender.recv(4096)):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 413") and b"server.max_body_mb" in answer


def test_more_streams_than_may_be_open_are_refused_and_health_answers_all_the_same(strict):
    host, _, port = strict.about["url"].removeprefix("http://").partition(":")
    readers = []
    try:
        for _ in range(5):
            reader = socket.create_connection((host, int(port)), timeout=10)
            readers.append(reader)
            reader.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert reader.recv(12) == b"HTTP/1.1 200"
        code, said = ask(strict, "GET", "/api/tasks")
        assert code == 503 and "server.connections" in said["error"]
        assert ask(strict, "GET", "/health")[0] == 200
    finally:
        for reader in readers:
            reader.close()
    wait_for(lambda: ask(strict, "GET", "/api/tasks")[0] == 200)


def test_who_asks_too_often_waits_and_is_then_answered(tmp_path):
    with limited(tmp_path, "requests_per_s = 5\n") as daemon:
        with ThreadPoolExecutor(4) as pool:
            codes = list(pool.map(lambda _: ask(daemon, "GET", "/api/tasks")[0], range(120)))
        assert {200, 429} >= set(codes) and codes.count(429) > 20 and codes.count(200) >= 10
        assert ask(daemon, "GET", "/health")[0] == 200
        wait_for(lambda: ask(daemon, "GET", "/api/tasks")[0] == 200, 5)


def test_a_full_queue_of_exclusive_jobs_says_who_trains_and_when_to_come_again(strict):
    def start(name, **more):
        body = job(job_id=name, model_type="slow", epochs=500, experiences=experiences(20), **more)
        return ask(strict, "POST", "/api/training/start", body)

    assert start("first")[1]["status"] == "started"
    wait_for(lambda: status(strict, "first").get("time_left_s"))
    before = time.monotonic()
    assert [start(name)[1]["status"] for name in ("second", "third")] == ["queued", "queued"]
    assert time.monotonic() - before < 5
    code, said = start("fourth")
    assert code == 503 and set(said) == {"error", "active_job_id", "retry_after_seconds"}
    assert said["active_job_id"] == "first" and said["retry_after_seconds"] >= 1
    assert start("second")[0] == 200, "a job that is known is no further one"
    assert ask(strict, "GET", "/api/training/status/fourth")[0] == 404


def test_open_api_describes_every_operation(daemon):
    code, document = ask(daemon, "GET", "/openapi.json")
    assert code == 200 and document["openapi"].startswith("3.1")
    operations = {(method.upper(), path) for path, of in document["paths"].items() for method in of}
    assert operations == {
        ("POST", "/api/training/start"), ("GET", "/api/training/stream/{job_id}"),
        ("GET", "/api/training/status/{job_id}"), ("POST", "/api/training/cancel/{job_id}"),
        ("GET", "/api/training/jobs"), ("GET", "/health"), ("GET", "/api/resources"), ("GET", "/metrics"),
        ("GET", "/api/tasks"), ("GET", "/api/runs"), ("GET", "/api/runs/{run_id}"),
        ("POST", "/api/tasks/{task_id}/run"), ("POST", "/api/runs/{run_id}/cancel"), ("GET", "/api/events"),
        ("POST", "/api/harvest"), ("GET", "/api/data/{type}"), ("GET", "/api/harvest/stats"),
        ("POST", "/api/experiences"), ("POST", "/api/models/{type}/predict"), ("POST", "/api/models/deploy"),
        ("POST", "/api/models/rollback"), ("GET", "/api/models"), ("GET", "/api/models/{model_type}"),
        ("GET", "/api/deployments"), ("GET", "/api/deployments/{deployment_id}"),
        ("GET", "/api/deployments/{deployment_id}/decisions"), ("GET", "/api/deployments/{deployment_id}/stream"),
        *(("POST", f"/api/deployments/{{deployment_id}}/{what}") for what in COMMANDS),
        ("GET", "/api/routing"), ("POST", "/api/outcomes"),
        ("GET", "/api/learning"), ("GET", "/api/learning/predict"), ("POST", "/api/learning/outcomes"),
            ("GET", "/api/loop"), ("GET", "/api/services"), ("POST", "/api/services/{name}/{what}"),
    }  # fmt: skip
    start = document["paths"]["/api/training/start"]["post"]
    names = start["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert set(names["experiences"]["items"]["properties"]) >= {"type", "input", "expected_output", "actual_output"}


def test_outcomes_come_in_and_are_predicted_from_and_the_strategies_are_told(daemon):
    one = {"type": "code_api", "success": True, "agent": "coder", "id": "a1"}
    sent = {"outcomes": [one, {**one, "success": 0.5, "id": "a2"}]}
    assert ask(daemon, "POST", "/api/learning/outcomes", sent) == (200, {"new": 2, "known": 0})
    assert ask(daemon, "POST", "/api/learning/outcomes", sent) == (200, {"new": 0, "known": 2})
    code, said = ask(daemon, "POST", "/api/learning/outcomes", {"outcomes": [{**one, "id": "a3"}, {"type": "x"}]})
    assert code == 400 and "outcomes[1]" in said["error"]
    for change in ({"time_s": 10**400}, {"features": {"x": 10**400}}, {"timestamp": "2999-01-01T00:00:00Z"}):
        code, said = ask(daemon, "POST", "/api/learning/outcomes", {"outcomes": [{**one, "id": "a3", **change}]})
        assert code == 400 and "outcomes[0]: " in said["error"], said
    assert ask(daemon, "POST", "/api/learning/outcomes", {"outcomes": [{**one, "type": "\ud800"}]})[0] == 400
    code, found = ask(daemon, "GET", "/api/learning/predict?type=code_api&agent=coder")
    assert (code, found["n"], found["success_rate"]) == (200, 2, 0.75), "of the others none was taken"
    code, said = ask(daemon, "GET", "/api/learning/predict?type=code_appi")
    assert code == 404 and "did you mean code_api" in said["error"]
    code, found = ask(daemon, "GET", "/api/learning")
    assert code == 200 and found["default"] == {"strategy": "balanced", "why": "the default of the settings"}
    assert found["strategies"]["balanced"]["measured"] is False, "an outcome is no exercise"
