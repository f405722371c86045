"""The tables of `overnight.toml` about continuous learning; see `base.config`."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class LoopSettings(Table):
    """`[loop.NAME]`: when experiences become a training job of a model by themselves; NAME is its model_type."""

    min_experiences: Annotated[int, Ge(1), Le(10_000)] | None = None
    """Unused experiences at which it is trained; without it, `training.min_experiences`."""

    min_quality: Annotated[float, Ge(0), Le(1)] | None = None
    """Lowest quality, 0 to 1, of an experience that it is trained on; without it, `training.min_experience_quality`."""

    schedule: str | None = None
    """When it is trained in any case, as a cron line in the project's time zone, with `at_least` experiences."""

    drift: Annotated[float, Gt(0), Lt(1)] | None = None
    """Level at which what is asked counts as something else than what the serving version has learnt from, 0.001 say;
    it is trained then, if there are `at_least` experiences. Without it, that is not looked at."""

    score_fall: Annotated[float, Gt(0), Le(1)] | None = None
    """By how much the share of right answers has to fall, 0.1 say, for it to be trained, if there are `at_least`
    experiences. Without it, that is not looked at."""

    at_least: Annotated[int, Ge(1), Le(10_000)] = 30
    """Unused experiences that every rule but `min_experiences` needs."""

    per_label: Annotated[int, Ge(0)] = 0
    """Unused experiences that there have to be of each label among them, so that none is learnt from too few."""

    cool_down_s: Annotated[float, Ge(0)] = 0.0
    """Seconds from one job that a rule has submitted to the next."""

    jobs_per_day: Annotated[int, Ge(1)] | None = None
    """Jobs that rules submit in 24 hours at the most."""
