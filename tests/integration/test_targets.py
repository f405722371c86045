"""Targets on what tasks count: told by status, metrics and the morning report, and as an alert when too little came."""

import json

import pytest

from overnight import Project, Task
from overnight.app import morning, targets
from overnight.base.errors import ConfigError
from overnight.cli import status
from overnight.testing.clock import FakeClock

TOML = """
[project]
timezone = "Europe/Berlin"
[targets.videos]
day = [3, 6, 12]
month = [90]
"""
DAY_S = 86_400


def make(ctx, number):
    ctx.count("videos", number)


@pytest.fixture
def project(tmp_path, database_url):
    (tmp_path / "overnight.toml").write_text(f'{TOML}[engine]\ndatabase = "{database_url}"\n')
    with Project.open(tmp_path, clock=FakeClock()) as project:
        project.add_task(Task(task_id="make", action=make, executor="thread", max_retries=0))
        yield project


def lines(project):
    return [text for text, _ in status.lines(status.look(project), None) if "videos" in text and " of " in text]


def test_status_and_morning_report_tell_what_there_is(project):
    for number in (2, 3):
        project.submit("make", {"number": number})
    project.run(until_idle=True)
    said = ["videos today: 5 of 3 / 6 / 12", "videos this month: 5 of 90"]
    assert [line[11:] for line in lines(project)] == said
    assert morning.facts_of(project, project.clock.now_us())["targets"] == said
    project.clock.advance(DAY_S)
    assert [line[11:] for line in lines(project)] == ["videos today: 0 of 3 / 6 / 12", "videos this month: 5 of 90"]
    assert not any(one.short for one in targets.standing(project)), "the first day was no whole one"
    project.clock.advance(DAY_S)
    assert [one.count for one in targets.standing(project) if one.short] == [0], "the second was"
    json.dumps(status.look(project))


def test_a_wrong_target_is_one_line(tmp_path):
    (tmp_path / "overnight.toml").write_text("[targets.videos]\nday = [6, 3]\n")
    with pytest.raises(ConfigError, match=r"targets.videos.day: \[6.0, 3.0\] does not rise"):
        Project.open(tmp_path).close()
