"""Rates, times left and curves of coverage follow from what was counted, and are None where nothing was."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as some

from overnight.campaigns.figures import MOST_POINTS, Domain, Figures, by_chance, curve, needed_for, per_second, thinned

NOTHING = Figures(
    target=100,
    domains=(),
    judged_by_quality=[0] * 20,
    accepted_by_quality=[0] * 20,
    unmeasured=0,
    spreads={},
    first_us=None,
    last_us=None,
    rate=None,
    rate_in_all=None,
    deciles=(),
    coverage=[(0, 0)],
)


def domain(name="code", *, accepted=0, **refused):
    reasons = {reason.replace("_", " "): count for reason, count in refused.items()}
    return Domain(
        name=name, allocation=None, judged=accepted + sum(reasons.values()), accepted=accepted, reasons=reasons
    )


def test_a_rate_needs_time_that_has_passed():
    assert per_second(5, 2_000_000) == 2.5
    assert per_second(0, 2_000_000) == 0.0
    assert per_second(5, 0) is None
    assert per_second(5, -1) is None


@pytest.mark.parametrize(
    ("accepted", "rate", "left"),
    [(40, 2.0, 30.0), (40, 0.0, None), (40, None, None), (100, None, 0.0), (120, 1.0, 0.0)],
)
def test_the_time_left_follows_from_what_is_missing_and_the_rate(accepted, rate, left):
    assert replace(NOTHING, domains=[domain(accepted=accepted)], rate=rate).left_s == left


def test_what_is_refused_without_a_fault_is_told_from_what_has_one():
    one = domain(accepted=5, near_duplicate=2, quality_too_low=1, wrong_answer=4, too_long=3)
    assert (one.judged, one.without_a_fault) == (15, 8)
    both = replace(NOTHING, domains=[one, domain("sql", accepted=1)])
    assert (both.judged, both.without_a_fault, both.accepted) == (16, 9, 6)
    assert NOTHING.most_of_one == 0


def test_cells_are_counted_at_the_instant_of_their_first_accepted_sample():
    points = curve([(10, 4), (20, 6), (30, 5)], firsts=[10, 30, 10])
    assert points == [(0, 0), (4, 2), (10, 2), (15, 3)]
    assert [needed_for(points, cells) for cells in (0, 1, 2, 2.7, 3, 4)] == [0, 4, 4, 15, 15, None]
    assert needed_for([], 0) is None


instants = some.lists(some.tuples(some.integers(1, 50), some.integers(1, 9)), unique_by=lambda one: one[0]).map(sorted)


@given(judged=instants, share=some.lists(some.floats(0, 1), max_size=40))
def test_a_curve_only_rises_and_ends_with_all_that_was_judged_and_every_cell(judged, share):
    firsts = [judged[round(one * (len(judged) - 1))][0] for one in share] if judged else []
    points = curve(judged, firsts)
    assert points[0] == (0, 0)
    assert points[-1] == (sum(count for _, count in judged), len(firsts))
    assert points == sorted(points) == list(zip(*map(sorted, zip(*points, strict=True)), strict=True))


@given(steps=some.lists(some.tuples(some.integers(1, 3), some.integers(0, 2)), max_size=60), most=some.integers(2, 70))
def test_thinning_keeps_both_ends_and_all_that_a_line_through_the_points_says_while_there_is_room(steps, most):
    points = [(0, 0)]
    for judged, cells in steps:
        points.append((points[-1][0] + judged, points[-1][1] + cells))
    kept = thinned(points, most)
    assert len(kept) <= most
    assert [kept[0], kept[-1]] == [points[0], points[-1]]
    assert set(kept) <= set(points)
    whole = thinned(points, 100)
    for cells in {cells for _, cells in points}:
        assert needed_for(whole, cells) == needed_for(points, cells)


def test_a_long_curve_has_no_more_points_than_a_plot_shows():
    assert len(curve([(at, 1) for at in range(5000)], firsts=range(5000))) == MOST_POINTS


def test_what_is_expected_of_chance_is_what_chance_gives_on_average():
    draw = Random(3)
    cells = [("a", 40, round(40 * rate)) for rate in (0.05, 0.3, 0.9, 0.0)] + [("b", 20, 10)] * 6
    points = by_chance(cells)
    assert points[0] == (0, 0) and points[-1][0] == 280 and points == sorted(points)
    for place in (60, 120, -1):
        part = points[place][0] / 280
        found = [covered_by_drawing(cells, part, draw) for _ in range(2000)]
        mean, told = sum(found) / len(found), points[place][1]
        assert told <= mean + 0.1 and mean < told + 1.2, (part, told, mean)
    assert by_chance([]) == []


def covered_by_drawing(cells, part, draw):
    covered = 0
    for domain in ("a", "b"):
        some = [accepted / judged for name, judged, accepted in cells if name == domain]
        candidates = round(part * sum(judged for name, judged, _ in cells if name == domain))
        drawn = [draw.randrange(len(some)) for _ in range(candidates)]
        covered += len({place for place in drawn if draw.random() < some[place]})
    return covered


def test_chance_does_as_well_where_there_is_one_cell():
    assert by_chance([("a", 30, 30)])[-1] == (30, 1)
