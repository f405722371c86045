"""A backup is whole or not there, and a restore changes all or nothing."""

import hashlib
import json
import os
import random
import shlex
import sqlite3
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from overnight.app import backup, schema
from overnight.app.lock import ProjectLock
from overnight.app.project import Project
from overnight.base.clock import SystemClock
from overnight.base.config import Config
from overnight.base.errors import (
    ConfigError,
    DatabaseBroken,
    DatabaseBusy,
    NewerDatabase,
    OvernightError,
    PermanentError,
    ProjectLocked,
    UserMistake,
)
from overnight.base.settings import load_config

CLOCK = SystemClock()
CONTENT = b"model" * 1000
BLOB = hashlib.sha256(CONTENT).hexdigest()
INSIDE = f"blobs/{BLOB[:2]}/{BLOB}"
TOML = '[tasks.echo]\naction = ["echo", "hello"]\n'


def make_project(folder: Path, runs: int = 2) -> Config:
    folder.mkdir(exist_ok=True)
    (folder / "overnight.toml").write_text(TOML)
    with Project.open(folder) as project:
        for _ in range(runs):
            project.submit("echo")
        assert project.blobs.put(CONTENT) == BLOB
    (folder / ".overnight" / "blobs" / BLOB[:2] / f".{BLOB}.half.tmp").write_bytes(b"half written")
    return load_config(folder)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return make_project(tmp_path / "project")


def back_up(config: Config, target: Path, **options: bool) -> backup.Manifest:
    return backup.back_up(config, target, clock=CLOCK, program="1.2.3", **options)


def restore(config: Config, archive: Path, **options: bool) -> backup.Manifest:
    return backup.restore(config, archive, clock=CLOCK, **options)


def database_of(config: Config) -> Path:
    return config.project_dir / ".overnight" / "overnight.db"


def count_runs(config: Config) -> int:
    with closing(sqlite3.connect(database_of(config))) as connection:
        return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])


def submit(config: Config) -> None:
    with Project(config) as project:
        project.submit("echo")


def rewritten(archive: Path, **changed: bytes | None) -> Path:
    """Write the archive anew with some members changed (by stem) or left out."""
    target = archive.with_name("rewritten.zip")
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = changed.get(Path(name).stem, old.read(name))
            if content is not None:
                new.writestr(name, content)
    return target


# -- making one


def test_a_backup_lists_every_file_with_its_hash_and_comes_back_whole(config, tmp_path):
    made = back_up(config, tmp_path / "b.zip")
    assert [member.path for member in made.files] == ["overnight.db", INSIDE]
    assert (made.program, made.schema, made.blobs) == ("1.2.3", schema.HEAD, 1)
    other = make_project(tmp_path / "other", runs=5)
    (other.project_dir / ".overnight" / INSIDE).unlink()
    assert restore(other, tmp_path / "b.zip", overwrite=True) == made
    assert count_runs(other) == 2
    assert (other.project_dir / ".overnight" / INSIDE).read_bytes() == CONTENT


def test_nothing_but_the_backup_is_left_in_its_folder(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.zip", "project"]


def test_a_backup_made_under_load_shows_one_instant(config, tmp_path):
    enough = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(database_of(config), timeout=10)) as connection:
            connection.execute("CREATE TABLE pairs (one INTEGER, two INTEGER)")
            for number in range(100_000):
                if enough.is_set():
                    return
                with connection:
                    connection.execute("INSERT INTO pairs VALUES (?, NULL)", (number,))
                    connection.execute("UPDATE pairs SET two = one WHERE two IS NULL")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            back_up(config, tmp_path / f"{number}.zip")
    finally:
        enough.set()
        writer.join()
    with zipfile.ZipFile(tmp_path / "2.zip") as file:
        file.extract("overnight.db", tmp_path)
    with closing(sqlite3.connect(tmp_path / "overnight.db")) as copy:
        rows, complete = copy.execute("SELECT count(*), count(two) FROM pairs").fetchone()
    assert rows == complete > 0


def test_an_existing_file_is_only_replaced_on_request(config, tmp_path):
    target = tmp_path / "b.zip"
    target.write_text("precious")
    with pytest.raises(UserMistake, match="--force"):
        back_up(config, target)
    assert target.read_text() == "precious"
    back_up(config, target, overwrite=True)
    assert zipfile.is_zipfile(target)


def test_a_damaged_database_gives_no_backup(config, tmp_path):
    file = database_of(config)
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE filler (x TEXT)")
        connection.executemany("INSERT INTO filler VALUES (?)", [("x" * 2000,)] * 100)
    pages = bytearray(file.read_bytes())
    pages[-200_000:-100_000] = os.urandom(100_000)
    file.write_bytes(pages)
    with pytest.raises(DatabaseBroken, match=r"damaged|malformed"):
        back_up(config, tmp_path / "b.zip")
    assert [path.name for path in tmp_path.iterdir()] == ["project"]


