"""Starting, stopping and dying: nobody waits for ever, nothing stays locked, and no run works twice at a time."""

import ctypes
import fcntl
import inspect
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from overnight.app import runtime as runtime_module
from overnight.app.lock import ProjectLock, is_held
from overnight.app.project import Project
from overnight.app.signals import Stop
from overnight.base.clock import SystemClock
from overnight.base.errors import DatabaseBusy, InvalidTask, OvernightError, ProjectLocked, UserMistake
from overnight.base.points import Point
from overnight.cli.working import work
from overnight.db import writer
from overnight.engine import recovery
from overnight.engine.model import State, Task
from overnight.engine.tables import workers
from overnight.processes.table import started_of
from overnight.testing.chaos import wait_until

PATIENCE_S = 20.0


def number(number=0):
    return number


def threaded(name, action=number, **options):
    return Task(task_id=name, action=action, executor="thread", max_retries=0, **options)


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path) as project:
        project.add_task(threaded("fine"))
        yield project


def program(text, *arguments, **options):
    """A Python program in a process of its own, with its output as text."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ended(process):
    """Wait for the process and return its exit code, what it printed, and its errors."""
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.returncode, out, err


# Tasks that do not fit.


def test_a_bad_task_is_refused_while_others_are_worked_on_and_harms_nobody(project):
    with project.running():
        with pytest.raises(InvalidTask, match="nope"):
            project.add_task(threaded("bad", after=["nope"]))
        assert "bad" not in project.book
        assert project.result(project.submit("fine", {"number": 3}), PATIENCE_S) == 3
        project.add_task(threaded("good", after=["fine"]))
        assert project.result(project.submit("good", {"number": 4}), PATIENCE_S) == 4


def test_before_the_start_a_task_may_come_after_one_that_is_added_later(project):
    project.add_task(threaded("second", after=["first"]))
    with pytest.raises(InvalidTask, match="first"):
        project.start()
    project.add_task(threaded("first"))
    with project.running():
        assert project.result(project.submit("second", {"number": 5}), PATIENCE_S) == 5


def test_tasks_may_be_added_while_another_thread_looks_at_them(project):
    class AddsWhenLookedAt:
        armed = False

        @property
        def __signature__(self):
            if self.armed:
                self.armed = False
                adding = threading.Thread(target=lambda: project.add_task(threaded("late")))
                adding.start()
                adding.join()
            return inspect.Signature()

        def __call__(self):
            return None

    action = AddsWhenLookedAt()
    project.add_task(threaded("curious", action))
    action.armed = True
    assert "curious" in project.book
    with project.running():
        assert project.result(project.submit("late", {"number": 7}), PATIENCE_S) == 7


@pytest.mark.postgres
def test_where_several_work_a_run_may_not_keep_the_worker_from_saying_that_it_lives(postgres_database, tmp_path):
    with Project.create(tmp_path, overrides={"engine.database": postgres_database}) as project:
        project.add_task(Task(task_id="here", action=number, executor="inline"))
        with pytest.raises(InvalidTask, match="'here': executor: 'inline'"):
            project.start()
        project.add_task(threaded("here"))
        with project.running():
            with pytest.raises(InvalidTask, match="'other': executor: 'inline'"):
                project.add_task(Task(task_id="other", action=number, executor="inline"))
            assert project.result(project.submit("here", {"number": 6}), PATIENCE_S) == 6


def test_a_fork_from_behind_the_last_step_is_refused_in_one_line(project):
    def flow(flow):
        flow.step("one", number)
        flow.step("two", number)

    project.add_task(Task(task_id="flow", action=flow, flow=True))
    with project.running():
        run_id = project.submit("flow")
        project.result(run_id, PATIENCE_S)
        with pytest.raises(UserMistake, match="has recorded 2 steps") as told:
            project.fork(run_id, 3)
        assert "\n" not in str(told.value)
        fork = project.fork(run_id, 2)
        assert project.wait(fork, PATIENCE_S).state is State.COMPLETED


# An engine that dies.


class Broken(Exception):
    pass


@pytest.fixture
def mortal(tmp_path):
    """A project whose engine dies at its next claim, once `deadly` is set."""
    deadly = threading.Event()

    def hook(point):
        if point is Point.ENGINE_CLAIMED and deadly.is_set():
            raise Broken("the engine is broken")

    project = Project.create(tmp_path, hook=hook)
    project.add_task(threaded("fine"))
    yield project, deadly
    project.close()


def test_whoever_waits_hears_of_the_death_of_the_engine_and_so_does_who_comes_later(mortal):
    project, deadly = mortal
    asleep = threading.Event()
    told = []

    def get(run_id, real=project.get):
        run = real(run_id)
        asleep.set()
        return run

    project.get = get
    far = project.submit("fine", due=datetime.now(UTC) + timedelta(days=1))
    project.start()

    def wait():
        try:
            project.wait(far, PATIENCE_S)
        except Broken as error:
            told.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    assert asleep.wait(PATIENCE_S)
    deadly.set()
    run_id = project.submit("fine")
    waiter.join(PATIENCE_S / 2)
    assert [str(error) for error in told] == ["the engine is broken"]
    with pytest.raises(Broken):
        project.result(run_id, PATIENCE_S)
    assert isinstance(project.failure, Broken)
    with pytest.raises(Broken):
        project.stop()
    assert not is_held(project.state_dir / "lock")
    deadly.clear()
    with project.running():
        assert project.result(run_id, PATIENCE_S) == 0


def test_run_raises_what_has_ended_the_engine(mortal):
    project, deadly = mortal
    deadly.set()
    project.submit("fine")
    with pytest.raises(Broken):
        project.run(until_idle=True)


@pytest.mark.timeout(30)
def test_the_command_that_works_in_the_foreground_ends_with_the_engine(mortal):
    project, deadly = mortal
    deadly.set()
    project.submit("fine")
    with pytest.raises(Broken):
        work(project, until_idle=False)


def test_closing_a_project_whose_engine_is_dead_closes_its_database_all_the_same(mortal):
    project, deadly = mortal
    closed = threading.Event()
    close = project.database.close
    project.database.close = lambda: (close(), closed.set())
    deadly.set()
    project.start()
    run_id = project.submit("fine")
    with pytest.raises(Broken):
        project.wait(run_id, PATIENCE_S)
    with pytest.raises(Broken):
        project.close()
    assert closed.is_set()


# Signals.

RUNS = """
import sys
from overnight.app.project import Project
from overnight.engine.model import Task
with Project.create(sys.argv[1], overrides={"engine.grace_s": 600}) as project:
    project.add_task(Task(task_id="slow", action=("sh", "-c", "echo ready; exec sleep 600")))
    project.submit("slow")
    project.run()
