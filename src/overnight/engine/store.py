"""Runs in the database: insert, find, save. Every save is fenced by the token and the state that the caller knew."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import sqlalchemy as sa

from overnight.base.ids import RunId
from overnight.base.refs import NOTHING_USED, ErrorRef, Usage
from overnight.db.dialect import ColumnSpec, Dialect
from overnight.db.prepared import Prepared
from overnight.db.writer import Tx
from overnight.engine.model import FINAL, Cancel, Needs, Priority, Run, State
from overnight.engine.tables import CANCEL, LIVE, PARENTS, PARKED, PAUSED, READY, WAITING, runs

Row = Sequence[Any]  # Any: a database row

_SELECT = sa.select(*runs.columns)
_CANCELS = tuple(Cancel)


def to_run(row: Row) -> Run:
    """Return the row of the runs table as a run."""
    (
        run_id, task_id, state, priority, queue, created_us, due_us, rank, attempt, token, losses, worker_id, cancel,
        waiting_for, parent_id, cycle, key, forked_from, args, result, error, started_us, finished_us, active_us,
        earlier_us, progress, heard_us, cpu_s, peak_memory_gb, gpu_s, cost, history, needs,
    ) = row  # fmt: skip
    used = cpu_s is not None or peak_memory_gb is not None or gpu_s is not None or cost is not None
    return Run(
        run_id=run_id,
        task_id=task_id,
        state=State(state),
        priority=Priority(priority),
        queue=queue,
        created_us=created_us,
        due_us=due_us,
        rank=rank,
        attempt=attempt,
        token=token,
        losses=losses,
        worker_id=worker_id,
        cancel=_CANCELS[cancel or 0],
        waiting_for=None if waiting_for is None else json.loads(waiting_for),
        parent_id=parent_id,
        cycle=cycle,
        key=key,
        forked_from=forked_from,
        args=args,
        result=result,
        error=None if error is None else ErrorRef(**json.loads(error)),
        started_us=started_us,
        finished_us=finished_us,
        active_us=active_us,
        earlier_us=earlier_us,
        progress=progress,
        heard_us=heard_us,
        usage=Usage(cpu_s=cpu_s, peak_memory_gb=peak_memory_gb, gpu_s=gpu_s, cost=cost) if used else NOTHING_USED,
        history=() if history == "[]" else tuple(map(tuple, json.loads(history))),
        needs=None if needs is None else Needs(**json.loads(needs)),
    )


# One encoder for all calls: json.dumps would make a new one each time.
_text = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


def _error_text(error: ErrorRef | None) -> str | None:
    if error is None:
        return None
    return _text({"family": error.family, "type": error.type, "message": error.message})


def _history(run: Run) -> Any:  # Any: JSON, or its text
    """Return the history to be nested in a row, which spares encoding it apart: a database gives back its text.

    Not so with people's words in it: PostgreSQL's own JSON refuses a NUL.
    """
    return run.history if all(len(entry) == 2 for entry in run.history) else _text(run.history)


# What a new run may have; the rest is empty, or the same in all.
_NEW = (
    "run_id", "task_id", "state", "priority", "queue", "created_us", "due_us", "rank", "waiting_for", "parent_id",
    "cycle", "key", "forked_from", "args", "error", "finished_us", "needs",
)  # fmt: skip
_SAME = {"attempt": 0, "token": 0, "losses": 0, "active_us": 0, "earlier_us": 0, "history": "[]"}


def _new_row(run: Run) -> list[Any]:  # Any: a database row
    return [
        run.run_id, run.task_id, run.state, run.priority, run.queue, run.created_us, run.due_us, run.rank,
        None if run.waiting_for is None else _text(run.waiting_for), run.parent_id, run.cycle, run.key,
        run.forked_from, run.args, _error_text(run.error), run.finished_us,
        None if run.needs is None else _text(asdict(run.needs)),
    ]  # fmt: skip


def _specs(names: Iterable[str]) -> list[ColumnSpec]:
    return [(name, runs.c[name].type) for name in names]


def _build_insert(dialect: Dialect) -> sa.Executable:
    given = dialect.rows("rows", _specs(_NEW))
    constants: list[sa.ColumnElement[Any]] = [sa.literal_column(repr(value)) for value in _SAME.values()]
    return sa.insert(runs).from_select([*_NEW, *_SAME], sa.select(given, *constants))


_INSERT = Prepared(_build_insert)


def insert(tx: Tx, new: Sequence[Run]) -> None:
    """Insert new runs, whose ids are allocated and on which nobody has worked yet."""
    _INSERT(tx.connection, tx.dialect, rows=_text([_new_row(run) for run in new]))


def allocate(tx: Tx, count: int) -> Sequence[int]:
    """Return ids for `count` new runs."""
    return tx.dialect.allocate(tx.connection, runs, count)


# What a transition may change, beside `cancel`, which another process may have set meanwhile.
_CHANGING = (
    "state", "queue", "due_us", "rank", "attempt", "token", "losses", "worker_id", "waiting_for", "result", "error",
    "started_us", "finished_us", "active_us", "earlier_us", "cpu_s", "peak_memory_gb", "gpu_s", "cost", "history",
)  # fmt: skip


def _build_save(dialect: Dialect) -> sa.Executable:
    given = dialect.rows(
        "rows",
        [
            ("run_id", runs.c.run_id.type),
            ("old_token", runs.c.token.type),
            ("old_state", sa.Text()),
            *_specs(_CHANGING),
        ],
    )
    return (
        sa.update(runs)
        .values({name: given.c[name] for name in _CHANGING})
        .values(
            progress=sa.null(),
            heard_us=sa.null(),
            cancel=sa.case((given.c.finished_us.is_(None), runs.c.cancel), else_=sa.null()),
        )
        .where(
            runs.c.run_id == given.c.run_id,
            runs.c.token == given.c.old_token,
            runs.c.state == given.c.old_state,
        )
        .returning(runs.c.run_id)
    )


_SAVE = Prepared(_build_save)


def save(tx: Tx, changes: Sequence[tuple[Run, Run]]) -> set[RunId]:
    """Write (known, wanted) pairs and return the ids of those that were still as known; the rest is unchanged."""
    if not changes:
        return set()
    rows = [
        [
            new.run_id, old.token, old.state, new.state, new.queue, new.due_us, new.rank, new.attempt, new.token,
            new.losses, new.worker_id, None if new.waiting_for is None else _text(new.waiting_for), new.result,
            _error_text(new.error),
            new.started_us, new.finished_us, new.active_us, new.earlier_us, new.usage.cpu_s,
            new.usage.peak_memory_gb, new.usage.gpu_s, new.usage.cost, _history(new),
        ]
        for old, new in changes
    ]  # fmt: skip
    return {RunId(row[0]) for row in _SAVE(tx.connection, tx.dialect, rows=_text(rows)).fetchall()}


def _build_ready(dialect: Dialect) -> sa.Executable:
    query = _SELECT.where(READY).order_by(runs.c.rank, runs.c.run_id).limit(sa.bindparam("limit", type_=sa.Integer))
    return query.with_for_update(skip_locked=True) if dialect.name != "sqlite" else query


_READY = Prepared(_build_ready)


def ready(tx: Tx, limit: int) -> list[Run]:
    """Return the first runs of the queue, in its order.

    On PostgreSQL they are locked until the transaction ends, and runs that somebody else has locked are passed over.
    """
    return [to_run(row) for row in _READY(tx.connection, tx.dialect, limit=limit).fetchall()]


def _build_ready_tasks(dialect: Dialect) -> sa.Executable:
    """From one task to the next through the index, so that the cost is that of the tasks and not of their runs."""
    first = sa.select(sa.func.min(runs.c.task_id).label("task_id")).where(READY)
    found = first.cte("found", recursive=True)
    following = sa.select(sa.func.min(runs.c.task_id)).where(READY, runs.c.task_id > found.c.task_id).scalar_subquery()
    found = found.union_all(sa.select(following).where(found.c.task_id.is_not(None)))

    def head(column: sa.Column[int]) -> sa.ScalarSelect[int]:
        query = sa.select(column).where(READY, runs.c.task_id == found.c.task_id)
        return query.order_by(runs.c.rank, runs.c.run_id).limit(sa.literal_column("1")).scalar_subquery()

    rank, run_id = head(runs.c.rank).label("rank"), head(runs.c.run_id).label("run_id")
    return sa.select(found.c.task_id, rank, run_id).where(found.c.task_id.is_not(None)).order_by(rank, run_id)


_READY_TASKS = Prepared(_build_ready_tasks)


def ready_tasks(tx: Tx) -> list[str]:
    """Return the tasks that have ready runs, in the order of their first ones."""
    return [task_id for task_id, _, _ in map(tuple, _READY_TASKS(tx.connection, tx.dialect).fetchall())]


def _build_ready_of(dialect: Dialect, *, lock: bool = True) -> sa.Executable:
    given = dialect.rows("tasks", [("task_id", sa.Text())])
    each, most = runs.alias("each"), sa.bindparam("each", type_=sa.Integer)
    ready = each.c.queue == sa.literal_column("1")  # READY, of the alias
    if dialect.name == "sqlite":
        firsts = sa.select(each.c.run_id).where(ready, each.c.task_id == given.c.task_id)
        firsts = firsts.order_by(each.c.rank, each.c.run_id).limit(most)
        query = _SELECT.join_from(given, runs, runs.c.run_id.in_(firsts.correlate(given)))
        return query.order_by(runs.c.rank, runs.c.run_id).limit(sa.bindparam("limit", type_=sa.Integer))
    # PostgreSQL would read the whole queue in its order and pass over other tasks. Only the index of a task's runs can
    # give this order, and an equality that it sees would let it leave out the task.
    of_task = each.c.task_id.between(given.c.task_id, given.c.task_id)
    firsts = sa.select(*each.columns).where(ready, of_task)
    firsts = firsts.order_by(each.c.task_id, each.c.rank, each.c.run_id).limit(most)
    found = (firsts.with_for_update(skip_locked=True) if lock else firsts).lateral("found")
    query = sa.select(*found.columns).select_from(given.join(found, sa.true()))
    return query.order_by(found.c.rank, found.c.run_id).limit(sa.bindparam("limit", type_=sa.Integer))


_READY_OF = Prepared(_build_ready_of)
_SEEN_OF = Prepared(partial(_build_ready_of, lock=False))


def ready_of(tx: Tx, task_ids: Iterable[str], *, each: int, limit: int, lock: bool = True) -> list[Run]:
    """Return the first ready runs of these tasks, in the order of the queue, at most `each` of one; else as `ready`.

    Without `lock` they are only read, those that somebody else has locked too.
    """
    names, query = _text([[task_id] for task_id in task_ids]), _READY_OF if lock else _SEEN_OF
    return [to_run(row) for row in query(tx.connection, tx.dialect, tasks=names, each=each, limit=limit).fetchall()]


def ready_among(tx: Tx, run_ids: Iterable[int]) -> list[Run]:
    """Return those of the runs that are ready; else as `ready`."""
    query = _SELECT.where(READY, runs.c.run_id.in_(list(run_ids))).order_by(runs.c.rank, runs.c.run_id)
    if tx.dialect.shared:
        query = query.with_for_update(skip_locked=True)
    return [to_run(row) for row in tx.connection.execute(query)]


_PROMOTE = Prepared(
    lambda dialect: (
        sa.update(runs)
        .values(queue=sa.literal_column("1"), waiting_for=sa.null())
        .where(WAITING, runs.c.due_us <= sa.bindparam("now_us", type_=sa.BigInteger))
    )
)
_NEXT_DUE = Prepared(lambda dialect: sa.select(sa.func.min(runs.c.due_us)).where(WAITING))


def promote(tx: Tx) -> int:
    """Make the runs ready whose time has come and return how many there were."""
    return _PROMOTE(tx.connection, tx.dialect, now_us=tx.now_us).rowcount


def next_due_us(tx: Tx) -> int | None:
    """Return when the next waiting run gets ready."""
    row = _NEXT_DUE(tx.connection, tx.dialect).fetchone()
    return None if row is None else row[0]


def _is_id(number: object) -> bool:
    """Tell whether a database can hold this as an id; whatever else people ask for is nothing's id."""
    return isinstance(number, int) and 0 <= number < 1 << 63


