"""Several workers and several processes on one project."""

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from overnight.app.project import Project
from overnight.base.errors import DatabaseBusy, NewerDatabase, ProjectLocked
from overnight.base.points import Point
from overnight.db import doorbell
from overnight.db.database import Database
from overnight.engine import moves, recovery
from overnight.engine.machine import Succeeded
from overnight.engine.model import Needs, State, Task
from overnight.engine.tables import locks, workers
from overnight.engine.worker import NEIGHBOURS_EVERY_S, RETRY_AFTER_S
from overnight.testing.bench import Bench
from overnight.testing.clock import FakeClock

Pair = tuple[Bench, Bench]


def open_pair(folder: Path, url: str, slots: int) -> Iterator[Pair]:
    clock = FakeClock()
    with (
        Bench(folder / "one", url, clock=clock, slots=slots) as one,
        Bench(folder / "two", url, clock=clock, slots=slots) as two,
    ):
        yield one, two


@pytest.fixture
def pair(tmp_path: Path, postgres_database: str) -> Iterator[Pair]:
    """Two processes that work on one project."""
    yield from open_pair(tmp_path, postgres_database, 3)


@pytest.fixture
def narrow_pair(tmp_path: Path, postgres_database: str) -> Iterator[Pair]:
    """Two processes that look at one run of the queue at a time."""
    yield from open_pair(tmp_path, postgres_database, 1)


def add(pair: Pair, task_id: str, action: Callable[..., object] = lambda: None, **values: Any) -> None:
    for bench in pair:
        bench.add(task_id, action, **values)


def beside(work: Callable[[], object]) -> tuple[Callable[[], None], Callable[[], None]]:
    """Return what begins the work in a thread, and what waits for its end.

    Beginning gives the work time to end: it does, unless it has to wait for what the caller holds.
    """
    thread = threading.Thread(target=work)

    def begin() -> None:
        thread.start()
        thread.join(0.5)

    def end() -> None:
        thread.join(20)
        assert not thread.is_alive()

    return begin, end


def in_the_midst(one: Bench, two: Bench, before_commit: Callable[[], None]) -> None:
    """Let one worker take a turn, and do something else just before it commits."""
    one.hook.at[Point.WRITER_BEFORE_COMMIT] = before_commit
    one.runtime.worker.wake()
    one.step()


@pytest.mark.postgres
def test_limit_of_a_task_holds_across_workers_that_claim_at_the_same_time(pair: Pair) -> None:
    one, two = pair
    gate = threading.Event()
    add(pair, "task", lambda: gate.wait(30), executor="thread", max_concurrent=2)
    one.work(), two.work()
    ids = [one.project.submit("task") for _ in range(6)]

    def working() -> int:
        return sum(one.state(run_id) is State.IN_PROGRESS for run_id in ids)

    in_the_midst(one, two, two.work)
    two.work(), one.work()
    assert working() == 2
    gate.set()
    one.work_until(lambda: two.work() or all(one.state(run_id) is State.COMPLETED for run_id in ids))


@pytest.mark.postgres
def test_lock_that_two_workers_want_at_the_same_time_goes_to_one(narrow_pair: Pair) -> None:
    pair = narrow_pair
    one, two = pair
    gate = threading.Event()
    for name in ("a", "b"):
        add(pair, name, lambda: gate.wait(30), executor="thread", needs=Needs(locks=("gpu",)))
    add(pair, "warm")
    for bench in pair:
        bench.project.submit("warm")
        bench.work()
    ids = [one.project.submit("a"), one.project.submit("b")]
    begin, end = beside(two.work)
    # The second worker looks while the first one has claimed and not committed. Each would take the run of one task.
    in_the_midst(one, two, begin)
    end()
    one.work()
    assert sorted(one.state(run_id) for run_id in ids) == [State.IN_PROGRESS, State.PENDING]
    gate.set()
    one.work_until(lambda: all(one.state(run_id) is State.COMPLETED for run_id in ids) or two.work())


