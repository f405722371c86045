"""The processes that make candidates: started when they are needed, given orders, and replaced when they are lost.

A candidate that takes a process with it, or keeps it for too long, is a candidate with a fault; what else was ordered
from that process is ordered again. The first process stands for the generator: who ends it with SIGTERM wants an end.
"""

import json
import select
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from overnight.base.errors import TransientError
from overnight.campaigns.orders import Campaign
from overnight.processes.spawn import ROOT, Child, spawn

STALL_S = 300.0
"""After so long without an answer a process is given up."""
LOST, LATE = "it takes the generator's process with it", "it takes too long"
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from overnight.campaigns.worker import main; main()"
_PIECE = 1 << 16
_ASK_S = 0.2
_FRUITLESS = 10
"""Processes that may be lost, one after another, before any of them has answered."""
Json = dict[str, Any]


@dataclass(kw_only=True)
class _Order:
    content: Json
    answered: int = 0


@dataclass(kw_only=True)
class _Worker:
    child: Child
    line: socket.socket
    orders: deque[_Order] = field(default_factory=deque)
    unread: bytearray = field(default_factory=bytearray)
    heard_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a process says to an order; `last` behind its last answer, which has no content."""

    order: Json
    content: Json

    @property
    def last(self) -> bool:
        """Return whether the order is done."""
        return not self.content


class Pool:
    """At most `size` processes. Used by one thread; close it to end them."""

    def __init__(self, campaign: Campaign, *, env: Mapping[str, str], now_s: Callable[[], float]) -> None:
        self._campaign = campaign
        self._env = dict(env)
        self._now_s = now_s
        self._workers: list[_Worker | None] = [None] * campaign.workers
        self._fruitless = 0
        self.stopped = False
        """Whether somebody has ended the generator with SIGTERM."""

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """Return the process that stands for the generator; None before it is started."""
        first = self._workers[0]
        return None if first is None else first.child.worker_pid

    def waiting(self, place: int) -> int:
        """Return how many orders the process of that place has before it."""
        worker = self._workers[place]
        return 0 if worker is None else len(worker.orders)

    def send(self, place: int, order: Json) -> None:
        """Give an order to the process of that place, which is started where there is none.

        Raises:
            TransientError: it cannot be started.
        """
        worker = self._workers[place] or self._start(place)
        if not worker.orders:
            worker.heard_s = self._now_s()
        worker.orders.append(_Order(content=order))
        with suppress(OSError):  # it is gone, which `answers` sees
            worker.line.sendall(json.dumps(order).encode() + b"\n")

    def answers(self, timeout_s: float) -> Iterator[Answer]:
        """Yield what the processes have answered; wait for the first for so long.

        Raises:
            TransientError: a process cannot be started, again and again.
        """
        busy = [worker for worker in self._workers if worker is not None]
        ready, _, _ = select.select([worker.line for worker in busy], [], [], timeout_s)
        for place, worker in enumerate(self._workers):
            if worker is None:
                continue
            if worker.line in ready:
                yield from self._hear(place, worker)
            elif worker.orders and self._now_s() - worker.heard_s > STALL_S:
                yield from self._lose(place, worker, LATE)

    def ask(self, place: int, order: Json, *, stopped: Callable[[], bool]) -> Json:
        """Give an order that has one answer, and wait for it; nothing else may be ordered from that process.

        Returns {} where `stopped`, or somebody has ended the generator.

        Raises:
            TransientError: the process is lost, again and again.
        """
        self.send(place, order)
        found: Json = {}
        while self.waiting(place):
            for answer in self.answers(_ASK_S):
                found = found or answer.content
            if self.stopped or stopped():
                return {}
        return found

    def close(self) -> None:
        """End the processes."""
        for place, worker in enumerate(self._workers):
            if worker is not None:
                self._end(worker)
                self._workers[place] = None

    def _start(self, place: int) -> _Worker:
        ours, theirs = socket.socketpair()
        path = json.dumps([*filter(None, sys.path), ROOT])
        with theirs:
            child = spawn(
                [sys.executable, "-P", "-c", _BOOT, path, str(theirs.fileno())],
                env=self._env,
                stdout=2,
                stderr=2,
                fds=(theirs.fileno(),),
            )
            child.go()
            while child.worker_pid is None and child.listen():
                pass
        ours.sendall(json.dumps(self._campaign.to_dict()).encode() + b"\n")
        worker = _Worker(child=child, line=ours, heard_s=self._now_s())
        self._workers[place] = worker
        return worker

    def _hear(self, place: int, worker: _Worker) -> Iterator[Answer]:
        try:
            piece = worker.line.recv(_PIECE)
        except OSError:
            piece = b""
        if not piece:
            yield from self._lose(place, worker, LOST)
            return
        worker.heard_s = self._now_s()
        worker.unread += piece
        lines = list[bytearray]()
        # Only what came now can end a line: a long one is not searched again with each piece of it.
        if b"\n" in piece:
            *lines, rest = worker.unread.split(b"\n")
            worker.unread = bytearray(rest)
        self._fruitless = 0 if lines else self._fruitless
        for line in lines:
            content = _answer_to(worker.orders[0], line) if worker.orders else None
            if content is None:
                yield from self._lose(place, worker, LOST)
                return
            order = worker.orders[0]
            order.answered += 1
            if not content:
                worker.orders.popleft()
            yield Answer(order=order.content, content=content)

    def _lose(self, place: int, worker: _Worker, why: str) -> Iterator[Answer]:
        """Take leave of a process, blame the candidate that it was at, and order the others again."""
        self._end(worker)
        self._workers[place] = None
        if place == 0 and (worker.child.exit or {}).get("signal") == signal.SIGTERM:
            self.stopped = True
            return
        self._fruitless += 1
        if self._fruitless > _FRUITLESS:
            raise TransientError(f"the generator's process {worker.child.describe_exit()}, again and again")
        orders = [one for one in worker.orders if one.content]
        if orders and "pairs" in orders[0].content and "make" in orders[0].content:
            first = orders[0]
            rest = first.content["pairs"][first.answered :]
            # Of those that several threads were at, it is not known which one it was.
            if first.content.get("threads", 1) == 1:
                (cell, number), *rest = rest
                yield Answer(order=first.content, content={"cell": cell, "number": number, "lost": why})
            orders[0] = _Order(content={**first.content, "pairs": rest})
        for order in orders:
            self.send(place, order.content)

    def _end(self, worker: _Worker) -> None:
        worker.line.close()
        # At once: what it has made and not told is made again, and SIGTERM would look like somebody's wish.
        worker.child.end(0)
        worker.child.wait()


def _answer_to(order: _Order, line: bytearray) -> Json | None:
    """Return what a process has answered; None where that is no answer to what it was asked."""
    try:
        content: Json = json.loads(line)
        if "cell" not in content:
            return content
        expected = order.content["pairs"][order.answered]
    except (ValueError, TypeError, LookupError):
        return None
    return content if [content["cell"], content["number"]] == list(expected) else None
