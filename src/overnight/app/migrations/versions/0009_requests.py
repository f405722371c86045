"""Requests that were served, and what came of answers that nobody was shown."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "requests",
        sa.Column("number", BIG, nullable=False),
        sa.Column("request_id", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("input", sa.Text(), nullable=False),
        sa.Column("output", sa.Text(), nullable=False),
        sa.Column("expected", sa.Text(), nullable=True),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("request_id", name="requests_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("requests_model", "requests", ["model", "number"])
    op.create_table(
        "shadows",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("champion", sa.Text(), nullable=False),
        sa.Column("candidate", sa.Text(), nullable=False),
        sa.Column("deployment_id", BIG, autoincrement=False, nullable=False),
        sa.Column("answers", BIG, nullable=False),
        sa.Column("errors", BIG, nullable=False),
        sa.Column("disagreed", BIG, nullable=False),
        sa.Column("champion_ms", sa.Double(), nullable=False),
        sa.Column("candidate_ms", sa.Double(), nullable=False),
        sa.Column("dropped", BIG, nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("model", "champion", "candidate", "deployment_id"),
    )
