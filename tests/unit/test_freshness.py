"""Fresh, not modified, cache, missing: in this order, and never something older than it is called."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.data.freshness import DAY_US, HOUR_US, Standing, Status, standing

NOW = 1_000 * DAY_US


def stands(**changes):
    known = {"failed": False, "changed": True, "checked_us": None, "now_us": NOW, "keep_days": 30.0, "force": False}
    return standing(**{**known, **changes})


def test_a_source_that_answers_is_fresh_or_not_modified():
    assert stands() == Standing(status=Status.FRESH)
    assert stands(changed=False) == Standing(status=Status.NOT_MODIFIED)


@pytest.mark.parametrize(
    ("age_us", "status"),
    [(HOUR_US, Status.CACHE), (30 * DAY_US, Status.CACHE), (30 * DAY_US + 1, Status.MISSING), (-5, Status.CACHE)],
)
def test_one_that_fails_is_stood_in_for_by_what_it_gave_as_long_as_that_is_kept(age_us, status):
    found = stands(failed=True, checked_us=NOW - age_us)
    assert found.status is status
    assert found.age_s == (max(0, age_us) / 1_000_000 if status is Status.CACHE else 0)


def test_one_that_fails_and_never_answered_is_missing():
    assert stands(failed=True).status is Status.MISSING


def test_who_asks_with_force_is_given_nothing_older():
    assert stands(failed=True, checked_us=NOW, force=True).status is Status.MISSING
    assert stands(force=True, checked_us=NOW).status is Status.FRESH


@pytest.mark.parametrize(("age_h", "stale"), [(0, False), (24, False), (24.01, True)])
def test_what_is_older_than_a_day_is_stale(age_h, stale):
    assert Standing(status=Status.CACHE, age_s=age_h * 3600).stale(24) is stale


def test_what_was_fresh_grows_old():
    assert Standing(status=Status.FRESH).later(25 * 3600).stale(24)
    assert Standing(status=Status.FRESH).later(-5).age_s == 0


def test_what_is_missing_is_stale():
    assert Standing(status=Status.MISSING).stale(24)


@given(st.booleans(), st.booleans(), st.none() | st.integers(0, NOW), st.booleans())
def test_a_failure_is_never_called_an_answer(failed, changed, checked_us, force):
    found = stands(failed=failed, changed=changed, checked_us=checked_us, force=force)
    assert (found.status in (Status.FRESH, Status.NOT_MODIFIED)) is not failed
