"""The registry of a project: where the files of its versions go, which code trained them, who is told of a new one.

Who is told gets a run of a task, which is recorded with the version in one transaction, tried again by the rules of the
engine, and shown as any other: registering waits for nobody.
"""

import base64
import hashlib
import hmac
from binascii import Error as NotBase64
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from overnight.base.config import Config
from overnight.base.errors import InvalidTransition, TransientError, UserMistake
from overnight.base.files import to_json
from overnight.base.instants import US, iso
from overnight.base.settings import environment
from overnight.db.blobs import Blobs, check_root
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine.model import BUILT_IN, Task
from overnight.engine.submit import Request, submit
from overnight.registry import store
from overnight.registry.registering import Registry, identity
from overnight.registry.store import GATE
from overnight.registry.versions import Version

WEBHOOK, MLFLOW = "overnight:webhook", "overnight:mlflow"
"""Names that no project is likely to give to tasks of its own."""
TRIES = 12
"""Further tries, which by the defaults reach over seven hours."""
ANSWER_S = 10.0
_GIT_S = 10.0
Json = dict[str, Any]  # Any: JSON


def artifacts_of(config: Config, blobs: Blobs) -> Blobs:
    """Return where the files of versions are kept: where the settings say, else with the project's own blobs.

    Raises:
        ConfigError, MissingExtra: they name a place that cannot be used.
    """
    storage = config.registry.storage
    if storage is None:
        return blobs
    check_root(storage, "registry.storage")
    return Blobs(storage if "://" in storage else str(config.project_dir / storage))


def registry_of(config: Config, artifacts: Blobs) -> Registry:
    """Return the registry of the project with these settings."""
    wanted = [name for name, url in _addresses(config).items() if url is not None]

    def told(tx: Tx, version: Version, serves: bool) -> None:
        args = to_json({"version_id": version.version_id, "serves": serves})
        submit(tx, [Request(task_id=name, args=args, key=f"{name} {version.version_id}") for name in wanted])
        tx.news = tx.news or bool(wanted)

    # What proves and rolls out is loaded when a version is registered.
    def strategy(model: str) -> str | None:
        from overnight.app import beginning

        return beginning.strategy_of(config, model)

    def begin(tx: Tx, version: Version, strategy: str) -> None:
        from overnight.app import beginning

        try:
            beginning.begin(tx, version, beginning.plan_for(config, version.model, strategy, {}), GATE)
        except InvalidTransition as error:
            # Another one is on its way; a person can roll this one out after it.
            why = {"event": "not_deployed", "model": version.model, "version": version.number, "reason": str(error)}
            tx.emit(why)

    return Registry(
        blobs=artifacts,
        code=lambda: code_of(config.project_dir),
        told=told,
        strategy=strategy,
        begin=begin,
    )


def _addresses(config: Config) -> dict[str, str | None]:
    return {WEBHOOK: config.registry.webhook_url, MLFLOW: config.mlflow.tracking_uri}


def code_of(folder: Path) -> Json:
    """Return the version of the program, and of the project the commit, and whether files differ from it.

    Both are None where the project is in no Git repository, or Git is not there.
    """
    said = ""
    if any((place / ".git").exists() for place in (folder, *folder.parents)):
        from overnight.processes.call import CallFailed, call

        argv = ["git", "-C", str(folder), "describe", "--always", "--abbrev=40", "--dirty", "--exclude", "*"]
        try:
            said = call(argv, env=environment(), timeout_s=_GIT_S)
        except (CallFailed, OSError):
            said = ""
    commit, _, dirty = said.partition("-")
    known = len(commit) >= 40 and set(commit) <= set("0123456789abcdef")
    version = str(import_module("overnight").__version__)
    return {"overnight": version, "commit": commit if known else None, "changed": bool(dirty) if known else None}


def tasks(config: Config, database: Database) -> list[Task]:
    """Return the tasks in which others are told of a new version, as far as the settings name some.

    Raises:
        ConfigError: an address is none.
    """

    def post(version_id: int, serves: bool) -> Json:
        return _post(config, database, _version(database, version_id), serves)

    def copy(version_id: int, serves: bool) -> Json:
        from overnight.app import mlflow

        return mlflow.copy(config, database, _version(database, version_id))

    found = []
    for key, name, action in (("registry.webhook_url", WEBHOOK, post), ("mlflow.tracking_uri", MLFLOW, copy)):
        url = _addresses(config)[name]
        if url is not None:
            from overnight.resources.probes.call import parsed

            parsed(url, key)
            found.append(Task(task_id=name, action=action, executor="thread", max_retries=TRIES, tags=(BUILT_IN,)))
    return found


def _version(database: Database, version_id: int) -> Version:
    with database.read() as connection:
        found = store.of_id(connection, version_id)
    assert found is not None, "versions are never removed"
    return found


def _post(config: Config, database: Database, version: Version, serves: bool) -> Json:
    """Tell the address of the settings of a version; the id of the message is the same for every try.

    Raises:
        TransientError: it did not answer with a 2xx, or the secret is not set.
    """
    from overnight.resources.probes.call import call

    settings = config.registry
    message_id = f"msg_{identity(config.name, version)}"
    message = {
        "event": "model_ready",
        "id": message_id,
        "project": config.name,
        "model": version.model,
        "version": version.number,
        "serves": serves,
        "created": iso(version.created_us),
    }
    body = to_json(message).encode()
    secret = environment().get(settings.webhook_signed_with)
    if not secret:
        raise TransientError(
            f"the webhook cannot be signed: the variable {settings.webhook_signed_with} "
            f"(registry.webhook_signed_with) is not set where the daemon runs"
        )
    headers = signed(body, message_id, database.clock.now_us() // US, secret)
    call("POST", str(settings.webhook_url), body, timeout_s=ANSWER_S, headers=headers)
    return {"id": message_id}


def signed(body: bytes, message_id: str, at_s: int, secret: str) -> Mapping[str, str]:
    """Return the headers of a signed message, as https://www.standardwebhooks.com (symmetric, version 1) has them.

    A secret that begins with "whsec_" is Base64 behind that; any other is taken as it is.
    """
    key = secret.encode()
    if secret.startswith("whsec_"):
        try:
            key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
        except NotBase64 as error:
            raise UserMistake("the secret of the webhook begins with whsec_, but is not Base64 behind it") from error
    content = b".".join((message_id.encode(), str(at_s).encode(), body))
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(at_s), "webhook-signature": f"v1,{signature}"}
