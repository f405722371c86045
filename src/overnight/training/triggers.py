"""When experiences become a training job by themselves. Pure.

Rules that want a job are looked at in their order; whatever forbids one is looked at first.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

EXPERIENCES = "experiences"
"""The rule that enough of them have come."""
SCHEDULE, DRIFT, SCORE = "schedule", "drift", "score"
"""The rules that it is time, that something else is asked than was learnt, and that answers are right less often."""
DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What is asked of one model_type; None: that is not looked at. See `base.loop_settings`."""

    min_experiences: int
    min_quality_0_1: float
    at_least: int = 30
    drift: float | None = None
    score_fall: float | None = None
    per_label: int = 0
    cool_down_s: float = 0.0
    jobs_per_day: int | None = None


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the rules look at, for one model_type.

    `unused` counts the experiences of enough quality that no job has used, `labels` how many of them there are of
    each. `under_way` is the job that a rule has submitted and that has not ended; `last_s` is how long ago the newest
    such one was submitted, `today` how many were in the last day, which only `jobs_per_day` asks for. `due` says that
    its schedule has come since. `drift_p` is how likely it is by chance that what is asked differs from what was learnt
    as much as it does, `fall` by how much the share of right answers has fallen, and how likely that is by chance.
    None: not measured.
    """

    unused: int
    under_way: str | None = None
    last_s: float | None = None
    today: int = 0
    due: bool = False
    labels: Mapping[str, int] = field(default_factory=dict)
    drift_p: float | None = None
    fall: tuple[float, float] | None = None


FALL_P = 0.001
"""How unlikely a fall of the share of right answers has to be by chance."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which rule submits a job now, if one does, and why or why not, with the numbers."""

    rule: str | None
    why: str


def judge(rules: Rules, standing: Standing) -> Verdict:
    """Return whether a job is to be submitted.

    While one that a rule submitted has not ended, none is: experiences that come quicker than they are trained on
    would fill the queue with jobs that each know less than the next.
    """
    have = f"{standing.unused:,} unused experiences of quality {rules.min_quality_0_1:g} or more"
    wanted = _wanted(rules, standing)
    if wanted.rule is None:
        return Verdict(rule=None, why=f"{have}, {wanted.why}")
    against = _against(rules, standing)
    if against is not None:
        return Verdict(rule=None, why=f"{have}; {against}")
    return Verdict(rule=wanted.rule, why=f"{have}, {wanted.why}")


def measured(rules: Rules, standing: Standing) -> list[str]:
    """Return what was measured for the rules that look at what experiences hold, and where each wants a job."""
    few = standing.unused < rules.at_least
    why = f"there are fewer than {rules.at_least} unused" if few else "there is too little to compare with"
    found = []
    if rules.drift is not None:
        known = f"not measured, {why}" if standing.drift_p is None else f"p {standing.drift_p:.2g}"
        found.append(f"drift: {known}; a job at {rules.drift:g} or less")
    if rules.score_fall is not None:
        known = f"not measured, {why}"
        if standing.fall is not None:
            known = f"the share of right answers fell by {standing.fall[0]:.1%} (p {standing.fall[1]:.2g})"
        found.append(f"score: {known}; a job at {rules.score_fall:.1%} or more (p {FALL_P:g} or less)")
    return found


def _wanted(rules: Rules, standing: Standing) -> Verdict:
    """Return the first rule that wants a job, and what it goes by."""
    if standing.unused >= rules.min_experiences:
        return Verdict(rule=EXPERIENCES, why=f"{rules.min_experiences:,} are enough")
    if standing.unused >= rules.at_least:
        if standing.due:
            return Verdict(rule=SCHEDULE, why="its schedule has come")
        p = standing.drift_p
        if rules.drift is not None and p is not None and p <= rules.drift:
            return Verdict(rule=DRIFT, why=f"what is asked is something else than was learnt (p {p:.2g})")
        if rules.score_fall is not None and standing.fall is not None:
            fall, by_chance = standing.fall
            if fall >= rules.score_fall and by_chance <= FALL_P:
                return Verdict(rule=SCORE, why=f"the share of right answers fell by {fall:.0%} (p {by_chance:.2g})")
    return Verdict(rule=None, why=f"{rules.min_experiences:,} are needed")


def _against(rules: Rules, standing: Standing) -> str | None:
    """Return what forbids a job now; None where nothing does."""
    if standing.under_way is not None:
        return f"the next job follows when {standing.under_way} has ended"
    if standing.last_s is not None and standing.last_s < rules.cool_down_s:
        return f"the next job follows {rules.cool_down_s - standing.last_s:.0f} s from now (cool_down_s)"
    if rules.jobs_per_day is not None and standing.today >= rules.jobs_per_day:
        return f"{standing.today} jobs were submitted in the last day, {rules.jobs_per_day} may be (jobs_per_day)"
    rare = {label: count for label, count in standing.labels.items() if count < rules.per_label}
    if rare:
        label, count = min(rare.items(), key=lambda one: (one[1], one[0]))
        return f"{count} of {label!r}, {rules.per_label} of each label are needed (per_label)"
    return None
