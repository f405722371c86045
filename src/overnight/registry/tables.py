"""Model versions, as rows."""

import sqlalchemy as sa

from overnight.db.indexes import partial

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

versions = sa.Table(
    "versions",
    metadata,
    sa.Column("version_id", _BIG, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("number", sa.Text, nullable=False),
    sa.Column("run_id", _BIG),
    sa.Column("parent_id", _BIG),
    sa.Column("snapshot_id", sa.Text, nullable=False),
    sa.Column("manifest", sa.Text, nullable=False),
    sa.Column("signature", sa.Text, nullable=False),
    sa.Column("metrics", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("created_us", _BIG, nullable=False),
    sa.Column("code", sa.Text, nullable=False, server_default="{}"),
    sa.Column("origin", sa.Text),
    sa.Column("removed_us", _BIG),
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
    sa.Column("by", sa.Text),
    sqlite_autoincrement=True,
)
sa.Index("served_model", served.c.model, served.c.served_id)

deployments = sa.Table(
    "deployments",
    metadata,
    sa.Column("deployment_id", _BIG, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("candidate", sa.Text, nullable=False),
    sa.Column("champion", sa.Text),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("salt", _BIG, nullable=False),
    sa.Column("run_id", _BIG, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("percentage", sa.Double, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("created_us", _BIG, nullable=False),
    sa.Column("updated_us", _BIG, nullable=False),
    sa.Column("heard_us", _BIG),
    sa.Column("ended_us", _BIG),
    sa.Column("routed_us", _BIG),
    sqlite_autoincrement=True,
)
OPEN = deployments.c.ended_us.is_(None)
partial("deployments_open", deployments.c.model, where=OPEN, unique=True)
sa.Index("deployments_model", deployments.c.model, deployments.c.deployment_id)

# Append-only: each change of a deployment with all that led to it.
decisions = sa.Table(
    "decisions",
    metadata,
    sa.Column("decision_id", _BIG, primary_key=True),
    sa.Column("deployment_id", _BIG, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("asked", sa.Text),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("before", sa.Text, nullable=False),
    sa.Column("after", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("look", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("decisions_deployment", decisions.c.deployment_id, decisions.c.decision_id)

# Which batches of outcomes have come: each counts once.
outcome_batches = sa.Table(
    "outcome_batches",
    metadata,
    sa.Column("batch_id", sa.Text, primary_key=True),
    sa.Column("at_us", _BIG, nullable=False),
    sa.Index("outcome_batches_at", "at_us"),
)

# Which keys have been seen in a deployment (kind 0), and for which guards they have failed.
outcome_keys = sa.Table(
    "outcome_keys",
    metadata,
    sa.Column("deployment_id", _BIG, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("key", _BIG, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

tags = sa.Table(
    "tags",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version_id", _BIG, nullable=False),
    sa.Column("since_us", _BIG, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
)

# Append-only: what the gate said of a candidate, on which held-out items, at which level of alpha.
verdicts = sa.Table(
    "verdicts",
    metadata,
    sa.Column("verdict_id", _BIG, primary_key=True),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("candidate", sa.Text, nullable=False),
    sa.Column("against", sa.Text, nullable=False),
    sa.Column("held_out", sa.Text, nullable=False),
    sa.Column("final", sa.SmallInteger, nullable=False),
    sa.Column("items", sa.Integer, nullable=False),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("evidence", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("level", sa.Double, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("verdicts_model", verdicts.c.model, verdicts.c.verdict_id)
