"""What the simulation puts in the place of the machine: a clock, processes that die, children that obey a seed."""

import shutil
import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.base.errors import CommitInDoubt, DatabaseBroken, DatabaseBusy
from overnight.base.points import Hook
from overnight.base.ports import Channel, StopReason
from overnight.base.refs import ErrorRef, Outcome, WorkOrder
from overnight.db.database import Database
from overnight.db.sqlite import Sqlite
from overnight.db.writer import Writer

ORPHAN_S = 5.0
"""How long a child whose pipe has closed may live."""
SEALED = (CommitInDoubt, DatabaseBusy, DatabaseBroken)


class SimulatedCrash(BaseException):
    """The process is gone at this instant; nothing of it may act any more.

    Not an Exception, so that nobody handles it.
    """


class SimulatedClock:
    """Civil time that may jump, and a second clock that never goes back."""

    def __init__(self, start_us: int) -> None:
        self._civil_us = start_us
        self._passed_us = 0

    def now_us(self) -> int:
        """Return the civil time."""
        return self._civil_us

    def monotonic(self) -> float:
        """Return the seconds that have really passed."""
        return self._passed_us / 1e6

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        step = int(seconds * 1e6)
        self._passed_us += step
        self._civil_us += step

    def jump(self, seconds: float) -> None:
        """Set the civil time, forward or back."""
        self._civil_us += int(seconds * 1e6)


@dataclass(frozen=True, kw_only=True)
class Rates:
    """How often things go wrong: chances for each visited point, commit or transaction."""

    crash: float = 0.004
    lost_commit: float = 0.008
    hidden_commit: float = 0.008
    busy: float = 0.01
    full: float = 0.004
    pause: float = 0.01


CALM = Rates(crash=0, lost_commit=0, hidden_commit=0, busy=0, full=0, pause=0)


class Faults:
    """Where the database's trouble comes from: two functions that a process calls around each of its transactions."""

    def before_begin(self) -> None:
        """Do something before a writing transaction opens; may raise."""

    def at_commit(self, commit: Callable[[], None]) -> None:
        """Do something in the place of the commit, `commit` included or not; may raise."""


class SimulatedDialect(Sqlite):
    """SQLite whose transactions can fail in every way, and that several workers may share if so wanted."""

    def __init__(self, arena: "Arena", faults: Faults, *, shared: bool) -> None:
        self.shared = shared
        self._arena = arena
        self._faults = faults

    def create_engine(self, url: str) -> sa.Engine:
        """Return an engine that no living process uses."""
        return self._arena.lend(self._faults)

    def begin_write(self, connection: sa.Connection) -> None:
        """Open the transaction of a writer, or do not."""
        self._faults.before_begin()
        super().begin_write(connection)


def refused(name: str, text: str) -> sa.exc.OperationalError:
    """Return the error that the driver would raise with this code of SQLite's."""
    original = sqlite3.OperationalError(text)
    if name:
        original.sqlite_errorname = name
    return sa.exc.OperationalError("COMMIT", {}, original)


