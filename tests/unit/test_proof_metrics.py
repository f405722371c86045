"""Each metric agrees with a hand count and with scikit-learn, ties gain nothing, and roles can be swapped."""

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import NotMeasured, UserMistake
from overnight.proof import gate
from overnight.proof.bootstrap import bootstrap_difference
from overnight.proof.forms import Form, GateSpec, Looks
from overnight.proof.gate import SMALL_DIFFERENCE, Decision, judge
from overnight.proof.labels import macro_f1
from overnight.proof.measures import Estimate, interval_of_mean, mean
from overnight.proof.metrics import interval_of, judge_answers, measure, metric_named, unit_scores
from overnight.proof.rankings import ndcg, normal_scores, reciprocal_rank


def judge_estimate(seen, *, same=False, shrinks=True, unit="items", **spec):
    return gate.judge_estimate(
        seen, GateSpec(**spec), figures=(0.5 + seen.value, 0.5), same=same, shrinks=shrinks, unit=unit
    )


numbers = st.lists(st.integers(0, 5), min_size=2, max_size=12).filter(lambda values: len(set(values)) > 1)
labels = st.lists(st.sampled_from("abc"), min_size=1, max_size=20)


def test_ndcg_by_hand():
    # Gains 3, 1, 0 in the order 1, 3, 0: (1 + 3 / log2(3)) / (3 + 1 / log2(3)).
    assert ndcg([3, 1, 0], [1, 2, 0], 3) == pytest.approx((1 + 3 / math.log2(3)) / (3 + 1 / math.log2(3)))
    assert ndcg([3, 1, 0], [1, 2, 0], 1) == pytest.approx(1 / 3)
    assert ndcg([13, 11, 10], [1, 2, 0], 3) == ndcg([3, 1, 0], [1, 2, 0], 3), "gains count from the lowest"
    assert ndcg([3, 1, 0], [3, 2, 1], 10) == 1.0


@given(truths=numbers, seed=st.integers(0, 99), k=st.integers(1, 15))
def test_ndcg_agrees_with_scikit_learn_and_knows_no_order_among_ties(truths, seed, k):
    metrics = pytest.importorskip("sklearn.metrics")
    scores = [float(Random(seed + place).randrange(4)) for place in range(len(truths))]
    gains = [truth - min(truths) for truth in truths]
    assert ndcg(truths, scores, k) == pytest.approx(metrics.ndcg_score([gains], [scores], k=k))
    order = Random(seed).sample(range(len(truths)), len(truths))
    shuffled = ([values[place] for place in order] for values in (truths, scores))
    assert ndcg(*shuffled, k) == pytest.approx(ndcg(truths, scores, k))
    assert ndcg(truths, [2 * score**3 + 1 for score in scores], k) == pytest.approx(ndcg(truths, scores, k))


def test_ndcg_of_equal_truths_is_not_measured():
    with pytest.raises(NotMeasured, match="at least 2 different truths"):
        ndcg([2, 2], [1, 2], 10)


@pytest.mark.parametrize(
    ("scores", "right", "value"),
    [([3, 2, 1], 0, 1), ([3, 2, 1], 2, 1 / 3), ([1, 1], 0, 0.75), ([2, 1, 1, 0], 1, (1 / 2 + 1 / 3) / 2)],
)
def test_a_reciprocal_rank_is_that_of_a_random_order_of_ties(scores, right, value):
    assert reciprocal_rank(scores, right) == pytest.approx(value)


def test_normal_scores_are_symmetric_and_share_ties():
    scores = normal_scores([10, 20, 30, 30, 1000])
    assert scores[0] == pytest.approx(-scores[4]) and scores[2] == scores[3]
    assert normal_scores([5, 5, 5]) == pytest.approx([0, 0, 0])
    assert normal_scores([1, 2])[1] == pytest.approx(0.5895, abs=1e-3), "Blom's table for n = 2"


def test_macro_f1_by_hand():
    # a: 2 TP, 1 FP, 0 FN: 4/5. b: 0 TP: 0. c: 1 TP: 1.
    assert macro_f1(["a", "a", "b", "c"], ["a", "a", "a", "c"]) == pytest.approx((4 / 5 + 0 + 1) / 3)


@given(truths=labels, seed=st.integers(0, 99))
def test_macro_f1_agrees_with_scikit_learn(truths, seed):
    metrics = pytest.importorskip("sklearn.metrics")
    predictions = [Random(seed + place).choice("abcd") for place in range(len(truths))]
    expected = metrics.f1_score(truths, predictions, average="macro", zero_division=0)
    assert macro_f1(truths, predictions) == pytest.approx(expected)


