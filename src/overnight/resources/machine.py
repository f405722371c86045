"""What all projects of this machine and user share: JSON files, each changed by one process at a time.

A home folder may be shared by several hosts, where a process number means nothing: so each host has files of its own.
"""

import fcntl
import json
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from overnight.base.clock import Clock
from overnight.base.files import write_json
from overnight.base.instants import US
from overnight.processes.table import same_process, started_of
from overnight.resources import slots
from overnight.resources.slots import Holder

SLOTS = "slots"
LOCK_S = 5.0
"""How long to wait for whoever changes a file; a change takes some milliseconds."""
_ASK_AGAIN_S = 0.01


def shared_folder(env: Mapping[str, str]) -> Path:
    """Return the folder in which the projects of one user share what they must (XDG base directories)."""
    given = env.get("XDG_STATE_HOME", "")
    base = Path(given) if Path(given).is_absolute() else Path(env.get("HOME") or Path.home()) / ".local" / "state"
    return base / "overnight"


class Machine:
    """The files of one host, a file for each part. Safe to use from any process; a damaged one counts as empty."""

    def __init__(self, folder: Path, clock: Clock, *, host: str | None = None) -> None:
        self._folder = folder
        self._host = re.sub(r"[^\w.-]", "_", host or socket.gethostname())
        self._clock = clock

    def file(self, part: str) -> Path:
        """Return where a part lies."""
        return self._folder / f"{part}-{self._host}.json"

    def take(self, slot: str, name: str, project: str, ttl_s: float) -> tuple[Holder, bool]:
        """Ask for a slot; return who has it now, and whether that is the caller."""
        pid = os.getpid()
        wanted = Holder(name=name, project=project, pid=pid, started=started_of(pid) or 0.0)

        def change(held: Holder | None) -> Holder:
            return slots.take(held, wanted, ttl_s=ttl_s, now_s=self._now_s(), lives=same_process)

        holder = self._change(slot, change)
        assert holder is not None, "somebody has it"
        mine = (holder.pid, holder.started, holder.name) == (wanted.pid, wanted.started, name)
        return holder, mine

    def renew(self, slot: str, mine: Holder, ttl_s: float) -> bool:
        """Give the holder new time; False where somebody else has had the slot since."""
        kept: list[bool] = []

        def change(held: Holder | None) -> Holder | None:
            renewed = slots.renew(held, mine, ttl_s=ttl_s, now_s=self._now_s())
            kept.append(renewed is not None)
            return held if renewed is None else renewed

        self._change(slot, change)
        return kept[0]

    def release(self, slot: str, mine: Holder) -> None:
        """Give the slot back."""
        self._change(slot, lambda held: slots.release(held, mine))

    def holder(self, slot: str) -> Holder | None:
        """Return who has the slot now."""
        return slots.standing(_holder(self.read(SLOTS), slot), self._now_s(), same_process)

    def _now_s(self) -> float:
        return self._clock.now_us() / US

    def edit(self, part: str, change: Callable[[Any], Any], *, durable: bool = True) -> Any:  # Any: JSON
        """Replace a part by what `change` makes of it (None where it is not there); return that.

        Nobody else changes it meanwhile. What is not `durable` does not outlive a crash of the machine.

        Raises:
            OSError: it cannot be written, or somebody else changes it for more than `LOCK_S`.
        """
        path = self.file(part)
        # What wakes a service is nobody else's business.
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # The lock is a file of its own, because the other one is replaced.
        with _alone(path.with_suffix(".lock")):
            before = self.read(part)
            after = change(before)
            if after != before:
                write_json(path, after, durable=durable)
            return after

    def read(self, part: str) -> Any:  # Any: JSON
        """Return a part as it is; None where it is not there."""
        # What cannot be read now is not empty: it would be lost with the next change.
        with suppress(FileNotFoundError, ValueError):
            return json.loads(self.file(part).read_bytes())
        return None

    def _change(self, slot: str, change: Callable[[Holder | None], Holder | None]) -> Holder | None:
        def changed(slots: Any) -> dict[str, Any]:  # Any: JSON
            after = change(_holder(slots, slot))
            return {**_table(slots), slot: None if after is None else asdict(after)}

        return _holder(self.edit(SLOTS, changed), slot)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock of a file within the block; who holds it may be stopped, and must not stop all others too."""
    with path.open("a") as lock:
        for _ in range(round(LOCK_S / _ASK_AGAIN_S)):
            if _locks(lock):
                yield
                return
            threading.Event().wait(_ASK_AGAIN_S)
        raise TimeoutError(f"{path} has been locked for {LOCK_S:g} s; `fuser {path}` shows by whom; end that process")


def _locks(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _table(slots: Any) -> dict[str, Any]:  # Any: JSON
    return dict(slots) if isinstance(slots, dict) else {}


def _holder(slots: Any, slot: str) -> Holder | None:  # Any: JSON
    with suppress(TypeError):
        found = _table(slots).get(slot)
        return None if found is None else Holder(**found)
    return None
