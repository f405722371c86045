"""A trainer that fills its disk: a small filesystem of its own, under the folder of its job, in a real daemon."""

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from daemons import Daemon, wait_for
from http_daemon import ask, job, prepared
from overnight import Project
from overnight.registry import store as registry
from overnight.training.checkpoints import Checkpoints, Place

TOML = """
[engine]
disk_reserve_gb = 0

[engine.retry]
base_s = 0.2
factor = 1

[training]
validation = 0.3
max_retries = 8

[training.models.line]
trainer = "small_trainer:Line"

[training.models.full]
trainer = "small_trainer:Line"
settings = { full_epoch = 7, fills = ".overnight/checkpoints/full/ballast" }

[training.models.freed]
trainer = "small_trainer:Line"
settings = { full_epoch = 7, fills = ".overnight/checkpoints/freed/ballast" }
"""
SMALL = ("full", "freed")
"""The jobs whose folder is a disk of 128 KiB."""
IN_NAMESPACES = ("unshare", "--user", "--map-root-user", "--mount", "sh", "-c")


@pytest.fixture
def daemon(tmp_path):
    """A daemon that sees the small disks; where the kernel lets nobody mount one, there is nothing to test."""
    made = prepared(tmp_path / "project", TOML)
    folders = [made.state / "checkpoints" / name for name in SMALL]
    for folder in folders:
        folder.mkdir(parents=True)
    mounts = "".join(f"mount -t tmpfs -o size=128k none {shlex.quote(str(folder))} && " for folder in folders)
    tried = subprocess.run([*IN_NAMESPACES, f"{mounts}true"], capture_output=True, text=True)
    if tried.returncode:
        pytest.skip(f"no filesystem can be mounted here: {tried.stderr.strip()}")
    words = [sys.executable, "-m", "overnight", "--project", str(made.folder), "up"]
    try:
        subprocess.run([*IN_NAMESPACES, mounts + shlex.join(words)], check=True, capture_output=True, text=True)
        yield made
    finally:
        made.end()


def seen_by(daemon: Daemon, job_id: str) -> Path:
    """Return the folder of a job as the daemon sees it: the mount is the daemon's own."""
    return Path(f"/proc/{daemon.about['pid']}/root{daemon.state}/checkpoints/{job_id}")


def names_in(daemon, job_id):
    return [path.name for path in seen_by(daemon, job_id).iterdir()]


def kept(daemon, job_id):
    return Checkpoints(folder=seen_by(daemon, job_id), token=0).newest()


def status_of(daemon, job_id):
    return ask(daemon, "GET", f"/api/training/status/{job_id}")[1]


def tries(project, job_id):
    run_id = project.job(job_id).training_run_id
    return 0 if run_id is None else project.get(run_id).attempt


def weights(project, job_id):
    with project.database.read() as connection:
        version = registry.newest(connection, job_id)
    return project.blobs.get(str(version.manifest["line.json"]["sha256"]))


def test_a_trainer_that_fills_its_disk_fails_in_one_line_or_goes_on_when_there_is_room(daemon):
    for name in (*SMALL, "line"):
        assert ask(daemon, "POST", "/api/training/start", job(model_type=name, job_id=name, checkpoint_interval=2))
    with Project.open(daemon.folder) as project:
        wait_for(lambda: tries(project, "freed") >= 3)
        # The arrays of the next checkpoint found the last room there was; without its other file it is none.
        names = names_in(daemon, "freed")
        assert "epoch_0008.npz" in names and "epoch_0008.json" not in names
        assert kept(daemon, "freed").place == Place(epoch=6)
        os.truncate(seen_by(daemon, "freed") / "ballast", 0)
        wait_for(lambda: all(status_of(daemon, name)["status"] == "completed" for name in ("freed", "line")))
        assert json.loads(project.get(project.job("freed").training_run_id).result)["resumed_from"] == "epoch_0006"
        assert weights(project, "freed") == weights(project, "line")
        assert project.get(project.job("line").training_run_id).attempt == 1

        failed = wait_for(lambda: found if (found := status_of(daemon, "full"))["status"] == "failed" else None)
        folder = daemon.state / "checkpoints" / "full"
        assert failed["error"] == (
            f"'{folder}/writer.json' could not be written: No space left on device; 0.00 GB are free on the disk of "
            f"{folder}: make room there, or raise the limit; the checkpoints so far stay"
        )
        assert tries(project, "full") == 9
    assert kept(daemon, "full").place == Place(epoch=6)
    assert not [name for name in names_in(daemon, "full") if name.endswith(".tmp")]
    assert daemon.causes() == []
