"""The gate's decisions: each rule, its boundary, and what must never change a decision."""

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.proof.gate import SMALL_EFFECT, Decision, judge
from overnight.proof.paired import Method, compare, margin
from overnight.proof.power import POWER, items_needed

ACCEPT, REJECT, UNDERPOWERED = Decision.ACCEPT, Decision.REJECT, Decision.UNDERPOWERED


def binary(wins: int, losses: int, ties: int) -> tuple[list[float], list[float]]:
    return [1.0] * wins + [0.0] * losses + [1.0] * ties, [0.0] * wins + [1.0] * losses + [1.0] * ties


def normal(n: int, gain: float, seed: int = 1) -> tuple[list[float], list[float]]:
    """Differences whose sample mean is `gain` and whose sample standard deviation is 1, exactly up to rounding."""
    source = random.Random(seed)
    half = [source.gauss(0, 1) for _ in range(n // 2)]
    values = half + [-value for value in half]
    scale = math.sqrt(math.fsum(value * value for value in values) / n)
    return [gain + value / scale for value in values], [0.0] * n


# -- the rules


def test_a_better_candidate_is_accepted():
    verdict = judge(*binary(30, 10, 60))
    assert verdict.decision is ACCEPT
    assert verdict.lower > 0
    assert verdict.more_items is None
    assert (verdict.n, verdict.alpha, verdict.method) == (100, 0.05, "McNemar mid-p")
    assert verdict.reason.startswith("The candidate is better; mean difference +0.2 over 100 items, 90 % interval +0.0")


@pytest.mark.parametrize(
    ("wins", "losses", "expected"),
    # Mid-p 0.046, 0.073, 0.031 and 0.063.
    [(9, 3, ACCEPT), (8, 3, UNDERPOWERED), (4, 0, ACCEPT), (3, 0, UNDERPOWERED)],
)
def test_the_mid_p_is_the_boundary_of_acceptance(wins, losses, expected):
    assert judge(*binary(wins, losses, 5)).decision is expected


def test_a_worse_candidate_is_rejected():
    verdict = judge(*binary(10, 30, 60))
    assert verdict.decision is REJECT
    assert verdict.upper < 0
    assert verdict.reason.startswith("The candidate is worse; mean difference -0.2 over 100 items")


def test_an_upper_bound_of_zero_is_not_called_worse():
    verdict = judge([-1.0, -1.01, -1.02, -1.03], [0.0] * 4)
    assert (verdict.decision, verdict.upper) == (REJECT, 0.0)
    assert verdict.reason.startswith("The candidate is not better by 0.1015, the smallest gain of interest;")


@pytest.mark.parametrize("n", [2, 50, 5_000])
def test_an_identical_candidate_is_rejected(n):
    scores = [float(place % 2) for place in range(n)]
    verdict = judge(scores, list(scores))
    assert verdict.decision is REJECT
    assert verdict.reason.startswith("Candidate and champion score the same on every item")


def test_a_gain_that_is_ruled_out_is_rejected():
    scores = binary(3, 3, 294)
    upper = compare(*scores).upper
    assert judge(*scores, smallest_effect=upper * 1.001).decision is REJECT
    assert "not better by" in judge(*scores, smallest_effect=upper * 1.001).reason
    assert "not better by" not in judge(*scores, smallest_effect=upper).reason


def test_enough_items_without_proof_reject_and_one_fewer_do_not():
    effect = 0.25
    enough = next(n for n in range(20, 1_000, 2) if items_needed(compare(*normal(n, 0.1)), effect / _unit(n)) <= n)
    just, short = (
        judge(*normal(enough, 0.1), smallest_effect=effect),
        judge(*normal(enough - 2, 0.1), smallest_effect=effect),
    )
    assert just.decision is REJECT
    assert "not shown to be better, with enough items to find 0.25" in just.reason
    assert short.decision is UNDERPOWERED
    assert short.more_items in (1, 2)


def _unit(n: int) -> float:
    return compare(*normal(n, 0.1)).unit


def test_too_few_items_say_how_many_more_find_the_observed_gain():
    scores = binary(6, 3, 21)
    verdict = judge(*scores)
    assert verdict.decision is UNDERPOWERED
    assert verdict.more_items == items_needed(compare(*scores), 0.1) - 30
    assert f"{verdict.more_items} more would find a gain of 0.1 in 80 % of cases" in verdict.reason


def test_a_given_smallest_effect_is_what_the_items_are_counted_for():
    scores = binary(6, 3, 21)
    verdict = judge(*scores, smallest_effect=0.05)
    assert verdict.more_items == items_needed(compare(*scores), 0.05) - 30 > judge(*scores).more_items
    assert judge(*scores, smallest_effect=0.2).more_items < judge(*scores).more_items


def test_with_no_effect_given_it_is_a_tenth_of_the_typical_difference():
    even = binary(50, 50, 100)
    verdict = judge(*even)
    assert verdict.decision is UNDERPOWERED
    assert verdict.more_items == items_needed(compare(*even), SMALL_EFFECT * math.sqrt(0.5)) - 200
    assert verdict.more_items + 200 == 617
    assert judge(*binary(167, 142, 308)).decision is REJECT
    assert judge(*binary(167, 141, 308)).decision is UNDERPOWERED


def test_the_smallest_effect_is_in_the_unit_of_the_scores():
    candidate, champion = binary(6, 3, 21)
    tenfold = [10 * score for score in candidate], [10 * score for score in champion]
    assert (
        judge(*tenfold, smallest_effect=0.5).more_items == judge(candidate, champion, smallest_effect=0.05).more_items
    )
    assert judge(*tenfold).more_items == judge(candidate, champion).more_items
    assert "find a gain of 1 in 80 % of cases" in judge(*tenfold).reason
    varied = normal(40, 0.1)
    scaled = [8 * score for score in varied[0]], varied[1]
    assert judge(*scaled, smallest_effect=1.6).more_items == judge(*varied, smallest_effect=0.2).more_items


def test_two_wins_are_not_enough():
    verdict = judge([1.0, 1.0], [0.0, 0.0])
    assert (verdict.decision, verdict.more_items) == (UNDERPOWERED, 2)


def test_a_stricter_alpha_asks_for_more():
    scores = binary(9, 2, 9)
    assert judge(*scores, alpha=0.05).decision is ACCEPT
    assert judge(*scores, alpha=0.01).decision is UNDERPOWERED
    assert "98 % interval" in judge(*scores, alpha=0.01).reason


@pytest.mark.parametrize("effect", [0, -0.1])
def test_a_smallest_effect_that_is_not_positive_is_refused(effect):
    with pytest.raises(UserMistake, match=f"^smallest_effect must be above 0, got {effect}$"):
        judge([1.0, 2.0], [1.0, 1.0], smallest_effect=effect)


def test_a_smallest_effect_that_is_not_finite_is_refused():
    with pytest.raises(UserMistake, match=r"^smallest_effect\[0\] must be a finite number, got nan$"):
        judge([1.0, 2.0], [1.0, 1.0], smallest_effect=math.nan)


def test_scores_that_cannot_be_compared_are_refused():
    with pytest.raises(UserMistake, match="got 2 and 1 scores"):
        judge([1.0, 2.0], [1.0])


# -- how many items


def test_items_for_wins_and_losses_follow_the_published_formula():
    # Connett, Smith and McHugh 1987: (1.6449 sqrt(psi) + 0.8416 sqrt(psi - d^2))^2 / d^2 with psi = 0.231, d = 0.125.
    seen = compare(*binary(178, 53, 769))
    assert items_needed(seen, 0.125) == 90
    assert items_needed(seen, 0.0625) == pytest.approx(4 * 90, abs=5)


def test_a_gain_beyond_what_differs_needs_the_fewest_items_that_can_prove_it():
    seen = compare(*binary(1, 0, 9))
    assert items_needed(seen, 1.0) == items_needed(seen, 5.0) == 4
    assert items_needed(seen, 0.95) == 5
    assert items_needed(compare(*binary(1, 0, 9), alpha=0.01), 1.0) >= 6


def test_items_for_other_differences_are_the_fewest_whose_margin_leaves_the_chance():
    seen = compare(*normal(60, 0.1))
    z = 0.8416212335729143
    needed = items_needed(seen, 0.4 / seen.unit)
    assert seen.untied == 60
    assert (
        margin(needed, 0.0, 0.05) + z / math.sqrt(needed)
        <= 0.4
        < margin(needed - 1, 0.0, 0.05) + z / math.sqrt(needed - 1)
    )


def test_ties_make_more_items_needed():
    candidate, champion = normal(60, 0.1)
    tied = compare(candidate + [0.0] * 60, champion + [0.0] * 60)
    plain = compare(candidate, champion)
    assert items_needed(tied, 0.2 / tied.unit) == 2 * items_needed(plain, 0.4 / plain.unit)


def test_a_huge_gain_needs_as_many_items_as_can_prove_anything():
    seen = compare(*normal(60, 0.1))
    assert 5 <= items_needed(seen, 1e9) <= 8


@pytest.mark.parametrize("scores", [binary(6, 3, 21), normal(30, 0.1)])
def test_a_tiny_gain_needs_more_items_than_anybody_has(scores):
    assert items_needed(compare(*scores), 1e-200) == items_needed(compare(*scores), 4e-7) == 10**12
    assert items_needed(compare(*scores), 1e-4) < 10**12


def test_the_power_is_eighty_percent():
    assert POWER == 0.8


# -- what must not change a decision

scores = st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=2, max_size=40)
alphas = st.sampled_from([0.01, 0.05, 0.1, 0.3])


def sides(pairs: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    return [float(new) for new, _ in pairs], [float(old) for _, old in pairs]


@settings(max_examples=40, deadline=None)
@given(scores, alphas)
def test_at_most_one_of_the_two_is_better(pairs, alpha):
    candidate, champion = sides(pairs)
    one, other = judge(candidate, champion, alpha=alpha), judge(champion, candidate, alpha=alpha)
    assert ACCEPT not in {one.decision} & {other.decision}
    assert (one.lower, one.upper) == (-other.upper, -other.lower)


@settings(max_examples=40, deadline=None)
@given(scores, st.randoms(use_true_random=False), alphas)
def test_the_order_of_the_items_changes_nothing(pairs, source, alpha):
    shuffled = list(pairs)
    source.shuffle(shuffled)
    assert judge(*sides(pairs), alpha=alpha) == judge(*sides(shuffled), alpha=alpha)


@settings(max_examples=40, deadline=None)
@given(scores, st.integers(-1_000, 1_000), alphas)
def test_adding_a_constant_to_both_changes_nothing(pairs, constant, alpha):
    moved = [(new + constant, old + constant) for new, old in pairs]
    assert judge(*sides(pairs), alpha=alpha) == judge(*sides(moved), alpha=alpha)


@settings(max_examples=40, deadline=None)
@given(scores, st.floats(1e-9, 1e9), alphas)
def test_scaling_does_not_change_the_decision(pairs, scale, alpha):
    candidate, champion = sides(pairs)
    scaled = judge([scale * score for score in candidate], [scale * score for score in champion], alpha=alpha)
    plain = judge(candidate, champion, alpha=alpha)
    assert scaled.decision is plain.decision
    assert scaled.method == plain.method
    assert scaled.lower == pytest.approx(scale * plain.lower, rel=1e-6, abs=1e-9 * scale)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-1e300, 1e300), min_size=2, max_size=40), alphas)
