"""Regions of what a domain has: found in its texts, and filled evenly by asking the cells that reach them."""

from collections import Counter
from random import Random

import numpy as np
import pytest

from overnight.campaigns.acquisition import Cell, ask
from overnight.campaigns.regions import FROM, LAST, REGIONS, Regions, centres_of, hashed

TOPICS = 40
WORDS = {topic: [f"{chr(97 + topic % 26)}{topic}{place}" for place in range(6)] for topic in range(TOPICS)}


def text(topic, draw):
    return " ".join(draw.choices(WORDS[topic], k=10) + draw.choices(["the", "of", "a", "to", "in", "and"], k=6))


def topic_of(cell, draw):
    """Most cells give of the same few topics; each of the others has some that it alone gives."""
    if cell < 16:
        return draw.randrange(8)
    return 8 + (cell - 16) * 8 + draw.randrange(8)


CELLS = 20


def needed(seed, choose):
    """Return how many candidates it takes until nine tenths of the topics have ten samples each."""
    draw = Random(seed)
    counts, judged, candidates = Counter(), Counter(), 0
    regions = Regions(seed)
    while sum(count >= 10 for count in counts.values()) < 0.9 * TOPICS:
        assert candidates < 5000, "it does not get there"
        cells = [Cell(name=str(cell), judged=judged[cell], accepted=judged[cell]) for cell in range(CELLS)]
        for name in choose(regions, cells, draw):
            cell = int(name)
            topic = topic_of(cell, draw)
            judged[cell] += 1
            counts[topic] += 1
            candidates += 1
            regions.add(name, text(topic, draw))
    return candidates


def listed(asked):
    return [name for name, count in asked.items() for _ in range(count)]


@pytest.mark.no_cover
@pytest.mark.parametrize("seed", range(5))
def test_rare_regions_are_filled_with_far_fewer_candidates_than_by_chance_or_by_cells_alone(seed):
    mine = needed(seed, lambda regions, cells, _: listed(regions.ask(cells, 10_000, 8)))
    by_cells = needed(seed, lambda _, cells, __: listed(ask(cells, 10_000, 8)))
    by_chance = needed(seed, lambda _, cells, draw: [draw.choice(cells).name for _ in range(8)])
    assert mine <= 0.7 * by_chance, (mine, by_chance)
    assert mine <= 0.7 * by_cells, (mine, by_cells)


def test_texts_of_one_topic_lie_in_few_regions_and_hardly_with_those_of_others():
    draw = Random(1)
    topics = [draw.randrange(TOPICS) for _ in range(600)]
    words = np.stack([hashed(text(topic, draw)) for topic in topics])
    points = words / np.linalg.norm(words, axis=1, keepdims=True)
    centres = centres_of(points, REGIONS, draw)
    nearest = ((points[:, None] - centres[None]) ** 2).sum(axis=2).argmin(axis=1)
    purest = sum(Counter(np.array(topics)[nearest == place]).most_common(1)[0][1] for place in set(nearest))
    assert purest / len(topics) > 0.85


def test_a_text_is_its_words_and_the_same_numbers_in_any_process():
    assert hashed("What is Two plus two?\nIt is four.").tolist() == hashed("four IT is what two plus").tolist()
    assert np.flatnonzero(hashed("hello")).tolist() == [134]
    assert not hashed("!?").any()


def test_there_are_no_regions_before_there_are_samples_enough_and_then_they_hold_all():
    regions, draw = Regions(1), Random(1)
    cells = [Cell(name="0"), Cell(name="1")]
    for count in range(1, LAST + 30):
        regions.add("0", text(draw.randrange(TOPICS), draw))
        assert regions.counts.sum() == (count if count >= FROM else 0)
        if count < FROM:
            assert regions.ask(cells, 500, 4) == ask(cells, 500, 4)


def test_no_more_is_asked_for_than_is_missing_and_nothing_of_a_cell_that_is_over():
    regions, draw = Regions(1), Random(1)
    for number in range(200):
        regions.add(str(number % 2), text(draw.randrange(TOPICS), draw))
    cells = [Cell(name="0", judged=100, accepted=100, over=True), Cell(name="1", judged=98, accepted=98)]
    assert set(regions.ask(cells, 500, 8)) == {"1"}
    assert sum(regions.ask(cells, 203, 50).values()) in (5, 6)
    assert regions.ask(cells, 198, 8) == {}
    assert regions.ask([cells[0]], 500, 8) == {}


def test_texts_that_are_all_the_same_are_regions_too():
    regions = Regions(1)
    for _ in range(FROM):
        regions.add("0", "one and the same")
    assert regions.counts.max() == FROM
    assert regions.ask([Cell(name="0"), Cell(name="1")], 500, 4)
