"""Versions with the code that trained them, from elsewhere, without their artifact; who let them serve; tags."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the columns and the table; SQLite makes a table anew to let a column be null."""
    with op.batch_alter_table("versions", table_kwargs={"sqlite_autoincrement": True}) as versions:
        versions.alter_column("run_id", existing_type=BIG, nullable=True)
        versions.add_column(sa.Column("code", sa.Text(), nullable=False, server_default="{}"))
        versions.add_column(sa.Column("origin", sa.Text(), nullable=True))
        versions.add_column(sa.Column("removed_us", BIG, nullable=True))
    op.add_column("served", sa.Column("by", sa.Text(), nullable=True))
    op.create_table(
        "tags",
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("version_id", BIG, nullable=False),
        sa.Column("since_us", BIG, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("model", "name"),
    )