def test_names_of_metrics_are_known_or_answered_with_the_nearest():
    assert (metric_named("ndcg@7").k, metric_named("ndcg@7").title, metric_named("ndcg@7").best) == (7, "NDCG@7", 1.0)
    assert metric_named("absolute_error").best == 0.0 and metric_named("score").best is None
    for name, says in (
        ("macrof1", "did you mean macro_f1"),
        ("ndcg@0", "did you mean ndcg@10"),
        ("zzz", r"\(absolute_"),
    ):
        with pytest.raises(UserMistake, match=says):
            metric_named(name)


GROUPS = ["x", "y", "x", "y", "z"]


@pytest.mark.parametrize(
    ("name", "truths", "answers", "groups", "value"),
    [
        ("absolute_error", [1, 2], [1, 4], None, -1),
        ("absolute_error", [1, 2, 3, 4, 5], [1, 4, 3, 4, 5], GROUPS, -1 / 3),
        ("accuracy", ["a", "b"], ["a", "a"], None, 0.5),
        ("macro_f1", ["a", "b"], ["a", "b"], None, 1),
        ("spearman", [1, 2, 3], [3, 2, 1], None, -1),
        ("spearman", [1, 2, 3], [2, 2, 2], None, 0),
        ("ndcg@1", [1, 2], [1, 2], None, 1),
        ("ndcg@1", [1, 2, 2, 1, 7], [1, 1, 2, 2, 7], GROUPS, 0.5),
        ("reciprocal_rank", None, [1, 0.5], None, 0.75),
        ("exemplar_accuracy", None, [1, 0, 1, 0, 1], GROUPS, 2 / 3),
        ("score", None, [-1, -3], None, -2),
    ],
)
def test_a_metric_by_hand(name, truths, answers, groups, value):
    assert measure(metric_named(name), truths, answers, groups) == pytest.approx(value)


def test_nothing_is_measured_where_no_query_has_different_truths():
    with pytest.raises(NotMeasured):
        measure(metric_named("ndcg@3"), [1, 1], [1, 2], ["x", "x"])
    with pytest.raises(NotMeasured):
        measure(metric_named("spearman"), [1, 1], [2, 2])


def noisy(seed, n, noise):
    source = Random(seed)
    truths = [source.gauss(0, 1) for _ in range(n)]
    return truths, *([truth + source.gauss(0, size) for truth in truths] for size in noise)


def test_means_over_items_and_queries_are_compared_unit_by_unit():
    truths, good, bad = noisy(1, 400, (0.3, 1.5))
    metric = metric_named("absolute_error")
    new, old = ([abs(t - a) for t, a in zip(truths, answers, strict=True)] for answers in (good, bad))
    expected = judge(new, old, GateSpec(lower_is_better=True))
    assert judge_answers(metric, truths, good, bad, random=Random(1)) == expected
    groups = [str(place % 40) for place in range(400)]
    ranking = metric_named("ndcg@5")
    verdict = judge_answers(ranking, truths, good, bad, groups=groups, random=Random(1))
    assert (verdict.decision, verdict.n, verdict.method) == (Decision.ACCEPT, 40, "skewness-guarded t")
    scores = unit_scores(ranking, truths, good, groups)
    assert verdict.difference == pytest.approx(mean(scores) - mean(unit_scores(ranking, truths, bad, groups)))


@pytest.mark.no_cover
@pytest.mark.parametrize(("name", "cut"), [("spearman", False), ("macro_f1", True), ("ndcg@20", False)])
def test_what_is_no_mean_is_compared_by_drawing_items_again(name, cut):
    def as_answers(values):
        return ["low" if value < -0.5 else "high" if value > 0.5 else "middle" for value in values] if cut else values

    truths, good, bad = map(as_answers, noisy(2, 300, (0.2, 3.0)))
    metric = metric_named(name)
    better, worse = (judge_answers(metric, truths, *pair, random=Random(1)) for pair in ((good, bad), (bad, good)))
    assert (better.decision, better.method) == (Decision.ACCEPT, "paired bootstrap") and better.lower > 0
    assert worse.decision == Decision.REJECT and "worse" in worse.reason
    assert worse.difference == pytest.approx(-better.difference)
    same = judge_answers(metric, truths, good, list(good), random=Random(1))
    assert same.decision == Decision.REJECT and "answer the same to every item" in same.reason
    whole = judge_answers(metric, truths, good, bad, random=Random(1), groups=[str(n % 30) for n in range(300)])
    if name != "ndcg@20":
        assert whole.n == 30 and whole.decision == Decision.ACCEPT