def get(connection: sa.Connection, run_id: int) -> Run | None:
    """Return the run, or None."""
    if not _is_id(run_id):
        return None
    row = connection.execute(_SELECT.where(runs.c.run_id == run_id)).fetchone()
    return None if row is None else to_run(row)


_PEEK = Prepared(lambda dialect: _SELECT.where(runs.c.run_id == sa.bindparam("run_id", type_=sa.BigInteger)))


def peek(tx: Tx, run_id: int) -> Run | None:
    """Return the run as this transaction sees it, or None."""
    row = _PEEK(tx.connection, tx.dialect, run_id=run_id).fetchone()
    return None if row is None else to_run(row)


_GET_FOR_UPDATE = Prepared(
    lambda dialect: _SELECT.where(runs.c.run_id == sa.bindparam("run_id", type_=sa.BigInteger)).with_for_update()
)


def get_for_update(tx: Tx, run_id: int) -> Run | None:
    """Return the run and keep others from changing it until the transaction ends."""
    if not _is_id(run_id):
        return None
    row = _GET_FOR_UPDATE(tx.connection, tx.dialect, run_id=run_id).fetchone()
    return None if row is None else to_run(row)


def _find(connection: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Run]:
    return [to_run(row) for row in connection.execute(_SELECT.where(*where).order_by(runs.c.run_id))]


