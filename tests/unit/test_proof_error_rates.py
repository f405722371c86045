"""How often the gate errs: equal skill is not accepted, a planted gain is found.

Seeds are fixed, so a test gives the same answer every time; the allowance is three standard errors of the number of
trials, so that a method at its promised level passes. `benchmarks/gate.py` is the long form.
"""

import itertools
import math
import random
from collections.abc import Callable
from functools import cache

import pytest

from overnight.proof import paired
from overnight.proof.bootstrap import bootstrap_difference
from overnight.proof.distributions import binomial_mid_p
from overnight.proof.gate import Decision, judge
from overnight.proof.measures import spearman_gain
from overnight.proof.metrics import judge_answers, metric_named
from overnight.proof.paired import compare
from overnight.proof.power import items_needed

# Thousands of verdicts by lines that the other tests of `proof` cover take three times as long when they are counted.
pytestmark = pytest.mark.no_cover

ALPHA = 0.05
TRIALS = {10: 500, 30: 300, 100: 150, 500: 40}
Pairs = tuple[list[float], list[float]]
Draw = Callable[[random.Random], float]


@pytest.fixture(autouse=True)
def remembered(monkeypatch):
    """The same functions, asked once for each argument: thousands of verdicts need few quantiles."""
    for name in ("t_quantile", "_win_share_lower", "_score_lower"):
        monkeypatch.setattr(paired, name, cache(getattr(paired, name)))


def wins_and_losses(source: random.Random, n: int, better: float, worse: float) -> Pairs:
    candidate, champion = [], []
    for _ in range(n):
        u, both = source.random(), float(source.random() < 0.6)
        candidate.append(1.0 if u < better else 0.0 if u < better + worse else both)
        champion.append(0.0 if u < better else 1.0 if u < better + worse else both)
    return candidate, champion


def normal(source: random.Random) -> float:
    return source.gauss(0, 1)


def heavy(source: random.Random) -> float:
    return source.gauss(0, 1) / math.sqrt(source.gammavariate(1.5, 2) / 3)


def few_big_wins(source: random.Random) -> float:
    return source.expovariate(1) - 1


def few_big_losses(source: random.Random) -> float:
    return 1 - source.expovariate(1)


def mostly_ties(source: random.Random) -> float:
    return source.gauss(0, 1) if source.random() < 0.3 else 0.0


def ties_and_big_losses(source: random.Random) -> float:
    return few_big_losses(source) if source.random() < 0.3 else 0.0


def seeds(draw: Draw, *, gain: float = 0.0, swap: bool = False) -> Callable[[random.Random, int], Pairs]:
    """Two versions of equal skill that differ on the items by what is drawn; `swap` changes their roles at random."""

    def scores(source: random.Random, n: int) -> Pairs:
        sign = source.choice((-1, 1)) if swap else 1
        champion = [source.gauss(0, 2) for _ in range(n)]
        return [old + sign * draw(source) + gain for old in champion], champion

    return scores


NULLS = {
    "right or wrong, 10 % differ": lambda source, n: wins_and_losses(source, n, 0.05, 0.05),
    "right or wrong, 30 % differ": lambda source, n: wins_and_losses(source, n, 0.15, 0.15),
    "normal": seeds(normal),
    "heavy tails": seeds(heavy),
    "mostly ties": seeds(mostly_ties),
    "skewed, roles swapped": seeds(few_big_losses, swap=True),
    "few big wins": seeds(few_big_wins),
    "few big losses": seeds(few_big_losses),
    "mostly ties, few big losses": seeds(ties_and_big_losses),
}


def accepted(case: Callable[[random.Random, int], Pairs], n: int, trials: int) -> float:
    source = random.Random(f"{n}")
    return sum(judge(*case(source, n)).decision is Decision.ACCEPT for _ in range(trials)) / trials


def allowance(rate: float, trials: int) -> float:
    return 3 * math.sqrt(rate * (1 - rate) / trials)


@pytest.mark.parametrize("n", TRIALS)
@pytest.mark.parametrize("null", NULLS)
def test_equal_skill_is_accepted_in_at_most_five_percent(null, n):
    assert accepted(NULLS[null], n, TRIALS[n]) <= ALPHA + allowance(ALPHA, TRIALS[n])


def huge(source: random.Random) -> float:
    """A log-normal size (sigma 2, sample skewness as large as can be) that either version may have lost."""
    return source.choice((-1, 1)) * source.lognormvariate(0, 2)


SIZES_OF_DIFFERENCES = {
    "log-normal, sigma 2": lambda source: source.lognormvariate(0, 2),
    "log-normal, sigma 1": lambda source: source.lognormvariate(0, 1),
    "normal": lambda source: abs(source.gauss(0, 1)),
    "nearly one size": lambda source: 1 + source.random() / 100,
    "three sizes": lambda source: source.choice((1.0, 2.0, 5.0)),
}


@pytest.mark.parametrize("size", SIZES_OF_DIFFERENCES)
def test_of_all_ways_to_change_roles_item_by_item_at_most_five_percent_are_accepted(size):
    """With nine items all 512 are counted, none is drawn: nothing is allowed for."""
    for seed in range(2):
        source = random.Random(f"{size} {seed}")
        sizes = [SIZES_OF_DIFFERENCES[size](source) for _ in range(9)]
        ways = itertools.product((-1, 1), repeat=9)
        count = sum(compare([s * v for s, v in zip(way, sizes, strict=True)], [0.0] * 9).lower > 0 for way in ways)
        assert count <= ALPHA * 2**9


