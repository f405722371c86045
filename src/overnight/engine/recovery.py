"""Taking over from workers that are gone: end what they left running, put their runs back into the queue."""

import fcntl
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import sqlalchemy as sa

from overnight.base.ids import WorkerId
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import machine, moves, store
from overnight.engine.book import Book
from overnight.engine.tables import children, runs, workers
from overnight.processes.table import same_process

LEASE_US = 15_000_000
"""How long a worker on another host may be silent before it counts as dead."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PIDS = Path("/proc/self/ns/pid")

Child = tuple[int, float]
"""Pid and start time of a process."""


@dataclass(frozen=True, kw_only=True)
class WorkerRef:
    """A worker as the database knows it."""

    worker_id: WorkerId
    host: str
    pid: int
    started: float
    lock_path: str
    copied: bool = False
    """True for the row of another project's worker: the database was copied, or restored, from there."""
    silent: bool = False
    """True for one that may live, and whose lease has ended."""


def this_host() -> str:
    """Return a name for the place where pids and file locks mean the same: the host name alone is not enough.

    Two machines or containers may have one name, so the kernel's boot and the pid namespace stand behind it.
    """
    try:
        return f"{socket.gethostname()}/{_BOOT_ID.read_text().strip()}/{_PIDS.readlink()}"
    except OSError:  # not Linux, or no /proc
        return socket.gethostname()


class Presence:
    """A file lock that says 'this worker lives': the kernel releases it the moment the process is gone."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        # Waits for the instant that a neighbour's look takes; nobody else can hold this file.
        fcntl.flock(self._handle, fcntl.LOCK_EX)

    def release(self) -> None:
        """Say that the worker is gone."""
        self.path.unlink(missing_ok=True)
        os.close(self._handle)


def is_present(path: Path) -> bool:
    """Tell whether some process holds the lock of this file; True also where nobody lets this one ask."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except PermissionError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def register(tx: Tx, worker: WorkerRef) -> None:
    """Make the worker known before it claims anything."""
    tx.connection.execute(
        sa.insert(workers).values(
            worker_id=worker.worker_id,
            host=worker.host,
            pid=worker.pid,
            started=worker.started,
            lock_path=worker.lock_path,
            lease_us=tx.now_us + LEASE_US,
        )
    )


def renew(tx: Tx, worker_id: WorkerId) -> bool:
    """Extend the worker's lease; False means that others have declared it dead and taken its runs."""
    changed = tx.connection.execute(
        sa.update(workers).values(lease_us=tx.now_us + LEASE_US).where(workers.c.worker_id == worker_id)
    )
    return changed.rowcount == 1


def is_known(tx: Tx, worker_id: str) -> bool:
    """Tell whether nobody has declared the worker dead; nobody does so before this transaction has ended.

    A worker that others have forgotten must not claim: nobody would take the run from it when it dies.
    """
    query = sa.select(workers.c.pid).where(workers.c.worker_id == worker_id).with_for_update(key_share=True, read=True)
    return tx.connection.execute(query).first() is not None


def child_lives(child: Child) -> bool:
    """Tell whether a recorded child lives."""
    return same_process(*child)


def record_child(tx: Tx, worker_id: WorkerId, child: Child, lives: Callable[[Child], bool] = child_lives) -> None:
    """Note a child before it works, so that it can be found after a crash; forget those that have ended."""
    mine = children.c.worker_id == worker_id
    for pid, started in tx.connection.execute(sa.select(children.c.pid, children.c.started).where(mine)).fetchall():
        if not lives((pid, started)):
            tx.connection.execute(sa.delete(children).where(mine, children.c.pid == pid, children.c.started == started))
    tx.connection.execute(sa.insert(children).values(worker_id=worker_id, pid=child[0], started=child[1]))


def lives_here(worker: WorkerRef) -> bool:
    """Tell whether a worker of this host lives."""
    return is_present(Path(worker.lock_path))