def worked_on(connection: sa.Connection) -> list[Run]:
    """Return the runs that some worker works on."""
    # By their ids: SQLite would read all runs in the order of the ids rather than sort a few.
    return _find(connection, runs.c.run_id.in_(sa.select(runs.c.run_id).where(LIVE)))


def of_worker(connection: sa.Connection, worker_id: str) -> list[Run]:
    """Return the runs that this worker works on."""
    return _find(connection, runs.c.worker_id == worker_id)


_TO_CANCEL = Prepared(lambda dialect: _SELECT.where(CANCEL).order_by(runs.c.run_id))


def to_cancel(tx: Tx) -> list[Run]:
    """Return the unfinished runs that somebody asked to cancel."""
    return [to_run(row) for row in _TO_CANCEL(tx.connection, tx.dialect).fetchall()]


def held(connection: sa.Connection, task_id: str) -> list[Run]:
    """Return the runs that wait because their task is paused."""
    return _find(connection, PAUSED, runs.c.task_id == task_id)


def waiting_for_parents(connection: sa.Connection) -> list[Run]:
    """Return the due runs whose parents have not ended."""
    return _find(connection, PARENTS)


_WAITING_OF = Prepared(
    lambda dialect: _SELECT.where(PARENTS, runs.c.task_id == sa.bindparam("task", type_=sa.Text)).order_by(
        runs.c.run_id
    )
)


