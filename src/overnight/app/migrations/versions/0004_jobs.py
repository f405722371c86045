"""Training jobs, and runs with needs of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table, and the column of runs."""
    op.add_column("runs", sa.Column("needs", sa.Text(), nullable=True))
    op.create_table(
        "jobs",
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("number", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("model_type", sa.Text(), nullable=False),
        sa.Column("wish", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("item_count", sa.Integer(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("result", sa.Text(), nullable=True),
        sa.Column("seconds", sa.Double(), nullable=True),
        sa.Column("peak_memory_gb", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("number"),
        sa.UniqueConstraint("job_id", name="jobs_id"),
        sa.UniqueConstraint("run_id", name="jobs_run"),
        sqlite_autoincrement=True,
    )
    op.create_index("jobs_type", "jobs", ["model_type", "number"])
