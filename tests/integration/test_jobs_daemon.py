"""Jobs in a real daemon: killed with SIGKILL in each phase of a job, and the trainer with it or not."""

import json
import os
import re
import signal
from pathlib import Path

import pytest

from daemons import Daemon, wait_for
from overnight import Project
from overnight.registry import store as registry
from small_trainer import points

TOML = """
[engine.retry]
base_s = 0.05

[training]
validation = 0.3

[training.models.line]
trainer = "small_trainer:Line"
"""
PHASES = {
    "preparing": {"prepare_s": 2.0},
    "training": {"pause_s": 0.02},
    "saving": {"save_s": 2.0},
}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory):
    folder = tmp_path_factory.mktemp("jobs") / "project"
    made = Daemon(folder, TOML)
    (folder / "small_trainer.py").write_text((Path(__file__).parents[1] / "small_trainer.py").read_text())
    (folder / "points.json").write_text(json.dumps(points()))
    try:
        made.up()
        yield made
    finally:
        made.end()


def submit(daemon, job_id, **settings):
    words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    daemon.ok(
        "jobs", "submit", "line", "--data", str(daemon.folder / "points.json"), "--id", job_id, "--epochs", "24",
        "--checkpoint-every", "4", *words,
    )  # fmt: skip


def job(daemon, job_id):
    with Project.open(daemon.folder) as project:
        return project.job(job_id)


def weights(daemon, job_id):
    with Project.open(daemon.folder) as project:
        with project.database.read() as connection:
            version = next(one for one in registry.history(connection, "line") if one.metrics["job_id"] == job_id)
        return project.blobs.get(str(version.manifest["line.json"]["sha256"]))


def trainers(daemon):
    with Project.open(daemon.folder) as project, project.database.read() as connection:
        return [pid for (pid,) in connection.exec_driver_sql("SELECT pid FROM children")]


@pytest.fixture(scope="module")
def calm(daemon):
    """What a job gives that nothing disturbs."""
    submit(daemon, "calm")
    wait_for(lambda: job(daemon, "calm").status == "completed")
    return weights(daemon, "calm")


@pytest.mark.parametrize("phase", PHASES)
def test_a_daemon_that_is_killed_in_any_phase_ends_the_job_with_the_same_bits(daemon, calm, phase):
    name = f"daemon-{phase}"
    submit(daemon, name, **PHASES[phase])
    wait_for(lambda: job(daemon, name).status == phase and (phase != "training" or job(daemon, name).epoch >= 6))
    daemon.kill()
    daemon.up()
    wait_for(lambda: job(daemon, name).status == "completed")
    assert weights(daemon, name) == calm
    with Project.open(daemon.folder) as project:
        assert project.get(project.job(name).training_run_id).attempt == 1, "a lost daemon costs no try"


@pytest.mark.parametrize("phase", PHASES)
def test_a_trainer_that_is_killed_in_any_phase_ends_the_job_with_the_same_bits(daemon, calm, phase):
    name = f"trainer-{phase}"
    submit(daemon, name, **PHASES[phase])
    wait_for(lambda: job(daemon, name).status == phase and (phase != "training" or job(daemon, name).epoch >= 6))
    for pid in trainers(daemon):
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: job(daemon, name).status == "completed")
    assert weights(daemon, name) == calm


def test_watching_a_job_of_a_daemon_tells_each_epoch_and_the_end(daemon, calm):
    submit(daemon, "watched", pause_s=0.05)
    done = daemon.run("jobs", "watch", "watched")
    assert done.returncode == 0 and "job watched completed: version v1." in done.stdout
    assert re.search(r"training, epoch \d+ of 24, loss .*, R2 .*, .* items/s, .* left", done.stderr)
    listed = json.loads(daemon.ok("jobs", "list", "--json"))
    assert listed[0]["job_id"] == "watched" and listed[0]["status"] == "completed"


def test_cancelling_from_the_command_line(daemon):
    submit(daemon, "gone", pause_s=0.05)
    wait_for(lambda: job(daemon, "gone").status == "training")
    assert "its trainer was asked to stop" in daemon.ok("jobs", "cancel", "gone")
    wait_for(lambda: job(daemon, "gone").status == "cancelled")
    again = daemon.run("jobs", "cancel", "gone")
    assert again.returncode == 2 and "is cancelled already" in again.stderr
    assert daemon.run("jobs", "watch", "gone").returncode == 1
