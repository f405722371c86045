"""When a task is due by the clock: cron lines, fixed periods and single instants. Pure.

Instants are integer microseconds since the Unix epoch, UTC. Nothing here knows what time it is: every answer follows
from the schedule and the instant that is handed in, so that any number of schedulers agree.

Daylight saving, as Debian's cron has it. A line whose minute and hour are both fixed (neither starts with `*`) means
times of the civil day: each fires exactly once a day, at the first of two equal local times in autumn and at the end of
the gap in spring. A line with a star there follows elapsed time: it fires at every real minute whose local time
matches. cronsim parses and walks the local times; what they are in UTC is decided here, because cronsim steps over
matches where clocks change by half an hour, and around an instant inside the repeated hour.
"""

import difflib
import re
import zoneinfo
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import assert_never

from cronsim import CronSim, CronSimError

from overnight.base.errors import InvalidTask
from overnight.base.instants import US, from_datetime, to_datetime

_FIELDS = {
    "minute": (0, 59),
    "hour": (0, 23),
    "day-of-month": (1, 31),
    "month": (1, 12),
    "day-of-week": (0, 7),
}
_NAMES = {"month": ", names JAN-DEC", "day-of-week": " (Sunday is 0 or 7), names SUN-SAT"}
_LONGEST_LINE = 200
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LONGEST_PERIOD_US = 36500 * 86400 * US
_ANY_DAY = datetime(1970, 1, 1)
_MINUTE = timedelta(minutes=1)
_TURN = timedelta(hours=12)
"""More than any zone has turned its clocks back at once since 1970, and less than between two such turns."""


@dataclass(frozen=True, kw_only=True)
class Cron:
    """A cron line of five fields in a time zone; `parse_cron` checks both."""

    text: str
    timezone: str = "UTC"

    @property
    def fixed(self) -> bool:
        """True if the line means times of the civil day, False if it follows elapsed time."""
        minute, hour = self.text.split()[:2]
        return not minute.startswith("*") and not hour.startswith("*")


@dataclass(frozen=True, kw_only=True)
class Every:
    """A fixed period: due at `k * period_us` for every whole k."""

    period_us: int


@dataclass(frozen=True, kw_only=True)
class Once:
    """A single instant."""

    at_us: int


Schedule = Cron | Every | Once


def parse_cron(text: str, timezone: str = "UTC") -> Cron:
    """Return the cron line, checked.

    Raises:
        InvalidTask: not five fields, a value out of range, a line that never fires, or an unknown zone.
    """
    where = f"schedule {text[:_LONGEST_LINE]!r}"
    fields = text.split()
    if len(text) > _LONGEST_LINE and len(fields) == len(_FIELDS):
        raise InvalidTask(f"{where} is longer than {_LONGEST_LINE} characters")
    if len(fields) != len(_FIELDS):
        raise InvalidTask(f"{where} has {len(fields)} fields; write five: {' '.join(_FIELDS)}")
    for field, (name, (low, high)) in zip(fields, _FIELDS.items(), strict=True):
        _check_steps(where, field, name, high - low)
    _zone(timezone)
    try:
        next(CronSim(text, _ANY_DAY))
    except CronSimError as error:
        raise InvalidTask(f"{where}: {_what_is_wrong(fields, str(error))}") from None
    except StopIteration:
        raise InvalidTask(f"{where} never fires: there is no such day") from None
    return Cron(text=text, timezone=timezone)


def parse_every(text: str) -> Every:
    """Return the period that a text such as "30s", "5m", "2h" or "1d" means.

    Raises:
        InvalidTask: anything else, or a period of zero or of more than 100 years.
    """
    match = re.fullmatch(r"([0-9]{1,12})(s|m|h|d)", text)
    period_us = int(match[1]) * _UNITS_S[match[2]] * US if match else 0
    if not 0 < period_us <= _LONGEST_PERIOD_US:
        raise InvalidTask(
            f'every {text!r} is not a period: write a whole number from 1 on and s, m, h or d, such as "30s" or "1d"'
        )
    return Every(period_us=period_us)


def parse_once(text: str, timezone: str = "UTC") -> Once:
    """Return the instant of an ISO 8601 text; without an offset in it, it is local time of `timezone`.

    Raises:
        InvalidTask: not ISO 8601, or an unknown zone.
    """
    zone = _zone(timezone)
    try:
        at = datetime.fromisoformat(text)
        return Once(at_us=from_datetime(at if at.tzinfo else at.replace(tzinfo=zone)))
    except (ValueError, OverflowError):
        raise InvalidTask(
            f'once {text!r} is not an instant: write ISO 8601, such as "2027-03-01T04:30:00+01:00"'
        ) from None


