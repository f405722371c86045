"""Harvests: pages of sources, the harvest log, snapshots of categories."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _pages()
    _harvests()
    _snapshots()


def _pages() -> None:
    op.create_table(
        "pages",
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("place", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("last_modified", sa.Text(), nullable=True),
        sa.Column("next", sa.Text(), nullable=True),
        sa.Column("blob", sa.Text(), nullable=False),
        sa.Column("rows", sa.Integer(), nullable=False),
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("fetched_us", BIG, nullable=False),
        sa.Column("checked_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("source", "region", "place"),
    )


def _harvests() -> None:
    op.create_table(
        "harvests",
        sa.Column("harvest_id", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("region", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("records", sa.Integer(), nullable=False),
        sa.Column("ms", sa.Integer(), nullable=False),
        sa.Column("age_s", sa.Double(), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("harvest_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("harvests_source", "harvests", ["category", "source", "region", "harvest_id"])


def _snapshots() -> None:
    op.create_table(
        "snapshots",
        sa.Column("number", BIG, nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("snapshot_id", sa.Text(), nullable=False),
        sa.Column("rejected", sa.Text(), nullable=False),
        sa.Column("made_us", BIG, nullable=False),
        sa.Column("statistics", sa.Text(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("sources", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number"),
        sqlite_autoincrement=True,
    )
    op.create_index("snapshots_category", "snapshots", ["category", "number"])
