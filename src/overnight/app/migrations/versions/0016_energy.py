"""How much energy the machine of a daemon has used."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Create the table."""
    op.create_table(
        "energy",
        sa.Column("energy_id", BIG, nullable=False),
        sa.Column("at_us", BIG, nullable=False),
        sa.Column("joules", sa.Double(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("energy_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("energy_at", "energy", ["at_us"])
