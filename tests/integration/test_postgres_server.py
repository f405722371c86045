"""The throw-away PostgreSQL server serves, and leaves nothing behind."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, make_url, text

from overnight.base.errors import MissingExtra
from overnight.testing import postgres
from overnight.testing.postgres import create_database, drop_database, postgres_server

pytestmark = pytest.mark.postgres


def ask(url: str, statement: str) -> object:
    engine = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with engine.connect() as connection:
            answer = connection.execute(text(statement))
            return answer.scalar() if answer.returns_rows else None
    finally:
        engine.dispose()


def process_of(url: str) -> psutil.Process:
    return psutil.Process(int((folder_of(url) / "data" / "postmaster.pid").read_text().split()[0]))


def folder_of(url: str) -> Path:
    return Path(str(make_url(url).query["host"]))


def test_a_new_database_is_a_copy_of_its_template(postgres_url):
    template = create_database(postgres_url)
    ask(template, "CREATE TABLE films AS SELECT 7 AS votes")
    copy = create_database(postgres_url, template=str(make_url(template).database))
    ask(template, "UPDATE films SET votes = 8")
    assert ask(copy, "SELECT votes FROM films") == 7
    for url in (copy, template):
        drop_database(postgres_url, url)
        left = ask(postgres_url, f"SELECT count(*) FROM pg_database WHERE datname = '{make_url(url).database}'")
        assert left == 0


def test_every_test_gets_an_empty_database(database_url):
    ask(database_url, "CREATE TABLE mine (id integer)")
    assert ask(database_url, "SELECT count(*) FROM mine") == 0


@pytest.mark.parametrize(("durable", "fsync"), [(True, "on"), (False, "off")])
def test_a_stopped_server_leaves_no_process_and_no_file(durable, fsync):
    with postgres_server(durable=durable) as url:
        folder = folder_of(url)
        assert ask(url, "SHOW fsync") == fsync
        process = process_of(url)
        family = [process, *process.children(recursive=True)]
    assert not folder.exists()
    assert not [member for member in family if member.is_running()]


def test_a_killed_test_process_takes_its_server_along():
    program = (
        "import sys\nfrom overnight.testing.postgres import postgres_server\n"
        "with postgres_server() as url:\n    print(url, flush=True)\n    sys.stdin.read()"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    url = parent.stdout.readline().strip()
    folder, server = folder_of(url), process_of(url)
    parent.kill()
    parent.communicate()
    wait_for(lambda: not server.is_running() or server.status() == psutil.STATUS_ZOMBIE, "the server to end")
    wait_for(lambda: not folder.exists(), "its files to be removed")


def wait_for(state, what: str) -> None:
    for _ in range(500):
        if state():
            return
        time.sleep(0.01)
    pytest.fail(f"waited 5 s for {what}")


# -- servers that do not start


@pytest.fixture
def install(tmp_path, monkeypatch):
    def programs(**scripts: str) -> Path:
        folder = tmp_path / "install" / "bin"
        folder.mkdir(parents=True)
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
        monkeypatch.setattr(postgres, "_binaries", lambda: folder)
        return folder

    return programs


@pytest.mark.parametrize(
    ("scripts", "message"),
    [
        ({"initdb": "echo no space left; exit 1"}, "initdb failed:\nno space left"),
        ({"initdb": "exit 0", "postgres": "echo bad socket; exit 1"}, "PostgreSQL did not start:\nbad socket"),
    ],
)
def test_a_server_that_does_not_start_says_why(install, scripts, message):
    install(**scripts)
    with pytest.raises(postgres.PostgresFailed, match=message), postgres_server():
        pass


def test_a_server_that_ignores_polite_requests_is_killed(install, monkeypatch):
    deaf = 'trap "" INT QUIT; mkdir data; printf "$$\\nready" >data/postmaster.pid; exec sleep 600'
    install(initdb="exit 0", postgres=deaf)
    monkeypatch.setattr(postgres, "STOP_S", 0.1)
    with postgres_server() as url:
        server = process_of(url)
        assert server.is_running()
    assert not server.is_running()


def test_a_missing_package_names_the_extra(monkeypatch):
    monkeypatch.setattr(postgres, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"overnight\[dev\]"), postgres_server():
        pass


def test_binaries_in_a_private_folder_are_copied_for_the_other_user(install, tmp_path, monkeypatch):
    private = install(initdb="exit 0")
    monkeypatch.setattr(postgres.os, "geteuid", lambda: 0)
    tmp_path.chmod(0o700)
    (tmp_path / "server").mkdir()
    assert postgres._reachable(private, tmp_path / "server") == tmp_path / "server" / "postgresql" / "bin"
    assert (tmp_path / "server" / "postgresql" / "bin" / "initdb").is_file()
