"""Ends whole trees of processes: those that ignore SIGTERM, left their group and session, or lost their parent.

Every child of Overnight and all that it starts carry `OVERNIGHT_CHILD=PID-START` (of the keeper, see `keeper`) in their
environment. So a tree can be ended by any process that knows the recorded pid and start, also when its root is long
dead and its members hang below init.
"""

import os
import select
import signal
from collections.abc import Iterable

from overnight.base.clock import Clock, SystemClock
from overnight.processes import table
from overnight.processes.table import Entry

MARK = "OVERNIGHT_CHILD"
"""The variable that tells to which children of Overnight a process belongs: marks joined by colons, outermost first."""

_GIVE_UP_S = 5.0


def mark_of(pid: int, started: float) -> str:
    """Return the mark of the tree whose root is (pid, started)."""
    return f"{pid}-{int(started)}"


def send(entry: Entry, number: int) -> bool:
    """Send a signal to exactly this process, never to another one that has got its pid; True when it was sent."""
    try:
        if not hasattr(os, "pidfd_open"):
            return _send_checked(entry, number)
        handle = os.pidfd_open(entry.pid)
    except OSError:
        return False
    try:
        # The handle is bound to a process now: if that is still ours, it stays ours.
        if not table.same_process(entry.pid, entry.started):
            return False
        signal.pidfd_send_signal(handle, number)
        return True
    except OSError:
        return False
    finally:
        os.close(handle)


def _send_checked(entry: Entry, number: int) -> bool:
    if not table.same_process(entry.pid, entry.started):
        return False
    os.kill(entry.pid, number)
    return True


def terminate_below(root: int) -> None:
    """Ask every process below `root` to end (SIGTERM)."""
    for entry in table.below([root], table.snapshot()):
        send(entry, signal.SIGTERM)


def kill_below(root: int) -> None:
    """Kill every process below `root`, which stays. All are frozen first, so that none starts another meanwhile."""
    frozen: dict[tuple[int, float], Entry] = {}
    while True:
        new = [entry for entry in table.below([root], table.snapshot()) if (entry.pid, entry.started) not in frozen]
        if not new:
            break
        for entry in new:
            send(entry, signal.SIGSTOP)
            frozen[entry.pid, entry.started] = entry
    for entry in frozen.values():
        send(entry, signal.SIGKILL)


def end_tree(
    pid: int, started: float, grace_s: float, *, known: Iterable[Entry] = (), clock: Clock | None = None
) -> list[int]:
    """End the tree of a recorded child and return the pids that are still there (none, but for a stuck kernel call).

    The caller need not be the parent, and the root may be dead already: members are found as descendants of the root,
    by their mark, and among the `known` ones. They get SIGTERM, `grace_s` later SIGKILL.
    """
    clock = clock or SystemClock()
    members = _Members(pid, started, known)
    if grace_s > 0:
        _signal_new(members, signal.SIGTERM, clock, clock.monotonic() + grace_s)
    give_up = clock.monotonic() + _GIVE_UP_S
    while members.living() and clock.monotonic() < give_up:
        # Repeated until nothing is left: what a member started after the look is found by the next one.
        for entry in members.living():
            send(entry, signal.SIGKILL)
        _pause()
    return [entry.pid for entry in members.living()]


def _signal_new(members: "_Members", number: int, clock: Clock, until: float) -> None:
    """Send the signal once to every member, also to those that appear later, until all are gone or time is up."""
    told: set[tuple[int, float]] = set()
    while (living := members.living()) and clock.monotonic() < until:
        for entry in living:
            if (entry.pid, entry.started) not in told:
                told.add((entry.pid, entry.started))
                send(entry, number)
        _pause()


class _Members:
    """The living processes of one tree; whoever was seen in it once stays a member."""

    def __init__(self, pid: int, started: float, known: Iterable[Entry]) -> None:
        self._root = (pid, started)
        self._seen: dict[tuple[int, float], Entry] = {}
        self._add(known)

    def living(self) -> list[Entry]:
        """Look again and return the members that live, the root last: while it lives it collects orphans."""
        processes = table.snapshot()
        roots = [e for e in self._seen.values() if _is(processes, e)] + table.marked(MARK, mark_of(*self._root))
        root = processes.get(self._root[0])
        if root is not None and root.started == self._root[1]:
            roots.append(root)
        self._add(roots)
        self._add(table.below([entry.pid for entry in roots], processes))
        mine = os.getpid()
        living = [e for e in self._seen.values() if table.same_process(e.pid, e.started) and e.pid != mine]
        return sorted(living, key=lambda entry: (entry.pid, entry.started) == self._root)

    def _add(self, entries: Iterable[Entry]) -> None:
        for entry in entries:
            self._seen[entry.pid, entry.started] = entry


def _is(processes: dict[int, Entry], entry: Entry) -> bool:
    now = processes.get(entry.pid)
    return now is not None and now.started == entry.started


def _pause() -> None:
    select.select([], [], [], 0.02)
