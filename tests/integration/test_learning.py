"""Strategy learning with real executions: what is measured, proven, applied and taken back."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from daemons import wait_for
from overnight import Project
from overnight.app import learning
from overnight.base.errors import ConfigError, UnknownName, UserMistake
from overnight.cli import learn as cli
from overnight.cli.app import main
from overnight.engine import store as runs
from overnight.flows.learning import flow as program
from overnight.flows.learning import parts
from overnight.learning import store
from overnight.learning.defaults import Change
from overnight.learning.generation import generate
from overnight.learning.profiles import Execution, by_strategy, profile_of
from overnight.learning.scoring import WEIGHTS
from overnight.learning.tables import executions

pytest.importorskip("sklearn")
WAIT_S = 90
# Two ways that learn next to nothing, and one that learns: all in no time.
SMALL = """
[learning]
default = "idle"
exercises = 6
validation_exercises = 12
minimum_samples = 4
{more}
[learning.strategies.idle]
training = {{ learning_rate = 1e-6, epochs = 1 }}
[learning.strategies.conservative]
training = {{ learning_rate = 1e-5, epochs = 1 }}
[learning.strategies.balanced]
training = {{ learning_rate = 1e-5, epochs = 2 }}
[learning.strategies.aggressive]
training = {{ learning_rate = 0.02, epochs = 8 }}
"""


@contextmanager
def project_of(folder, more=""):
    folder.mkdir(exist_ok=True)
    (folder / "overnight.toml").write_text(SMALL.format(more=more))
    with Project.open(folder) as project, project.running():
        yield project


def see(project, complexity="easy", iterations=1, **wish):
    run_id, _ = learning.begin(project, {"complexity": complexity, "iterations": iterations, "validate": True, **wish})
    run = project.wait(run_id, WAIT_S)
    assert run.error is None, run.error
    return project.result(run_id)


def rows_of(project):
    with project.database.read() as connection:
        return connection.execute(sa.select(executions)).fetchall()


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """A project that has learned once, and what came of it."""
    folder = tmp_path_factory.mktemp("learning") / "p"
    with project_of(folder) as project:
        found = see(project)
    return folder, found


@pytest.fixture
def mine(learned, tmp_path):
    """The same project, to be changed."""
    return shutil.copytree(learned[0], tmp_path / "p")


def test_the_strategy_that_learns_is_found_proven_and_applied(learned):
    folder, found = learned
    assert (found["candidate"], found["applied"]) == ("aggressive", True)
    assert found["verdict"]["decision"] == "ACCEPT" and found["verdict"]["champion"] == "idle"
    with Project.open(folder) as project:
        status = learning.status(project)
        assert status["default"]["strategy"] == "aggressive"
        assert (
            status["default"]["why"]
            == f"learned, verdict {found['verdict']['verdict_id']}: compared in tabular_separable"
        )
        types = ("tabular_separable", "tabular_noisy", "job:nlu", "campaign:talk")
        named = [learning.default_of(project, type_).strategy for type_ in types]
        assert named == ["aggressive", "idle", "aggressive", "aggressive"], "what can be compared has to be"
        history = [(one["type"], one["how"], one["verdict_id"]) for one in status["history"]]
        assert history == [("", "learned", 1), ("tabular_separable", "learned", 1)]
        assert status["verdict"]["types"] == ["tabular_separable"]


def test_each_figure_of_the_profiles_is_worked_out_again_from_the_runs_that_it_names(learned):
    folder, _ = learned
    told = json.loads((folder / ".overnight" / "learning" / "agents" / "profiles.json").read_text())
    with Project.open(folder) as project, project.database.read() as connection:
        for name, one in told.items():
            again = []
            for run_id in one["run_ids"]:
                run = runs.get(connection, run_id)
                result, args = json.loads(run.result), json.loads(run.args)
                assert args["strategy"]["name"] == name
                again.append(recomputed(run, args, result))
            profile = profile_of(again, rate=0.3, minimum=4)
            assert one["uses"] == len(again) > 0
            for key, value in (
                ("successRate", profile.success_rate),
                ("avgScore", profile.score),
                ("avgExecutionTime", profile.time_s),
            ):
                assert one[key] == pytest.approx(value), (name, key)
            assert [point["score"] for point in one["trend"]] == pytest.approx([score for score, _ in profile.trend])


def recomputed(run, args, result):
    """Return the execution as it follows from what each of its repeats has measured."""
    repeats, limit_s = result["repeats"], limit_of(args["exercise"])
    success = sum(sum(c["passed"] for c in one["checks"].values()) / len(one["checks"]) for one in repeats) / 2
    # A repeat that passes no check of its answer has none, and has taken the whole limit.
    time_s = sum(one["time_s"] if one["answers"] else max(limit_s, one["time_s"]) for one in repeats) / 2
    first, second = (one["answers"] for one in repeats)
    agreement = sum(a == b for a, b in zip(first, second, strict=True)) / len(first) if first and second else 0
    score = 100 * (
        WEIGHTS["success"] * success
        + WEIGHTS["speed"] * max(0, 1 - time_s / limit_s)
        + WEIGHTS["reliability"] * agreement
    )
    return Execution(
        run_id=run.run_id,
        strategy=args["strategy"]["name"],
        type=args["exercise"]["type"],
        success_rate=success,
        score=score,
        time_s=time_s,
        at_us=run.run_id,
    )


def limit_of(exercise):
    return next(check["bound"] for check in exercise["expectedChecks"] if check["metric"] == "time_s")


def test_the_candidate_and_the_default_execute_the_same_fresh_exercises_by_the_same_seeds(learned):
    folder, _ = learned
    with Project.open(folder) as project:
        rows = [row for row in rows_of(project) if row.purpose == "validate"]
        learned_from = {row.exercise for row in rows_of(project) if row.purpose == "learn"}
        seeds = {}
        for row in rows:
            args = json.loads(project.get(row.run_id).args)
            seeds.setdefault((row.exercise, args["seed"]), []).append(row.strategy)
    assert len(rows) == 24 and not learned_from & {row.exercise for row in rows}
    assert all(sorted(ways) == ["aggressive", "idle"] for ways in seeds.values()) and len(seeds) == 12


def test_the_files_for_other_programs_are_those_that_are_documented(learned):
    folder, _ = learned
    page = (Path(__file__).parents[2] / "docs" / "reference" / "files.md").read_text()
    rows = [line.split("|")[1:4] for line in page.splitlines() if line.startswith("| `learning/")]
    keys = {re.findall(r"`([^`]+)`", name)[0]: re.findall(r"`([^`]+)`", told) for name, _, told in rows}
    there = [path for path in (folder / ".overnight" / "learning").rglob("*") if path.is_file()]
    for pattern, documented in keys.items():
        paths = [path for path in there if path.match(pattern.replace("TIME", "*"))]
        assert paths, pattern
        if pattern.endswith(".toml"):
            there = [path for path in there if path not in paths]
            continue
        told = json.loads(paths[0].read_text())
        if pattern.endswith("profiles.json"):
            told = told["aggressive"]
        told = told[0] if isinstance(told, list) else told
        assert sorted(set(told) - set(documented)) == [], pattern
        there = [path for path in there if path not in paths]
    assert there == []


def test_another_session_counts_what_was_measured_before_and_its_default_is_no_candidate(mine):
    with project_of(mine) as project:
        before = len(rows_of(project))
        found = see(project)
        assert found == {
            "candidate": None,
            "measured": True,
            "reason": "aggressive has the best score, and is the default already",
            "verdict": None,
            "applied": False,
        }
        assert len(rows_of(project)) == before + 6 * 4
        with project.database.read() as connection:
            profiles = by_strategy(store.executed(connection))
        assert len(profiles["balanced"]) == 12


def test_a_strategy_whose_parameters_have_changed_begins_anew(mine):
    with project_of(mine) as project:
        counted = learning.status(project)["strategies"]["balanced"]["uses"]
    text = (mine / "overnight.toml").read_text()
    (mine / "overnight.toml").write_text(text.replace("epochs = 2", "epochs = 3"))
    with Project.open(mine) as project:
        found = learning.status(project)["strategies"]
        assert counted > 0 and (found["balanced"]["uses"], found["balanced"]["avgScore"]) == (0, None)
        assert found["conservative"]["uses"] > 0


def test_what_was_learned_of_other_parameters_executes_no_more_and_is_not_applied_again(mine, capsys):
    text = (mine / "overnight.toml").read_text()
    (mine / "overnight.toml").write_text(text.replace("epochs = 8", "epochs = 9"))
    changed = "aggressive has other parameters now; `overnight learn run` measures it"
    with Project.open(mine) as project:
        default = learning.status(project)["default"]
        assert default == {"strategy": "idle", "why": f"the default of the settings, as {changed}"}
        assert learning.for_task(project, "any", "learned")["name"] == "idle"
        told = parts.terms(project.config.learning)
        with project.database.read() as connection:
            begun = {**told, "changes": [vars(one) for one in store.changes(connection)]}
        assert parts.champion(begun, "tabular_separable") == "idle"
    assert main(["--project", str(mine), "learn", "rollback"]) == 0
    capsys.readouterr()
    assert main(["--project", str(mine), "learn", "apply"]) == 2
    assert changed in capsys.readouterr().err
    assert main(["--project", str(mine), "learn", "set", "aggressive"]) == 0
    assert capsys.readouterr().out.startswith("default: aggressive (")
    (mine / "overnight.toml").write_text(text)
    assert main(["--project", str(mine), "learn", "unset"]) == 0
    assert main(["--project", str(mine), "learn", "apply"]) == 0
    assert "default: aggressive (learned, verdict 1: compared in tabular_separable)" in capsys.readouterr().out


def test_a_candidate_that_is_not_shown_to_be_better_changes_no_default_and_no_file_of_it(tmp_path):
    # Both learn nothing: whichever has the better average by chance is no better.
    with project_of(tmp_path / "p") as project:
        path = project.state_dir / "learning" / "swarm-config.json"
        path.parent.mkdir(parents=True)
        path.write_text("as it was\n")
        toml = (tmp_path / "p" / "overnight.toml").read_bytes()
        see(project, validate=False)
        with project.database.read() as connection:
            assert store.changes(connection) == [], "without a validation nothing is applied"
        assert path.read_text() == "as it was\n" and (tmp_path / "p" / "overnight.toml").read_bytes() == toml


def test_only_types_whose_default_is_another_one_are_compared(mine):
    change = {
        "type": "tabular_noisy",
        "strategy": "aggressive",
        "how": "learned",
        "by": "",
        "at_us": 0,
        "verdict_id": 1,
    }
    with Project.open(mine) as project:
        wish = {"complexity": "medium", "iterations": 1}
        begun = {**parts.begin(project.learning, 99, wish), "candidate": "aggressive", "changes": []}
        both = parts.generate_to_compare(project.learning, begun, 1, 5)
        one = parts.generate_to_compare(project.learning, {**begun, "changes": [change]}, 1, 5)
    noisy, imbalanced = "tabular_noisy", "tabular_imbalanced"
    assert [exercise["type"] for exercise in both] == [noisy, imbalanced, noisy, imbalanced, noisy]
    assert [exercise["type"] for exercise in one] == [imbalanced] * 5
    assert len({exercise["name"] for exercise in (*both, *one)}) == 8, "the first two of the others are there again"


def test_from_the_second_iteration_on_two_are_drawn_for_each_exercise_with_a_chance_that_is_kept(mine):
    with project_of(mine) as project:
        before = {row.run_id for row in rows_of(project)}
        see(project, iterations=2, validate=False)
        rows = [row for row in rows_of(project) if row.run_id not in before]
    first, second = ([row for row in rows if (row.propensity is None) is drawn] for drawn in (True, False))
    assert len(first) == 6 * 4 and len(second) == 6 * 2
    assert all(0 < row.propensity <= 1 for row in second)
    assert sum(row.strategy == "aggressive" for row in second) == 6, "it is by far the best of what was executed before"


def test_from_python_it_is_seen_through_whoever_works(tmp_path):
    with project_of(tmp_path / "p") as project:
        found = project.learn(complexity="easy", iterations=1, validate=False)
        assert (found["verdict"], found["applied"], project.is_worked_on) == (None, False, True)
        told = project.strategies()["strategies"]
        assert {name: one["uses"] for name, one in told.items()} == dict.fromkeys(told, 6)
        with pytest.raises(UserMistake, match="complexity: there is no 'hrad'; did you mean hard"):
            project.learn(complexity="hrad")
        with pytest.raises(UserMistake, match="at least 4 are needed"):
            project.learn(tasks=[])
    with Project.open(tmp_path / "p") as project:
        again = project.learn(complexity="easy", iterations=1, validate=False)
        assert again["run_id"] != found["run_id"] and not project.is_worked_on, "it works no longer than that"


def test_what_each_strategy_would_bring_is_estimated_from_what_was_drawn(mine, capsys):
    with project_of(mine) as project:
        see(project, iterations=3, validate=False)
        told = learning.estimated(project, None)
        scores = [row.score for row in rows_of(project) if row.strategy == "aggressive" and row.purpose == "learn"]
    assert told["aggressive"].snips.lower < sum(scores) / len(scores) < told["aggressive"].snips.upper
    assert main(["--project", str(mine), "learn", "estimate", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["strategies"]
    assert found["aggressive"]["snips"]["value"] == told["aggressive"].snips.value
    assert main(["--project", str(mine), "learn", "estimate"]) == 0
    out = capsys.readouterr().out
    assert "DOUBLY ROBUST" in out and "aggressive" in out
    assert main(["--project", str(mine), "learn", "estimate", "--type", "other"]) == 2
    assert "nothing was executed to learn from of other" in capsys.readouterr().err


def test_where_nothing_can_be_executed_it_fails_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(program, "EXERCISE", "broken")
    with project_of(tmp_path / "p", '[tasks.broken]\naction = ["no_such_program"]\nmax_retries = 0\n') as project:
        run_id, _ = learning.begin(project, {"complexity": "easy", "iterations": 1, "validate": True})
        run = project.wait(run_id, WAIT_S)
    assert run.state == "FAILED" and "none of 24 executions was seen through" in run.error.message
    assert "no_such_program" in run.error.message


def test_killed_it_goes_on_and_executes_nothing_twice(tmp_path):
    folder = tmp_path / "p"
    with project_of(folder):
        pass
    command = [sys.executable, "-m", "overnight", "--project", str(folder), "learn", "run", "--iterations", "1"]
    command += ["--complexity", "easy", "--no-validate"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

    def done():
        with Project.open(folder) as project, project.database.read() as connection:
            found = runs.newest(connection, limit=100, task_id="overnight:exercise")
            return sum(run.state.final for run in found)

    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one:
        wait_for(lambda: done() >= 5)
        one.kill()
        assert one.wait() == -signal.SIGKILL
    again = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert again.returncode == 0, again.stderr
    assert "going on with the learning (run 1)" in again.stderr
    with Project.open(folder) as project:
        rows = rows_of(project)
        assert len(rows) == len({(row.exercise, row.strategy) for row in rows}) == 24


@pytest.mark.parametrize(
    ("begun", "words", "command"),
    [
        (
            {"iterations": 2, "validate": False},
            ["validate", "--complexity", "easy"],
            "overnight learn run --iterations 2 --complexity easy --no-validate",
        ),
        (
            {"iterations": 0, "focus": "tabular_separable", "budget_s": 1800.0},
            ["run", "--complexity", "easy", "--no-validate"],
            "overnight learn validate --complexity easy --focus tabular_separable --budget 1800s",
        ),
    ],
)
def test_a_session_that_has_not_ended_is_gone_on_with_by_the_same_options_alone(
    tmp_path, capsys, begun, words, command
):
    (tmp_path / "overnight.toml").write_text("")
    with Project.open(tmp_path) as project:
        wish = {"complexity": "easy", "validate": True, "focus": None, "tasks": None, "budget_s": None, **begun}
        run_id, _ = learning.begin(project, wish)
        assert learning.begin(project, wish) == (run_id, True)
        assert main(["--project", str(tmp_path), "learn", *words]) == 2
        err = capsys.readouterr().err
        assert f"run {run_id} has not ended, which was begun by `{command}`: that command goes on with it, " in err
        assert f"`overnight runs cancel {run_id}` drops it" in err and err.count("\n") == 1
        assert not project.get(run_id).state.final
        mine, others = ([one.to_dict() for one in generate("easy", 4, seed)] for seed in (1, 2))
    with Project.open(tmp_path) as project:
        project.cancel(run_id)
        run_id, _ = learning.begin(project, {**wish, "tasks": mine})
        assert learning.begin(project, {**wish, "tasks": mine}) == (run_id, True)
        with pytest.raises(UserMistake, match=r"--tasks FILE.*`, of other exercises: that command"):
            learning.begin(project, {**wish, "tasks": others})


def test_a_candidate_without_a_verdict_is_no_success_of_a_validation(tmp_path, capsys, monkeypatch):
    (tmp_path / "overnight.toml").write_text("")
    found = {"candidate": "aggressive", "measured": True, "reason": "", "verdict": None, "applied": False}
    monkeypatch.setattr(cli, "_perform", lambda *_, **__: found)
    assert main(["--project", str(tmp_path), "learn", "validate"]) == 3
    found["candidate"] = None
    assert main(["--project", str(tmp_path), "learn", "validate"]) == 0
    found["measured"] = False
    assert main(["--project", str(tmp_path), "learn", "validate"]) == 3


class TestCommandLine:
    def run(self, folder, capsys, *words):
        code = main(["--project", str(folder), "learn", *words])
        said = capsys.readouterr()
        return code, said.out, said.err

    def test_set_unset_rollback_and_status(self, mine, capsys):
        code, out, _ = self.run(mine, capsys, "set", "conservative", "--type", "tabular_separable")
        assert code == 0 and out.startswith("tabular_separable: conservative (")
        code, out, _ = self.run(mine, capsys, "status")
        assert code == 0 and "default: aggressive (learned" in out and "tabular_separable: conservative" in out
        assert "TREND" in out and any(letter in out for letter in "▁▂▃▄▅▆▇█"), "the newest scores, as a chart"
        code, out, _ = self.run(mine, capsys, "unset", "--type", "tabular_separable")
        assert code == 0 and out.startswith("tabular_separable: aggressive (learned")
        code, out, _ = self.run(mine, capsys, "rollback")
        settings = "idle (the default of the settings)"
        assert code == 0 and out == f"default: {settings}\ntabular_separable: {settings}\n"
        code, _, err = self.run(mine, capsys, "rollback")
        assert code == 2 and "nothing was learned that could be rolled back" in err
        code, out, _ = self.run(mine, capsys, "status", "--json")
        assert [one["how"] for one in json.loads(out)["history"]] == [
            *("learned", "learned", "set", "unset", "rolled_back", "rolled_back"),
        ]

    def test_cost_is_shown_where_any_was_measured_and_is_not_claimed_where_none_was(self, mine, capsys):
        def costs():
            told = json.loads(self.run(mine, capsys, "status", "--json")[1])["strategies"]
            return {name: (one["avgCost"], one["types"]["tabular_separable"]["avgCost"]) for name, one in told.items()}

        out = self.run(mine, capsys, "status")[1]
        assert "COST" not in out and "* no other one is better in score and time; no cost was measured\n" in out
        assert set(costs().values()) == {(None, None)}
        with Project.open(mine) as project:
            dear = sa.update(executions).where(executions.c.strategy == "aggressive").values(cost_usd=0.25)
            project.database.writer.do(lambda tx: tx.connection.execute(dear).rowcount)
        out = self.run(mine, capsys, "status")[1]
        assert "COST" in out and "0.25 USD" in out and "* no other one is better in score, time and cost\n" in out
        assert costs()["aggressive"] == (0.25, 0.25) and costs()["idle"] == (None, None)

    def test_exercises_are_shown_with_their_checks(self, learned, capsys):
        folder, _ = learned
        code, out, _ = self.run(folder, capsys, "generate", "--complexity", "hard", "--count", "2", "--json")
        told = json.loads(out)
        assert code == 0 and len(told["tasks"]) == 2
        assert {"type", "task", "expectedChecks"} == set(told["tasks"][0])
        code, out, _ = self.run(folder, capsys, "generate", "--count", "1")
        assert code == 0 and "within_time: time_s at most" in out

    def test_what_was_rolled_back_is_applied_again_by_its_verdict(self, mine, capsys):
        config = mine / ".overnight" / "learning" / "swarm-config.json"
        assert json.loads(config.read_text())["defaultStrategy"] == "aggressive"
        code, _, err = self.run(mine, capsys, "apply")
        assert code == 2 and "aggressive executes already" in err
        assert self.run(mine, capsys, "rollback")[0] == 0
        assert json.loads(config.read_text())["defaultStrategy"] == "idle"
        code, out, _ = self.run(mine, capsys, "apply")
        assert code == 0 and out.startswith("default: aggressive (learned, verdict ")
        assert "tabular_separable: aggressive (learned for tabular_separable, verdict 1)\n" in out
        assert self.run(mine, capsys, "rollback", "--type", "tabular_separable")[0] == 0
        code, out, _ = self.run(mine, capsys, "status")
        assert "default: aggressive" in out and "tabular_separable: idle (the default of the settings)" in out
        assert self.run(mine, capsys, "apply")[0] == 0
        assert self.run(mine, capsys, "rollback")[1].count("idle (the default of the settings)") == 2
        assert self.run(mine, capsys, "apply")[0] == 0
        assert json.loads(config.read_text())["defaultStrategy"] == "aggressive"

    def test_what_was_learned_of_a_type_of_ones_own_is_rolled_back_and_set_as_of_any_other(self, tmp_path, capsys):
        with project_of(tmp_path / "p") as project:
            one = Change(type="mine", strategy="aggressive", how="learned", by="ada", at_us=0, verdict_id=1)
            parts.change(project.learning, parts.terms(project.config.learning), [one])
        code, out, _ = self.run(tmp_path / "p", capsys, "rollback", "--type", "mine")
        assert code == 0 and out == "mine: idle (the default of the settings)\n"
        code, out, _ = self.run(tmp_path / "p", capsys, "set", "balanced", "--type", "mine")
        assert code == 0 and out.startswith("mine: balanced (")
        assert self.run(tmp_path / "p", capsys, "unset", "--type", "mine")[0] == 0
        code, _, err = self.run(tmp_path / "p", capsys, "unset", "--type", "nobody")
        assert code == 2 and "nothing is set for nobody" in err

    def test_without_a_verdict_nothing_is_applied(self, tmp_path, capsys):
        with project_of(tmp_path / "p"):
            pass
        code, _, err = self.run(tmp_path / "p", capsys, "apply")
        assert code == 2 and "nothing was validated yet; `overnight learn run` does it" in err

    def test_outcomes_are_fed_predicted_and_recommended(self, mine, capsys):
        lines = [json.dumps({"type": "mail", "agent": "a", "success": True, "id": f"{n}"}) for n in range(40)]
        lines += [json.dumps({"type": "mail", "agent": "b", "success": n % 4 == 0, "id": f"b{n}"}) for n in range(40)]
        path = mine / "outcomes.jsonl"
        path.write_text("\n".join([*lines, "", "{", json.dumps({"type": "mail", "success": 3})]))
        code, out, err = self.run(mine, capsys, "feed", str(path))
        assert (code, out) == (0, "80 new outcomes, 0 known, 2 lines set aside\n")
        assert "line 82: it is no JSON" in err and "line 83: success: 3 is not a number from 0 to 1" in err
        code, out, _ = self.run(mine, capsys, "feed", str(path))
        assert out == "0 new outcomes, 80 known, 2 lines set aside\n"
        code, out, _ = self.run(mine, capsys, "predict", "mail", "a", "--json")
        found = json.loads(out)
        assert (found["n"], found["recommendation"]) == (40, "proceed") and found["predicted"] > 0.98
        code, out, _ = self.run(mine, capsys, "recommend", "--json")
        mail = {one["agent"]: one["recommendation"] for one in json.loads(out) if one["type"] == "mail"}
        assert mail == {"a": "proceed", "b": "use_different_agent"}
        code, out, _ = self.run(mine, capsys, "recommend")
        assert "use_different_agent" in out and "tabular_separable" in out, "exercises are among them"
        code, _, err = self.run(mine, capsys, "predict", "mial")
        assert code == 2 and "nothing is known of a type of task 'mial'; did you mean mail?" in err
        (mine / "bad.jsonl").write_text("{\n")
        assert self.run(mine, capsys, "feed", str(mine / "bad.jsonl"))[0] == 1
        code, _, err = self.run(mine, capsys, "feed", str(mine / "none.jsonl"))
        assert code == 2 and "none.jsonl: cannot be read" in err

    def test_a_line_that_cannot_be_stored_costs_no_other_one(self, tmp_path, capsys):
        with project_of(tmp_path / "p"):
            pass
        path, good = tmp_path / "outcomes.jsonl", '{"type": "mail", "success": 1}'
        long = "1" + "0" * 400
        wrong = [
            f'{{"type": "a", "success": 1, "time_s": {long}}}',
            f'{{"type": "a", "success": 1, "features": {{"x": {long}}}}}',
            '{"type": "\\ud800", "success": true}',
            '{"type": "a", "success": true, "features": {"\\ud800": 1}}',
            '{"type": "a", "success": true, "timestamp": "2999-01-01T00:00:00Z"}',
        ]
        path.write_text("\n".join([good, *wrong, good]))
        code, out, err = self.run(tmp_path / "p", capsys, "feed", str(path))
        assert (code, out) == (0, "2 new outcomes, 0 known, 5 lines set aside\n")
        assert [line.split(":")[0] for line in err.splitlines()] == [f"line {number}" for number in range(2, 7)]

    def test_lines_that_are_alike_all_count_and_a_file_that_is_fed_again_counts_once(self, tmp_path, capsys):
        with project_of(tmp_path / "p"):
            pass
        path = tmp_path / "outcomes.jsonl"
        lines = [json.dumps({"type": "b", "agent": "z", "success": int(n % 6 > 0)}) for n in range(60)]
        path.write_text("\n".join(lines))
        assert self.run(tmp_path / "p", capsys, "feed", str(path))[1].startswith("60 new outcomes, 0 known")
        assert self.run(tmp_path / "p", capsys, "feed", str(path))[1].startswith("0 new outcomes, 60 known")
        found = json.loads(self.run(tmp_path / "p", capsys, "predict", "b", "z", "--json")[1])
        assert (found["n"], found["success_rate"]) == (60, pytest.approx(50 / 60))

    def test_what_names_a_strategy_of_somebody_else_is_said(self, tmp_path, capsys):
        with project_of(tmp_path / "p"):
            pass
        path = tmp_path / "outcomes.jsonl"
        names = ("balanced", "theirs", None, "theirs")
        lines = [
            json.dumps({"type": "b", "success": 1, "strategy": name, "id": str(n)}) for n, name in enumerate(names)
        ]
        path.write_text("\n".join(lines))
        code, _, err = self.run(tmp_path / "p", capsys, "feed", str(path))
        assert code == 0 and err.startswith("2 name no strategy of this project: ") and err.count("\n") == 1
        found = json.loads(self.run(tmp_path / "p", capsys, "feed", str(path), "--json")[1])
        assert found == {"new": 0, "known": 4, "wrong": [], "of_no_strategy": 2}

    def test_the_checks_of_a_run_are_made_again_and_count_once(self, mine, capsys):
        with Project.open(mine) as project:
            row = next(row for row in rows_of(project) if row.strategy == "aggressive")
        code, out, _ = self.run(mine, capsys, "verify", str(row.run_id), "--json")
        found = json.loads(out)
        assert code == (0 if found["observed"] == 1 else 1) and found["counted"]
        assert found["observed"] == pytest.approx(row.success_rate, abs=0.26), "only its time may come out otherwise"
        assert 0 < found["predicted"] <= 1 and found["now"]["n"] == 19
        again = json.loads(self.run(mine, capsys, "verify", str(row.run_id), "--json")[1])
        assert not again["counted"] and again["now"]["n"] == 19
        code, _, err = self.run(mine, capsys, "verify", "1")
        assert code == 2 and "run 1 is one of overnight:learn: runs of exercises can be verified" in err
        code, _, err = self.run(mine, capsys, "verify", "99999")
        assert code == 2 and "there is no run 99999" in err

    def test_what_was_measured_goes_to_another_project_and_is_never_measured_there(self, mine, tmp_path, capsys):
        path = tmp_path / "evidence.json"
        code, out, _ = self.run(mine, capsys, "export", str(path))
        assert code == 0 and "4 figures of strategies at types of task" in out
        other = tmp_path / "q"
        with project_of(other):
            pass
        code, out, _ = self.run(other, capsys, "import", str(path))
        assert (code, out) == (0, "from p: 4 new figures, 0 newer than before, 0 known, 4 usable here\n")
        again = "from p: 0 new figures, 0 newer than before, 4 known, 4 usable here\n"
        assert self.run(other, capsys, "import", str(path))[1] == again
        found = json.loads(self.run(other, capsys, "status", "--json")[1])
        assert len(found["imported"]) == 4 and all(one["uses"] == 0 for one in found["strategies"].values())
        assert "imported, not measured here: aggressive at tabular_separable" in self.run(other, capsys, "status")[1]
        (tmp_path / "bad.json").write_text("[]")
        code, _, err = self.run(other, capsys, "import", str(tmp_path / "bad.json"))
        assert code == 2 and "bad.json: it: [] is not a table" in err and err.count("\n") == 1
        code, _, err = self.run(other, capsys, "export", str(path))
        assert code == 2 and "nothing was measured here yet; `overnight learn run` does that" in err
        code, _, err = self.run(mine, capsys, "import", str(path))
        assert code == 2 and "evidence.json: this project has measured that itself" in err and err.count("\n") == 1
        assert json.loads(self.run(mine, capsys, "status", "--json")[1])["imported"] == []

    def test_a_newer_export_takes_the_place_of_the_one_before_and_not_of_a_project_of_the_same_name(
        self, tmp_path, capsys
    ):
        with project_of(tmp_path / "p"):
            pass

        def taken(uses, origin="o"):
            path = tmp_path / "evidence.json"
            one = {"strategy": "balanced", "parameters": "h", "type": "t", "uses": uses, "score": uses, "spread": 1.0}
            path.write_text(json.dumps({"version": 1, "origin": origin, "project": "theirs", "evidence": [one]}))
            return json.loads(self.run(tmp_path / "p", capsys, "import", str(path), "--json")[1])

        def kept():
            with Project.open(tmp_path / "p") as project, project.database.read() as connection:
                return [(one.uses, one.score) for _, one in store.prior(connection, {"balanced": ["h"]})]

        assert (taken(8)["new"], taken(16)["newer"], taken(12)["known"], taken(16)["known"]) == (1, 1, 1, 1)
        assert kept() == [(16, 16.0)]
        assert taken(8, origin="another")["new"] == 1 and kept() == [(16, 16.0), (8, 8.0)]

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            (["run", "--complexity", "hrad"], "complexity: there is no 'hrad'; did you mean hard?"),
            (["run", "--complexity", "easy", "--focus", "small"], "there is no such type of task as 'small'"),
            (["set", "agressive"], "there is no strategy 'agressive'; did you mean aggressive?"),
            (["set", "balanced", "--type", "noise"], "there is no such type of task as 'noise'"),
            (["unset"], "nothing is set that could be unset"),
        ],
    )
    def test_mistakes_are_one_line(self, learned, capsys, words, why):
        folder, _ = learned
        code, _, err = self.run(folder, capsys, *words)
        assert code == 2 and why in err and err.count("\n") == 1


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ("weights = { sped = 1.0 }", "weights: 'sped' is none of success, speed, reliability"),
        ("rate = 0.0", "rate"),
        ("[learning.strategies.odd]\ntraining = { epoch = 3 }", "epoch"),
        ("[learning.strategies.odd]\ntraining = { epochs = 0 }", "epochs"),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything_is_executed(tmp_path, more, why):
    with pytest.raises((ConfigError, UserMistake)) as error, project_of(tmp_path / "p", more) as project:
        learning.begin(project, {"complexity": "easy", "iterations": 1})
    assert why in str(error.value)


def test_a_default_that_is_no_strategy_is_refused(tmp_path):
    with project_of(tmp_path / "p") as project, pytest.raises(UnknownName):
        learning.set_default(project, "nobody", None)
