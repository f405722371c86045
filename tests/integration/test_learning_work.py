"""Work by a strategy: scheduled tasks, trainings of the fleet, campaigns; and what came of it."""

import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from test_campaign_llm import varied
from test_campaign_llm import write as write_campaign
from test_rollouts import Users, begun, register, status, until

from llm_model import is_judging
from llm_server import LlmServer
from nightly_fleet import agent, make_fleet, train, write_config
from overnight import Project, Task
from overnight.app import campaigns, learning
from overnight.app.learning_production import note_production
from overnight.base.errors import ConfigError, InvalidTask, UnknownName
from overnight.cli.app import main
from overnight.learning import store

WAIT_S = 60
SAID = """
def said(strategy):
    return {"name": strategy["name"], "rate": strategy["training"]["learning_rate"]}


def deaf():
    return None
"""


def project_of(folder, toml):
    (folder / "saying.py").write_text(SAID)
    (folder / "overnight.toml").write_text(toml)
    return Project.open(folder)


class TestTasks:
    TOML = '[tasks.say]\naction = "saying:said"\nstrategy = "learned"\nmax_retries = 0\n'

    def test_each_run_gets_the_strategy_that_holds_when_it_is_made(self, tmp_path):
        with project_of(tmp_path, self.TOML) as project:
            first = project.submit("say")
            learning.set_default(project, "conservative", "task:say")
            second = project.submit("say", {"strategy": {"name": "mine", "training": {"learning_rate": 5}}})
            third = project.submit("say")
            project.run(until_idle=True)
            results = [project.result(run_id) for run_id in (first, second, third)]
        assert [one["name"] for one in results] == ["balanced", "mine", "conservative"], "what is given comes first"
        assert results[2]["rate"] == 0.001

    def test_a_schedule_a_parent_and_a_flow_hand_it_over(self, tmp_path):
        toml = self.TOML + '[tasks.next]\naction = "saying:said"\nafter = ["say"]\nstrategy = "aggressive"\n'
        once = (datetime.now(UTC) - timedelta(seconds=5)).isoformat()
        with project_of(tmp_path, toml.replace("max_retries", f'once = "{once}"\nmax_retries')) as project:

            def parent(flow):
                return flow.wait(flow.start("next"))[0].result

            project.add_task(Task(task_id="parent", action=parent))
            asked = project.submit("parent")
            project.run(until_idle=True)
            assert project.get(asked).state == "COMPLETED"
            names = {}
            for run in project.runs(limit=10):
                names.setdefault(run.task_id, set()).add(json.loads(run.args or "{}").get("strategy", {}).get("name"))
        assert names["say"] == {"balanced"} and names["next"] == {"aggressive"}
        assert names["parent"] == {None}

    def test_where_an_ensemble_was_set_another_one_stands_in_and_says_so(self, tmp_path):
        both = '[learning.strategies.both]\nmembers = ["balanced", "aggressive"]\n'
        with project_of(tmp_path, self.TOML + both) as project:
            learning.set_default(project, "both", "task:say")
            run_id = project.submit("say")
            strategy = json.loads(project.get(run_id).args)["strategy"]
        assert strategy["name"] == "balanced" and "both is an ensemble" in strategy["why"]

    @pytest.mark.parametrize(
        ("lines", "why"),
        [
            (
                'strategy = "agressive"',
                "task 'say': strategy: there is no strategy 'agressive'; did you mean aggressive?",
            ),
            ('strategy = "both"', "task 'say': strategy: both is an ensemble"),
            ("strategy = 3", "tasks.say.strategy"),
        ],
    )
    def test_a_strategy_that_cannot_execute_it_is_refused_when_the_project_is_opened(self, tmp_path, lines, why):
        both = '[learning.strategies.both]\nmembers = ["balanced", "aggressive"]\n'
        with pytest.raises((InvalidTask, ConfigError), match="say") as refused:
            project_of(tmp_path, self.TOML.replace('strategy = "learned"', lines) + both)
        assert why in str(refused.value)

    def test_the_tasks_that_take_a_strategy_can_be_included_with_the_one_that_was_learned(self, tmp_path):
        toml = """[tasks.say]
action = "saying:said"
[tasks.deaf]
action = "saying:deaf"
[tasks.mail]
action = ["mail", "{strategy}"]
[tasks.told]
action = "saying:said"
strategy = "balanced"
"""
        with project_of(tmp_path, toml) as project:
            learning.set_default(project, "conservative", "task:say")
        path = tmp_path / ".overnight" / "learning" / "improved-workflows.toml"
        assert [line for line in path.read_text().splitlines() if line.startswith("[")] == [
            '[tasks."say"]',
            '[tasks."mail"]',
        ]
        included = f'include = [".overnight/learning/improved-workflows.toml"]\n{toml}'
        with project_of(tmp_path, included) as project:
            run_id = project.submit("say")
            assert json.loads(project.get(run_id).args)["strategy"]["name"] == "conservative"
            learning.set_default(project, "aggressive", "task:say")
            project.reload()
            run_id = project.submit("say")
            assert json.loads(project.get(run_id).args)["strategy"]["name"] == "aggressive", "it is written anew"


