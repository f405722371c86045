"""Working until there is nothing left to do ends, whatever is left that nobody can do."""

import pytest

from overnight.app.project import Project
from overnight.cli import app as cli
from overnight.engine.idle import can_move
from overnight.engine.model import State
from overnight.testing.bench import Bench

HOUR_S = 3600
TOML = """
[tasks.gone]
action = ["true"]

[tasks.never]
action = ["true"]

[tasks.after]
action = ["true"]
once = "2020-01-01T00:00Z"
after = ["never"]
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project with a run of a task that was taken out since, and one that waits for a parent for ever."""
    config = tmp_path / "overnight.toml"
    config.write_text(TOML)
    with Project.open(tmp_path) as project:
        project.submit("gone")
    config.write_text(TOML.replace("[tasks.gone]", "[tasks.here]"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_runs_of_lost_tasks_and_runs_that_wait_for_parents_keep_nobody_working(folder):
    with Project.open(folder) as project:
        project.run(until_idle=True)
        assert {run.task_id: run.state for run in project.runs()} == {"gone": State.PENDING, "after": State.PENDING}


def test_the_command_names_what_is_left_in_one_line(folder, capsys):
    assert cli.main(["run", "--until-idle"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "nothing left to do; run 1 of gone stays: there is no such task any more; "
        "run 2 of after waits for the tasks never"
    )


def test_no_more_than_three_are_named(folder, capsys):
    (folder / "overnight.toml").write_text(TOML)
    with Project.open(folder) as project:
        for _ in range(3):
            project.submit("gone")
    (folder / "overnight.toml").write_text('[tasks.here]\naction = ["true"]\n')
    assert cli.main(["run", "--until-idle"]) == 0
    [line] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("nothing left")]
    assert line.count("run ") == 3
    assert line.endswith("; and so on")


@pytest.fixture
def bench(tmp_path, database_url):
    with Bench(tmp_path / "project", database_url) as bench:
        yield bench


def idle(bench):
    return not can_move(bench.project.database, bench.project.book)


def test_what_is_due_later_and_what_asks_a_person_is_waited_for(bench):
    bench.add("fails", lambda: 1 / 0, max_retries=1)
    bench.add("asks", lambda flow: flow.ask("go", "Go?"))
    assert idle(bench)
    failing = bench.project.submit("fails")
    assert not idle(bench), "ready"
    bench.work()
    assert bench.state(failing) is State.RETRYING
    assert not idle(bench), "due later"
    bench.after(60)
    assert idle(bench)
    bench.project.submit("asks")
    bench.work()
    assert not idle(bench), "somebody may answer"
    bench.project.answer(bench.project.questions()[0].question_id, "yes")
    bench.work()
    assert idle(bench)


def test_a_flow_waits_as_long_as_what_it_waits_for_may_move(bench):
    bench.add("child", lambda flow: flow.ask("go", "Go?"))
    bench.add("flow", lambda flow: flow.wait(flow.start("child")))
    bench.project.submit("flow")
    bench.work()
    assert not idle(bench)
    # The child's task is gone.
    del bench.project._tasks["child"]
    bench.project._book = None
    assert idle(bench)


def test_an_instant_that_has_come_is_waited_for_and_a_later_one_is_not(bench):
    bench.add("tick", every="1h")
    bench.work()
    assert idle(bench)
    bench.clock.advance(HOUR_S)
    assert not idle(bench)
    bench.work()
    assert bench.calls == ["tick"]
    assert idle(bench)
