"""Machines that were brought up for jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "stays",
        sa.Column("run_id", BIG, autoincrement=False, nullable=False),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("begun_us", BIG, nullable=False),
        sa.Column("up_us", BIG, nullable=True),
        sa.Column("spent_us", BIG, nullable=False, server_default="0"),
        sa.Column("down_token", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("over", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.Column("downs", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("ended_us", BIG, nullable=True),
        sa.Column("cost", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("run_id"),
    )
    op.create_index("stays_ended", "stays", ["ended_us"])
