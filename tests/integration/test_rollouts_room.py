"""Rollouts where memory is short: reserved in the machine's ledger, waited for, and else taken in turns."""

import threading
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from test_rollouts_serving import MODULE, TOML, register

from daemons import wait_for
from overnight import Project
from overnight.app import deployments, outcomes
from overnight.app.catching_up import CatchingUp
from overnight.app.models_host import Models
from overnight.app.reserving import Reservations
from overnight.app.residence import Hosted
from overnight.base.clock import SystemClock
from overnight.base.errors import HardFailure, ModelFailed
from overnight.base.settings import environment
from overnight.engine.model import Needs, Task
from overnight.flows import rollout as program
from overnight.flows.rollout import Stored
from overnight.resources.machine import Machine, shared_folder
from overnight.resources.negotiator import Answer, ledger_of

MB = 10**6
ROOM = 5 * MB
QUICK = {"monitor_duration_seconds": 0.2, "min_requests": 5}


@pytest.fixture
def project(tmp_path, monkeypatch, request):
    """A project on a machine that has 5 MB (or as asked) for services and runs together; looks come quickly."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("overnight.flows.rollout.LOOK_EVERY_S", 0.1)
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "overnight.toml").write_text(TOML)
    (folder / "work.py").write_text(MODULE)
    room = getattr(request, "param", ROOM)
    limits = {"resources.max_total_memory_gb": room / 10**9, "resources.host_reserve_gb": 0.0, "engine.grace_s": 0}
    with Project.open(folder, overrides=limits) as made:
        yield made


class Serving:
    """What a daemon has that serves models: the versions that are resident, and what came of the requests."""

    def __init__(self, project):
        self.project = project
        self.models = Models(
            project,
            splits=lambda one: {split.model: split for split in deployments.splits(one)},
            sink=outcomes.sink_of(project),
            hard_failure=lambda number, why: deployments.hard_failure(project, number, why),
        )
        told = project.database.writer.told
        project.database.writer.told = lambda events, news: (self.models.tell(events), told(events, news))
        project.residence = Hosted(
            project=project,
            models=self.models,
            stored=Stored(project.database, project.artifacts.verify),
            reservations=Reservations(
                lambda: None if project.runtime is None else project.runtime.negotiator, project.clock.now_us
            ),
        )

    def predict(self, text="hello", key=None):
        return self.models.predict("echo", [text], key)

    def residents(self):
        return sorted(self.models.host.residents("echo"))

    def deploy(self, number, strategy="gradual_rollout", *, paused=False, **config):
        config = config if strategy == "immediate" else {**QUICK, **config}
        made = deployments.deploy(self.project, "echo", number, strategy=strategy, config=config).deployment_id
        if paused:
            deployments.steer(self.project, made, "pause")
        return made

    def of(self, number):
        return deployments.deployment_of(self.project, number)

    def looked(self, number, status):
        """Look at the rollout, as a daemon does each second, and return it once it stands so."""
        deployments.look_at(self.project, self.of(number))
        return (one := self.of(number)).state.status == status and one

    def ended(self, number):
        return wait_for(lambda: self.project.get(self.of(number).run_id).state == "COMPLETED")


@pytest.fixture
def serving(project):
    made = Serving(project)
    yield made
    made.models.close()


def versions(project, *sizes_mb, kinds=()):
    """Register versions of these sizes; the first one serves. All are good where `kinds` says nothing else."""
    kinds = dict(kinds)
    return [
        register(project, place, kinds.get(place, "good"), serve=place == 1, size=int(size * MB))
        for place, size in enumerate(sizes_mb, start=1)
    ]


def reserved():
    """Return what candidates have, or wait for: by name, whether it is granted, the bytes, and why not."""
    _, parts = ledger_of(Machine(shared_folder(environment()), SystemClock()))
    entries = [entry for part in parts for entry in part.entries if entry.want.key < 0]
    return {entry.want.name: (entry.granted, entry.want.need_bytes, entry.why) for entry in entries}


def begun(project):
    """Return the keys of reservations that are used."""
    entries = project.runtime.negotiator.look().part.entries
    return {entry.want.key for entry in entries if entry.begun and not entry.want.is_run}


def hold(ctx, until):
    while not Path(until).exists():
        threading.Event().wait(0.02)


def test_a_candidate_has_its_memory_reserved_until_one_of_two_versions_is_taken_away(project, serving):
    old, new = versions(project, 3, 3)
    with project.running():
        serving.predict()
        number = serving.deploy(new, monitor_duration_seconds=600)
        wait_for(lambda: serving.of(number).state.opened)
        assert reserved() == {f"echo {new}": (True, 3 * MB, None)}
        assert serving.residents() == [old, new]
        deployments.steer(project, number, "promote")
        serving.ended(number)
        wait_for(lambda: reserved() == {})
    assert serving.residents() == [new]


@pytest.mark.parametrize("project", [500 * MB], indirect=True)
def test_a_rollout_waits_for_memory_that_a_run_will_give_back(project, serving, tmp_path):
    _, new = versions(project, 1, 3)
    # More than its process takes: one that outgrows what it has is ended.
    project.add_task(Task(task_id="hold", action=hold, needs=Needs(memory_gb=0.499)))
    with project.running():
        run = project.submit("hold", args={"until": str(tmp_path / "go")})
        wait_for(lambda: project.get(run).state == "IN_PROGRESS")
        number = serving.deploy(new)
        why = "needs 0.003 GB; 0.001 GB are free beside what services are expected to use"
        wait_for(lambda: reserved().get(f"echo {new}") == (False, 3 * MB, why))
        assert serving.of(number).state.status == "pending"
        (tmp_path / "go").touch()
        wait_for(lambda: serving.of(number).state.opened)


def test_without_room_for_both_recorded_requests_are_put_to_them_in_turns_and_a_person_decides(project, serving):
    old, new = versions(project, 3, 6)
    with project.running():
        for place in range(30):
            serving.predict("hello" if place < 20 else "hello again")
        number = serving.deploy(new)
        one = wait_for(lambda: (one := serving.of(number)).state.held == "no_room" and one)
        assert "where v1.0.0 serves; in turns, of 30 recorded requests it failed at 0, the champion at 0" in one.message
        assert one.message.endswith("promote swaps one for the other")
        assert reserved() == {}, "nobody knows when a person decides"
        assert (one.percentage, serving.residents(), serving.predict().model_version) == (0, [old], old)
        deployments.steer(project, number, "promote")
        serving.ended(number)
        assert (serving.residents(), serving.predict().model_version) == ([new], new)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("picky", "of 30 recorded requests it failed at 10, the champion at 0"),
        ("nan", "it failed for good at a recorded request: echo v1.0.1"),
    ],
)
def test_a_candidate_that_does_worse_in_its_turn_reaches_no_user(project, serving, kind, words):
    old, new = versions(project, 3, 6, kinds={2: kind})
    with project.running():
        for place in range(30):
            serving.predict("hello" if place < 20 else "hello again")
        number = serving.deploy(new, without_room="swap")
        one = wait_for(lambda: (one := serving.of(number)).state.status.over and one)
        assert (one.state.status, words in one.message) == ("rolled_back", True), one.message
        serving.ended(number)
        assert (serving.residents(), serving.predict().model_version) == ([old], old)


def test_who_asks_during_the_turn_of_the_candidate_is_answered_by_the_champion(project, serving):
    old, new = versions(project, 3, 6)
    answered, over = [], threading.Event()

    def ask():
        while not over.is_set():
            answered.append(serving.predict().model_version)

    with project.running():
        for _ in range(30):
            serving.predict()
        asking = threading.Thread(target=ask)
        asking.start()
        try:
            number = serving.deploy(new)
            wait_for(lambda: serving.of(number).state.held == "no_room")
            seen = len(answered)
            wait_for(lambda: len(answered) > seen)
        finally:
            over.set()
            asking.join(60)
    assert set(answered) == {old}


def test_a_candidate_in_the_place_of_the_champion_serves_everybody_and_soaks(project, serving):
    old, new = versions(project, 3, 6)
    with project.running():
        serving.predict()
        number = serving.deploy(new, without_room="swap", replay=False)
        one = wait_for(lambda: (one := serving.of(number)).state.alone and one)
        why = "needs 0.006 GB; the machine has 0.005 GB for services and jobs together"
        done = f"{new} is resident in the place of {old}"
        assert one.message == f"{new} {why}, where {old} serves; {done}"
        assert (one.state.status, one.percentage) == ("soaking", 100)
        assert reserved() == {f"echo {new}": (True, 3 * MB, None)}, "what it has more than the champion"
        assert begun(project) == {-number}, "what it has grown by is not somebody else's beside that"
        for _ in range(10):
            assert serving.predict().model_version == new
        assert serving.residents() == [new]
        wait_for(lambda: serving.looked(number, "completed"))
        serving.ended(number)
        assert (serving.residents(), serving.predict().model_version) == ([new], new)
        assert serving.of(number).evidence.candidate.requests >= 5
        assert all(told.again is not False for told in deployments.explain(project, number))


def test_a_candidate_that_fails_in_the_place_of_the_champion_gives_it_back(project, serving):
    old, new = versions(project, 3, 6, kinds={2: "picky"})
    with project.running():
        serving.predict()
        number = serving.deploy(new, without_room="swap", replay=False, monitor_duration_seconds=600)
        wait_for(lambda: serving.of(number).state.alone)
        asked = iter(range(100_000))

        def answered():
            with suppress(ModelFailed):
                return serving.predict("hello again", f"user {next(asked)}").model_version
            return None

        assert wait_for(answered) == old
        one = serving.of(number)
        assert (one.state.status, one.percentage) == ("rolled_back", 0)
        assert "no champion can be compared with it" in one.message
        assert one.evidence.candidate.errors == one.evidence.candidate.requests >= 3
        serving.ended(number)
        assert (serving.residents(), serving.predict("hello again").model_version) == ([old], old)


@pytest.mark.parametrize("kind", ["nan", "bad"])
def test_what_cannot_serve_takes_no_place(project, serving, kind):
    old, new = versions(project, 3, 6, kinds={2: kind})
    with project.running():
        # The champion's answers are the probe.
        serving.predict()
        number = serving.deploy(new, without_room="swap", replay=False)
        one = wait_for(lambda: (one := serving.of(number)).state.status.over and one)
        assert (one.state.status, one.state.alone) == ("rolled_back", False)
        serving.ended(number)
        assert (serving.residents(), serving.predict().model_version) == ([old], old)


def test_a_hard_failure_in_the_place_of_the_champion_brings_it_back_at_once(project, serving):
    old, new = versions(project, 3, 6, kinds={2: "nan"})
    with project.running():
        # Nobody has asked yet, so that nothing is known of what cannot serve.
        number = serving.deploy(new, without_room="swap")
        wait_for(lambda: serving.of(number).state.alone)
        with pytest.raises(HardFailure, match=r"echo v1\.0\.1"):
            serving.predict()
        assert serving.of(number).state.status == "rolled_back"
        assert serving.predict().model_version == old
        serving.ended(number)
        assert serving.residents() == [old]


def test_what_fits_in_nobodys_place_is_held_and_not_tried(project, serving):
    old, new = versions(project, 3, 9)
    with project.running():
        for _ in range(5):
            serving.predict()
        number = serving.deploy(new, without_room="swap")
        one = wait_for(lambda: (one := serving.of(number)).state.held == "no_room" and one)
        assert "in turns" not in one.message
        assert (serving.residents(), reserved()) == ([old], {})


def test_what_serves_at_once_takes_the_place_of_the_champion(project, serving):
    _, new = versions(project, 3, 6)
    with project.running():
        serving.predict()
        number = serving.deploy(new, strategy="immediate")
        wait_for(lambda: serving.of(number).state.status == "completed")
        serving.ended(number)
        assert (serving.residents(), serving.predict().model_version) == ([new], new)


def test_a_paused_rollout_swaps_nothing_before_it_goes_on(project, serving):
    old, new = versions(project, 3, 6)
    with project.running():
        number = serving.deploy(new, without_room="swap", replay=False, paused=True)
        run_id = serving.of(number).run_id
        wait_for(lambda: (waits := project.get(run_id).waiting_for) and "until_us" in waits)
        wait_for(lambda: reserved() == {f"echo {new}": (True, 3 * MB, None)})
        assert (serving.predict().model_version, serving.residents()) == (old, [old])
        deployments.steer(project, number, "resume")
        wait_for(lambda: serving.of(number).state.alone)
        assert serving.predict().model_version == new


def test_after_a_restart_the_candidate_is_still_alone(project, serving):
    old, new = versions(project, 3, 6)
    with project.running():
        number = serving.deploy(new, without_room="swap", monitor_duration_seconds=600)
        wait_for(lambda: serving.of(number).state.alone)
    again = Serving(project)
    with project.running():
        assert again.predict().model_version == new
        assert again.residents() == [new]
        deployments.steer(project, number, "rollback")
        assert again.predict().model_version == old
        again.ended(number)
        assert again.residents() == [old]
    again.models.close()


@pytest.fixture
def together(serving, monkeypatch):
    """What was resident at a time, each time that a version was loaded."""
    found, load = [], serving.models.host.load

    def told(ref):
        resident = load(ref)
        found.append(serving.residents())
        return resident

    monkeypatch.setattr(serving.models.host, "load", told)
    return found


def test_who_asks_while_one_is_swapped_for_the_other_has_not_both_loaded(project, serving, together):
    old, new = versions(project, 3, 6)
    with project.running():
        serving.predict()
        number = serving.deploy(new, replay=False)
        wait_for(lambda: serving.of(number).state.held == "no_room")
        deployments.steer(project, number, "promote")
        assert serving.predict().model_version == new
        serving.ended(number)
        assert serving.predict().model_version == new
    assert together[0] == [old]
    assert set(map(tuple, together[1:])) == {(new,)}


def test_who_overrules_that_there_is_no_room_has_both_answer(project, serving):
    old, new = versions(project, 3, 6)
    with project.running():
        serving.predict()
        number = serving.deploy(new, replay=False, rollout_steps=[50, 100], monitor_duration_seconds=600)
        wait_for(lambda: serving.of(number).state.held == "no_room")
        deployments.steer(project, number, "resume")
        assert {serving.predict(key=f"user {place}").model_version for place in range(50)} == {old, new}


def test_a_daemon_that_has_seen_a_version_alone_loads_the_next_candidate_beside_the_champion(project, serving):
    old, new, third = versions(project, 3, 6, 1)
    other = Models(project, splits=lambda one: {split.model: split for split in deployments.splits(one)})

    def answered(**options):
        other.tell([{"event": "deployment"}])
        return other.predict("echo", ["hello"], **options).model_version

    with project.running():
        assert answered() == old
        number = serving.deploy(new, without_room="swap", replay=False, monitor_duration_seconds=600)
        wait_for(lambda: serving.of(number).state.alone)
        assert (answered(), sorted(other.host.residents("echo"))) == (new, [new])
        deployments.steer(project, number, "rollback")
        assert (answered(), sorted(other.host.residents("echo"))) == (old, [old])
        serving.ended(number)
        number = serving.deploy(third, rollout_steps=[50, 100], monitor_duration_seconds=600)
        wait_for(lambda: serving.of(number).state.opened)
        assert {answered(key=f"user {place}") for place in range(30)} == {old, third}
    other.close()


def test_the_candidate_of_a_shadow_is_not_asked_before_it_has_its_memory(project, serving, together):
    old, new = versions(project, 3, 6)
    with project.running():
        number = serving.deploy(new, strategy="shadow")
        wait_for(lambda: serving.of(number).state.held == "no_room")
        assert serving.predict().model_version == old
        serving.models.close()
    assert together == [[old]]


def test_what_is_held_after_the_replay_takes_no_place(project, serving, together):
    old, new = versions(project, 3, 6, kinds={2: "picky"})
    with project.running():
        for place in range(30):
            serving.predict("hello" if place < 20 else "hello again")
        number = serving.deploy(new, without_room="swap", auto_rollback=False)
        one = wait_for(lambda: (one := serving.of(number)).state.held == "replay_worse" and one)
        wait_for(project.questions)
        assert (one.percentage, serving.residents(), serving.predict().model_version) == (0, [old], old)
    assert together == [[old], [new], [old]], "the turn of the replay alone"


def test_who_decides_before_the_question_is_asked_is_not_asked_any_more(project, serving, monkeypatch):
    _, new = versions(project, 3, 6)
    look = program._news

    def decided(rollouts, number):
        found = look(rollouts, number)
        if found is not None and "question" in found:
            deployments.steer(project, number, "promote")
        return found

    monkeypatch.setattr(program, "_news", decided)
    with project.running():
        serving.predict()
        number = serving.deploy(new, replay=False)
        wait_for(lambda: serving.of(number).state.status == "completed")
        serving.ended(number)
    assert (serving.residents(), project.questions()) == ([new], [])


def test_a_slow_champion_leaves_the_candidate_time_to_answer_in_its_turn(project, serving, monkeypatch):
    monkeypatch.setattr("overnight.app.residence.REPLAY_S", 1.0)
    _, new = versions(project, 3, 6)
    ask = serving.models.ask

    def slow(*args):
        threading.Event().wait(0.1)
        return ask(*args)

    monkeypatch.setattr(serving.models, "ask", slow)
    with project.running():
        for _ in range(30):
            serving.predict()
        number = serving.deploy(new)
        one = wait_for(lambda: (one := serving.of(number)).state.held == "no_room" and one)
    assert "in turns, of " in one.message


class Busy:
    """A machine of 5 MB, all of which a run has now."""

    def __init__(self):
        self.asked = []

    def reserve(self, want):
        self.asked.append(want.need_bytes)
        return Answer(why="needs more", hopeless=want.need_bytes > ROOM)


def test_what_waits_for_the_place_of_the_champion_keeps_its_own_in_the_line(project, serving):
    _, new = versions(project, 3, 6)
    memory = Busy()
    hosted = replace(project.residence, reservations=Reservations(lambda: memory, project.clock.now_us))
    one = serving.of(serving.deploy(new))
    assert [hosted.room(one) for _ in range(3)] == [None] * 3
    assert memory.asked == [6 * MB, 3 * MB, 3 * MB, 3 * MB]


def test_what_was_reserved_before_a_crash_is_reserved_again_before_anything_is_loaded(project, serving, monkeypatch):
    _, new = versions(project, 1, 3)
    look, load, seen = program._room, serving.models.host.load, []

    def lost(rollouts, number):
        found = look(rollouts, number)
        if found is not None:
            project.residence.reservations.release(serving.of(number))
        return found

    def told(ref):
        seen.append(reserved().get(f"echo {ref.number}"))
        return load(ref)

    monkeypatch.setattr(program, "_room", lost)
    monkeypatch.setattr(serving.models.host, "load", told)
    with project.running():
        number = serving.deploy(new)
        wait_for(lambda: serving.of(number).state.opened)
    assert seen == [(True, 3 * MB, None)]


def test_after_a_restart_the_candidate_has_its_memory_again_before_anybody_asks_it(project, serving):
    old, new = versions(project, 3, 2)
    with project.running():
        number = serving.deploy(new, monitor_duration_seconds=600)
        wait_for(lambda: serving.of(number).state.opened)
    again = Serving(project)
    catching_up = CatchingUp(project.residence)
    with project.running():
        assert reserved() == {}
        catching_up.work()
        wait_for(lambda: reserved() == {f"echo {new}": (True, 2 * MB, None)})
        wait_for(lambda: again.residents() == [new])
        catching_up.close()
        assert project.residence.without_memory() == []
        assert {again.predict(key=f"user {place}").model_version for place in range(50)} == {old, new}
        deployments.steer(project, number, "abort")
        again.ended(number)
        wait_for(lambda: reserved() == {})
    again.models.close()
