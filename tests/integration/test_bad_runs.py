"""Bad input and bad surroundings: one clear line, or a FAILED run with its reason; nothing acknowledged is lost."""

import contextlib
import hashlib
import json
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from pathlib import Path

import pytest
import sqlalchemy as sa

from overnight.app.project import Project
from overnight.base.errors import DatabaseBroken, NewerDatabase, OvernightError, ProjectLocked, RunFailed
from overnight.engine.model import State, Task
from overnight.processes import table
from overnight.testing.chaos import wait_until

PATIENCE_S = 60.0
TASKS = """
import ctypes, os, signal, sys, time

def fine(number=0): return number
def forks():
    if os.fork() == 0: return "copy"
    return "original"
def ignores_sigterm(): signal.signal(signal.SIGTERM, signal.SIG_IGN); print("started", flush=True); time.sleep(600)
def closes_its_pipe(): os.closerange(3, 4096); time.sleep(600)
def prints(megabytes):
    for _ in range(megabytes): sys.stdout.write("x" * 999_999 + "\\n")
    return "printed"
def not_json(): return {1, 2}
def exits_at_once(): os._exit(7)
def exits(): sys.exit("enough")
def segfaults(): signal.signal(signal.SIGSEGV, signal.SIG_DFL); ctypes.string_at(0)
def kills_its_parent(): os.kill(os.getppid(), signal.SIGKILL); time.sleep(600)
"""
DB = ".overnight/overnight.db"


def program(text, *arguments, **options):
    """A Python program in a process of its own, with its output as text."""
    code = textwrap.dedent(text)
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def task(name, **options):
    return Task(task_id=name, action=f"badtasks:{name}", max_retries=0, max_concurrent=None, **options)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "badtasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def project(folder):
    with Project.create(folder, overrides={"engine.max_concurrent": 12}) as project:
        project.add_task(Task(task_id="fine", action=lambda number=0, **_: number, executor="thread", max_retries=0))
        yield project


# Another worker, another version.


def test_a_second_worker_is_told_who_the_first_is_and_can_still_submit(project, folder):
    first = program(
        """
        import sys
        from overnight.app.project import Project
        from overnight.engine.model import Task
        with Project.create(sys.argv[1]) as project:
            project.add_task(Task(task_id="fine", action=lambda number: number, executor="thread"))
            with project.running():
                print("works", flush=True)
                sys.stdin.read()
        """,
        folder,
    )
    assert first.stdout.readline() == "works\n"
    with pytest.raises(ProjectLocked) as told:
        project.start()
    assert f"process {first.pid}" in str(told.value)
    assert "\n" not in str(told.value)
    assert project.result(project.submit("fine", {"number": 7}), PATIENCE_S) == 7
    first.communicate()
    assert first.returncode == 0
    with project.running():
        assert project.result(project.submit("fine", {"number": 8}), PATIENCE_S) == 8