class TestFleet:
    @pytest.fixture(scope="class")
    @staticmethod
    def made(tmp_path_factory):
        folder = tmp_path_factory.mktemp("fleets") / "fleet"
        make_fleet(folder, first=agent("Plain", settings=None), second=agent("Plain"))
        write_config(folder, {"first": agent("Plain"), "second": agent("Plain")})
        text = (folder / "overnight.toml").read_text()
        (folder / "overnight.toml").write_text(f"{text}[agents.first.settings]\nlearning_rate = 0.3\nepochs = 10\n")
        return folder

    @pytest.fixture
    def fleet(self, made, tmp_path):
        shutil.copytree(made, tmp_path / "fleet")
        return tmp_path / "fleet"

    def test_agents_are_trained_by_a_strategy_as_far_as_their_settings_go_and_the_report_says_so(self, fleet, capfd):
        assert main(["--project", str(fleet), "train", "--strategy", "conservative"]) == 0
        out, _ = capfd.readouterr()
        said = " ".join(out.replace("│", " ").split())
        assert "strategy conservative (it was asked for); not used: regularisation, early_stopping, ensemble" in said
        with Project.open(fleet) as project:
            [run] = project.runs(task_id="train:first")
            assert json.loads(run.args)["agent"]["settings"] == {"learning_rate": pytest.approx(0.1), "epochs": 20}
            result = project.result(run.run_id)
            assert result["strategy"]["name"] == "conservative"
            note_production(project.database)
            with project.database.read() as connection:
                [came] = store.came_out(connection, "task:train:first")
            assert (came["strategy"], came["success"], came["run_id"]) == ("conservative", 1.0, run.run_id)

    def test_learned_is_what_was_learned_of_each_agent(self, fleet):
        text = (fleet / "overnight.toml").read_text()
        (fleet / "overnight.toml").write_text(f'{text}[nightly]\nstrategy = "learned"\n')
        with Project.open(fleet) as project:
            learning.set_default(project, "aggressive", "task:train:first")
        train(fleet)
        with Project.open(fleet) as project:
            [first], [second] = (project.runs(task_id=f"train:{name}") for name in ("first", "second"))
            assert json.loads(first.args)["strategy"]["name"] == "aggressive"
            assert json.loads(second.args)["strategy"]["name"] == "balanced"
            assert json.loads(first.args)["agent"]["settings"]["epochs"] == 4

    def test_what_cannot_train_is_refused(self, fleet, capfd):
        assert main(["--project", str(fleet), "train", "--strategy", "agressive"]) == 2
        assert "did you mean aggressive?" in capfd.readouterr().err
        text = (fleet / "overnight.toml").read_text()
        (fleet / "overnight.toml").write_text(f'{text}[nightly]\nstrategy = "slow"\n')
        with pytest.raises(ConfigError, match=r"nightly\.strategy: there is no strategy 'slow'"):
            Project.open(fleet)


def test_a_campaign_asks_its_language_model_by_the_strategy(tmp_path):
    asked = []

    def told(body, before):
        if not is_judging(body):
            asked.append((body["model"], body["temperature"]))
        return varied(body, before)

    with LlmServer(told) as server:
        more = '[learning.strategies.bold]\nagent = { temperature = 0.3, model = "other", attempts = 5 }\n'
        write_campaign(tmp_path / "p", server.url, target=20, settings="temperature = 0.8\n")
        path = tmp_path / "p" / "overnight.toml"
        path.write_text(path.read_text() + more)
        with Project.open(tmp_path / "p") as project, project.running():
            with pytest.raises(UnknownName, match="there is no strategy 'old'"):
                campaigns.begin(project, "talk", {"strategy": "old"})
            learning.set_default(project, "bold", "campaign:talk")
            run_id, _ = campaigns.begin(project, "talk", {"strategy": "learned"})
            assert project.wait(run_id, WAIT_S).state == "COMPLETED"
            found = campaigns.status(project, "talk")
            assert found["phase"] == "campaign_complete" and found["strategy"]["name"] == "bold"
            assert found["strategy"]["unused"] == ["attempts"]
            assert {(name, round(temperature, 9)) for name, temperature in asked} == {("other", 1.2)}
            note_production(project.database)
            with project.database.read() as connection:
                [came] = store.came_out(connection, "campaign:talk")
            assert (came["strategy"], came["success"]) == ("bold", 1.0)


def register_trained_by(project, strategy, *, serve):
    """Register a version that comes from a run by a strategy."""
    given = {"strategy": {"name": strategy, "training": {"learning_rate": 1}}}
    run_id = project.submit("say", given)
    project.run(until_idle=True)
    register(project, run_id, serve=serve)
    return run_id


def test_what_becomes_of_a_version_in_a_rollout_counts_for_the_strategy_that_it_was_trained_by(tmp_path):
    with project_of(tmp_path, '[tasks.say]\naction = "saying:said"\n') as project:
        for place, strategy in enumerate(("balanced", "aggressive", "conservative")):
            register_trained_by(project, strategy, serve=not place)
        with project.running():
            worse = begun(project, "v1.0.1")
            Users(project).ask(2000, candidate=1.0, champion=0.01)
            assert status(project, worse) == "rolled_back"
            better = begun(project, "v1.0.2", strategy="immediate")
            until(lambda: status(project, better) == "completed")
        note_production(project.database)
        said = []
        sa.event.listen(project.database.engine, "before_cursor_execute", lambda *call: said.append(call[2]))
        note_production(project.database)
        assert sum("FROM versions" in one for one in said) == 1, "of two rollouts"
        with project.database.read() as connection:
            came = store.came_out(connection, "rollout:nlu")
    assert [(one["strategy"], one["success"]) for one in came] == [("aggressive", 0.0), ("conservative", 1.0)]
