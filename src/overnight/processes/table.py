"""The processes of this machine: who is whose parent, since when, and how much memory they hold.

A process is known by its pid *and* its start: a pid alone is given to somebody else sooner or later. The start is one
number that stays the same for the life of the process, whatever happens to the clock: on Linux the start in clock ticks
since boot, with 16 bits of the boot's id above it (after a reboot the same pid may start at the same tick). It fits a
float exactly and is only good for comparing. Elsewhere it is the creation time that psutil tells.

This module is on the path of every child's start, so it imports next to nothing.
"""

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

_BOOT_SHIFT = 2**36  # clock ticks (100 a second) of 21 years


class Entry(NamedTuple):
    """One living process or, in state "Z", the rest of a dead one that nobody has waited for."""

    pid: int
    ppid: int
    started: float
    state: str

    @property
    def alive(self) -> bool:
        """False for a zombie: it does nothing any more and cannot be killed."""
        return self.state not in ("Z", "X")


def look(pid: int) -> Entry | None:
    """Return what is known of one process; None when there is none of that pid."""
    if not _LINUX:
        return _look_psutil(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            text = file.read()
    except OSError:
        return None
    # The name stands in brackets and may hold spaces and brackets itself.
    fields = text[text.rindex(b")") + 2 :].split(None, 20)
    return Entry(pid, int(fields[1]), _BOOT + int(fields[19]), fields[0].decode())


def started_of(pid: int) -> float | None:
    """Return the start of the process that has this pid now; None when there is none."""
    entry = look(pid)
    return None if entry is None else entry.started


def same_process(pid: int, started: float) -> bool:
    """Tell whether the process that was recorded as (pid, started) still lives."""
    entry = look(pid)
    return entry is not None and entry.started == started and entry.alive


def snapshot() -> dict[int, Entry]:
    """Return all processes by pid. Processes that come and go meanwhile may be missing."""
    if not _LINUX:
        return _snapshot_psutil()
    found = (look(int(name)) for name in os.listdir("/proc") if name.isdigit())  # noqa: PTH208
    return {entry.pid: entry for entry in found if entry is not None}


def below(roots: Iterable[int], table: dict[int, Entry]) -> Iterator[Entry]:
    """Yield every living process below the roots, the roots themselves left out, parents before children."""
    children: dict[int, list[Entry]] = {}
    for entry in table.values():
        children.setdefault(entry.ppid, []).append(entry)
    waiting = list(roots)
    seen = set(waiting)
    while waiting:
        for entry in children.get(waiting.pop(), []):
            if entry.pid not in seen:
                seen.add(entry.pid)
                waiting.append(entry.pid)
                if entry.alive:
                    yield entry


def pids_below(root: int) -> list[int]:
    """Return the pids below `root` at a cost that grows with this tree and not with the machine.

    A process that starts at this instant may be missing: good for measuring, not for killing.
    """
    found: list[int] = []
    waiting = [root]
    while waiting:
        children = _children(waiting.pop())
        if children is None:
            return [entry.pid for entry in below([root], snapshot())]
        found += children
        waiting += children
    return found


def memory_bytes(pids: list[int]) -> int:
    """Return the resident memory of the processes together.

    One process: its RSS. Several: the sum of their PSS, because pages that forked processes share would count once
    for each; RSS for those that do not tell their PSS.
    """
    if len(pids) == 1:
        return _rss(pids[0])
    return sum(_pss(pid) for pid in pids)


def resident_bytes(pids: list[int]) -> int:
    """Return the RSS of the processes added up: at least what they hold together, and cheap to ask."""
    return sum(_rss(pid) for pid in pids)


def command_line(pid: int) -> str:
    """Return the words that a process was started with, joined by spaces; empty where nobody tells."""
    if not _LINUX:
        return _command_line_psutil(pid)
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123
            return file.read().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used; 0 when there is none of that pid."""
    if not _LINUX:
        return _cpu_s_psutil(pid)
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123
            text = file.read()
    except OSError:
        return 0.0
    user, system = text[text.rindex(b")") + 2 :].split(None, 13)[11:13]
    return (int(user) + int(system)) / _TICKS_PER_S


def marked(variable: str, value: str) -> list[Entry]:
    """Return the living processes that were started with `value` in `variable`, a list joined by colons.

    Only processes of this user can be asked, unless this user is root.
    """
    prefix = f"{variable}=".encode()
    return [entry for entry in snapshot().values() if entry.alive and _carries(entry.pid, prefix, value.encode())]


def _carries(pid: int, prefix: bytes, value: bytes) -> bool:
    assignments = (item for item in _environment(pid) if item.startswith(prefix))
    return any(value in item[len(prefix) :].split(b":") for item in assignments)


def _children(pid: int) -> list[int] | None:
    """Return the direct children of a process, of all its threads; None where the kernel does not tell."""
    folder = f"/proc/{pid}/task"
    children: list[int] = []
    try:
        threads = os.listdir(folder)  # noqa: PTH208
    except OSError:
        return [] if _CHILDREN_FILES else None
    for thread in threads:
        try:
            with open(f"{folder}/{thread}/children", "rb") as file:  # noqa: PTH123
                children += map(int, file.read().split())
        except OSError:
            if not _CHILDREN_FILES:
                return None
    return children


def _rss(pid: int) -> int:
    if not _LINUX:
        return _rss_psutil(pid)
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _pss(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", "rb") as file:  # noqa: PTH123
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except OSError:
        pass
    return _rss(pid)


def _environment(pid: int) -> list[bytes]:
    if not _LINUX:
        return _environment_psutil(pid)
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:  # noqa: PTH123
            return file.read().split(b"\0")
    except OSError:
        return []


def _look_psutil(pid: int) -> Entry | None:
    import psutil

    try:
        process = psutil.Process(pid)
        with process.oneshot():
            state = "Z" if process.status() == psutil.STATUS_ZOMBIE else "R"
            return Entry(pid, process.ppid(), process.create_time(), state)
    except psutil.Error:
        return None


def _snapshot_psutil() -> dict[int, Entry]:
    import psutil

    found = (_look_psutil(pid) for pid in psutil.pids())
    return {entry.pid: entry for entry in found if entry is not None}


def _rss_psutil(pid: int) -> int:
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _environment_psutil(pid: int) -> list[bytes]:
    import psutil

    try:
        return [f"{name}={value}".encode() for name, value in psutil.Process(pid).environ().items()]
    except (psutil.Error, OSError):
        return []


def _command_line_psutil(pid: int) -> str:
    import psutil

    try:
        return " ".join(psutil.Process(pid).cmdline())
    except (psutil.Error, OSError):
        return ""


def _cpu_s_psutil(pid: int) -> float:
    import psutil

    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _boot_mark() -> int:
    try:
        with open("/proc/sys/kernel/random/boot_id", "rb") as file:  # noqa: PTH123
            return int(file.read(4), 16) * _BOOT_SHIFT
    except (OSError, ValueError):
        return 0


_LINUX = os.path.exists("/proc/self/stat")  # noqa: PTH110
_CHILDREN_FILES = os.path.exists(f"/proc/self/task/{os.getpid()}/children")  # noqa: PTH110
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_BOOT = _boot_mark()
