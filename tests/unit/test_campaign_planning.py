"""Which candidates of a campaign are made next, and that a crash leaves none out and makes none twice."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.campaigns.planning import NOTHING, WINDOW, DomainPlan, Known, neediest, pilot_shares, seed_of, shares


def known(numbers, accepted=(), pilot=0):
    """What a ledger would say of a cell in which these numbers were judged."""
    newest = max(numbers)
    return Known(
        judged=len(numbers),
        accepted=len(accepted),
        pilot=pilot,
        dry=sum(1 for number in numbers if number > max(accepted, default=-1)),
        next_number=newest + 1,
        newest=[number for number in numbers if number > newest - WINDOW],
    )


def plan(counts, before=None, target=1000.0, **more):
    return DomainPlan(counts, before or {}, target=target, **more)


def see_through(one, accept, order=8):
    """Make, judge and write all that is asked for."""
    made = []
    while pairs := one.ask(order):
        for cell, number in pairs:
            if one.made(cell, number):
                one.judge(cell, accepted=accept(cell, number))
                made.append((cell, number))
            one.written(cell, number)
    return made


@given(st.data(), st.integers(1, 4), st.integers(1, 300))
def test_wherever_it_is_killed_no_number_is_left_out_and_none_is_made_twice(data, cells, steps):
    one = plan({f"c{place}": None for place in range(cells)})
    asked, written = [], {}
    for _ in range(steps):
        asked += one.ask(data.draw(st.integers(1, 40)))
        for _ in range(data.draw(st.integers(0, 40)) if asked else 0):
            if not asked:
                break
            cell, number = asked.pop(data.draw(st.integers(0, len(asked) - 1)))
            one.made(cell, number)
            one.judge(cell, accepted=True)
            one.written(cell, number)
            written.setdefault(cell, set()).add(number)
    # Killed: what was written is all that the next one is told.
    after = plan(
        {f"c{place}": None for place in range(cells)},
        {cell: known(sorted(numbers), sorted(numbers)) for cell, numbers in written.items()},
        target=len([1 for numbers in written.values() for _ in numbers]) + 200.0,
    )
    again = see_through(after, lambda cell, number: True)
    assert not [(cell, number) for cell, number in again if number in written.get(cell, ())]
    for cell, numbers in written.items():
        there = numbers | {number for name, number in again if name == cell}
        assert there >= set(range(min(max(numbers), max(there)) + 1)), "no gap is left"


def test_a_target_is_met_exactly_and_what_comes_later_is_not_judged():
    one = plan({"a": None, "b": None}, target=50)
    pairs = one.ask(60)
    assert 50 <= len(pairs) <= 60 or one.share >= 1
    judged = 0
    while not one.full:
        for cell, number in pairs or one.ask(8):
            if one.made(cell, number):
                one.judge(cell, accepted=True)
                judged += 1
            one.written(cell, number)
        pairs = []
    assert one.accepted == judged == 50
    assert one.ask(8) == []


def test_of_a_pilot_candidates_count_and_not_accepted_ones():
    one = plan({"a": None}, target=math.inf, most=30)
    assert len(see_through(one, lambda cell, number: number % 3 == 0)) == 30
    assert (one.full, one.judged, one.accepted) == (True, 30, 10)


def test_a_larger_pilot_goes_on_beside_what_was_made_since():
    before = {"a": known(list(range(100)), list(range(100)), pilot=20)}
    one = plan({"a": None}, before, target=math.inf, most=30, pilot=True)
    assert see_through(one, lambda *_: True) == [("a", number) for number in range(100, 110)]


def test_cells_that_have_no_numbers_left_make_it_dry():
    one = plan({"a": 5, "b": 3}, target=100)
    assert len(see_through(one, lambda *_: True)) == 8
    assert (one.dry, one.full) == (True, False)


def test_a_cell_without_an_end_that_gives_nothing_any_more_is_left():
    one, asked = plan({"a": None, "b": None}, target=100), 0
    while pairs := one.ask(64):
        asked += len(pairs)
        assert asked < 3 * NOTHING, "it asks for ever"
        for cell, number in pairs:
            one.made(cell, number)
            if cell == "a" and number < 30:
                one.judge(cell, accepted=True)
            else:
                one.none(cell)
            one.written(cell, number)
    assert (one.accepted, one.dry) == (30, True)
    assert asked >= 2 * NOTHING


def test_by_chance_the_same_seed_gives_the_same_candidates_and_they_meet_the_target_too():
    first, second, other = (
        see_through(plan({"a": None, "b": None}, target=40, random=Random(seed)), lambda *_: True) for seed in (1, 1, 2)
    )
    assert first == second != other
    assert len(first) == 40


def test_who_goes_on_by_chance_does_not_draw_the_first_cells_again():
    before = {"a": known(range(30)), "b": known(range(10))}
    first, same, later = (seed_of(1, "sums", one) for one in ({}, {}, before))
    assert first == same != later
    assert seed_of(2, "sums", {}) != first != seed_of(1, "sql", {})


def test_by_chance_no_more_is_asked_for_than_there_is_or_is_wanted():
    dry = plan({"a": 3}, random=Random(1))
    assert len(dry.ask(10)) == 3
    few = plan({"a": None}, target=2, random=Random(1))
    assert len(few.ask(20)) < 20
    assert few.share >= 1


def test_what_is_full_wants_nothing():
    one = plan({"a": None}, target=1)
    assert len(see_through(one, lambda *_: True)) == 1
    assert one.share == 1.0


def test_the_domain_that_lacks_the_largest_share_is_next():
    plans = {"a": plan({"x": None}, target=100), "b": plan({"x": None}, target=10)}
    assert neediest(plans, ["a", "b"]) in ("a", "b")
    pairs = plans["b"].ask(8)
    assert neediest(plans, ["a", "b"]) == "a"
    for cell, number in pairs:
        plans["b"].made(cell, number)
        plans["b"].judge(cell, accepted=False)
        plans["b"].written(cell, number)
    plans["a"].ask(8)
    assert neediest(plans, ["a", "b"]) == "b", "nothing came of what was made"
    assert neediest(plans, []) is None


def test_a_pilot_that_was_begun_by_other_targets_does_not_grow():
    targets = {"a": 15, "b": 8, "c": 4}
    first = shares({"a": 1, "b": 1, "c": 1}, 30)
    after = pilot_shares(targets, 30, {**first, "c": 3})
    assert (sum(after.values()), after["b"], after["c"] >= 3) == (30, 10, True)
    assert pilot_shares(targets, 30, {}) == shares(targets, 30)
    assert sum(pilot_shares(targets, 10, first).values()) == 30, "it was larger, and what was judged stays"


@pytest.mark.parametrize(("targets", "total"), [({"a": 1}, 7), ({"a": 15, "b": 8, "c": 4, "d": 6, "e": 1}, 190)])
def test_shares_sum_up_to_the_whole_and_are_within_one_of_the_exact_ones(targets, total):
    found = shares(targets, total)
    assert sum(found.values()) == total
    for name, target in targets.items():
        assert abs(found[name] - total * target / sum(targets.values())) < 1
