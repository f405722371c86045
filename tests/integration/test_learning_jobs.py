"""Trainings by a strategy: which one executes them, why, and what it changes."""

import json
import sys

import pytest

from overnight import Project
from overnight.app import learning
from overnight.app.jobs import submit_training
from overnight.base.errors import UnknownName, UserMistake
from overnight.cli.app import main
from overnight.training import jobs

TOML = """
[learning.strategies.both]
members = ["conservative", "aggressive"]
[training.models.own]
command = ["true"]
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "overnight.toml").write_text(TOML)
    with Project.open(tmp_path) as opened:
        yield opened


def texts(count=12):
    return [
        {"input": f"{word} number {number}", "expected_output": word}
        for number in range(count)
        for word in ("lamp", "song")
    ]


def wish_of(project, status):
    with project.database.read() as connection:
        return jobs.find(connection, status.job_id).wish


def test_a_job_trains_by_the_strategy_that_is_asked_for(project):
    status = submit_training(project, "nlu", texts(), epochs=10, strategy="conservative")
    wish = wish_of(project, status)
    assert (wish.epochs, wish.settings["learning_rate"]) == (20, pytest.approx(0.02 / 3))
    assert status.strategy == "conservative (it was asked for); not used: regularisation, early_stopping, ensemble"


def test_a_setting_that_is_given_is_left_alone(project):
    status = submit_training(
        project, "nlu", texts(), epochs=10, strategy="conservative", settings={"learning_rate": 0.5}
    )
    assert wish_of(project, status).settings["learning_rate"] == 0.5


def test_learned_is_whichever_executes_such_trainings(project):
    status = submit_training(project, "nlu", texts(), epochs=10, strategy="learned")
    assert status.strategy == "balanced (the default of the settings)" and wish_of(project, status).epochs == 10
    learning.set_default(project, "aggressive", "job:nlu")
    status = submit_training(project, "nlu", texts(), epochs=10, strategy="learned")
    assert status.strategy.startswith("aggressive (") and "has set it for job:nlu" in status.strategy
    assert wish_of(project, status).epochs == 4


@pytest.mark.parametrize(
    ("model_type", "strategy", "error", "why"),
    [
        ("nlu", "agressive", UnknownName, "there is no strategy 'agressive'; did you mean aggressive?"),
        ("nlu", "both", UserMistake, "strategy: both is an ensemble, which executes exercises alone"),
        ("own", "balanced", UserMistake, "strategy: own is trained by a program"),
    ],
)
def test_what_cannot_execute_a_training_is_refused(project, model_type, strategy, error, why):
    with pytest.raises(error) as refused:
        submit_training(project, model_type, texts(), strategy=strategy)
    assert why in str(refused.value)


def test_the_command_line_says_which_strategy_and_why(tmp_path, capsys):
    (tmp_path / "overnight.toml").write_text("")
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in texts()))
    words = ["jobs", "submit", "nlu", "--data", str(path), "--epochs", "4", "--strategy", "learned", "--wait"]
    assert main(["--project", str(tmp_path), *words]) == 0
    assert "strategy balanced (the default of the settings)" in capsys.readouterr().out
    assert main(["--project", str(tmp_path), *words, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["strategy"] == "balanced (the default of the settings)"


PROGRAM = """
import json, sys
strategy = json.loads(sys.argv[1])
print(json.dumps({"rate": strategy["training"]["learning_rate"], "attempts": strategy["agent"]["attempts"]}))
sys.exit(strategy["name"] == "aggressive")
"""


def test_a_task_gets_the_strategy_as_an_argument_and_what_comes_of_it_counts(tmp_path, capsys):
    (tmp_path / "work.py").write_text(PROGRAM)
    toml = f'[tasks.mail]\naction = ["{sys.executable}", "work.py", "{{strategy}}"]\nmax_retries = 0\n'
    (tmp_path / "overnight.toml").write_text(toml)

    def run(*words):
        code = main(["--project", str(tmp_path), *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    code, out, err = run("tasks", "run", "mail", "--strategy", "conservative", "--json")
    assert code == 0 and "strategy conservative (it was asked for)" in err
    assert json.loads(out)["result"] == {"rate": 0.001, "attempts": 3}
    assert run("learn", "set", "aggressive", "--type", "task:mail")[0] == 0
    assert run("tasks", "run", "mail", "--strategy", "learned")[0] == 1
    found = json.loads(run("learn", "predict", "task:mail", "--json")[1])
    assert (found["n"], found["success_rate"]) == (2, 0.5)
    assert json.loads(run("learn", "predict", "task:mail", "--json")[1])["n"] == 2, "each run counts once"
    code, _, err = run("tasks", "run", "mail", "--strategy", "agressive")
    assert code == 2 and "did you mean aggressive?" in err


def test_what_came_of_a_job_counts(tmp_path, capsys):
    (tmp_path / "overnight.toml").write_text("")
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in texts()))
    words = ["jobs", "submit", "nlu", "--data", str(path), "--epochs", "4", "--strategy", "aggressive", "--wait"]
    assert main(["--project", str(tmp_path), *words]) == 0
    capsys.readouterr()
    assert main(["--project", str(tmp_path), "learn", "recommend", "--json"]) == 0
    [one] = json.loads(capsys.readouterr().out)
    assert (one["type"], one["agent"], one["success_rate"]) == ("job:nlu", "nlu", 1.0)
