"""A version is copied to MLflow once, however often it is tried, by the protocol that a real server speaks.

The server here answers as MLflow 3.17 did; with OVERNIGHT_TEST_MLFLOW (the program `mlflow`) a real one answers too.
"""

import json
import os
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from overnight.app import mlflow
from overnight.app.registering import MLFLOW
from overnight.base.errors import PermanentError, TransientError
from overnight.engine.model import State
from overnight.registry.store import Candidate
from overnight.testing.bench import Bench

REAL = os.environ.get("OVERNIGHT_TEST_MLFLOW")


class Refusal(Exception):
    pass


class Recorded:
    """What MLflow's REST API does, as far as it is asked here."""

    def __init__(self) -> None:
        self.experiments: dict[str, str] = {}
        self.runs: list[dict] = []
        self.models: dict[str, list[dict]] = {}
        self.break_at: str | None = None
        """Fail the first request to this path, after it has taken effect."""
        self.headers: list[dict[str, str]] = []

    def answer(self, path, body, query):
        name = path.removeprefix("/api/2.0/mlflow/").replace("/", "_").replace("-", "_")
        return getattr(self, name)(body, {key: values[0] for key, values in query.items()})

    def experiments_get_by_name(self, body, query):
        if query["experiment_name"] not in self.experiments:
            raise Refusal(404, "RESOURCE_DOES_NOT_EXIST")
        return {"experiment": {"experiment_id": self.experiments[query["experiment_name"]]}}

    def experiments_create(self, body, query):
        if body["name"] in self.experiments:
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS")
        self.experiments[body["name"]] = str(len(self.experiments) + 1)
        return {"experiment_id": self.experiments[body["name"]]}

    def runs_search(self, body, query):
        wanted = body["filter"].partition(" = ")[2].strip("'").replace("\\'", "'")
        found = [run for run in self.runs if run["tags"].get("overnight.id") == wanted]
        return {"runs": [self._run(run) for run in found][: body["max_results"]]} if found else {}

    def runs_create(self, body, query):
        tags = {one["key"]: one["value"] for one in body["tags"]}
        self.runs.append(
            {"id": f"r{len(self.runs)}", "name": body["run_name"], "tags": tags, "metrics": {}, "params": {}}
        )
        return {"run": self._run(self.runs[-1])}

    def runs_get(self, body, query):
        return {"run": self._run(next(run for run in self.runs if run["id"] == query["run_id"]))}

    def _run(self, run):
        data = {
            part: [{"key": key, "value": value} for key, value in run[part].items()]
            for part in ("tags", "metrics", "params")
        }
        return {
            "info": {"run_id": run["id"], "run_name": run["name"], "status": run.get("status", "RUNNING")},
            "data": data,
        }

    def runs_log_batch(self, body, query):
        run = next(run for run in self.runs if run["id"] == body["run_id"])
        for part in ("metrics", "params", "tags"):
            for one in body.get(part, []):
                if part == "params" and run[part].get(one["key"], one["value"]) != one["value"]:
                    raise Refusal(400, "INVALID_PARAMETER_VALUE")
                run[part][one["key"]] = one["value"]
        if len(body.get("params", [])) > 100:
            raise Refusal(400, "INVALID_PARAMETER_VALUE")
        return {}

    def runs_update(self, body, query):
        next(run for run in self.runs if run["id"] == body["run_id"])["status"] = body["status"]
        return {}

    def registered_models_create(self, body, query):
        if body["name"] in self.models:
            raise Refusal(400, "RESOURCE_ALREADY_EXISTS")
        self.models[body["name"]] = []
        return {}

    def model_versions_create(self, body, query):
        if body["source"].startswith("file:"):
            raise Refusal(400, "INVALID_PARAMETER_VALUE")
        versions = self.models[body["name"]]
        versions.append({**body, "version": str(len(versions) + 1)})
        return {"model_version": versions[-1]}

    def model_versions_search(self, body, query):
        wanted = query["filter"].partition(" = ")[2].strip("'")
        key = "run_id" if query["filter"].startswith("run_id") else "name"
        found = [one for versions in self.models.values() for one in versions if one[key] == wanted]
        return {"model_versions": found} if found else {}


