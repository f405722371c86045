"""Experiences, and jobs that a rule submitted."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables, and the column of jobs."""
    by_rule = sa.text("submitted_by IS NOT NULL")
    op.add_column("jobs", sa.Column("submitted_by", sa.Text(), nullable=True))
    op.create_index("jobs_by_rule", "jobs", ["model_type", "number"], sqlite_where=by_rule, postgresql_where=by_rule)
    op.create_table(
        "experience_batches",
        sa.Column("number", BIG, nullable=False),
        sa.Column("batch_id", sa.Text(), nullable=False),
        sa.Column("model_type", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("sent", sa.Integer(), nullable=False),
        sa.Column("accepted", sa.Integer(), nullable=False),
        sa.Column("received_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("batch_id", name="experience_batches_id"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "experiences",
        sa.Column("number", BIG, nullable=False),
        sa.Column("batch", BIG, nullable=False),
        sa.Column("model_type", sa.Text(), nullable=False),
        sa.Column("quality_millionths", sa.Integer(), nullable=False),
        sa.Column("used_by", sa.Text(), nullable=True),
        sa.Column("key", BIG, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_index("experiences_key", "experiences", ["key"])
    unused = sa.text("used_by IS NULL")
    columns = ["model_type", "quality_millionths", "number"]
    op.create_index("experiences_unused", "experiences", columns, sqlite_where=unused, postgresql_where=unused)