@pytest.mark.parametrize(
    ("target", "said"),
    [("project", "is a folder"), ("nowhere/b.zip", "there is no folder"), ("b.zip", "no database yet")],
)
def test_a_backup_that_cannot_be_made_says_why(tmp_path, target, said):
    config = make_project(tmp_path / "project")
    if target == "b.zip":
        database_of(config).unlink()
    with pytest.raises(UserMistake, match=said):
        back_up(config, tmp_path / target)


# -- reading one


def test_whatever_byte_is_changed_the_restore_is_refused_or_right(config, tmp_path):
    archive = tmp_path / "b.zip"
    back_up(config, archive)
    whole = archive.read_bytes()
    submit(config)
    refused = 0
    # The directory at the end steers the reader; the rest is compressed data.
    places = [*range(len(whole) - 270, len(whole), 3), *random.Random(7).sample(range(len(whole) - 270), 30)]
    for place in places:
        broken = bytearray(whole)
        broken[place] ^= 0x40
        archive.write_bytes(broken)
        try:
            restore(config, archive, overwrite=True)
        except OvernightError:
            refused += 1
            assert count_runs(config) == 3
        else:
            assert count_runs(config) == 2
            submit(config)
    assert refused > len(places) // 2


@pytest.mark.parametrize("length", [0, 1, 100, -1, -100])
def test_a_backup_that_was_cut_off_is_refused(config, tmp_path, length):
    archive = tmp_path / "b.zip"
    back_up(config, archive)
    archive.write_bytes(archive.read_bytes()[:length])
    with pytest.raises(UserMistake, match="not a backup"):
        restore(config, archive, overwrite=True)
    assert count_runs(config) == 2


def manifest_of(archive: Path) -> dict[str, object]:
    with zipfile.ZipFile(archive) as file:
        found: dict[str, object] = json.loads(file.read("manifest.json"))
    return found


