"""overnight tune on a real fleet: better parameters are found and proven, noise is not, and nothing is tried twice."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing

import pytest

from nightly_fleet import PLANE, agent, make_fleet, train, write_agents, write_config
from overnight.app.project import Project
from overnight.cli.app import main
from overnight.training.tuning import sampler

MORE = '''
class Tuned(Plain):
    """Least squares and a `shift` beside it, which should be 0; of `terms`, 4 are best."""

    tunable = {"shift": (-3.0, 3.0), "terms": (1, 4)}

    def train(self, data, ctx):
        self.settings = dict(ctx.settings)
        if self.settings.get("shift", 0) > 2:
            raise ValueError("too far")
        self.used = ["one", "a", "b", "ab"][: self.settings.get("terms", 3)]
        self.trained = len(data)
        answer = super().train(data, ctx)
        self.weights[0] += self.settings.get("shift", 0.0)
        return answer

    def predict(self, items):
        if hasattr(self, "trained"):
            with open("predicted.jsonl", "a") as file:
                file.write(json.dumps({"trained": self.trained, "ids": [item["id"] for item in items]}) + "\\n")
        return super().predict(items)

    def predict_unseen(self, items):
        with open("unseen.txt", "a") as file:
            file.write("asked\\n")
        return super().predict(items)


class Noisy(Plain):
    """Noise of equal size for every `grain`: some are luckier on the items for validation, and none is better."""

    tunable = {"grain": (1, 100_000)}

    def train(self, data, ctx):
        self.grain = ctx.settings.get("grain", 0)
        return super().train(data, ctx)

    def predict(self, items):
        from random import Random
        found = super().predict(items)
        return [one + Random(f"{self.grain} {item['id']}").gauss(0, 0.5) for one, item in zip(found, items)]

    def save(self, folder):
        super().save(folder)
        (folder / "grain").write_text(str(self.grain))

    def load(self, folder):
        super().load(folder)
        self.grain = int((folder / "grain").read_text())
'''


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A fleet whose agents were trained once: one with a bad `shift`, one of noise, one with nothing to tune."""
    folder = tmp_path_factory.mktemp("fleets") / "fleet"
    agents = {"first": agent("Tuned", settings=None), "noisy": agent("Noisy"), "plain": agent()}
    make_fleet(folder, **agents)
    write_agents(folder, PLANE, MORE)
    configure(folder)
    train(folder)
    return folder


def configure(folder, *, shift=0.7, more=""):
    agents = {"first": agent("Tuned"), "noisy": agent("Noisy"), "plain": agent(), "untrained": agent("Tuned")}
    agents["untrained"]["enabled"] = False
    write_config(folder, agents)
    text = (folder / "overnight.toml").read_text()
    (folder / "overnight.toml").write_text(f"{text}[agents.first.settings]\nshift = {shift}\n{more}")


@pytest.fixture
def fleet(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "fleet")
    return tmp_path / "fleet"


@pytest.fixture
def overnight(fleet, capfd):
    def run(*words):
        code = main(["--project", str(fleet), *words])
        out, err = capfd.readouterr()
        return code, out, err

    return run


def rows(folder, query):
    with closing(sqlite3.connect(folder / ".overnight" / "overnight.db")) as connection:
        return connection.execute(query).fetchall()


TRIED = "SELECT trial, rung, parameters, value, items, measured FROM tuning_evaluations ORDER BY trial, rung"


