"""What was tried of the parameters of agents, what the gate said of it, and which parameters hold."""

import sqlalchemy as sa

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# Append-only: a row for each run that evaluated a trial at a rung.
evaluations = sa.Table(
    "tuning_evaluations",
    metadata,
    sa.Column("run_id", _BIG, primary_key=True, autoincrement=False),
    # The run of the flow that wanted it.
    sa.Column("tuning_id", _BIG, nullable=False),
    sa.Column("trial", sa.Integer, nullable=False),
    sa.Column("rung", sa.Integer, nullable=False),
    # Those that are tuned, as JSON.
    sa.Column("parameters", sa.Text, nullable=False),
    # Trained on, and measured on.
    sa.Column("items", sa.Integer),
    sa.Column("measured", sa.Integer),
    # Higher is better, with its 95 % interval; None: it failed, and `error` says why.
    sa.Column("value", sa.Double),
    sa.Column("lower", sa.Double),
    sa.Column("upper", sa.Double),
    sa.Column("error", sa.Text),
    sa.Column("seconds", sa.Double, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    sa.UniqueConstraint("tuning_id", "trial", "rung", name="tuning_evaluations_place"),
)

# Append-only: what the gate said of the best parameters of a tuning.
verdicts = sa.Table(
    "tuning_verdicts",
    metadata,
    sa.Column("tuning_id", _BIG, primary_key=True, autoincrement=False),
    sa.Column("agent", sa.Text, nullable=False),
    # A hash of the ids of the held-out items.
    sa.Column("held_out", sa.Text, nullable=False),
    # The version that was judged, and the run that trained it.
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("run_id", _BIG, nullable=False),
    # None: it could not be compared.
    sa.Column("decision", sa.Text),
    sa.Column("level", sa.Double, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
)
sa.Index("tuning_verdicts_held_out", verdicts.c.agent, verdicts.c.held_out)

# Append-only: which parameters an agent is trained with from when on; the newest row of an agent holds.
changes = sa.Table(
    "tuning_changes",
    metadata,
    sa.Column("change_id", _BIG, primary_key=True),
    sa.Column("agent", sa.Text, nullable=False),
    # "tuned" or "rolled_back", by whom, and the tuning whose parameters these are (None: those of the settings).
    sa.Column("how", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("tuning_id", _BIG),
    # As JSON; {}: those of the settings alone.
    sa.Column("parameters", sa.Text, nullable=False),
    # A hash of what the settings said of the agent; parameters hold as long as they say the same.
    sa.Column("basis", sa.Text, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("tuning_changes_agent", changes.c.agent, changes.c.change_id)
