"""The gate's decisions: each rule, its boundary, and what must never change a decision."""

import math
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.proof import gate
from overnight.proof.forms import Form, GateSpec, Looks, of_scores
from overnight.proof.gate import SMALL_EFFECT, Decision
from overnight.proof.paired import Method, compare, margin
from overnight.proof.power import POWER, items_needed


def judge(candidate, champion, groups=None, **spec):
    return gate.judge(candidate, champion, GateSpec(**spec), groups=groups)


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


@pytest.mark.no_cover
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


@pytest.mark.no_cover
@pytest.mark.parametrize("scores", [binary(6, 3, 21), normal(30, 0.1)])
def test_a_tiny_gain_needs_more_items_than_anybody_has(scores):
    assert items_needed(compare(*scores), 1e-200) == items_needed(compare(*scores), 4e-7) == 10**12
    assert items_needed(compare(*scores), 1e-4) < 10**12


def test_the_power_is_eighty_percent():
    assert POWER == 0.8


# -- other forms


def test_a_minimum_gain_is_a_share_of_the_champion_or_of_what_is_left_to_the_best():
    low, high = binary(30, 2, 0), binary(30, 2, 68)
    far = judge([*low[0], *[0.0] * 68], [*low[1], *[0.0] * 68], form=Form.MINIMUM_GAIN)
    near = judge(*high, form=Form.MINIMUM_GAIN)
    assert far.difference == pytest.approx(0.28 - 0.05 * 0.02)
    assert far.reason.startswith(
        "The candidate is better by 5 % of the champion's figure; mean difference +0.279 over what"
    )
    assert near.difference == pytest.approx(0.28 - 0.05 * 0.30)
    assert "better by 5 % of the champion's distance to the best, 1;" in near.reason
    assert (near.candidate, near.against, near.form) == (pytest.approx(0.98), pytest.approx(0.70), Form.MINIMUM_GAIN)
    assert judge(*high, form=Form.MINIMUM_GAIN, minimum_gain=0.9).decision is not ACCEPT


def test_what_superiority_accepts_a_minimum_gain_may_refuse():
    scores = [10.3 + place % 3 for place in range(60)], [10.0 + place % 3 + place % 2 * 0.1 for place in range(60)]
    assert judge(*scores).decision is ACCEPT
    short = judge(*scores, form=Form.MINIMUM_GAIN)
    assert short.decision is REJECT
    assert short.reason.startswith("The candidate is not better by 5 % of the champion's figure; mean difference -0.3")
    on_a_range = judge(*scores, form=Form.MINIMUM_GAIN, bounds=(10, 20))
    assert on_a_range.difference == pytest.approx(0.25 - 0.05 * 1.05)
    assert "by 5 % of the champion's distance from the worst, 10;" in on_a_range.reason


def test_where_lower_is_better_the_gain_is_a_share_of_the_error():
    new, old = [2.0 + place % 5 / 10 for place in range(40)], [3.0 + place % 7 / 10 for place in range(40)]
    verdict = judge(new, old, form=Form.MINIMUM_GAIN, lower_is_better=True)
    assert verdict.decision is ACCEPT and verdict.candidate < verdict.against
    assert verdict.difference == pytest.approx(0.95 * verdict.against - verdict.candidate)
    bounded = judge(new, old, form=Form.MINIMUM_GAIN, lower_is_better=True, bounds=(1, 9))
    assert bounded.difference == pytest.approx(verdict.against - verdict.candidate - 0.05 * (verdict.against - 1))
    assert "distance to the best, 1;" in bounded.reason
    assert judge(old, new, lower_is_better=True).decision is REJECT
    rare = judge([0.0] * 40, [1.0] * 20 + [0.0] * 20, lower_is_better=True, form=Form.MINIMUM_GAIN)
    assert rare.decision is ACCEPT and "distance to the best, 0;" in rare.reason


def test_a_share_of_scores_below_zero_means_nothing():
    for spec in ({}, {"lower_is_better": True}):
        with pytest.raises(UserMistake, match="a share of scores below 0 means nothing; give their bounds"):
            judge([1.0, -2.0, 3.0], [-2.0, 1.0, -3.0], form=Form.MINIMUM_GAIN, **spec)
    assert judge([1.0, -2.0, 3.0] * 9, [-2.0, 1.0, -3.0] * 9, form=Form.MINIMUM_GAIN, bounds=(-4, 4)).n == 27


def test_the_best_value_tells_of_own_scores_what_a_share_of_them_means():
    asked = GateSpec(form=Form.MINIMUM_GAIN)
    assert of_scores(asked, 1.0, [0.0, 0.4, 1.0]) == replace(asked, bounds=(0.0, 1.0))
    assert of_scores(asked, 0.0, [-3.0, 0.0]) == replace(asked, lower_is_better=True)
    for best, scores in ((1.0, [-0.1, 0.5]), (1.0, [0.5, 1.1]), (0.0, [-1.0, 0.1]), (20.0, [0.1]), (None, [0.1])):
        assert of_scores(asked, best, scores) == asked


