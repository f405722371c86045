"""The orchestrator: paused tasks, missed instants, counters, the history of health, alerts that were sent."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables, and the columns of tasks."""
    for name in ("held_us", "paused_us"):
        op.add_column("tasks", sa.Column(name, BIG, nullable=True))
    op.add_column("tasks", sa.Column("paused_why", sa.Text(), nullable=True))
    op.add_column("tasks", sa.Column("start_us", BIG, nullable=True))
    paused = sa.text("queue = 3")
    op.create_index("runs_paused", "runs", ["task_id"], sqlite_where=paused, postgresql_where=paused)
    _missed()
    op.create_table(
        "counters",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("day", sa.Text(), nullable=False),
        sa.Column("value", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", "day"),
    )
    op.create_table(
        "vitals",
        sa.Column("at_us", BIG, autoincrement=False, nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("at_us", "host"),
    )
    op.create_table(
        "alerts",
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("told_us", BIG, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("cause"),
    )


def _missed() -> None:
    op.create_table(
        "missed",
        sa.Column("missed_id", BIG, nullable=False),
        sa.Column("task_id", sa.Text(), nullable=False),
        sa.Column("first_us", BIG, nullable=False),
        sa.Column("last_us", BIG, nullable=False),
        sa.Column("instants", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("noted_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("missed_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("missed_task", "missed", ["task_id", "missed_id"])
