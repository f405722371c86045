"""Which cells of a campaign's space the next candidates are asked from."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.campaigns.acquisition import DRY, Cell, ask


def test_candidates_go_where_accepted_ones_are_missing():
    cells = [Cell(name="full", judged=20, accepted=20), Cell(name="half", judged=10, accepted=10), Cell(name="new")]
    asked = ask(cells, 60, 30)
    assert sum(asked.values()) == 30
    assert asked["new"] > asked["half"] > asked.get("full", 0)
    assert set(ask(cells, 60, 10)) == {"new"}
    # One of which half is refused needs twice as many.
    asked = ask([Cell(name="good", judged=98, accepted=98), Cell(name="poor", judged=196, accepted=98)], 1000, 300)
    assert asked["poor"] / asked["good"] == pytest.approx(2, rel=0.05)


def test_no_more_is_asked_for_than_is_missing():
    cells = [Cell(name="a", judged=100, accepted=99)]
    assert sum(ask(cells, 109, 50).values()) in range(10, 13)
    assert ask(cells, 99, 50) == {}
    assert ask([Cell(name="a", judged=98, accepted=98, asked=11)], 108, 50) == {}, "they are being made"
    assert ask([], 10, 5) == {}


def test_a_cell_that_gives_nothing_is_left_as_long_as_others_give_something():
    dry, live = Cell(name="dry", judged=DRY, dry=DRY), Cell(name="live", judged=10, accepted=10)
    assert set(ask([dry, live], 100, 20)) == {"live"}
    assert set(ask([dry], 100, 20)) == {"dry"}, "there is no other"
    over = Cell(name="over", judged=5, accepted=5, over=True)
    assert set(ask([over, live], 100, 20)) == {"live"}
    assert ask([over], 100, 20) == {}


@pytest.mark.parametrize("seed", range(5))
def test_nine_tenths_of_the_cells_are_covered_with_far_fewer_candidates_than_by_chance(seed):
    draw = Random(seed)
    rates = {f"cell {number}": draw.uniform(0.2, 0.9) for number in range(100)}

    def needed(choose):
        state = dict.fromkeys(rates, (0, 0, 0))
        count = 0
        while sum(accepted > 0 for _, accepted, _ in state.values()) < 90:
            for name in choose(state):
                judged, accepted, dry = state[name]
                good = draw.random() < rates[name]
                state[name] = (judged + 1, accepted + good, 0 if good else dry + 1)
                count += 1
        return count

    def by_need(state):
        cells = [Cell(name=name, judged=j, accepted=a, dry=d) for name, (j, a, d) in state.items()]
        return [name for name, number in ask(cells, 1000, 10).items() for _ in range(number)]

    mine, chance = needed(by_need), needed(lambda state: draw.choices(list(state), k=10))
    assert mine <= 0.7 * chance, (mine, chance)


@given(st.data())
def test_a_campaign_reaches_its_target_whatever_its_cells_are_like(data):
    rates = data.draw(st.lists(st.sampled_from([0.0, 0.1, 0.5, 1.0]), min_size=1, max_size=6))
    limits = [data.draw(st.integers(0, 40)) for _ in rates]
    draw = Random(data.draw(st.integers(0, 100)))
    cells = [Cell(name=str(number)) for number in range(len(rates))]
    target = 30
    for _ in range(400):
        asked = ask(cells, target, 8)
        if not asked:
            break
        after = []
        for cell, rate, limit in zip(cells, rates, limits, strict=True):
            judged, accepted, dry = cell.judged, cell.accepted, cell.dry
            for _ in range(asked.get(cell.name, 0)):
                good = accepted < limit and draw.random() < rate
                judged, accepted, dry = judged + 1, accepted + good, 0 if good else dry + 1
            over = judged > 400 or (accepted >= limit and dry > DRY)
            after.append(Cell(name=cell.name, judged=judged, accepted=accepted, dry=dry, over=over))
        cells = after
    reached = sum(cell.accepted for cell in cells)
    possible = sum(limit for limit, rate in zip(limits, rates, strict=True) if rate)
    assert reached >= min(target, possible) * 0.8 or all(cell.over for cell in cells)
    assert reached <= target + 8
