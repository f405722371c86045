"""One training at a time on the machine: two projects, killed holders, waits that end, a damaged file."""

import json
import os
import signal
import time

import pytest

from overnight import Project
from overnight.base.clock import SystemClock
from overnight.resources.machine import SLOTS, Machine, shared_folder
from overnight.training.exclusive import SLOT
from small_trainer import points


@pytest.fixture(autouse=True)
def shared(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state" / "overnight"


def project_at(folder, *, retry_s=0.05, **settings):
    overrides = {
        "training.models.line.trainer": "small_trainer:Line",
        "training.models.line.memory_gb": 0.5,
        "training.exclusive": True,
        "engine.retry.base_s": retry_s,
        **{f"training.{name}": value for name, value in settings.items()},
    }
    return Project.create(folder, overrides=overrides)


def until(seen, limit_s=40):
    end = time.monotonic() + limit_s
    while not (found := seen()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def asks(project, job_id):
    """Tell whether the job's process asks for the slot again and again; before that, it may wait for memory alone."""
    run_id = project.job(job_id).training_run_id
    progress = None if run_id is None else project.get(run_id).progress
    return progress is not None and json.loads(progress).get("phase") == "waiting"


def long_one(project, job_id):
    project.submit_training("line", points(), job_id=job_id, epochs=500, settings={"pause_s": 0.02})


def test_a_job_of_another_project_waits_and_says_for_whom(tmp_path, shared):
    with project_at(tmp_path / "a") as one, project_at(tmp_path / "b") as two, one.running():
        long_one(one, "first")
        until(lambda: one.job("first").status == "training")
        two.submit_training("line", points(), job_id="second", epochs=3)
        with two.running():
            said = until(lambda: two.job("second").waiting)
            assert said.startswith("training_slot held by first until 20")
            assert two.job("second").status == "queued"
            one.cancel_job("first")
            until(lambda: two.job("second").status == "completed")
    assert Machine(shared, SystemClock()).holder(SLOT) is None


def test_after_the_wait_the_job_goes_back_to_its_place_and_the_try_does_not_count(tmp_path):
    with project_at(tmp_path / "a") as one, project_at(tmp_path / "b", slot_wait_s=1.0) as two, one.running():
        long_one(one, "first")
        until(lambda: one.job("first").status == "training")
        two.submit_training("line", points(), job_id="second", epochs=3)
        rank = None
        with two.running():
            run_id = until(lambda: two.job("second").training_run_id)
            rank = two.get(run_id).due_us
            until(lambda: any(entry[0] == "yielded" for entry in two.get(run_id).history))
        run, status = two.get(run_id), two.job("second")
        assert (run.attempt, run.due_us, status.status) == (0, rank, "queued")
        assert status.waiting.startswith("training_slot held by first until")
        assert any(len(entry) > 2 and entry[2].startswith("training_slot held by first") for entry in run.history)


def test_two_jobs_of_one_project_take_turns(tmp_path):
    with project_at(tmp_path / "a") as project, project.running():
        long_one(project, "first")
        until(lambda: project.job("first").status == "training")
        project.submit_training("line", points(), job_id="second", epochs=3)
        waiting = until(lambda: project.job("second").waiting)
        assert waiting.startswith("training_slot held by first")
        project.cancel_job("first")
        until(lambda: project.job("second").status == "completed")


def test_a_holder_that_is_killed_makes_room_at_once(tmp_path, shared):
    # Its next try begins late: else it would have the slot again before the other one asks for it.
    with project_at(tmp_path / "a", retry_s=60.0) as one, project_at(tmp_path / "b") as two, one.running():
        long_one(one, "first")
        until(lambda: one.job("first").status == "training")
        holder = Machine(shared, SystemClock()).holder(SLOT)
        two.submit_training("line", points(), job_id="second", epochs=3)
        with two.running():
            until(lambda: asks(two, "second"))
            os.kill(holder.pid, signal.SIGKILL)
            until(lambda: two.job("second").status == "completed")
        one.cancel_job("first")


def test_a_holder_whose_time_was_over_and_whose_slot_is_anothers_yields(tmp_path, shared):
    with project_at(tmp_path / "a", slot_ttl_s=2.0) as one, one.running():
        long_one(one, "first")
        until(lambda: one.job("first").status == "training")
        holder = Machine(shared, SystemClock()).holder(SLOT)
        os.kill(holder.pid, signal.SIGSTOP)
        other = Machine(shared, SystemClock())
        until(lambda: other.take(SLOT, "thief", "elsewhere", 60)[1])
        os.kill(holder.pid, signal.SIGCONT)
        said = until(lambda: one.job("first").waiting)
        assert said.startswith("training_slot held by thief")
        one.cancel_job("first")


def test_a_slot_is_renewed_while_its_holder_lives(tmp_path, shared):
    with project_at(tmp_path / "a", slot_ttl_s=1.0) as one, one.running():
        long_one(one, "first")
        until(lambda: one.job("first").status == "training")
        time.sleep(2.5)
        assert not Machine(shared, SystemClock()).take(SLOT, "thief", "elsewhere", 60)[1]
        one.cancel_job("first")


@pytest.mark.parametrize("text", ["", "{", "[]", "1", '{"training_slot": {"pid": 1}}'])
def test_a_damaged_file_counts_as_empty_and_is_made_anew(shared, text):
    shared.mkdir(parents=True)
    machine = Machine(shared, SystemClock())
    machine.file(SLOTS).write_text(text)
    assert machine.holder(SLOT) is None
    holder, mine = machine.take(SLOT, "a", "p", 60)
    assert mine and machine.holder(SLOT) == holder
    machine.release(SLOT, holder)
    assert machine.holder(SLOT) is None
    assert json.loads(machine.file(SLOTS).read_text())[SLOT]["token"] == 1


@pytest.mark.parametrize(
    ("env", "folder"),
    [
        ({"XDG_STATE_HOME": "/x", "HOME": "/h"}, "/x/overnight"),
        ({"XDG_STATE_HOME": "relative", "HOME": "/h"}, "/h/.local/state/overnight"),
        ({"HOME": "/h"}, "/h/.local/state/overnight"),
    ],
)
def test_the_file_lies_where_the_user_keeps_state(env, folder):
    assert str(shared_folder(env)) == folder
