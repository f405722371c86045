"""What was tried of the parameters of agents, what the gate said of it, and which parameters hold."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "tuning_evaluations",
        sa.Column("run_id", BIG, autoincrement=False, nullable=False),
        sa.Column("tuning_id", BIG, nullable=False),
        sa.Column("trial", sa.Integer(), nullable=False),
        sa.Column("rung", sa.Integer(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("items", sa.Integer()),
        sa.Column("measured", sa.Integer()),
        sa.Column("value", sa.Double()),
        sa.Column("lower", sa.Double()),
        sa.Column("upper", sa.Double()),
        sa.Column("error", sa.Text()),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("run_id"),
        sa.UniqueConstraint("tuning_id", "trial", "rung", name="tuning_evaluations_place"),
    )
    op.create_table(
        "tuning_verdicts",
        sa.Column("tuning_id", BIG, autoincrement=False, nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("held_out", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("decision", sa.Text()),
        sa.Column("level", sa.Double(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("tuning_id"),
    )
    op.create_index("tuning_verdicts_held_out", "tuning_verdicts", ["agent", "held_out"])
    op.create_table(
        "tuning_changes",
        sa.Column("change_id", BIG, nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.Column("how", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("tuning_id", BIG),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("change_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("tuning_changes_agent", "tuning_changes", ["agent", "change_id"])
