"""What served requests say together."""

from dataclasses import replace

import pytest

from overnight.registry.evidence import LATENCY, SCORE, SUCCESS, Count, Evidence, Served, failures_of, taken, tally
from overnight.registry.plans import plan_of

PLAN = plan_of("canary", {"latency_objective_ms": 100})


def served(*, mine=True, percentage=10.0, key="k", **outcome):
    version = "v1.0.1" if mine else "v1.0.0"
    return Served(request_id="r", key=key, version=version, percentage=percentage, **outcome)


ALL = frozenset({SUCCESS, LATENCY, SCORE})


def count(one, *, again=False, first=True, plan=PLAN, compared=ALL):
    return Count(
        served=one,
        candidate=one.version == "v1.0.1",
        failed=failures_of(one, plan),
        again=again,
        first=first,
        compared=compared,
    )


@pytest.mark.parametrize(
    ("outcome", "guards"),
    [
        ({}, set()),
        ({"ok": False}, {"errors"}),
        ({"ok": False, "timed_out": True}, {"errors", "timeouts"}),
        ({"invalid": True}, {"invalid"}),
        ({"latency_ms": 100.0}, set()),
        ({"latency_ms": 100.1}, {"slow"}),
    ],
)
def test_each_kind_of_failure_is_told_apart(outcome, guards):
    assert failures_of(served(**outcome), PLAN) == guards


def test_without_an_objective_nothing_is_slow():
    assert failures_of(served(latency_ms=1e9), plan_of("canary")) == set()


def test_failures_go_to_their_guards_with_the_share_of_their_request():
    told = tally(PLAN, [count(served(ok=False)), count(served(mine=False, ok=False, percentage=25.0)), count(served())])
    assert told.failures == {"errors": [(True, 0.1), (False, 0.25)], "timeouts": [], "slow": [], "invalid": []}
    assert (told.candidate.requests, told.candidate.errors) == (2, 1)
    assert (told.champion.requests, told.champion.errors) == (1, 1)
    assert told.drawn == {0.1: (2, 0), 0.25: (0, 1)}


def test_a_key_that_has_failed_before_and_one_that_was_seen_say_nothing_new():
    told = tally(PLAN, [count(served(ok=False), again=True), count(served(), first=False)])
    assert (told.candidate.requests, told.candidate.errors, told.drawn) == (1, 0, {})


def test_whoever_has_all_requests_is_compared_with_nobody_but_keeps_to_the_budget():
    told = tally(PLAN, [count(served(ok=False, percentage=100.0))] * 5)
    assert told.failures["errors"] == []
    after = taken(Evidence.none(PLAN), PLAN, told)
    assert after.guards["errors"].value == pytest.approx(1)
    assert after.budget.value > 100


def test_in_a_shadow_both_answer_all_so_a_failure_is_as_likely_eithers():
    shadow = plan_of("shadow")
    told = tally(shadow, [count(served(ok=False, percentage=50.0), plan=shadow)])
    assert (told.failures["errors"], told.drawn) == ([(True, 0.5)], {})


def test_scores_are_kept_by_arm_and_share_and_an_ab_test_compares_more():
    plan = replace(plan_of("ab_test"), slow_ms=200.0)
    one = count(served(percentage=50.0, score=0.7, latency_ms=50.0), plan=plan)
    other = count(served(mine=False, percentage=50.0, ok=False), plan=plan)
    after = taken(taken(Evidence.none(plan), plan, tally(plan, [one])), plan, tally(plan, [one, other]))
    assert after.cells[SCORE] == {(True, 0.5): {70: 2}}
    assert after.cells[SUCCESS] == {(True, 0.5): {100: 2}, (False, 0.5): {0: 1}}
    assert after.cells[LATENCY] == {(True, 0.5): {75: 2}}
    assert tally(PLAN, [count(served(score=0.7))]).cells == {SCORE: {(True, 0.1): {70: 1}}}
    assert tally(PLAN, [count(served(score=0.7), compared=frozenset())]).cells == {}, "the key has had its say"


def test_keys_and_equal_scores_add_up_within_a_look_and_over_looks():
    looks = [count(served(score=0.7)), count(served(score=0.7)), count(served(mine=False, score=0.1))]
    once = tally(PLAN, looks)
    assert (once.drawn, once.cells[SCORE][(True, 0.1)]) == ({0.1: (2, 1)}, {70: 2})
    after = taken(taken(Evidence.none(PLAN), PLAN, once), PLAN, once)
    assert after.drawn == {0.1: (4, 2)}
    assert after.cells[SCORE] == {(True, 0.1): {70: 4}, (False, 0.1): {10: 2}}
    quiet = tally(PLAN, [count(served())])
    assert taken(after, PLAN, quiet).cells == after.cells, "what has no score takes none away"


def test_it_comes_back_from_json_as_it_was_and_a_new_stage_counts_anew():
    evidence = taken(Evidence.none(PLAN), PLAN, tally(PLAN, [count(served(ok=False, score=0.2))]))
    assert Evidence.from_dict(evidence.to_dict()) == evidence
    later = evidence.next_stage()
    assert (later.of_stage, later.candidate) == (0, evidence.candidate)
    assert later.guards["errors"].left < evidence.guards["errors"].left
    assert later.budget.left < evidence.budget.left and later.budget.value == pytest.approx(evidence.budget.value)
    assert later.guards["errors"].value == pytest.approx(evidence.guards["errors"].value)
