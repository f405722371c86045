"""When schedules are due, checked against brute force over every minute, also on the days when clocks change."""

import zoneinfo
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.errors import InvalidTask
from overnight.base.instants import US, from_datetime, to_datetime
from overnight.engine.cron import Cron, Every, Once, Schedule, next_after, parse_cron, parse_every, parse_once

ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "Africa/Cairo"]
CLOCK_CHANGES = {
    "Europe/Berlin": [date(2026, 3, 29), date(2026, 10, 25)],
    "America/New_York": [date(2026, 3, 8), date(2026, 11, 1)],
    "Australia/Lord_Howe": [date(2026, 4, 5), date(2026, 10, 4)],
    "Africa/Cairo": [date(2026, 4, 24), date(2026, 10, 30)],
}
MINUTE = timedelta(minutes=1)


def us(text: str) -> int:
    return from_datetime(datetime.fromisoformat(text))


def iso(at_us: int | None, zone: str = "UTC") -> str | None:
    return None if at_us is None else to_datetime(at_us).astimezone(zoneinfo.ZoneInfo(zone)).isoformat(" ", "minutes")


def due_between(schedule: Schedule, after_us: int, until_us: int) -> Iterator[int]:
    """Yield the due instants after `after_us` up to and including `until_us`, oldest first."""
    at = next_after(schedule, after_us)
    while at is not None and at <= until_us:
        yield at
        at = next_after(schedule, at)


def one_day(zone: str, day: date) -> tuple[int, int]:
    """Return the instants around a civil day, a day of margin on both sides."""
    middle = datetime(day.year, day.month, day.day, 12, tzinfo=zoneinfo.ZoneInfo(zone))
    return from_datetime(middle - timedelta(days=1.5)), from_datetime(middle + timedelta(days=1.5))


@cache
def minutes(zone: str, start_us: int, end_us: int) -> tuple[tuple[datetime, datetime], ...]:
    """Return every real minute in the interval as (UTC, local time without the zone)."""
    info, at, found = zoneinfo.ZoneInfo(zone), to_datetime(start_us), []
    while at <= to_datetime(end_us):
        found.append((at, at.astimezone(info).replace(tzinfo=None)))
        at += MINUTE
    return tuple(found)


def values(field: str, low: int, high: int) -> set[int]:
    """Return what a list of numbers, `*`, ranges and steps means (an own, naive reading)."""
    found: set[int] = set()
    for term in field.split(","):
        span, _, step = term.partition("/")
        first, _, last = span.partition("-")
        start, end = (low, high) if span == "*" else (int(first), int(last or first))
        found |= set(range(start, (high if step and not last and span != "*" else end) + 1, int(step or 1)))
    return found


def brute_force(text: str, zone: str, start_us: int, end_us: int) -> list[int]:
    """Return what is due after start up to end, by looking at every minute."""
    minute, hour, day, month, weekday = text.split()
    wanted = [values(minute, 0, 59), values(hour, 0, 23), values(day, 1, 31), values(month, 1, 12)]
    weekdays = {w % 7 for w in values(weekday, 0, 7)}

    def matches(wall: datetime) -> bool:
        in_day, in_week = wall.day in wanted[2], (wall.weekday() + 1) % 7 in weekdays
        either = not day.startswith("*") and not weekday.startswith("*")
        right_day = (in_day or in_week) if either else (in_day and in_week)
        return wall.minute in wanted[0] and wall.hour in wanted[1] and wall.month in wanted[3] and right_day

    real = minutes(zone, start_us, end_us)
    if minute.startswith("*") or hour.startswith("*"):
        return [from_datetime(at) for at, wall in real if matches(wall) and from_datetime(at) > start_us]
    due: dict[datetime, datetime] = {}
    for at, wall in real:
        due.setdefault(wall, at)  # the first of two equal local times
    for (_, before), (after_gap, next_wall) in pairwise(real):
        left_out = before + MINUTE
        while left_out < next_wall:
            due[left_out] = after_gap
            left_out += MINUTE
    return sorted({from_datetime(at) for wall, at in due.items() if matches(wall) and from_datetime(at) > start_us})


