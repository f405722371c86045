"""What `overnight doctor` looks at. Each answer is measured or tried; nothing is taken from a version number alone."""

import os
import platform
import shutil
import sqlite3
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Literal

from overnight.app import schema
from overnight.app.backup import database_file
from overnight.app.lock import is_held, may_ask
from overnight.base.clock import SystemClock
from overnight.base.config import Config
from overnight.base.errors import NotAProject, OvernightError
from overnight.base.settings import STATE_FOLDER, environment
from overnight.cli.place import Place
from overnight.cli.printing import amount, span
from overnight.db.database import Database
from overnight.processes.probe import ProcessFacts, process_facts
from overnight.resources.probes.energy import ZONES, readings
from overnight.resources.probes.gpu import GpuProbe

Verdict = Literal["ok", "warn", "bad"]

FSYNCS = 20
SLOW_FSYNC_S = 0.010
LOW_DISK_BYTES = 1_000_000_000
FEW_FILES = 256
OLDEST_SQLITE = (3, 38)
"""The first with JSON functions in every build; RETURNING came with 3.35."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """What was found out about one thing, and what to do about it where it is not well."""

    name: str
    found: str
    verdict: Verdict = "ok"
    advice: str = ""


def examine(place: Place) -> list[Check]:
    """Try everything out; takes about a second."""
    return list(_all(place))


def _all(place: Place) -> Iterator[Check]:
    yield Check(name="overnight", found=str(import_module("overnight").__version__))
    yield Check(name="python", found=f"{platform.python_version()} ({sys.executable})")
    yield _sqlite()
    config: Config | None = None
    try:
        config = place.config()
        yield Check(name="project", found=str(config.project_dir))
    except NotAProject as error:
        yield Check(name="project", found="none here", verdict="warn", advice=str(error))
    except OvernightError as error:
        yield Check(
            name="project", found=str(error), verdict="bad", advice="`overnight config check` says when it fits"
        )
    if config is not None:
        yield _database(config)
        yield _worker(config)
    folder = Path() if config is None else config.project_dir
    yield _disk(folder)
    yield _fsync(folder)
    yield _energy()
    yield from _processes(process_facts(environment()))


def _sqlite() -> Check:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info < OLDEST_SQLITE:
        needed = ".".join(map(str, OLDEST_SQLITE))
        advice = f"use a Python whose sqlite3 has {needed} or newer"
        return Check(name="sqlite", found=version, verdict="bad", advice=advice)
    return Check(name="sqlite", found=version)


def _database(config: Config) -> Check:
    state = config.project_dir / STATE_FOLDER
    try:
        file = database_file(config)
        if file is not None and file.parent != state and not file.parent.is_dir():
            advice = "see engine.database in `overnight config show`"
            return Check(name="database", found=f"there is no folder {file.parent}", verdict="bad", advice=advice)
        if file is not None and not file.exists():
            return Check(name="database", found="none yet; the first command that needs it makes it")
        database = Database(config.database_url, SystemClock(), state)
        try:
            version = schema.version_of(database)
            kind = database.dialect.name
        finally:
            database.close()
    except OvernightError as error:
        advice = "see engine.database in `overnight config show`"
        return Check(name="database", found=str(error), verdict="bad", advice=advice)
    if version not in (schema.HEAD, None) and version not in schema.known_versions():
        advice = "install a newer overnight; this one does not touch the database"
        found = f"{kind} at version {version}, newer than {schema.HEAD}"
        return Check(name="database", found=found, verdict="bad", advice=advice)
    if version != schema.HEAD:
        found = f"{kind} at version {version or 'none'}; the next command brings it to {schema.HEAD}"
        return Check(name="database", found=found)
    return Check(name="database", found=f"{kind} at version {version}, reachable")


def _worker(config: Config) -> Check:
    lock = config.project_dir / STATE_FOLDER / "lock"
    if not may_ask(lock):
        advice = "ask its owner, or look as that user"
        return Check(name="worker", found=f"unknown: this user may not read {lock}", verdict="warn", advice=advice)
    if is_held(lock):
        return Check(name="worker", found="a process on this machine works on the project now")
    return Check(name="worker", found="no process on this machine works on the project now")


def _disk(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    if free < LOW_DISK_BYTES:
        advice = "make room; a full disk stops all runs"
        return Check(name="disk", found=f"{amount(free)} free", verdict="warn", advice=advice)
    return Check(name="disk", found=f"{amount(free)} free")


def _fsync(folder: Path) -> Check:
    clock = SystemClock()
    took: list[float] = []
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            for _ in range(FSYNCS):
                file.write(b"x" * 4096)
                file.flush()
                before = clock.monotonic()
                os.fsync(file.fileno())
                took.append(clock.monotonic() - before)
    except OSError as error:
        advice = "make the folder writable for this user"
        return Check(name="fsync", found=f"cannot write in {folder}: {error.strerror}", verdict="bad", advice=advice)
    median = statistics.median(took)
    found = f"{median * 1000:.2f} ms (median of {FSYNCS}, longest {span(max(took))})"
    if median > SLOW_FSYNC_S:
        advice = "every commit waits that long; put the project on a local disk"
        return Check(name="fsync", found=found, verdict="warn", advice=advice)
    return Check(name="fsync", found=found)


def _energy(root: Path = Path("/")) -> Check:
    gpus = GpuProbe()
    try:
        sources = readings(root, gpus)
    finally:
        gpus.close()
    if sources:
        return Check(name="energy", found="counted by " + ", ".join(one.source for one in sources))
    zones = f"/{ZONES}/intel-rapl:*/energy_uj"
    if not any((root / ZONES).glob("intel-rapl:*")):
        advice = "the morning report then says `not measured`; virtual machines have no counters"
        return Check(name="energy", found="no processor or GPU here counts what it uses", verdict="warn", advice=advice)
    advice = f"let this user read {zones}, if nobody else works on this machine"
    return Check(name="energy", found=f"this user may not read {zones}", verdict="warn", advice=advice)


def _processes(facts: ProcessFacts) -> Iterator[Check]:
    named = (
        ("pidfd", facts.pidfd, "children are ended by their pid instead (Linux 5.3 or newer has it)"),
        ("subreaper", facts.subreaper, "grandchildren that leave their parent may outlive a run"),
        ("user namespace", facts.user_namespace, "the kernel or the container forbids it; see sandbox below"),
        ("net namespace", facts.net_namespace, "the kernel or the container forbids it; see sandbox below"),
        ("mount namespace", facts.mount_namespace, "the kernel or the container forbids it; see sandbox below"),
        ("cgroup v2", facts.cgroup_v2_writable, "the memory of children is measured by watching the processes instead"),
    )
    for name, there, otherwise in named:
        yield Check(name=name, found="yes") if there else Check(name=name, found="no", verdict="warn", advice=otherwise)
    few = facts.open_files < FEW_FILES
    advice = f"raise it to {FEW_FILES} or more (`ulimit -n`)" if few else ""
    yield Check(name="open files", found=f"limit {facts.open_files}", verdict="warn" if few else "ok", advice=advice)
    if facts.sandbox == "namespaces":
        found = "namespaces could shut a child in (tried); no task uses them yet: each has the rights of its worker"
        yield Check(name="sandbox", found=found)
    else:
        weak = "the kernel allows no namespaces; no task would use them yet: each has the rights of its worker"
        advice = "run only code that you trust; for later: allow unprivileged user namespaces"
        yield Check(name="sandbox", found=weak, verdict="warn", advice=advice)
