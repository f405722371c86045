"""New runs: by a person or a program, by a schedule, by a flow, after a parent, as a fork of an old one."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from overnight.base.errors import UserMistake
from overnight.base.files import to_json
from overnight.base.ids import Cycle, RunId, TaskId
from overnight.base.instants import from_datetime
from overnight.base.refs import ErrorRef
from overnight.db.writer import Tx
from overnight.engine import store
from overnight.engine.model import Further, Needs, Priority, Queue, Run, State


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """A wish for a run. Two requests with one `key` give one run. `due_us` None means at once.

    `args` is JSON text. `own_cycle` opens a cycle by hand, so that dependants follow. `blocked` makes a run that is
    cancelled from the start, for the record. `needs` None means those of the task. `further` finds further arguments
    out; those of `args` come before them.
    """

    task_id: str
    priority: Priority = Priority.NORMAL
    args: str | None = None
    key: str | None = None
    due_us: int | None = None
    parent_id: RunId | None = None
    cycle: Cycle | None = None
    own_cycle: bool = False
    waiting_for: Mapping[str, Any] | None = None
    forked_from: RunId | None = None
    blocked: str | None = None
    needs: Needs | None = None
    further: Further | None = None

    def __post_init__(self) -> None:
        if self.key is not None:
            check_text("key", self.key)
            if not self.key:
                raise UserMistake("key: '' cannot be stored; give text, or None for a run without a key")


def unwritable(text: str) -> bool:
    """Tell whether no database takes this text: it holds NUL, or half of a surrogate pair."""
    return "\0" in text or (not text.isascii() and any("\ud800" <= char <= "\udfff" for char in text))


def check_text(what: str, text: object) -> None:
    """Refuse what cannot be stored as text; `what` names it in the message.

    Raises:
        UserMistake: it is not text, or no database takes it.
    """
    if not isinstance(text, str) or unwritable(text):
        raise UserMistake(f"{what}: {text!r} cannot be stored; give text without NUL and lone surrogates")


def due_instant(due: object) -> int | None:
    """Return the instant of an aware datetime in microseconds; None for None.

    Raises:
        UserMistake: it is something else.
    """
    if due is None:
        return None
    if not isinstance(due, datetime) or due.utcoffset() is None:
        raise UserMistake(f"due: {due!r} is not a datetime with a time zone, such as datetime.now(UTC)")
    return from_datetime(due)


def args_text(task_id: str, args: object) -> str | None:
    """Return the arguments of a run as JSON text; None where there are none.

    Raises:
        UserMistake: they are no mapping.
        NotJson: what is in it is not JSON.
    """
    if args is None:
        return None
    if not isinstance(args, Mapping):
        raise UserMistake(
            f"args of {task_id!r}: {args!r} is not a mapping of names to values, such as {{'name': 'Ada'}}"
        )
    return to_json(dict(args), what=f"args of {task_id!r}") if args else None


def submit(tx: Tx, requests: Sequence[Request]) -> list[RunId]:
    """Insert runs and return their ids in the order of the requests; a known key gives the run that has it."""
    keys = [request.key for request in requests if request.key is not None]
    known = store.with_keys(tx, keys) if keys else {}
    fresh: dict[int, Request] = {}
    for place, request in enumerate(requests):
        if request.key is None:
            fresh[place] = request
        elif request.key not in known:
            fresh[place] = request
            known[request.key] = RunId(0)
    ids = store.allocate(tx, len(fresh)) if fresh else ()
    new = {
        place: _run(request, RunId(run_id), _args(tx, request), tx.now_us)
        for (place, request), run_id in zip(fresh.items(), ids, strict=True)
    }
    if new:
        store.insert(tx, list(new.values()))
    for run in new.values():
        if run.key is not None:
            known[run.key] = run.run_id
        tx.emit({"run": run.run_id, "task": run.task_id, "event": "blocked" if run.state.final else "submitted"})
    return [
        known[request.key] if request.key is not None else new[place].run_id for place, request in enumerate(requests)
    ]


def _args(tx: Tx, request: Request) -> str | None:
    if request.further is None or request.blocked is not None:
        return request.args
    given = {} if request.args is None else json.loads(request.args)
    return to_json({**request.further(tx.connection), **given}, what=f"the arguments of {request.task_id!r}")


def _run(request: Request, run_id: RunId, args: str | None, now_us: int) -> Run:
    due_us = now_us if request.due_us is None else request.due_us
    waits = request.waiting_for is not None
    queue = Queue.PARENTS if waits else Queue.READY if due_us <= now_us else Queue.TIME
    blocked = request.blocked is not None
    return Run(
        run_id=run_id,
        task_id=TaskId(request.task_id),
        state=State.CANCELLED if blocked else State.PENDING,
        priority=request.priority,
        queue=None if blocked else queue,
        created_us=now_us,
        due_us=due_us,
        rank=None if blocked or waits else due_us - request.priority.bonus_us,
        waiting_for=request.waiting_for,
        parent_id=request.parent_id,
        cycle=Cycle(-run_id) if request.own_cycle else request.cycle,
        key=request.key,
        forked_from=request.forked_from,
        args=args,
        error=ErrorRef(family="permanent", type="Blocked", message=request.blocked) if request.blocked else None,
        finished_us=now_us if blocked else None,
        needs=request.needs,
    )