@pytest.mark.postgres
def test_claim_in_an_open_transaction_is_passed_over_not_waited_for(pair: Pair) -> None:
    one, two = pair
    add(pair, "task", lambda: None, max_concurrent=None)
    for bench in pair:
        bench.work()
    for _ in range(4):
        one.project.submit("task")
    in_the_midst(one, two, two.work)
    one.work()
    runs = one.project.runs()
    assert {run.state for run in runs} == {State.COMPLETED}
    assert {run.token for run in runs} == {1}, "each was claimed once"
    assert len({run.history for run in runs}) == 1


def end_both(pair: Pair) -> None:
    """Let the runs of 'a' and 'b' end in two transactions that are open at the same time."""
    one, two = pair

    def settle(bench: Bench, name: str) -> None:
        [run] = bench.project.runs(task_id=name)
        assert run.state is State.IN_PROGRESS
        database, book = bench.project.database, bench.project.book
        database.writer.do(lambda tx: moves.move(tx, book, [(run, Succeeded())]))

    begin, end = beside(lambda: settle(two, "b"))
    one.hook.at[Point.WRITER_BEFORE_COMMIT] = begin
    settle(one, "a")
    end()
    for bench in (one, two):
        bench.runtime.worker.wake()
        bench.step()


@pytest.mark.postgres
def test_two_parents_that_end_in_two_open_transactions_start_their_dependant_once(pair: Pair) -> None:
    gate = threading.Event()
    for name in ("a", "b"):
        add(pair, name, lambda: gate.wait(30), executor="thread", every="1h")
    add(pair, "c", after=("a", "b"))
    pair[0].work()
    pair[0].after(3600)
    end_both(pair)
    assert [run.state for run in pair[0].project.runs(task_id="c")] != []
    gate.set()
    pair[0].work_until(lambda: pair[1].work() or pair[0].project.runs(task_id="c")[0].state is State.COMPLETED)
    assert len(pair[0].project.runs(task_id="c")) == 1


@pytest.mark.postgres
def test_parents_of_two_cycles_that_end_in_two_open_transactions_start_a_due_run(pair: Pair) -> None:
    gate = threading.Event()
    one = pair[0]
    one.clock.advance((-one.clock.now_us() % 86_400_000_000) / 1e6)
    add(pair, "a", lambda: gate.wait(30), executor="thread", schedule="0 5 * * *")
    add(pair, "b", lambda: gate.wait(30), executor="thread", schedule="0 6 * * *")
    add(pair, "c", schedule="0 7 * * *", after=("a", "b"))
    one.work()
    one.after(7 * 3600)
    assert one.project.runs(task_id="c")[0].queue == 2
    end_both(pair)
    gate.set()
    one.work_until(lambda: pair[1].work() or one.project.runs(task_id="c")[0].state is State.COMPLETED)


@pytest.mark.postgres
def test_two_workers_that_look_at_one_due_instant_make_one_run(pair: Pair) -> None:
    one, two = pair
    add(pair, "tick", every="1m")
    one.work(), two.work()
    one.clock.advance(60)
    begin, end = beside(two.work)
    in_the_midst(one, two, begin)
    end()
    one.work()
    assert [run.state for run in one.project.runs()] == [State.COMPLETED]


@pytest.mark.postgres
def test_workers_of_a_new_project_may_start_at_the_same_time(pair: Pair) -> None:
    one, two = pair
    add(pair, "tick", every="1m")
    begin, end = beside(lambda: two.runtime)
    visits: list[int] = []

    def second_commit() -> None:
        visits.append(1)
        if len(visits) == 1:
            one.hook.at[Point.WRITER_BEFORE_COMMIT] = second_commit
        else:
            begin()

    one.hook.at[Point.WRITER_BEFORE_COMMIT] = second_commit
    assert one.runtime.worker.idle
    end()
    assert two._runtime is not None


@pytest.mark.postgres
def test_living_worker_takes_over_from_a_silent_one_on_another_host(pair: Pair) -> None:
    one, two = pair
    add(pair, "task", needs=Needs(locks=("gpu",)))
    run_id = one.project.submit("task")
    with one.crashing(Point.ENGINE_CLAIMED):
        one.work()
    with two.project.database.engine.begin() as connection:
        connection.execute(sa.update(workers).values(host="elsewhere"))
    two.work()
    two.after(recovery.LEASE_US / 1e6 - 1)
    assert two.state(run_id) is State.IN_PROGRESS
    two.after(2)
    two.after(10)
    assert two.state(run_id) is State.COMPLETED
    assert two.get(run_id).losses == 1


