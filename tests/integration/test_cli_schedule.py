"""schedule, backfill, review, pause and resume on the command line, wrong inputs included."""

import json
import re
import sys

import pytest

from daemons import wait_for
from overnight.cli.app import main

TOML = """
[project]
module = "work"
timezone = "Europe/Berlin"

[tasks.daily]
action = ["true"]
schedule = "0 3 * * *"
tags = ["night"]

[tasks.often]
action = ["true"]
every = "1m"

[tasks.hand]
action = ["true"]
"""
MODULE = """
from overnight import Task

def release(flow):
    return flow.ask("go", "Release?", ("approve", "reject"))

def pick(flow):
    return flow.ask("pick", "Which?", ("red", "blue"))

def configure(project):
    project.add_task(Task(task_id="release", action=release))
    project.add_task(Task(task_id="pick", action=pick))
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    (tmp_path / "overnight.toml").write_text(TOML)
    (tmp_path / "work.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    # Other tests of this process have a module of this name.
    sys.modules.pop("work", None)
    monkeypatch.setenv("COLUMNS", "200")

    def call(*arguments, code=0):
        capsys.readouterr()
        assert main(arguments) == code
        said = capsys.readouterr()
        return said.out if code == 0 else said.err

    yield call
    sys.modules.pop("work", None)


def test_a_cron_line_is_checked_and_clock_changes_are_marked(run):
    out = run("schedule", "check", "30 2 * * *", "--tz", "Europe/Berlin", "--from", "2027-03-27")
    assert "times of the civil day" in out
    lines = out.splitlines()[1:]
    assert len(lines) == 10
    assert lines[:3] == [
        "  2027-03-27T02:30+01:00",
        "  2027-03-28T03:00+02:00  clocks have changed",
        "  2027-03-29T02:30+02:00",
    ]
    found = json.loads(
        run("schedule", "check", "0 */4 * * *", "--tz", "Europe/Berlin", "--from", "2026-10-25", "--json")
    )
    assert [firing["at"] for firing in found["firings"]][:2] == ["2026-10-25T04:00+01:00", "2026-10-25T08:00+01:00"]
    assert [firing["clocks_changed"] for firing in found["firings"]][:2] == [True, False]
    assert not found["fixed"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["schedule", "check", "0 0 * * * *"], "has 6 fields; write five"),
        (["schedule", "check", "0 0 31 2 *"], "there is no day 31 in month 2"),
        (["schedule", "check", "0 0 * * *", "--tz", "Europe/Berlm"], "did you mean 'Europe/Berlin'"),
        (["schedule", "check", "0 0 * * *", "--from", "soon"], "--from: 'soon' is not a date"),
        (["backfill", "daily", "--from", "2026-01-01", "--to", "2025-01-01"], "is no span of time"),
        (["backfill", "daily", "--from", "2026-01-01", "--to", "2999-01-01"], "lies in the future"),
        (["backfill", "hand", "--from", "2026-01-01"], "there are no instants"),
        (["backfill", "nothing", "--from", "2026-01-01"], "there is no task 'nothing'"),
        (["backfill", "often", "--from", "2020-01-01"], "more than 10000 instants"),
        (["tasks", "pause", "nothing"], "there is no task 'nothing'"),
        (["tasks", "show", "dail"], "did you mean daily?"),
        (["review", "approve", "99"], "there is no question 99"),
    ],
)
def test_what_is_wrong_is_one_line(run, arguments, says):
    said = run(*arguments, code=2)
    assert says in said
    assert said.count("\n") == 1


def test_the_firings_to_come_are_listed_without_paused_tasks(run):
    out = run("schedule", "next", "--hours", "24")
    assert re.search(r"03:00:00  daily", out)
    assert "of often only the first 10 are shown" in out
    run("tasks", "pause", "often", "--why", "too much")
    found = json.loads(run("schedule", "next", "--json"))
    assert {firing["task_id"] for firing in found["firings"]} == {"daily"}
    assert found["firings"][0]["at"].endswith(("+01:00", "+02:00"))


def test_pause_and_resume(run):
    assert "is paused" in run("tasks", "pause", "daily", "--why", "new disk")
    assert "paused already" in run("tasks", "pause", "daily")
    assert "(paused)" in run("tasks", "list", "--tag", "night")
    assert "new disk" in run("tasks", "show", "daily")
    assert "new disk" in run("review", "list")
    assert json.loads(run("tasks", "show", "daily", "--json"))["paused"]["why"].endswith("new disk")
    assert run("tasks", "resume", "daily") == "daily goes on\n"
    assert run("tasks", "resume", "daily") == "daily was not paused\n"
    assert run("review", "list") == "nothing waits for you\n"
    assert run("tasks", "list", "--tag", "day") == "no task has the tag 'day'\n"


def test_a_backfill_runs_each_instant_once(run):
    shown = run("backfill", "daily", "--from", "2026-03-27", "--to", "2026-03-31", "--dry-run")
    assert shown.splitlines() == [
        "2026-03-27 03:00:00", "2026-03-28 03:00:00", "2026-03-29 03:00:00", "2026-03-30 03:00:00", "4 instants",
    ]  # fmt: skip
    assert "4 of 4 instants of daily are in the queue" in run(
        "backfill", "daily", "--from", "2026-03-27", "--to", "2026-03-31"
    )
    found = json.loads(run("backfill", "daily", "--from", "2026-03-26", "--to", "2026-03-31", "--json"))
    assert (len(found["run_ids"]), found["known"]) == (1, 4)
    run("run", "--until-idle")
    assert len(json.loads(run("runs", "list", "--task", "daily", "--state", "completed", "--json"))) == 5


def test_a_dry_run_starts_nothing(run):
    out = run("tasks", "run", "daily", "--dry-run")
    assert "nothing was started" in out
    assert json.loads(run("tasks", "run", "daily", "--dry-run", "--json"))["action"] == ["true"]
    assert run("runs", "list") == "no runs yet; `overnight tasks run NAME` makes one\n"


def test_questions_are_approved_and_rejected(run):
    from overnight.app.project import Project

    with Project.open() as project:
        ids = []
        with project.running():
            for name in ("release", "release", "pick"):
                ids.append(project.submit(name))
                wait_for(lambda: project.get(ids[-1]).parked)
    found = json.loads(run("review", "list", "--json"))
    assert [one["prompt"] for one in found] == ["Release?", "Release?", "Which?"]
    assert "answered: approve" in run("review", "approve", "1")
    assert "answered: reject" in run("review", "reject", "2")
    assert "neither approve nor yes among its choices (red, blue)" in run("review", "approve", "3", code=2)
    run("answer", "3", "red")
    run("run", "--until-idle")
    results = [json.loads(run("runs", "show", str(run_id), "--json"))["result"] for run_id in ids]
    assert results == ["approve", "reject", "red"]
