"""How each model's loop stands: what serves, what was gathered, what follows next, what was decided last."""

from typing import Any

import sqlalchemy as sa

from overnight.app.experiences import held
from overnight.app.triggers import continuous_of
from overnight.app.workplace import Workplace
from overnight.base.instants import iso
from overnight.flows import continuous
from overnight.registry import deployments
from overnight.registry import store as registry
from overnight.training import jobs
from overnight.training.triggers import measured

Json = dict[str, Any]
LAST = 3
"""Verdicts that are told."""


def loop_status(project: Workplace) -> list[Json]:
    """Return how the loop of each model stands that has versions, experiences or rules; by name.

    Each has `model_type`, `serving` (None: no version does), `unused` and `needed` experiences, `next` (in words),
    `next_schedule`, `rules` (what was measured for them, in words), `rollout` (of the version that is rolled out, or
    None) and `last`: its newest versions, each with `version`, `job`, `decision` and `reason`.
    """
    works, now_us = continuous_of(project), project.clock.now_us()
    with project.database.read() as connection:
        served, versions = registry.champions(connection), set(registry.models(connection))
    known = set(continuous.model_types(project.config))
    gathered = {one.model_type for one in held(project)}
    found = []
    for name in sorted(known & (versions | gathered | set(project.config.loop))):
        standing, verdict = continuous.look(works, name)
        rules = continuous.rules_of(project.config, name)
        due_us = continuous.next_due_us(project.config, name, now_us)
        with project.database.read() as connection:
            told = {"rollout": _rollout(connection, name), "last": _last(connection, name)}
            newest = jobs.newest(connection, limit=1, model_type=name)
        found.append(
            {
                "model_type": name,
                "serving": served.get(name),
                "unused": standing.unused,
                "needed": rules.min_experiences,
                "next": verdict.why if verdict.rule is None else f"a job follows at the next look: {verdict.why}",
                "next_schedule": iso(due_us),
                "rules": measured(rules, standing),
                "under_way": standing.under_way,
                "last_job": newest[0].wish.job_id if newest else None,
                **told,
            }
        )
    return found


def _rollout(connection: sa.Connection, model: str) -> Json | None:
    one = deployments.open_of(connection, model)
    if one is None:
        return None
    return {
        "deployment_id": one.deployment_id,
        "version": one.candidate,
        "status": str(one.state.status),
        "percentage": one.percentage,
        "message": one.message,
    }


def _last(connection: sa.Connection, model: str) -> list[Json]:
    return [
        {
            "version": version.number,
            "at": iso(version.created_us),
            "job": version.metrics.get("job_id"),
            "decision": version.verdict.get("decision"),
            "reason": version.verdict.get("reason"),
        }
        for version in registry.history(connection, model)[:LAST]
    ]