def waiting_of(tx: Tx, task_id: str) -> list[Run]:
    """Return the due runs of a task whose parents have not ended."""
    return [to_run(row) for row in _WAITING_OF(tx.connection, tx.dialect, task=task_id).fetchall()]


def children_of(connection: sa.Connection, run_id: int) -> list[Run]:
    """Return the runs that this flow started."""
    return _find(connection, runs.c.parent_id == run_id)


def by_ids(connection: sa.Connection, run_ids: Iterable[int]) -> dict[RunId, Run]:
    """Return those of the runs that exist."""
    return {run.run_id: run for run in _find(connection, runs.c.run_id.in_(list(run_ids)))}


def _build_in_cycle(dialect: Dialect) -> sa.Executable:
    given = dialect.rows("tasks", [("task_id", sa.Text())])
    return _SELECT.where(
        runs.c.task_id.in_(sa.select(given.c.task_id)),
        runs.c.cycle == sa.bindparam("cycle", type_=sa.BigInteger),
        runs.c.cycle.is_not(None),
    )


_IN_CYCLE = Prepared(_build_in_cycle)


def in_cycle(connection: sa.Connection, dialect: Dialect, task_ids: Iterable[str], cycle: int) -> dict[str, Run]:
    """Return the runs of these tasks in the cycle, by task."""
    rows = _IN_CYCLE(connection, dialect, tasks=_text([[name] for name in task_ids]), cycle=cycle)
    return {run.task_id: run for run in map(to_run, rows.fetchall())}


_SCHEDULED = _SELECT.where(
    runs.c.task_id == sa.bindparam("task", type_=sa.Text), runs.c.cycle > 0, runs.c.cycle.is_not(None)
)
_LATEST_DUE = Prepared(
    lambda dialect: (
        _SCHEDULED.where(runs.c.cycle <= sa.bindparam("until", type_=sa.BigInteger))
        .order_by(runs.c.cycle.desc())
        .limit(sa.literal_column("1"))
    )
)
_FIRST_DUE = Prepared(
    lambda dialect: (
        _SCHEDULED.where(runs.c.cycle > sa.bindparam("after", type_=sa.BigInteger))
        .order_by(runs.c.cycle)
        .limit(sa.literal_column("1"))
    )
)


