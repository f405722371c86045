"""Answers that nobody is shown: a candidate is asked what the champion has just answered, in a thread of its own.

The queue is bounded: where the candidate is slower than the requests come, some are not asked, and counted as such.
"""

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from overnight.base.errors import ModelFailed, UserMistake, said_by
from overnight.db.writer import Tx
from overnight.serving.answers import disagreements
from overnight.serving.host import Answered
from overnight.serving.tables import shadows

MOST_WAITING = 1000
EVERY_S = 1.0


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What came of asking a candidate beside the champion, in sums.

    `answers` counts the inputs that both answered, `disagreed` those of them that they answered differently, `errors`
    those that the candidate failed at, `dropped` those that it was not asked for want of time; `ms` are over calls.
    """

    model: str
    champion: str
    candidate: str
    deployment_id: int | None
    answers: int = 0
    errors: int = 0
    disagreed: int = 0
    champion_ms: float = 0.0
    candidate_ms: float = 0.0
    dropped: int = 0
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A call that the champion has answered (`answered`) or not (None), and whom to ask too."""

    model: str
    champion: str
    candidate: str
    deployment_id: int | None
    inputs: Sequence[Any]  # Any: as the model_type has them
    answered: Answered | None
    done: Callable[["Answered | ModelFailed | None"], None]
    """Is told what the candidate has answered, how it failed, or None: it was not asked."""


class Shadows:
    """The queue and its thread. `close` it."""

    def __init__(self, ask: Callable[[Asked], Answered], keep: Callable[[list[Compared]], None]) -> None:
        """`ask` asks the candidate; `keep` is given the sums of a while, from the thread."""
        self._ask, self._keep = ask, keep
        self._queue: deque[Asked] = deque()
        self._news = threading.Condition()
        self._sums: dict[tuple[str, str, str, int | None], Compared] = {}
        self._closing = False
        self._thread = threading.Thread(target=self._go, name="overnight-shadow", daemon=True)
        self._thread.start()

    def put(self, asked: Asked) -> None:
        """Have the candidate asked, if there is room."""
        with self._news:
            if room := len(self._queue) < MOST_WAITING and not self._closing:
                self._queue.append(asked)
                self._news.notify()
        if not room:
            self._add(asked, dropped=len(asked.inputs))
            asked.done(None)

    def close(self) -> None:
        """End after the call that is under way; what waits is not asked."""
        with self._news:
            self._closing = True
            left, self._queue = list(self._queue), deque()
            self._news.notify()
        for asked in left:
            self._add(asked, dropped=len(asked.inputs))
            asked.done(None)
        self._thread.join()

    def _go(self) -> None:
        while not self._closing:
            with self._news:
                self._news.wait_for(lambda: self._queue or self._closing, EVERY_S if self._sums else None)
                asked = self._queue.popleft() if self._queue else None
            if asked is not None:
                self._compare(asked)
            if asked is None or len(self._sums) > 1:
                self._flush()
        self._flush()

    def _compare(self, asked: Asked) -> None:
        told: Answered | ModelFailed
        try:
            told = self._ask(asked)
        except (ModelFailed, UserMistake) as error:
            # The champion took these inputs, so it is not they that are wrong.
            told = error if isinstance(error, ModelFailed) else ModelFailed(said_by(error))
            self._add(asked, errors=len(asked.inputs), error=said_by(error))
        else:
            if asked.answered is not None:
                self._add(
                    asked,
                    answers=len(asked.inputs),
                    disagreed=disagreements(asked.answered.outputs, told.outputs),
                    champion_ms=asked.answered.ms,
                    candidate_ms=told.ms,
                )
        asked.done(told)

    def _add(self, asked: Asked, *, error: str | None = None, **more: float) -> None:
        key = (asked.model, asked.champion, asked.candidate, asked.deployment_id)
        with self._news:
            known = self._sums.get(key) or Compared(
                model=asked.model,
                champion=asked.champion,
                candidate=asked.candidate,
                deployment_id=asked.deployment_id,
            )
            sums = {name: getattr(known, name) + value for name, value in more.items()}
            self._sums[key] = replace(known, error=error or known.error, **sums)

    def _flush(self) -> None:
        with self._news:
            sums, self._sums = list(self._sums.values()), {}
        if sums:
            self._keep(sums)


SUMS = ("answers", "errors", "disagreed", "champion_ms", "candidate_ms", "dropped")


def add(tx: Tx, sums: Sequence[Compared]) -> None:
    """Add to what is recorded of these candidates."""
    for one in sums:
        same = [
            shadows.c.model == one.model,
            shadows.c.champion == one.champion,
            shadows.c.candidate == one.candidate,
            shadows.c.deployment_id == (one.deployment_id or 0),
        ]
        more = {name: shadows.c[name] + getattr(one, name) for name in SUMS}
        change = sa.update(shadows).where(*same).values(**more, error=sa.func.coalesce(one.error, shadows.c.error))
        if not tx.connection.execute(change).rowcount:
            values = {name: getattr(one, name) for name in ("model", "champion", "candidate", *SUMS, "error")}
            tx.connection.execute(sa.insert(shadows).values(**values, deployment_id=one.deployment_id or 0))


def compared(connection: sa.Connection, model: str) -> list[Compared]:
    """Return what came of all shadows of a model, the newest deployment first."""
    query = sa.select(shadows).where(shadows.c.model == model).order_by(shadows.c.deployment_id.desc())
    return [
        Compared(**{**row._mapping, "deployment_id": row.deployment_id or None}) for row in connection.execute(query)
    ]
