"""The test of the gate: the gate passes it, and a judge that errs too often, or never accepts, does not."""

import math
from dataclasses import replace
from random import Random

import pytest

from overnight.base.errors import NotMeasured
from overnight.proof.evidence import Evidence
from overnight.proof.forms import Form, GateSpec, Looks
from overnight.proof.selftest import accepts, self_test


def scored(candidate, against, **more):
    ids = [f"{place:04}" for place in range(len(candidate))]
    return Evidence(metric="score", title="accuracy", ids=ids, candidate=candidate, against=against, **more)


def right_or_wrong(n=100, differing=0.2):
    source = Random(1)
    old = [float(source.random() < 0.7) for _ in range(n)]
    return scored([1 - one if source.random() < differing else one for one in old], old, bounds=(0.0, 1.0))


def shares(n=60, bounds=None):
    source = Random(2)
    sides = ([source.uniform(0.2, 1.0) for _ in range(n)] for _ in range(2))
    return scored(*sides, bounds=bounds)


def naive(evidence, spec, random):
    return math.fsum(evidence.candidate) > math.fsum(evidence.against)


def never(evidence, spec, random):
    return False


def late(evidence, spec, random):
    """A gate at another level than it says."""
    return accepts(evidence, replace(spec, alpha=0.15), random)


@pytest.mark.parametrize("evidence", [right_or_wrong(), shares(), shares(bounds=(0.0, 1.0))])
def test_the_gate_passes(evidence):
    told = []
    found = self_test(evidence, GateSpec(), Random(0), trials=300, told=told.append)
    assert found.honest and found.able
    assert found.accepted.value <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / 300)
    assert found.found.value >= 0.95 and found.planted > 0
    assert (found.units, found.trials, found.found.n) == (len(evidence.ids), 300, 100)
    assert told[-1] == 1.0 and told == sorted(told)
    assert found.finding.startswith(
        f"of 300 equally good candidates {100 * found.accepted.value:.1f} % (95 % interval "
    )
    assert f"of 100 that are better by {found.planted:.3g}" in found.finding


def test_a_naive_judge_fails_because_it_accepts_what_is_as_good():
    for evidence in (right_or_wrong(), shares()):
        found = self_test(evidence, GateSpec(), Random(0), judge=naive, trials=200)
        assert not found.honest and found.accepted.lower > 0.2 and found.able


@pytest.mark.no_cover
def test_a_judge_at_another_level_fails():
    found = self_test(right_or_wrong(), GateSpec(), Random(0), judge=late, trials=400)
    assert not found.honest and found.accepted.lower > 0.05


def test_a_judge_that_never_accepts_fails_because_it_finds_nothing():
    found = self_test(right_or_wrong(), GateSpec(), Random(0), judge=never, trials=50)
    assert found.honest and found.able is False and found.found.value == 0


def test_a_judge_that_peeks_without_bounds_for_it_fails():
    def careless(given, spec, random):
        """The normal test of signs, after every ten items."""
        for count in range(10, len(given.ids) + 1, 10):
            signs = [new - old for new, old in zip(given.candidate[:count], given.against[:count], strict=True)]
            if sum(signs) > 1.645 * math.sqrt(sum(map(abs, signs)) + 1e-9):
                return True
        return False

    asked = GateSpec(looks=Looks.ANY_TIME)
    assert not self_test(right_or_wrong(100, 0.3), asked, Random(0), judge=careless, trials=300).honest
    seen = []

    def looks_again(given, spec, random):
        seen.append(accepts(given, spec, random))
        return seen[-1]

    assert self_test(right_or_wrong(30, 0.3), asked, Random(0), judge=looks_again, trials=12).honest
    assert len(seen) == 24 and any(seen)


def test_the_form_that_is_asked_for_does_not_change_the_question():
    loose = GateSpec(form=Form.NON_INFERIORITY, margin=0.3)
    assert self_test(right_or_wrong(), loose, Random(0), trials=100).honest


def test_too_few_items_find_no_gain_and_say_so():
    found = self_test(scored([1.0, 0.0, 1.0], [0.0, 1.0, 1.0]), GateSpec(), Random(0), trials=20)
    assert found.able is None and found.found is None
    assert found.finding.endswith("3 items are too few to find any gain")


def test_versions_that_hardly_differ_test_nothing():
    with pytest.raises(NotMeasured, match="the two versions differ on 0 of 50 items; at least 10 % and 2 are needed"):
        self_test(scored([1.0] * 50, [1.0] * 50), GateSpec(), Random(0))


def test_whole_groups_change_roles_together():
    source = Random(3)
    moods = [source.gauss(0, 1) for _ in range(30)]
    groups = [f"{place // 5:02}" for place in range(150)]
    noise = [
        [mood + source.gauss(0, 0.1) for mood in moods for _ in range(5)],
        [source.gauss(0, 0.1) for _ in range(150)],
    ]
    found = self_test(scored(*noise, groups=groups, segments=["a"] * 150), GateSpec(), Random(0), trials=150)
    assert found.units == 30 and found.honest and found.able
    alone = self_test(scored(*noise), GateSpec(), Random(0), trials=150)
    assert alone.units == 150


def test_metrics_that_are_no_mean_are_tested_with_answers_that_are_nearly_right():
    source = Random(4)
    truths = [source.gauss(0, 1) for _ in range(40)]
    sides = ([truth + source.gauss(0, 1) for truth in truths] for _ in range(2))
    ids = [f"{place:02}" for place in range(40)]
    numbers = Evidence(
        metric="spearman", title="Spearman", ids=ids, candidate=next(sides), against=next(sides), truths=truths
    )

    def quick(evidence, spec, random):
        return evidence.candidate[0] > evidence.against[0]

    found = self_test(numbers, GateSpec(), Random(0), judge=quick, trials=40)
    assert found.planted is None and "of 40 that answer nearly all rightly" in found.finding
    labels = Evidence(
        metric="accuracy",
        title="accuracy",
        ids=ids,
        truths=[source.choice("ab") for _ in ids],
        candidate=[source.choice("ab") for _ in ids],
        against=[source.choice("ab") for _ in ids],
    )
    assert self_test(labels, GateSpec(), Random(0), trials=60).able
    assert self_test(numbers, GateSpec(), Random(0), judge=never).trials == 200
    assert self_test(right_or_wrong(), GateSpec(), Random(0), judge=never).trials == 1000
    assert self_test(shares(25), GateSpec(), Random(0), judge=never).trials == 200