@pytest.mark.parametrize(("n", "trials"), [(9, 800), (14, 400), (20, 150), (30, 600), (40, 600), (1000, 60)])
def test_log_normal_losses_of_equal_skill_are_accepted_in_at_most_five_percent(n, trials):
    assert accepted(seeds(huge), n, trials) <= ALPHA + allowance(ALPHA, trials)


def test_the_rates_come_from_chance_and_not_from_a_judge_that_never_accepts():
    for null in ("right or wrong, 30 % differ", "normal", "heavy tails"):
        assert accepted(NULLS[null], 100, 300) >= ALPHA - 0.035


def naively_accepted(case: Callable[[random.Random, int], Pairs], n: int, trials: int) -> float:
    source = random.Random(n)
    pairs = (case(source, n) for _ in range(trials))
    return sum(math.fsum(candidate) > math.fsum(champion) for candidate, champion in pairs) / trials


def test_the_nulls_would_catch_a_naive_judge():
    for null, case in NULLS.items():
        assert naively_accepted(case, 30, 200) > 0.2, null


@pytest.mark.parametrize("n", [10, 30, 50, 100])
def test_the_exact_chance_for_wins_and_losses_is_at_most_five_percent(n):
    """Over every share of items that differ up to one half: all outcomes are counted, none is drawn."""
    given_untied = [
        sum(math.comb(k, wins) for wins in range(k + 1) if k and binomial_mid_p(wins, k - wins) < ALPHA) / 2**k
        for k in range(n + 1)
    ]
    for percent in range(5, 55, 5):
        share = percent / 100
        level = sum(math.comb(n, k) * share**k * (1 - share) ** (n - k) * given_untied[k] for k in range(n + 1))
        assert level <= ALPHA + 2e-4, percent


@pytest.mark.parametrize(("n", "expected"), [(30, 0.37), (50, 0.59), (100, 0.85), (200, 0.99)])
def test_a_better_model_is_found_as_often_as_theory_says(n, expected):
    """A real pair, 0.681 against 0.806 right: 17.8 % of the items better, 5.3 % worse."""
    trials = 20_000 // n
    found = accepted(lambda source, size: wins_and_losses(source, size, 0.178, 0.053), n, trials)
    assert found == pytest.approx(expected, abs=allowance(expected, trials) + 0.02)


@pytest.mark.parametrize(("draw", "spread"), [(normal, 1.0), (heavy, math.sqrt(3)), (mostly_ties, math.sqrt(0.3))])
def test_a_gain_of_a_third_of_the_spread_is_found_with_a_hundred_items(draw, spread):
    assert accepted(seeds(draw, gain=0.35 * spread), 100, 200) > 0.9


@pytest.mark.parametrize(
    ("case", "gain"),
    [
        (lambda source, n: wins_and_losses(source, n, 0.178, 0.053), 0.125),
        (seeds(normal, gain=0.25), 0.25),
    ],
)
def test_the_items_asked_for_find_the_gain_in_eighty_percent(case, gain):
    seen = compare(*case(random.Random(1), 5_000))
    found = accepted(case, items_needed(seen, gain / seen.unit), 300)
    assert found == pytest.approx(0.8, abs=allowance(0.8, 300) + 0.02)


def test_equally_good_rankings_are_called_better_in_at_most_five_percent():
    source, trials, accepted_ones = random.Random(7), 60, 0
    for _ in range(trials):
        truths = [source.gauss(0, 1) for _ in range(30)]
        new, old = ([truth + source.gauss(0, 1) for truth in truths] for _ in range(2))
        seen = bootstrap_difference(spearman_gain, truths, new, old, random=source, resamples=200)
        accepted_ones += seen.lower > 0
    assert accepted_ones / trials <= ALPHA + allowance(ALPHA, trials)


def labels_of(values):
    return ["low" if value < -0.4 else "high" if value > 0.9 else "middle" for value in values]


@pytest.mark.parametrize(
    ("name", "n", "groups"),
    [
        ("macro_f1", 30, None),
        ("macro_f1", 100, None),
        ("spearman", 100, 20),
        ("ndcg@10", 100, None),
        ("ndcg@5", 300, 30),
    ],
)
def test_candidates_of_equal_skill_are_accepted_in_at_most_five_percent_by_any_metric(name, n, groups):
    """Two noisy versions of one skill, which answer differently; the better one must be found by the same metric."""
    source, trials = random.Random(11), 60
    metric = metric_named(name)
    places = None if groups is None else [str(place % groups) for place in range(n)]
    accepted_ones = found = 0
    for _ in range(trials):
        truths = [source.gauss(0, 1) for _ in range(n)]
        new, old, bad = ([truth + source.gauss(0, size) for truth in truths] for size in (1, 1, 8))
        if name == "macro_f1":
            truths, new, old, bad = map(labels_of, (truths, new, old, bad))
        accepted_ones += judged(metric, truths, new, old, places, source) == Decision.ACCEPT
        found += judged(metric, truths, new, bad, places, source) == Decision.ACCEPT
    assert accepted_ones / trials <= ALPHA + allowance(ALPHA, trials)
    assert found / trials > 0.6, "a judge that never accepts is as broken as one that always does"


def judged(metric, truths, new, old, groups, source):
    return judge_answers(metric, truths, new, old, groups=groups, random=source, resamples=200).decision
