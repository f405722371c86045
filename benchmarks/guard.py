"""Measure the guard of rollouts: how often it takes back what is no worse, and how soon what is.

    python benchmarks/guard.py [--quick] [--json]

Rollouts with known rates of errors are simulated with fixed seeds: steps 10, 25, 50, 75 and 100 % (98 % until the soak
ends), 2,000 requests a step, each by a key of its own. What decides is what the daemon calls: `registry.evidence.taken`
and `registry.rollout.decide`. It looks at each failure, and at every 20th request for what follows from the time: proof
that a candidate is worse grows only with a failure, so that a look at each request would find no more. "Returning
keys": 500 users ask again and again by sticky keys; a tenth of them always fails, the others in 0.5 % of cases, in both
arms. For the guard the first failure of a user counts, as with the daemon; the other rules count all. A false rollback
is one of a candidate that is no worse; "requests" are the candidate's own until it is taken back, the median over
rollouts. In the scenarios with a fault the champion fails in 1 % of cases.

Beside it stand other rules, written here after what their makers document: "threshold" (more than 5 % errors from 20
requests on), "windows" (more than 5 % errors in a window of 40 requests, after the manner of Argo Rollouts' analysis
runs), "checks" (five failed checks of 50 requests, after the manner of Flagger), and "matched" (an asymptotic
sequential interval for the difference of both rates, with a control of the same size from the same time, after the
manner of GrowthBook's sequential test). The first three look at what reached the candidate alone. A rate from m
rollouts has a standard error of sqrt(rate (1 - rate) / m).
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from random import Random
from statistics import median

from overnight.proof import eprocess
from overnight.proof.eprocess import RATIOS, STAGE, Wealth
from overnight.registry import rollout
from overnight.registry.evidence import Counts, Evidence, Tally, taken
from overnight.registry.plans import ALPHA_SHARES, ERRORS, Plan, plan_of
from overnight.registry.rollout import Look, State, Status

US = 10**6
PER_STEP = 2000
LOOK_EVERY = 20
"""Requests between two looks, where none fails."""
PLAN = plan_of("gradual_rollout", {"monitor_duration_seconds": PER_STEP, "min_requests": 0})
SHARES = [PLAN.percentage(stage) / 100 for stage in range(len(PLAN.steps))]
Rates = Callable[[int, int], tuple[float, float]]
"""The rates of errors of candidate and champion at a stage and a request of it."""


@dataclass(frozen=True)
class Scenario:
    name: str
    rates: Rates
    fault: bool
    """Whether the candidate is worse."""
    from_stage: int = 0
    """Where the fault begins; requests are counted from there."""
    guards: tuple[str, ...] = (ERRORS,)
    """For which guards a failure counts."""
    users: int = 0
    """How many users ask again and again, each by one key; 0: each request has a key of its own."""
    broken: float = 0.0
    """The part of these users whose requests always fail; `rates` are those of the others."""


def steady(candidate: float, champion: float) -> Rates:
    return lambda stage, request: (candidate, champion)


def incident(stage: int, request: int) -> tuple[float, float]:
    """Both fail in 1 % of cases, and in 30 % of them through a quarter of the second step and of the fourth."""
    hit = stage in (1, 3) and 500 <= request < 1000
    return (0.3, 0.3) if hit else (0.01, 0.01)


def late(stage: int, request: int) -> tuple[float, float]:
    return (0.2 if stage >= 3 else 0.01), 0.01


SCENARIOS = (
    Scenario("both 4.5 %", steady(0.045, 0.045), fault=False),
    Scenario("both 1 %", steady(0.01, 0.01), fault=False),
    Scenario("shared incident", incident, fault=False),
    Scenario("all guards 4.5 %", steady(0.045, 0.045), fault=False, guards=tuple(ALPHA_SHARES)),
    Scenario("returning keys", steady(0.005, 0.005), fault=False, users=500, broken=0.1),
    Scenario("dead canary", steady(1.0, 0.01), fault=True),
    Scenario("20 % errors", steady(0.2, 0.01), fault=True),
    Scenario("late fault", late, fault=True, from_stage=3),
)


Rule = Callable[[Scenario, int], tuple[int | None, bool]]
"""Returns the candidate's requests until it was taken back (None: never), and whether a person was asked."""


class Requests:
    """The requests of one rollout, drawn one by one."""

    def __init__(self, scenario: Scenario, seed: int) -> None:
        self.scenario = scenario
        self.random = Random(seed)
        self.users = [(self.random.random(), self.random.random() < scenario.broken) for _ in range(scenario.users)]
        """Of each user where in 0..1 the hash of the key lies, and whether all of its requests fail."""
        self.key = -1
        """Whose the newest request is."""

    def draw(self, stage: int, request: int) -> tuple[bool, list[str]]:
        """Return whether the next one is the candidate's, and for which guards it fails."""
        candidate, champion = self.scenario.rates(stage, request)
        self.key = self.random.randrange(len(self.users)) if self.users else self.key + 1
        place, broken = self.users[self.key] if self.users else (self.random.random(), False)
        mine = place < SHARES[stage]
        rate = 1.0 if broken else candidate if mine else champion
        return mine, [name for name in self.scenario.guards if self.random.random() < rate]