def latest_due(tx: Tx, task_id: str, until: int) -> Run | None:
    """Return the task's run in the newest scheduled cycle up to `until`."""
    row = _LATEST_DUE(tx.connection, tx.dialect, task=task_id, until=until).fetchone()
    return None if row is None else to_run(row)


def first_due(tx: Tx, task_id: str, after: int) -> Run | None:
    """Return the task's run in the oldest scheduled cycle behind `after`."""
    row = _FIRST_DUE(tx.connection, tx.dialect, task=task_id, after=after).fetchone()
    return None if row is None else to_run(row)


def _build_with_keys(dialect: Dialect) -> sa.Executable:
    given = dialect.rows("keys", [("key", sa.Text())])
    return sa.select(runs.c.key, runs.c.run_id).where(runs.c.key.in_(sa.select(given.c.key)), runs.c.key.is_not(None))


_WITH_KEYS = Prepared(_build_with_keys)


def with_keys(tx: Tx, keys: Iterable[str]) -> dict[str, RunId]:
    """Return the ids of the runs that have these keys."""
    rows = _WITH_KEYS(tx.connection, tx.dialect, keys=_text([[key] for key in keys]))
    return {key: RunId(run_id) for key, run_id in map(tuple, rows.fetchall())}


def mark_cancel(tx: Tx, run_id: int, why: Cancel) -> None:
    """Note that an unfinished run is to be cancelled; whoever works on it sees the note."""
    tx.connection.execute(
        sa.update(runs).values(cancel=int(why)).where(runs.c.run_id == run_id, runs.c.finished_us.is_(None))
    )


def add_cost(tx: Tx, run_id: int, usd: float) -> None:
    """Add to the cost of a run that has ended what it has cost beside its own tries."""
    more = {"cost": sa.func.coalesce(runs.c.cost, 0.0) + usd}
    tx.connection.execute(sa.update(runs).values(more).where(runs.c.run_id == run_id))


def save_progress(tx: Tx, figures: Iterable[tuple[int, int, str]]) -> None:
    """Store (run_id, token, progress JSON) of runs that are still worked on under that token."""
    for run_id, token, text in figures:
        tx.connection.execute(
            sa.update(runs).values(progress=text).where(runs.c.run_id == run_id, runs.c.token == token, LIVE)
        )


def save_heard(tx: Tx, heard: Iterable[tuple[int, int, int]]) -> None:
    """Store (run_id, token, instant) of the last word of a child whose run is still worked on under that token."""
    for run_id, token, at_us in heard:
        tx.connection.execute(
            sa.update(runs).values(heard_us=at_us).where(runs.c.run_id == run_id, runs.c.token == token, LIVE)
        )


def _unfinished(*where: sa.ColumnElement[bool]) -> sa.CompoundSelect[Any]:
    """Return the ids of unfinished runs, of which each is in one of these indexes: what has finished is not read.

    What waits for its parents is among the parked ones here: it says what it waits for.
    """
    return sa.union(*(sa.select(runs.c.run_id).where(held, *where) for held in (LIVE, READY, WAITING, PARKED, PAUSED)))


def unfinished(connection: sa.Connection, *, task_id: str | None = None, limit: int | None = None) -> list[Run]:
    """Return the unfinished runs, the oldest first."""
    of_task = () if task_id is None else (runs.c.task_id == task_id,)
    query = _SELECT.where(runs.c.run_id.in_(_unfinished(*of_task))).order_by(runs.c.run_id).limit(limit)
    return [to_run(row) for row in connection.execute(query)]


def newest(
    connection: sa.Connection,
    *,
    limit: int,
    task_id: str | None = None,
    state: str | None = None,
    before: int | None = None,
) -> list[Run]:
    """Return the newest runs, newest first; only those with an id below `before`, if it is given."""
    query = _SELECT.order_by(runs.c.run_id.desc()).limit(limit)
    if before is not None:
        query = query.where(runs.c.run_id < before)
    if task_id is not None:
        query = query.where(runs.c.task_id == task_id)
    if state is not None:
        query = query.where(runs.c.state == state)
        if state not in FINAL:
            query = query.where(runs.c.run_id.in_(_unfinished()))
    return [to_run(row) for row in connection.execute(query)]
