"""Which keys of a rollout are known is looked up key by key, however many there are."""

import re

import sqlalchemy as sa

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.base.files import to_json
from overnight.db.database import Database
from overnight.registry import deployments
from overnight.registry.evidence import Served
from overnight.registry.plans import plan_of
from overnight.registry.tables import outcome_keys
from query_plans import plans

MANY = 20_000
SERVED = [Served(request_id=f"r{n}", key=f"user {n}", version="v1.0.1", percentage=10.0, ok=n > 1) for n in range(99)]


def fill(tx, deployment_id):
    rows = "rows", [("key", sa.BigInteger())]
    given = tx.dialect.rows(*rows)
    many = sa.select(sa.literal(deployment_id), sa.literal(0), given.c.key)
    text = to_json([[number] for number in range(MANY)])
    tx.connection.execute(sa.insert(outcome_keys).from_select(["deployment_id", "kind", "key"], many), {"rows": text})


def test_a_key_is_looked_up_by_the_whole_primary_key(tmp_path, database_url, monkeypatch):
    database = Database(database_url, SystemClock(), tmp_path)
    schema.prepare(database)
    about = {"model": "nlu", "candidate": "v1.0.1", "champion": "v1.0.0", "plan": plan_of("gradual_rollout")}
    rest = {"salt": 1, "run_id": 1, "message": "", "by": "Ada"}

    def ask(tx):
        fill(tx, 1)
        if tx.dialect.name == "postgresql":
            # Its statistics are older than the deployment that is looked at; SQLite has none of keys.
            tx.connection.exec_driver_sql("ANALYZE")
        fill(tx, 2)
        one = deployments.insert(tx, deployment_id=2, **about, **rest)
        plan = plans(tx, lambda tx: deployments.counted(tx, one, SERVED), monkeypatch)
        return plan, deployments.counted(tx, one, SERVED)

    plan, again = database.writer.do(ask)
    database.close()
    if database.dialect.name == "sqlite":
        assert "USING PRIMARY KEY (deployment_id=? AND kind=? AND key=?)" in plan, plan
    else:
        # The look-up hangs on the row that was asked for: it is no join, whose order is the planner's to choose.
        assert "SubPlan" in plan and "Join" not in plan and "Nested Loop" not in plan, plan
        assert re.search(r"Index Cond: \(\(deployment_id = .*\) AND \(kind = .*\) AND \(key = ", plan), plan
    assert not any(count.first or count.failed for count in again), "a known key is found again"
