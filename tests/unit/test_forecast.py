"""What a service may use within seconds follows from its own series, and never from what comes after."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.resources.forecast import Rules, Series, forecast, outlook_bytes, series_of

GB = 10**9
HOUR = 3600


def told(series, *, now_s=None, yield_s=10.0, job_s=7200.0):
    return forecast(series, now_s=series.at_s if now_s is None else now_s, yield_s=yield_s, job_s=job_s)


def still(gb, seconds, start=0):
    return [(float(start + second), int(gb * GB)) for second in range(seconds)]


def ramp(gb, gb_per_s, seconds, start=0):
    return [(float(start + second), int((gb + gb_per_s * second) * GB)) for second in range(seconds)]


values = st.lists(st.integers(0, 50 * GB), min_size=1, max_size=40)


@given(values)
def test_nothing_is_expected_to_be_less_than_it_is(used):
    of = told(series_of((float(second), value) for second, value in enumerate(used)))
    assert used[-1] <= of.soon_bytes <= of.start_bytes <= of.later_bytes


@given(values, st.floats(0, 100), st.floats(0, 100))
def test_the_farther_ahead_the_more_and_an_old_sample_is_far_behind(used, one_s, other_s):
    series = series_of((float(second), value) for second, value in enumerate(used))
    near, far = sorted((one_s, other_s))
    assert told(series, yield_s=near).soon_bytes <= told(series, yield_s=far).soon_bytes
    now = series.at_s
    assert told(series, now_s=now + near).soon_bytes <= told(series, now_s=now + far).soon_bytes


@given(values, st.floats(0.2, 3))
def test_the_forecast_grows_with_the_numbers_it_is_made_from(used, times):
    one = told(series_of((float(second), value) for second, value in enumerate(used)))
    more = told(series_of((float(second), int(times * value)) for second, value in enumerate(used)))
    # The bytes that were cut off are up to one for each value, and the longest look is 30 s.
    assert more.soon_bytes == pytest.approx(times * one.soon_bytes, rel=1e-3, abs=1000)


def test_a_slope_is_followed_to_the_second_in_which_the_job_has_gone():
    rising = series_of(still(20, 1300) + ramp(20, 0.5, 30, start=1300))
    used = rising.used_bytes
    assert told(rising).soon_bytes == pytest.approx(used + 11 * 0.5 * GB, abs=2)
    assert told(rising).start_bytes == pytest.approx(used + 31 * 0.5 * GB, abs=2)
    assert told(rising, yield_s=30).soon_bytes == pytest.approx(used + 31 * 0.5 * GB, abs=2)


def test_the_longer_a_service_is_still_the_less_is_expected_of_it():
    seconds = (60, 300, 1500)
    expected = [told(series_of(still(20, count))).soon_bytes - 20 * GB for count in seconds]
    assert expected == sorted(expected, reverse=True)
    rules = Rules()
    assert expected == pytest.approx(
        [
            11 / 60 * share * 20 * GB
            for share in (rules.fastest_share, min(rules.calm_share, rules.over_share), rules.still_share)
        ],
        rel=1e-6,
    )


def test_unrest_makes_careful_up_to_the_recent_peak():
    swing = [(float(second), int((20 + (second // 60) % 2) * GB)) for second in range(1200)]
    restless = series_of(swing)
    calm = series_of(still(20, 1200))
    assert told(restless).soon_bytes > told(calm).soon_bytes
    high = series_of(still(20, 600) + still(10, 600, start=600))
    # Below its peak a service is expected to come back, however still it is.
    assert high.rise_bytes_per_s() == pytest.approx(Rules().return_share * 10 * GB / 60)


def test_a_peak_is_forgotten_but_not_all_of_it():
    series = series_of([*still(40, 60), *still(4, 2 * HOUR, start=60)])
    assert series.peak_bytes == 40 * GB
    assert series.recent_bytes == 20 * GB
    assert series_of(still(4, HOUR)).recent_bytes == 4 * GB


def test_a_small_drift_is_still_and_a_large_one_is_not():
    drift = series_of((float(second), int((20 + 0.00001 * second) * GB)) for second in range(1500))
    assert drift.still_since_s == 0
    moved = series_of([*still(20, 100), *still(21, 100, start=100)])
    assert moved.still_since_s == 100


def test_caution_moves_what_is_not_yet_seen():
    samples = still(20, 1500)
    one, two = (told(series_of(samples, Rules(caution=caution))).soon_bytes - 20 * GB for caution in (1, 2))
    assert two == pytest.approx(2 * one)


def test_a_job_that_cannot_yield_sees_windows_as_long_as_itself():
    samples = [(60.0 * minute, (30 if minute % 120 == 60 else 20) * GB) for minute in range(1440)]
    series = series_of(samples)
    assert series.window_peak_bytes(2 * HOUR) == 30 * GB
    assert series.window_peak_bytes(60) == 20 * GB
    # Too little is known for a day.
    assert series.window_peak_bytes(24 * HOUR) == 30 * GB


def test_a_day_is_kept_and_no_more():
    series = series_of((60.0 * minute, (40 if minute == 0 else 20) * GB) for minute in range(1600))
    assert series.peak_bytes == 40 * GB
    assert series.window_peak_bytes(60) == 20 * GB
    highest = Rules(later_quantile=1.0)
    kept = series_of(((60.0 * minute, (40 if minute == 0 else 20) * GB) for minute in range(1600)), highest)
    assert kept.window_peak_bytes(60) == 20 * GB


def test_within_a_minute_the_highest_counts():
    highest = Rules(later_quantile=1.0)
    series = series_of([(0.0, 20), (10.0, 30), (20.0, 10), (60.0, 5)], highest)
    assert series.window_peak_bytes(60) == 30


def test_a_sample_that_is_not_newer_is_left_out():
    series = series_of([(5.0, 10), (5.0, 99), (4.0, 99)])
    assert (series.used_bytes, series.peak_bytes, series.at_s) == (10, 10, 5.0)


def test_a_service_without_a_sample_has_no_forecast():
    with pytest.raises(ValueError, match="without a sample"):
        told(Series())


def test_what_comes_later_changes_nothing():
    samples = ramp(20, 0.01, 400)
    series, seen = Series(), []
    for at_s, used in samples:
        series.add(at_s, used)
        seen.append(outlook_bytes(series, now_s=at_s, yield_s=10))
    again = series_of(samples[:200])
    assert outlook_bytes(again, now_s=again.at_s, yield_s=10) == seen[199]
