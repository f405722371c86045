"""Training jobs, as rows."""

import sqlalchemy as sa

from overnight.db.indexes import partial

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
    # The rule of `training.triggers` that submitted it; NULL where a person or a program did.
    sa.Column("submitted_by", sa.Text),
    sa.UniqueConstraint("job_id", name="jobs_id"),
    sa.UniqueConstraint("run_id", name="jobs_run"),
    sqlite_autoincrement=True,
)
sa.Index("jobs_type", jobs.c.model_type, jobs.c.number)
BY_RULE = jobs.c.submitted_by.is_not(None)
partial("jobs_by_rule", jobs.c.model_type, jobs.c.number, where=BY_RULE)

stays = sa.Table(
    "stays",
    metadata,
    # The flow of the job that the machine is for.
    sa.Column("run_id", _BIG, primary_key=True, autoincrement=False),
    # What it was begun with, as JSON.
    sa.Column("terms", sa.Text, nullable=False),
    sa.Column("begun_us", _BIG, nullable=False),
    sa.Column("up_us", _BIG),
    sa.Column("spent_us", _BIG, nullable=False, server_default="0"),
    sa.Column("down_token", sa.Integer, nullable=False, server_default="0"),
    sa.Column("over", sa.SmallInteger, nullable=False, server_default="0"),
    sa.Column("downs", sa.Integer, nullable=False, server_default="0"),
    sa.Column("error", sa.Text),
    sa.Column("ended_us", _BIG),
    sa.Column("cost", sa.Double),
)
sa.Index("stays_ended", stays.c.ended_us)
