"""Continuous learning: whether a model's experiences are to become a training job now, by the rules of the project.

What the rules look at is read here; what follows is decided in `training.triggers`, and submitted by whoever asked.
"""

import json
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from overnight.base.config import Config
from overnight.base.errors import ConfigError, UserMistake
from overnight.base.instants import US
from overnight.base.loop_settings import LoopSettings
from overnight.base.vocabulary import suggestion
from overnight.data import experiences
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.engine import store as runs
from overnight.engine.cron import next_after, parse_cron
from overnight.proof.drift import MOST, fallen, two_sample
from overnight.registry import store as registry
from overnight.training import jobs
from overnight.training.jobs import Job
from overnight.training.kinds import BUILT_IN
from overnight.training.triggers import DAY_S, Rules, Standing, Verdict, judge

FEWEST_ANSWERS = 30
"""Of each half of the newest experiences, for their shares of right answers to be compared."""
MOST_ANSWERS = 400
_DAY_US = int(DAY_S * US)


@dataclass(frozen=True, kw_only=True)
class Continuous:
    """What continuous learning works with, by the configuration of now."""

    config: Config
    database: Database
    blobs: Blobs


def check(config: Config) -> None:
    """Refuse rules that cannot be looked at.

    Raises:
        ConfigError: a table is about a model_type that nobody can train here.
    """
    known = model_types(config)
    for name in config.loop:
        if name not in known:
            raise ConfigError(f"loop.{name}: there is no model_type {name!r}{suggestion(name, known)}")


def under_way(connection: sa.Connection, model_type: str) -> str | None:
    """Return the job of a model_type that a rule has submitted and that has not ended."""
    return _unfinished(connection, jobs.newest_by_rule(connection, model_type))


def _unfinished(connection: sa.Connection, job: Job | None) -> str | None:
    run = None if job is None else runs.get(connection, job.run_id)
    return None if job is None or run is None or run.state.final else job.wish.job_id


def rules_of(config: Config, model_type: str) -> Rules:
    """Return the rules of a model_type: its own, and those of `[training]` where it has none."""
    own, usual = config.loop.get(model_type, LoopSettings()), config.training
    return Rules(
        min_experiences=own.min_experiences or usual.min_experiences,
        min_quality_0_1=usual.min_experience_quality if own.min_quality is None else own.min_quality,
        at_least=own.at_least,
        drift=own.drift,
        score_fall=own.score_fall,
        per_label=own.per_label,
        cool_down_s=own.cool_down_s,
        jobs_per_day=own.jobs_per_day,
    )


def look(continuous: Continuous, model_type: str, *, thorough: bool = True) -> tuple[Standing, Verdict]:
    """Return how a model_type stands, and whether a job is to be submitted for it now.

    Only a `thorough` look reads experiences for what they hold: whether their inputs have drifted, and how many of the
    answers were right.
    """
    rules = rules_of(continuous.config, model_type)
    with continuous.database.read() as connection:
        standing = _standing(continuous, connection, model_type, rules, thorough=thorough)
    verdict = judge(rules, standing)
    if verdict.rule is not None and rules.per_label and not standing.labels:
        # Whether labels are in balance matters only where a job would follow.
        with continuous.database.read() as connection:
            bodies = _buffer(connection, model_type, rules)
        standing = replace(standing, labels=Counter(str(one["expected_output"]) for one in bodies))
        verdict = judge(rules, standing)
    return standing, verdict


def _standing(
    continuous: Continuous, connection: sa.Connection, model_type: str, rules: Rules, *, thorough: bool
) -> Standing:
    now_us = continuous.database.clock.now_us()
    last = jobs.newest_by_rule(connection, model_type)
    # Where the clock was set back, the last job lies ahead: it holds nothing back.
    last_us = None if last is None or last.created_us > now_us else last.created_us
    standing = Standing(
        unused=experiences.size(connection, model_type, rules.min_quality_0_1),
        under_way=_unfinished(connection, last),
        last_s=None if last_us is None else (now_us - last_us) / US,
        today=0 if rules.jobs_per_day is None else jobs.by_rule_since(connection, model_type, now_us - _DAY_US),
        due=_due(continuous.config, model_type, last_us, now_us),
    )
    if not thorough or standing.unused < rules.at_least:
        return standing
    if rules.drift is not None:
        standing = replace(standing, drift_p=_drift(continuous, connection, model_type, rules))
    if rules.score_fall is not None:
        standing = replace(standing, fall=_fall(connection, model_type, last_us or 0))
    return standing


def _due(config: Config, model_type: str, last_us: int | None, now_us: int) -> bool:
    """Tell whether its schedule has come since the last job; before the first one, within a day."""
    schedule = config.loop.get(model_type, LoopSettings()).schedule
    if schedule is None:
        return False
    since_us = now_us - _DAY_US if last_us is None else last_us
    fires_us = next_after(parse_cron(schedule, config.project.timezone), since_us)
    return fires_us is not None and fires_us <= now_us


def next_due_us(config: Config, model_type: str, now_us: int) -> int | None:
    """Return when its schedule comes next; None where it has none."""
    schedule = config.loop.get(model_type, LoopSettings()).schedule
    return None if schedule is None else next_after(parse_cron(schedule, config.project.timezone), now_us)


def _buffer(connection: sa.Connection, model_type: str, rules: Rules, most: int | None = None) -> list[Any]:
    rows = experiences.newest(connection, model_type, rules.min_quality_0_1, most)
    return [json.loads(body) for _, body in rows]


def _drift(continuous: Continuous, connection: sa.Connection, model_type: str, rules: Rules) -> float | None:
    """Return how likely it is by chance that what is asked differs so from what the serving version learnt from."""
    version = registry.serving(connection, model_type)
    if version is None:
        return None
    try:
        lines = continuous.blobs.get(version.snapshot_id).splitlines()
        learnt = [json.loads(line)["input"] for line in lines]
    except (UserMistake, ValueError, KeyError, TypeError):
        return None  # it was made elsewhere, and of what nobody here knows
    asked = [one["input"] for one in _buffer(connection, model_type, rules, MOST)]
    found = two_sample(learnt, asked)
    return None if found is None else found.p


def _fall(connection: sa.Connection, model_type: str, since_us: int) -> tuple[float, float] | None:
    """Return by how much the share of right answers has fallen among the newest experiences.

    Only of those since the last job: that one was submitted for a fall before, or has it behind it.
    """
    found = experiences.recent(connection, model_type, MOST_ANSWERS, since_us)
    right = [bool(json.loads(body)["success"]) for body in found]
    half = len(right) // 2
    return None if half < FEWEST_ANSWERS else fallen(right[:half], right[half:])


def model_types(config: Config) -> list[str]:
    """Return the model_types that are looked at: all that can be trained here, by name."""
    return sorted({*BUILT_IN, *config.training.models})