class Keys:
    """What counts of a request, by the rule of `registry.deployments.counted`: the first failure of a key."""

    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.failed: dict[str, set[int]] = {name: set() for name in ALPHA_SHARES}

    def counted(self, key: int, failed: Sequence[str]) -> tuple[bool, list[str]] | None:
        """Return whether the key is new, and the guards for which this is its first failure; None: it says nothing."""
        again, first = key in self.failed[ERRORS], key not in self.seen
        new = [name for name in failed if key not in self.failed[name]]
        self.seen.add(key)
        for name in new:
            self.failed[name].add(key)
        return None if again else (first, new)


def until_a_look(requests: Requests, keys: Keys, stage: int, number: int) -> tuple[Tally, int, int]:
    """Return what the requests say up to the next look, how many they are, and how many of them the candidate's."""
    failures: dict[str, list[tuple[bool, float]]] = {name: [] for name in ALPHA_SHARES}
    counts: tuple[dict[str, int], dict[str, int]] = ({}, {})
    drawn, asked, mine, looks = [0, 0], 0, 0, False
    while not looks:
        candidate, failed = requests.draw(stage, number + asked - stage * PER_STEP)
        asked += 1
        mine += candidate
        looks = (number + asked) % LOOK_EVERY == 0
        told = keys.counted(requests.key, failed)
        if told is None:
            continue
        first, failed = told
        looks = looks or bool(failed)
        drawn[candidate] += first
        arm = counts[candidate]
        arm["requests"] = arm.get("requests", 0) + 1
        for name in failed:
            failures[name].append((candidate, SHARES[stage]))
            arm[name] = arm.get(name, 0) + 1
    told_drawn = {SHARES[stage]: (drawn[True], drawn[False])}
    champion, candidate_counts = (Counts(**arm) for arm in counts)
    return Tally(failures=failures, candidate=candidate_counts, champion=champion, drawn=told_drawn), asked, mine


def overnight(scenario: Scenario, seed: int, plan: Plan = PLAN) -> tuple[int | None, bool]:
    """Return the candidate's requests until it was taken back (None: never), and whether a person was asked."""
    requests, keys, evidence, held = Requests(scenario, seed), Keys(), Evidence.none(plan), False
    state = rollout.opened(plan, State(), 0).state
    counted, number = 0, 0
    while not state.status.over:
        stage = state.stage
        news, asked, mine = until_a_look(requests, keys, stage, number)
        number += asked
        counted += mine if stage >= scenario.from_stage else 0
        evidence = taken(evidence, plan, news)
        # A request a second: what is decided by the time is decided after each step.
        move = rollout.decide(plan, state, evidence, Look(now_us=number * US, heard_us=number * US))
        if move is not None and move.state.stage > state.stage:
            evidence = evidence.next_stage()
        if move is not None:
            state = move.state
        if state.asks:
            held = True
            since = state.since_us
            state = replace(rollout.command(plan, state, "resume", number * US).state, since_us=since)
    return (counted if state.status is Status.ROLLED_BACK else None), held


def bare(alpha: float, *, restarts: bool) -> Rule:
    """Return the guard on errors alone, at its own alpha, with or without wealth that begins later."""

    def rule(scenario: Scenario, seed: int) -> tuple[int | None, bool]:
        requests, keys = Requests(scenario, seed), Keys()
        wealth, counted = Wealth.over(len(RATIOS), first=eprocess.FIRST if restarts else 1.0), 0
        for stage, share in enumerate(SHARES):
            wealth = wealth.begin(STAGE if stage and restarts else 0.0)
            for request in range(PER_STEP):
                candidate, failed = requests.draw(stage, request)
                counted += candidate and stage >= scenario.from_stage
                told = keys.counted(requests.key, failed)
                if told is not None and told[1]:
                    wealth = eprocess.failed(wealth, [(candidate, share)], each=eprocess.EACH if restarts else 0.0)
                    if wealth.value >= 1 / alpha:
                        return counted, False
        return None, False

    return rule


def on_requests(breached: Callable[[Sequence[bool]], bool]) -> Rule:
    """Return a rule that looks at the candidate's outcomes alone."""

    def rule(scenario: Scenario, seed: int) -> tuple[int | None, bool]:
        requests, counted = Requests(scenario, seed), 0
        mine: list[bool] = []
        for stage in range(len(SHARES)):
            for request in range(PER_STEP):
                candidate, failed = requests.draw(stage, request)
                if candidate:
                    mine.append(bool(failed))
                    counted += stage >= scenario.from_stage
                    if breached(mine):
                        return counted, False
        return None, False

    return rule


