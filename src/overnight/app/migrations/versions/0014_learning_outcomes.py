"""What executions cost, by what chance they were drawn, what came of work elsewhere, and evidence of other projects."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns, and create the tables."""
    op.add_column("learning_executions", sa.Column("cost_usd", sa.Double()))
    op.add_column("learning_executions", sa.Column("propensity", sa.Double()))
    op.create_table(
        "learning_outcomes",
        sa.Column("outcome_id", BIG, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text()),
        sa.Column("strategy", sa.Text()),
        sa.Column("parameters", sa.Text()),
        sa.Column("success", sa.Double(), nullable=False),
        sa.Column("score", sa.Double()),
        sa.Column("time_s", sa.Double()),
        sa.Column("cost_usd", sa.Double()),
        sa.Column("propensity", sa.Double()),
        sa.Column("predicted", sa.Double()),
        sa.Column("features", sa.Text()),
        sa.Column("run_id", BIG),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("outcome_id"),
        sa.UniqueConstraint("key", name="learning_outcomes_key"),
        sqlite_autoincrement=True,
    )
    op.create_index("learning_outcomes_type", "learning_outcomes", ["type", "agent", "outcome_id"])
    op.create_table(
        "learning_priors",
        sa.Column("prior_id", BIG, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("type", sa.Text(), nullable=False),
        sa.Column("uses", sa.Integer(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("spread", sa.Double(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("prior_id"),
        sa.UniqueConstraint("key", name="learning_priors_key"),
        sqlite_autoincrement=True,
    )
