"""Campaigns, what their pilots are asked for, and their samples."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the tables."""
    _campaigns()
    _samples()


def _campaigns() -> None:
    op.create_table(
        "campaigns",
        sa.Column("campaign_id", BIG, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created_us", BIG, nullable=False),
        sa.Column("run_id", BIG),
        sa.Column("phase", sa.Text()),
        sa.Column("stopping", sa.SmallInteger(), nullable=False, server_default="0"),
        sa.PrimaryKeyConstraint("campaign_id"),
        sa.UniqueConstraint("name", name="campaigns_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "campaign_gates",
        sa.Column("gate_id", BIG, nullable=False),
        sa.Column("campaign_id", BIG, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("specification", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("gate_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("campaign_gates_campaign", "campaign_gates", ["campaign_id", "gate_id"])
    op.create_table(
        "campaign_verdicts",
        sa.Column("verdict_id", BIG, nullable=False),
        sa.Column("campaign_id", BIG, nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("decision", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("verdict_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("campaign_verdicts_campaign", "campaign_verdicts", ["campaign_id", "verdict_id"])
    op.create_table(
        "campaign_launches",
        sa.Column("launch_id", BIG, nullable=False),
        sa.Column("campaign_id", BIG, nullable=False),
        sa.Column("run_id", BIG, nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("forced", sa.Text()),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("launch_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("campaign_launches_campaign", "campaign_launches", ["campaign_id", "launch_id"])


def _samples() -> None:
    op.create_table(
        "campaign_samples",
        sa.Column("campaign_id", BIG, autoincrement=False, nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("generator", sa.Text(), nullable=False),
        sa.Column("cell", sa.Text(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("pilot", sa.SmallInteger(), nullable=False),
        sa.Column("reason", sa.Text()),
        sa.Column("detail", sa.Text()),
        sa.Column("quality", sa.Double()),
        sa.Column("terms", sa.Text(), nullable=False),
        sa.Column("skeleton", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.PrimaryKeyConstraint("campaign_id", "sample_id"),
    )
    op.create_index(
        "campaign_samples_cell", "campaign_samples", ["campaign_id", "domain", "cell", "number", "reason", "at_us"]
    )
    op.create_index(
        "campaign_samples_time",
        "campaign_samples",
        ["campaign_id", "at_us", "sample_id", "domain", "reason", "quality", "skeleton", "pilot"],
    )
    accepted = sa.text("reason IS NULL")
    op.create_index(
        "campaign_samples_text",
        "campaign_samples",
        ["campaign_id", "digest"],
        unique=True,
        sqlite_where=accepted,
        postgresql_where=accepted,
    )
