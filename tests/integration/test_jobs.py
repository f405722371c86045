"""Training jobs on a real project: submitted, trained in a child process, registered, cancelled, tried again."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from overnight import Project, __version__
from overnight.app.sweeping import Sweeper
from overnight.base.errors import InvalidTransition, MissingExtra, OvernightError, UnknownName, UserMistake
from overnight.base.jobs import TRAINING
from overnight.processes.table import look
from overnight.registry import store as registry
from overnight.training.jobs import find
from overnight.training.kinds import kind_of
from small_trainer import Line, points

TESTS = str(Path(__file__).parents[1])
OVERRIDES = {
    "training.models.line.trainer": "small_trainer:Line",
    "training.models.line.memory_gb": 1.0,
    "training.validation": 0.3,
    "engine.retry.base_s": 0.05,
    "server.port": 0,
}


@pytest.fixture
def project(tmp_path, database_url):
    with Project.create(tmp_path / "project", overrides={**OVERRIDES, "engine.database": database_url}) as made:
        yield made


def ended(project, job_id, limit_s=60):
    until = time.monotonic() + limit_s
    while not (status := project.job(job_id)).ended:
        assert time.monotonic() < until, status
        time.sleep(0.05)
    return status


def until(project, job_id, seen, limit_s=60):
    end = time.monotonic() + limit_s
    while not seen(status := project.job(job_id)):
        assert time.monotonic() < end and not status.ended, status
        time.sleep(0.02)
    return status


def child_of(project, status):
    """Return the process that works on the training."""
    with project.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT pid FROM children").fetchall()
    return [pid for (pid,) in rows if look(pid) is not None]


def weights(project, model="line"):
    with project.database.read() as connection:
        version = registry.newest(connection, model)
    about = json.loads(project.blobs.get(str(version.manifest["line.json"]["sha256"])))
    return about["weights"], about["steps"], version


def test_a_job_trains_and_gives_a_version(project):
    first = project.submit_training("line", points(), epochs=12, checkpoint_interval=5, job_id="first")
    assert (first.status, first.epoch, first.total_epochs, first.items) == ("queued", 0, 12, 40)
    with project.running():
        status = ended(project, "first")
    assert (status.status, status.epoch, status.model_version, status.error) == ("completed", 12, "v1.0.0", None)
    assert status.metric == "R2" and status.val_metric > 0.9 and status.loss < 0.1
    assert status.submitted_at <= status.started_at <= status.completed_at
    (slope, start), _, version = weights(project)
    assert slope == pytest.approx(2, abs=0.1) and start == pytest.approx(-1, abs=0.1)
    assert version.signature["inputs"] == version.signature["outputs"] == {"type": "number"}
    assert version.code == {"overnight": __version__, "commit": None, "changed": None}
    told = {"snapshot": version.snapshot_id, "items": version.metrics["validation_items"], "share": 0.3, "seed": 0}
    assert version.metrics["measured_on"] == told and version.manifest["line.json"]["format"] == "json"
    assert version.metrics["job_id"] == "first" and version.metrics["figures"]["val_metric"] == status.val_metric
    folder = project.folder / ".overnight" / "checkpoints" / "first"
    assert {"epoch_0005.npz", "epoch_0010.json", "epoch_0012.npz", "epochs.jsonl"} <= {p.name for p in folder.iterdir()}
    lines = (folder / "epochs.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in lines] == list(range(1, 13))


def test_the_same_id_is_the_same_job(project):
    one = project.submit_training("line", points(), job_id="same", epochs=3)
    two = project.submit_training("line", points(10), job_id="same", epochs=9)
    assert (two.run_id, two.items, two.total_epochs) == (one.run_id, 40, 3)
    assert len(project.jobs()) == 1


def test_equal_experiences_count_once(project):
    assert project.submit_training("line", points() + points(), job_id="twice").items == 40


def test_priority_follows_the_model_type_unless_it_is_said(project):
    pytest.importorskip("numpy")
    assert project.submit_training("line", points()).priority == "NORMAL"
    assert project.submit_training("line", points(), priority="critical").priority == "CRITICAL"
    defaults = {"voice": "CRITICAL", "nlu": "HIGH", "vision": "NORMAL", "embedding": "LOW"}
    assert {name: kind_of(name, {}).priority for name in defaults} == defaults


def test_a_job_trains_on_the_snapshot_of_an_earlier_one(project):
    first = project.submit_training("line", points(), job_id="first")
    with project.database.read() as connection:
        snapshot = find(connection, "first").snapshot_id
    project.submit_training("line", snapshot=snapshot, job_id="again")
    with project.database.read() as connection:
        assert find(connection, "again").snapshot_id == snapshot, "what is the same has the same id"
    assert first.model_type == project.job("again").model_type
    with pytest.raises(UserMistake, match="snapshot: 'gone' is none of experiences"):
        project.submit_training("line", snapshot="gone")
    with pytest.raises(UserMistake, match="one of them, not both"):
        project.submit_training("line", points(), snapshot=snapshot)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"model_type": "nul"}, r"model_type: no trainer is known for 'nul'.*nlu"),
        ({"epochs": 0}, "epochs: 0 is not a whole number"),
        ({"epochs": True}, "epochs: True is not a whole number"),
        ({"job_id": "../x"}, "job_id: '../x' is not a name"),
        ({"job_id": ""}, "job_id: '' is not a name"),
        ({"priority": "urgent"}, "priority: 'urgent' is not one of CRITICAL"),
        ({"checkpoint_interval": -1}, "checkpoint_interval: -1"),
        ({"memory_gb": 0}, "memory_gb: 0 is not a number"),
        ({"gpus": -1}, "gpus: -1 is not a number of GPUs"),
        ({"gpus": 1, "gpu_memory_gb": 0}, "gpu_memory_gb: 0 is not a number"),
        ({"gpu_memory_gb": 2}, "gpu_memory_gb: it is that of each GPU; set gpus too"),
        ({"experiences": []}, "experiences: there are none"),
        ({"experiences": [1]}, r"experiences\[0\]: int is not an object"),
        ({"experiences": [{"input": "a", "expected_output": 1}]}, r"1 of 1 .*\[0\]: input: 'a' is not a number"),
        ({"experiences": [{"input": float("nan"), "expected_output": 1}]}, r"experiences\[0\] is not JSON"),
        ({"settings": {"learning": 1}}, "there is no 'learning'"),
        ({"settings": [1]}, r"settings: \[1\] is not an object"),
        ({"bump": "huge"}, "bump: 'huge' is not one of major, minor, patch"),
        ({"model_type": 5}, "model_type: 5 is not text"),
        ({"experiences": None}, "no experience of 'line' is unused and of quality 0.3 or more"),
        ({"experiences": {"input": 1}}, "experiences: .* is not a list"),
        ({"experiences": [*points(3), *points(3), {"input": "x", "expected_output": 1}]}, r"1 of 7 .*\[6\]: input"),
        ({"model_type": "x" * 101}, "model_type: no trainer is known"),
    ],
)
def test_what_cannot_work_is_refused_in_one_line_and_nothing_is_kept(project, given, message):
    wanted = {"model_type": "line", "experiences": points(), **given}
    with pytest.raises(OvernightError, match=message) as caught:
        project.submit_training(wanted.pop("model_type"), wanted.pop("experiences"), **wanted)
    assert "\n" not in str(caught.value)
    assert project.jobs() == [] and project.runs() == []


def test_a_trainer_that_is_not_there_is_told_by_its_setting(tmp_path):
    wrong = {"training.models.line.trainer": "small_trainer:Circle", "training.models.other.trainer": "no.such:Class"}
    with Project.create(tmp_path / "wrong", overrides=wrong) as project:
        with pytest.raises(UserMistake, match=r"training\.models\.line\.trainer: 'small_trainer:Circle' is no trainer"):
            project.submit_training("line", points())
        with pytest.raises(UserMistake, match=r"training\.models\.other\.trainer.*cannot be imported"):
            project.submit_training("other", points())


def test_an_unknown_job_is_told(project):
    with pytest.raises(UnknownName, match="there is no job 'gone'"):
        project.job("gone")


def test_a_queued_and_a_running_job_can_be_cancelled(project):
    project.submit_training("line", points(), job_id="queued")
    assert project.cancel_job("queued").status == "cancelled"
    project.submit_training("line", points(), job_id="running", epochs=1000, settings={"pause_s": 0.01})
    with project.running():
        until(project, "running", lambda status: status.epoch >= 2)
        asked = time.monotonic()
        project.cancel_job("running")
        status = ended(project, "running")
    assert time.monotonic() - asked < 10
    assert (status.status, status.model_version) == ("cancelled", None)
    with pytest.raises(InvalidTransition):
        project.cancel_job("running")


def test_what_diverges_fails_at_once_with_the_reason(project):
    project.submit_training("line", points(), job_id="nan", epochs=8, settings={"bad_epoch": 4}, checkpoint_interval=2)
    with project.running():
        status = ended(project, "nan")
    assert status.status == "failed" and "the loss is nan in epoch 5" in status.error
    assert project.get(status.training_run_id).attempt == 1


def test_a_killed_trainer_goes_on_from_its_checkpoint_to_the_same_bits(project):
    wish = {"epochs": 30, "checkpoint_interval": 3}
    project.submit_training("line", points(), job_id="calm", **wish)
    with project.running():
        ended(project, "calm")
        calm = weights(project)
        project.submit_training("line", points(), job_id="killed", settings={"pause_s": 0.01}, **wish)
        status = until(project, "killed", lambda status: status.epoch >= 5)
        for pid in child_of(project, status):
            os.kill(pid, signal.SIGKILL)
        status = ended(project, "killed")
    assert status.status == "completed"
    killed = weights(project)
    assert killed[:2] == calm[:2]
    run = project.get(status.training_run_id)
    assert json.loads(run.result)["resumed_from"] is not None and run.attempt == 2


def test_a_stopped_worker_leaves_the_place_in_a_checkpoint_and_the_next_goes_on(project):
    project.submit_training("line", points(), job_id="calm", epochs=20, checkpoint_interval=100)
    project.submit_training(
        "line", points(), job_id="stopped", epochs=20, checkpoint_interval=100, settings={"pause_s": 0.05}
    )
    with project.running():
        ended(project, "calm")
        calm = weights(project)
        until(project, "stopped", lambda status: status.epoch >= 4)
        asked = time.monotonic()
    assert time.monotonic() - asked < 20, "a training need not be waited for"
    status = project.job("stopped")
    assert status.status == "queued" and "goes on from its newest checkpoint" in status.waiting
    with project.running():
        status = ended(project, "stopped")
    run = project.get(status.training_run_id)
    assert (status.status, run.attempt) == ("completed", 1)
    assert json.loads(run.result)["resumed_from"].startswith("epoch_")
    assert weights(project)[:2] == calm[:2]


def test_a_trainer_that_hangs_is_started_again(tmp_path):
    overrides = {**OVERRIDES, "training.stall_s": 1.0}
    with Project.create(tmp_path / "project", overrides=overrides) as project:
        project.submit_training("line", points(), job_id="hangs", epochs=5, settings={"hang_epoch": 3})
        with project.running():
            status = ended(project, "hangs")
        assert status.status == "failed" and "exited with code 1" in status.error
        assert project.get(status.training_run_id).attempt == 4
        log = project.folder / ".overnight" / "logs" / "runs" / f"{status.training_run_id}.log"
        assert "train_batch" in log.read_text()


def test_a_trainer_that_takes_more_memory_than_it_may_is_ended_with_the_figures(project):
    project.submit_training(
        "line", points(), job_id="leaks", epochs=400, memory_gb=0.3, settings={"leak_mb": 4, "pause_s": 0.01}
    )
    with project.running():
        status = ended(project, "leaks")
    assert status.status == "failed" and "0.3" in status.error and "memory" in status.error


def test_jobs_are_estimated_once_two_were_recorded(project):
    from overnight.app.job_status import expectation

    for name, count in (("a", 40), ("b", 80)):
        project.submit_training("line", points(count), job_id=name, epochs=5)
    project.submit_training("line", points(20), job_id="c", epochs=5)
    assert expectation(project, "c") == {"seconds": None, "memory_gb": None}
    with project.running():
        ended(project, "a"), ended(project, "b")
    found = expectation(project, "c")
    assert found["seconds"]["value"] > 0 and found["memory_gb"]["value"] > 0.01


def test_lists_of_tasks_leave_out_what_nobody_wrote(project):
    assert TRAINING in project.book
    assert project.book.get(TRAINING).task.tags == ("built-in",)


@pytest.mark.parametrize("count", [1])
def test_too_few_experiences_fail_with_the_trainers_own_words(project, count):
    project.submit_training("line", points(count), job_id="few")
    with project.running():
        status = ended(project, "few")
    assert (status.status == "failed" and "too few for a line" in status.error) or "leave none" in status.error


def test_the_loaded_model_answers_as_the_trained_one(project, tmp_path):
    project.submit_training("line", points(), job_id="m", epochs=5)
    with project.running():
        ended(project, "m")
    _, _, version = weights(project)
    project.blobs.fetch_folder(version.manifest, tmp_path / "model")
    answers = Line.load(tmp_path / "model").predict([0.0, 1.0])
    assert np.isfinite(answers).all()


def test_extras_are_named(monkeypatch, project):
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises((MissingExtra, UserMistake)):
        project.submit_training("nlu", [{"input": "a", "expected_output": "b"}])


def test_jobs_start_in_the_order_of_their_priority_and_then_of_their_submission(tmp_path):
    overrides = {**OVERRIDES, "engine.max_concurrent": 1}
    with Project.create(tmp_path / "project", overrides=overrides) as project:
        for job_id, priority in (("a", "LOW"), ("b", "NORMAL"), ("c", "LOW"), ("d", "CRITICAL"), ("e", "NORMAL")):
            project.submit_training("line", points(), job_id=job_id, epochs=2, priority=priority)
        with project.running():
            statuses = {job_id: ended(project, job_id) for job_id in "abcde"}
    # One place, and each job is two runs: those of the flows come first, those of the trainings in their order.
    assert sorted(statuses, key=lambda job_id: statuses[job_id].started_at) == ["d", "b", "e", "a", "c"]


def test_a_trainer_that_does_not_listen_is_ended(project):
    project.submit_training("line", points(), job_id="deaf", epochs=5, settings={"pause_s": 60.0})
    with project.running():
        until(project, "deaf", lambda status: status.status == "preparing" or status.status == "training")
        asked = time.monotonic()
        project.cancel_job("deaf")
        status = ended(project, "deaf")
    assert status.status == "cancelled" and time.monotonic() - asked < 10


def test_another_job_of_the_same_id_does_not_take_up_what_is_not_its_own(tmp_path):
    overrides = {**OVERRIDES, "training.checkpoint_folder": str(tmp_path / "shared")}
    with Project.create(tmp_path / "a", overrides=overrides) as one:
        one.submit_training("line", points(), job_id="x", epochs=6)
        with one.running():
            ended(one, "x")
    with Project.create(tmp_path / "b", overrides=overrides) as two:
        two.submit_training("line", points(20), job_id="x", epochs=6)
        with two.running():
            status = ended(two, "x")
    assert status.status == "failed" and "holds the checkpoints of another job 'x'" in status.error


def test_a_version_has_the_number_that_was_asked_for_and_a_pickle_becomes_none(tmp_path):
    overrides = {**OVERRIDES, "training.models.pickled.trainer": "small_trainer:Pickled"}
    with Project.create(tmp_path / "project", overrides=overrides) as project, project.running():
        project.submit_training("pickled", points(), job_id="pickled", epochs=1)
        for bump, number in ((None, "v1.0.0"), ("minor", "v1.1.0"), ("major", "v2.0.0")):
            project.submit_training("line", points(), job_id=number, epochs=1, bump=bump)
            assert ended(project, number).model_version == number
        refused = ended(project, "pickled")
    assert refused.status == "failed" and refused.error.startswith(
        "'line.bin' is refused: it is a pickle, and that runs"
    )


def test_old_jobs_are_still_told_when_old_runs_are_removed(tmp_path):
    overrides = {**OVERRIDES, "engine.retention.days": 0, "engine.retention.last": 0}
    with Project.create(tmp_path / "project", overrides=overrides) as project:
        project.submit_training("line", points(), job_id="old", epochs=2)
        with project.running():
            ended(project, "old")
        sweeper = Sweeper(project)
        while sweeper.work():
            pass
        assert project.job("old").status == "completed" and len(project.jobs()) == 1


def test_the_same_wish_gives_the_same_bits_also_in_a_child_that_has_trained_before(project):
    pytest.importorskip("sklearn")
    words = "the man sings a song for his dog while rain falls on the old town hall".split()  # noqa: SIM905
    texts = [" ".join(words[n % 9 : n % 9 + 5]) for n in range(61)]
    pairs = [{"input": {"a": texts[n], "b": texts[n // 2]}, "expected_output": n % 5 / 5} for n in range(60)]
    with project.running():
        for number in range(3):
            project.submit_training("embedding", pairs, job_id=f"e{number}", epochs=2, settings={})
            assert ended(project, f"e{number}", 120).status == "completed"
    with project.database.read() as connection:
        versions = registry.history(connection, "embedding")
    assert len(versions) == 3 and len({str(sorted(one.manifest.items())) for one in versions}) == 1


def test_the_figures_of_a_job_that_ended_badly_stay(project):
    project.submit_training("line", points(), job_id="nan", epochs=8, settings={"bad_epoch": 4})
    with project.running():
        status = ended(project, "nan")
    assert (status.status, status.epoch) == ("failed", 4) and status.val_metric is not None


def test_a_trainer_of_numpy_figures_is_understood(tmp_path):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "narrow.py").write_text(
        "import numpy as np\nfrom small_trainer import Line\n"
        "class Narrow(Line):\n"
        "    def train_batch(self, rows, epoch):\n        return np.float32(super().train_batch(rows, epoch))\n"
    )
    with Project.create(folder, overrides={**OVERRIDES, "training.models.narrow.trainer": "narrow:Narrow"}) as project:
        project.submit_training("narrow", points(), job_id="n", epochs=3)
        with project.running():
            assert ended(project, "n").status == "completed"


@pytest.mark.parametrize("text", ["syntax error here", "raise KeyError('x')", "class Broken: pass"])
def test_a_trainer_whose_module_is_broken_is_one_line(tmp_path, text):
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "broken_trainer.py").write_text(text)
    told = pytest.raises(UserMistake, match=r"training\.models\.b\.trainer: 'broken_trainer:Broken'")
    with Project.create(folder, overrides={"training.models.b.trainer": "broken_trainer:Broken"}) as project, told:
        project.submit_training("b", points())
    sys.modules.pop("broken_trainer", None)