def lock_of(folder: Path, worker_id: str) -> Path:
    """Return the lock of a worker whose project keeps its locks in this folder."""
    return folder / f"{worker_id}.lock"


def dead_workers(
    database: Database,
    host: str,
    own: WorkerId,
    now_us: int,
    *,
    lives: Callable[[WorkerRef], bool] = lives_here,
    locks: Path | None = None,
) -> list[WorkerRef]:
    """Return the workers that are gone: those of this host that do not live, and all whose lease has ended.

    A local database has no workers elsewhere, whatever the host was called when they began, and all locks in the folder
    `locks`: another path that a worker has noted is that of the project that the database was copied from.
    """
    with database.read() as connection:
        rows = connection.execute(sa.select(workers).where(workers.c.worker_id != own)).fetchall()
    gone = []
    for row in rows:
        lock_path = row.lock_path if locks is None else str(lock_of(locks, row.worker_id))
        worker = WorkerRef(
            worker_id=WorkerId(row.worker_id),
            host=row.host,
            pid=row.pid,
            started=row.started,
            lock_path=lock_path,
            copied=lock_path != row.lock_path,
        )
        here = row.host == host or not database.dialect.shared
        if here and not lives(worker):
            gone.append(worker)
        elif database.dialect.shared and row.lease_us < now_us:
            # Another host's, or one that is asleep: it is fenced when it wakes.
            gone.append(replace(worker, silent=True))
    return gone


def children_of(database: Database, worker_id: WorkerId) -> list[Child]:
    """Return the children that a worker had recorded."""
    with database.read() as connection:
        rows = connection.execute(
            sa.select(children.c.pid, children.c.started).where(children.c.worker_id == worker_id)
        )
        return [(pid, started) for pid, started in rows]


def take_over(tx: Tx, book: Book, dead: WorkerId, *, by_lease: bool = False) -> int:
    """Put the runs of a dead worker back into the queue, forget the worker, and return how many runs it had.

    Nothing happens where another worker was faster or, `by_lease`, where the lease has been renewed meanwhile.
    """
    # In the order in which a turn of the worker locks them: its runs, then its row.
    tx.connection.execute(
        sa.select(runs.c.run_id).where(runs.c.worker_id == dead).order_by(runs.c.run_id).with_for_update()
    ).all()
    query = sa.select(workers.c.lease_us).where(workers.c.worker_id == dead).with_for_update()
    lease_us = tx.connection.execute(query).scalar()
    if lease_us is None or (by_lease and lease_us >= tx.now_us):
        return 0
    lost = store.of_worker(tx.connection, dead)
    moves.move(tx, book, [(run, machine.Lost()) for run in lost])
    for run in lost:
        moves.release_locks(tx, run.run_id, run.token)
    tx.connection.execute(sa.delete(children).where(children.c.worker_id == dead))
    tx.connection.execute(sa.delete(workers).where(workers.c.worker_id == dead))
    return len(lost)


def recover(
    database: Database,
    book: Book,
    *,
    host: str,
    own: WorkerId,
    now_us: int,
    end_children: Callable[[Sequence[Child]], None],
    lives: Callable[[WorkerRef], bool] = lives_here,
    locks: Path | None = None,
) -> int:
    """Take over from every dead worker and return how many runs went back into the queue; `locks` as in `dead_workers`.

    Its children on this host are ended first: a run never works twice at the same time.
    """
    total = 0
    for dead in dead_workers(database, host, own, now_us, lives=lives, locks=locks):
        # While the worker of the other project lives, its children work for that one.
        if dead.host == host and not (dead.copied and same_process(dead.pid, dead.started)):
            end_children(children_of(database, dead.worker_id))
        total += database.writer.do(partial(take_over, book=book, dead=dead.worker_id, by_lease=dead.silent))
        if not dead.silent:
            # Another host's path may be the path of somebody else's file here, and who is asleep still holds its own.
            Path(dead.lock_path).unlink(missing_ok=True)
    return total
