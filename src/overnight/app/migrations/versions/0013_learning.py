"""What strategies have done, what was said of them, and which of them execute by default."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "learning_executions",
        sa.Column("run_id", BIG, autoincrement=False, nullable=False),
        sa.Column("session_id", BIG, nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("exercise", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("complexity", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("success_rate", sa.Double(), nullable=False),
        sa.Column("score", sa.Double()),
        sa.Column("time_s", sa.Double(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("learning_executions_strategy", "learning_executions", ["strategy", "type", "at_us"])
    op.create_index("learning_executions_session", "learning_executions", ["session_id"])
    op.create_table(
        "learning_verdicts",
        sa.Column("verdict_id", BIG, nullable=False),
        sa.Column("session_id", BIG, nullable=False),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("champion", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("verdict_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "learning_defaults",
        sa.Column("default_id", BIG, nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text()),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("verdict_id", BIG),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("default_id"),
        sqlite_autoincrement=True,
    )
