"""Reads how much memory this machine has and how much of it is free, within the control group that holds us."""

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from overnight.base.errors import NotMeasured
from overnight.resources.capacity import Host, Limit, groups_of, host_of, limit_of, meminfo


def look(root: Path = Path("/")) -> Host:
    """Return the memory of this machine; swap does not count.

    `root` holds `proc` and `sys`. Elsewhere than on Linux, psutil is asked.

    Raises:
        NotMeasured: the system does not tell.
    """
    try:
        text = (root / "proc/meminfo").read_text()
    except FileNotFoundError:
        return _by_psutil()
    except OSError as error:
        raise NotMeasured(f"/proc/meminfo cannot be read: {error.strerror}") from error
    try:
        total, available = meminfo(text)
        return host_of(total, available, _limits(root))
    except ValueError as error:
        raise NotMeasured(f"the memory of this machine cannot be told: {error}") from error


def _limits(root: Path) -> Iterator[Limit]:
    try:
        membership = (root / "proc/self/cgroup").read_text()
        mounts = (root / "proc/self/mountinfo").read_text()
    except OSError:
        return  # a kernel without control groups
    for files in groups_of(membership, mounts):
        folder = root / files.folder.lstrip("/")
        # The topmost group has no such files, and those above a container's are not there.
        with suppress(FileNotFoundError):
            texts = [(folder / name).read_text() for name in (files.limit, files.usage, "memory.stat")]
            limit = limit_of(files, *texts)
            if limit is not None:
                yield limit


def _by_psutil() -> Host:
    import psutil

    memory = psutil.virtual_memory()
    return host_of(int(memory.total), int(memory.available), ())