def field_texts(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ranges = st.tuples(number, number).map(lambda pair: f"{min(pair)}-{max(pair)}")
    steps = st.tuples(st.sampled_from(["*", str(low)]), st.integers(1, high - low)).map(lambda p: f"{p[0]}/{p[1]}")
    return st.one_of(st.just("*"), number.map(str), ranges, steps, st.lists(number.map(str), min_size=2).map(",".join))


LINES = st.tuples(field_texts(0, 59), field_texts(0, 23), st.sampled_from(["*", "*", "1-15", "*/2", "29"]),
                  st.just("*"), st.sampled_from(["*", "*", "0", "7", "1-5", "5-7"])).map(" ".join)  # fmt: skip
DAYS = st.sampled_from([(zone, day) for zone, days in CLOCK_CHANGES.items() for day in days])


@pytest.mark.no_cover
@settings(max_examples=40)  # brute force over three days
@given(LINES, DAYS, st.integers(0, 3 * 1440))
def test_cron_agrees_with_brute_force_on_the_days_when_clocks_change(line, zone_day, skip):
    zone, day = zone_day
    start, end = one_day(zone, day)
    expected = [at for at in brute_force(line, zone, start, end) if at > start + skip * 60 * US]
    assert list(due_between(parse_cron(line, zone), start + skip * 60 * US, end)) == expected


@given(LINES, st.sampled_from(ZONES), st.integers(us("2020-01-01T00:00:00Z"), us("2035-01-01T00:00:00Z")))
def test_next_is_strictly_after_and_monotone(line, zone, after_us):
    cron = parse_cron(line, zone)
    first, second = next_after(cron, after_us), next_after(cron, after_us + 90 * 60 * US)
    assert after_us < first <= second
    assert first % (60 * US) == 0
    assert next_after(cron, first - 1) == first
    assert next_after(cron, first) > first


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("line", ["30 1 * * *", "30 2 * * *", "45 1 * * *", "15 2 * * *", "0 0 * * *", "30 0 * * *"])
def test_a_fixed_time_fires_once_per_civil_day(line, zone):
    info = zoneinfo.ZoneInfo(zone)
    start, end = (from_datetime(datetime(year, 1, 1, tzinfo=info)) - 1 for year in (2026, 2028))
    days = Counter(to_datetime(at).astimezone(info).date() for at in due_between(parse_cron(line, zone), start, end))
    assert days == Counter(date(2026, 1, 1) + timedelta(days=n) for n in range(730))


def test_spring_moves_a_left_out_time_to_the_end_of_the_gap():
    cron = parse_cron("30 2 * * *", "Europe/Berlin")
    assert iso(next_after(cron, us("2026-03-28T12:00:00Z")), "Europe/Berlin") == "2026-03-29 03:00+02:00"


def test_autumn_fires_a_repeated_time_at_the_first_pass_only():
    cron = parse_cron("30 2 * * *", "Europe/Berlin")
    first = next_after(cron, us("2026-10-24T12:00:00Z"))
    assert iso(first, "Europe/Berlin") == "2026-10-25 02:30+02:00"
    second_pass = us("2026-10-25T02:10:00+01:00")
    assert iso(next_after(cron, second_pass), "Europe/Berlin") == "2026-10-26 02:30+01:00"


def test_wildcard_hours_follow_elapsed_time_through_both_changes():
    hourly = parse_cron("0 * * * *", "Europe/Berlin")
    for day in ("2026-03-28", "2026-10-24"):
        due = list(due_between(hourly, us(f"{day}T12:00:00Z"), us(f"{day}T12:00:00Z") + 24 * 3600 * US))
        assert len(due) == 24
        assert {b - a for a, b in pairwise(due)} == {3600 * US}


def test_a_half_hour_change_loses_no_match():
    cron = parse_cron("45 * * * *", "Australia/Lord_Howe")
    start = us("2026-04-05T01:30:00+11:00")
    assert [iso(at, "Australia/Lord_Howe") for at in islice(due_between(cron, start, start + 86400 * US), 3)] == [
        "2026-04-05 01:45+11:00",
        "2026-04-05 01:45+10:30",
        "2026-04-05 02:45+10:30",
    ]


def test_the_first_pass_is_found_from_the_second_pass_of_the_year_before():
    last_sunday = parse_cron("*/30 2 25-31 10 */7", "Europe/Berlin")
    second_pass = us("2026-10-25T02:45:00+01:00")
    assert iso(next_after(last_sunday, second_pass), "Europe/Berlin") == "2027-10-31 02:00+02:00"


@pytest.mark.parametrize("minute", ["0", "*"])
def test_a_line_that_never_fires_has_no_next(minute):
    assert next_after(Cron(text=f"{minute} 0 */30 2 MON#5"), us("2026-01-01T00:00:00Z")) is None


@pytest.mark.parametrize("line", ["30 1 * * *", "0 0 * * *"])
def test_a_civil_day_that_the_zone_left_out_has_no_firing(line):
    due = list(due_between(parse_cron(line, "Pacific/Apia"), us("2011-12-29T05:00:00Z"), us("2011-12-31T20:00:00Z")))
    assert [iso(at, "Pacific/Apia")[:10] for at in due] == ["2011-12-29", "2011-12-31", "2012-01-01"]


def test_the_longest_turn_back_of_a_clock_is_shorter_than_the_window():
    start, end = datetime(1990, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)
    for zone in ("Antarctica/Vostok", "Antarctica/Casey", "Antarctica/Troll"):
        info, at = zoneinfo.ZoneInfo(zone), start
        while at < end:
            assert at.astimezone(info).utcoffset() - (at + timedelta(days=1)).astimezone(info).utcoffset() < timedelta(
                hours=12
            )
            at += timedelta(days=1)


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        ("0 3 * * *", "2026-11-20T03:00:00Z", "2026-11-21 03:00+00:00"),
        ("0 3 * * *", "2026-11-20T02:59:59.999999Z", "2026-11-20 03:00+00:00"),
        ("*/15 9-17 * * MON-FRI", "2026-11-20T17:45:00Z", "2026-11-23 09:00+00:00"),
        ("0 0 * * 0", "2026-11-20T00:00:00Z", "2026-11-22 00:00+00:00"),
        ("0 0 * * 7", "2026-11-20T00:00:00Z", "2026-11-22 00:00+00:00"),
        ("0 0 * * sun", "2026-11-20T00:00:00Z", "2026-11-22 00:00+00:00"),
        ("0 0 29 2 *", "2026-11-20T00:00:00Z", "2028-02-29 00:00+00:00"),
        ("0 0 1 jan,JUL *", "2026-11-20T00:00:00Z", "2027-01-01 00:00+00:00"),
        ("5/20 * * * *", "2026-11-20T00:05:00Z", "2026-11-20 00:25+00:00"),
        ("0 0 13 * 5", "2026-11-01T00:00:00Z", "2026-11-06 00:00+00:00"),
    ],
)
def test_cron_fields_mean_what_cron_means(line, after, expected):
    assert iso(next_after(parse_cron(line), us(after))) == expected


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("0 0 * * * *", "has 6 fields; write five: minute hour day-of-month month day-of-week"),
        ("", "has 0 fields"),
        ("@daily", "has 1 fields"),
        ("0 0 31 2 *", "it never fires, there is no day 31 in month 2"),
        ("0 0 31 4,6 *", "it never fires, there is no day 31 in month 4,6"),
        ("0 0 */30 2 MON#5", "never fires: there is no such day"),
        ("61 * * * *", "'61' is not a minute; allowed are 0-59"),
        ("* 24 * * *", "'24' is not a hour; allowed are 0-23"),
        ("0 0 0 * *", "'0' is not a day-of-month; allowed are 1-31"),
        ("0 0 9-3 * *", "'9-3' is not a day-of-month"),
        ("0 0 * foo *", "'foo' is not a month; allowed are 1-12, names JAN-DEC"),
        ("0 0 * * 8", "'8' is not a day-of-week; allowed are 0-7 (Sunday is 0 or 7), names SUN-SAT"),
        ("*/0 * * * *", "'*/0' is not a minute"),
        ("*/90 * * * *", "a step of 90 is longer than the minute field; steps go to 59, and longer"),
        ("\u0663 * * * *", "is not a minute"),
        ("1 " * 150, "has 150 fields"),
        ("1" * 5000 + " * * * *", "is longer than 200 characters"),
    ],
)  # fmt: skip
def test_a_bad_line_is_refused_in_one_clear_line(line, says):
    with pytest.raises(InvalidTask) as refused:
        parse_cron(line)
    assert says in str(refused.value)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


