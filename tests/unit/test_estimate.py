"""What a job will take, from what earlier ones took."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.training.estimate import Recorded, duration_s, memory_gb

TWO = [
    Recorded(items=1000, epochs=10, seconds=12.0, peak_memory_gb=0.3),
    Recorded(items=4000, epochs=10, seconds=42.0, peak_memory_gb=0.6),
]


@pytest.mark.parametrize("known", [[], TWO[:1]])
def test_nothing_is_estimated_before_two_jobs_were_recorded(known):
    assert duration_s(known, items=1000, epochs=10) is None
    assert memory_gb(known, items=1000) is None


def test_memory_that_was_not_measured_does_not_count():
    assert memory_gb([TWO[0], Recorded(items=5, epochs=1, seconds=1.0)], items=1000) is None


def test_the_estimate_is_on_the_line_through_what_was_recorded():
    found = duration_s(TWO, items=2000, epochs=10)
    assert found.value == pytest.approx(22.0)
    assert found.runs == 2
    assert memory_gb(TWO, items=2000).value == pytest.approx(0.4)


def test_it_moves_with_the_number_of_items_and_epochs():
    base = duration_s(TWO, items=2000, epochs=10).value
    assert duration_s(TWO, items=8000, epochs=10).value > 2 * base
    assert duration_s(TWO, items=2000, epochs=40).value > 2 * base
    assert memory_gb(TWO, items=16_000).value > 2 * memory_gb(TWO, items=2000).value


def test_jobs_of_one_size_tell_the_cost_of_an_item():
    same = [Recorded(items=100, epochs=10, seconds=9.0), Recorded(items=100, epochs=10, seconds=11.0)]
    assert duration_s(same, items=300, epochs=10).value == pytest.approx(30.0)


def test_few_items_need_no_less_memory_than_was_ever_seen():
    assert memory_gb(TWO, items=1).value == pytest.approx(0.3)


def test_a_line_that_falls_is_not_believed():
    falling = [Recorded(items=10, epochs=1, seconds=9.0), Recorded(items=100, epochs=1, seconds=5.0)]
    assert duration_s(falling, items=1000, epochs=1).value == pytest.approx(7.0)


def test_a_line_that_would_start_below_nothing_goes_through_nothing():
    steep = [Recorded(items=10, epochs=1, seconds=1.0), Recorded(items=20, epochs=1, seconds=10.0)]
    assert duration_s(steep, items=5, epochs=1).value > 0


def test_the_error_is_what_the_method_misses_on_runs_that_it_has_not_seen():
    exact = [Recorded(items=n, epochs=2, seconds=3.0 * n) for n in (10, 20, 40)]
    assert duration_s(exact, items=30, epochs=2).error_share == pytest.approx(0.0)
    noisy = [*exact, Recorded(items=30, epochs=2, seconds=180.0)]
    assert duration_s(noisy, items=30, epochs=2).error_share > 0.2


def test_runs_that_took_no_time_do_no_harm():
    nothing = [Recorded(items=0, epochs=1, seconds=0.0), Recorded(items=0, epochs=1, seconds=0.0)]
    assert duration_s(nothing, items=10, epochs=1).value == 0.0


@given(
    st.lists(st.tuples(st.integers(1, 10_000), st.integers(1, 100), st.floats(0.1, 1e5)), min_size=2, max_size=8),
    st.integers(1, 10_000),
    st.integers(1, 100),
)
def test_an_estimate_is_never_negative_and_never_falls_with_more_work(known, items, epochs):
    runs = [Recorded(items=i, epochs=e, seconds=s, peak_memory_gb=s) for i, e, s in known]
    less, more = duration_s(runs, items=items, epochs=epochs), duration_s(runs, items=items, epochs=epochs + 1)
    assert 0 <= less.value <= more.value * (1 + 1e-9)
    assert 0 <= memory_gb(runs, items=items).value <= memory_gb(runs, items=2 * items).value * (1 + 1e-9)