def test_better_parameters_are_found_proven_kept_and_can_be_taken_back(fleet, overnight):
    code, out, err = overnight("tune", "first", "--trials", "10", "--json")
    found = json.loads(out)
    assert code == 0, err
    assert found["adopted"] and found["verdict"]["decision"] == "ACCEPT" and found["verdict"]["against"] == "champion"
    assert abs(found["parameters"]["shift"]) < 0.7
    [current] = [one for one in found["trials"] if one["current"]]
    [winner] = [one for one in found["trials"] if one["trial"] == found["winner"]]
    assert current["parameters"] == {"shift": 0.7} and current["value"] < winner["value"] < 0
    assert winner["lower"] < winner["value"] < winner["upper"] and winner["items"] == current["items"]
    assert len(found["trials"]) == 11 and found["rungs"] == sorted(found["rungs"])
    pruned = [one for one in found["trials"] if one["items"] and one["items"] < winner["items"]]
    assert len(pruned) >= 4, "most were not worth all items"

    # What is trained from now on is trained with them, and the version says so.
    assert train(fleet)["agents"]["first"]["status"] == "trained"
    signatures = [json.loads(one) for (one,) in rows(fleet, "SELECT signature FROM versions WHERE model = 'first'")]
    assert [one["settings"].get("shift") for one in signatures] == [0.7, *2 * [found["parameters"]["shift"]]]
    assert not list((fleet / ".overnight" / "work").iterdir())

    # Another word in the settings counts more than what was tuned for the word before.
    configure(fleet, shift=0.6)
    assert overnight("tune", "first", "--rollback")[0] == 2
    configure(fleet)
    code, out, _ = overnight("tune", "first", "--rollback")
    assert code == 0 and "first is trained with shift=0.7 from now on" in out
    code, _, err = overnight("tune", "first", "--rollback")
    assert (code, err) == (2, "overnight: agent 'first' has no tuned parameters that could be taken back\n")


def test_no_trial_learns_from_or_is_measured_on_what_the_gate_measures_on(fleet, overnight):
    before = len((fleet / "predicted.jsonl").read_text().splitlines()) if (fleet / "predicted.jsonl").exists() else 0
    overnight("tune", "first", "--trials", "6")
    lines = [json.loads(line) for line in (fleet / "predicted.jsonl").read_text().splitlines()][before:]
    [(held_out,)] = rows(fleet, "SELECT metrics FROM versions WHERE model = 'first' AND number = 'v1.0.0'")
    count = json.loads(held_out)
    judged = set(
        json.loads(
            next(iter((fleet / ".overnight" / "blobs").rglob(count["answers"].removeprefix("sha256:")))).read_bytes()
        )["ids"]
    )
    assert len(judged) == count["held_out"]
    trials = [line for line in lines if line["trained"] < count["records"]]
    assert len(trials) >= 9
    assert not any(judged & set(line["ids"]) for line in trials)


def test_parameters_that_are_better_by_luck_alone_are_refused_and_change_nothing(fleet, overnight):
    code, out, err = overnight("tune", "noisy", "--trials", "12", "--json")
    found = json.loads(out)
    assert found["winner"] is not None, "one of twelve is luckier than the current one"
    assert not found["adopted"] and found["verdict"]["decision"] != "ACCEPT"
    assert code == {"REJECT": 1, "UNDERPOWERED": 3}[found["verdict"]["decision"]], err
    assert rows(fleet, "SELECT COUNT(*) FROM tuning_changes") == [(0,)]
    assert rows(fleet, "SELECT v.number FROM served s JOIN versions v USING (version_id) WHERE v.model = 'noisy'") == [
        ("v1.0.0",)
    ]
    # Whoever tries again what was refused is asked for more.
    code, out, _ = overnight("tune", "noisy", "--trials", "12", "--seed", "5", "--json")
    again = json.loads(out)
    assert found["alpha"] == pytest.approx(0.0373, abs=1e-4) and again["alpha"] == pytest.approx(0.0066, abs=1e-4)
    assert not again["adopted"]


DRIVER = "import sys; from overnight.cli.app import main; sys.exit(main(sys.argv[1:]))"


def test_killed_in_the_middle_it_goes_on_with_the_same_suggestions_and_tries_nothing_twice(trained, tmp_path):
    folders = [tmp_path / "killed", tmp_path / "whole"]
    for folder in folders:
        shutil.copytree(trained, folder)
    killed, whole = folders
    (killed / "slow").write_text("0.05")
    command = [sys.executable, "-c", DRIVER, "--project", str(killed), "tune", "first", "--trials", "10", "--json"]
    recorded = []
    for least in (3, 8):
        driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, process_group=0)
        while len(recorded) < least:
            assert driver.poll() is None
            threading.Event().wait(0.02)
            recorded = rows(killed, TRIED)
        os.kill(driver.pid, signal.SIGKILL)
        driver.communicate(timeout=10)
    (killed / "slow").unlink()
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "going on with the tuning of first (run " in done.stderr and done.returncode == 0, done.stderr
    main(["--project", str(whole), "tune", "first", "--trials", "10", "--json"])
    assert rows(killed, TRIED) == rows(whole, TRIED)
    assert set(recorded) <= set(rows(killed, TRIED))
    for folder in folders:
        [(runs, places)] = rows(
            folder,
            "SELECT COUNT(*), COUNT(DISTINCT json_extract(args, '$.trial') || ' ' || json_extract(args, '$.rung'))"
            " FROM runs WHERE task_id = 'trial:first'",
        )
        assert runs == places == len(rows(folder, TRIED)), "a run for each evaluation"
        assert rows(folder, "SELECT number FROM versions WHERE model = 'first'") == [("v1.0.0",), ("v1.1.0",)]