def test_an_estimate_is_judged_like_the_gate_judges():
    def seen(value, width, n=100):
        return Estimate(value=value, lower=value - width, upper=value + width, n=n, alpha=0.05)

    assert judge_estimate(seen(0.1, 0.05), same=False).decision == Decision.ACCEPT
    assert judge_estimate(seen(-0.1, 0.05), same=False).decision == Decision.REJECT
    small = judge_estimate(seen(0.0, 0.01), same=False)
    assert small.decision == Decision.REJECT and f"not better by {SMALL_DIFFERENCE}" in small.reason
    enough = judge_estimate(seen(0.005, 0.0125, 5000), same=False, smallest_effect=0.01)
    assert enough.decision == Decision.UNDERPOWERED
    # n (w / g)^2 with w = (1.645 + 0.842) / 1.645 times the half width.
    assert enough.more_items == pytest.approx(5000 * ((1.6449 + 0.8416) / 1.6449 * 0.0125 / 0.01) ** 2 - 5000, abs=5)
    plain = judge_estimate(seen(0.05, 0.06), same=False)
    assert "find a gain of 0.05 in 80 % of cases" in plain.reason, "a gain as large as the one that was seen"
    powered = judge_estimate(seen(0.006, 0.0065, 5000), same=False, smallest_effect=0.012)
    assert powered.decision == Decision.REJECT and "with enough items" in powered.reason
    ranking = judge_estimate(seen(0.05, 0.06), same=False, shrinks=False, unit="groups")
    assert (ranking.decision, ranking.more_items) == (Decision.UNDERPOWERED, None)
    assert "cannot be told from one ranking" in ranking.reason and "over 100 groups" in ranking.reason
    for wrong in (0.0, -1.0, math.nan):
        with pytest.raises(UserMistake, match="smallest_effect"):
            judge_estimate(seen(0.1, 0.05), same=False, smallest_effect=wrong)


