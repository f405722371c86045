"""What strategies have done, what was said of them, and which of them execute by default."""

import sqlalchemy as sa

metadata = sa.MetaData()

_BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")

# Append-only: a row for each run that executed an exercise by a strategy.
executions = sa.Table(
    "learning_executions",
    metadata,
    sa.Column("run_id", _BIG, primary_key=True, autoincrement=False),
    # The run of the flow that wanted it, and what for: "learn" or "validate".
    sa.Column("session_id", _BIG, nullable=False),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("exercise", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("complexity", sa.Text, nullable=False),
    sa.Column("strategy", sa.Text, nullable=False),
    # A hash of the parameters: a strategy that has changed is another one.
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("success_rate", sa.Double, nullable=False),
    # None: a part of it was not measured.
    sa.Column("score", sa.Double),
    sa.Column("time_s", sa.Double, nullable=False),
    # The parts of the score, the checks of each repeat, and the facts that were recorded, as JSON.
    sa.Column("detail", sa.Text, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    # None: nobody has measured it.
    sa.Column("cost_usd", sa.Double),
    # The chance by which this strategy was drawn for this exercise; None where it was not drawn.
    sa.Column("propensity", sa.Double),
)
sa.Index("learning_executions_strategy", executions.c.strategy, executions.c.type, executions.c.at_us)
sa.Index("learning_executions_session", executions.c.session_id)

# Append-only: what the gate said of a candidate for the default, as JSON.
verdicts = sa.Table(
    "learning_verdicts",
    metadata,
    sa.Column("verdict_id", _BIG, primary_key=True),
    sa.Column("session_id", _BIG, nullable=False),
    sa.Column("candidate", sa.Text, nullable=False),
    sa.Column("champion", sa.Text, nullable=False),
    sa.Column("decision", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    sqlite_autoincrement=True,
)

# Append-only: which strategy executes from when on, all types ("") or one; the newest row of a type holds.
defaults = sa.Table(
    "learning_defaults",
    metadata,
    sa.Column("default_id", _BIG, primary_key=True),
    sa.Column("type", sa.Text, nullable=False),
    # None: nothing is set any more, and what stands behind it holds.
    sa.Column("strategy", sa.Text),
    # "learned", "set" or "rolled_back", by whom, and the verdict that allowed it.
    sa.Column("how", sa.Text, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("verdict_id", _BIG),
    sa.Column("at_us", _BIG, nullable=False),
    sqlite_autoincrement=True,
)

# Append-only: what came of work that was no exercise. Each is there once, by its key.
outcomes = sa.Table(
    "learning_outcomes",
    metadata,
    sa.Column("outcome_id", _BIG, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    # "fed" by a file, of "production", or "verified" on somebody's wish.
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    # Who did it, and by which strategy with which parameters (a hash), where that is known.
    sa.Column("agent", sa.Text),
    sa.Column("strategy", sa.Text),
    sa.Column("parameters", sa.Text),
    # 0 to 1; score 0 to 100.
    sa.Column("success", sa.Double, nullable=False),
    sa.Column("score", sa.Double),
    sa.Column("time_s", sa.Double),
    sa.Column("cost_usd", sa.Double),
    sa.Column("propensity", sa.Double),
    # What was predicted before it was known, 0 to 1.
    sa.Column("predicted", sa.Double),
    # Numbers by name, as JSON.
    sa.Column("features", sa.Text),
    sa.Column("run_id", _BIG),
    sa.Column("at_us", _BIG, nullable=False),
    sa.UniqueConstraint("key", name="learning_outcomes_key"),
    sqlite_autoincrement=True,
)
sa.Index("learning_outcomes_type", outcomes.c.type, outcomes.c.agent, outcomes.c.outcome_id)

# What other projects have measured: of each a row for a strategy, its parameters and a type, in whose place newer
# evidence of the same comes. It is never counted as measured.
priors = sa.Table(
    "learning_priors",
    metadata,
    sa.Column("prior_id", _BIG, primary_key=True),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("origin", sa.Text, nullable=False),
    sa.Column("strategy", sa.Text, nullable=False),
    sa.Column("parameters", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("uses", sa.Integer, nullable=False),
    # Mean and standard deviation of the scores, 0 to 100.
    sa.Column("score", sa.Double, nullable=False),
    sa.Column("spread", sa.Double, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("at_us", _BIG, nullable=False),
    sa.UniqueConstraint("key", name="learning_priors_key"),
    sqlite_autoincrement=True,
)