def test_a_changed_blob_is_told_by_its_hash(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    archive = rewritten(tmp_path / "b.zip", **{BLOB: b"medal" * 1000})
    with pytest.raises(PermanentError, match=rf"{INSIDE} is not what was backed up \(SHA-256 differs\)"):
        restore(config, archive, overwrite=True)
    assert count_runs(config) == 2


@pytest.mark.parametrize("left_out", [BLOB, "overnight"])
def test_a_missing_member_is_noticed(config, tmp_path, left_out):
    back_up(config, tmp_path / "b.zip")
    with pytest.raises(PermanentError, match="does not hold the files"):
        restore(config, rewritten(tmp_path / "b.zip", **{left_out: None}), overwrite=True)


def test_a_zip_without_a_manifest_is_no_backup(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    with pytest.raises(UserMistake, match=r"no manifest\.json"):
        restore(config, rewritten(tmp_path / "b.zip", manifest=None), overwrite=True)


@pytest.mark.parametrize("path", ["blobs/../../evil", "/blobs/evil", "other/file", "blobs/..\\evil", "blobs"])
def test_no_file_is_written_outside_of_the_blobs(config, tmp_path, path):
    archive = tmp_path / "b.zip"
    back_up(config, archive)
    content = manifest_of(archive)
    members = content["files"]
    assert isinstance(members, list)
    members[1]["path"] = path
    evil = tmp_path / "evil.zip"
    with zipfile.ZipFile(archive) as old, zipfile.ZipFile(evil, "w") as new:
        new.writestr("overnight.db", old.read("overnight.db"))
        new.writestr(path, old.read(INSIDE))
        new.writestr("manifest.json", json.dumps(content))
    with pytest.raises(PermanentError, match=r"which is no file of a backup|does not hold"):
        restore(config, evil, overwrite=True)
    assert not list(tmp_path.rglob("evil"))


def test_another_format_is_refused_by_its_number(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    content = manifest_of(tmp_path / "b.zip") | {"format": 2}
    archive = rewritten(tmp_path / "b.zip", manifest=json.dumps(content).encode())
    with pytest.raises(UserMistake, match="format 2 is not known here"):
        restore(config, archive, overwrite=True)


def test_a_newer_backup_is_refused(config, tmp_path):
    with closing(sqlite3.connect(database_of(config))) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    back_up(config, tmp_path / "b.zip")
    with pytest.raises(NewerDatabase, match="9999"):
        restore(config, tmp_path / "b.zip", overwrite=True)


# -- putting it back


def test_an_existing_database_is_only_replaced_on_request(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    with pytest.raises(UserMistake, match="--force"):
        restore(config, tmp_path / "b.zip")
    submit(config)
    restore(config, tmp_path / "b.zip", overwrite=True)
    assert count_runs(config) == 2
    with Project(config) as project:
        assert len(project.runs()) == 2


def test_a_project_without_state_gets_it_without_force(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    fresh = tmp_path / "fresh"
    fresh.mkdir()
    (fresh / "overnight.toml").write_text(TOML)
    restore(load_config(fresh), tmp_path / "b.zip")
    assert count_runs(load_config(fresh)) == 2


def test_no_restore_while_a_worker_holds_the_project(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    submit(config)
    lock = ProjectLock(config.project_dir / ".overnight" / "lock", CLOCK)
    with pytest.raises(ProjectLocked, match=str(os.getpid())):
        restore(config, tmp_path / "b.zip", overwrite=True)
    lock.release()
    assert count_runs(config) == 3


def test_no_restore_while_another_program_has_the_database_open(config, tmp_path, monkeypatch):
    monkeypatch.setattr(backup, "_BUSY_S", 0.1)
    back_up(config, tmp_path / "b.zip")
    submit(config)
    with closing(sqlite3.connect(database_of(config))) as other:
        other.execute("SELECT count(*) FROM runs").fetchone()
        with pytest.raises(DatabaseBusy, match="close it"):
            restore(config, tmp_path / "b.zip", overwrite=True)
    assert count_runs(config) == 3


def test_the_write_ahead_log_of_the_old_database_is_not_played_into_the_new_one(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    file = database_of(config)
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        with connection:
            connection.execute("DELETE FROM runs")
        log = Path(f"{file}-wal").read_bytes()
    Path(f"{file}-wal").write_bytes(log)
    assert log
    restore(config, tmp_path / "b.zip", overwrite=True)
    assert count_runs(config) == 2


def test_a_destroyed_database_is_replaced(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{database_of(config)}{suffix}").write_bytes(os.urandom(10_000))
    restore(config, tmp_path / "b.zip", overwrite=True)
    assert count_runs(config) == 2
    assert not list(database_of(config).parent.glob("*.before-restore"))


def test_a_restore_that_fails_late_leaves_the_old_database(config, tmp_path, monkeypatch):
    back_up(config, tmp_path / "b.zip")
    submit(config)
    monkeypatch.setattr(backup, "sync_folder", lambda folder: None)
    examined = []

    def examine(file: Path) -> str | None:
        examined.append(file)
        if file == database_of(config):
            raise DatabaseBroken("the disk lied")
        return schema.HEAD

    monkeypatch.setattr(backup, "_examine", examine)
    with pytest.raises(DatabaseBroken, match="the disk lied"):
        restore(config, tmp_path / "b.zip", overwrite=True)
    assert examined[-1] == database_of(config)
    assert count_runs(config) == 3


def test_blobs_that_are_there_stay_and_damaged_ones_are_mended(config, tmp_path):
    back_up(config, tmp_path / "b.zip")
    mine = config.project_dir / ".overnight" / INSIDE
    mine.write_bytes(b"damaged")
    mine.with_name("newer").write_bytes(b"newer")
    restore(config, tmp_path / "b.zip", overwrite=True)
    assert mine.read_bytes() == CONTENT
    assert mine.with_name("newer").read_bytes() == b"newer"


def test_a_damaged_blob_is_not_backed_up_as_if_it_were_whole(config, tmp_path):
    (config.project_dir / ".overnight" / INSIDE).write_bytes(b"damaged")
    with pytest.raises(DatabaseBroken, match=BLOB):
        back_up(config, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


# -- other databases


def with_database(tmp_path: Path, url: str) -> Config:
    (tmp_path / "overnight.toml").write_text(f'[engine]\ndatabase = "{url}"\n')
    return load_config(tmp_path)


def test_the_lines_for_postgresql_hold_no_password_and_leave_the_stream_out(tmp_path):
    url = "postgresql+psycopg://joe:s3cret@db.example:5433/night?host=/tmp/s&password=s3cret&sslpassword=s3cret"
    config = with_database(tmp_path, url)
    assert backup.database_file(config) is None
    dump = shlex.split(backup.pg_dump_line(config, Path("my backup.dump")))
    back = shlex.split(backup.pg_restore_line(config, Path("my backup.dump")))
    assert dump[:4] == ["pg_dump", "--format=custom", "--exclude-table-data=stream", "--file=my backup.dump"]
    assert dump[4].startswith("postgresql://joe@db.example:5433/night?host=")
    assert back[0] == "pg_restore"
    assert back[-1] == "my backup.dump"
    assert not any("s3cret" in word for word in dump + back)


def test_a_database_in_memory_has_no_backup(tmp_path):
    with pytest.raises(UserMistake, match="in memory"):
        backup.database_file(with_database(tmp_path, "sqlite:///:memory:"))


def test_other_databases_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="mysql"):
        backup.database_file(with_database(tmp_path, "mysql://x"))
