"""Which alerts there are, and that each cause is told once an hour."""

import pytest

from overnight.base.instants import US
from overnight.engine.model import Standing
from overnight.reports.alerts import (
    EVERY_US,
    FEWEST_ENDED,
    Alert,
    Facts,
    Failure,
    MissedTick,
    Rules,
    Slow,
    alerts,
    not_told_lately,
)
from overnight.reports.targets import Produced
from overnight.reports.vitals import Problem

NOW = 1_800_000_000 * US


def causes(facts, **rules):
    return [alert.cause for alert in alerts(facts, Rules(**rules))]


def failure(run_id, task_id="t"):
    return Failure(run_id=run_id, task_id=task_id, why="broken")


def test_nothing_is_told_where_nothing_happened():
    assert causes(Facts(now_us=NOW)) == []


def test_failures_of_one_task_are_one_alert_that_names_the_last():
    facts = Facts(now_us=NOW, failures=[failure(1), failure(2, "other"), *(failure(n) for n in range(3, 10))])
    found = alerts(facts, Rules())
    assert [alert.cause for alert in found] == ["failed:t", "failed:other"]
    assert "8 runs (5, 6, 7, 8, 9)" in found[0].text
    assert "`overnight runs show 9`" in found[0].text
    assert "run 2: broken" in found[1].text
    assert causes(facts, failed=False) == []


def test_a_share_of_failures_is_told_only_where_it_means_something():
    few = Facts(now_us=NOW, ended_last_hour=FEWEST_ENDED - 1, failed_last_hour=FEWEST_ENDED - 1)
    assert causes(few) == []
    many = Facts(now_us=NOW, ended_last_hour=10, failed_last_hour=5)
    assert causes(many) == ["failure rate"]
    assert causes(many, failure_rate=0.51) == []
    assert causes(many, failure_rate=None) == []


def test_a_queue_that_is_behind_is_told():
    facts = Facts(now_us=NOW, queue=Standing(ready=4, oldest_ready_us=NOW - 3601 * US))
    [alert] = alerts(facts, Rules())
    assert (alert.cause, "4 are ready" in alert.text) == ("queue age", True)
    assert causes(facts, queue_age_s=3601.0) == []
    assert causes(facts, queue_age_s=None) == []


@pytest.mark.parametrize(("count", "says"), [(3, "3 instant(s)"), (None, "very many instants")])
def test_missed_instants_are_told_with_how_to_make_up_for_them(count, says):
    facts = Facts(now_us=NOW, missed=[MissedTick(task_id="daily", count=count, until="now")])
    [alert] = alerts(facts, Rules())
    assert says in alert.text
    assert "`overnight backfill daily`" in alert.text
    assert causes(facts, missed=False) == []


def test_each_problem_of_health_is_a_cause_and_comes_first():
    facts = Facts(now_us=NOW, problems=[Problem(cause="disk", text="full", advice="make room")], failures=[failure(1)])
    assert causes(facts) == ["health:disk", "failed:t"]
    twice = [Problem(cause="overdue", text=text, advice="") for text in ("one", "two")]
    assert causes(Facts(now_us=NOW, problems=twice)) == ["health:overdue"]


def test_a_cause_is_told_once_an_hour():
    found = [Alert(cause=cause, title="", text="") for cause in ("new", "lately", "long ago", "clock was ahead")]
    told = {"lately": NOW - EVERY_US + 1, "long ago": NOW - EVERY_US, "clock was ahead": NOW + US}
    assert [alert.cause for alert in not_told_lately(found, told, NOW)] == ["new", "long ago", "clock was ahead"]


def slow(run_id, took_s, task_id="t"):
    return Slow(run_id=run_id, task_id=task_id, took_s=took_s, target_s=60.0)


def test_runs_that_take_longer_than_they_should_are_one_alert_of_the_longest():
    facts = Facts(now_us=NOW, slow=[slow(1, 61.0), slow(2, 90.0), slow(3, 70.0), slow(4, 100.0, "other")])
    found = alerts(facts, Rules())
    assert [alert.cause for alert in found] == ["slow:t", "slow:other"]
    assert "3 runs, 2 the longest: took 90 s; target_s is 60" in found[0].text
    assert found[1].text.startswith("run 4 took 100 s") and not found[0].once
    assert causes(facts, targets=False) == []


def test_too_little_is_told_once_when_the_time_is_over():
    def of(count, over=True):
        return Produced(name="videos", period="day", label="2026-11-27", count=count, levels=(3, 6), over=over)

    [alert] = alerts(Facts(now_us=NOW, produced=[of(2)]), Rules())
    assert alert.cause == "target:videos:2026-11-27" and "videos 2026-11-27: 2 of 3 / 6" in alert.text
    assert causes(Facts(now_us=NOW, produced=[of(3)])) == causes(Facts(now_us=NOW, produced=[of(0, False)])) == []
    assert not_told_lately([alert], {alert.cause: NOW - 30 * EVERY_US}, NOW) == []
