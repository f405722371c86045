"""How much memory a machine has, and how much of it may be handed out. Pure.

The texts that are read here are the kernel's: /proc/meminfo and /proc/self/{cgroup,mountinfo} (proc(5)), and the files
of memory control groups (Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst of Linux).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from overnight.base.resource_settings import ResourceSettings
from overnight.resources.policy import GB

RESERVE_SHARE = 0.05
DRIVER_SHARE = 0.05
"""What a GPU's driver takes of it for itself at the most."""
KB = 1024
"""The unit of /proc/meminfo, whatever it calls it."""


@dataclass(frozen=True, kw_only=True)
class GroupFiles:
    """Where a control group tells its limit and its use, and what its page cache is called in `memory.stat`."""

    folder: str
    limit: str
    usage: str
    inactive: str


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A control group that has a limit. `used_bytes` leaves out cached files, which the kernel drops at need."""

    folder: str
    limit_bytes: int
    used_bytes: int


@dataclass(frozen=True, kw_only=True)
class Host:
    """The memory of a machine, or of the control group that holds this process where that has less."""

    capacity_bytes: int
    available_bytes: int
    limited_by: str | None = None
    """The folder of the control group whose limit is the capacity."""

    @property
    def used_bytes(self) -> int:
        """Return what nobody could have now."""
        return self.capacity_bytes - self.available_bytes


def capacity_bytes(settings: ResourceSettings, host: Host) -> int:
    """Return what services and jobs may have together, the host's reserve included."""
    allowed = settings.max_total_memory_gb
    return host.capacity_bytes if allowed is None else min(host.capacity_bytes, int(allowed * GB))


def reserve_bytes(settings: ResourceSettings, capacity: int) -> int:
    """Return what is never handed out."""
    given = settings.host_reserve_gb
    return max(GB, int(RESERVE_SHARE * capacity)) if given is None else int(given * GB)


def rest_bytes(total: int, used: int, *, told: int, known: int, silent: int) -> int:
    """Return what others use of a GPU of which so much is used.

    Its driver has `told` what processes hold together; runs and services are `known` to hold so much of that. Where it
    does not tell of all processes, as in most containers, what remains is first that of the runs of which it tells
    nothing, `silent` at the most.
    """
    untold = max(0, used - told)
    driver = min(untold, int(DRIVER_SHARE * total))
    return max(0, told - known) + driver + max(0, untold - driver - silent)


def assumed_need_bytes(assumed_gb: float, capacity: int) -> int:
    """Return the need of a job that cannot be estimated: what is assumed, and half of the capacity at the most."""
    return min(int(assumed_gb * GB), capacity // 2)


def host_of(total_bytes: int, available_bytes: int, limits: Iterable[Limit]) -> Host:
    """Return what there is: of the machine and all groups around this process, what has the least."""
    capacity, limited_by = total_bytes, None
    for limit in limits:
        available_bytes = min(available_bytes, max(0, limit.limit_bytes - limit.used_bytes))
        if limit.limit_bytes < capacity:
            capacity, limited_by = limit.limit_bytes, limit.folder
    return Host(capacity_bytes=capacity, available_bytes=min(capacity, available_bytes), limited_by=limited_by)


def meminfo(text: str) -> tuple[int, int]:
    """Return MemTotal and MemAvailable, in bytes.

    Raises:
        ValueError: one is missing (Linux tells MemAvailable since 3.14).
    """
    found = dict(line.partition(":")[::2] for line in text.splitlines())
    try:
        total, available = (int(found[name].split()[0]) * KB for name in ("MemTotal", "MemAvailable"))
    except (KeyError, IndexError) as error:
        raise ValueError("/proc/meminfo tells no MemTotal or no MemAvailable") from error
    return total, available


def limit_of(files: GroupFiles, limit: str, usage: str, stat: str) -> Limit | None:
    """Return the limit that the three files of a group tell; None where it has none.

    Raises:
        ValueError: what should be a number is none.
    """
    if limit.strip() == "max":
        return None
    inactive = dict(line.partition(" ")[::2] for line in stat.splitlines()).get(files.inactive, "0")
    return Limit(folder=files.folder, limit_bytes=int(limit), used_bytes=max(0, int(usage) - int(inactive)))


def groups_of(membership: str, mounts: str) -> Iterator[GroupFiles]:
    """Yield the control groups that hold this process, by /proc/self/cgroup and /proc/self/mountinfo.

    Of each hierarchy that may limit memory: the group itself and then those around it.
    """
    for line in membership.splitlines():
        hierarchy, controllers, path = line.split(":", 2)
        unified = hierarchy == "0" and not controllers
        if unified or "memory" in controllers.split(","):
            for root, mounted in _mounts(mounts, unified):
                for folder in _upwards(path, root, mounted):
                    yield _files(folder, unified)


def _files(folder: str, unified: bool) -> GroupFiles:
    if unified:
        return GroupFiles(folder=folder, limit="memory.max", usage="memory.current", inactive="inactive_file")
    names = {"limit": "memory.limit_in_bytes", "usage": "memory.usage_in_bytes", "inactive": "total_inactive_file"}
    return GroupFiles(folder=folder, **names)


def _mounts(text: str, unified: bool) -> Iterator[tuple[str, str]]:
    """Yield where the hierarchy is mounted: the group that stands at the top there, and the folder."""
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind == "cgroup2" if unified else kind == "cgroup" and "memory" in options.split(","):
            root, mounted = left.split(" ")[3:5]
            yield root, mounted


def _upwards(path: str, root: str, mounted: str) -> Iterator[str]:
    """Yield the folders from that of the group up to the mount."""
    top = root.rstrip("/")
    # In a container with the host's names, the path may lie outside of what is mounted: then the mount is its group.
    inside = path[len(top) :] if path.startswith(f"{top}/") and ".." not in path.split("/") else ""
    names = [name for name in inside.split("/") if name]
    for length in range(len(names), -1, -1):
        yield "/".join([mounted.rstrip("/"), *names[:length]])