def threshold() -> Callable[[Sequence[bool]], bool]:
    seen = [0]

    def breached(mine: Sequence[bool]) -> bool:
        seen[0] = 0 if len(mine) == 1 else seen[0]
        seen[0] += mine[-1]
        return len(mine) >= 20 and seen[0] > 0.05 * len(mine)

    return breached


def windows(mine: Sequence[bool]) -> bool:
    return len(mine) % 40 == 0 and sum(mine[-40:]) > 0.05 * 40


def checks() -> Callable[[Sequence[bool]], bool]:
    failed = [0]

    def breached(mine: Sequence[bool]) -> bool:
        failed[0] = 0 if len(mine) == 1 else failed[0]
        if len(mine) % 50 == 0:
            failed[0] += sum(mine[-50:]) > 0.05 * 50
        return failed[0] >= 5

    return breached


def matched(scenario: Scenario, seed: int) -> tuple[int | None, bool]:
    """Look at an asymptotic confidence sequence of the difference, one-sided at 5 % and tuned to 500 pairs.

    Waudby-Smith and others (2024, Ann. Statist. 52:2613, theorem 2.2). Of the larger arm as many requests count as the
    smaller one has.
    """
    requests, chance = Requests(scenario, seed), Random(seed + 1)
    tuned = math.sqrt((-2 * math.log(ALPHA) + math.log(1 - 2 * math.log(ALPHA))) / 500)
    n, failures, counted = [0, 0], [0, 0], 0
    for stage, share in enumerate(SHARES):
        for request in range(PER_STEP):
            candidate, failed = requests.draw(stage, request)
            counted += candidate and stage >= scenario.from_stage
            mine = share if candidate else 1 - share
            if chance.random() * mine >= min(share, 1 - share):
                continue
            n[candidate] += 1
            failures[candidate] += bool(failed)
            pairs = min(n)
            if not candidate or pairs < 20:
                continue
            p, q = failures[True] / n[True], failures[False] / n[False]
            scale = pairs * tuned * tuned + 1
            width = math.sqrt(2 * scale / (pairs * tuned) ** 2 * math.log(math.sqrt(scale) / (2 * ALPHA) + 1))
            if p - q > width * math.sqrt(p * (1 - p) + q * (1 - q)):
                return counted, False
    return None, False


ALPHA = 0.05
RULES: dict[str, Rule] = {
    "overnight": overnight,
    "errors alone, alpha .01, no restarts": bare(0.01, restarts=False),
    "errors alone, alpha .05, restarts": bare(0.05, restarts=True),
    "threshold": on_requests(threshold()),
    "windows": on_requests(windows),
    "checks": on_requests(checks()),
    "matched": matched,
}


def measure(rule: str, scenario: Scenario, rollouts: int) -> dict[str, float | int | None]:
    found = [RULES[rule](scenario, 1_000_003 * number + 7) for number in range(rollouts)]
    back = [requests for requests, _ in found if requests is not None]
    result: dict[str, float | int | None] = {"rollouts": rollouts, "taken_back": len(back) / rollouts}
    if scenario.fault:
        # One that is never taken back counts as later than all others.
        times = sorted(back) + [math.inf] * (rollouts - len(back))
        middle = median(times)
        result["median_requests"] = None if math.isinf(middle) else int(middle)
    else:
        result["false_rollback"] = len(back) / rollouts
    if rule == "overnight":
        result["asked"] = sum(held for _, held in found) / rollouts
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rollouts")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    began = time.perf_counter()
    nulls, faults = (100, 100) if options.quick else (2000, 400)
    results: dict[str, dict[str, dict[str, float | int | None]]] = {}
    for rule in RULES:
        results[rule] = {}
        for scenario in SCENARIOS:
            if sys.stderr.isatty():
                sys.stderr.write(f"\r{rule}: {scenario.name}".ljust(70))
            count = faults if scenario.fault else nulls if rule == "overnight" else min(nulls, 400)
            results[rule][scenario.name] = measure(rule, scenario, count)
    about = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "seconds": round(time.perf_counter() - began, 1),
        "alpha": PLAN.alpha,
    }
    if options.json:
        print(json.dumps({"about": about, **results}))
        return
    if sys.stderr.isatty():
        sys.stderr.write("\r".ljust(70) + "\r")
    print(about["machine"], "-", about["seconds"], "s")
    names = [scenario.name for scenario in SCENARIOS]
    print("rule".ljust(38), *(name.rjust(17) for name in names))
    for rule, row in results.items():
        print(rule.ljust(38), *(_cell(row[name]).rjust(17) for name in names))
    print("false rollbacks as a share; with a fault: the candidate's requests until it is taken back, median")
    asked = ", ".join(f"{name} {100 * (results['overnight'][name]['asked'] or 0):.1f} %" for name in names)
    print(f"overnight held and asked a person in: {asked}")


def _cell(found: dict[str, float | int | None]) -> str:
    if "false_rollback" in found:
        return f"{found['false_rollback']:.4f}"
    return "never" if found["median_requests"] is None else str(found["median_requests"])


if __name__ == "__main__":
    main()
