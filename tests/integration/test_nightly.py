"""A nightly training proves each agent against its champion, and what one does wrong never stops the others."""

import json
from pathlib import Path

import pytest

from nightly_fleet import (
    BLIND,
    CURVED,
    LINE,
    PLANE,
    ROWS,
    agent,
    make_fleet,
    timeless,
    told,
    train,
    write_agents,
    write_config,
    write_rows,
)
from overnight.app.project import Project
from overnight.app.training import begin, stats
from overnight.base.errors import ConfigError
from overnight.data.snapshots import records_of
from overnight.engine.model import State
from overnight.proof.gate import judge
from overnight.proof.splits import choose_held_out
from overnight.registry import store


@pytest.fixture
def short_grace(monkeypatch):
    """Let SIGKILL follow soon on the request to end."""
    monkeypatch.setattr("overnight.engine.worker.STOP_GRACE_S", 0.4)


def versions_of(folder, model="first"):
    with Project.open(folder) as project, project.database.read() as connection:
        return store.history(connection, model), store.serving(connection, model)


def report_of(result):
    return Path(result["report"]).read_text()


def test_the_first_night_compares_with_the_baseline_and_the_next_with_the_champion(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    first = train(folder)["agents"]["first"]
    assert (first["decision"], first["compared_with"]) == ("ACCEPT", "baseline")
    assert (first["version"], first["serving"], first["model_updated"]) == ("v1.0.0", "v1.0.0", True)
    assert first["champion"] is None and first["baseline_name"].startswith("single best column")

    same = train(folder)
    line = same["agents"]["first"]
    assert (line["decision"], line["compared_with"]) == ("REJECT", "champion")
    assert "score the same on every item" in line["reason"]
    assert (line["version"], line["serving"], line["model_updated"]) == ("v1.0.1", "v1.0.0", False)
    assert line["metric"] == first["metric"] and same["system_quality_delta"] == 0

    write_agents(folder, CURVED)
    better = train(folder)["agents"]["first"]
    assert (better["decision"], better["version"], better["serving"]) == ("ACCEPT", "v1.0.2", "v1.0.2")
    assert better["metric"] < 0.8 * first["metric"] and better["champion"] == first["metric"]

    write_agents(folder, LINE)
    worse = train(folder)["agents"]["first"]
    assert (worse["decision"], worse["version"], worse["serving"]) == ("REJECT", "v1.0.3", "v1.0.2")
    assert worse["metric"] == better["metric"] < worse["candidate"]

    history, serving = versions_of(folder)
    assert [version.number for version in history] == ["v1.0.3", "v1.0.2", "v1.0.1", "v1.0.0"]
    assert serving.number == "v1.0.2"
    assert [version.parent_id for version in history] == [3, 1, 1, None]
    with Project.open(folder) as project:
        health = stats(project)
    [attention] = health["agents_needing_attention"]
    assert attention["agent"] == "first" and "The candidate is worse" in attention["reason"]
    assert health["agents"]["first"]["version"] == "v1.0.2" and health["trend"] == "UP"


def test_the_result_file_is_what_the_flow_returned_and_nothing_is_left_over(tmp_path):
    folder = make_fleet(tmp_path / "fleet", first=agent(), second=agent("Child", after=["first"]))
    result = train(folder)
    assert result["status"] == "success"
    assert json.loads((folder / ".overnight" / "holistic_training_result.json").read_text()) == result
    assert not list((folder / ".overnight" / "work").iterdir())
    assert all(len(line) <= 78 for line in report_of(result).splitlines())
    assert result["phases"]["harvesting"]["details"]["numbers"]["records"] == ROWS + 25
    assert result["phases"]["validation"]["details"]["first"]["set_aside"] == {
        "no target": 20,
        "target is out of the scale": 5,
    }
    assert result["agents"]["first"]["reported_by_the_agent"] == {"status": "completed", "claim": 10}


def test_every_figure_follows_from_the_blobs_that_its_version_names(tmp_path):
    folder = make_fleet(tmp_path / "fleet", BLIND)
    train(folder)
    write_agents(folder, PLANE)
    shown = train(folder)["agents"]["first"]
    with Project.open(folder) as project:
        with project.database.read() as connection:
            version = store.of_run(connection, shown["run"])
        records = {record["id"]: record for record in records_of(project.blobs.get(version.snapshot_id))}
        found = json.loads(project.blobs.get(version.metrics["answers"]))
        weights = json.loads(project.blobs.get(version.manifest["agent/weights.json"]["sha256"]))
        run = project.get(shown["run"])
    assert (run.task_id, run.state) == ("train:first", State.COMPLETED)
    assert version.number == shown["version"] and len(records) == ROWS
    split = choose_held_out(list(records), share=0.2, minimum=200)
    assert tuple(found["ids"]) == split.held_out and len(split.held_out) == shown["held_out"] == 200
    held = [records[name] for name in found["ids"]]
    one, a, b = weights["weights"]
    errors = [abs(one + a * item["a"] + b * item["b"] - item["score"]) for item in held]
    assert sum(errors) / len(errors) == pytest.approx(shown["metric"])
    truths, answers = found["truths"], found["answers"]
    assert truths == [item["score"] for item in held]
    assert [one + a * item["a"] + b * item["b"] for item in held] == pytest.approx(answers["candidate"])
    ours, theirs = (
        [-abs(truth - answer) for truth, answer in zip(truths, answers[name], strict=True)]
        for name in ("candidate", shown["compared_with"])
    )
    assert judge(ours, theirs).reason == shown["reason"]
    worst = sum(abs(t - answer) for t, answer in zip(truths, answers["baseline"], strict=True)) / len(errors)
    assert shown["baseline"] == pytest.approx(worst)
    assert shown["quality"] == pytest.approx(10 * (1 - shown["metric"] / worst))


def test_held_out_items_never_reach_a_training(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    result = train(folder)
    seen = set(json.loads((folder / "seen-Plain.json").read_text()))
    held = set(choose_held_out([f"n{place}" for place in range(ROWS)], share=0.2, minimum=200).held_out)
    assert len(held) == 200 and not seen & held
    assert len(seen) == result["agents"]["first"]["data_count"] == ROWS - 200


def test_a_parent_holds_out_what_its_child_is_measured_on(tmp_path):
    query = "SELECT * FROM numbers WHERE id NOT LIKE '%1%'"
    child = agent("Child", after=["first"], data="fewer")
    folder = make_fleet(tmp_path / "fleet")
    write_config(
        folder, {"first": agent(), "second": child}, queries={"numbers": "SELECT * FROM numbers", "fewer": query}
    )
    result = train(folder)
    with Project.open(folder) as project:
        with project.database.read() as connection:
            version = store.of_run(connection, result["agents"]["second"]["run"])
        measured = json.loads(project.blobs.get(version.metrics["answers"]))["ids"]
    parents = set(json.loads((folder / "seen-Plain.json").read_text()))
    assert len(measured) == 200 and not parents & set(measured)
    assert result["agents"]["first"]["held_out"] > 200


def test_a_child_is_measured_only_on_what_is_new_to_the_parent_that_serves(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    train(folder)
    parents = set(json.loads((folder / "seen-Plain.json").read_text()))
    write_agents(folder, LINE)
    write_config(
        folder,
        {"first": agent(), "second": agent("Child", after=["first"], data="fewer")},
        queries={
            "numbers": "SELECT * FROM numbers",
            "fewer": "SELECT * FROM numbers WHERE id NOT LIKE '%1%'",
        },
    )
    result = train(folder)
    assert result["agents"]["first"]["serving"] == "v1.0.0"
    with Project.open(folder) as project:
        with project.database.read() as connection:
            version = store.of_run(connection, result["agents"]["second"]["run"])
        measured = json.loads(project.blobs.get(version.metrics["answers"]))["ids"]
    assert 100 < len(measured) < 200 and not parents & set(measured)


def test_with_shuffled_targets_nothing_is_accepted(tmp_path):
    folder = make_fleet(tmp_path / "fleet", CURVED)
    for seed in range(3):
        write_rows(folder, seed=seed, shuffled=True)
        assert train(folder)["agents"]["first"]["decision"] != "ACCEPT"
    assert versions_of(folder)[1] is None


FAULTY = {
    "raising": (agent("Raising"), "KeyError: 'no such key'"),
    "nothing": (agent("Nothing"), "Nothing.train must return a dict with a status, not None"),
    "hanging": (agent("Hanging", timeout_s=0.5), "took longer than timeout_s = 0.5 and was stopped"),
    "nan": (agent("Nan"), "Nan.predict returned nan for item"),
    "leaving": (agent("Leaving"), "Leaving.train called sys.exit(3)"),
    "vanishing": (agent("Vanishing"), "the child process exited with code 0 without a result"),
    "missing": (agent("Missing"), "'agents:Missing' cannot be imported: AttributeError"),
    "huge": (agent("Huge"), "agent 'huge' predicts 1.7e+308 for item 'n1'; beyond 1e+100 nothing is measured"),
    "blind": (
        agent(inputs=["a", "c"]),
        "category 'numbers' has no column 'c' (columns: a, b, comments, harvested_at, id, likes, other,",
    ),
    "early": (
        agent(inputs=["a", "good"]),
        "agents.early.inputs: 'good' is an agent and no column: name it in `after` too",
    ),
    "aimless": (agent(target="aim"), "agents.aimless.target: category 'numbers' has no column 'aim'"),
    "narrow": (
        agent(scale=[200, 201]),
        "no record of category 'numbers' can be learnt from: 20 no target, 605 target is out of the scale",
    ),
    "child": (agent("Child", after=["raising"]), "agent 'first', which it comes after, has no version that serves"),
    "user": (
        agent(inputs=["a", "raising"], after=["raising"]),
        "agent 'raising', whose predictions it learns from, has no version that serves",
    ),
    "dry": (
        agent(data="dry"),
        "category 'dry': no source gave anything: dry: sources.dry.query found no records in numbers.db",
    ),
    "broken": (
        agent(data="broken"),
        "category 'broken': no source gave anything: broken: sources.broken.query: numbers.db: no such table: nowhere",
    ),
}


@pytest.mark.usefixtures("short_grace")
def test_what_one_agent_or_source_does_wrong_never_stops_the_others(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    queries = {
        "numbers": "SELECT * FROM numbers",
        "dry": "SELECT * FROM numbers WHERE id = ''",
        "broken": "SELECT * FROM nowhere",
    }
    write_config(folder, {**{name: table for name, (table, _) in FAULTY.items()}, "good": agent()}, queries=queries)
    result = train(folder)
    assert result["status"] == "partial" and result["agents_trained"] == 1
    assert result["agents"]["good"]["decision"] == "ACCEPT"
    text = report_of(result)
    for name, (_, says) in FAULTY.items():
        failed = result["agents"][name]
        assert failed["status"] == "failed" and says in failed["error"], name
        assert "\n" not in failed["error"]
        assert f"{name}: failed" in text
    assert [line for line in text.splitlines() if len(line) > 78] == []
    assert result["phases"]["harvesting"]["status"] == result["phases"]["training"]["status"] == "partial"
    assert not list((folder / ".overnight" / "work").iterdir())
    with Project.open(folder) as project:
        reasons = {line["agent"] for line in stats(project)["agents_needing_attention"]}
    assert reasons == set(FAULTY)


def test_a_night_on_which_every_agent_fails_has_failed(tmp_path):
    folder = make_fleet(tmp_path / "fleet", raising=agent("Raising"), nothing=agent("Nothing"))
    result = train(folder)
    assert (result["status"], result["agents_trained"], result["system_quality_delta"]) == ("failed", 0, None)
    assert result["phases"]["training"]["status"] == "failed"
    assert "not measured" in report_of(result)
    assert not list((folder / ".overnight" / "work").iterdir())


@pytest.mark.parametrize(
    ("agents", "says"),
    [
        (
            {"x": agent(after=["y"]), "y": agent(after=["z"]), "z": agent(after=["x"])},
            "agents: after goes round in a circle: ",
        ),
        ({"x": agent(data="films")}, r"agents\.x\.data: there is no category 'films'; known are numbers"),
        ({"x": agent(data=None)}, r"agents\.x\.data: missing"),
        ({"x": {**agent(), "class": None}}, r"agents\.x\.class: missing"),
        ({"x": agent(metric="f1")}, r"agents\.x\.metric: 'f1' is not a metric"),
        ({"x": agent(inputs=["a", "score"])}, r"agents\.x\.inputs: 'score' is the target"),
        ({"x": agent(scale=[10, 0])}, r"agents\.x\.scale: \[10\.0, 0\.0\] must be the lowest and the highest"),
        ({"x": agent(after=["y"])}, r"agents\.x\.after: there is no agent 'y' \(agents: x\)"),
    ],
)
def test_a_wrong_fleet_is_one_clear_line_before_any_run(tmp_path, agents, says):
    folder = make_fleet(tmp_path / "fleet")
    write_config(folder, agents)
    with pytest.raises(ConfigError, match=says) as caught:
        Project.open(folder)
    assert "\n" not in str(caught.value)
    assert told(folder) == []


def test_a_project_without_agents_has_nothing_to_train(tmp_path):
    with Project.create(tmp_path) as project:
        with pytest.raises(ConfigError, match="there are no agents to train"):
            begin(project)
        assert stats(project)["overall_quality"] is None


def test_a_changed_target_is_compared_with_the_baseline(tmp_path):
    folder = make_fleet(tmp_path / "fleet", CURVED)
    train(folder)
    write_config(folder, {"first": agent(target="other", scale=[0, 20])})
    changed = train(folder)
    line = changed["agents"]["first"]
    assert (line["version"], line["compared_with"], line["champion"]) == ("v2.0.0", "baseline", None)
    assert line["note"] == "champion v1.0.0 predicts 'score' on the scale [0.0, 10.0], which cannot be compared"
    assert "not compared with the champion: champion v1.0.0 predicts" in report_of(changed)
    # `other` is ten times `a`: the line of the baseline is perfect already.
    assert (line["decision"], line["serving"], line["metric"], line["quality"]) == ("REJECT", "v1.0.0", None, None)
    assert "not measured" in report_of(changed)


def test_a_champion_whose_class_is_gone_gives_way_to_one_that_beats_the_baseline(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    write_agents(folder, PLANE, "\nclass Old(Plain):\n    pass\n")
    write_config(folder, {"first": agent("Old")})
    train(folder)
    write_agents(folder, PLANE)
    write_config(folder, {"first": agent()})
    result = train(folder)["agents"]["first"]
    assert (result["version"], result["compared_with"], result["serving"]) == ("v1.1.0", "baseline", "v1.1.0")
    assert result["note"].startswith("champion v1.0.0 can no longer be loaded: agents.first.class: 'agents:Old' cannot")


def test_a_champion_that_fails_keeps_an_unproven_candidate_from_serving(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    write_agents(folder, PLANE, "\nclass Old(Plain):\n    pass\n")
    write_config(folder, {"first": agent("Old")})
    train(folder)
    write_agents(folder, PLANE, "\nclass Old(Plain):\n    def load(self, folder):\n        return {}['gone']\n")
    write_config(folder, {"first": agent()})
    result = train(folder)["agents"]["first"]
    assert result["status"] == "failed"
    assert result["error"].startswith("version v1.0.0 of agent 'first' cannot be measured: KeyError: 'gone'; repair")
    history, serving = versions_of(folder)
    assert serving.number == "v1.0.0" and len(history) == 1


def test_a_damaged_champion_is_named_and_the_other_agents_go_on(tmp_path):
    folder = make_fleet(tmp_path / "fleet", first=agent(), second=agent())
    write_agents(folder, PLANE, "\nclass Other(Plain):\n    used = CURVED\n".replace("CURVED", repr(CURVED)))
    write_config(folder, {"first": agent(), "second": agent("Other")})
    train(folder)
    [version], _ = versions_of(folder)
    name = version.manifest["agent/weights.json"]["sha256"]
    blob = folder / ".overnight" / "blobs" / name[:2] / name
    blob.write_bytes(b"x" * blob.stat().st_size)
    result = train(folder)
    assert result["agents"]["first"]["error"].startswith(f"first v1.0.0: agent/weights.json: blob {name!r} in ")
    assert "is damaged" in result["agents"]["first"]["error"]
    assert result["agents"]["second"]["status"] == "trained"


def test_two_nightly_trainings_are_never_under_way_at_once(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    (folder / "slow").write_text("1.5")
    with Project.open(folder) as project, project.running():
        run_id, again = begin(project)
        assert not again
        while not told(folder):
            project.wait(run_id, 0.02)
        assert begin(project) == (run_id, True)
        second = project.wait(project.submit("nightly"), 20)
        assert second.state is State.FAILED
        assert second.error.message == f"run {run_id} of task 'nightly' is under way: wait for it, or cancel it"
        assert project.result(run_id, 20)["status"] == "success"
        assert begin(project)[0] not in (run_id, second.run_id)


@pytest.mark.usefixtures("short_grace")
def test_a_stop_in_the_middle_of_a_training_ends_it_and_the_next_start_goes_on(tmp_path):
    folder, plain = make_fleet(tmp_path / "stopped"), make_fleet(tmp_path / "plain")
    (folder / "slow").write_text("30")
    with Project.open(folder) as project:
        project.start()
        run_id, _ = begin(project)
        while not told(folder):
            project.wait(run_id, 0.02)
        pid = int((folder / "told.log").read_text().split()[2])
        project.stop(grace_s=0.1)
        assert not Path(f"/proc/{pid}").exists()
        [training] = project.runs(task_id="train:first")
        assert (training.state, training.attempt, training.worker_id) == (State.PENDING, 0, None)
        assert not project.get(run_id).state.final
    (folder / "slow").unlink()
    result = train(folder)
    assert result["run"] == run_id and result["agents"]["first"]["run"] == training.run_id
    assert timeless(result) == timeless(train(plain))
    assert told(folder) == ["begin Plain", "begin Plain", "end Plain"]
    assert len(versions_of(folder)[0]) == 1


def test_a_report_that_cannot_be_written_is_written_later_and_nothing_is_trained_again(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    config = folder / "overnight.toml"
    config.write_text(config.read_text().replace("base_s = 0.0", "base_s = 0.3"))
    result_file = folder / ".overnight" / "holistic_training_result.json"
    (result_file / "in the way").mkdir(parents=True)
    with Project.open(folder) as project, project.running():
        run_id, _ = begin(project)
        while project.get(run_id).state is not State.RETRYING:
            project.wait(run_id, 0.02)
        assert "holistic_training_result.json" in project.get(run_id).error.message
        (result_file / "in the way").rmdir()
        result_file.rmdir()
        result = project.result(run_id, 20)
    assert json.loads(result_file.read_text()) == result
    assert told(folder) == ["begin Plain", "end Plain"]


@pytest.mark.usefixtures("short_grace")
def test_what_an_ended_night_left_behind_is_removed_by_the_next(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    (folder / "slow").write_text("30")
    work = folder / ".overnight" / "work"
    with Project.open(folder) as project, project.running():
        run_id, _ = begin(project)
        while not told(folder):
            project.wait(run_id, 0.02)
        project.cancel(run_id)
        assert project.wait(run_id, 20).state is State.CANCELLED
    assert [path.name for path in work.iterdir()] == [str(run_id)]
    (folder / "slow").unlink()
    train(folder)
    assert not list(work.iterdir())


def test_a_fork_judges_what_was_trained_and_does_not_register_it_twice(tmp_path):
    folder = make_fleet(tmp_path / "fleet")
    result = train(folder)
    with Project.open(folder) as project, project.running():
        with project.database.read() as connection:
            from overnight.engine.tables import steps

            query = steps.select().where(steps.c.run_id == result["run"], steps.c.name == "judge first")
            ordinal = connection.execute(query).fetchone().ordinal
        forked = project.result(project.fork(result["run"], ordinal), 20)
    assert timeless(forked) == timeless(result)
    assert told(folder) == ["begin Plain", "end Plain"]
    assert len(versions_of(folder)[0]) == 1


def test_a_night_on_postgresql_is_the_same_as_on_sqlite(tmp_path, postgres_database):
    there, here = make_fleet(tmp_path / "there"), make_fleet(tmp_path / "here")
    for folder in (there, here):
        write_config(
            folder,
            {"first": agent(), "second": agent("Child", after=["first"])},
            more=f'[engine]\ndatabase = "{postgres_database}"' if folder == there else "",
        )
    for used in (PLANE, CURVED):
        write_agents(there, used)
        write_agents(here, used)
        assert timeless(train(there)) == timeless(train(here))
    assert not (there / ".overnight" / "overnight.db").exists()
    assert [version.number for version in versions_of(there, "second")[0]] == ["v1.0.1", "v1.0.0"]
