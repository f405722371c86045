"""When experiences become a training job by themselves. Pure."""

from dataclasses import dataclass

EXPERIENCES = "experiences"
"""The rule that enough of them have come."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """What the rules look at, for one model_type.

    `unused` counts the experiences of enough quality (0 to 1, `min_quality_0_1`) that no job has used. `under_way` is
    the job that a rule has submitted and that has not ended.
    """

    unused: int
    min_experiences: int
    min_quality_0_1: float
    under_way: str | None


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Which rule submits a job now, if one does, and why or why not, with the numbers."""

    rule: str | None
    why: str


def judge(standing: Standing) -> Verdict:
    """Return whether a job is to be submitted.

    While one that a rule submitted has not ended, none is: experiences that come quicker than they are trained on
    would fill the queue with jobs that each know less than the next.
    """
    have = f"{standing.unused:,} unused experiences of quality {standing.min_quality_0_1:g} or more"
    if standing.unused < standing.min_experiences:
        return Verdict(rule=None, why=f"{have}, {standing.min_experiences:,} are needed")
    if standing.under_way is not None:
        return Verdict(rule=None, why=f"{have}; the next job follows when {standing.under_way} has ended")
    return Verdict(rule=EXPERIENCES, why=f"{have}, {standing.min_experiences:,} are enough")