@pytest.mark.parametrize("zone", ["", "Europe", "../etc/passwd", "/etc/passwd", "a" * 300, "\0", "Mars/Olympus"])
def test_an_unknown_zone_is_refused(zone):
    with pytest.raises(InvalidTask, match="is not a name of the IANA time zone database"):
        parse_cron("0 3 * * *", zone)


def test_an_unknown_zone_is_answered_with_the_nearest_one():
    with pytest.raises(InvalidTask, match="did you mean 'Europe/Berlin'"):
        parse_cron("0 3 * * *", "europe/berlin")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), ("2h", 7200), ("1d", 86400), ("90m", 5400)])
def test_a_period_is_read(text, seconds):
    assert parse_every(text) == Every(period_us=seconds * US)


@pytest.mark.parametrize(
    "text", ["", "0s", "-1s", "1.5h", "5", "m", "5 m", "5M", "1w", "\u0665m", "36501d", "9" * 40 + "d"]
)
def test_what_is_no_period_is_refused(text):
    with pytest.raises(InvalidTask, match="is not a period: write a whole number from 1 on"):
        parse_every(text)


@given(st.integers(1, 10**13), st.integers(-(10**16), 10**16))
def test_every_is_due_at_the_first_multiple_after(period, after):
    at = next_after(Every(period_us=period), after)
    assert after < at <= after + period
    assert at % period == 0