@contextmanager
def recorded() -> Iterator[tuple[str, Recorded]]:
    api = Recorded()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            self._answer(json.loads(self.rfile.read(length)) if length else {})

        def do_GET(self) -> None:
            self._answer({})

        def _answer(self, body: dict) -> None:
            api.headers.append(dict(self.headers))
            parts = urlsplit(self.path)
            try:
                status, told = 200, api.answer(parts.path, body, parse_qs(parts.query))
            except Refusal as error:
                status, told = error.args[0], {"error_code": error.args[1], "message": "so it is"}
            if api.break_at is not None and parts.path.endswith(api.break_at):
                api.break_at, status = None, 503
            content = json.dumps(told).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", api
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def real(folder) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = f"sqlite:///{folder / 'mlflow.db'}"
    argv = [str(REAL), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    argv += ["--backend-store-uri", place, "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "mlflow.log").open("wb") as log:
        child = subprocess.Popen(argv, stdout=log, stderr=log, start_new_session=True)
    try:
        until = time.monotonic() + 100
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert child.poll() is None and time.monotonic() < until, (folder / "mlflow.log").read_text()
                time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(child.pid, 15)
        child.wait(30)


@pytest.fixture(scope="module", params=["recorded", *(["real"] if REAL else [])])
def url(request, tmp_path_factory) -> Iterator[str]:
    if request.param == "real":
        with real(tmp_path_factory.mktemp("mlflow")) as found:
            yield found
    else:
        with recorded() as (found, _):
            yield found


def bench_of(folder, url, name="films"):
    folder.mkdir()
    (folder / "overnight.toml").write_text(f'[project]\nname = "{name}"\n[mlflow]\ntracking_uri = "{url}"\n')
    return Bench(folder, f"sqlite:///{folder / 'db'}")


def register(bench, run_id=1, model="nlu", **changes):
    values = {
        "model": model,
        "run_id": run_id,
        "snapshot_id": "ab" * 32,
        "manifest": {},
        "signature": {
            "trainer": "nlu:Nlu",
            "settings": {"rate": 0.5, **{f"s{number}": number for number in range(120)}},
            "outputs": {"type": "class", "classes": [f"intent {number}" for number in range(300)]},
        },
        "metrics": {
            "metric": "accuracy",
            "figures": {"val_metric": 0.875, "loss": 0.25},
            "job_id": "j",
            "odd (key)": 1,
        },
        "verdict": {"decision": "ACCEPT", "reason": "it's better"},
        "code": {"commit": "c" * 40},
        **changes,
    }
    registry = bench.project.trainings.registry
    database = bench.project.database
    return database.writer.do(lambda tx: registry.register(tx, Candidate(**values), serve=False, why=""))


def ask(url, path):
    with urllib.request.urlopen(f"{url}/api/2.0/mlflow/{path}", timeout=20) as answer:
        return json.loads(answer.read())


def pairs(rows):
    return {one["key"]: one["value"] for one in rows}


def test_a_version_is_copied_with_its_run_metrics_parameters_and_trace(tmp_path, url):
    with bench_of(tmp_path / "p", url, name="it's films") as bench:
        register(bench)
        [run] = bench.project.runs(task_id=MLFLOW)
        bench.work_until(lambda: bench.state(run.run_id).final)
        assert bench.state(run.run_id) is State.COMPLETED, bench.get(run.run_id).error
        made = bench.result(run.run_id)
        again = mlflow.copy(bench.project.config, bench.project.database, bench.project.model_version("nlu"))
        assert again == made
        second = register(bench, run_id=2)
        assert mlflow.copy(bench.project.config, bench.project.database, second)["version"] == "2"
    found = ask(url, f"runs/get?run_id={made['run']}")["run"]
    assert (found["info"]["run_name"], found["info"]["status"]) == ("nlu v1.0.0", "FINISHED")
    metrics, params = pairs(found["data"]["metrics"]), pairs(found["data"]["params"])
    tags = pairs(found["data"]["tags"])
    assert metrics == {"figures.val_metric": 0.875, "figures.loss": 0.25, "odd _key_": 1.0}
    assert (params["trainer"], params["settings.rate"], params["settings.s119"]) == ("nlu:Nlu", "0.5", "119")
    assert params["outputs.classes"].startswith('["intent 0",') and len(params) == 124
    assert (tags["overnight.version"], tags["overnight.run_id"], tags["overnight.job_id"]) == ("v1.0.0", "1", "j")
    assert (tags["overnight.verdict"], tags["mlflow.source.git.commit"]) == ("ACCEPT", "c" * 40)
    [version] = ask(url, "model-versions/search?filter=run_id%20%3D%20%27" + made["run"] + "%27")["model_versions"]
    assert (version["name"], version["version"]) == ("nlu", "1")
    assert version["source"] == "overnight://it%27s%20films/nlu/v1.0.0"
    assert pairs(version["tags"])["overnight.version"] == "v1.0.0"


@pytest.mark.parametrize(
    "path", ["experiments/create", "runs/create", "log-batch", "registered-models/create", "model-versions/create"]
)
def test_a_copy_that_broke_off_anywhere_is_finished_and_not_made_twice(tmp_path, path):
    with recorded() as (url, api), bench_of(tmp_path / "p", url) as bench:
        api.break_at = path
        version = register(bench)
        with pytest.raises(TransientError, match="answered 503"):
            mlflow.copy(bench.project.config, bench.project.database, version)
        mlflow.copy(bench.project.config, bench.project.database, version)
        assert len(api.runs) == 1 and api.runs[0]["status"] == "FINISHED"
        assert [one["version"] for one in api.models["nlu"]] == ["1"] and list(api.experiments) == ["films"]


def test_a_refusal_is_final_and_says_why(tmp_path):
    with recorded() as (url, api), bench_of(tmp_path / "p", url) as bench:
        version = register(bench)
        mlflow.copy(bench.project.config, bench.project.database, version)
        api.runs[0]["params"]["trainer"] = "another"
        with pytest.raises(PermanentError, match="answered 400: so it is"):
            mlflow.copy(bench.project.config, bench.project.database, version)


def test_who_it_is_is_told_as_mlflow_wants_it(tmp_path, monkeypatch):
    with recorded() as (url, api), bench_of(tmp_path / "p", url) as bench:
        version = register(bench)
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ada")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
        mlflow.copy(bench.project.config, bench.project.database, version)
        assert {one["Authorization"] for one in api.headers} == {"Basic YWRhOng="}
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
        mlflow.copy(bench.project.config, bench.project.database, version)
        assert api.headers[-1]["Authorization"] == "Bearer secret"


def test_without_a_server_nothing_is_copied_and_away_it_is_tried_again(tmp_path):
    with Bench(tmp_path / "none", f"sqlite:///{tmp_path / 'db'}") as bench:
        register(bench)
        assert bench.project.runs() == []
    with recorded() as (url, _):
        pass
    with bench_of(tmp_path / "p", url) as bench:
        register(bench)
        [run] = bench.project.runs(task_id=MLFLOW)
        bench.work_until(lambda: bench.state(run.run_id) is State.RETRYING)
        assert "nobody answers there" in bench.get(run.run_id).error.message
