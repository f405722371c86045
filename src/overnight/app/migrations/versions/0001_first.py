"""The first tables: runs, steps, questions, tasks, workers, children, locks, the event stream, model versions."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _children()
    _locks()
    _questions()
    _runs()
    _steps()
    _tasks()
    _workers()
    _stream()
    _served()
    _versions()


def _children() -> None:
    op.create_table(
        "children",
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("started", sa.Double(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("worker_id", "pid", "started"),
    )


def _locks() -> None:
    op.create_table(
        "locks",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )


def _questions() -> None:
    op.create_table(
        "questions",
        sa.Column("question_id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("prompt", sa.Text(), nullable=False),
        sa.Column("choices", sa.Text(), nullable=False),
        sa.Column("asked_us", BIG, nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_us", BIG, nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("question_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "questions_open",
        "questions",
        ["question_id"],
        unique=False,
        sqlite_where=sa.text("answer IS NULL"),
        postgresql_where=sa.text("answer IS NULL"),
    )


def _runs() -> None:
    op.create_table(
        "runs",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("priority", sa.Text(), nullable=False),
        sa.Column("queue", sa.SmallInteger(), nullable=True),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("due_us", BIG, nullable=False),
        sa.Column("rank", BIG, nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=True),
        sa.Column("cancel", sa.SmallInteger(), nullable=True),
        sa.Column("waiting_for", sa.Text(), nullable=True),
        sa.Column("parent_id", BIG, nullable=True),
        sa.Column("cycle", BIG, nullable=True),
        sa.Column("key", sa.Text(), nullable=True),
        sa.Column("forked_from", BIG, nullable=True),
        sa.Column("args", sa.Text(), nullable=True),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("started_us", BIG, nullable=True),
        sa.Column("finished_us", BIG, nullable=True),
        sa.Column("active_us", BIG, nullable=False),
        sa.Column("earlier_us", BIG, nullable=False),
        sa.Column("progress", sa.Text(), nullable=True),
        sa.Column("heard_us", BIG, nullable=True),
        sa.Column("cpu_s", sa.Double(), nullable=True),
        sa.Column("peak_memory_gb", sa.Double(), nullable=True),
        sa.Column("gpu_s", sa.Double(), nullable=True),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.Column("history", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
        sqlite_autoincrement=True,
    )
    _runs_indexes()


def _runs_indexes() -> None:
    for name, columns, unique, where in (
        ("runs_cancel", ["run_id"], False, "cancel IS NOT NULL"),
        ("runs_cycle", ["task_id", "cycle"], False, "cycle IS NOT NULL"),
        ("runs_key", ["key"], True, '"key" IS NOT NULL'),
        ("runs_live", ["worker_id"], False, "worker_id IS NOT NULL"),
        ("runs_parent", ["parent_id"], False, "parent_id IS NOT NULL"),
        ("runs_parked", ["run_id"], False, "waiting_for IS NOT NULL"),
        ("runs_parents", ["run_id"], False, "queue = 2"),
        ("runs_ready", ["rank", "run_id"], False, "queue = 1"),
        ("runs_ready_task", ["task_id", "rank", "run_id"], False, "queue = 1"),
        ("runs_waiting", ["due_us"], False, "queue = 0"),
    ):
        op.create_index(
            name, "runs", columns, unique=unique, sqlite_where=sa.text(where), postgresql_where=sa.text(where)
        )


def _steps() -> None:
    op.create_table(
        "steps",
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("ordinal", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.Column("started_us", BIG, nullable=False),
        sa.Column("finished_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("run_id", "ordinal"),
        sqlite_with_rowid=False,
    )


def _tasks() -> None:
    op.create_table(
        "tasks",
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("trigger", sa.Text(), nullable=True),
        sa.Column("next_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("task_id"),
    )
    op.create_index(
        "tasks_next",
        "tasks",
        ["next_us"],
        unique=False,
        sqlite_where=sa.text("next_us IS NOT NULL"),
        postgresql_where=sa.text("next_us IS NOT NULL"),
    )


def _workers() -> None:
    op.create_table(
        "workers",
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("started", sa.Double(), nullable=False),
        sa.Column("lock_path", sa.Text(), nullable=False),
        sa.Column("lease_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("worker_id"),
    )


def _stream() -> None:
    op.create_table(
        "stream",
        sa.Column("cursor", BIG, nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cursor"),
        sqlite_autoincrement=True,
    )


def _served() -> None:
    op.create_table(
        "served",
        sa.Column("served_id", BIG, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version_id", BIG, nullable=False),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("served_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("served_model", "served", ["model", "served_id"], unique=False)


def _versions() -> None:
    op.create_table(
        "versions",
        sa.Column("version_id", BIG, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("parent_id", BIG, nullable=True),
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("manifest", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("metrics", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("version_id"),
        sa.UniqueConstraint("model", "number", name="versions_number"),
        sa.UniqueConstraint("run_id", name="versions_run"),
        sqlite_autoincrement=True,
    )
