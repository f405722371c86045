"""The assignment of keys: the same everywhere and for ever, monotone, even, and another one in each deployment."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.registry.routing import ALL, Split, chooser, chosen, limit, share

OLD, NEW = "v1.0.0", "v1.0.1"


def split(percentage, salt=7, **more):
    return Split(model="m", champion=OLD, candidate=NEW, percentage=percentage, salt=salt, **more)


def got_new(percentage, salt, keys):
    choose = chooser(split(percentage, salt))
    return [choose(key) == NEW for key in keys]


KEYS = [f"user-{number}" for number in range(20_000)]


@pytest.mark.parametrize(
    ("key", "digest"),
    [
        ("", 10464923555624353464),
        ("user-1", 5115668431000630912),
        ("ä", 3020860358093922644),
        (b"\x00\xff", 13075429335210278419),
        ("\ud800", 14730564176295224484),
    ],
)
def test_a_key_has_the_place_that_xxh3_gives_it_for_ever(key, digest):
    place = digest / ALL * 100
    assert chosen(split(place + 1e-9), key) == NEW
    assert chosen(split(place - 1e-9), key) == OLD


def test_a_text_and_its_bytes_are_one_key():
    assert [chosen(split(50), key) for key in KEYS[:100]] == [chosen(split(50), key.encode()) for key in KEYS[:100]]


@pytest.mark.no_cover
@given(st.text() | st.binary(), st.integers(0, 2**64 - 1), st.floats(0, 100), st.floats(0, 100))
def test_a_key_that_has_the_candidate_keeps_it_while_the_percentage_grows(key, salt, one, other):
    low, high = sorted((one, other))
    if chosen(split(low, salt), key) == NEW:
        assert chosen(split(high, salt), key) == NEW


def test_nobody_gets_the_candidate_at_0_and_everybody_at_100():
    assert not any(got_new(0, 7, KEYS))
    assert all(got_new(100, 7, KEYS))
    assert (limit(0), limit(50), limit(100)) == (0, ALL // 2, ALL)


@pytest.mark.parametrize("percentage", [-0.1, 100.1, float("nan")])
def test_no_other_percentage_is_one(percentage):
    with pytest.raises(ValueError, match="0 to 100"):
        limit(percentage)


def test_keys_are_spread_evenly():
    # Chi-square of 20 equal parts: 43.8 is passed once in a thousand times.
    shares = [sum(got_new(percentage, 11, KEYS)) for percentage in range(0, 105, 5)]
    parts = [high - low for low, high in itertools.pairwise(shares)]
    expected = len(KEYS) / 20
    assert sum((part - expected) ** 2 / expected for part in parts) < 43.8
    assert sum(parts) == len(KEYS)


@pytest.mark.parametrize("salts", [(1, 2), (0, 1 << 63), (12345, 12345 ^ 1), (3, 2**64 - 1)])
@pytest.mark.parametrize("percentage", [10, 50])
def test_two_deployments_choose_their_keys_independently(salts, percentage):
    # Chi-square of independence with one degree of freedom: 10.8 is passed once in a thousand times.
    pairs = list(zip(*(got_new(percentage, salt, KEYS) for salt in salts), strict=True))
    seen = {cell: pairs.count(cell) for cell in itertools.product([False, True], repeat=2)}
    total = 0.0
    for (one, other), count in seen.items():
        row, column = (sum(seen[cell] for cell in seen if cell[at] == side) for at, side in ((0, one), (1, other)))
        expected = row * column / len(KEYS)
        total += (count - expected) ** 2 / expected
    assert total < 10.8


def test_without_a_candidate_and_in_a_shadow_the_champion_answers():
    alone = Split(model="m", champion=OLD, percentage=100)
    assert [chosen(one, "key") for one in (alone, split(100, shadow=True))] == [OLD, OLD]
    assert [share(one) for one in (alone, split(40, shadow=True), split(40))] == [0, 0, 40]


@pytest.mark.parametrize("percentage", [0, 50, 100])
def test_a_key_of_another_type_is_refused_before_it_could_matter(percentage):
    with pytest.raises(TypeError):
        chosen(split(percentage), 42)