def test_the_table_shows_the_trials_the_current_one_beside_them_and_what_to_do(overnight):
    code, out, err = overnight("tune", "first", "--trials", "10")
    assert code == 0
    assert out.startswith("TRIAL    MEAN ABSOLUTE ERROR  95 %")
    assert "\ncurrent  0." in out and "shift=0.7" in out
    assert "11 trials, measured on" in out and " ended at " in out
    assert ": ACCEPT (alpha 0.037)" in out
    assert "overnight tune first --rollback     takes that back" in out
    assert "trials: " in err and "gate: the best parameters" in err


def test_trials_that_fail_are_counted_and_current_parameters_that_fail_end_it(fleet, overnight):
    _, out, _ = overnight("tune", "first", "--trials", "14", "--seed", "3")
    assert " failed: run " in out and "too far" in out
    configure(fleet, shift=2.5)
    code, _, err = overnight("tune", "first", "--trials", "3")
    assert code == 1 and "it failed: the current parameters cannot be tried: ValueError: too far" in err


def test_an_agent_that_uses_another_one_is_tried_on_what_that_one_says_of_unseen_items(fleet, overnight):
    agents = {
        "first": agent("Tuned"),
        "second": agent("Tuned", inputs=["a", "b", "first"], after=["first"], settings=None),
    }
    write_config(fleet, agents)
    train(fleet)
    (fleet / "unseen.txt").unlink()
    code, out, err = overnight("tune", "second", "--trials", "4", "--json")
    found = json.loads(out)
    [(evaluations,)] = rows(fleet, "SELECT COUNT(*) FROM tuning_evaluations WHERE value IS NOT NULL")
    assert len((fleet / "unseen.txt").read_text().splitlines()) >= evaluations >= 5
    assert code in (0, 1, 3), err
    assert all(one["error"] is None for one in found["trials"] if one["parameters"].get("shift", 0) <= 2)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("frist", "there is no agent 'frist' to tune; did you mean first?"),
        ("plain", "agent 'plain' has nothing that could be tuned: agents:Plain has no tunable, such as"),
        ("late", "agent 'late' was not trained yet: `overnight train --agent late` comes first"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(fleet, overnight, name, says):
    agents = {"first": agent("Tuned"), "plain": agent(), "late": agent("Tuned")}
    write_config(fleet, agents)
    code, out, err = overnight("tune", name)
    assert (code, out, err.count("\n")) == (2, "", 1) and says in err
    assert rows(fleet, "SELECT COUNT(*) FROM runs WHERE task_id = 'overnight:tune'") == [(0,)]


def test_without_the_extra_nothing_is_begun_and_one_line_says_which(fleet, overnight, monkeypatch):
    monkeypatch.setattr(sampler, "find_spec", lambda name: None)
    code, _, err = overnight("tune", "first")
    assert (code, err) == (2, "overnight: tuning needs the extra 'hpo': pip install 'overnight[hpo]'\n")


def test_the_runs_of_trials_are_named_by_what_was_measured(fleet, overnight):
    from overnight.app.sweeping import Sweeper

    overnight("tune", "first", "--trials", "2")
    with Project.open(fleet) as project:
        named = Sweeper(project)._begin().rules.named
        tried = {run for (run,) in rows(fleet, "SELECT run_id FROM tuning_evaluations")}
    assert tried and tried <= set(named)


def test_from_python_a_tuning_is_seen_through(fleet):
    with Project.open(fleet) as project:
        found = project.tune("first", trials=8)
        assert found["trials"][0]["value"] is not None and len(found["trials"]) == 9
        assert found["adopted"] is (found["verdict"] is not None and found["verdict"]["decision"] == "ACCEPT")
        assert not project.is_worked_on
