"""Who has a port of this machine: found out where a service cannot have it."""

from dataclasses import dataclass

import psutil

from overnight.processes.table import command_line

MARK = "OVERNIGHT_SERVICE"
"""The variable that tells of which project's state folder a process is a service, and of which name."""
_SHOWN = 80


@dataclass(frozen=True, kw_only=True)
class Owner:
    """A process that listens: `service` is the mark of one that a project has started."""

    pid: int
    command: str
    service: str | None

    def __str__(self) -> str:
        command = self.command if len(self.command) <= _SHOWN else f"{self.command[:_SHOWN]}..."
        if self.service is not None:
            folder, _, name = self.service.rpartition(":")
            return f"service {name} of the project in {folder.removesuffix('/.overnight')} (process {self.pid})"
        return f"process {self.pid} ({command})"


def owner_of(port: int) -> Owner | None:
    """Return who listens at a port; None where nobody does, or where that is not for us to see."""
    try:
        found = [one for one in psutil.net_connections("tcp") if one.status == psutil.CONN_LISTEN]
    except (psutil.Error, OSError):
        return None
    pids = [one.pid for one in found if one.laddr.port == port and one.pid is not None]
    return None if not pids else Owner(pid=pids[0], command=command_line(pids[0]), service=_mark_of(pids[0]))


def _mark_of(pid: int) -> str | None:
    try:
        mark: str | None = psutil.Process(pid).environ().get(MARK)
    except (psutil.Error, OSError):
        return None
    return mark