def test_an_identical_candidate_is_never_accepted(values, alpha):
    assert judge(values, list(values), alpha=alpha).decision is REJECT


@settings(max_examples=40, deadline=None)
@given(scores, alphas)
def test_the_bounds_enclose_the_difference(pairs, alpha):
    verdict = judge(*sides(pairs), alpha=alpha)
    assert verdict.lower <= verdict.difference + 1e-9
    assert verdict.difference <= verdict.upper + 1e-9
    assert (verdict.more_items is not None) == (verdict.decision is UNDERPOWERED)
    assert verdict.more_items is None or verdict.more_items >= 1


@settings(max_examples=40, deadline=None)
@given(scores)
def test_more_certainty_is_a_wider_interval(pairs):
    strict, loose = judge(*sides(pairs), alpha=0.01), judge(*sides(pairs), alpha=0.1)
    assert strict.lower <= loose.lower + 1e-9
    assert strict.upper >= loose.upper - 1e-9


def test_scores_at_the_ends_of_what_a_float_holds_are_judged():
    tiny, huge = normal(20, 1.0), normal(20, 1.0)
    for scale in (1e-310, 1e300):
        verdict = judge([scale * score for score in tiny[0]], huge[1])
        assert verdict.decision is ACCEPT
        assert math.isfinite(verdict.lower)
    assert judge([5e-324, 0.0], [0.0, 0.0]).more_items > 0


def test_methods_have_the_names_that_a_report_shows():
    assert judge(*normal(20, 0.0)).method == Method.STUDENT.value == "skewness-guarded t"
