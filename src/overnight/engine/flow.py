"""Durable flows: plain functions whose steps are recorded, so that a crash or a wait costs no work twice.

A flow is called again from the top whenever it goes on. `flow.step` then answers from the record instead of working,
so the code between the steps must be quick and free of effects. Steps match by ordinal, kind and name; a flow that
asks for others than it recorded ends with FlowChanged, never with a silent skip.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from random import Random
from typing import Any, NoReturn, ParamSpec, TypeVar

import sqlalchemy as sa

from overnight.base.errors import CommitInDoubt, FlowChanged, Parking, RunFailed, StaleToken, UnknownName
from overnight.base.files import to_json
from overnight.base.ids import RunId, Token
from overnight.base.instants import US, from_datetime, to_datetime
from overnight.base.points import Hook, Point, no_hook
from overnight.base.refs import ErrorRef
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import approvals, moves, store
from overnight.engine.book import Book
from overnight.engine.model import Needs, Priority, Run, State
from overnight.engine.submit import Request, check_text, submit
from overnight.engine.tables import runs, steps

P = ParamSpec("P")
T = TypeVar("T")

YIELD = {"yield": True}
"""What a flow 'waits for' when its worker closes: to be claimed by the next one."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a run that the flow waited for ended."""

    run_id: RunId
    task_id: str
    state: State
    result: Any  # Any: whatever JSON the run returned
    error: ErrorRef | None

    def value(self) -> Any:  # Any: see `result`
        """Return the result.

        Raises:
            RunFailed: the run did not complete.
        """
        if self.state is not State.COMPLETED:
            reason = self.error.message if self.error else "no reason recorded"
            raise RunFailed(f"run {self.run_id} of task {self.task_id!r} ended {self.state}: {reason}")
        return self.result


@dataclass(frozen=True, kw_only=True)
class _Record:
    kind: str
    name: str
    result: str


