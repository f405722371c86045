"""What all projects of this machine and user share: one JSON file, changed by one process at a time."""

import fcntl
import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overnight.base.clock import Clock
from overnight.base.files import write_json
from overnight.base.instants import US
from overnight.processes.table import same_process, started_of
from overnight.resources import slots
from overnight.resources.slots import Holder

FILE = "machine.json"


def shared_folder(env: Mapping[str, str]) -> Path:
    """Return the folder in which the projects of one user share what they must (XDG base directories)."""
    given = env.get("XDG_STATE_HOME", "")
    base = Path(given) if Path(given).is_absolute() else Path(env.get("HOME") or Path.home()) / ".local" / "state"
    return base / "overnight"


class Machine:
    """The file. Safe to use from any process; a damaged one counts as empty."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._path = folder / FILE
        self._clock = clock

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
        return slots.standing(_holder(self._read(), slot), self._now_s(), same_process)

    def _now_s(self) -> float:
        return self._clock.now_us() / US

    def _read(self) -> dict[str, Any]:
        with suppress(OSError, ValueError):
            found = json.loads(self._path.read_bytes())
            if isinstance(found, dict):
                return found
        return {}

    def _change(self, slot: str, change: Callable[[Holder | None], Holder | None]) -> Holder | None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # The lock is a file of its own, because the other one is replaced.
        with (self._path.parent / f"{FILE}.lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            content = self._read()
            before = _holder(content, slot)
            after = change(before)
            if after != before:
                held = {**_slots(content), slot: None if after is None else asdict(after)}
                write_json(self._path, {**content, "slots": held})
            return after


def _slots(content: Mapping[str, Any]) -> dict[str, Any]:
    found = content.get("slots")
    return dict(found) if isinstance(found, dict) else {}


def _holder(content: Mapping[str, Any], slot: str) -> Holder | None:
    with suppress(TypeError):
        found = _slots(content).get(slot)
        return None if found is None else Holder(**found)
    return None
