"""Exercises of one's own, executed by a coding agent, within a budget: learned from, compared, and compared again."""

import json
import sys

import pytest

from overnight import Project
from overnight.cli.app import main
from overnight.learning import custom, store
from overnight.processes.probe import sandbox_level

needs_sandbox = pytest.mark.skipif(
    sandbox_level({"PATH": "/usr/bin:/bin"}) != "namespaces", reason="this kernel allows no namespaces"
)
pytest.importorskip("sklearn")
WAIT_S = 120
AGENT = """import os, pathlib, sys
kind = sys.argv[1].split()[0]
right = os.environ["OVERNIGHT_MODEL"] == "good" or kind == "both"
pathlib.Path("answer").write_text("right" if right else "wrong")
"""
TOML = """
[learning]
exercises = 5
validation_exercises = 8
minimum_samples = 4
weights = {{ success = 1.0, speed = 0.0, reliability = 0.0 }}
[learning.agent]
command = ["{python}", "{agent}", "{{prompt}}"]
visible = ["{folder}"]
memory_gb = 0.2
[learning.strategies.conservative]
agent = {{ model = "good", attempts = 1, verification_depth = 0 }}
[learning.strategies.balanced]
agent = {{ model = "base", attempts = 1, verification_depth = 0 }}
[learning.strategies.aggressive]
agent = {{ model = "base", attempts = 1, verification_depth = 0 }}
"""


def exercise(number, kind="good"):
    return {
        "name": f"n{number}",
        "type": "code",
        "task": f"Write number {number}.",
        "work": {
            "kind": "workspace",
            "stages": [{"role": "author", "prompt": f"{kind} {number}"}],
            "answer": ["answer"],
        },
        "expectedChecks": [{"name": "right", "command": ["grep", "-q", "right", "answer"]}],
    }


@pytest.fixture
def project_folder(tmp_path):
    folder, agents = tmp_path / "p", tmp_path / "agents"
    folder.mkdir()
    agents.mkdir()
    (agents / "agent.py").write_text(AGENT)
    told = TOML.format(python=sys.executable, agent=agents / "agent.py", folder=agents)
    (folder / "overnight.toml").write_text(told)
    return folder


@needs_sandbox
def test_what_cannot_be_told_is_compared_again_on_further_exercises_until_it_can(project_folder, capsys):
    # The default is right in 7 of the first 8 that are kept, and in none of the others.
    _, kept = custom.halves([exercise(number) for number in range(32)])
    easy = {one["name"] for one in kept[:7]}
    tasks = [exercise(number, "both" if f"n{number}" in easy else "good") for number in range(32)]
    (project_folder / "tasks.json").write_text(json.dumps({"tasks": tasks}))
    words = ["learn", "run", "--iterations", "1", "--tasks", str(project_folder / "tasks.json"), "--budget", "1h"]
    assert main(["--project", str(project_folder), *words, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["candidate"], found["applied"], found["verdict"]["look"]) == ("conservative", True, 2)
    assert found["verdict"]["exercises"] == 16 and found["verdict"]["alpha"] == 0.05 / 4
    with Project.open(project_folder) as project, project.database.read() as connection:
        rows = store.of_session(connection, found["run_id"])
    compared = {row["exercise"] for row in rows if row["purpose"] == "validate"}
    assert compared == {one["name"] for one in kept} and not compared & {
        row["exercise"] for row in rows if row["purpose"] == "learn"
    }


def test_a_budget_that_is_used_up_ends_learning_and_keeps_the_default(tmp_path, capsys):
    folder = tmp_path / "p"
    folder.mkdir()
    told = "[learning]\nexercises = 4\nminimum_samples = 2\ndefault = 'idle'\n"
    told += "[learning.strategies.idle]\ntraining = { learning_rate = 1e-6, epochs = 1 }\n"
    (folder / "overnight.toml").write_text(told)
    words = ["learn", "run", "--complexity", "easy", "--budget", "1s", "--json"]
    assert main(["--project", str(folder), *words]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["applied"], found["verdict"]) == (False, None)
    assert found["reason"].endswith(" s of 1 s); a larger --budget compares them")
    with Project.open(folder) as project, project.database.read() as connection:
        assert len(store.executed(connection)) == 4 * 4, "one iteration of three"
        assert store.changes(connection) == [] and store.newest_verdict(connection) is None


def test_without_an_agent_exercises_for_one_are_refused_before_anything_is_executed(tmp_path, capsys):
    (tmp_path / "overnight.toml").write_text("")
    path = tmp_path / "tasks.json"
    path.write_text(json.dumps({"tasks": [exercise(number) for number in range(4)]}))
    assert main(["--project", str(tmp_path), "learn", "run", "--tasks", str(path)]) == 2
    err = capsys.readouterr().err
    assert "tasks[0]: 'n0' is executed by a coding agent, and there is none; set command in [learning.agent]" in err
    assert err.count("\n") == 1
    with Project.open(tmp_path) as project:
        assert project.runs() == []


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--tasks", "none.json"], "none.json: cannot be read"),
        (["--tasks", "bad.toml"], "bad.toml: it is no TOML"),
        (["--tasks", "odd.json"], "odd.json: tasks[3]: work.verify: 5 is not a list of checks by programs"),
        (["--tasks", "tasks.json", "--focus", "cod"], "there is no such type of task as 'cod'; did you mean code?"),
        (["--budget", "soon"], "budget: 'soon' is no time; write a whole number and s, m, h or d, such as 30m"),
    ],
)
def test_mistakes_are_one_line(project_folder, capsys, monkeypatch, words, why):
    monkeypatch.chdir(project_folder)
    (project_folder / "bad.toml").write_text("[")
    (project_folder / "tasks.json").write_text(json.dumps({"tasks": [exercise(number) for number in range(4)]}))
    odd = [exercise(number) for number in range(4)]
    odd[3]["work"]["verify"] = 5
    (project_folder / "odd.json").write_text(json.dumps({"tasks": odd}))
    assert main(["--project", str(project_folder), "learn", "run", *words]) == 2
    err = capsys.readouterr().err
    assert why in err and err.count("\n") == 1
