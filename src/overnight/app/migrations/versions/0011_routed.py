"""When requests for a model that is rolled out were last routed."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the column."""
    op.add_column("deployments", sa.Column("routed_us", BIG, nullable=True))
