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