def test_no_gain_of_interest_over_what_is_required_is_told():
    scores = [1.06] * 20 + [1.07] * 20, [1.0] * 40
    short = judge(*scores, form=Form.MINIMUM_GAIN, minimum_gain=0.065, smallest_effect=0.5)
    assert (short.decision, short.lower < 0 < short.upper) == (REJECT, True)
    assert (
        "is not better by 6.5 % of the champion's figure and another 0.5, the smallest gain of interest" in short.reason
    )


def test_a_candidate_that_must_not_be_inferior_may_be_worse_by_the_margin():
    scores = binary(30, 36, 934)
    assert judge(*scores).decision is not ACCEPT
    verdict = judge(*scores, form=Form.NON_INFERIORITY, margin=0.03)
    assert verdict.decision is ACCEPT and -0.03 < verdict.lower < 0
    assert verdict.reason.startswith(
        "The candidate is at most 0.03 worse than the best version so far; mean difference"
    )
    assert judge(*scores, form=Form.NON_INFERIORITY, margin=0.01).decision is UNDERPOWERED
    worse = judge(*binary(5, 60, 935), form=Form.NON_INFERIORITY, margin=0.03)
    assert worse.decision is REJECT
    assert worse.reason.startswith("The candidate is not at most 0.03 worse than the best version so far;")
    enough = judge(*binary(30, 50, 920), form=Form.NON_INFERIORITY, margin=0.03)
    assert enough.decision is REJECT and "not shown to be at most 0.03 worse" in enough.reason


def test_items_that_would_show_that_it_is_not_inferior_are_counted():
    few = judge(*binary(3, 3, 54), form=Form.NON_INFERIORITY, margin=0.05)
    assert (few.decision, few.more_items) == (UNDERPOWERED, items_needed(compare(*binary(3, 3, 54)), 0.05) - 60)
    assert f"{few.more_items} more would show it in 80 % of cases, if it is as good" in few.reason


def test_scores_that_all_tie_show_as_much_as_their_number_allows():
    z2 = 1.6448536269514722**2
    same = [1.0] * 60, [1.0] * 60
    short = judge(*same, form=Form.NON_INFERIORITY, margin=0.03)
    assert (short.decision, short.lower) == (UNDERPOWERED, pytest.approx(-z2 / (60 + z2)))
    assert short.detectable is None
    n = 60 + short.more_items
    assert judge([1.0] * n, [1.0] * n, form=Form.NON_INFERIORITY, margin=0.03).decision is ACCEPT
    assert judge([1.0] * (n - 2), [1.0] * (n - 2), form=Form.NON_INFERIORITY, margin=0.03).decision is UNDERPOWERED
    apart = [float(place) for place in range(50)]
    assert judge(apart, apart, form=Form.NON_INFERIORITY, margin=0.5).decision is UNDERPOWERED


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"form": Form.NON_INFERIORITY}, "margin: missing"),
        ({"margin": 0}, "margin must be above 0, got 0"),
        ({"minimum_gain": -1}, "minimum_gain must be above 0, got -1"),
        ({"bounds": (1.0, 1.0)}, "bounds must go up, got 1.0 and 1.0"),
        ({"bounds": (0.0, math.inf)}, r"bounds\[1\] must be a finite number"),
        ({"alpha": 0.5}, "alpha must lie between 0 and 0.5"),
        (
            {"form": Form.NON_INFERIORITY, "margin": 1, "bounds": (0, 1)},
            "margin must be less than the range of the scores, 0 to 1, got 1: any version would do",
        ),
        ({"bounds": (0, 0.5)}, r"candidate\[0\] lies outside the bounds 0 to 0.5"),
        ({"bounds": (0.5, 1)}, r"champion\[0\] lies outside the bounds 0.5 to 1"),
    ],
)
def test_what_cannot_be_asked_is_refused(wrong, message):
    with pytest.raises(UserMistake, match=message):
        judge([1.0, 0.7], [0.25, 0.7], **wrong)


# -- the gain that so many items find


def test_the_detectable_gain_is_the_one_whose_items_are_there():
    for scores in (binary(6, 3, 41), normal(50, 0.1), normal(20, 0.05)):
        verdict, seen = judge(*scores), compare(*scores)
        assert verdict.decision is UNDERPOWERED
        assert items_needed(seen, 1.001 * verdict.detectable / seen.unit) <= verdict.n
        assert items_needed(seen, 0.95 * verdict.detectable / seen.unit) > verdict.n
    assert judge([1.0, 1.0], [0.0, 0.0]).detectable is None
    assert judge([1.0, 1.5, 0.0], [0.0, 0.0, 0.0]).detectable is None


