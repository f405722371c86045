"""What counts as unhealthy, and what the files for others hold."""

import pytest

from overnight.base.instants import US
from overnight.engine.model import Standing
from overnight.reports.vitals import (
    DECISION_S,
    MOST_FIRINGS,
    WRITER_MANY,
    WRITER_S,
    Doings,
    Models,
    Overdue,
    Vitals,
    health,
    health_file,
    next_file,
    problems,
    standing_word,
    state_file,
)

NOW = 1_800_000_000 * US


def vitals(**values):
    return Vitals(**{"at_us": NOW, "uptime_s": 7200.0, "decided_s_ago": 0.0, **values})


@pytest.mark.parametrize(
    ("values", "cause", "says"),
    [
        ({"decided_s_ago": DECISION_S + 0.1}, "scheduler", "10 s old"),
        ({"writer_waiting": 3, "writer_stalled_s": WRITER_S + 1}, "writer", "11 s, and 3 changes wait"),
        ({"writer_waiting": WRITER_MANY, "writer_growing_s": WRITER_S + 1}, "writer", "more and more for 11 s"),
        ({"disk_free_bytes": 999_000_000, "disk_reserve_gb": 1.0}, "disk", "1.00 GB of disk are free"),
        ({"overdue": [Overdue(run_id=7, task_id="t", by_s=33)]}, "overdue", "run 7 of t goes on 33 s"),
        ({"failure": "OSError: no", "decided_s_ago": 99.0}, "engine", "the engine has ended: OSError: no"),
        ({"services_lost": {"api": "5 starts failed"}}, "service", "service api is given up: 5 starts failed"),
    ],
)
def test_each_standstill_is_a_problem_with_its_cause_and_what_to_do(values, cause, says):
    [problem] = problems(vitals(**values))
    assert problem.cause == cause
    assert says in problem.text
    assert problem.advice
    body = health(vitals(**values), Standing(), Models())
    assert body["status"] == "unhealthy"
    assert body["problems"][0]["cause"] == cause


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"decided_s_ago": DECISION_S},
        {"writer_waiting": 10 * WRITER_MANY, "writer_growing_s": WRITER_S, "writer_stalled_s": WRITER_S},
        {"writer_waiting": WRITER_MANY - 1, "writer_growing_s": 99.0},
        {"disk_free_bytes": 1_000_000_000, "disk_reserve_gb": 1.0},
        {"disk_free_bytes": None, "disk_reserve_gb": 1.0},
    ],
)
def test_what_moves_is_healthy(values):
    assert problems(vitals(**values)) == ()
    assert health(vitals(**values), Standing(), Models())["status"] == "healthy"


def test_several_problems_are_all_told():
    found = problems(vitals(decided_s_ago=20.0, disk_free_bytes=0, disk_reserve_gb=1.0))
    assert [problem.cause for problem in found] == ["scheduler", "disk"]


def test_the_queue_is_as_old_as_its_oldest_ready_run():
    assert Standing().age_s(NOW) == 0
    assert Standing(oldest_ready_us=NOW - 5 * US).age_s(NOW) == 5
    assert Standing(oldest_ready_us=NOW + 5 * US).age_s(NOW) == 0
    body = health(vitals(), Standing(ready=2, held=1, active=3, oldest_ready_us=NOW - 5 * US), Models(training=1))
    assert body["queue"] == {
        "ready": 2, "later": 0, "waiting": 0, "held": 1, "active": 3, "oldest_ready_age_s": 5.0,
    }  # fmt: skip


def test_the_state_file_tells_what_is_measured():
    doings = Doings(active=[{"run_id": 1}], queued=[{"run_id": 2}], completed=5, failed=1, counted={"videos_total": 3})
    found = state_file(vitals(), doings)
    assert found["uptime_hours"] == 2
    assert (found["active_tasks"], found["task_queue"]) == ([{"run_id": 1}], [{"run_id": 2}])
    assert found["metrics"]["videos_total"] == 3
    assert (found["metrics"]["completed_tasks"], found["metrics"]["failed_tasks"]) == (5, 1)


def test_the_health_file_counts_all_that_waits_and_tells_what_is_wrong():
    found = health_file(
        vitals(decided_s_ago=11.0), Standing(ready=1, later=2, waiting=3, held=4), Doings(active=[{}, {}])
    )
    assert (found["task_queue_size"], found["active_tasks"]) == (10, 2)
    assert found["metrics"]["status"] == "unhealthy"
    assert found["metrics"]["last_health_check"] == found["timestamp"]
    assert len(found["metrics"]["problems"]) == 1


def test_the_plan_lists_firings_in_order_and_what_fires_often_once():
    often = list(range(NOW, NOW + (MOST_FIRINGS + 1) * US, US))
    found = next_file(NOW, 24, {"b": [NOW + 2 * US], "a": [NOW + US, NOW + 3 * US], "often": often})
    assert [line["task_id"] for line in found["firings"]] == ["a", "b", "a"]
    assert [line["task_id"] for line in found["often"]] == ["often"]
    assert next_file(NOW, 24, {"x": often[:-1]})["often"] == []


def test_how_a_daemon_stands_is_one_word():
    assert standing_word(vitals(), Models()) == standing_word(vitals(), Models(training=0)) == "healthy"
    assert standing_word(vitals(), Models(training=2)) == "busy"
    assert standing_word(vitals(decided_s_ago=11.0), Models(training=2)) == "degraded"
    assert standing_word(vitals(decided_s_ago=11.0, failure="OSError: no"), Models(training=2)) == "failed"


def test_what_nobody_has_counted_is_null():
    body = health(vitals(), Standing(), Models())
    names = ("active_training_jobs", "experience_buffer_size", "models_deployed")
    assert [body[name] for name in names] == [None, None, None]
