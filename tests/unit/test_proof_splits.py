"""What is held out depends on the item and on nothing else."""

import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.proof.splits import choose_held_out, fold_of, hold_out_newest, position

IDS = [f"item {number}" for number in range(2_000)]
names = st.lists(st.text(max_size=8), unique=True, min_size=1, max_size=60)


def test_positions_are_the_same_for_ever():
    # Frozen: another hash would move items between the sides of every project.
    assert position("The Apartment", salt="") == pytest.approx(0.09809313975307177, abs=1e-15)
    assert fold_of("The Apartment", folds=5) == 0
    assert fold_of("Casablanca", folds=5) == 1


def test_positions_are_spread_evenly():
    counts = Counter(int(position(name, salt="s") * 10) for name in IDS)
    assert sorted(counts) == list(range(10))
    assert all(140 <= count <= 260 for count in counts.values())


def test_salt_purpose_and_key_do_not_run_together():
    places = {
        position("c", salt="ab"),
        position("bc", salt="a"),
        position("c", salt="ab", purpose="fold"),
        position("abc", salt=""),
        position("c", salt="b", purpose="held outa"),
    }
    assert len(places) == 5


def test_the_share_is_held_out_and_nothing_is_lost():
    split = choose_held_out(IDS, share=0.2)
    assert 340 <= len(split.held_out) <= 460
    assert sorted(split.train + split.held_out) == sorted(IDS)
    assert not set(split.train) & set(split.held_out)
    assert split.threshold == 0.2
    assert len(choose_held_out(IDS, share=0.4).held_out) > 700


@settings(deadline=None)
@given(names, st.randoms(use_true_random=False), st.integers(0, 70))
def test_the_order_of_the_items_does_not_matter(ids, source, minimum):
    shuffled = list(ids)
    source.shuffle(shuffled)
    assert choose_held_out(ids, minimum=minimum) == choose_held_out(shuffled, minimum=minimum)


@settings(deadline=None)
@given(names, names)
def test_no_item_changes_sides_when_others_join(first, second):
    more = first + [name for name in second if name not in first]
    before, after = choose_held_out(first, share=0.3), choose_held_out(more, share=0.3)
    assert set(before.held_out) <= set(after.held_out)
    assert set(before.train) <= set(after.train)


@settings(deadline=None)
@given(names, names, st.integers(0, 40))
def test_with_a_minimum_no_item_that_was_trained_on_is_held_out_later(first, second, minimum):
    more = first + [name for name in second if name not in first]
    before, after = choose_held_out(first, minimum=minimum), choose_held_out(more, minimum=minimum)
    assert not set(before.train) & set(after.held_out)
    assert {name for name in first if position(name, salt="") < 0.2} <= set(after.held_out)


@pytest.mark.parametrize("minimum", [1, 5, 30])
def test_the_minimum_is_held_out_where_the_data_has_it(minimum):
    split = choose_held_out(IDS[:100], share=1e-5, minimum=minimum)
    assert len(split.held_out) == minimum
    assert 1e-5 < split.threshold <= 0.5


def test_the_threshold_lies_just_above_the_last_item_that_is_needed():
    place = position("The Apartment", salt="")
    split = choose_held_out(["The Apartment"], share=0.01, minimum=1)
    assert split.held_out == ("The Apartment",)
    assert place < split.threshold < place + 1e-15


def test_the_minimum_never_lowers_the_share():
    assert choose_held_out(IDS, share=0.2, minimum=3).threshold == 0.2


def test_at_most_about_half_is_held_out():
    for minimum in (99, 100, 101, 5_000):
        split = choose_held_out(IDS[:100], share=0.1, minimum=minimum)
        assert split.threshold == 0.5
        assert 30 <= len(split.held_out) <= 70


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(), st.integers(0, 9)), unique_by=lambda pair: pair[0], max_size=60),
    st.integers(0, 30),
)
def test_a_group_never_straddles_the_sides(pairs, minimum):
    ids, groups = [str(name) for name, _ in pairs], [str(group) for _, group in pairs]
    split = choose_held_out(ids, groups=groups, minimum=minimum)
    group_of = dict(zip(ids, groups, strict=True))
    assert not {group_of[name] for name in split.train} & {group_of[name] for name in split.held_out}


def test_groups_decide_and_ids_do_not():
    one = choose_held_out(["a", "b", "c"], groups=["x", "y", "z"], share=0.5)
    other = choose_held_out(["d", "e", "f"], groups=["x", "y", "z"], share=0.5)
    renamed = dict(zip("abc", "def", strict=True))
    assert tuple(renamed[name] for name in one.held_out) == other.held_out