print("stopped")
"""


def test_a_second_ctrl_c_does_not_wait_for_what_runs(tmp_path):
    process = program(RUNS, tmp_path)
    log = tmp_path / ".overnight" / "logs" / "runs" / "1.log"
    try:
        wait_until(lambda: log.exists() and "ready" in log.read_text(), "the run", patience_s=PATIENCE_S)
        process.send_signal(signal.SIGINT)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1.0)
        process.send_signal(signal.SIGINT)
        assert ended(process) == (0, "stopped\n", "")
    finally:
        process.kill()
    with Project.open(tmp_path) as project:
        [run] = project.runs()
        assert (run.state, run.worker_id, run.losses) == (State.PENDING, None, 0)


def test_a_signal_handler_may_ask_while_its_own_thread_looks():
    stop = Stop()
    answers = []

    def interrupted(frame, event, argument):
        # Where a signal may be handled: between the steps of `wait` and of all that it calls.
        stop.ask()
        return interrupted

    def look():
        sys.settrace(interrupted)
        try:
            answers.append(stop.wait(PATIENCE_S / 4))
        finally:
            sys.settrace(None)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    thread.join(PATIENCE_S / 4)
    assert answers == [True]


def test_each_asking_ends_one_wait():
    stop = Stop()
    stop.ask()
    assert stop.wait(0.0)
    assert not stop.wait(0.0)
    stop.ask()
    assert stop.wait(0.0)
    assert stop.count == 2


# Stopping while something goes wrong.


def test_a_run_that_a_thread_still_works_on_is_given_to_nobody_else(tmp_path, monkeypatch):
    monkeypatch.setattr(runtime_module, "CLOSE_GRACE_S", 0.2)
    entered, release = threading.Event(), threading.Event()

    def deaf():
        entered.set()
        release.wait(PATIENCE_S)

    project = Project.create(tmp_path)
    project.add_task(threaded("deaf", deaf))
    project.start()
    run_id = project.submit("deaf")
    assert entered.wait(PATIENCE_S)
    before = project.get(run_id)
    try:
        with pytest.raises(OvernightError, match=rf"runs {run_id} go on") as told:
            project.stop(grace_s=0.0)
        assert "\n" not in str(told.value)
        after = project.get(run_id)
        assert (after.state, after.worker_id, after.token) == (State.IN_PROGRESS, before.worker_id, before.token)
        other = program(
            """
            import sys
            from overnight.app.project import Project
            with Project.open(sys.argv[1]) as project:
                project.start()
            """,
            tmp_path,
        )
        code, _, err = ended(other)
        assert code == 1
        assert "ProjectLocked" in err
        assert recovery.is_present(project.state_dir / "workers" / f"{before.worker_id}.lock")
    finally:
        release.set()
        project.close()


def test_a_database_that_is_out_of_reach_at_the_stop_leaves_nothing_locked(project, monkeypatch):
    project.start()

    def unreachable(*args, **options):
        raise DatabaseBusy("the database cannot be reached")

    monkeypatch.setattr(recovery, "take_over", unreachable)
    monkeypatch.setattr(writer, "PATIENCE_S", 0.1)
    with pytest.raises(DatabaseBusy):
        project.stop()
    monkeypatch.undo()
    assert not is_held(project.state_dir / "lock")
    assert list((project.state_dir / "workers").iterdir()) == []
    with project.running():
        assert project.result(project.submit("fine", {"number": 7}), PATIENCE_S) == 7


@pytest.mark.parametrize("broken", ["Worker", "recovery.register"])
def test_a_start_that_fails_leaves_nothing_locked(project, monkeypatch, broken):
    def fails(*args, **options):
        raise Broken("no worker today")

    monkeypatch.setattr(f"overnight.app.runtime.{broken}", fails)
    with pytest.raises(Broken):
        project.start()
    monkeypatch.undo()
    assert not is_held(project.state_dir / "lock")
    with project.running():
        assert project.result(project.submit("fine", {"number": 8}), PATIENCE_S) == 8


# Who lives, and who may know.


def test_a_host_is_more_than_its_name():
    name, boot, pids = recovery.this_host().split("/")
    assert name
    assert len(boot) == 36
    assert pids == str(Path("/proc/self/ns/pid").readlink())


def add_worker(project, host, lease_us):
    project.database.writer.do(
        lambda tx: tx.connection.execute(
            sa.insert(workers).values(
                worker_id="other", host=host, pid=os.getpid(), started=started_of(os.getpid()),
                lock_path=str(project.folder / "nowhere"), lease_us=lease_us,
            )
        )
    )  # fmt: skip


def known(project):
    with project.database.read() as connection:
        return connection.execute(sa.select(workers.c.worker_id)).scalars().all()


def recover(project, lease_us, meanwhile):
    """Recover while `meanwhile` happens between the look and the taking."""
    look = recovery.dead_workers

    def looked(*args, **options):
        found = look(*args, **options)
        meanwhile()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recovery, "dead_workers", looked)
        add_worker(project, "elsewhere", lease_us)
        return recovery.recover(
            project.database, project.book, host=recovery.this_host(), own="me",
            now_us=project.clock.now_us(), end_children=lambda children: None,
        )  # fmt: skip


@pytest.mark.postgres
def test_a_lease_that_is_renewed_at_the_last_moment_counts(postgres_database, tmp_path):
    with Project.create(tmp_path, overrides={"engine.database": postgres_database}) as project:
        recover(project, 0, lambda: project.database.writer.do(lambda tx: recovery.renew(tx, "other")))
        assert known(project) == ["other"]


@pytest.mark.postgres
def test_a_lease_that_has_ended_is_taken_over_and_only_once(postgres_database, tmp_path):
    taken = []
    with Project.create(tmp_path, overrides={"engine.database": postgres_database}) as project:
        project.add_task(threaded("fine"))

        def faster():
            run_id = project.submit("fine")
            taken.append(run_id)
            project.database.writer.do(lambda tx: recovery.take_over(tx, project.book, "other", by_lease=True))
            # A run under that name again, and no worker: nobody may touch it on account of the old look.
            project.database.writer.do(
                lambda tx: tx.connection.exec_driver_sql(
                    f"UPDATE runs SET worker_id = 'other', state = 'IN_PROGRESS', queue = NULL WHERE run_id = {run_id}"
                )
            )

        assert recover(project, 0, faster) == 0
        assert known(project) == []
        assert project.get(taken[0]).state is State.IN_PROGRESS


def test_on_a_local_database_a_worker_from_before_a_restart_under_another_name_is_dead(project):
    add_worker(project, "the-name-of-the-container-before", project.clock.now_us() + 10**12)
    with project.running():
        assert "other" not in known(project)


def without_power_over_files():
    """Let root obey the permissions of files, as everybody else does."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


