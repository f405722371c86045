"""What was measured of a strategy, in all and for each type of task. Pure.

A profile follows from the executions that are counted and from nothing else, so that each of its figures can be worked
out again from the runs that it names. Averages are exponential: after each execution, average += rate x (value -
average), the first value being the first average. With the rate "adaptive" it is 1/n until that is less than the usual
rate, so that the first executions count alike.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from overnight.proof.measures import Estimate, interval_of_mean

RATE, MINIMUM, TREND = 0.3, 5, 20
Rate = float | Literal["adaptive"]


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution of an exercise, as profiles count it.

    `success_rate` is from 0 to 1; `score` from 0 to 100, None where a part of it was not measured; `cost_usd` is None
    where nobody measured it. `at_us` is in microseconds, UTC.
    """

    run_id: int
    strategy: str
    type: str
    success_rate: float
    score: float | None
    time_s: float
    at_us: int
    cost_usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class Profile:
    """The averages over `uses` executions, None before the first one; `measured` says whether they are enough.

    `trend` are the newest scores with their instants. The intervals, of 95 %, are those of the plain means of all
    executions, None for fewer than two. `run_ids` are the runs behind all of it, in their order.
    """

    uses: int
    measured: bool
    success_rate: float | None
    score: float | None
    time_s: float | None
    cost_usd: float | None
    trend: Sequence[tuple[float, int]]
    intervals: Mapping[str, Estimate | None]
    run_ids: Sequence[int]


def profile_of(executions: Sequence[Execution], *, rate: Rate = RATE, minimum: int = MINIMUM) -> Profile:
    """Return the profile that follows from executions, oldest first."""
    scored = [one for one in executions if one.score is not None]
    values = {
        "success_rate": [one.success_rate for one in executions],
        "score": [one.score for one in scored if one.score is not None],
        "time_s": [one.time_s for one in executions],
    }
    return Profile(
        uses=len(executions),
        measured=len(scored) >= minimum,
        **{name: average(found, rate) for name, found in values.items()},
        cost_usd=average([one.cost_usd for one in executions if one.cost_usd is not None], rate),
        trend=[(one.score, one.at_us) for one in scored[-TREND:] if one.score is not None],
        intervals={name: interval_of_mean(found) if len(found) > 1 else None for name, found in values.items()},
        run_ids=[one.run_id for one in executions],
    )


def average(values: Iterable[float], rate: Rate) -> float | None:
    """Return the exponential average of values, oldest first; None of none."""
    found: float | None = None
    for count, value in enumerate(values, 1):
        found = value if found is None else found + _rate_at(count, rate) * (value - found)
    return found


def _rate_at(count: int, rate: Rate) -> float:
    return max(RATE, 1 / count) if rate == "adaptive" else rate


def by_strategy(executions: Iterable[Execution]) -> dict[str, list[Execution]]:
    """Return the executions of each strategy, oldest first."""
    found: dict[str, list[Execution]] = {}
    for one in sorted(executions, key=lambda one: (one.at_us, one.run_id)):
        found.setdefault(one.strategy, []).append(one)
    return found


def by_type(executions: Iterable[Execution]) -> dict[str, list[Execution]]:
    """Return the executions of each type of task, oldest first."""
    found: dict[str, list[Execution]] = {}
    for one in sorted(executions, key=lambda one: (one.at_us, one.run_id)):
        found.setdefault(one.type, []).append(one)
    return found


def pareto(profiles: Mapping[str, Profile]) -> list[str]:
    """Return the strategies that no other one beats or equals in score, time and cost, and beats in one of them.

    Those that are not measured are left out, and those without any success: failing soon is no gain of time. A cost
    that nobody measured is compared with none.
    """
    measured = {name: one for name, one in profiles.items() if one.measured and one.success_rate}
    return [name for name, one in measured.items() if not any(_beats(other, one) for other in measured.values())]


def _beats(one: Profile, other: Profile) -> bool:
    # More is better of a score, less of a time and a cost.
    pairs = [(one.score, other.score), (other.time_s, one.time_s), (other.cost_usd, one.cost_usd)]
    known = [(more, less) for more, less in pairs if more is not None and less is not None]
    return all(more >= less for more, less in known) and any(more > less for more, less in known)
