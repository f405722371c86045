"""What was harvested, as rows, whose records are blobs; and experiences, which are rows themselves."""

import sqlalchemy as sa

from overnight.db.indexes import partial

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# What a source gave last, page by page: replaced as a whole whenever the source has been read.
pages = sa.Table(
    "pages",
    metadata,
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("region", sa.Text, primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("etag", sa.Text),
    sa.Column("last_modified", sa.Text),
    sa.Column("next", sa.Text),
    sa.Column("blob", sa.Text, nullable=False),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("fingerprint", sa.Text, nullable=False),
    sa.Column("fetched_us", _BIG, nullable=False),
    sa.Column("checked_us", _BIG, nullable=False),
)

# Append-only: one row for each source and region of each harvest.
harvests = sa.Table(
    "harvests",
    metadata,
    sa.Column("harvest_id", _BIG, primary_key=True),
    sa.Column("at_us", _BIG, nullable=False),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("region", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("records", sa.Integer, nullable=False),
    sa.Column("ms", sa.Integer, nullable=False),
    sa.Column("age_s", sa.Double, nullable=False),
    sa.Column("error", sa.Text),
    sqlite_autoincrement=True,
)
sa.Index("harvests_source", harvests.c.category, harvests.c.source, harvests.c.region, harvests.c.harvest_id)

# Append-only: the newest row of a category says what trainings read now.
snapshots = sa.Table(
    "snapshots",
    metadata,
    sa.Column("number", _BIG, primary_key=True),
    sa.Column("category", sa.Text, nullable=False),
    sa.Column("snapshot_id", sa.Text, nullable=False),
    sa.Column("rejected", sa.Text, nullable=False),
    sa.Column("made_us", _BIG, nullable=False),
    sa.Column("statistics", sa.Text, nullable=False),
    sa.Column("facts", sa.Text, nullable=False),
    sa.Column("sources", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("snapshots_category", snapshots.c.category, snapshots.c.number)

# Append-only: each batch of experiences that was taken, so that it is not taken twice.
experience_batches = sa.Table(
    "experience_batches",
    metadata,
    sa.Column("number", _BIG, primary_key=True),
    sa.Column("batch_id", sa.Text, nullable=False),
    sa.Column("model_type", sa.Text, nullable=False),
    # The SHA-256 of what it holds.
    sa.Column("digest", sa.Text, nullable=False),
    sa.Column("sent", sa.Integer, nullable=False),
    # How many of these were new.
    sa.Column("accepted", sa.Integer, nullable=False),
    sa.Column("received_us", _BIG, nullable=False),
    sa.UniqueConstraint("batch_id", name="experience_batches_id"),
    sqlite_autoincrement=True,
)

# Numbered in the order in which they came. Never deleted: one that was used must not come in again.
experiences = sa.Table(
    "experiences",
    metadata,
    sa.Column("number", _BIG, primary_key=True),
    sa.Column("batch", _BIG, nullable=False),
    sa.Column("model_type", sa.Text, nullable=False),
    sa.Column("quality_millionths", sa.Integer, nullable=False),
    # The job that was trained on it.
    sa.Column("used_by", sa.Text),
    # The first 60 bits of the body's SHA-256. A unique digest would make a taken experience cost three times as much:
    # most of that is writing the pages of its index, and they hold five times as many of these.
    sa.Column("key", _BIG, nullable=False),
    sa.Column("body", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("experiences_key", experiences.c.key)
UNUSED = experiences.c.used_by.is_(None)
partial(
    "experiences_unused",
    experiences.c.model_type,
    experiences.c.quality_millionths,
    experiences.c.number,
    where=UNUSED,
)
