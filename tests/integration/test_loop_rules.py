"""The rules of continuous learning on a real project, and what `overnight loop status` tells of them."""

import json
from random import Random

import pytest
import sqlalchemy as sa
from test_rollouts import Clock

from daemons import wait_for
from overnight import Project
from overnight.app.triggers import look_at, verdict_on
from overnight.base.errors import ConfigError
from overnight.cli.app import main
from overnight.flows import continuous

HOUR_US = 3_600_000_000
WORDS = {"weather": ["rain", "snow", "sun"], "music": ["jazz", "rock", "soul"]}
NEW = {"weather": ["monsoon", "hail", "gale"], "music": ["polka", "tango", "waltz"]}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def open_(tmp_path, clock):
    made = []

    def opened(toml):
        (tmp_path / "overnight.toml").write_text(f"[training]\nvalidation = 0.3\n{toml}")
        made.append(Project.open(tmp_path, clock=clock))
        return made[-1]

    yield opened
    for one in made:
        one.close()


def experiences(count, seed, words=WORDS, right=1.0):
    draw = Random(seed)
    found = []
    for number in range(count):
        intent = ("weather", "music")[number % 2]
        text = f"{draw.choice(words[intent])} {draw.choice(['please', 'now', 'today'])} {draw.randrange(10**9)}"
        found.append(
            {"type": "t", "input": text, "expected_output": intent, "success": draw.random() < right, "confidence": 0.9}
        )
    return found


def trained(project, clock):
    """Have a first version serve, and let two hours pass."""
    status = project.submit_training("nlu", experiences(80, 1), epochs=5)
    project.run(until_idle=True)
    assert project.job(status.job_id).status == "completed"
    clock.ahead_us += 2 * HOUR_US


def test_a_schedule_has_it_trained_with_fewer_experiences_once_each_time(open_, clock):
    project = open_('[loop.nlu]\nschedule = "0 * * * *"\nat_least = 30\n')
    assert project.add_experiences("nlu", experiences(29, 2)).job_id is None
    job_id = project.add_experiences("nlu", experiences(5, 3)).job_id
    assert project.job(job_id).submitted_by == "schedule"
    project.run(until_idle=True)
    assert project.add_experiences("nlu", experiences(40, 4)).job_id is None, "its schedule has not come again"
    clock.ahead_us += HOUR_US
    assert look_at(project, "nlu") is not None


def test_what_is_asked_has_drifted(open_, clock):
    project = open_("[loop.nlu]\ndrift = 0.001\n")
    trained(project, clock)
    project.add_experiences("nlu", experiences(35, 2))
    assert look_at(project, "nlu", thorough=True) is None, verdict_on(project, "nlu").why
    added = project.add_experiences("nlu", experiences(60, 3, NEW))
    assert added.job_id is None, "what they hold is looked at now and then alone"
    job_id = look_at(project, "nlu", thorough=True)
    assert project.job(job_id).submitted_by == "drift"


def test_a_look_reads_the_newest_job_once_and_no_more_of_what_is_asked_than_is_compared(open_, clock, monkeypatch):
    project = open_("[loop.nlu]\ndrift = 0.001\n")
    trained(project, clock)
    project.add_experiences("nlu", experiences(35, 2))
    said, compared = [], []
    monkeypatch.setattr(continuous, "MOST", 20)
    monkeypatch.setattr(continuous, "two_sample", lambda learnt, asked: compared.append(asked))
    sa.event.listen(project.database.engine, "before_cursor_execute", lambda *call: said.append(call[2]))
    verdict_on(project, "nlu")
    assert len([one for one in said if "FROM jobs" in one]) == 1, said
    assert compared == [[one["input"] for one in experiences(35, 2)][:-21:-1]]


def test_answers_are_right_less_often(open_, clock):
    project = open_("[loop.nlu]\nscore_fall = 0.2\n")
    trained(project, clock)
    project.add_experiences("nlu", experiences(50, 2))
    assert look_at(project, "nlu", thorough=True) is None
    project.add_experiences("nlu", experiences(49, 3, right=0.4))
    job_id = look_at(project, "nlu", thorough=True)
    assert project.job(job_id).submitted_by == "score"
    project.run(until_idle=True)
    clock.ahead_us += HOUR_US
    project.add_experiences("nlu", experiences(49, 4, right=0.4))
    assert look_at(project, "nlu", thorough=True) is None, "one fall is one reason"


