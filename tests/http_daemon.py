"""A daemon that trains lines through points, and what its HTTP API answers."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from daemons import Daemon
from small_trainer import points

TOML = """
[engine]
grace_s = 5
[engine.retry]
base_s = 0.05

[training]
validation = 0.3

[training.models.line]
trainer = "small_trainer:Line"
memory_gb = 0.5

[training.models.fresh]
trainer = "small_trainer:Line"
memory_gb = 0.5

[training.models.slow]
trainer = "small_trainer:Line"
memory_gb = 0.5
settings = { pause_s = 0.02 }

[training.models.bad]
trainer = "small_trainer:Line"
memory_gb = 0.5
settings = { bad_epoch = 2 }

[sources.films]
kind = "csv"
path = "films.csv"
category = "film"

[tasks.hello]
action = ["true"]

[tasks.long]
action = ["sleep", "60"]
"""
FILMS = "title,views\nA Trip to the Moon,12\nMetropolis,40\nM,7\n"


def prepared(folder: Path, toml: str = TOML) -> Daemon:
    """Return a daemon that is not up yet."""
    made = Daemon(folder, toml)
    (folder / "small_trainer.py").write_text((Path(__file__).parent / "small_trainer.py").read_text())
    (folder / "films.csv").write_text(FILMS)
    return made


def experiences(count: int = 40) -> list[dict[str, Any]]:
    return [{"type": "point", "success": True, "confidence": 0.9, **one} for one in points(count)]


def job(**changes: Any) -> dict[str, Any]:
    """Return the body of a job."""
    body = {
        "model_type": "line", "experiences": experiences(), "epochs": 12,
        "checkpoint_enabled": True, "checkpoint_interval": 4,
    }  # fmt: skip
    return {name: value for name, value in {**body, **changes}.items() if value is not None}


def ask(
    daemon: Daemon, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    """Return the code and the JSON of an answer."""
    content = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(daemon.about["url"] + path, content, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"null")