def test_another_salt_is_another_split():
    assert choose_held_out(IDS, salt="a") != choose_held_out(IDS, salt="b")


def test_nothing_can_be_split():
    split = choose_held_out([])
    assert (split.train, split.held_out) == ((), ())


def test_text_that_is_no_unicode_has_a_position():
    assert 0 <= position("\ud800", salt="") < 1


def test_folds_are_even_and_independent_of_what_is_held_out():
    train = choose_held_out(IDS, share=0.5).train
    counts = Counter(fold_of(name, folds=5) for name in train)
    assert sorted(counts) == [0, 1, 2, 3, 4]
    assert all(150 <= count <= 260 for count in counts.values())


def test_another_salt_gives_other_folds():
    assert [fold_of(name, folds=5, salt="a") for name in IDS[:50]] != [fold_of(name, folds=5) for name in IDS[:50]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ids": ["a", "b", "a"]}, "ids must be unique, got 'a' 2 times"),
        ({"ids": ["a", "b"], "groups": ["x"]}, "groups must name one group for each of the 2 ids, got 1"),
        ({"ids": ["a"], "share": 0}, "share must be above 0 and at most 0.5, got 0"),
        ({"ids": ["a"], "share": 0.51}, "share must be above 0 and at most 0.5, got 0.51"),
        ({"ids": ["a"], "minimum": -1}, "minimum must not be negative, got -1"),
    ],
)
def test_what_cannot_be_split_is_refused(arguments, message):
    with pytest.raises(UserMistake, match=f"^{re.escape(message)}$"):
        choose_held_out(**arguments)


def test_half_may_be_held_out_on_request():
    assert choose_held_out(IDS, share=0.5).threshold == 0.5


def test_two_folds_are_the_fewest():
    assert {fold_of(name, folds=2) for name in IDS[:20]} == {0, 1}
    with pytest.raises(UserMistake, match=r"^folds must be at least 2, got 1$"):
        fold_of("a", folds=1)


# -- by time

instants_ = st.lists(st.tuples(st.integers(0, 50), st.integers(0, 20)), min_size=2, max_size=80)


@given(instants_, st.sampled_from([0.1, 0.2, 0.5]), st.integers(0, 30))
def test_the_newest_are_held_out_groups_stay_together_and_no_more_than_half_goes(drawn, share, minimum):
    ids = [f"i{place}" for place in range(len(drawn))]
    groups, instants = [f"g{group}" for _, group in drawn], [float(at) for at, _ in drawn]
    try:
        split = hold_out_newest(ids, instants, groups=groups, share=share, minimum=minimum)
    except UserMistake as error:
        assert "more than half" in str(error)
        return
    at, group = dict(zip(ids, instants, strict=True)), dict(zip(ids, groups, strict=True))
    assert sorted([*split.train, *split.held_out]) == sorted(ids)
    assert 0 < len(split.held_out) <= len(ids) / 2
    assert all(at[name] < split.since for name in split.train), "nothing that is trained on is newer"
    assert not {group[name] for name in split.train} & {group[name] for name in split.held_out}
    newest = {name: max(at[other] for other in ids if group[other] == group[name]) for name in ids}
    assert all(newest[name] >= split.since for name in split.held_out)


def test_the_share_or_the_minimum_of_the_newest_is_held_out():
    ids = [f"{place:03}" for place in range(100)]
    instants = [float(place) for place in range(100)]
    assert hold_out_newest(ids, instants).held_out == tuple(ids[80:])
    assert hold_out_newest(ids, instants, minimum=30).held_out == tuple(ids[70:])
    assert hold_out_newest(ids, instants, minimum=1000).held_out == tuple(ids[50:])
    assert hold_out_newest(ids, instants).since == 80.0
    assert hold_out_newest([], []).held_out == ()


def test_instants_that_do_not_fit_the_ids_are_refused():
    with pytest.raises(UserMistake, match="one instant for each of the 2 ids, got 1"):
        hold_out_newest(["a", "b"], [1.0])
    with pytest.raises(UserMistake, match="hold out by hash instead"):
        hold_out_newest(["a", "b", "c"], [1.0, 1.0, 0.0])
    with pytest.raises(UserMistake, match="ids must be unique"):
        hold_out_newest(["a", "a"], [1.0, 2.0])
