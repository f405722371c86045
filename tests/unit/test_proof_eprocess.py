"""E-processes: exact by enumeration, against oracles, and as often wrong as they may be."""

import itertools
import math
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ville import BernoulliTest

from overnight.proof import eprocess
from overnight.proof.eprocess import RATIOS, STAGE, Wealth, failed, mismatch, over_budget, rates_above

RAMP = (0.1, 0.1, 0.25, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 0.98)


def along(outcomes, shares=RAMP, *, first=eprocess.FIRST):
    wealth = Wealth.over(len(RATIOS), first=first)
    before = shares[0]
    for candidate, share in zip(outcomes, shares, strict=True):
        if share != before:
            wealth, before = wealth.begin(STAGE), share
        wealth = failed(wealth, [(candidate, share)])
    return wealth.value


def chance(outcomes, shares, ratio):
    """How likely it is that the failures are these versions', where the candidate fails `ratio` times as often."""
    mine = [ratio * share / (ratio * share + 1 - share) for share in shares]
    return math.prod(p if candidate else 1 - p for candidate, p in zip(outcomes, mine, strict=True))


@pytest.mark.parametrize("ratio", [1.0, 0.5])
def test_over_all_outcomes_of_a_ramp_the_mean_is_one_at_equal_rates_and_less_for_a_better_candidate(ratio):
    all_outcomes = list(itertools.product((True, False), repeat=len(RAMP)))
    mean = math.fsum(chance(one, RAMP, ratio) * along(one) for one in all_outcomes)
    if ratio == 1.0:
        assert mean == pytest.approx(1.0, abs=1e-9)
    else:
        assert mean < 1.0


@pytest.mark.no_cover
def test_stopping_when_it_looks_bad_gains_nothing():
    """Whoever stops at the first e-value above 3 and goes home else has a mean of one as well."""
    mean = 0.0
    for one in itertools.product((True, False), repeat=len(RAMP)):
        values = [along(one[:n], RAMP[:n]) for n in range(1, len(RAMP) + 1)]
        mean += chance(one, RAMP, 1.0) * next((value for value in values if value > 3), values[-1])
    assert mean == pytest.approx(1.0, abs=1e-9)


def test_it_is_the_mixture_of_likelihood_ratios():
    outcomes = [True, False, True, True, False, True]
    shares = [0.1, 0.1, 0.25, 0.5, 0.5, 0.75]
    wealth = failed(Wealth.over(len(RATIOS), first=1.0), zip(outcomes, shares, strict=True), each=0.0)
    told = [chance(outcomes, shares, ratio) / chance(outcomes, shares, 1.0) for ratio in RATIOS]
    assert wealth.value == pytest.approx(math.fsum(told) / len(told))


def test_a_late_fault_is_found_sooner_with_wealth_that_was_kept_back():
    calm = [(i % 4 == 0, 0.25) for i in range(200)]
    fault = [(True, 0.5)] * 16
    late = failed(failed(Wealth.over(len(RATIOS)), calm).begin(STAGE), fault)
    early = failed(failed(Wealth.over(len(RATIOS), first=1.0), calm, each=0.0), fault, each=0.0)
    assert late.value > 100 > 1 > early.value


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.01, 0.99)), max_size=60),
    st.integers(0, 60),
)
def test_it_is_never_negative_and_the_order_of_the_bets_is_kept(events, at):
    wealth = failed(Wealth.over(len(RATIOS)), events)
    assert wealth.value >= 0
    halves = failed(failed(Wealth.over(len(RATIOS)), events[:at]), events[at:])
    assert halves.value == pytest.approx(wealth.value)
    assert Wealth.from_dict({"bets": list(wealth.bets), "left": wealth.left}) == wealth


def test_a_failure_of_an_arm_without_requests_is_a_mistake():
    for event in ((True, 0.0), (False, 1.0)):
        with pytest.raises(ValueError, match="had no requests"):
            failed(Wealth.over(len(RATIOS)), [event])


def test_each_alternative_has_a_factor_of_its_own():
    with pytest.raises(ValueError, match="shorter"):
        Wealth.over(3).times([2.0, 3.0])


def test_overwhelming_evidence_stays_a_number():
    wealth = failed(Wealth.over(len(RATIOS)), [(True, 0.01)] * 2000)
    assert 1e90 < wealth.value < math.inf
    budget = over_budget(Wealth.over(len(rates_above(0.001))), requests=5000, failures=5000, allowed=0.001)
    assert 1e90 < budget.value < math.inf


def test_a_budget_is_kept_at_its_edge_and_a_breach_is_seen():
    allowed, n = 0.05, 12
    rates = rates_above(allowed)
    assert all(allowed < rate < 1 for rate in rates)
    mean = math.fsum(
        math.prod(allowed if failing else 1 - allowed for failing in one)
        * over_budget(Wealth.over(len(rates)), requests=n, failures=sum(one), allowed=allowed).value
        for one in itertools.product((True, False), repeat=n)
    )
    assert mean == pytest.approx(1.0, abs=1e-9)
    seen = Wealth.over(len(rates))
    for _ in range(3):
        seen = over_budget(seen, requests=20, failures=5, allowed=allowed)
    assert seen.value > 100


def test_a_mismatch_agrees_with_another_implementation():
    share, mine, theirs = 0.25, 160, 240
    drawn = np.repeat([1.0, 0.0], [mine, theirs])
    other = BernoulliTest(share, prior=(eprocess.WEIGHT * share, eprocess.WEIGHT * (1 - share))).fit(drawn)
    alone = mismatch({share: (mine, theirs)}, shares=1)
    assert alone == pytest.approx(float(other.e_values_[-1]), rel=1e-9)
    assert mismatch({share: (mine, theirs)}, shares=4) == pytest.approx((alone + 3) / 4), (
        "what has not come counts as 1"
    )


def test_a_mismatch_is_seen_and_chance_is_not_taken_for_one():
    assert mismatch({}, shares=5) == 1.0
    assert mismatch({0.0: (0, 900), 1.0: (900, 0)}, shares=5) == 1.0
    assert mismatch({0.1: (300, 900)}, shares=5) > 1000
    random, wrong = Random(3), 0
    for _ in range(200):
        counts = [0, 0]
        for _ in range(600):
            counts[random.random() >= 0.25] += 1
            wrong += mismatch({0.25: tuple(counts)}, shares=1) >= 1000
    assert wrong == 0
    with pytest.raises(ValueError, match="only 1 were expected"):
        mismatch({0.1: (1, 1), 0.2: (1, 1)}, shares=1)
