"""Rollouts: how they stand, what was decided, and which outcomes have come."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "deployments",
        sa.Column("deployment_id", BIG, nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("champion", sa.Text(), nullable=True),
        sa.Column("plan", sa.Text(), nullable=False),
        sa.Column("salt", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("percentage", sa.Double(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("updated_us", BIG, nullable=False),
        sa.Column("heard_us", BIG, nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.PrimaryKeyConstraint("deployment_id"),
        sqlite_autoincrement=True,
    )
    op.create_index(
        "deployments_open",
        "deployments",
        ["model"],
        unique=True,
        sqlite_where=sa.text("ended_us IS NULL"),
        postgresql_where=sa.text("ended_us IS NULL"),
    )
    op.create_index("deployments_model", "deployments", ["model", "deployment_id"])
    op.create_table(
        "decisions",
        sa.Column("decision_id", BIG, nullable=False),
        sa.Column("deployment_id", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("asked", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=False),
        sa.Column("after", sa.Text(), nullable=False),
        sa.Column("evidence", sa.Text(), nullable=False),
        sa.Column("look", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("decision_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("decisions_deployment", "decisions", ["deployment_id", "decision_id"])
    _create_outcomes()


def _create_outcomes() -> None:
    op.create_table(
        "outcome_batches",
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("batch_id"),
    )
    op.create_index("outcome_batches_at", "outcome_batches", ["at_us"])
    op.create_table(
        "outcome_keys",
        sa.Column("deployment_id", BIG, autoincrement=False, nullable=False),
        sa.Column("kind", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("key", BIG, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("deployment_id", "kind", "key"),
        sqlite_with_rowid=False,
    )
