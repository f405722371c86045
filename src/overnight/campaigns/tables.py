"""Campaigns and their samples: a row for each candidate that was judged, accepted or not."""

import sqlalchemy as sa

from overnight.db.indexes import partial

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

campaigns = sa.Table(
    "campaigns",
    metadata,
    sa.Column("campaign_id", _BIG, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("created_us", _BIG, nullable=False),
    # The run of the flow that works, or has worked, on it, where it stands, and whether somebody wants it to stop.
    sa.Column("run_id", _BIG),
    sa.Column("phase", sa.Text),
    sa.Column("stopping", sa.SmallInteger, nullable=False, server_default="0"),
    sa.UniqueConstraint("name", name="campaigns_name"),
    sqlite_autoincrement=True,
)

# Append-only: what a pilot is asked for, from when on, by whom. The newest row holds.
gates = sa.Table(
    "campaign_gates",
    metadata,
    sa.Column("gate_id", _BIG, primary_key=True),
    sa.Column("campaign_id", _BIG, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("specification", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("campaign_gates_campaign", gates.c.campaign_id, gates.c.gate_id)

# Append-only: what the gate said of the pilot, with what was seen, as JSON.
verdicts = sa.Table(
    "campaign_verdicts",
    metadata,
    sa.Column("verdict_id", _BIG, primary_key=True),
    sa.Column("campaign_id", _BIG, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("campaign_verdicts_campaign", verdicts.c.campaign_id, verdicts.c.verdict_id)

# Append-only: who launched the whole campaign, and why, where no verdict allowed it.
launches = sa.Table(
    "campaign_launches",
    metadata,
    sa.Column("launch_id", _BIG, primary_key=True),
    sa.Column("campaign_id", _BIG, nullable=False),
    sa.Column("run_id", _BIG, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("forced", sa.Text),
    sa.Column("at_us", _BIG, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("campaign_launches_campaign", launches.c.campaign_id, launches.c.launch_id)

# Never changed, but by `versions.begin_anew`. What was measured stands beside the sample: other thresholds can be tried
# without making it again.
samples = sa.Table(
    "campaign_samples",
    metadata,
    sa.Column("campaign_id", _BIG, primary_key=True, autoincrement=False),
    # Follows from domain, generator, cell and number: see `campaigns.ports.Origin`.
    sa.Column("sample_id", sa.Text, primary_key=True),
    sa.Column("domain", sa.Text, nullable=False),
    sa.Column("generator", sa.Text, nullable=False),
    sa.Column("cell", sa.Text, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("pilot", sa.SmallInteger, nullable=False),
    # Why it was not accepted, in a few words that many share; None: it was.
    sa.Column("reason", sa.Text),
    sa.Column("detail", sa.Text),
    # None: nothing with a weight was measured.
    sa.Column("quality", sa.Double),
    sa.Column("terms", sa.Text, nullable=False),
    sa.Column("skeleton", sa.Text, nullable=False),
    # Of the folded text; equal ones are accepted once.
    sa.Column("digest", sa.Text, nullable=False),
    # The messages and the source, as JSON.
    sa.Column("body", sa.Text, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
)
ACCEPTED = samples.c.reason.is_(None)
# What these two hold is counted without reading rows, which are mostly bodies: see `reading`.
sa.Index(
    "campaign_samples_cell",
    samples.c.campaign_id,
    samples.c.domain,
    samples.c.cell,
    samples.c.number,
    samples.c.reason,
    samples.c.at_us,
)
sa.Index(
    "campaign_samples_time",
    samples.c.campaign_id,
    samples.c.at_us,
    samples.c.sample_id,
    samples.c.domain,
    samples.c.reason,
    samples.c.quality,
    samples.c.skeleton,
    samples.c.pilot,
)
partial("campaign_samples_text", samples.c.campaign_id, samples.c.digest, where=ACCEPTED, unique=True)