# -- at any time


def test_bounds_at_any_time_are_wider_and_accept_what_is_clearly_better():
    once, again = judge(*binary(25, 4, 71)), judge(*binary(25, 4, 71), looks=Looks.ANY_TIME)
    assert again.decision is ACCEPT and again.method == "betting, at any time"
    assert again.lower < once.lower and again.upper > once.upper
    assert judge(*binary(4, 30, 66), looks=Looks.ANY_TIME).reason.startswith("The candidate is worse;")
    assert judge(*binary(0, 0, 66), looks=Looks.ANY_TIME).reason.startswith("Candidate and champion score the same")
    short = judge(*binary(6, 3, 41), looks=Looks.ANY_TIME)
    assert short.decision is UNDERPOWERED and short.more_items > judge(*binary(6, 3, 41)).more_items
    assert short.detectable > judge(*binary(6, 3, 41)).detectable


def test_bounded_scores_and_forms_hold_at_any_time_too():
    source = random.Random(2)
    old = [source.uniform(0.3, 0.6) for _ in range(80)]
    new = [score + source.uniform(0.1, 0.3) for score in old]
    plain = judge(new, old, looks=Looks.ANY_TIME, bounds=(0, 1))
    asked = judge(new, old, looks=Looks.ANY_TIME, bounds=(0, 1), form=Form.MINIMUM_GAIN)
    assert plain.decision is asked.decision is ACCEPT and asked.lower < plain.lower
    ties = judge(old, old, looks=Looks.ANY_TIME, bounds=(0, 1), form=Form.NON_INFERIORITY, margin=0.02)
    assert ties.decision is UNDERPOWERED
    with pytest.raises(UserMistake, match="any_time needs scores of 0 and 1, or their bounds"):
        judge(new, old, looks=Looks.ANY_TIME)


# -- groups


def test_a_better_candidate_that_is_worse_in_a_group_is_refused():
    scores = binary(40, 12, 60)
    groups = [None] * 40 + ["old users"] * 12 + ["new users"] * 60
    for looks in Looks:
        verdict = judge(*scores, groups=groups, looks=looks)
        assert (verdict.decision, verdict.worse_in) == (REJECT, ("old users",))
        assert verdict.reason.startswith("The candidate is worse in group 'old users'; mean difference +0.25")
        assert judge(*scores, groups=["all"] * 112, looks=looks).decision is ACCEPT
    both = judge(*binary(60, 24, 0), groups=[None] * 60 + ["a", "b"] * 12)
    assert both.reason.startswith("The candidate is worse in groups 'a', 'b';")
    many = [None] * 40 + [f"{place // 4}" for place in range(12)] + ["rest"] * 60
    assert judge(*scores, groups=many).decision is ACCEPT, "four losses of four are not enough among four groups"
    assert judge(*scores, groups=[*groups[:-1], "one alone"]).worse_in == ("old users",)


def test_groups_are_named_for_each_item():
    with pytest.raises(UserMistake, match="groups must name one group for each of the 100 items, got 3"):
        judge(*binary(30, 10, 60), groups=["a"] * 3)


# -- what must not change a decision

scores = st.lists(st.tuples(st.integers(-8, 8), st.integers(-8, 8)), min_size=2, max_size=40)
alphas = st.sampled_from([0.01, 0.05, 0.1, 0.3])


def sides(pairs: list[tuple[int, int]]) -> tuple[list[float], list[float]]:
    return [float(new) for new, _ in pairs], [float(old) for _, old in pairs]


@pytest.mark.no_cover
@settings(max_examples=40, deadline=None)
@given(scores, alphas)
def test_at_most_one_of_the_two_is_better(pairs, alpha):
    candidate, champion = sides(pairs)
    one, other = judge(candidate, champion, alpha=alpha), judge(champion, candidate, alpha=alpha)
    assert ACCEPT not in {one.decision} & {other.decision}
    assert (one.lower, one.upper) == (-other.upper, -other.lower)


@pytest.mark.no_cover
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
    plain, verdict = judge(*sides(pairs), alpha=alpha), judge(*sides(moved), alpha=alpha)
    assert verdict.candidate == pytest.approx(plain.candidate + constant)
    assert verdict == replace(plain, candidate=verdict.candidate, against=verdict.against)


@pytest.mark.no_cover
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


@pytest.mark.no_cover
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
    assert judge(*normal(30, 0.0)).method == Method.STUDENT.value == "skewness-guarded t"
    assert judge(*normal(20, 0.0)).method == Method.FLIP.value == "exact sign-flip"
