"""How well policies choose an algorithm for each of many instances, seeing only what came of the one they chose.

    python benchmarks/selection.py [FOLDER ...] [--seeds N] [--quick] [--json]

The protocol of online algorithm selection (Tornede, Bengs and Hüllermeier 2022, "Machine learning for online
algorithm selection under censored feedback", AAAI): the instances of a scenario come once each, in an order by chance
(as they stand where that means something); the policy sees an instance's features, chooses one algorithm, and learns
its cost alone (of running times PAR10). What is told is the sum of the costs divided by that of the oracle, which
chooses the best algorithm each time: 1 is the best there is. "single best" is the one algorithm that would have been
the best for all, which nobody knows before. Costs have a heavy tail: all policies get minus the square root of a cost
as the reward. What of the default policy can be set was tuned on scenarios of other seeds; see `scenarios.py`.

FOLDERs are scenarios in the format of ASlib, or folders of such; without one, five that are generated (`scenarios.py`).
Aims for these: the default's ratio is at least 10 % below that of the exponential average at the median of the
scenarios, and never more than 3 % above it; a choice with what is learned from it takes at most 1 ms at the median.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random
from typing import Any

from aslib import NotAScenario, Scenario, read
from rig import machine, show
from scenarios import write_all

from overnight.learning.selection.bandits import EmaGreedy, Thompson, Ucb1
from overnight.learning.selection.contextual import Contextual
from overnight.learning.selection.linear import LinearThompson
from overnight.learning.selection.policy import Policy, Trial, choose

POLICIES: dict[str, Callable[[Sequence[str]], Policy]] = {
    "EMA greedy": EmaGreedy,
    "UCB1": Ucb1,
    "Thompson": Thompson,
    "linear": LinearThompson,
    "default": Contextual,
}
BETTER, WORSE, DECISION_MS = 0.10, 0.03, 1.0
SEEDS, QUICK = 5, 2


def play(scenario: Scenario, policy: Policy, seed: int) -> tuple[float, list[float]]:
    """Return the costs in all, and the seconds of each choice with what was learned from it."""
    draw, order = Random(seed), list(range(len(scenario.instances)))
    if not scenario.ordered:
        draw.shuffle(order)
    total, seconds = 0.0, []
    for place in order:
        began = time.perf_counter()
        choice = choose(policy, scenario.features[place], draw)
        cost = scenario.costs[place][scenario.algorithms.index(choice.arm)]
        policy.learn(
            Trial(arm=choice.arm, reward=-(cost**0.5), propensity=choice.propensity, features=scenario.features[place])
        )
        seconds.append(time.perf_counter() - began)
        total += cost
    return total, seconds


def measure(scenario: Scenario, seeds: int) -> dict[str, Any]:
    """Return the ratios of all policies to the oracle, means over the seeds, and how long choices take."""
    oracle = sum(map(min, scenario.costs))
    best = min(sum(column) for column in zip(*scenario.costs, strict=True))
    found: dict[str, Any] = {
        "instances": len(scenario.instances),
        "algorithms": len(scenario.algorithms),
        "features": len(next(iter(scenario.features), {})),
        "single best": round(best / oracle, 3),
    }
    times: dict[str, list[float]] = {}
    for name, make in POLICIES.items():
        ratios = []
        for seed in range(seeds):
            total, seconds = play(scenario, make(scenario.algorithms), seed)
            ratios.append(total / oracle)
            times.setdefault(name, []).extend(seconds)
        found[name] = round(statistics.fmean(ratios), 3)
    found["default to EMA"] = round(found["default"] / found["EMA greedy"], 3)
    mine = sorted(times["default"])
    found["median_ms"] = round(1000 * statistics.median(mine), 3)
    found["p99_ms"] = round(1000 * mine[int(0.99 * len(mine))], 3)
    return found


def scenarios_in(folders: Sequence[Path]) -> list[Path]:
    """Return the folders that are scenarios, and those in them that are."""
    found = []
    for folder in folders:
        inside = sorted(one.parent for one in folder.glob("*/description.txt"))
        found += [folder] if (folder / "description.txt").exists() else inside
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="*", type=Path, metavar="FOLDER")
    parser.add_argument("--seeds", type=int, default=SEEDS, metavar="N")
    parser.add_argument("--quick", action="store_true", help=f"{QUICK} seeds")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        paths = scenarios_in(asked.folders) if asked.folders else write_all(Path(made))
        if not paths:
            parser.error("there is no scenario: none of the folders has a description.txt, nor one in it")
        try:
            scenarios = [read(path) for path in paths]
        except NotAScenario as error:
            parser.error(str(error))
        seeds = QUICK if asked.quick else asked.seeds
        found = {one.name: measure(one, seeds) for one in scenarios}
        told = {"machine": machine(Path(made)), **found, "median": {"seeds": seeds, **_median(found)}}
    show(told, as_json=asked.json)
    return 0 if told["median"]["aims met"] else 1


def _median(found: dict[str, dict[str, Any]]) -> dict[str, Any]:
    names = (*POLICIES, "single best", "default to EMA", "median_ms")
    medians = {name: round(statistics.median(one[name] for one in found.values()), 3) for name in names}
    worst = max(one["default to EMA"] for one in found.values())
    met = medians["default to EMA"] <= 1 - BETTER and worst <= 1 + WORSE and medians["median_ms"] <= DECISION_MS
    return {**medians, "worst default to EMA": worst, "aims met": met}


if __name__ == "__main__":
    raise SystemExit(main())
