"""The first tables: runs, steps, questions, tasks, workers, children, locks, the event stream, model versions."""

import sqlalchemy as sa

revision = "0001"
down_revision = None

BIG = sa.BigInteger().with_variant(sa.Integer, "sqlite")
