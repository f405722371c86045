"""What all tests share: databases, real data, and the long form of the tests that kill processes."""

import compileall
import fcntl
import gc
import importlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import settings

import overnight
from overnight.base.errors import OvernightError
from overnight.testing.postgres import create_database, drop_database, postgres_server

DATA = os.environ.get("OVERNIGHT_TEST_DATA")
POSTGRES = os.environ.get("OVERNIGHT_TEST_POSTGRES")
CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}
NO_POSTGRES = "NO POSTGRESQL SERVER STARTED"
NO_BYTECODE = "PYTHONDONTWRITEBYTECODE"
IN_MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 2 << 30
"""Room that temporary files have in any case; a part of the suite took 0.2 GB."""


# Linear algebra on one core, before NumPy is loaded: threads of several test processes would spin for the same cores.
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(name, "1")

# A slow machine is no failure: time limits are pytest-timeout's.
settings.register_profile("overnight", deadline=None, max_examples=50)
settings.load_profile("overnight")


@pytest.fixture(scope="module", autouse=True)
def fresh_modules(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Let no module of a project that another test file has made stand in for one of the same name."""
    made = f"{tmp_path_factory.getbasetemp()}{os.sep}"
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(made):
            del sys.modules[name]
    importlib.invalidate_caches()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long form of the tests that have one")
    parser.addoption(
        "--kill-seed", type=int, help="choose the random instants of kills as the run did that had this seed"
    )


def pytest_configure(config: pytest.Config) -> None:
    # Here and not in a fixture, so that all processes of pytest-xdist have the same.
    if config.option.kill_seed is None:
        config.option.kill_seed = Random().randrange(10_000)
    if hasattr(config, "workerinput"):
        write_no_bytecode()
        return
    if config.getoption("dist", "no") != "no":
        # Workers keep what pytest rewrote of its plugins, some 240 modules, and begin with that the next time.
        os.environ.pop(NO_BYTECODE, None)
    else:
        write_no_bytecode()
    # Once, and not by each of hundreds of child processes where Python is told to write no bytecode.
    compileall.compile_dir(Path(overnight.__file__).parent, quiet=1)
    if not config.option.long and memory_serves():
        os.environ.setdefault("TMPDIR", str(IN_MEMORY))
        tempfile.tempdir = None  # where they were to lie may have been asked already


def write_no_bytecode() -> None:
    """Have this process and its children write no bytecode.

    A test that writes a module again within a second, as long as before, would meet what the first was compiled to.
    """
    sys.dont_write_bytecode = True
    os.environ[NO_BYTECODE] = "1"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Keep the tests as pytest rewrote them, and have what was loaded with them never searched for garbage.

    Each worker loads all tests: rewriting them took 14 of 20 s, and each search of a million objects takes 0.4 s.
    """
    sys.dont_write_bytecode = False
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        sys.dont_write_bytecode = True


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """In a worker of pytest-xdist, end the coverage that pytest-cov began as if there were no workers.

    It begins another one for the worker, and `no_cover` stops only that: the first would go on, as slow as before.
    """
    plugin = session.config.pluginmanager.getplugin("_cov")
    if plugin is not None and plugin.cov_controller is not None and hasattr(session.config, "workerinput"):
        plugin.cov_controller.cov.stop()


def memory_serves() -> bool:
    """Whether temporary files may lie in memory, where a commit waits for no disk: who is killed does not notice."""
    try:
        found = os.statvfs(IN_MEMORY)
    except OSError:
        return False
    return not found.f_flag & os.ST_NOEXEC and found.f_bavail * found.f_frsize >= ENOUGH_BYTES


def pytest_report_header(config: pytest.Config) -> list[str]:
    data = (
        f"real data: {DATA}" if DATA else "real data: OVERNIGHT_TEST_DATA is unset, the tests that read it are skipped"
    )
    server = "OVERNIGHT_TEST_POSTGRES" if POSTGRES else "a throw-away server, started on first use"
    files = f"temporary files: {tempfile.gettempdir()}"
    return [
        data,
        f"PostgreSQL: {server}",
        files,
        f"instants of kills: --kill-seed {config.option.kill_seed} repeats them",
    ]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    count = sum(NO_POSTGRES in str(report.longrepr) for report in skipped)
    if count:
        line = f"{NO_POSTGRES}: {count} tests were skipped, half of the promises are untested"
        terminalreporter.write_line(line, red=True, bold=True)


@pytest.fixture(scope="session")
def long_form(pytestconfig: pytest.Config) -> bool:
    """Whether this is `make chaos` or `make figures`, which may take minutes."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Random:
    """The randomness of a test that kills at random instants: the same for a seed, whatever else runs."""
    seed: int = request.config.option.kill_seed
    print(f"--kill-seed {seed}")
    return Random(f"{seed} {request.node.name}")


Once = Callable[[str, Callable[[Path], Any]], tuple[Path, Any]]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Once:
    """Have something that is dear made once in a run of tests, whichever of its processes need it.

    `once(name, make)` calls `make(folder)` with a folder that all processes share, and returns that folder and what
    was returned. Who needs it meanwhile waits. Whoever changes something in the folder takes a copy.
    """
    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if hasattr(pytestconfig, "workerinput") else base) / "once"
    shared.mkdir(exist_ok=True)

    def made(name: str, make: Callable[[Path], Any]) -> tuple[Path, Any]:
        with (shared / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder, found = shared / name, shared / f"{name}.pickle"
            if not found.exists():
                folder.mkdir()  # a second attempt fails here as the first one did
                value = make(folder)
                found.write_bytes(pickle.dumps(value))
            return folder, pickle.loads(found.read_bytes())

    return made


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real data."""
    if not DATA:
        pytest.skip("OVERNIGHT_TEST_DATA is unset")
    if not Path(DATA).is_dir():
        pytest.fail(f"OVERNIGHT_TEST_DATA={DATA!r} is not a folder")
    return Path(DATA)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The maintenance database of a PostgreSQL server; one server for each test process."""
    if POSTGRES:
        yield POSTGRES
        return
    with ExitStack() as stack:
        try:
            url = stack.enter_context(postgres_server())
        except (OvernightError, OSError) as error:
            message = f"{NO_POSTGRES}: {error}"
            pytest.fail(message, pytrace=False) if CI else pytest.skip(message)
        yield url


@pytest.fixture
def postgres_database(postgres_url: str) -> Iterator[str]:
    """A new, empty database on PostgreSQL."""
    url = create_database(postgres_url)
    yield url
    drop_database(postgres_url, url)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new, empty database: every test that asks for it runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'overnight.db'}"
    url: str = request.getfixturevalue("postgres_database")
    return url
