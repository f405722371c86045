"""Versions of a model that draws lines (`small_trainer:Line`), put into a project's registry without a training."""

import json
import tempfile
from pathlib import Path

from overnight.registry.store import Candidate, register

TRAINER = "small_trainer:Line"


def add_version(project, slope, *, model="line", serve=False, run_id=None, content=None, trainer=TRAINER, **signature):
    """Register y = slope x and return its number."""
    with tempfile.TemporaryDirectory() as folder:
        made = json.dumps({"weights": [slope, 0.0], "steps": 1}) if content is None else content
        Path(folder, "line.json").write_text(made)
        manifest = project.blobs.put_folder(Path(folder))
    with project.database.read() as connection:
        from overnight.registry.tables import versions

        count = len(connection.execute(versions.select()).fetchall())
    candidate = Candidate(
        model=model,
        run_id=run_id or 1_000_000 + count,
        snapshot_id="none",
        manifest=manifest,
        signature={"trainer": trainer, "settings": {}, **signature},
        metrics={},
        verdict={"decision": None, "reason": "made by a test"},
    )
    made = project.database.writer.do(lambda tx: register(tx, candidate, serve=serve, why="a test"))
    return made.number
