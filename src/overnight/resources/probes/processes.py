"""Finds the processes of a service, and what they hold together."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

from overnight.base.clock import Clock
from overnight.processes import table

FRESH_S = 0.5

Root = tuple[int, float]
"""The topmost process of a tree: its pid and its start, which name it for ever."""


class Processes:
    """All processes of this machine at the moment in which this is made."""

    def __init__(self) -> None:
        self._table = table.snapshot()
        self._lines: dict[int, str] = {}
        own, self._own = os.getpid(), set[int]()
        while own in self._table and own not in self._own:
            self._own.add(own)
            own = self._table[own].ppid

    def with_words(self, words: Sequence[str]) -> tuple[Root, ...]:
        """Return the topmost processes whose command line holds all of the words.

        This process is none of them, and none that it stands below: such a tree would hold all jobs.
        """
        found = {pid for pid in self._table if pid not in self._own and self._holds(pid, words)}
        return self._roots([pid for pid in found if not found & self._above(pid)])

    def in_file(self, file: Path, words: Sequence[str] = ()) -> tuple[Root, ...]:
        """Return the process whose pid stands in the file; nothing where none of that pid holds the words.

        Raises:
            ValueError: the file holds no pid.
            OSError: it is there and cannot be read.
        """
        try:
            text = file.read_text(errors="replace")[:100]
        except FileNotFoundError:
            return ()
        if not text.strip().isdecimal():
            raise ValueError(f"{file} holds no process number")
        pid = int(text)
        return self._roots([pid] if pid in self._table and self._holds(pid, words) else [])

    def tree(self, roots: Sequence[Root]) -> list[int]:
        """Return the pids of the roots and of all below them."""
        pids = [pid for pid, _ in roots]
        return pids + [entry.pid for entry in table.below(pids, self._table)]

    def _roots(self, pids: Sequence[int]) -> tuple[Root, ...]:
        return tuple((pid, self._table[pid].started) for pid in sorted(pids) if self._table[pid].alive)

    def _holds(self, pid: int, words: Sequence[str]) -> bool:
        if pid not in self._lines:
            self._lines[pid] = table.command_line(pid)
        return all(word in self._lines[pid] for word in words)

    def _above(self, pid: int) -> set[int]:
        above = set[int]()
        while (entry := self._table.get(pid)) is not None and entry.ppid not in above:
            above.add(entry.ppid)
            pid = entry.ppid
        return above


class Glance:
    """The processes of this machine for all who look at about the same time; from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._found: tuple[float, Processes] | None = None

    def processes(self) -> Processes:
        """Return all processes, as they were `FRESH_S` ago at the earliest."""
        with self._lock:
            if self._found is None or self._clock.monotonic() - self._found[0] >= FRESH_S:
                self._found = (self._clock.monotonic(), Processes())
            return self._found[1]
