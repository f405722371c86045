"""Machines that are brought up for jobs: whatever happens, none is left, and what they cost is counted."""

import json
import sys
import time
from pathlib import Path

import pytest

from daemons import Daemon, wait_for
from far_host import FarHost
from overnight import Project
from overnight.base.errors import ConfigError, UserMistake
from overnight.registry import store as registry
from overnight.training import stays
from small_trainer import points

TESTS = Path(__file__).parents[1]
SLOW = {"pause_s": 0.02}


@pytest.fixture
def far(tmp_path):
    made = FarHost(tmp_path / "far")
    yield made
    made.close()


def overrides(far, *, late_s=0.0, **more):
    pool = {
        "ssh": far.ssh("{name}"),
        "python": sys.executable,
        "price_per_hour": 3600.0,
        **far.cloud(late_s=late_s),
        **more,
    }
    return {
        "training.models.line.trainer": "small_trainer:Line",
        # This machine never has so much, so that jobs go to the pool.
        "training.models.line.memory_gb": 100_000.0,
        "training.validation": 0.3,
        "engine.retry.base_s": 0.05,
        "server.port": 0,
        **{f"pools.cloud.{name}": value for name, value in pool.items()},
    }


def made_in(folder, far, **more):
    folder.mkdir()
    (folder / "small_trainer.py").write_text((TESTS / "small_trainer.py").read_text())
    return Project.create(folder, overrides={**overrides(far), **more})


@pytest.fixture
def project(tmp_path, far):
    with made_in(tmp_path / "project", far) as made:
        yield made


def submit(project, job_id="j", **settings):
    return project.submit_training("line", points(), job_id=job_id, epochs=24, checkpoint_interval=4, settings=settings)


def until(project, seen, job_id="j"):
    return wait_for(lambda: (status := project.job(job_id)) and seen(status) and status)


def stay(project, job_id="j"):
    with project.database.read() as connection:
        return stays.find(connection, project.job(job_id).run_id)


def closed(project, job_id="j"):
    return wait_for(lambda: (found := stay(project, job_id)) and found.ended and found)


def test_a_job_brings_its_machine_up_trains_there_and_the_machine_is_taken_down(project, far):
    began = time.monotonic()
    first = submit(project)
    assert first.pool == "cloud" and "100,000" not in first.placed and "1e+05 GB of memory" in first.placed
    with project.running():
        status = until(project, lambda one: one.ended)
        assert (status.status, status.epoch, status.model_version) == ("completed", 24, "v1.0.0")
        found = closed(project)
    assert far.told() == ["up", "down"] and far.machines() == []
    with project.database.read() as connection:
        version = registry.newest(connection, "line")
    assert version.metrics["pool"] == "cloud"
    cost = project.get(status.training_run_id).usage.cost
    assert cost == found.cost == project.job("j").cost
    # A USD a second, from the training's begin to the machine's end.
    assert 0.5 < cost < time.monotonic() - began


def test_a_job_that_fails_leaves_no_machine(project, far):
    submit(project, bad_epoch=3)
    with project.running():
        status = until(project, lambda one: one.ended)
        assert status.status == "failed" and "the training diverged" in status.error
        closed(project)
    assert far.told() == ["up", "down"] and far.machines() == []


def test_a_job_that_is_cancelled_leaves_no_machine(project, far):
    submit(project, **SLOW)
    with project.running():
        until(project, lambda one: one.status == "training" and one.epoch >= 2)
        project.cancel_job("j")
        closed(project)
    assert far.machines() == [] and far.told() == ["up", "down"]


def test_a_job_that_is_cancelled_before_its_turn_brings_up_and_takes_down_nothing(project, far):
    submit(project)
    project.cancel_job("j")
    with project.running():
        assert stay(project) is None
    assert far.told() == []


def test_who_stops_working_takes_the_machine_down_and_who_goes_on_brings_it_up_again(tmp_path, far, database_url):
    with made_in(tmp_path / "project", far, **{"engine.database": database_url}) as project:
        submit(project, **SLOW)
        with project.running():
            until(project, lambda one: one.status == "training" and one.epoch >= 6)
        assert far.machines() == [] and far.told() == ["up", "down"]
        assert project.job("j").status == "queued" and not stay(project).ended
        with project.running():
            assert until(project, lambda one: one.ended).status == "completed"
            closed(project)
        assert far.told() == ["up", "down", "up", "down"] and far.machines() == []
        assert project.get(project.job("j").training_run_id).attempt == 1, "a stop costs no try"
        happened = [one["event"] for batch in project.events() for one in batch.events if "pool" in one]
        assert happened == ["pool_up", "pool_down"] * 2 + ["pool_closed"]


def test_a_machine_that_goes_away_is_brought_up_again_and_the_job_goes_on(project, far):
    submit(project, **SLOW)
    with project.running():
        until(project, lambda one: one.status == "training" and one.epoch >= 9)
        [name] = far.machines()
        (far.homes / name).rename(far.homes.parent / "gone")
        assert until(project, lambda one: one.ended).status == "completed"
        closed(project)
    assert far.told() == ["up", "up", "down"] and far.machines() == []


