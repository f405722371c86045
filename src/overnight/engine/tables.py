"""The engine's tables. Finished runs are in no index but those of their key, cycle and parent, where they have one."""

import sqlalchemy as sa

from overnight.db.indexes import partial

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")  # SQLite numbers rows only where the type reads INTEGER

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("run_id", _BIG, primary_key=True),
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("priority", sa.Text, nullable=False),
    sa.Column("queue", sa.SmallInteger),
    sa.Column("created_us", _BIG, nullable=False),
    sa.Column("due_us", _BIG, nullable=False),
    sa.Column("rank", _BIG),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
    sa.Column("losses", sa.Integer, nullable=False),
    sa.Column("worker_id", sa.Text),
    sa.Column("cancel", sa.SmallInteger),
    sa.Column("waiting_for", sa.Text),
    sa.Column("parent_id", _BIG),
    sa.Column("cycle", _BIG),
    sa.Column("key", sa.Text),
    sa.Column("forked_from", _BIG),
    sa.Column("args", sa.Text),
    sa.Column("result", sa.Text),
    sa.Column("error", sa.Text),
    sa.Column("started_us", _BIG),
    sa.Column("finished_us", _BIG),
    sa.Column("active_us", _BIG, nullable=False),
    sa.Column("earlier_us", _BIG, nullable=False),
    sa.Column("progress", sa.Text),
    sa.Column("heard_us", _BIG),
    sa.Column("cpu_s", sa.Double),
    sa.Column("peak_memory_gb", sa.Double),
    sa.Column("gpu_s", sa.Double),
    sa.Column("cost", sa.Double),
    sa.Column("history", sa.Text, nullable=False),
    sa.Column("needs", sa.Text),
    sqlite_autoincrement=True,
)


# Literal numbers, not parameters: both databases use a partial index only for conditions that they can see.
READY = runs.c.queue == sa.literal_column("1")
WAITING = runs.c.queue == sa.literal_column("0")
PARENTS = runs.c.queue == sa.literal_column("2")
LIVE = runs.c.worker_id.is_not(None)
PAUSED = runs.c.queue == sa.literal_column("3")
PARKED = runs.c.waiting_for.is_not(None)
CANCEL = runs.c.cancel.is_not(None)

partial("runs_ready", runs.c.rank, runs.c.run_id, where=READY)
partial("runs_ready_task", runs.c.task_id, runs.c.rank, runs.c.run_id, where=READY)
partial("runs_waiting", runs.c.due_us, where=WAITING)
partial("runs_parents", runs.c.run_id, where=PARENTS)
partial("runs_paused", runs.c.task_id, where=PAUSED)
partial("runs_live", runs.c.worker_id, where=LIVE)
partial("runs_parked", runs.c.run_id, where=PARKED)
partial("runs_cancel", runs.c.run_id, where=CANCEL)
partial("runs_key", runs.c.key, where=runs.c.key.is_not(None), unique=True)
partial("runs_cycle", runs.c.task_id, runs.c.cycle, where=runs.c.cycle.is_not(None))
partial("runs_parent", runs.c.parent_id, where=runs.c.parent_id.is_not(None))

steps = sa.Table(
    "steps",
    metadata,
    sa.Column("run_id", _BIG, primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("started_us", _BIG, nullable=False),
    sa.Column("finished_us", _BIG, nullable=False),
    sqlite_with_rowid=False,
)

questions = sa.Table(
    "questions",
    metadata,
    sa.Column("question_id", _BIG, primary_key=True),
    sa.Column("run_id", _BIG, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("prompt", sa.Text, nullable=False),
    sa.Column("choices", sa.Text, nullable=False),
    sa.Column("asked_us", _BIG, nullable=False),
    sa.Column("answer", sa.Text),
    sa.Column("answered_us", _BIG),
    sa.Column("answered_by", sa.Text),
    sqlite_autoincrement=True,
)
_open = questions.c.answer.is_(None)
partial("questions_open", questions.c.question_id, where=_open)

tasks = sa.Table(
    "tasks",
    metadata,
    sa.Column("task_id", sa.Text, primary_key=True),
    sa.Column("trigger", sa.Text),
    sa.Column("next_us", _BIG),
    # The next instant of a paused task, and since when and why it is paused.
    sa.Column("held_us", _BIG),
    sa.Column("paused_us", _BIG),
    sa.Column("paused_why", sa.Text),
    # When the next run may start, for a task with a rate limit.
    sa.Column("start_us", _BIG),
)
_timed = tasks.c.next_us.is_not(None)
partial("tasks_next", tasks.c.next_us, where=_timed)

missed = sa.Table(
    "missed",
    metadata,
    sa.Column("missed_id", _BIG, primary_key=True),
    sa.Column("task_id", sa.Text, nullable=False),
    sa.Column("first_us", _BIG, nullable=False),
    sa.Column("last_us", _BIG, nullable=False),
    sa.Column("instants", sa.Integer),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("noted_us", _BIG, nullable=False),
    sa.Index("missed_task", "task_id", "missed_id"),
    sqlite_autoincrement=True,
)

counters = sa.Table(
    "counters",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("day", sa.Text, primary_key=True),
    sa.Column("value", sa.Double, nullable=False),
)

vitals = sa.Table(
    "vitals",
    metadata,
    sa.Column("at_us", _BIG, primary_key=True, autoincrement=False),
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("body", sa.Text, nullable=False),
)

alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("cause", sa.Text, primary_key=True),
    sa.Column("told_us", _BIG, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("worker_id", sa.Text, primary_key=True),
    sa.Column("host", sa.Text, nullable=False),
    sa.Column("pid", sa.Integer, nullable=False),
    sa.Column("started", sa.Double, nullable=False),
    sa.Column("lock_path", sa.Text, nullable=False),
    sa.Column("lease_us", _BIG, nullable=False),
)

children = sa.Table(
    "children",
    metadata,
    sa.Column("worker_id", sa.Text, primary_key=True),
    sa.Column("pid", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("started", sa.Double, primary_key=True, autoincrement=False),
)

locks = sa.Table(
    "locks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("run_id", _BIG, nullable=False),
    sa.Column("token", sa.Integer, nullable=False),
)
