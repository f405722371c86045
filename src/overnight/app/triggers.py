"""Looks at whether experiences have become enough for a training job, and submits it: the rules are pure."""

import logging

from overnight.app.jobs import AlreadyUsed, submit_by_rule
from overnight.app.journal import logfmt
from overnight.app.workplace import Workplace
from overnight.flows import continuous
from overnight.flows.continuous import Continuous
from overnight.training.triggers import Verdict

_log = logging.getLogger("overnight.triggers")


def continuous_of(project: Workplace) -> Continuous:
    """Return what continuous learning works with."""
    return Continuous(config=project.config, database=project.database, blobs=project.blobs)


def verdict_on(project: Workplace, model_type: str, *, thorough: bool = True) -> Verdict:
    """Return what the rules say about a model_type now."""
    return continuous.look(continuous_of(project), model_type, thorough=thorough)[1]


def look_at(project: Workplace, model_type: str, *, thorough: bool = False) -> str | None:
    """Submit a job for a model_type if a rule says so, and return its id."""
    verdict = verdict_on(project, model_type, thorough=thorough)
    if verdict.rule is None:
        return None
    try:
        status = submit_by_rule(project, model_type, verdict.rule)
    except AlreadyUsed:
        # Whoever was quicker has seen to it; what came behind is seen at the next look.
        return None
    told = {"job": status.job_id, "rule": verdict.rule, "experiences": status.items, "why": verdict.why}
    _log.info("event=triggered %s", logfmt(told))
    return status.job_id


def look_at_all(project: Workplace) -> None:
    """Do so for every model_type that can be trained, and look at what experiences hold."""
    for model_type in continuous.model_types(project.config):
        look_at(project, model_type, thorough=True)
