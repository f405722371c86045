"""When a job is submitted by itself, and what is said when none is."""

from dataclasses import replace

import pytest

from overnight.training.triggers import Rules, Standing, judge, measured

PLAIN = Rules(min_experiences=100, min_quality_0_1=0.3)
HAVE = "unused experiences of quality 0.3 or more"


@pytest.mark.parametrize(
    ("given", "rule", "why"),
    [
        (Standing(unused=0), None, f"0 {HAVE}, 100 are needed"),
        (Standing(unused=99), None, f"99 {HAVE}, 100 are needed"),
        (Standing(unused=100), "experiences", f"100 {HAVE}, 100 are enough"),
        (Standing(unused=10_000), "experiences", f"10,000 {HAVE}, 100 are enough"),
        (Standing(unused=99, under_way="nlu-1"), None, f"99 {HAVE}, 100 are needed"),
        (Standing(unused=250, under_way="nlu-1"), None, f"250 {HAVE}; the next job follows when nlu-1 has ended"),
    ],
)
def test_enough_unused_ones_make_a_job_unless_one_is_under_way(given, rule, why):
    verdict = judge(PLAIN, given)
    assert (verdict.rule, verdict.why) == (rule, why)


@pytest.mark.parametrize(
    ("rules", "given", "rule", "why"),
    [
        ({}, Standing(unused=30, due=True), "schedule", "its schedule has come"),
        ({}, Standing(unused=29, due=True), None, "100 are needed"),
        ({"drift": 0.001}, Standing(unused=30, drift_p=0.0004), "drift", "something else than was learnt (p 0.0004)"),
        ({"drift": 0.001}, Standing(unused=30, drift_p=0.02), None, "100 are needed"),
        ({"drift": 0.001}, Standing(unused=30), None, "100 are needed"),
        ({}, Standing(unused=30, drift_p=1e-9), None, "100 are needed"),
        ({"score_fall": 0.1}, Standing(unused=30, fall=(0.2, 1e-4)), "score", "fell by 20% (p 0.0001)"),
        ({"score_fall": 0.1}, Standing(unused=30, fall=(0.2, 0.01)), None, "100 are needed"),
        ({"score_fall": 0.3}, Standing(unused=30, fall=(0.2, 1e-4)), None, "100 are needed"),
        ({}, Standing(unused=30, fall=(0.9, 1e-9)), None, "100 are needed"),
    ],
)
def test_other_rules_want_a_job_too_with_fewer_experiences(rules, given, rule, why):
    verdict = judge(replace(PLAIN, **rules), given)
    assert verdict.rule == rule and why in verdict.why


@pytest.mark.parametrize(
    ("rules", "given", "why"),
    [
        ({"cool_down_s": 3600}, Standing(unused=100, last_s=600), "the next job follows 3000 s from now (cool_down_s)"),
        ({"cool_down_s": 3600}, Standing(unused=100, last_s=3600), None),
        ({"cool_down_s": 3600}, Standing(unused=100), None),
        ({"jobs_per_day": 2}, Standing(unused=100, today=2), "2 jobs were submitted in the last day, 2 may be"),
        ({"jobs_per_day": 2}, Standing(unused=100, today=1), None),
        ({"per_label": 5}, Standing(unused=100, labels={"a": 95, "b": 4}), "4 of 'b', 5 of each label are needed"),
        ({"per_label": 5}, Standing(unused=100, labels={"a": 95, "b": 5}), None),
    ],
)
def test_a_cool_down_a_budget_and_labels_out_of_balance_forbid_one(rules, given, why):
    verdict = judge(replace(PLAIN, **rules), given)
    assert (verdict.rule is None) == (why is not None)
    assert why is None or why in verdict.why


def test_what_was_measured_for_rules_is_told_with_where_they_want_a_job_and_what_was_not_is_said():
    rules = replace(PLAIN, drift=0.001, score_fall=0.1)
    assert measured(PLAIN, Standing(unused=50)) == []
    assert measured(rules, Standing(unused=10)) == [
        "drift: not measured, there are fewer than 30 unused; a job at 0.001 or less",
        "score: not measured, there are fewer than 30 unused; a job at 10.0% or more (p 0.001 or less)",
    ]
    assert measured(rules, Standing(unused=50, fall=(0.034, 0.21))) == [
        "drift: not measured, there is too little to compare with; a job at 0.001 or less",
        "score: the share of right answers fell by 3.4% (p 0.21); a job at 10.0% or more (p 0.001 or less)",
    ]
    assert measured(rules, Standing(unused=50, drift_p=0.43))[0] == "drift: p 0.43; a job at 0.001 or less"
