"""How much of what a project is to produce there is."""

from overnight.app.workplace import Workplace
from overnight.engine import counters
from overnight.engine.counters import day_of
from overnight.reports.targets import PERIODS, Produced, produced


def standing(project: Workplace) -> list[Produced]:
    """Return what there is of each target now, and of the day, month and year that were over last."""
    config, now_us = project.config, project.clock.now_us()
    if not config.targets:
        return []
    timezone = config.project.timezone
    today = day_of(now_us, timezone)
    with project.database.read() as connection:
        counted = counters.by_day(connection, list(config.targets), f"{today.year - 1:04}")
        since = counters.begun(connection, now_us, timezone)
    targets = {name: {period: getattr(one, period) for period in PERIODS} for name, one in config.targets.items()}
    return produced(targets, counted, today, since)
