"""Whether schedules, periods and rates of the configuration mean something; a mistake is told with its file and key."""

from collections.abc import Callable, Iterator
from functools import partial

from overnight.base.config import Config
from overnight.base.errors import ConfigError, InvalidTask, one_line
from overnight.base.settings import FILE
from overnight.base.zones import zone_of
from overnight.engine.cron import parse_cron, parse_every, parse_once
from overnight.engine.ticks import parse_rate


def check(config: Config) -> None:
    """Refuse a time that means nothing, also one that nothing starts by.

    Raises:
        ConfigError: one line says where it was set, and what is wrong.
    """
    zone_of(config)
    for table, key, text, parse in _times(config):
        if text is None:
            continue
        try:
            parse(text)
        except InvalidTask as error:
            said = one_line(error)
            wrong = "timezone" if said.startswith("timezone ") else key
            origin = config.set_by.get(f"{table}.{wrong}", FILE)
            raise ConfigError(f"{origin}: {table}.{wrong}: {said.removeprefix(f'{wrong} ')}") from None


def _times(config: Config) -> Iterator[tuple[str, str, str | None, Callable[[str], object]]]:
    """Yield each time: its table, its key, its text, and what reads it."""
    zone = config.project.timezone
    lines = {
        "nightly": config.nightly.schedule,
        "notify.stats": config.notify.stats.schedule,
        "notify.morning": config.notify.morning.schedule,
        **{f"loop.{name}": one.schedule for name, one in config.loop.items()},
    }
    for table, line in lines.items():
        yield table, "schedule", line, partial(parse_cron, timezone=zone)
    for name, task in config.tasks.items():
        own = task.timezone or zone
        yield f"tasks.{name}", "schedule", task.schedule, partial(parse_cron, timezone=own)
        yield f"tasks.{name}", "every", task.every, parse_every
        yield f"tasks.{name}", "once", task.once, partial(parse_once, timezone=own)
        yield f"tasks.{name}", "rate_limit", task.rate_limit, parse_rate
