"""The engine keeps its promises through thousands of simulated runs, and the simulation notices when it does not."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from overnight.base.points import Point
from overnight.db.prepared import Prepared
from overnight.engine import recovery, store
from overnight.engine.flow import Flow
from overnight.engine.tables import runs
from overnight.engine.worker import Worker
from overnight.testing.simulation import Violated, simulate
from overnight.testing.simulation_world import CALM, Arena, Rates

SEEDS = 28
LONG_SEEDS = 3_000
BUDGET = 1_000

TRACE = (
    "import sys; from pathlib import Path\n"
    "from overnight.testing.simulation import simulate\n"
    "from overnight.testing.simulation_world import Arena\n"
    "arena = Arena(Path(sys.argv[1]))\n"
    "print([simulate(arena, seed).trace for seed in (3, 4, 3)])"
)


@pytest.fixture
def arena(tmp_path):
    return Arena(tmp_path)


@pytest.fixture
def in_the_long_form(long_form):
    if not long_form:
        pytest.skip("one more planted bug; `make chaos` looks for it")


def seeds_until_noticed(arena, step, first=1, rates=None):
    for tried, seed in enumerate(range(first, BUDGET * step, step), start=1):
        try:
            simulate(arena, seed, rates=rates)
        except Violated as violation:
            print(f"noticed after {tried} seeds: {violation}")
            return tried
    pytest.fail(f"{BUDGET} seeds did not notice the planted bug")


@pytest.mark.no_cover
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.timeout(3_000)
def test_nothing_is_lost_and_nothing_runs_twice(arena, long_form, first):
    count = LONG_SEEDS if long_form else SEEDS
    passed, crashed, faults = Counter(), Counter(), Counter()
    total = 0
    for seed in range(first, count, 2):
        simulated = simulate(arena, seed)
        total += simulated.runs
        passed += simulated.passed
        crashed += simulated.crashed
        faults += simulated.faults
    print(f"{total} runs, {crashed.total()} crashes, {dict(faults)}")
    assert total > count // 2 * 30
    assert set(passed) == set(Point), "every point where a crash matters is passed"
    assert crashed.total() > count // 2
    assert {"busy", "full", "lost commit", "hidden commit"} <= set(faults)


def test_without_faults_the_engine_keeps_its_promises_too(arena):
    for seed in range(2):
        assert simulate(arena, seed, rates=CALM).crashed.total() == 0


def test_the_same_seed_gives_the_same_trace_in_any_process(tmp_path):
    traces = []
    for hash_seed in ("1", "2"):
        folder = tmp_path / hash_seed
        folder.mkdir()
        env = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", TRACE, folder], env=env, capture_output=True, text=True, check=True, timeout=100
        )
        traces.append(done.stdout)
    assert traces[0] == traces[1]
    third, fourth, again = eval(traces[0])
    assert third == again != fourth


def test_a_save_that_ignores_the_token_is_noticed(arena, monkeypatch):
    build = store._build_save

    def without_token(dialect):
        update = build(dialect)
        kept = [part for part in update._where_criteria if part.left is not runs.c.token]
        assert len(kept) == len(update._where_criteria) - 1
        update._where_criteria = tuple(kept)
        return update

    monkeypatch.setattr(store, "_SAVE", Prepared(without_token))
    seeds_until_noticed(arena, step=2)


@pytest.mark.no_cover
def test_a_flow_that_ignores_its_token_is_noticed(arena, monkeypatch):
    monkeypatch.setattr(Flow, "_check_token", lambda self, tx: None)
    seeds_until_noticed(arena, step=2)


def test_a_worker_that_forgets_a_commit_in_doubt_is_noticed(arena, monkeypatch, in_the_long_form):
    def forget(self):
        self._reconcile = False
        return True

    monkeypatch.setattr(Worker, "_take_up_unknown", forget)
    seeds_until_noticed(arena, step=1)


def test_a_recovery_that_leaves_children_alone_is_noticed(arena, monkeypatch, in_the_long_form):
    monkeypatch.setattr(recovery, "children_of", lambda database, worker_id: [])
    seeds_until_noticed(arena, step=1)


def test_a_child_that_works_unrecorded_is_noticed(arena, monkeypatch, in_the_long_form):
    monkeypatch.setattr(recovery, "record_child", lambda tx, *rest: None)
    seeds_until_noticed(arena, step=1)


def test_a_worker_that_sleeps_on_a_commit_in_doubt_is_noticed(arena, monkeypatch, in_the_long_form):
    turn = Worker._turn

    def sleepy(self):
        turn(self)
        self._look = self._look and not self._reconcile

    monkeypatch.setattr(Worker, "_turn", sleepy)
    seeds_until_noticed(arena, first=6, step=8, rates=Rates(crash=0, hidden_commit=0.15))
