"""Copies a version, and the training that gave it, to an MLflow server, by its REST API 2.0.

A copy may be tried again at any place: what carries the version's own tag there already is found and not made twice.
MLflow's own client is not used: it is larger than all of this program. As that client does, it takes a token from
MLFLOW_TRACKING_TOKEN, or a name and a password from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
"""

import base64
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from overnight.base.config import Config
from overnight.base.errors import PermanentError, one_line
from overnight.base.files import to_json
from overnight.base.settings import environment
from overnight.db.database import Database
from overnight.engine import store as runs
from overnight.registry.registering import identity
from overnight.registry.versions import Version
from overnight.resources.probes.call import Refused, call

Json = dict[str, Any]  # Any: JSON
ANSWER_S = 10.0
ID, NUMBER = "overnight.id", "overnight.version"
"""Tags by which a copy is found."""
MOST_PARAMS = 100
"""Of one request; MLflow takes no more, and of metrics ten times as many."""
LONGEST = 500
"""Characters of a parameter or tag, which every version of MLflow takes."""
_KEY = re.compile(r"[^A-Za-z0-9_./ -]")
_FINAL = (400, 404, 405)
"""Answers that a further try would not change."""


def copy(config: Config, database: Database, version: Version) -> Json:
    """Copy the version and return what it is called there.

    Raises:
        TransientError: the server is away, or does not let this program in.
        PermanentError: it refuses what was sent; the message says why.
    """
    server = _Server(str(config.mlflow.tracking_uri).rstrip("/"), _headers())
    experiment = _experiment(server, config.mlflow.experiment or config.name)
    run_id = _run(server, experiment, config, database, version)
    number = _model_version(server, run_id, config, version)
    return {"run": run_id, "model": version.model, "version": number}


def _headers() -> dict[str, str]:
    known = environment()
    if token := known.get("MLFLOW_TRACKING_TOKEN"):
        return {"Authorization": f"Bearer {token}"}
    name, password = known.get("MLFLOW_TRACKING_USERNAME"), known.get("MLFLOW_TRACKING_PASSWORD")
    if name is None or password is None:
        return {}
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


@dataclass(frozen=True)
class _Server:
    """Where requests go."""

    url: str
    headers: Mapping[str, str]

    def ask(self, method: str, path: str, body: Json | None = None, *, but: str | None = None) -> Json | None:
        """Return the answer; None where it is the error code `but`."""
        try:
            text = call(method, f"{self.url}/api/2.0/mlflow/{path}", body, timeout_s=ANSWER_S, headers=self.headers)
        except Refused as error:
            told = _object(error.content)
            if but is not None and told.get("error_code") == but:
                return None
            if error.status in _FINAL:
                raise PermanentError(f"{error}: {one_line(told.get('message') or 'no reason given')}") from error
            raise
        return _object(text)

    def post(self, path: str, **body: Any) -> Json:  # Any: JSON
        """Return the answer to a POST."""
        found = self.ask("POST", path, body)
        assert found is not None
        return found


def _object(content: bytes) -> Json:
    try:
        found = json.loads(content or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _experiment(server: _Server, name: str) -> str:
    look = f"experiments/get-by-name?experiment_name={quote(name, safe='')}"
    found = server.ask("GET", look, but="RESOURCE_DOES_NOT_EXIST")
    if found is None:
        made = server.ask("POST", "experiments/create", {"name": name}, but="RESOURCE_ALREADY_EXISTS")
        # Another project may have been faster.
        return str(made["experiment_id"]) if made is not None else _experiment(server, name)
    return str(found["experiment"]["experiment_id"])


def _run(server: _Server, experiment: str, config: Config, database: Database, version: Version) -> str:
    """Return the id of the version's run there, with all that was measured."""
    own = identity(config.name, version)
    condition = f"tags.`{ID}` = '{own}'"
    found = server.post("runs/search", experiment_ids=[experiment], filter=condition, max_results=1).get("runs")
    begun_us, ended_us = _times(database, version)
    if found:
        run_id = str(found[0]["info"]["run_id"])
    else:
        made = server.post(
            "runs/create",
            experiment_id=experiment,
            run_name=f"{version.model} {version.number}",
            start_time=begun_us // 1000,
            tags=_pairs({ID: own}),
        )
        run_id = str(made["run"]["info"]["run_id"])
    at = {"timestamp": ended_us // 1000, "step": 0}
    metrics = [{"key": key, "value": value, **at} for key, value in _numbers("", version.metrics)]
    server.post("runs/log-batch", run_id=run_id, metrics=metrics[: 10 * MOST_PARAMS], tags=_pairs(_tags(version)))
    params = _pairs(dict(_texts("", version.signature)))
    for place in range(0, len(params), MOST_PARAMS):
        server.post("runs/log-batch", run_id=run_id, params=params[place : place + MOST_PARAMS])
    server.post("runs/update", run_id=run_id, status="FINISHED", end_time=ended_us // 1000)
    return run_id


def _times(database: Database, version: Version) -> tuple[int, int]:
    """Return when the training began and ended; of one of another project, when the version was made."""
    with database.read() as connection:
        found = {} if version.run_id is None else runs.by_ids(connection, [version.run_id])
    run = next(iter(found.values()), None)
    if run is None:
        return version.created_us, version.created_us
    return run.started_us or run.created_us, run.finished_us or version.created_us


def _tags(version: Version) -> dict[str, str]:
    told = {
        NUMBER: version.number,
        "overnight.run_id": version.run_id,
        "overnight.job_id": version.metrics.get("job_id"),
        "overnight.snapshot": version.snapshot_id,
        "overnight.verdict": version.verdict.get("decision"),
        "overnight.why": version.verdict.get("reason"),
        "mlflow.source.git.commit": version.code.get("commit"),
    }
    return {key: str(value) for key, value in told.items() if value is not None}


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value[:LONGEST]} for key, value in values.items()]


def _leaves(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        key = f"{prefix}.{name}" if prefix else name
        if isinstance(value, Mapping):
            yield from _leaves(key, value)
        else:
            yield _KEY.sub("_", key)[:250], value


def _numbers(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, float]]:
    for key, value in _leaves(prefix, values):
        if isinstance(value, int | float) and not isinstance(value, bool):
            yield key, float(value)


def _texts(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for key, value in _leaves(prefix, values):
        yield key, value if isinstance(value, str) else to_json(value)


def _model_version(server: _Server, run_id: str, config: Config, version: Version) -> str:
    """Return the number of the version there: MLflow counts 1, 2, 3, and has ours as a tag."""
    server.ask("POST", "registered-models/create", {"name": version.model}, but="RESOURCE_ALREADY_EXISTS")
    condition = f"run_id = '{run_id}'"
    look = f"model-versions/search?filter={quote(condition, safe='')}"
    found = (server.ask("GET", look) or {}).get("model_versions")
    if found:
        return str(found[0]["version"])
    made = server.post(
        "model-versions/create",
        name=version.model,
        # A name, no place: the files stay in the registry of the project.
        source=f"overnight://{quote(config.name, safe='')}/{quote(version.model, safe='')}/{version.number}",
        run_id=run_id,
        tags=_pairs({ID: identity(config.name, version), NUMBER: version.number}),
    )
    return str(made["model_version"]["version"])