class Flow:
    """What a flow's function gets as its first argument. Use it from the function's own thread only."""

    def __init__(
        self,
        database: Database,
        book: Book,
        run_id: RunId,
        token: Token,
        *,
        closing: Callable[[], bool] = lambda: False,
        hook: Hook = no_hook,
    ) -> None:
        self.run_id = run_id
        self._database = database
        self._book = book
        self._token = token
        self._closing = closing
        self._hook = hook
        self._next = 0
        with database.read() as connection:
            rows = connection.execute(
                sa.select(steps.c.kind, steps.c.name, steps.c.result)
                .where(steps.c.run_id == run_id)
                .order_by(steps.c.ordinal)
            )
            self._records = [_Record(kind=kind, name=name, result=result) for kind, name, result in rows]

    def step(self, name: str, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Call `fn` and record what it returns, or return what it returned before.

        The answer is always the recorded JSON read back (tuples become lists), so a replay sees what the first call
        saw.

        Raises:
            NotJson: `fn` returned something else than JSON; nothing is recorded.
            UserMistake: the name cannot be stored; `fn` is not called.
            FlowChanged: at this place the flow recorded something else.
        """
        return self._recorded("step", name, lambda: fn(*args, **kwargs))  # type: ignore[no-any-return]  # JSON of T

    def start(
        self,
        task_id: str,
        args: Mapping[str, Any] | None = None,
        *,
        name: str | None = None,
        priority: Priority | None = None,
        needs: Needs | None = None,
    ) -> RunId:
        """Start a run of the task, once, and return its id at once; `wait` waits for it.

        `priority` and `needs` None mean those of the task.

        Raises:
            UnknownName: there is no such task.
        """
        entry = self._book.get(task_id)
        request = Request(
            task_id=task_id,
            priority=priority or entry.task.priority,
            needs=needs,
            args=to_json(dict(args), what=f"the arguments of {task_id!r}") if args else None,
            parent_id=self.run_id,
            further=entry.task.further,
        )

        def change(tx: Tx) -> int:
            tx.news = True
            return submit(tx, [request])[0]

        return RunId(self._recorded_with("start", name or task_id, change))

    def wait(self, *run_ids: RunId, until: datetime | None = None) -> list[Ended]:
        """Wait until all these runs, which this flow started, have ended, and return how, in their order.

        With `until` (an aware datetime), no longer than that: a run that has not ended then is returned as it stands.
        """
        name = ",".join(str(run_id) for run_id in run_ids)
        record = self._replay("wait", name)
        if record is None:
            with self._database.read() as connection:
                children = store.by_ids(connection, run_ids)
            unknown = [run_id for run_id in run_ids if run_id not in children]
            if unknown:
                raise UnknownName(f"flow.wait: there is no run {unknown[0]}")
            until_us = None if until is None else from_datetime(until)
            over = until_us is not None and self._database.clock.now_us() >= until_us
            if not over and not all(child.state.final for child in children.values()):
                self._park({"runs": list(run_ids)} | ({} if until_us is None else {"until_us": until_us}))
            found = [_ended_json(children[run_id]) for run_id in run_ids]
            record = self._record("wait", name, lambda tx: found)
        return [_ended(value) for value in json.loads(record)]

    def cancel(self, run_id: RunId) -> bool:
        """End a run, whatever state it is in; False where it has ended already."""

        def change(tx: Tx) -> bool:
            run = store.get_for_update(tx, run_id)
            if run is None or run.state.final:
                return False
            tx.news = True
            moves.cancel(tx, self._book, run_id)
            return True

        return bool(self._recorded_with("cancel", str(run_id), change))

    def sleep(self, seconds: float) -> None:
        """Wait for so many seconds of civil time from the first time that the flow came here."""
        until_us = self._recorded_with("sleep", "sleep", lambda tx: tx.now_us + int(seconds * US))
        if self._database.clock.now_us() < until_us:
            self._park({"until_us": until_us})

    def until(self, name: str, look: Callable[[], T | None], *, every_s: float) -> T:
        """Wait until `look` answers something else than None, and record that answer.

        It is called in this thread, without a record, every so many seconds of civil time, and sooner where somebody
        wakes the flow (`moves.wake`): it must be quick and change nothing. The answer is the recorded JSON read back.
        """
        record = self._replay("until", name)
        if record is None:
            found = look()
            if found is None:
                self._park({"until_us": self._database.clock.now_us() + int(every_s * US)})
            record = self._record("until", name, lambda tx: found)
        return json.loads(record)  # type: ignore[no-any-return]  # JSON of T

    def ask(
        self,
        name: str,
        prompt: str,
        choices: tuple[str, ...] | list[str] = ("yes", "no"),
        *,
        known: Callable[[Tx], tuple[str, str] | None] = lambda tx: None,
    ) -> str:
        """Ask a person and wait for the answer: the one way to have anything approved.

        `known` returns, in the transaction that asks, what has been answered meanwhile and by whom; None: nothing.
        """

        def change(tx: Tx) -> int:
            question_id = approvals.ask(tx, self.run_id, name, prompt, tuple(choices))
            found = known(tx)
            if found is not None:
                approvals.answer(tx, self._book, question_id, *found)
            return question_id

        question_id = self._recorded_with("ask", name, change)
        with self._database.read() as connection:
            answer = approvals.answer_of(connection, question_id)
        if answer is None:
            self._park({"question": question_id})
        return answer

    def now(self) -> datetime:
        """Return the instant, in UTC, at which the flow first came here."""
        return to_datetime(self._recorded_with("now", "now", lambda tx: tx.now_us))

    def random(self) -> Random:
        """Return a random generator that gives the same numbers whenever the flow comes here again."""
        seed = self._recorded_with("random", "random", lambda tx: f"{self.run_id}:{self._next}:{tx.now_us}")
        return Random(int.from_bytes(hashlib.sha256(seed.encode()).digest()[:8], "big"))  # noqa: S311  # not a secret

    def finish(self) -> None:
        """Check, after the function has returned, that it asked for everything that it had recorded.

        Raises:
            FlowChanged: recorded steps were left out.
        """
        if self._next < len(self._records):
            left = self._records[self._next]
            raise FlowChanged(
                f"the flow ended before step {self._next}, but recorded {left.kind} {left.name!r} there earlier; "
                "fork the run from a step before the change"
            )

    def _recorded(self, kind: str, name: str, work: Callable[[], Any]) -> Any:  # Any: JSON
        record = self._replay(kind, name)
        if record is None:
            self._hook(Point.FLOW_STEP_BEGUN)
            started_us = self._database.clock.now_us()
            text = to_json(work(), what=f"what step {name!r} returned")
            self._hook(Point.FLOW_STEP_DONE)
            record = self._record(kind, name, lambda tx: None, text=text, started_us=started_us)
            self._hook(Point.FLOW_STEP_RECORDED)
        return json.loads(record)

    def _recorded_with(self, kind: str, name: str, change: Callable[[Tx], Any]) -> Any:  # Any: JSON
        """Record what `change` answers, in the transaction of the change itself."""
        record = self._replay(kind, name)
        if record is None:
            record = self._record(kind, name, change)
        return json.loads(record)

    def _replay(self, kind: str, name: str) -> str | None:
        """Return what this place recorded, or None where the flow comes here for the first time."""
        check_text("the name of a step", name)
        ordinal = self._next
        if ordinal >= len(self._records):
            if self._closing():
                self._park(YIELD)
            self._next += 1
            return None
        record = self._records[ordinal]
        if (record.kind, record.name) != (kind, name):
            raise FlowChanged(
                f"step {ordinal} was {record.kind} {record.name!r} when it was recorded, and the flow now asks for "
                f"{kind} {name!r}; fork the run from a step before the change"
            )
        self._next += 1
        return record.result

    def _record(
        self,
        kind: str,
        name: str,
        change: Callable[[Tx], Any],  # Any: JSON
        *,
        text: str | None = None,
        started_us: int | None = None,
    ) -> str:
        ordinal = self._next - 1
        in_doubt = False

        def write(tx: Tx) -> str:
            self._check_token(tx)
            known = self._written(tx, ordinal) if in_doubt else None
            if known is not None:
                return known
            value = change(tx)
            result = to_json(value) if text is None else text
            tx.connection.execute(
                sa.insert(steps).values(
                    run_id=self.run_id,
                    ordinal=ordinal,
                    kind=kind,
                    name=name,
                    result=result,
                    started_us=tx.now_us if started_us is None else started_us,
                    finished_us=tx.now_us,
                )
            )
            tx.emit({"run": self.run_id, "event": "step", "name": name, "kind": kind, "ordinal": ordinal})
            return result

        while True:
            try:
                result = self._database.writer.do(write)
            except CommitInDoubt:
                in_doubt = True
                continue
            self._records.append(_Record(kind=kind, name=name, result=result))
            return result

    def _written(self, tx: Tx, ordinal: int) -> str | None:
        """Return what an earlier commit that was in doubt has recorded after all."""
        query = sa.select(steps.c.result).where(steps.c.run_id == self.run_id, steps.c.ordinal == ordinal)
        return tx.connection.execute(query).scalar_one_or_none()

    def _check_token(self, tx: Tx) -> None:
        """Make sure that this worker still has the right to work on the run, and forgive earlier workers' deaths."""
        query = sa.select(runs.c.token, runs.c.worker_id, runs.c.losses).where(runs.c.run_id == self.run_id)
        row = tx.connection.execute(query.with_for_update()).fetchone()
        if row is None or row.token != self._token or row.worker_id is None:
            raise StaleToken(f"run {self.run_id} is worked on by somebody else now; the step was not recorded")
        if row.losses:
            # Progress was made: whatever killed the worker before was not this flow going round in circles.
            tx.connection.execute(sa.update(runs).values(losses=0).where(runs.c.run_id == self.run_id))

    def _park(self, waiting_for: dict[str, Any]) -> NoReturn:
        self._hook(Point.FLOW_PARKING)
        raise Parking(waiting_for)


def _ended_json(run: Run) -> dict[str, Any]:  # Any: JSON
    error = run.error
    return {
        "run_id": run.run_id,
        "task_id": run.task_id,
        "state": run.state,
        "result": None if run.result is None else json.loads(run.result),
        "error": None if error is None else {"family": error.family, "type": error.type, "message": error.message},
    }


def _ended(value: dict[str, Any]) -> Ended:  # Any: JSON
    return Ended(
        run_id=RunId(value["run_id"]),
        task_id=value["task_id"],
        state=State(value["state"]),
        result=value["result"],
        error=None if value["error"] is None else ErrorRef(**value["error"]),
    )
