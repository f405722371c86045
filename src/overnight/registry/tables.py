"""Model versions, as rows."""

import sqlalchemy as sa

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("version_id", _BIG, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("run_id", _BIG, nullable=False),
    sa.Column("parent_id", _BIG),
    sa.Column("snapshot_id", sa.Text, nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("created_us", _BIG, nullable=False),
    sa.UniqueConstraint("model", "number", name="versions_number"),
    sa.UniqueConstraint("run_id", name="versions_run"),
    sqlite_autoincrement=True,
)

# Append-only: the newest row of a model says what serves now.
served = sa.Table(
    "served",
    metadata,
    sa.Column("served_id", _BIG, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version_id", _BIG, nullable=False),
    sa.Column("since_us", _BIG, nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("served_model", served.c.model, served.c.served_id)