def test_a_machine_that_does_not_go_is_asked_again_and_it_is_told(tmp_path, far, project, monkeypatch):
    monkeypatch.setattr("overnight.app.pools.AGAIN", type("Soon", (), {"wait_s": staticmethod(lambda *_: 0.2)}))
    switch = tmp_path / "works"
    command = far.cloud()["down"]
    project.close()
    words = ["sh", "-c", f"test -e {switch} || {{ echo quota exceeded; exit 4; }}; {command[2]}", *command[3:]]
    more = {**overrides(far), "pools.cloud.down": words}
    with Project.open(project.folder, overrides=more) as again, again.running():
        submit(again)
        until(again, lambda one: one.ended)
        wait_for(lambda: stay(again).error)
        assert "'sh' exited with code 4: quota exceeded" in stay(again).error and far.machines()
        switch.touch()
        assert closed(again).error is None
        assert far.machines() == []


def test_when_its_hours_are_over_the_job_is_stopped_and_its_checkpoints_stay(far, project):
    project.close()
    more = {**overrides(far), "pools.cloud.max_hours": 1.0}
    with Project.open(project.folder, overrides=more) as again, again.running():
        first = submit(again, pause_s=0.2)
        until(again, lambda one: one.epoch >= 1)
        an_hour_ago = again.clock.now_us() - 3_600_000_000
        again.database.writer.do(lambda tx: stays.note(tx, first.run_id, up_us=an_hour_ago))
        status = until(again, lambda one: one.ended)
        assert status.status == "failed"
        assert "its 1 h in pool 'cloud' are over (max_hours); its checkpoints stay" in status.error
        assert 3600 <= closed(again).cost < 3700
    assert far.machines() == []
    assert list((project.folder / ".overnight" / "checkpoints" / "j").glob("epoch_*.npz"))


def test_a_pool_that_is_gone_from_the_configuration_is_taken_down_all_the_same(project, far):
    submit(project, **SLOW)
    project.start()
    until(project, lambda one: one.status == "training")
    [name] = far.machines()
    project.stop()
    (far.homes / name).mkdir()  # as where the stop was a kill
    project.database.writer.do(lambda tx: stays.note(tx, project.job("j").run_id, down_token=0))
    project.close()
    none = {key: value for key, value in overrides(far).items() if not key.startswith("pools.")}
    with Project.open(project.folder, overrides={**none}) as again:
        again.cancel_job("j")
        with again.running():
            closed(again)
    assert far.machines() == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"pools.local.ssh": ["ssh"]}, "pools.local: this is the name of this machine"),
        ({"pools.a.ssh": ["ssh"], "pools.a.up": ["x"]}, "pools.a: up without down"),
        ({"pools.a.ssh": ["ssh"], "pools.a.down": ["x"]}, "pools.a: down without up"),
        ({"pools.a.ssh": []}, "pools.a.ssh"),
    ],
)
def test_pools_that_cannot_work_are_told_when_the_project_is_opened(tmp_path, values, message):
    with pytest.raises(ConfigError, match=message):
        Project.create(tmp_path / "p", overrides=values)


def test_a_job_that_no_place_can_take_is_refused_with_all_reasons(project, far):
    project.close()
    more = {**overrides(far, memory_gb=8.0)}
    with Project.open(project.folder, overrides=more) as again:
        with pytest.raises(
            UserMistake, match=r"no place can take this job: local: it needs 1e\+05 GB.*; cloud: it needs"
        ):
            submit(again)
        assert again.jobs() == []


# Real daemons, killed with SIGKILL.


@pytest.fixture
def daemon(tmp_path, far):
    made = Daemon(tmp_path / "project", toml(overrides(far, late_s=0.6)))
    (made.folder / "small_trainer.py").write_text((TESTS / "small_trainer.py").read_text())
    made.up()
    yield made
    made.end()


def toml(values):
    tables = {}
    for key, value in values.items():
        table, _, name = key.rpartition(".")
        tables.setdefault(table, []).append(f"{name} = {json.dumps(value)}\n")
    return "".join(f"[{table}]\n{''.join(lines)}" for table, lines in tables.items() if table != "server")


PLACES = {
    "the machine comes up": lambda far, status: far.told() == ["up"] and status.status == "preparing",
    "the training runs": lambda far, status: status.epoch >= 6,
    "the machine goes": lambda far, status: far.told()[-1:] == ["down"],
}


@pytest.mark.chaos
@pytest.mark.parametrize("place", PLACES)
def test_a_daemon_that_is_killed_at_any_place_leaves_no_machine(daemon, far, place, chance):
    cancelled = chance.random() < 0.5
    with Project.open(daemon.folder) as project:
        submit(project, **SLOW)
        wait_for(lambda: PLACES[place](far, project.job("j")))
        daemon.kill()
        if cancelled and not project.job("j").ended:
            project.cancel_job("j")
        daemon.up()
        status = until(project, lambda one: one.ended)
        assert status.status == ("cancelled" if cancelled and place != "the machine goes" else "completed")
        closed(project)
    assert far.machines() == [] and far.told()[-1] == "down"
    wait_for(lambda: far.trainers() == 0)
