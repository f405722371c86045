"""What the machine of a daemon has used, as rows."""

import sqlalchemy as sa

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# `joules` were used in the `seconds` that were measured up to `at_us`.
energy = sa.Table(
    "energy",
    metadata,
    sa.Column("energy_id", _BIG, primary_key=True),
    sa.Column("at_us", _BIG, nullable=False),
    sa.Column("joules", sa.Double, nullable=False),
    sa.Column("seconds", sa.Double, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("energy_at", energy.c.at_us)
