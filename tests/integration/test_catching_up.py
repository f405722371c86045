"""The champion of the registry is made to serve, however it became it."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from daemons import wait_for
from lines import add_version
from overnight import Project
from overnight.app import deployments
from overnight.app.catching_up import CatchingUp
from overnight.app.models_host import Models
from overnight.app.reserving import Reservations
from overnight.app.residence import Hosted
from overnight.base.backoff import Backoff
from overnight.base.serving_settings import DeployerSettings, ServedSettings
from overnight.flows.rollout import Stored
from overnight.resources.negotiator import Answer

PROGRAM = """
import sys
from pathlib import Path
if Path("broken").exists():
    raise SystemExit("no server answers")
with open("told.txt", "a") as file:
    print(*sys.argv[1:], file=file)
"""


@pytest.fixture
def project(tmp_path):
    (tmp_path / "overnight.toml").write_text("")
    (tmp_path / "small_trainer.py").write_text((Path(__file__).parents[1] / "small_trainer.py").read_text())
    (tmp_path / "tell.py").write_text(PROGRAM)
    with Project.open(tmp_path, overrides={"training.models.line.trainer": "small_trainer:Line"}) as made:
        call = {name: (sys.executable, "tell.py", name, "{version}") for name in ("load", "swap", "unload")}
        elsewhere = ServedSettings(deployer=DeployerSettings(kind="command", **call))
        made.config = replace(made.config, models={"line": elsewhere})
        yield made


class Memory:
    """A machine with so many free bytes, on which nobody else wants any."""

    def __init__(self, free_bytes):
        self.free_bytes = free_bytes

    def reserve(self, want):
        fits = want.need_bytes <= self.free_bytes
        return Answer(granted=fits, why=f"needs {want.need_bytes} B", hopeless=not fits)

    def use(self, key, used):
        pass

    def release(self, key):
        pass


def started(project, free_bytes=1 << 40):
    """Return what makes versions serve, as a daemon that has just started has it."""
    models = Models(project, splits=lambda one: {split.model: split for split in deployments.splits(one)})
    stored = Stored(project.database, project.artifacts.verify)
    hosted = Hosted(
        project=project,
        models=models,
        stored=stored,
        reservations=Reservations(lambda: Memory(free_bytes), project.clock.now_us),
    )
    return hosted, CatchingUp(hosted)


def looked(project, hosted, catching_up):
    """Look until there is nothing left to do; return what the programs were told by that."""
    told = project.folder / "told.txt"
    told.write_text("")

    def done():
        catching_up.work()
        return not hosted.behind()

    wait_for(done)
    catching_up.close()
    return told.read_text().splitlines()


def test_a_program_is_told_of_each_champion_and_again_after_a_restart(project):
    old = add_version(project, 2.0, serve=True)
    hosted, catching_up = started(project)
    assert looked(project, hosted, catching_up) == [f"load {old}", f"swap {old}"]
    new = add_version(project, 3.0, serve=True)
    assert looked(project, hosted, catching_up) == [f"load {new}", f"swap {new}", f"unload {old}"]
    deployments.rollback(project, "line")
    assert looked(project, hosted, catching_up) == [f"load {old}", f"swap {old}", f"unload {new}"]
    assert looked(project, hosted, catching_up) == []
    assert looked(project, *started(project)) == [f"load {old}", f"swap {old}"]


def test_while_a_version_is_rolled_out_only_the_rollout_tells(project):
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    hosted, catching_up = started(project)
    one = deployments.deploy(project, "line", new)
    assert looked(project, hosted, catching_up) == []
    hosted.load(one)
    one = deployments.steer(project, one.deployment_id, "promote")
    (project.folder / "told.txt").write_text("")
    hosted.unload(one)
    told = (project.folder / "told.txt").read_text().splitlines()
    assert told == [f"load {new}", f"swap {new}", f"unload {old}"]
    assert looked(project, hosted, catching_up) == [], "the rollout has done it"


def served_without_room(project):
    """Have a version serve where nothing else fits; return it, another one, and what programs are told from then on."""
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    hosted, catching_up = started(project, free_bytes=0)
    looked(project, hosted, catching_up)
    project.residence = hosted
    told = project.folder / "told.txt"
    told.write_text("")
    return old, new, told


def test_where_both_do_not_fit_a_person_has_one_swapped_for_the_other(project):
    old, new, told = served_without_room(project)
    number = deployments.deploy(project, "line", new).deployment_id
    with project.running():
        wait_for(lambda: deployments.deployment_of(project, number).state.held == "no_room")
        one = deployments.deployment_of(project, number)
        size = one.message.split()[2]
        assert one.message == f"{new} needs {size} B, where {old} serves; promote swaps one for the other"
        assert (one.percentage, told.read_text()) == (0, "")
        deployments.steer(project, number, "promote")
        wait_for(lambda: project.get(one.run_id).state == "COMPLETED")
    assert told.read_text().splitlines() == [f"unload {old}", f"load {new}", f"swap {new}"]


def test_a_program_is_told_to_put_the_candidate_into_the_place_of_the_champion_and_back(project):
    old, new, told = served_without_room(project)
    number = deployments.deploy(project, "line", new, config={"without_room": "swap"}).deployment_id
    with project.running():
        one = wait_for(lambda: (one := deployments.deployment_of(project, number)).state.alone and one)
        assert told.read_text().splitlines() == [f"unload {old}", f"load {new}", f"swap {new}"]
        told.write_text("")
        deployments.rollback(project, "line")
        wait_for(lambda: project.get(one.run_id).state == "COMPLETED")
    assert told.read_text().splitlines() == [f"unload {new}", f"load {old}", f"swap {old}"]


def test_who_ends_a_rollout_while_the_candidate_takes_its_place_has_the_champion_back(project):
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    hosted, catching_up = started(project, free_bytes=0)
    looked(project, hosted, catching_up)
    one = deployments.deploy(project, "line", new, config={"without_room": "swap"})
    hosted.swap(one)
    one = deployments.steer(project, one.deployment_id, "abort")
    assert not one.state.alone
    told = project.folder / "told.txt"
    told.write_text("")
    hosted.unload(one)
    assert told.read_text().splitlines() == [f"unload {new}", f"load {old}", f"swap {old}"]
    assert looked(project, hosted, catching_up) == []


def test_a_champion_that_could_not_be_brought_back_into_its_place_is_caught_up_with(project, monkeypatch):
    monkeypatch.setattr("overnight.app.catching_up._WAITS", Backoff(base_s=0.01, cap_s=0.01))
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    hosted, catching_up = started(project, free_bytes=0)
    looked(project, hosted, catching_up)
    project.residence = hosted
    number = deployments.deploy(project, "line", new, config={"without_room": "swap"}).deployment_id
    broken = project.folder / "broken"
    with project.running():
        one = wait_for(lambda: (one := deployments.deployment_of(project, number)).state.alone and one)
        broken.touch()
        deployments.rollback(project, "line")
        wait_for(lambda: project.get(one.run_id).state == "COMPLETED")
    broken.unlink()
    assert looked(project, hosted, catching_up) == [f"unload {new}", f"load {old}", f"swap {old}"]


def test_what_fails_is_logged_once_and_tried_again(project, monkeypatch, caplog):
    monkeypatch.setattr("overnight.app.catching_up._WAITS", Backoff(base_s=0.01, cap_s=0.01))
    number = add_version(project, 2.0, serve=True)
    hosted, catching_up = started(project)
    (project.folder / "broken").touch()

    def failed_thrice():
        catching_up.work()
        return catching_up._failed and catching_up._failed["line"].times >= 3

    wait_for(failed_thrice)
    (project.folder / "broken").unlink()
    assert looked(project, hosted, catching_up)[:2] == [f"load {number}", f"swap {number}"]
    [line] = [one.getMessage() for one in caplog.records if "champion_not_served" in one.getMessage()]
    assert "no server answers" in line


def test_a_server_that_has_begun_anew_is_told_again_also_in_a_rollout(project, monkeypatch, caplog):
    monkeypatch.setattr("overnight.app.catching_up.ASK_EVERY_S", 0.0)
    healthy = (sys.executable, "-c", "from pathlib import Path; raise SystemExit(Path('restarted').exists())")
    line = project.config.models["line"]
    project.config = replace(
        project.config, models={"line": replace(line, deployer=replace(line.deployer, healthy=healthy))}
    )
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    hosted, catching_up = started(project)
    assert looked(project, hosted, catching_up) == [f"load {old}", f"swap {old}"]
    told, restarted = project.folder / "told.txt", project.folder / "restarted"

    def told_after_a_restart(count):
        told.write_text("")
        restarted.touch()

        def seen():
            catching_up.work()
            return len(told.read_text().splitlines()) >= count

        wait_for(seen)
        restarted.unlink()
        catching_up.close()
        return told.read_text().splitlines()[:count]

    assert told_after_a_restart(2) == [f"load {old}", f"swap {old}"]
    project.residence = hosted
    number = deployments.deploy(project, "line", new).deployment_id
    with project.running():
        wait_for(lambda: deployments.deployment_of(project, number).state.opened)
        assert told_after_a_restart(3) == [f"load {old}", f"swap {old}", f"load {new}"]
    looked(project, hosted, catching_up)
    assert "event=model_server_unwell" in caplog.text


def test_a_model_of_this_process_follows_once_it_was_asked(project):
    project.config = replace(project.config, models={})
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    hosted, catching_up = started(project)
    models = hosted.models
    assert hosted.behind() == {}, "nothing is loaded before somebody asks"
    assert models.predict("line", [1]).model_version == old
    looked(project, hosted, catching_up)
    one = deployments.deploy(project, "line", new, strategy="immediate")
    hosted.load(one)
    hosted.unload(deployments.steer(project, one.deployment_id, "promote"))
    assert (models.host.champion("line"), sorted(models.host.residents("line"))) == (new, [new])
    deployments.rollback(project, "line")
    looked(project, hosted, catching_up)
    assert (models.host.champion("line"), sorted(models.host.residents("line"))) == (old, [old])