@pytest.mark.postgres
def test_living_worker_takes_over_at_once_when_one_of_its_host_dies(pair: Pair) -> None:
    one, two = pair
    add(pair, "task")
    one.work(), two.work()
    run_id = one.project.submit("task")
    with one.crashing(Point.ENGINE_CLAIMED):
        one.work()
    two.after(NEIGHBOURS_EVERY_S)
    assert two.state(run_id) is State.COMPLETED
    assert two.get(run_id).losses == 1


@pytest.mark.postgres
def test_worker_that_could_not_take_over_tries_again_soon(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = pair
    add(pair, "task")
    one.work(), two.work()
    run_id = one.project.submit("task")
    with one.crashing(Point.ENGINE_CLAIMED):
        one.work()
    with monkeypatch.context() as patched:

        def busy() -> None:
            raise DatabaseBusy("not now")

        patched.setattr(two.runtime.worker, "_recover", busy)
        two.after(NEIGHBOURS_EVERY_S)
    assert two.state(run_id) is State.IN_PROGRESS
    two.after(RETRY_AFTER_S)
    assert two.state(run_id) is State.COMPLETED


@pytest.mark.postgres
def test_late_take_over_leaves_the_locks_of_the_new_holder_alone(pair: Pair) -> None:
    one, two = pair
    add(pair, "task", needs=Needs(locks=("gpu",)))
    run_id = one.project.submit("task")
    with one.crashing(Point.ENGINE_CLAIMED):
        one.work()
    dead = one.get(run_id).worker_id
    assert dead is not None
    stale = one.get(run_id)
    with one.crashing(Point.ENGINE_CLAIMED):
        one.work()
    assert one.get(run_id).token == stale.token + 1
    two.project.database.writer.do(lambda tx: moves.release_locks(tx, stale.run_id, stale.token))
    two.project.database.writer.do(lambda tx: recovery.take_over(tx, two.project.book, dead))
    with two.project.database.read() as connection:
        assert connection.execute(sa.select(locks.c.name)).scalars().all() == ["gpu"]


@pytest.mark.postgres
def test_follower_passes_over_no_event_of_a_slow_transaction(pair: Pair) -> None:
    one, two = pair
    add(pair, "task")
    seen: list[int] = []
    cursor = 0

    def follow() -> None:
        nonlocal cursor
        for batch in two.project.events(after=cursor):
            assert batch.cursor > cursor
            cursor = batch.cursor
            seen.extend(event["run"] for event in batch.events)

    first = one.project.submit("task")
    follow()
    slow: list[int] = []

    def meanwhile() -> None:
        # The slow transaction has its number and has not committed; later ones begin and commit.
        slow.extend(two.project.submit("task") for _ in range(3))
        follow()

    one.hook.at[Point.WRITER_BEFORE_COMMIT] = meanwhile
    late = one.project.submit("task")
    follow()
    assert sorted(seen) == sorted([first, late, *slow])
    assert len(seen) == 5
    assert seen[:2] == [first, late], "in the order of the transactions' numbers"


@pytest.mark.postgres
def test_lost_listening_connection_is_made_anew_and_counts_as_a_ring(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "RECONNECT_EVERY_S", 0.01)
    one, two = pair
    heard = threading.Semaphore(0)
    end = one.project.database.doorbell.listen(heard.release)
    assert heard.acquire(timeout=20), "it looks once it listens"
    with two.project.database.engine.connect() as connection:
        cut = connection.exec_driver_sql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE query LIKE 'LISTEN%%' AND datname = current_database()"
        ).scalar_one()
    assert cut == 1
    assert heard.acquire(timeout=20)
    add(pair, "task")
    two.project.submit("task")
    assert heard.acquire(timeout=20), "workers with one pid hear each other"
    end()


