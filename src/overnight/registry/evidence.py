"""What is known about a candidate beside its champion, outcome by outcome. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

from overnight.proof import betting, eprocess
from overnight.proof.eprocess import STAGE, Wealth
from overnight.registry.plans import ALPHA_SHARES, ERRORS, INVALID, SLOW, TIMEOUTS, Plan

SUCCESS, LATENCY, SCORE = "success", "latency", "score"
"""What an A/B test compares: each a number from 0 to 1, higher is better."""
LATENCY_MS = 10_000.0
"""The time of an answer that is as bad as none, where no objective is given: latency is compared in parts of it."""


@dataclass(frozen=True, kw_only=True)
class Served:
    """One served request. `percentage` is the candidate's share when its version was chosen.

    Where both versions answer a request (a shadow), it is 50 for both: a failure of one is as likely either's.
    """

    request_id: str
    key: str
    version: str
    percentage: float
    deployment_id: int | None = None
    ok: bool = True
    timed_out: bool = False
    invalid: bool = False
    latency_ms: float | None = None
    score: float | None = None
    at_us: int = 0


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Requests of one version, and how many of them failed in which way; the first failure of a key counts."""

    requests: int = 0
    errors: int = 0
    timeouts: int = 0
    slow: int = 0
    invalid: int = 0

    def plus(self, other: "Counts") -> "Counts":
        """Return both together."""
        return Counts(**{name: value + getattr(other, name) for name, value in vars(self).items()})