def test_schedulers_that_start_at_different_times_agree_on_every():
    five = parse_every("5m")
    start = us("2026-11-20T10:01:17Z")
    assert [iso(at) for at in due_between(five, start, start + 600 * US)] == [
        "2026-11-20 10:05+00:00",
        "2026-11-20 10:10+00:00",
    ]


def test_once_is_due_once():
    once = parse_once("2026-11-20T10:00:00+01:00")
    at = us("2026-11-20T09:00:00Z")
    assert once == Once(at_us=at)
    assert next_after(once, at - 1) == at
    assert next_after(once, at) is None
    assert list(due_between(once, at - 1, at)) == [at]
    assert list(due_between(once, at - 10, at - 1)) == []


def test_once_without_an_offset_is_local_time():
    assert parse_once("2026-07-01T04:30", "Europe/Berlin") == parse_once("2026-07-01T02:30:00Z")


@pytest.mark.parametrize("text", ["", "tomorrow", "2026-13-01T00:00:00Z", "04:30", "0001-01-01T00:00:00+23:00x"])
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(InvalidTask, match="is not an instant: write ISO 8601"):
        parse_once(text)


def test_the_end_of_an_interval_is_due_and_its_start_is_not():
    cron = Cron(text="0 * * * *")
    start, end = us("2026-11-20T10:00:00Z"), us("2026-11-20T12:00:00Z")
    assert list(due_between(cron, start, end)) == [us("2026-11-20T11:00:00Z"), end]


def test_an_instant_needs_a_time_zone():
    with pytest.raises(ValueError, match="an instant needs a time zone"):
        from_datetime(datetime(2026, 1, 1))