def test_a_newer_database_is_refused_and_not_touched(project, folder):
    project.close()
    with contextlib.closing(sqlite3.connect(folder / DB, isolation_level=None)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = hashlib.sha256((folder / DB).read_bytes()).hexdigest()
    with pytest.raises(NewerDatabase, match="9999"):
        Project.open(folder)
    assert hashlib.sha256((folder / DB).read_bytes()).hexdigest() == before


# No room, no right to write, no luck.


def limit_pages(project, pages):
    """Let every new connection see a disk that is full after so many pages."""

    def limit(connection, record):
        connection.execute(f"PRAGMA max_page_count={pages}")

    sa.event.listen(project.database.engine, "connect", limit)
    project.database.engine.dispose()
    # The writer has a connection already: it gets its limit there.
    project.database.writer.do(lambda tx: tx.connection.exec_driver_sql(f"PRAGMA max_page_count={pages}"))
    return lambda: sa.event.remove(project.database.engine, "connect", limit)


def test_a_full_disk_is_said_in_one_line_and_work_goes_on_when_there_is_room(project):
    with project.running():
        first = project.submit("fine", {"number": 1})
        assert project.result(first, PATIENCE_S) == 1
        with project.database.read() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        unlimit = limit_pages(project, pages + 8)
        kept = []
        with pytest.raises(DatabaseBroken, match="the disk is full") as told:
            for number in range(1000):
                kept.append(  # noqa: PERF401  # what came before the error counts
                    project.submit("fine", {"number": number, "ballast": "x" * 3000})
                )
        assert "\n" not in str(told.value)
        unlimit()
        project.database.engine.dispose()
        project.database.writer.do(lambda tx: tx.connection.exec_driver_sql("PRAGMA max_page_count=1000000"))
        assert kept
        for number, run_id in enumerate(kept):
            assert project.result(run_id, PATIENCE_S) == number
    assert project.database.check() == []


SUBMITS = """
import json, os, resource, sys
from overnight.app.project import Project
from overnight.engine.model import Task
from overnight.base.errors import OvernightError
project = Project.open(sys.argv[1])
project.add_task(Task(task_id="fine", action=lambda number: number, executor="thread"))
if sys.argv[2] == "read-only":
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
else:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
project.database.engine.dispose()
kept = []
try:
    if sys.argv[2] == "read-only":
        project = Project.open(sys.argv[1])
        project.add_task(Task(task_id="fine", action=lambda number: number, executor="thread"))
    for number in range(3000):
        kept.append(project.submit("fine", {"number": number, "ballast": "x" * 2000}))
except OvernightError as error:
    print(json.dumps([type(error).__name__, str(error), kept]), flush=True)
    os._exit(0)
print(json.dumps(["nothing", "", kept]), flush=True)
"""


def test_a_limit_on_file_sizes_is_said_in_one_line_and_loses_nothing(project, folder):
    project.close()
    child = program(SUBMITS, folder, (folder / DB).stat().st_size + 400_000)
    kind, message, kept = json.loads(child.communicate(timeout=PATIENCE_S)[0].splitlines()[-1])
    # A file that may not grow fails before the commit, or within it, where nobody can tell what is on disk.
    assert kind in ("DatabaseBroken", "CommitInDoubt"), message
    assert "\n" not in message
    assert kept
    with Project.open(folder) as again:
        assert again.database.check() == []
        assert all(again.get(run_id).state is State.PENDING for run_id in kept)


@pytest.fixture
def public_folder():
    """A folder that other users can reach; those of pytest are private."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def test_a_read_only_folder_is_said_in_one_line(public_folder):
    with Project.create(public_folder) as project:
        project.add_task(Task(task_id="fine", action=lambda: None, executor="thread"))
        project.submit("fine")
    entries = [public_folder, *public_folder.rglob("*")]
    try:
        for path in entries:
            path.chmod(0o555 if path.is_dir() else 0o444)
        child = program(SUBMITS, public_folder, "read-only")
        kind, message, kept = json.loads(child.communicate(timeout=PATIENCE_S)[0].splitlines()[-1])
    finally:
        for path in entries:
            path.chmod(0o755)
    assert kind == "DatabaseBroken", message
    assert "\n" not in message
    assert kept == []
    with Project.open(public_folder) as again:
        assert len(again.runs()) == 1


def test_a_log_on_a_full_disk_costs_the_log_and_not_the_run(project, folder):
    project.add_task(task("prints"))
    logs = folder / ".overnight" / "logs" / "runs"
    logs.mkdir(parents=True, exist_ok=True)
    run_id = project.submit("prints", {"megabytes": 1})
    (logs / f"{run_id}.log").symlink_to("/dev/full")
    with project.running():
        assert project.result(run_id, PATIENCE_S) == "printed"


STORM = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=60)
print("storm", flush=True)
for hold_s in (5.6, 0.4, 0.4, 0.4):
    connection.execute("BEGIN IMMEDIATE")
    time.sleep(hold_s)
    connection.execute("COMMIT")
    time.sleep(0.02)
"""


def test_a_storm_of_other_writers_delays_and_loses_nothing(project, folder):
    results, errors = {}, []

    def client(first):
        try:
            for number in range(first, first + 20):
                results[project.submit("fine", {"number": number})] = number
        except OvernightError as error:
            errors.append(error)

    with project.running():
        storm = program(STORM, folder / DB)
        assert storm.stdout.readline() == "storm\n"
        clients = [threading.Thread(target=client, args=(first,)) for first in range(0, 80, 20)]
        for thread in clients:
            thread.start()
        for thread in clients:
            thread.join()
        assert storm.communicate()[0] == ""
        assert errors == []
        assert len(results) == 80
        for run_id, number in results.items():
            assert project.result(run_id, PATIENCE_S) == number


def test_a_time_limit_is_kept_while_another_program_holds_the_database(project, folder):
    command = ("sh", "-c", "echo $$ > pid; exec sleep 600")
    project.add_task(Task(task_id="late", action=command, timeout_s=2.0, max_retries=0))
    pid = folder / "pid"
    with project.running():
        run_id = project.submit("late")
        wait_until(lambda: pid.exists() and pid.read_text(), "the command to work")
        child = table.look(int(pid.read_text()))
        with contextlib.closing(sqlite3.connect(folder / DB, isolation_level=None, timeout=60)) as other:
            other.execute("BEGIN IMMEDIATE")
            project._runtime.worker.wake()  # now it waits for the database
            wait_until(lambda: not table.same_process(child.pid, child.started), "the command to be ended")
            other.execute("ROLLBACK")
        run = project.wait(run_id, PATIENCE_S)
    assert run.state is State.FAILED
    assert "timeout_s = 2" in run.error.message


# Tasks that do not behave.

KINDS = {
    "forks": (State.COMPLETED, "original"),
    "not_json": (State.FAILED, "is not JSON"),
    "exits_at_once": (State.FAILED, "exit code 7|code 7"),
    "exits": (State.FAILED, "sys.exit"),
    "segfaults": (State.FAILED, "SIGSEGV|signal 11"),
    "closes_its_pipe": (State.FAILED, "pipe"),
    "kills_its_parent": (State.FAILED, "child process"),
    "ignores_sigterm": (State.FAILED, "timeout_s = 1"),
}


@pytest.fixture(scope="module")
def bad_runs(tmp_path_factory):
    """All the tasks that do not behave, worked on at the same time, with a well-behaved one behind them."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "badtasks.py").write_text(TASKS)
    with Project.create(folder, overrides={"engine.max_concurrent": 6}) as project:
        for name in KINDS:
            project.add_task(task(name, timeout_s=1.0 if name == "ignores_sigterm" else None))
        project.add_task(task("fine"))
        ids = {name: project.submit(name) for name in KINDS}
        ids["fine"] = project.submit("fine", {"number": 3})
        with project.running():
            found = {name: project.wait(run_id, PATIENCE_S) for name, run_id in ids.items()}
    return found


@pytest.mark.parametrize("name", list(KINDS))
def test_a_task_that_does_not_behave_ends_with_a_reason(bad_runs, name):
    state, reason = KINDS[name]
    run = bad_runs[name]
    assert run.state is state, run
    text = run.error.message if run.error is not None else run.result
    assert re.search(reason, text), text
    assert "\n" not in text


def test_a_task_beside_those_that_do_not_behave_is_not_harmed(bad_runs):
    assert bad_runs["fine"].result == "3"


def test_a_task_that_ignores_sigterm_can_be_cancelled(project, folder):
    project.add_task(task("ignores_sigterm"))
    run_id = project.submit("ignores_sigterm")
    log = folder / ".overnight" / "logs" / "runs" / f"{run_id}.log"
    with project.running():
        wait_until(lambda: log.exists() and "started" in log.read_text(), "the task to work")
        before = time.monotonic()
        project.cancel(run_id)
        run = project.wait(run_id, PATIENCE_S)
    assert run.state is State.CANCELLED
    assert time.monotonic() - before < 15
    with pytest.raises(RunFailed, match="cancelled by a person"):
        project.result(run_id)


def test_a_flood_of_output_is_rotated_away(project, folder, long_form):
    project.add_task(task("prints", timeout_s=3_000))
    megabytes = 10_000 if long_form else 200
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with project.running():
        run_id = project.submit("prints", {"megabytes": megabytes})
        assert project.result(run_id, 3_000) == "printed"
    kept = sum(path.stat().st_size for path in (folder / ".overnight" / "logs" / "runs").iterdir())
    assert 1_000_000 < kept < 21_000_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000, "KB: output is not kept in memory"
