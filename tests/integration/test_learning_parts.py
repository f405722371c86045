"""What the steps of learning make of executions: which count, by which weights, and in which pairs."""

import pytest

from overnight import Project
from overnight.app import learning, learning_outcomes
from overnight.base.errors import UnknownName
from overnight.base.refs import ErrorRef
from overnight.engine.flow import Ended
from overnight.engine.model import State
from overnight.flows.learning import parts
from overnight.learning import custom, store
from overnight.learning.scoring import WEIGHTS, total_of

TOML = """
[learning]
minimum_samples = 2
{more}
[learning.agent]
command = ["{command}", "{{prompt}}"]
{tables}
"""
TASK = '[tasks.say]\naction = "saying:said"\nmax_retries = 0\ntimeout_s = 60\n'
WISH = {"complexity": "easy", "iterations": 1, "validate": True}


def settings(folder, more="", command="agent", tables=""):
    folder.mkdir(exist_ok=True)
    (folder / "overnight.toml").write_text(TOML.format(more=more, command=command, tables=tables))
    return folder


def exercise(number, type_="code"):
    return {
        "name": f"n{number}",
        "type": type_,
        "complexity": "easy",
        "task": "Write.",
        "work": {"kind": "workspace", "stages": [{"role": "author", "prompt": "Write."}], "answer": ["a"]},
        "expectedChecks": [
            {"name": "right", "command": ["true"]},
            {"name": "within_time", "metric": "time_s", "bound": 60, "at_least": False},
        ],
    }


def came(success=1.0, speed=50.0, reliability=100.0):
    told = {"success": 100 * success, "speed": speed, "reliability": reliability}
    score = total_of(told, WEIGHTS)
    return {"success_rate": success, "time_s": 1.0, "cost_usd": None, "score": score, "parts": told, "repeats": []}


def ended(run_id, strategy, result, *, place=0, way="", look=1, of=None):
    told = {"run_id": run_id, "strategy": strategy, "way": way or strategy, "place": place, "result": result}
    return told if of is None else {**told, "look": look, "exercise": of}


def chances(ways):
    """Return the chance of each strategy that was drawn."""
    return {one["strategy"]: one["propensity"] for some in ways for one in some}


def failed(family, type_, state=State.FAILED):
    error = ErrorRef(family=family, type=type_, message="it says why")
    return Ended(run_id=1, task_id="t", state=state, result=None, error=error)


@pytest.mark.parametrize(
    ("end", "counts"),
    [
        (failed("transient", "TimedOut"), True),
        (failed("transient", "WorkerLost"), True),
        (failed("permanent", "PermanentError"), True),
        (failed("user", "CannotExecute"), False),
        (failed("user", "InvalidTask"), False),
        (failed("permanent", "WorkerLost"), False),
        (failed("user", "Cancelled", State.CANCELLED), False),
    ],
)
def test_what_failed_by_itself_was_executed_without_success_and_nothing_else_that_did_not_complete(end, counts):
    found = parts.came_of(end, exercise(1))
    assert (found is not None) is counts
    if found is not None:
        assert (found["success_rate"], found["score"], found["time_s"]) == (0, 0, 60)
        assert found["parts"] == {"success": 0, "speed": 0, "reliability": 0}
        assert found["repeats"] == [{"error": "it says why"}]


def test_a_verdict_counts_what_failed_by_itself_and_says_how_many_exercises_were_left_out(tmp_path):
    with Project.open(settings(tmp_path / "p")) as project:
        begun = {**parts.begin(project.learning, 1, WISH), "candidate": "aggressive"}
        crashed = parts.came_of(failed("transient", "WorkerLost"), exercise(1))
        looked = []
        for place in range(20):
            results = came(speed=90.0), came(speed=60.0)
            if place < 10:
                results = crashed, came(speed=60.0)
            if place == 19:
                results = came(), None
            for way, result in zip(("candidate", "champion"), results, strict=True):
                name = {"candidate": "aggressive", "champion": "balanced"}[way]
                looked.append(ended(len(looked) + 1, name, result, place=place, way=way, of=exercise(place)))
        verdict = parts.validate(project.learning, begun, looked, 1)
    assert (verdict["exercises"], verdict["left_out"]) == (19, 1)
    assert verdict["decision"] == "REJECT", "where it did not crash it is better"
    assert verdict["reason"].endswith(" Left out: 1 that were cancelled, or could not be executed.")


