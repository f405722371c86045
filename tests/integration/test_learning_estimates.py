"""What each strategy would bring, where exercises of one's own come again in later iterations."""

import json
from random import Random
from statistics import fmean

import pytest

from overnight import Project
from overnight.learning import store
from overnight.learning.allocation import allocated
from overnight.learning.estimating import estimates
from overnight.learning.scoring import WEIGHTS
from overnight.learning.selection.policy import Trial

pytest.importorskip("numpy")
WORTH = {"a": 75.0, "b": 60.0, "c": 45.0, "d": 40.0, "e": 30.0}
ITERATIONS, EXERCISES = 7, 15
HARD, NOISE = 4.0, 8.0


def iterations(names, draw):
    """Yield what each iteration keeps: all strategies execute the first one, then two are drawn for each exercise."""
    hard, known = {}, []
    for number in range(ITERATIONS):
        some = names(number)
        drawn = allocated(list(WORTH), known, [None] * len(some), draw) if number else [None] * len(some)
        rows = []
        for name, chosen in zip(some, drawn, strict=True):
            off = hard.setdefault(name, draw.gauss(0, HARD))
            chances = dict.fromkeys(WORTH) if chosen is None else {one.strategy: one.propensity for one in chosen}
            for strategy, chance in chances.items():
                score = WORTH[strategy] + off + draw.gauss(0, NOISE)
                rows.append({"exercise": name, "strategy": strategy, "score": score, "propensity": chance})
        known += [Trial(arm=row["strategy"], reward=row["score"], propensity=1.0) for row in rows]
        yield rows


def detail(row):
    return json.dumps({"parts": dict.fromkeys(WEIGHTS, row["score"])})


def keep(project, session_id, type_, rows, first):
    told = {
        "session_id": session_id,
        "purpose": "learn",
        "type": type_,
        "complexity": "medium",
        "parameters": "h",
        "success_rate": 1.0,
        "time_s": 1.0,
        "cost_usd": None,
    }
    noted = [{**told, **row, "detail": detail(row), "run_id": first + place} for place, row in enumerate(rows)]
    project.database.writer.do(lambda tx: store.note(tx, noted))
    return first + len(rows)


@pytest.fixture(scope="module")
def estimated(tmp_path_factory):
    """Estimates of sessions in which exercises come again, and in which all are fresh."""
    ways = {
        "again": lambda number: [f"again-{place}" for place in range(EXERCISES)],
        "fresh": lambda number: [f"fresh-{number}-{place}" for place in range(EXERCISES)],
    }
    found, run_id = {way: [] for way in ways}, 1
    folder = tmp_path_factory.mktemp("estimates")
    (folder / "overnight.toml").touch()
    with Project.open(folder) as project:
        for seed in range(20):
            for way, names in ways.items():
                type_ = f"{way} {seed}"
                for rows in iterations(names, Random(seed)):
                    run_id = keep(project, seed, type_, rows, run_id)
                with project.database.read() as connection:
                    drawn = store.drawn(connection, dict.fromkeys(WORTH, ("h",)), type_)
                found[way].append(estimates(drawn))
    return found


@pytest.mark.parametrize("way", ["snips", "doubly_robust"])
def test_exercises_that_come_again_are_told_as_well_as_fresh_ones(estimated, way):
    wide, off, held = {}, {}, {}
    for kind, found in estimated.items():
        pairs = [(getattr(one[arm], way), worth) for one in found for arm, worth in WORTH.items()]
        wide[kind] = fmean(one.upper - one.lower for one, _ in pairs)
        off[kind] = fmean(abs(one.value - worth) for one, worth in pairs)
        held[kind] = fmean(one.lower <= worth <= one.upper for one, worth in pairs)
    assert wide["again"] < 1.5 * wide["fresh"] and off["again"] < 1.5 * off["fresh"]
    assert all(share > 0.88 for share in held.values()), held


def test_no_interval_leaves_what_a_score_can_be(estimated):
    told = [value for found in estimated.values() for one in found for value in one.values()]
    assert all(0 <= one.lower <= one.value <= one.upper <= 100 for two in told for one in vars(two).values())