class Arena:
    """A folder with the database file of one simulation after another, and the engines that its processes use in turn.

    An engine keeps its compiled statements, so a new process costs no second of compiling.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "simulated.db"
        self._template = folder / "template.db"
        self._free: list[sa.Engine] = []
        self._faults: dict[sa.Engine, Faults] = {}
        template = Database(f"sqlite:///{self._template}", SystemClock(), folder)
        schema.prepare(template)
        template.close()

    @property
    def url(self) -> str:
        """The URL of the database."""
        return f"sqlite:///{self.path}"

    def reset(self) -> None:
        """Begin with a new, empty database."""
        for suffix in ("-wal", "-shm"):
            Path(f"{self.path}{suffix}").unlink(missing_ok=True)
        shutil.copyfile(self._template, self.path)

    def lend(self, faults: Faults) -> sa.Engine:
        """Give an engine to a process."""
        engine = self._free.pop() if self._free else self._make()
        self._faults[engine] = faults
        return engine

    def take_back(self, engine: sa.Engine) -> None:
        """Close the connections of a process that is gone, as the kernel does; what was not committed is undone."""
        engine.dispose()
        self._free.append(engine)

    def _make(self) -> sa.Engine:
        engine = Sqlite().create_engine(self.url)
        sa.event.listen(engine, "connect", _careless)
        sa.event.listen(engine, "commit", self._commit)
        return engine

    def _commit(self, connection: sa.Connection) -> None:
        if "overnight_begin" in connection.get_execution_options():
            driver = connection.connection.driver_connection
            assert driver is not None
            self._faults[connection.engine].at_commit(driver.commit)


def _careless(connection: Any, record: object) -> None:  # Any: the driver's own connection type
    # Power cuts are not simulated: a killed process loses nothing that it gave to the kernel.
    connection.execute("PRAGMA synchronous=OFF")


class SimulatedProcess:
    """A process with a database of its own. Everything that it does happens inside `world.act`."""

    def __init__(self, arena: Arena, clock: SimulatedClock, hook: Hook, faults: Faults, *, shared: bool) -> None:
        self.alive = True
        self.paused = False
        self._arena = arena
        dialect = SimulatedDialect(arena, faults, shared=shared)
        self.database = Database(arena.url, clock, arena.folder, hook=hook, dialect=dialect)
        self.database.writer.pause = lambda: clock.advance(0.05)
        self._released = False

    @property
    def writer(self) -> Writer:
        """The process's writer."""
        return self.database.writer

    def died(self) -> bool:
        """Tell whether the process is gone."""
        return not self.alive

    def release(self) -> None:
        """Let the kernel clean up after a process that is gone."""
        if not self._released:
            self._released = True
            self.writer.drop_connection()
            self.database.doorbell.close()
            self._arena.take_back(self.database.engine)


@dataclass(kw_only=True, eq=False)
class SimulatedChild:
    """A child process of a worker, from the order to its end."""

    pid: int
    owner: SimulatedProcess
    order: WorkOrder
    channel: Channel
    working: bool = False
    gone: bool = False
    reason: StopReason | None = None
    orphaned_at: float | None = None


@dataclass(kw_only=True)
class SimulatedExecutor:
    """Implements base/ports.Executor: takes orders down; the simulation begins and ends the work when it likes."""

    owner: SimulatedProcess
    children: list[SimulatedChild]
    next_pid: Callable[[], int]

    def start(self, order: WorkOrder, channel: Channel) -> None:
        """Take the order down."""
        child = SimulatedChild(pid=self.next_pid(), owner=self.owner, order=order, channel=channel)
        self.children.append(child)

    def stop(self, order: WorkOrder, reason: StopReason, grace_s: float) -> None:
        """Note that the work has to end; the first reason stands."""
        for child in self.children:
            mine = child.owner is self.owner and not child.gone
            if mine and (child.order.run_id, child.order.token) == (order.run_id, order.token):
                child.reason = child.reason or reason

    def pids(self, order: WorkOrder) -> list[int]:
        """Return none: nothing here is a process."""
        return []

    def close(self, grace_s: float) -> None:
        """End all children of this process."""
        for child in self.children:
            if child.owner is self.owner:
                child.gone = True


def end_of(child: SimulatedChild, kind: str) -> Outcome:
    """Return how an attempt ends: as it was asked to, else as drawn."""
    if child.reason is not None:
        return Outcome(kind=child.reason)
    if kind == "succeeded":
        return Outcome(kind="succeeded", result=f'{{"token":{child.order.token}}}')
    family = "transient" if kind == "transient" else "permanent"
    return Outcome(kind="failed", error=ErrorRef(family=family, type="Drawn", message=f"drawn: {kind}"))


def end_children(children: list[SimulatedChild], found: Sequence[tuple[int, float]]) -> None:
    """Kill the children that recovery has found in the record of a dead worker."""
    pids = {pid for pid, _ in found}
    for child in children:
        if child.pid in pids:
            child.gone = True