def test_a_cool_down_a_budget_and_labels_hold_it_back(open_, clock):
    rules = "[loop.nlu]\nmin_experiences = 20\ncool_down_s = 3600\njobs_per_day = 2\nper_label = 5\n"
    project = open_(rules)
    lopsided = [one for one in experiences(50, 1) if one["expected_output"] == "weather"]
    assert project.add_experiences("nlu", [*lopsided, *experiences(8, 2)]).job_id is None
    assert "4 of 'music', 5 of each label are needed" in verdict_on(project, "nlu").why
    assert project.add_experiences("nlu", experiences(4, 3)).job_id is not None
    for submitted in (True, False):
        project.run(until_idle=True)
        assert project.add_experiences("nlu", experiences(24, clock.ahead_us)).job_id is None
        assert "cool_down_s" in verdict_on(project, "nlu").why
        clock.ahead_us += HOUR_US
        assert (look_at(project, "nlu") is not None) is submitted
    assert "2 jobs were submitted in the last day, 2 may be" in verdict_on(project, "nlu").why
    clock.ahead_us += 24 * HOUR_US
    assert look_at(project, "nlu") is not None


def test_a_clock_that_is_set_back_holds_nothing_back(open_, clock):
    project = open_("[loop.nlu]\nmin_experiences = 20\ncool_down_s = 3600\n")
    clock.ahead_us += 48 * HOUR_US
    assert project.add_experiences("nlu", experiences(24, 1)).job_id is not None
    project.run(until_idle=True)
    clock.ahead_us = 0
    assert project.add_experiences("nlu", experiences(24, 2)).job_id is not None


def test_a_quality_of_its_own(open_):
    project = open_("[loop.nlu]\nmin_experiences = 10\nmin_quality = 0.95\n")
    project.add_experiences("nlu", experiences(20, 1))
    assert look_at(project, "nlu") is None and "quality 0.95" in verdict_on(project, "nlu").why
    [held] = project.experience_buffer()
    assert (held.unused, held.below) == (0, 20)


@pytest.mark.parametrize(
    ("toml", "why"),
    [
        ("[loop.nul]\nat_least = 9\n", "loop.nul: there is no model_type 'nul'; did you mean nlu?"),
        ('[loop.nlu]\nschedule = "every day"\n', "overnight.toml: loop.nlu.schedule: 'every day' has 2 fields"),
        ("[loop.nlu]\ndrift = 2\n", "loop.nlu.drift"),
        ("[models.nlu]\nrollout = { steps = 3 }\n", "models.nlu.rollout: "),
        ("[models.nlu]\nrollout = { min_requests = -1 }\n", "models.nlu.rollout: min_requests"),
    ],
)
def test_bad_settings_are_one_line(open_, toml, why):
    with pytest.raises(ConfigError) as refused:
        open_(toml)
    assert why in str(refused.value) and "\n" not in str(refused.value)


def test_the_settings_of_a_rollout_that_begins_by_itself_are_those_of_the_model(open_, clock):
    project = open_("[models.nlu.rollout]\nmonitor_duration_seconds = 7.0\nrollout_steps = [50, 100]\n")
    trained(project, clock)
    text = experiences(80, 5, NEW)
    project.submit_training("nlu", text, epochs=20)
    with project.running():
        [run] = wait_for(lambda: project.runs(task_id="overnight:rollout"))
        found = project.deployment(json.loads(run.args)["deployment_id"])
    assert (found.plan.dwell_s, found.plan.steps) == (7.0, (50.0, 100.0))


def test_loop_status_tells_what_serves_what_was_gathered_and_what_follows(open_, clock, capsys, tmp_path):
    project = open_('[loop.nlu]\nschedule = "0 3 * * *"\n')
    trained(project, clock)
    project.add_experiences("nlu", experiences(12, 2))
    [found] = project.loop_status()
    assert (found["model_type"], found["serving"], found["unused"], found["needed"]) == ("nlu", "v1.0.0", 12, 100)
    assert found["next"] == "12 unused experiences of quality 0.3 or more, 100 are needed"
    assert found["next_schedule"] and [one["version"] for one in found["last"]] == ["v1.0.0"]
    project.close()
    assert main(["--project", str(tmp_path), "loop", "status"]) == 0
    out = capsys.readouterr().out
    assert "nlu: v1.0.0 serves" in out and "12 of 100 experiences" in out and "not compared: the first version" in out
    assert main(["--project", str(tmp_path), "loop", "status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["model_type"] == "nlu"


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("", "`overnight jobs submit MODEL --data FILE` trains a first version"),
        (
            '[agents.one]\nclass = "overnight.training.trainers.ranker:Ranker"\ndata = "x"\ntarget = "t"\n'
            "[categories.x]\nlimit = 9\n",
            "no model here is trained by the loop; agents of a fleet are shown by `overnight stats`",
        ),
    ],
)
def test_loop_status_says_what_to_do_where_no_model_is_in_the_loop(tmp_path, capsys, toml, says):
    (tmp_path / "overnight.toml").write_text(toml)
    assert main(["--project", str(tmp_path), "loop", "status"]) == 0
    out = capsys.readouterr().out
    assert says in out and "docs/" not in out
