"""Training jobs, as rows."""

import sqlalchemy as sa

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("job_id", sa.Text, nullable=False),
    sa.Column("number", _BIG, primary_key=True),
    sa.Column("run_id", _BIG, nullable=False),
    sa.Column("model_type", sa.Text, nullable=False),
    # What was asked for, as JSON.
    sa.Column("wish", sa.Text, nullable=False),
    sa.Column("snapshot_id", sa.Text, nullable=False),
    sa.Column("item_count", sa.Integer, nullable=False),
    sa.Column("created_us", _BIG, nullable=False),
    # What was measured, as JSON, and what it took; only of those that have COMPLETED.
    sa.Column("result", sa.Text),
    sa.Column("seconds", sa.Double),
    sa.Column("peak_memory_gb", sa.Double),
    sa.UniqueConstraint("job_id", name="jobs_id"),
    sa.UniqueConstraint("run_id", name="jobs_run"),
    sqlite_autoincrement=True,
)
sa.Index("jobs_type", jobs.c.model_type, jobs.c.number)
