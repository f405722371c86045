"""The benchmark of the guard decides with what the daemon decides with, and its goals are met."""

import importlib
import sys
from contextlib import closing
from pathlib import Path
from random import Random

import pytest

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.db.database import Database
from overnight.proof import eprocess
from overnight.registry import deployments, evidence, rollout
from overnight.registry.evidence import Served

FOLDER = Path(__file__).parents[2] / "benchmarks"
NULLS, FAULTS = 20, 40


@pytest.fixture
def guard(monkeypatch):
    monkeypatch.syspath_prepend(FOLDER)
    yield importlib.import_module("guard")
    sys.modules.pop("guard", None)


def test_what_decides_is_what_the_daemon_calls(guard):
    assert guard.taken is evidence.taken
    assert guard.rollout.decide is rollout.decide
    assert guard.eprocess.failed is eprocess.failed is evidence.eprocess.failed


def test_what_counts_of_a_key_that_returns_is_what_counts_in_the_daemon(guard, tmp_path):
    keys, random = guard.Keys(), Random(1)
    kinds = ("errors", "timeouts")
    asked = [(random.randrange(9), [name for name in kinds if random.random() < 0.2]) for _ in range(99)]
    served = [
        Served(
            request_id=str(number), key=str(key), version="v1.0.1", percentage=10.0, ok="errors" not in failed,
            timed_out="timeouts" in failed,
        )
        for number, (key, failed) in enumerate(asked)
    ]  # fmt: skip

    def count(tx):
        one = deployments.insert(
            tx, deployment_id=1, model="nlu", candidate="v1.0.1", champion="v1.0.0", plan=guard.PLAN, salt=1, run_id=1,
            message="", by="Ada",
        )  # fmt: skip
        # In two batches, because a key can come again in the same one and in a later one.
        return deployments.counted(tx, one, served[:50]) + deployments.counted(tx, one, served[50:])

    with closing(Database(f"sqlite:///{tmp_path / 'db'}", SystemClock(), tmp_path)) as database:
        schema.prepare(database)
        counts = database.writer.do(count)
    told = [None if one.again else (one.first, set(one.failed)) for one in counts]
    mine = [keys.counted(key, failed) for key, failed in asked]
    assert told == [None if one is None else (one[0], set(one[1])) for one in mine]
    assert 10 < told.count(None) < 90


@pytest.mark.no_cover
def test_its_goals_are_met_in_each_scenario(guard):
    goals = {"dead canary": 4, "20 % errors": 25, "late fault": 250}
    for scenario in guard.SCENARIOS:
        found = guard.measure("overnight", scenario, FAULTS if scenario.fault else NULLS)
        if scenario.fault:
            assert found["median_requests"] <= goals.pop(scenario.name), scenario.name
        else:
            assert found["false_rollback"] <= 0.05, scenario.name
    assert not goals
