"""A job's version is judged against the one that serves, on experiences that neither was trained on."""

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from overnight import Project
from overnight.app.gate import put_to_the_test
from overnight.base.errors import UserMistake
from overnight.cli.app import main
from overnight.proof.evidence import Evidence
from overnight.proof.gate import Decision
from overnight.registry import store as registry
from overnight.registry import verdicts
from overnight.training.experiences import identified
from small_trainer import points

SETTINGS = """
[training]
validation = 0.3

[training.models]
line.trainer = "small_trainer:Line"
mute.trainer = "silent_trainer:Mute"

[engine.retry]
base_s = 0.05

[gate.final]
line = "final.jsonl"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "silent_trainer.py").write_text(
        "from small_trainer import Line\n\n\nclass Mute(Line):\n    scores = None\n"
    )
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "final.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in points(200)[:20]))
    (folder / "overnight.toml").write_text(SETTINGS)
    with Project.open(folder) as made:
        yield made


def train(project, job_id, *, model="line", epochs=30, data=None, **settings):
    data = points(200) if data is None else data
    status = project.submit_training(
        model, data, job_id=job_id, epochs=epochs, checkpoint_interval=0, settings=settings
    )
    project.result(status.run_id, 60)
    with project.database.read() as connection:
        return registry.newest(connection, model)


def look(project, what, *arguments):
    with project.database.read() as connection:
        return what(connection, *arguments)


def test_versions_are_judged_on_what_neither_was_trained_on(project):
    final = {item["id"] for _, item in identified(points(200)[:20])}
    with project.running():
        first = train(project, "bad", epochs=1)
        assert (first.number, dict(first.verdict)) == ("v1.0.0", {"decision": None, "reason": "the first version"})
        assert look(project, registry.serving, "line") == first
        better = train(project, "good")
        worse = train(project, "worse", epochs=1, learning_rate=1e-5)
    # What follows ACCEPT is the deployment's; the gate only says so.
    assert look(project, registry.serving, "line") == first
    assert (better.verdict["decision"], better.verdict["metric"]) == (Decision.ACCEPT, "closeness")
    assert better.verdict["candidate"] > better.verdict["against"]
    [newest, oldest] = look(project, verdicts.history, "line")
    assert (oldest.candidate, oldest.against, oldest.by) == ("v1.0.1", "v1.0.0", "job good")
    assert oldest.result == json.loads(json.dumps(better.verdict)) and oldest.level == pytest.approx(0.0373, abs=1e-4)
    evidence = Evidence.from_dict(json.loads(project.blobs.get(oldest.evidence)))
    assert 2 <= oldest.items == len(evidence.ids) < 70 and oldest.held_out == evidence.held_out_id
    snapshot = {json.loads(line)["id"] for line in project.blobs.get(better.snapshot_id).splitlines()}
    assert set(evidence.ids) < snapshot and not final & snapshot, "the final ones are locked"
    assert project.job("good").items == better.metrics["items"] + oldest.items == 180
    assert (newest.decision, worse.verdict["decision"]) == (Decision.REJECT, Decision.REJECT)
    folder = project.folder / ".overnight" / "checkpoints" / "good"
    assert {path.name for path in folder.iterdir()} <= {"job.json", "epochs.jsonl"}


def test_many_candidates_on_the_same_items_share_alpha(project):
    with project.running():
        train(project, "one", epochs=1)
        levels = [train(project, f"again-{epochs}", epochs=epochs).verdict["alpha"] for epochs in (2, 3)]
    assert levels == [pytest.approx(0.0373, abs=1e-4), pytest.approx(0.0066, abs=1e-4)]
    [newest, _] = look(project, verdicts.history, "line")
    assert "Earlier verdicts share its alpha: it was judged at 0.0066 instead of 0.05." in newest.result["reason"]
    assert newest.result["uses"] == 2


def test_what_cannot_be_compared_is_registered_with_the_reason_and_does_not_serve(project):
    with project.running():
        first = train(project, "first-mute", model="mute")
        second = train(project, "second-mute", model="mute")
        few = train(project, "few", data=points(200)[20:24])
        fewer = train(project, "fewer", data=points(200)[20:24])
    assert second.verdict["decision"] is None
    assert second.verdict["reason"].startswith(
        "not compared with v1.0.0: version just trained cannot be measured: trainer 'silent_trainer:Mute' has no scores"
    )
    assert look(project, registry.serving, "mute") == first
    assert look(project, verdicts.history, "mute") == []
    assert "are too few to compare on, at least 2 are needed" in fewer.verdict["reason"]
    assert look(project, registry.serving, "line") == few


def test_a_champion_that_is_gone_is_no_reason_to_serve(project):
    with project.running():
        first = train(project, "first")
        for path in (Path(project.blobs.root)).glob(f"??/{first.manifest['line.json']['sha256']}"):
            path.unlink()
        second = train(project, "second", epochs=3)
    assert second.verdict["reason"].startswith("not compared with v1.0.0: line v1.0.0: line.json: blob")
    assert look(project, registry.serving, "line") == first
    assert asdict(second)["verdict"]["decision"] is None


def ask(project, capsys, *words):
    capsys.readouterr()
    code = main(["--project", str(project.folder), "gate", "check", "line", *words])
    return code, *capsys.readouterr()


def test_versions_are_judged_by_hand_on_the_same_items_once_and_on_the_final_ones(project, capsys):
    with project.running():
        train(project, "bad", epochs=1)
        better = train(project, "good")
    again = project.gate_check("line")
    assert again.known and dict(again.verdict.result) == json.loads(json.dumps(dict(better.verdict)))
    code, out, _ = ask(project, capsys)
    assert code == 0 and out.startswith("ACCEPT: v1.0.1 against v1.0.0, by closeness\n  The candidate is better;")
    assert "is no new use of the items" in out
    code, out, _ = ask(project, capsys, "--candidate", "v1.0.0", "--against", "v1.0.1", "--json")
    told = json.loads(out)
    assert (code, told["verdict"]["decision"], told["known"]) == (1, "REJECT", False)
    assert told["verdict"]["alpha"] == pytest.approx(0.0066, abs=1e-4), "the items were used before"
    code, out, _ = ask(project, capsys, "--final", "--json")
    final = json.loads(out)
    assert code == 0 and final["final"] and final["verdict"]["n"] == 20
    assert final["verdict"]["reason"].endswith("The final hold-out was used for the first time.")
    assert look(project, registry.serving, "line").number == "v1.0.0"


def test_what_cannot_be_asked_of_the_gate_is_one_line(project, capsys):
    code, _, said = ask(project, capsys)
    assert (
        code == 2
        and "there is no version of a model 'line'; no model has any yet, `overnight jobs submit` makes one" in said
    )
    with project.running():
        train(project, "only")
    for words, code, message in (
        ((), 2, "v1.0.0 would be compared with itself; name another one"),
        (("--against", "v9.9.9"), 2, "there is no version 'v9.9.9' of model 'line'; known are v1.0.0"),
        (("--self-test", "--final"), 2, "--self-test trains its own versions"),
    ):
        found, _, said = ask(project, capsys, *words)
        assert found == code and message in said


@pytest.mark.parametrize("words", [(), ("--self-test",)])
def test_an_agent_is_judged_by_its_training_and_the_gate_says_so(tmp_path, capsys, words):
    agent = 'class = "overnight.training.trainers.ranker:Ranker"\ndata = "films"\ntarget = "reviews"\n'
    (tmp_path / "overnight.toml").write_text(f"[categories.films]\nlimit = 9\n[agents.trend]\n{agent}")
    assert main(["--project", str(tmp_path), "gate", "check", "trend", *words]) == 2
    said = capsys.readouterr().err
    assert "'trend' is an agent, which `overnight train --agent trend` trains and judges" in said
    assert "jobs submit" not in said


def test_the_gate_is_tested_on_the_data_of_the_last_job(project, capsys):
    with pytest.raises(UserMistake, match="no job of 'line' has finished"):
        put_to_the_test(project, "line")
    with project.running():
        train(project, "first", epochs=2)
    code, out, _ = ask(project, capsys, "--self-test", "--json")
    told = json.loads(out)
    assert code == 0 and told["passed"] and told["items"] == 45 and told["differing"] >= 0.1
    assert told["trials"] == 1000 and told["accepted"]["lower"] <= 0.05 and told["found"]["share"] >= 0.8
    assert len(look(project, registry.history, "line")) == 1 and look(project, verdicts.history, "line") == []
