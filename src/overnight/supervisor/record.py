"""What is written down of a service that was started, so that whoever comes next finds it: a file each."""

import json
import signal
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from overnight.base.files import replace_file, to_json
from overnight.processes import table, tree
from overnight.processes.table import same_process

FOLDER = "services"


@dataclass(frozen=True, kw_only=True)
class Record:
    """A service that was started: the process above it that minds it, the keeper below that, each with its start.

    `ended` is how it has ended, in words; None while it lives, or where nobody could write it down. `failed` says
    whether that was a failure.
    """

    name: str
    pid: int
    started: float
    keeper_pid: int | None = None
    keeper_started: float | None = None
    since_us: int = 0
    ended: str | None = None
    failed: bool = True

    @property
    def minded(self) -> bool:
        """Whether the process that minds it lives."""
        return same_process(self.pid, self.started)

    @property
    def alive(self) -> bool:
        """Whether anything of it lives."""
        return self.minded or self._kept()

    def _kept(self) -> bool:
        return (
            self.keeper_pid is not None
            and self.keeper_started is not None
            and same_process(self.keeper_pid, self.keeper_started)
        )

    def end(self) -> None:
        """Have the process that minds it end it; where there is none, nothing is left but to kill."""
        entry = table.look(self.pid)
        if entry is None or not self.minded or not tree.send(entry, signal.SIGTERM):
            self.kill()

    def kill(self) -> None:
        """End whatever is left of it, at once."""
        tree.end_tree(self.pid, self.started, 0)
        if self.keeper_pid is not None and self.keeper_started is not None:
            tree.end_tree(self.keeper_pid, self.keeper_started, 0)

    def write(self, folder: Path) -> None:
        """Replace the file in the folder, and the one with the number of the topmost process that counts to it.

        Raises:
            OSError: it cannot be written.
        """
        replace_file(folder / f"{self.name}.json", to_json(asdict(self)) + "\n")
        if self.keeper_pid is not None:
            replace_file(folder / f"{self.name}.pid", f"{self.keeper_pid}\n")


def find(folder: Path, name: str) -> Record | None:
    """Return what was written down of a service; None where there is nothing that can be read."""
    with suppress(OSError, ValueError, TypeError):
        return Record(**json.loads((folder / f"{name}.json").read_text()))
    return None


def all_of(folder: Path) -> list[Record]:
    """Return what was written down of all services, by name."""
    found = (find(folder, path.stem) for path in sorted(folder.glob("*.json")))
    return [one for one in found if one is not None]


def forget(folder: Path, name: str) -> None:
    """Take away what was written down of a service that has ended."""
    for suffix in ("json", "pid"):
        (folder / f"{name}.{suffix}").unlink(missing_ok=True)
