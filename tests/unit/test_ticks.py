"""Which instants run and which are told as missed: every one is one or the other, whatever the rule and the sleep."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import InvalidTask
from overnight.base.instants import US
from overnight.engine.cron import Every, Once, next_after, parse_cron, parse_every
from overnight.engine.model import CatchUp
from overnight.engine.ticks import (
    MOST_AT_ONCE,
    MOST_COUNTED,
    ON_TIME_US,
    CatchUpRule,
    Due,
    Gap,
    Missed,
    between,
    count,
    due,
    jitter_us,
    latest,
    parse_rate,
)

HOUR = 3600 * US
DAY = 24 * HOUR
T0 = 20_000 * DAY

TRIGGERS = st.one_of(
    st.sampled_from(["1s", "7s", "1m", "3h"]).map(parse_every),
    st.sampled_from(["*/5 * * * *", "30 2 * * *", "0 9 * * 1"]).map(lambda line: parse_cron(line, "Europe/Berlin")),
)
RULES = st.builds(
    CatchUpRule, policy=st.sampled_from(CatchUp), window_us=st.none() | st.sampled_from([0, 90 * US, HOUR, 30 * DAY])
)


@given(TRIGGERS, RULES, st.integers(0, 400 * DAY), st.integers(0, 3 * HOUR) | st.integers(0, 40 * DAY))
def test_each_instant_runs_or_is_told_as_missed_and_none_is_both(trigger, rule, start_us, late_us):
    planned_us = next_after(trigger, T0 + start_us)
    now_us = planned_us + late_us
    decided = due(trigger, planned_us, now_us, rule)
    assert len(decided.fire) <= MOST_AT_ONCE
    assert list(decided.fire) == sorted(set(decided.fire))
    if decided.gap is None:
        covered = decided.fire[0]
        assert covered == planned_us
    else:
        assert decided.gap.first_us == planned_us
        assert next_after(trigger, decided.gap.last_us) == (decided.fire[0] if decided.fire else decided.next_us)
    if decided.fire:
        assert next_after(trigger, decided.fire[-1]) == decided.next_us
        for one, following in zip(decided.fire, decided.fire[1:], strict=False):
            assert next_after(trigger, one) == following
        oldest = rule.oldest_age_us
        assert all(planned_us <= at <= now_us for at in decided.fire)
        assert oldest is None or all(now_us - at <= oldest for at in decided.fire)
    assert decided.next_us > now_us or len(decided.fire) == MOST_AT_ONCE


@given(TRIGGERS, st.integers(0, 400 * DAY), st.integers(0, 3 * HOUR))
def test_by_default_the_latest_instant_runs(trigger, start_us, late_us):
    planned_us = next_after(trigger, T0 + start_us)
    decided = due(trigger, planned_us, planned_us + late_us, CatchUpRule())
    assert decided.fire == (latest(trigger, planned_us, planned_us + late_us),)


def test_a_single_instant_fires_however_late_unless_a_window_says_otherwise():
    once = Once(at_us=T0)
    assert due(once, T0, T0 + 400 * DAY, CatchUpRule()) == Due(fire=(T0,), gap=None, next_us=None)
    assert due(once, T0, T0 + 400 * DAY, CatchUpRule(policy=CatchUp.NONE)).fire == (T0,)
    assert due(once, T0, T0 + HOUR, CatchUpRule(window_us=HOUR)).fire == (T0,)
    late = due(once, T0, T0 + HOUR + 1, CatchUpRule(window_us=HOUR))
    assert late == Due(fire=(), gap=Gap(first_us=T0, last_us=T0), next_us=None)


def test_without_catching_up_an_instant_has_a_minute():
    hourly = parse_every("1h")
    rule = CatchUpRule(policy=CatchUp.NONE)
    assert due(hourly, T0, T0 + ON_TIME_US, rule).fire == (T0,)
    assert due(hourly, T0, T0 + ON_TIME_US + 1, rule) == Due(
        fire=(), gap=Gap(first_us=T0, last_us=T0), next_us=T0 + HOUR
    )
    assert CatchUpRule(policy=CatchUp.NONE, window_us=US).oldest_age_us == US
    assert CatchUpRule(policy=CatchUp.NONE, window_us=HOUR).oldest_age_us == ON_TIME_US


def test_a_trigger_that_has_come_to_its_end_is_counted_to_there():
    assert count(Once(at_us=T0), T0, T0) == 1
    assert count(Once(at_us=T0), T0 - 1, T0 + 5) == 2
    assert count(Once(at_us=T0), T0, T0 + 5) == 1


@given(st.integers(1, 5000), st.integers(0, 3000))
def test_instants_of_a_period_are_counted(seconds, steps):
    every = Every(period_us=seconds * US)
    first_us = next_after(every, T0)
    assert count(every, first_us, first_us + steps * every.period_us) == steps + 1


def test_instants_of_a_cron_line_are_counted_up_to_a_point():
    minutely = parse_cron("* * * * *")
    assert count(minutely, T0, T0 + 59 * 60 * US) == 60
    assert count(minutely, T0, T0 + (MOST_COUNTED - 1) * 60 * US) == MOST_COUNTED
    assert count(minutely, T0, T0 + MOST_COUNTED * 60 * US) is None


def test_instants_between_two_are_found_with_the_first_and_without_the_end():
    hourly = parse_every("1h")
    assert between(hourly, T0, T0 + 3 * HOUR, 10) == [T0, T0 + HOUR, T0 + 2 * HOUR]
    assert between(hourly, T0 + 1, T0 + 3 * HOUR + 1, 10) == [T0 + HOUR, T0 + 2 * HOUR, T0 + 3 * HOUR]
    assert between(hourly, T0, T0 + 3 * HOUR, 2) == [T0, T0 + HOUR]
    assert between(Once(at_us=T0), T0, T0 + HOUR, 10) == [T0]


def test_jitter_is_the_same_for_whoever_asks_and_spread_over_its_span():
    delays = [jitter_us("task", T0 + n * HOUR, 100) for n in range(1000)]
    assert delays == [jitter_us("task", T0 + n * HOUR, 100) for n in range(1000)]
    assert delays != [jitter_us("other", T0 + n * HOUR, 100) for n in range(1000)]
    assert 0 <= min(delays) < 2 * US
    assert 98 * US < max(delays) < 100 * US
    assert 45 * US < sum(delays) / 1000 < 55 * US
    assert jitter_us("task", T0, 0) == 0


@pytest.mark.parametrize(("text", "us"), [("1/s", US), ("10/m", 6 * US), ("1/h", HOUR), ("2/d", 12 * HOUR)])
def test_a_rate_is_read_as_the_time_between_two_starts(text, us):
    assert parse_rate(text) == us


@pytest.mark.parametrize("text", ["", "0/m", "10", "10/w", "1.5/m", "-1/s", "10/m ", "1000000/s", "\u0661/s"])
def test_what_is_no_rate_is_refused_in_one_line(text):
    with pytest.raises(InvalidTask, match=r"rate_limit .* is not a rate.*10/m"):
        parse_rate(text)


def test_each_reason_has_words():
    assert all(reason.meaning for reason in Missed)
    assert len({reason.meaning for reason in Missed}) == len(Missed)