def next_after(schedule: Schedule, after_us: int) -> int | None:
    """Return the first due instant strictly after `after_us`, or None if there is none."""
    match schedule:
        case Once():
            return schedule.at_us if schedule.at_us > after_us else None
        case Every():
            return (after_us // schedule.period_us + 1) * schedule.period_us
        case Cron():
            zone = _zone(schedule.timezone)
            found = (_next_fixed if schedule.fixed else _next_elapsed)(schedule.text, zone, to_datetime(after_us))
            return None if found is None else from_datetime(found)
        case _:
            assert_never(schedule)


def _next_fixed(text: str, zone: zoneinfo.ZoneInfo, after: datetime) -> datetime | None:
    """Return the first firing after `after` of a line that means times of the civil day."""
    for wall in CronSim(text, _wall(after, zone)):
        at = _once_a_day(wall, zone)
        if at is not None and at > after:
            return at
    return None


def _next_elapsed(text: str, zone: zoneinfo.ZoneInfo, after: datetime) -> datetime | None:
    """Return the first real minute after `after` whose local time matches the line."""
    here = after.astimezone(zone)
    for wall in islice(CronSim(text, _wall(after, zone)), 1):
        at = _at(wall, zone, here.fold)
        if at - after < _TURN and at.astimezone(zone).utcoffset() == here.utcoffset():
            return at
    # The clocks change on the way (or the way is long): local times repeat or are left out, so look at all of them.
    best: datetime | None = None
    for wall in CronSim(text, _wall(after, zone) - _TURN):
        if best is not None and wall > _wall(best, zone) + _TURN:
            break
        real = [at for at in (_at(wall, zone, 0), _at(wall, zone, 1)) if _wall(at, zone) == wall and at > after]
        best = min([*real, best] if best else real, default=None)
    return best


def _once_a_day(wall: datetime, zone: zoneinfo.ZoneInfo) -> datetime | None:
    """Return when a local time fires: the first of two, the end of the gap, None on a day that the zone left out."""
    real = wall
    while _wall(_at(real, zone, 0), zone) != real:
        real += _MINUTE
    midnight = datetime.combine(wall.date(), datetime.min.time())
    if real.date() != wall.date() and _wall(_at(midnight, zone, 0), zone) != midnight:
        return None
    return _at(real, zone, 0)


def _wall(at: datetime, zone: zoneinfo.ZoneInfo) -> datetime:
    """Return what clocks in the zone show, without the zone."""
    return at.astimezone(zone).replace(tzinfo=None, fold=0)


def _at(wall: datetime, zone: zoneinfo.ZoneInfo, fold: int) -> datetime:
    """Return the instant in UTC at which clocks in the zone show `wall` for the first (0) or the second (1) time."""
    return wall.replace(tzinfo=zone, fold=fold).astimezone(UTC)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        near = difflib.get_close_matches(name, zoneinfo.available_timezones(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ', such as "UTC" or "Europe/Berlin"'
        raise InvalidTask(f"timezone {name!r} is not a name of the IANA time zone database{hint}") from None


def _check_steps(where: str, field: str, name: str, span: int) -> None:
    """Refuse `*/90` as a minute: cron would take it as "at minute 0", and nobody means that."""
    for step in re.findall(r"/([0-9]+)", field):
        if int(step) > span:
            raise InvalidTask(
                f"{where}: a step of {step} is longer than the {name} field; steps go to {span}, "
                'and longer periods are written as every = "90m"'
            )


def _what_is_wrong(fields: list[str], error: str) -> str:
    """Return a line about the field that cronsim's message ("Bad minute") names."""
    name = error.removeprefix("Bad ")
    value = fields[list(_FIELDS).index(name)]
    if name == "day-of-month" and _parses([*fields[:3], "*", fields[4]]):
        return f"it never fires, there is no day {value} in month {fields[3]}"
    low, high = _FIELDS[name]
    return (
        f"{value!r} is not a {name}; allowed are {low}-{high}{_NAMES.get(name, '')}, "
        "* and lists, ranges and steps of them (1,15 or MON-FRI or */5)"
    )


def _parses(fields: list[str]) -> bool:
    try:
        CronSim(" ".join(fields), _ANY_DAY)
    except CronSimError:
        return False
    return True