Failures = Mapping[str, Sequence[tuple[bool, float]]]
"""By guard: whether each failure was the candidate's, and the candidate's share (0..1) then, in their order."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that decides about a rollout, from its beginning on; `of_stage` are the candidate's requests of this stage.

    `guards` and `budget` are e-processes (`proof.eprocess`), `drawn` counts keys by the candidate's share, `cells`
    scores by what is compared (`proof.betting`).
    """

    guards: Mapping[str, Wealth]
    budget: Wealth
    candidate: Counts = Counts()
    champion: Counts = Counts()
    of_stage: int = 0
    drawn: Mapping[float, tuple[int, int]] = field(default_factory=dict)
    cells: Mapping[str, Mapping[tuple[bool, float], Mapping[int, int]]] = field(default_factory=dict)

    @classmethod
    def none(cls, plan: Plan) -> Self:
        """Return what is known before anything was served."""
        return cls(
            guards={name: Wealth.over(len(eprocess.RATIOS)) for name in ALPHA_SHARES},
            budget=Wealth.over(len(eprocess.rates_above(plan.allowed))),
        )

    def next_stage(self) -> Self:
        """Return it as a further stage begins: part of what was kept back begins to bet."""
        return replace(
            self,
            guards={name: wealth.begin(STAGE) for name, wealth in self.guards.items()},
            budget=self.budget.begin(STAGE),
            of_stage=0,
        )

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return it as JSON-able values."""
        return {
            "guards": {name: dict(vars(wealth)) for name, wealth in self.guards.items()},
            "budget": dict(vars(self.budget)),
            "candidate": dict(vars(self.candidate)),
            "champion": dict(vars(self.champion)),
            "of_stage": self.of_stage,
            "drawn": [[share, *counts] for share, counts in self.drawn.items()],
            "cells": {
                name: [[candidate, share, sorted(steps.items())] for (candidate, share), steps in cells.items()]
                for name, cells in self.cells.items()
            },
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:  # Any: JSON
        """Return the evidence whose values came as JSON."""
        return cls(
            guards={name: Wealth.from_dict(wealth) for name, wealth in values["guards"].items()},
            budget=Wealth.from_dict(values["budget"]),
            candidate=Counts(**values["candidate"]),
            champion=Counts(**values["champion"]),
            of_stage=values["of_stage"],
            drawn={share: (candidate, champion) for share, candidate, champion in values["drawn"]},
            cells={
                name: {(bool(candidate), share): dict(map(tuple, steps)) for candidate, share, steps in cells}
                for name, cells in values["cells"].items()
            },
        )


@dataclass(frozen=True, kw_only=True)
class Count:
    """One served request as it counts: whose it was, at which share, and the guards for which it is a first failure.

    `again` says that the same key has failed before: such a request says nothing new. `first` that the key is new.
    `compared` are the values that are the first of their key: a key that comes again has the version that it had, so
    that only its first value tells what chance has made of it.
    """

    served: Served
    candidate: bool
    failed: frozenset[str] = frozenset()
    again: bool = False
    first: bool = False
    compared: frozenset[str] = frozenset()


def failures_of(served: Served, plan: Plan) -> frozenset[str]:
    """Return the guards for which the request is a failure."""
    found = {ERRORS: not served.ok, TIMEOUTS: served.timed_out, INVALID: served.invalid}
    found[SLOW] = plan.slow_ms is not None and (served.latency_ms or 0.0) > plan.slow_ms
    return frozenset(name for name, failed in found.items() if failed)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """What some requests say together: `failures` for the guards, how many of each version, keys and scores."""

    failures: Failures
    candidate: Counts
    champion: Counts
    drawn: Mapping[float, tuple[int, int]] = field(default_factory=dict)
    cells: Mapping[str, Mapping[tuple[bool, float], Mapping[int, int]]] = field(default_factory=dict)


def tally(plan: Plan, counts: Iterable[Count]) -> Tally:
    """Return what requests say together; a key that has failed before says nothing new."""
    counts = [count for count in counts if not count.again]
    shares = [count.served.percentage / 100 for count in counts]
    return Tally(
        failures={
            name: [
                (count.candidate, share)
                for count, share in zip(counts, shares, strict=True)
                # Whoever has all requests is beside nobody: his failures tell of no difference.
                if name in count.failed and 0.0 < share < 1.0
            ]
            for name in ALPHA_SHARES
        },
        candidate=_counted(counts, candidate=True),
        champion=_counted(counts, candidate=False),
        drawn={} if plan.shadow else _drawn(counts),
        cells=_cells(plan, counts, shares),
    )


def taken(evidence: Evidence, plan: Plan, news: Tally) -> Evidence:
    """Return the evidence after more requests."""
    mine, budget = news.candidate, evidence.budget
    if mine.requests:
        budget = eprocess.over_budget(budget, requests=mine.requests, failures=mine.errors, allowed=plan.allowed)
    return replace(
        evidence,
        guards={name: eprocess.failed(wealth, news.failures[name]) for name, wealth in evidence.guards.items()},
        budget=budget,
        candidate=evidence.candidate.plus(mine),
        champion=evidence.champion.plus(news.champion),
        of_stage=evidence.of_stage + mine.requests,
        drawn=_added(evidence.drawn, news.drawn),
        cells={
            name: _merged(evidence.cells.get(name, {}), news.cells.get(name, {}))
            for name in {**evidence.cells, **news.cells}
        },
    )


def _added(
    drawn: Mapping[float, tuple[int, int]], news: Mapping[float, tuple[int, int]]
) -> dict[float, tuple[int, int]]:
    found = dict(drawn)
    for share, (candidate, champion) in news.items():
        before = found.get(share, (0, 0))
        found[share] = (before[0] + candidate, before[1] + champion)
    return found


def _merged(
    cells: Mapping[tuple[bool, float], Mapping[int, int]], news: Mapping[tuple[bool, float], Mapping[int, int]]
) -> dict[tuple[bool, float], dict[int, int]]:
    found = {arm: dict(steps) for arm, steps in cells.items()}
    for arm, steps in news.items():
        mine = found.setdefault(arm, {})
        for step, count in steps.items():
            mine[step] = mine.get(step, 0) + count
    return found


def _counted(counts: Sequence[Count], *, candidate: bool) -> Counts:
    mine = [count for count in counts if count.candidate is candidate]
    return Counts(
        requests=len(mine),
        **{name: sum(name in count.failed for count in mine) for name in (ERRORS, TIMEOUTS, SLOW, INVALID)},
    )


def _drawn(counts: Sequence[Count]) -> dict[float, tuple[int, int]]:
    found: dict[float, tuple[int, int]] = {}
    for count in counts:
        if count.first:
            candidate, champion = found.get(count.served.percentage / 100, (0, 0))
            found[count.served.percentage / 100] = (candidate + count.candidate, champion + (not count.candidate))
    return found


def _cells(
    plan: Plan, counts: Sequence[Count], shares: Sequence[float]
) -> dict[str, dict[tuple[bool, float], dict[int, int]]]:
    found: dict[str, dict[tuple[bool, float], dict[int, int]]] = {}
    for count, share in zip(counts, shares, strict=True):
        for name, value in values_of(count.served, plan):
            if name not in count.compared:
                continue
            steps = found.setdefault(name, {}).setdefault((count.candidate, share), {})
            step = betting.step_of(value)
            steps[step] = steps.get(step, 0) + 1
    return found


def values_of(served: Served, plan: Plan) -> list[tuple[str, float]]:
    """Return what the request says of what is compared."""
    found = [] if served.score is None else [(SCORE, served.score)]
    if plan.strategy == "ab_test":
        found.append((SUCCESS, float(served.ok)))
        if served.latency_ms is not None:
            found.append((LATENCY, 1.0 - served.latency_ms / (plan.slow_ms or LATENCY_MS)))
    return found
