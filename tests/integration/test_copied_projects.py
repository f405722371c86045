"""A project that was copied, or restored from a backup, while a worker worked on it: neither harms the other."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest
import sqlalchemy as sa

from overnight.app import backup
from overnight.app.project import Project
from overnight.base.clock import SystemClock
from overnight.base.settings import load_config
from overnight.engine import recovery
from overnight.engine.model import State
from overnight.engine.tables import children, workers
from overnight.processes.table import same_process
from overnight.testing.chaos import wait_until

PATIENCE_S = 30.0
TOML = """
[engine]
grace_s = 1

[tasks.hold]
action = ["sh", "-c", "touch begun; while [ ! -e go ]; do sleep 0.02; done"]
max_retries = 0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "first"
    folder.mkdir()
    (folder / "overnight.toml").write_text(TOML)
    return folder


def by_backup(folder: Path, copy: Path) -> None:
    copy.mkdir()
    shutil.copy(folder / "overnight.toml", copy)
    archive = copy.with_suffix(".zip")
    backup.back_up(load_config(folder), archive, clock=SystemClock(), program="1")
    backup.restore(load_config(copy), archive, clock=SystemClock())


def by_hand(folder: Path, copy: Path) -> None:
    """As `cp -r` does; nothing is written to the database meanwhile, and sockets are no files."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("bells", "begun"))


def children_of(project: Project) -> list[tuple[int, float]]:
    with project.database.read() as connection:
        return [(pid, started) for pid, started in connection.execute(sa.select(children.c.pid, children.c.started))]


@pytest.mark.parametrize("make", [by_backup, by_hand])
def test_a_copy_made_beside_a_living_worker_takes_over_and_leaves_the_original_alone(folder, make):
    copy = folder.with_name("second")
    with Project.open(folder) as first, first.running():
        run_id = first.submit("hold")
        wait_until(lambda: (folder / "begun").exists(), "the work has begun")
        [child] = children_of(first)
        make(folder, copy)
        (copy / "go").touch()
        with Project.open(copy) as second:
            assert second.get(run_id).worker_id is not None
            second.run(until_idle=True)
            copied = second.get(run_id)
            with second.database.read() as connection:
                assert connection.execute(sa.select(workers)).fetchall() == []
        assert (copied.state, copied.losses, copied.token) == (State.COMPLETED, 1, 2)
        assert same_process(*child), "the original's child works for the original"
        assert first.get(run_id).state is State.IN_PROGRESS
        [presence] = (folder / ".overnight" / "workers").iterdir()
        assert recovery.is_present(presence)
        (folder / "go").touch()
        own = first.wait(run_id, PATIENCE_S)
    assert (own.state, own.losses, own.token) == (State.COMPLETED, 0, 1)


def test_a_restored_database_knows_no_children(folder):
    with Project.open(folder) as project:
        project.database.writer.do(lambda tx: recovery.record_child(tx, "gone", (1, 2.0)))
    by_backup(folder, folder.with_name("second"))
    with closing(Project.open(folder.with_name("second"))) as restored:
        assert children_of(restored) == []


def test_a_project_that_was_moved_ends_what_its_dead_worker_left_behind(folder):
    ended: list[tuple[int, float]] = []
    moved = folder.with_name("second")
    with Project.open(folder) as project:
        ref = recovery.WorkerRef(
            worker_id="dead", host=recovery.this_host(), pid=1, started=-1.0, lock_path=str(folder / "dead.lock")
        )
        project.database.writer.do(lambda tx: recovery.register(tx, ref))
        project.database.writer.do(lambda tx: recovery.record_child(tx, "dead", (1, 2.0)))
    folder.rename(moved)
    with Project.open(moved) as project:
        recovery.recover(
            project.database, project.book, host=recovery.this_host(), own="me", now_us=0,
            end_children=ended.extend, locks=project.state_dir / "workers",
        )  # fmt: skip
        assert children_of(project) == []
    assert ended == [(1, 2.0)]