def test_scores_that_were_kept_are_those_of_the_weights_of_now(tmp_path):
    folder = settings(tmp_path / "p")
    with Project.open(folder) as project:
        begun = parts.begin(project.learning, 1, WISH)
        parts.learn(project.learning, begun, [exercise(1)], [ended(1, "balanced", came(0.5, 80.0, 20.0))])
        assert learning.status(project)["strategies"]["balanced"]["avgScore"] == pytest.approx(50)
    settings(folder, "weights = { success = 0, speed = 1, reliability = 0 }")
    with Project.open(folder) as project:
        begun = parts.begin(project.learning, 2, WISH)
        assert learning.status(project)["strategies"]["balanced"]["avgScore"] == 80
        assert learning.export(project)["evidence"][0]["score"] == 80
        assert learning.estimated(project, None)["balanced"].snips.value == 80
        with project.database.read() as connection:
            [(_, score, _)] = store.scores(connection, parts.digests(begun), ["code"], weights=begun["weights"])
        assert score == 80


def test_what_one_agent_did_is_not_what_another_one_does(tmp_path):
    folder = settings(tmp_path / "p")
    with Project.open(folder) as project:
        begun = parts.begin(project.learning, 1, WISH)
        parts.learn(project.learning, begun, [exercise(1)], [ended(1, "balanced", came())])
        assert learning_outcomes.predict(project, "code", "balanced").n == 1
    settings(folder, command="other")
    with Project.open(folder) as project:
        assert learning.status(project)["strategies"]["balanced"]["uses"] == 0
        with pytest.raises(UnknownName, match="nothing is known of a type of task 'code'"):
            learning_outcomes.predict(project, "code", "balanced")


def test_exercises_of_ones_own_that_are_kept_for_comparisons_are_never_learned_from(tmp_path, monkeypatch):
    tasks = [exercise(number) for number in range(8)]
    mine, kept = custom.halves(tasks)
    seen = []
    monkeypatch.setattr(parts, "trials_of", lambda evidence, scores: seen.extend(scores) or [])
    with Project.open(settings(tmp_path / "p")) as project:
        begun = parts.begin(project.learning, 1, {**WISH, "tasks": tasks})
        ends = [ended(place, "balanced", came(1.0), place=place) for place in range(4)]
        ends += [ended(10 + place, "aggressive", came(0.5), place=place) for place in range(4)]
        parts.learn(project.learning, begun, mine, ends)
        # On those that are kept the second one is by far the better one.
        looked = [ended(20 + place, "aggressive", came(1.0, 100.0), place=place) for place in range(4)]
        looked += [ended(30 + place, "balanced", came(0.0, 0.0, 0.0), place=place) for place in range(4)]
        ways = {"aggressive": "candidate", "balanced": "champion"}
        looked = [{**one, "look": 1, "exercise": kept[one["place"]], "way": ways[one["strategy"]]} for one in looked]
        parts.validate(project.learning, {**begun, "candidate": "aggressive"}, looked, 1)
        again = parts.begin(project.learning, 2, {**WISH, "tasks": tasks})
        choice = parts.choose(project.learning, again)
        assert choice["candidate"] is None and "balanced has the best score" in choice["reason"]
        parts.allocate(project.learning, again, mine, 2)
        assert len(seen) == 8 and {score for _, score, _ in seen} == {came(1.0)["score"], came(0.5)["score"]}
        uses = {name: one["uses"] for name, one in learning.status(project)["strategies"].items()}
        assert uses == {"conservative": 0, "balanced": 8, "aggressive": 8}, "they are shown all the same"


def test_what_came_of_production_work_counts_in_what_is_tried_next_and_each_chance_says_so(tmp_path):
    folder = settings(tmp_path / "p", tables=TASK)
    (folder / "saying.py").write_text('def said(strategy):\n    assert strategy["name"] != "balanced"\n')
    with Project.open(folder) as project:
        begun = parts.begin(project.learning, 1, WISH)
        exercises = [exercise(number) for number in range(12)]
        ends = [
            ended(number, name, came(), place=number % 4) for number, name in enumerate(list(begun["strategies"]) * 4)
        ]
        parts.learn(project.learning, begun, exercises, ends)
        before = chances(parts.allocate(project.learning, begun, exercises * 8, 2))
        for name in ("balanced", "aggressive") * 6:
            project.submit("say", {"strategy": {"name": name}})
        project.run(until_idle=True)
        ways = parts.allocate(project.learning, begun, exercises * 8, 2)
        after = chances(ways)
        assert after["balanced"] < before["balanced"] and after["aggressive"] > before["aggressive"]
        drawn = ways[0][0]
        assert drawn["production"] == {"aggressive": 6, "balanced": 6}
        parts.learn(project.learning, begun, exercises, [{**drawn, "run_id": 99, "place": 0, "result": came()}])
        with project.database.read() as connection:
            [row] = [one for one in store.of_session(connection, 1) if one["run_id"] == 99]
        assert row["detail"]["production"] == drawn["production"] and row["propensity"] == drawn["propensity"]
        assert learning.status(project)["strategies"]["balanced"]["uses"] == 4, "it is not measured by that"
