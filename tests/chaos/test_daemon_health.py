"""Health is progress: what stands still turns it, with its cause, and it turns back when things move again."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import Daemon, wait_for

MODULE = """
import threading, time
from overnight import Task

def block(seconds=15):
    time.sleep(seconds)

def configure(project):
    def stop_writer(seconds=15):
        project.database.writer.submit(lambda tx: time.sleep(seconds))

    project.add_task(Task(task_id="block", action=block, executor="inline"))
    project.add_task(Task(task_id="stop-writer", action=stop_writer, executor="thread"))
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "p", "", MODULE)
    try:
        made.up()
        yield made
    finally:
        made.end()


def test_a_blocked_scheduler_turns_health_with_its_cause_and_dumps_all_stacks(daemon):
    daemon.ok("tasks", "run", "block")
    wait_for(lambda: "scheduler" in daemon.causes())
    code, text = daemon.get("/health")
    assert code == 503
    assert "the last scheduling decision is" in text
    status = daemon.run("status")
    assert status.returncode == 1
    assert "the last scheduling decision is" in status.stdout
    assert "overnight_healthy 0.0" in daemon.get("/metrics")[1]
    [dump] = wait_for(lambda: list((daemon.state / "logs").glob("stacks_*.txt")))
    assert "in block" in wait_for(dump.read_text)
    assert "event=unhealthy cause=scheduler" in daemon.log()
    wait_for(lambda: daemon.get("/health")[0] == 200)
    wait_for(lambda: "event=healthy_again cause=scheduler" in daemon.log())


def test_a_stopped_writer_turns_health_with_its_cause(daemon):
    daemon.ok("tasks", "run", "stop-writer")
    wait_for(lambda: "writer" in daemon.causes())
    assert daemon.get("/health")[0] == 503
    wait_for(lambda: daemon.get("/health")[0] == 200)


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 40 MB."""
    folder = Path(tempfile.mkdtemp(prefix="overnight-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", folder], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        shutil.rmtree(folder)
        pytest.skip(f"no small disk can be made here: {mounted.stderr.strip() or 'mount failed'}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        shutil.rmtree(folder)


def test_a_disk_that_fills_up_turns_health_and_nothing_acknowledged_is_lost(small_disk):
    daemon = Daemon(small_disk / "p", "[engine]\ndisk_reserve_gb = 0.015\n", MODULE)
    try:
        daemon.up()
        assert daemon.get("/health")[0] == 200
        done = [daemon.ok("tasks", "run", "stop-writer", "--arg", "seconds=0") for _ in range(3)]
        assert len(done) == 3
        ballast = small_disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 65536)
            except OSError:
                pass
        wait_for(lambda: "disk" in daemon.causes())
        assert daemon.get("/health")[0] == 503
        refused = daemon.run("tasks", "run", "stop-writer", "--arg", "seconds=0")
        ballast.unlink()
        wait_for(lambda: daemon.get("/health")[0] == 200)
        daemon.ok("tasks", "run", "stop-writer", "--arg", "seconds=0", "--wait")
        runs = daemon.ok("runs", "list", "--state", "completed").count("stop-writer")
        assert runs == 4 + (refused.returncode == 0)
    finally:
        daemon.end()
