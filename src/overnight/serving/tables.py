"""Requests that were served, and what came of answers that nobody was shown, as rows."""

import sqlalchemy as sa

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# The newest of each model, numbered in the order in which they were answered.
requests = sa.Table(
    "requests",
    metadata,
    sa.Column("number", _BIG, primary_key=True),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("model", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    # What decided on the version.
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("input", sa.Text, nullable=False),
    sa.Column("output", sa.Text, nullable=False),
    # What would have been right, once that was told.
    sa.Column("expected", sa.Text),
    sa.Column("at_us", _BIG, nullable=False),
    sa.UniqueConstraint("request_id", name="requests_id"),
    sqlite_autoincrement=True,
)
sa.Index("requests_model", requests.c.model, requests.c.number)

# Sums over the requests that a candidate was asked beside the champion; 0 stands for no deployment.
shadows = sa.Table(
    "shadows",
    metadata,
    sa.Column("model", sa.Text, primary_key=True),
    sa.Column("champion", sa.Text, primary_key=True),
    sa.Column("candidate", sa.Text, primary_key=True),
    sa.Column("deployment_id", _BIG, primary_key=True, autoincrement=False),
    sa.Column("answers", _BIG, nullable=False),
    sa.Column("errors", _BIG, nullable=False),
    sa.Column("disagreed", _BIG, nullable=False),
    sa.Column("champion_ms", sa.Double, nullable=False),
    sa.Column("candidate_ms", sa.Double, nullable=False),
    sa.Column("dropped", _BIG, nullable=False),
    # The last one.
    sa.Column("error", sa.Text),
)
