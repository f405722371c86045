"""When a job is submitted by itself, and what is said when none is."""

import pytest

from overnight.training.triggers import Standing, judge


def standing(unused, under_way=None):
    return Standing(unused=unused, min_experiences=100, min_quality_0_1=0.3, under_way=under_way)


@pytest.mark.parametrize(
    ("given", "rule", "why"),
    [
        (standing(0), None, "0 unused experiences of quality 0.3 or more, 100 are needed"),
        (standing(99), None, "99 unused experiences of quality 0.3 or more, 100 are needed"),
        (standing(100), "experiences", "100 unused experiences of quality 0.3 or more, 100 are enough"),
        (standing(10_000), "experiences", "10,000 unused experiences of quality 0.3 or more, 100 are enough"),
        (standing(99, "nlu-1"), None, "99 unused experiences of quality 0.3 or more, 100 are needed"),
        (
            standing(250, "nlu-1"),
            None,
            "250 unused experiences of quality 0.3 or more; the next job follows when nlu-1 has ended",
        ),
    ],
)
def test_enough_unused_ones_make_a_job_unless_one_is_under_way(given, rule, why):
    verdict = judge(given)
    assert (verdict.rule, verdict.why) == (rule, why)