ASKS = """
import sys
from pathlib import Path
from overnight.app.lock import is_held
from overnight.engine.recovery import is_present
print(is_held(Path(sys.argv[1])), is_present(Path(sys.argv[1])))
"""


@pytest.mark.parametrize(("mode", "held", "free"), [(0o444, True, False), (0o000, True, True)])
def test_who_may_only_read_a_lock_is_answered_and_who_may_not_takes_it_for_held(tmp_path, mode, held, free):
    path = tmp_path / "lock"
    lock = ProjectLock(path, SystemClock())
    assert path.stat().st_mode & 0o777 == 0o644
    path.chmod(mode)
    ask = {"preexec_fn": without_power_over_files}
    assert ended(program(ASKS, path, **ask)) == (0, f"{held} {held}\n", "")
    lock.release()
    assert ended(program(ASKS, path, **ask)) == (0, f"{free} {free}\n", "")


HELD_BY_THE_DEAD = """
import fcntl, json, os, sys, time
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(handle, fcntl.LOCK_EX)
os.write(handle, json.dumps({"pid": os.getpid(), "command": "x", "since": "y"}).encode())
if os.fork() == 0:
    os.close(1)
    os.close(2)
    time.sleep(float(sys.argv[2]))
"""


def test_a_lock_of_a_process_that_is_dying_is_waited_for(tmp_path):
    path = tmp_path / "lock"
    assert ended(program(HELD_BY_THE_DEAD, path, "0.5"))[0] == 0
    assert is_held(path)
    ProjectLock(path, SystemClock()).release()