def test_groups_are_drawn_whole_and_the_order_of_items_does_not_matter():
    truths, new, old = noisy(3, 60, (0.5, 1.0))
    groups = [str(place // 6) for place in range(60)]

    def gain(true, mine, theirs):
        assert len(true) == 60, "ten groups of six items each"
        return sum(mine) - sum(theirs)

    seen = bootstrap_difference(gain, truths, new, old, groups=groups, random=Random(1), resamples=100)
    assert seen.n == 10
    order = Random(5).sample(range(60), 60)
    turned = ([values[place] for place in order] for values in (truths, new, old))
    again = bootstrap_difference(
        gain, *turned, groups=[groups[place] for place in order], random=Random(1), resamples=100
    )
    assert (again.lower, again.upper) == pytest.approx((seen.lower, seen.upper))
    with pytest.raises(UserMistake, match=r"got 60 and 1 \(groups\)"):
        bootstrap_difference(gain, truths, new, old, groups=["x"], random=Random(1))


def test_three_items_are_never_enough_for_a_rank_correlation():
    for seed in range(5):
        verdict = judge_answers(metric_named("spearman"), [1, 2, 3], [1, 2, 3], [3, 2, 1], random=Random(seed))
        assert verdict.decision != Decision.ACCEPT


def shaky(seed, n=120, gain=0.0):
    source = Random(seed)
    truths = [source.gauss(0, 1) for _ in range(n)]
    return truths, *([truth + source.gauss(0, size) for truth in truths] for size in (1 - gain, 1))


def test_an_error_is_better_the_lower_it_is_and_a_gain_is_a_share_of_it():
    truths = [float(place) for place in range(40)]
    new, old = (
        [truth + 0.9 for truth in truths],
        [truth + (1 if place % 2 else 1.1) for place, truth in enumerate(truths)],
    )
    metric = metric_named("absolute_error")
    plain = judge_answers(metric, truths, new, old, random=Random(1))
    assert (plain.candidate, plain.against) == (pytest.approx(0.9), pytest.approx(1.05))
    assert plain.difference == pytest.approx(0.15) and plain.decision == Decision.ACCEPT
    asked = {gain: GateSpec(form=Form.MINIMUM_GAIN, minimum_gain=gain) for gain in (0.1, 0.2)}
    decisions = {
        gain: judge_answers(metric, truths, new, old, random=Random(1), spec=spec) for gain, spec in asked.items()
    }
    assert [one.decision for one in decisions.values()] == [Decision.ACCEPT, Decision.REJECT]
    assert decisions[0.1].difference == pytest.approx(0.15 - 0.105)


def test_a_figure_that_is_no_mean_may_have_to_gain_a_share_of_the_way_to_the_best():
    metric, asked = metric_named("spearman"), GateSpec(form=Form.MINIMUM_GAIN, minimum_gain=0.3)
    plain = judge_answers(metric, *shaky(3, gain=0.6), random=Random(1), resamples=200)
    more = judge_answers(metric, *shaky(3, gain=0.6), random=Random(1), resamples=200, spec=asked)
    assert more.difference == pytest.approx(plain.difference - 0.3 * (1 - plain.against))
    assert "by 30 % of the champion's distance to the best, 1" in more.reason
    with pytest.raises(UserMistake, match="any_time: this metric is no mean over items"):
        judge_answers(metric, *shaky(3), random=Random(1), resamples=200, spec=GateSpec(looks=Looks.ANY_TIME))


def test_a_candidate_that_is_worse_in_one_segment_is_refused_by_any_metric():
    truths, new, old = shaky(5, n=200, gain=0.7)
    new[:50] = [-value for value in new[:50]]
    segments = ["de"] * 50 + ["en"] * 140 + [None] * 10

    def verdict_of(name, segments):
        return judge_answers(metric_named(name), truths, new, old, random=Random(1), resamples=200, segments=segments)

    verdict = verdict_of("spearman", segments)
    assert (verdict.decision, verdict.worse_in) == (Decision.REJECT, ("de",))
    assert verdict.reason.startswith("The candidate is worse in group 'de'; difference")
    errors = verdict_of("absolute_error", segments)
    assert (errors.decision, errors.worse_in) == (Decision.REJECT, ("de",))
    alone = ["de"] + [None] * 199
    assert verdict_of("spearman", alone).worse_in == ()


def test_a_group_is_in_a_segment_only_as_a_whole():
    scores = [1.0] * 12 + [0.0] * 12
    groups = [f"{place // 2:02}" for place in range(24)]
    segments = ["a"] * 12 + ["b"] * 11 + ["a"]
    metric = metric_named("score")
    verdict = judge_answers(
        metric, None, scores, [1 - one for one in scores], random=Random(1), groups=groups, segments=segments
    )
    assert (verdict.n, verdict.worse_in) == (12, ("b",))
    queries = [f"{place // 12}" for place in range(24)]
    ranking = metric_named("ndcg@5")
    truths = [float(place % 12) for place in range(24)]
    seen = judge_answers(ranking, truths, truths, truths[::-1], random=Random(1), groups=queries, segments=queries)
    assert seen.n == 2 and seen.worse_in == ()
    tied = judge_answers(
        ranking,
        [*truths, 1.0, 1.0],
        [*truths, 1.0, 2.0],
        [*truths[::-1], 1.0, 2.0],
        random=Random(1),
        groups=[*queries, "x", "x"],
        segments=[*queries, "x", "x"],
    )
    assert tied.n == 2, "a query without an order is no unit"


def test_the_interval_of_a_mean_is_that_of_its_units_and_of_another_figure_that_of_drawing_again():
    draw = Random(3)
    truths = [draw.gauss(0, 1) for _ in range(60)]
    answers = [one + draw.gauss(0, 0.5) for one in truths]
    errors = [-abs(one - other) for one, other in zip(truths, answers, strict=True)]
    found = interval_of(metric_named("absolute_error"), truths, answers, None, random=Random(1))
    assert found == interval_of_mean(errors)
    spearman = metric_named("spearman")
    found = interval_of(spearman, truths, answers, None, random=Random(1))
    assert found == interval_of(spearman, truths, answers, None, random=Random(1))
    assert found.value == measure(spearman, truths, answers)
    assert found.value - 0.2 < found.lower < found.value < found.upper < found.value + 0.2
    with pytest.raises(NotMeasured):
        interval_of(spearman, truths[:1], answers[:1], None, random=Random(1))


def test_an_interval_ends_where_the_values_of_the_metric_do():
    few = interval_of(metric_named("reciprocal_rank"), None, [1.0, 1.0, 1.0, 0.5, 0.01], None, random=Random(1))
    assert few.lower == 0 and few.upper == 1 > few.value
    errors = interval_of(metric_named("absolute_error"), [0.0, 0.0, 9.0], [0.1, 0.0, 0.0], None, random=Random(1))
    assert errors.lower < errors.value < errors.upper == 0
    own = interval_of(metric_named("score"), None, [3.0, 5.0, 900.0], None, random=Random(1))
    assert own == interval_of_mean([3.0, 5.0, 900.0])
