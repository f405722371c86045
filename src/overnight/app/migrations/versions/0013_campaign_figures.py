"""Indexes that hold what is counted of campaigns, so that no sample is read for it."""

from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    """Create one index, and put two columns more into another one."""
    op.drop_index("campaign_samples_cell", "campaign_samples")
    op.create_index(
        "campaign_samples_cell",
        "campaign_samples",
        ["campaign_id", "domain", "cell", "number", "reason", "at_us"],
    )
    op.create_index(
        "campaign_samples_time",
        "campaign_samples",
        ["campaign_id", "at_us", "sample_id", "domain", "reason", "quality", "skeleton", "pilot"],
    )