def test_second_worker_is_refused_with_the_name_of_the_first(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'o.db'}"
    with Bench(tmp_path / "p", url) as one, Bench(tmp_path / "p", url) as two:
        one.add("task")
        two.add("task")
        one.work()
        with pytest.raises(ProjectLocked, match=r"^process \d+ .* works on this project already; submitting"):
            assert two.runtime
        run_id = two.project.submit("task")
        one.work()
        assert two.state(run_id) is State.COMPLETED


def test_newer_database_is_refused_and_not_touched(tmp_path: Path, database_url: str) -> None:
    def everything() -> list[Any]:
        database = Database(database_url, FakeClock(), tmp_path)
        with database.read() as connection:
            names = sorted(sa.inspect(connection).get_table_names())
            found = [(name, connection.exec_driver_sql(f"SELECT * FROM {name}").fetchall()) for name in names]
        database.close()
        return found

    with Bench(tmp_path / "p", database_url) as bench:
        bench.add("task")
        bench.project.submit("task")
        with bench.project.database.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    before = everything()
    with pytest.raises(NewerDatabase, match="the database is at version 9999, this program knows versions up to"):
        Bench(tmp_path / "p", database_url)
    assert everything() == before


PROCESS = """
import sys
from overnight import Project, Task
folder, url, what, count = sys.argv[1:]
with Project.open(folder, overrides={"engine.database": url}) as project:
    project.add_task(Task(task_id="task", action="math:gcd", executor="thread", max_concurrent=None))
    print("ready", flush=True)
    sys.stdin.readline()
    ids = [project.submit("task") for _ in range(int(count))]
    if what == "wait":
        assert all(project.wait(run_id, 30).state == "COMPLETED" for run_id in ids)
    print(*ids, flush=True)
"""


def start_process(folder: Path, url: str, what: str, count: int) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", PROCESS, str(folder), url, what, str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def ids_of(process: "subprocess.Popen[str]") -> list[int]:
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return [int(word) for word in output.split()]


def test_two_processes_submit_and_wait_while_a_third_works(tmp_path: Path, database_url: str) -> None:
    options = {"engine.database": database_url}
    with Project.create(tmp_path / "p", overrides=options) as project:
        project.add_task(Task(task_id="task", action="math:gcd", executor="thread", max_concurrent=None))
        with project.running():
            processes = [start_process(tmp_path / "p", database_url, "wait", 25) for _ in range(2)]
            for process in processes:
                assert process.stdin is not None
                process.stdin.write("go\n")
                process.stdin.flush()
            ids = [run_id for process in processes for run_id in ids_of(process)]
        assert len(set(ids)) == 50
        assert {project.get(run_id).state for run_id in ids} == {State.COMPLETED}


def test_bell_of_a_dead_process_is_removed_and_the_living_still_hear(tmp_path: Path) -> None:
    one, two = doorbell.SocketDoorbell(tmp_path), doorbell.SocketDoorbell(tmp_path)
    dead = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    dead.bind(str(tmp_path / "1-dead"))
    dead.close()
    heard = threading.Semaphore(0)
    own = threading.Semaphore(0)
    ends = [two.listen(heard.release), one.listen(own.release)]
    one.ring()
    assert heard.acquire(timeout=20)
    assert not (tmp_path / "1-dead").exists()
    assert not own.acquire(timeout=0.05), "nobody hears himself"
    for end in ends:
        end()
    assert list(tmp_path.iterdir()) == []
    one.ring()
    one.close()
    two.close()


def test_bells_of_a_deep_project_hang_in_its_own_folder_too(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*["deep" * 30] * 3)
    one, two = doorbell.SocketDoorbell(deep), doorbell.SocketDoorbell(deep)
    one.ring()
    heard = threading.Semaphore(0)
    end = two.listen(heard.release)
    assert [path.is_socket() for path in deep.iterdir()] == [True]
    one.ring()
    assert heard.acquire(timeout=20)
    end()
    assert list(deep.iterdir()) == []
    one.close()
    two.close()


def test_where_no_socket_has_room_nobody_hears_and_nothing_breaks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doorbell, "_OPEN_FILES", str(tmp_path / "no-proc"))
    deep = tmp_path / ("deep" * 30)
    bell = doorbell.SocketDoorbell(deep)
    bell.listen(lambda: None)()
    bell.ring()
    assert list(deep.iterdir()) == []
    bell.close()
