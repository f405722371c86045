"""Doorbells: how one process tells the others of a project that the database has news.

A ring carries nothing: whoever hears it looks at the database. So rings may be lost, doubled or joined without harm.
On a local database a listener is a datagram socket in a folder, and ringing is one datagram to each socket there. On
PostgreSQL it is one NOTIFY in the transaction of the change.
"""

import contextlib
import os
import select
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import sqlalchemy as sa

CHANNEL = "overnight"
RECONNECT_EVERY_S = 1.0
LONGEST_FOLDER = 80
"""Bytes of a folder's path; the kernel takes 107 for folder and name together."""
_OPEN_FILES = "/proc/self/fd"


class Doorbell(Protocol):
    """Rings at other processes and hears them. `ring` may be called from any thread and never blocks."""

    def ring(self) -> None:
        """Tell the others, after a commit."""

    def ring_inside(self, connection: sa.Connection) -> None:
        """Tell the others with the commit of this connection's transaction."""

    def listen(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard`, in a thread of its own, at every ring of another process; return what ends that."""

    def close(self) -> None:
        """Give up what ringing needs; listeners are ended on their own."""


class SocketDoorbell:
    """Doorbells of one machine: datagram sockets in `folder`, one for each listener."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._own: set[str] = set()
        self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sender.setblocking(False)

    def ring(self) -> None:
        """Send an empty datagram to every listener but our own; sockets that nobody holds are removed."""
        # Nobody has listened here yet, or this process has too many files open: a ring may be lost.
        with contextlib.suppress(OSError), _within_reach(self._folder) as folder:
            for name in os.listdir(folder):  # noqa: PTH208  # four times as fast, and this runs at every commit
                if name not in self._own and not name.startswith("."):
                    self._ring_at(f"{folder}/{name}")

    def _ring_at(self, path: str) -> None:
        try:
            self._sender.sendto(b"", path)
        except ConnectionRefusedError:
            with contextlib.suppress(OSError):
                Path(path).unlink()
        except OSError:
            # A full buffer means that a ring already waits there.
            return

    def ring_inside(self, connection: sa.Connection) -> None:
        """Do nothing: the ring follows the commit."""

    def listen(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` at every ring of another process; return what ends that."""
        self._folder.mkdir(parents=True, exist_ok=True)
        name = f"{os.getpid()}-{os.urandom(4).hex()}"
        path = self._folder / name
        bell = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        # Under its final name only when it can hear: a ringer removes sockets that do not answer.
        try:
            with _within_reach(self._folder) as folder:
                bell.bind(f"{folder}/.{name}")
        except FileNotFoundError:
            # A deep project, and no Linux: nobody can ring here, and whoever waits looks by itself now and then.
            bell.close()
            return lambda: None
        self._own.add(name)
        path.with_name(f".{name}").rename(path)
        ended = threading.Event()

        def loop() -> None:
            while not ended.is_set():
                bell.recv(1)
                if not ended.is_set():
                    heard()

        thread = threading.Thread(target=loop, name="overnight-doorbell", daemon=True)
        thread.start()

        def end() -> None:
            ended.set()
            bell.shutdown(socket.SHUT_RDWR)
            thread.join()
            bell.close()
            path.unlink(missing_ok=True)
            self._own.discard(name)

        return end

    def close(self) -> None:
        """Give up the socket that rings."""
        self._sender.close()


@contextlib.contextmanager
def _within_reach(folder: Path) -> Iterator[str]:
    """Give a path of the folder that is short enough for sockets in it; it holds within the block.

    That of a deep project leads through the list of this process's open files: so its bells hang in its own folder
    too, where everybody who may use the project finds them and nobody else puts any.
    """
    path = str(folder)
    if len(os.fsencode(path)) <= LONGEST_FOLDER:
        yield path
        return
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"{_OPEN_FILES}/{handle}"
    finally:
        os.close(handle)


class NotifyDoorbell:
    """Doorbells through PostgreSQL's LISTEN and NOTIFY; a lost connection is made anew, and counts as a ring."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine
        # Not the pid: workers in containers have the same one.
        self._own = os.urandom(8).hex()

    def ring(self) -> None:
        """Do nothing: the ring went out with the commit."""

    def close(self) -> None:
        """Do nothing: the engine has the connections."""

    def ring_inside(self, connection: sa.Connection) -> None:
        """Notify with the commit; PostgreSQL joins equal notifications of one transaction."""
        connection.exec_driver_sql(f"NOTIFY {CHANNEL}, '{self._own}'")

    def listen(self, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` at every ring of another process; return what ends that."""
        waker, sleeper = socket.socketpair()
        ready = threading.Event()

        def loop() -> None:
            while True:
                try:
                    if self._follow(sleeper, heard, ready):
                        return
                except sa.exc.DBAPIError:
                    ending, _, _ = select.select([sleeper], [], [], RECONNECT_EVERY_S)
                    if ending:
                        return

        thread = threading.Thread(target=loop, name="overnight-doorbell", daemon=True)
        thread.start()
        ready.wait(10)

        def end() -> None:
            waker.send(b"x")
            thread.join()
            waker.close()
            sleeper.close()

        return end

    def _follow(self, sleeper: socket.socket, heard: Callable[[], None], ready: threading.Event) -> bool:
        """Listen on one connection; return True when asked to end."""
        import psycopg

        with self._engine.connect() as connection:
            raw = connection.connection.driver_connection
            assert raw is not None
            raw.autocommit = True
            try:
                raw.execute(f"LISTEN {CHANNEL}")
                ready.set()
                heard()
                while True:
                    readable, _, _ = select.select([raw.fileno(), sleeper], [], [])
                    if sleeper in readable:
                        return True
                    if any(note.payload != self._own for note in raw.notifies(timeout=0)):
                        heard()
            except psycopg.OperationalError:
                return False  # the connection is lost
            finally:
                connection.detach()