def test_a_lock_that_nobody_who_lives_holds_is_not_waited_for_for_ever(tmp_path, monkeypatch):
    path = tmp_path / "lock"
    monkeypatch.setattr("overnight.app.lock.PATIENCE_S", 0.2)
    assert ended(program(HELD_BY_THE_DEAD, path, "2"))[0] == 0
    with pytest.raises(ProjectLocked, match=r"process \d+ \(x, since y\) works on this project already"):
        ProjectLock(path, SystemClock())


def test_who_only_asks_keeps_nobody_from_working(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        threading.Timer(0.2, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        ProjectLock(path, SystemClock()).release()


def test_asking_keeps_nobody_from_asking(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert not is_held(path)
        assert not recovery.is_present(path)


def test_a_flow_whose_arguments_do_not_fit_fails_at_once_and_says_which_there_are(tmp_path):
    def brew(flow, cups):
        return flow.step("len", len, cups)

    (tmp_path / "overnight.toml").touch()
    with Project.open(tmp_path) as project:
        project.add_task(Task(task_id="brew", action=brew, max_retries=0))
        project.submit("brew", {"cubs": 2})
        project.submit("brew", {"cups": 2})
        project.run(until_idle=True)
        misfit, wrong_inside = project.runs(task_id="brew")[::-1]
    assert misfit.state is State.FAILED and misfit.error.family == "user", "which is not tried again"
    assert "cannot be called so: got an unexpected keyword argument 'cubs'; its arguments are cups" in str(misfit.error)
    assert "cannot be called" not in str(wrong_inside.error), "a TypeError inside is another thing"


def test_the_doctor_lives_where_it_may_not_ask(tmp_path):
    with Project.create(tmp_path) as project:
        lock = project.state_dir / "lock"
    lock.touch()
    lock.chmod(0)
    command = [sys.executable, "-m", "overnight", "doctor", "--json"]
    said = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, preexec_fn=without_power_over_files, timeout=PATIENCE_S
    )
    checks = {check["name"]: check for check in json.loads(said.stdout)["checks"]}
    assert checks["worker"]["verdict"] == "warn"
    assert f"may not read {lock}" in checks["worker"]["found"]
