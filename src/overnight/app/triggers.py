"""Looks at whether experiences have become enough for a training job, and submits it: the rule is pure."""

import logging

from overnight.app.experiences import buffer_size
from overnight.app.jobs import AlreadyUsed, submit_by_rule, under_way
from overnight.app.journal import logfmt
from overnight.app.workplace import Workplace
from overnight.training.kinds import BUILT_IN
from overnight.training.triggers import Standing, Verdict, judge

_log = logging.getLogger("overnight.triggers")


def verdict_on(project: Workplace, model_type: str) -> Verdict:
    """Return what the rules say about a model_type now."""
    settings = project.config.training
    unused = buffer_size(project, model_type)
    with project.database.read() as connection:
        job_id = under_way(connection, model_type)
    standing = Standing(
        unused=unused,
        min_experiences=settings.min_experiences,
        min_quality_0_1=settings.min_experience_quality,
        under_way=job_id,
    )
    return judge(standing)


def look_at(project: Workplace, model_type: str) -> str | None:
    """Submit a job for a model_type if a rule says so, and return its id."""
    verdict = verdict_on(project, model_type)
    if verdict.rule is None:
        return None
    try:
        status = submit_by_rule(project, model_type, verdict.rule)
    except AlreadyUsed:
        # Whoever was quicker has seen to it; what came behind is seen at the next look.
        return None
    _log.info("event=triggered %s", logfmt({"job": status.job_id, "experiences": status.items, "why": verdict.why}))
    return status.job_id


def look_at_all(project: Workplace) -> None:
    """Do so for every model_type that can be trained."""
    for model_type in sorted({*BUILT_IN, *project.config.training.models}):
        look_at(project, model_type)
