"""Rollouts of a project with a real database: outcomes come, and what follows is decided in the same transaction."""

import json
import time
from random import Random

import pytest

from overnight import Project
from overnight.app import deployments, outcomes
from overnight.app.models import find_version
from overnight.app.rollouts import Rollouts
from overnight.base.clock import SystemClock
from overnight.base.errors import DamagedBlob, InvalidTransition, UnknownName, UserMistake
from overnight.engine.model import State
from overnight.flows.rollout import Stored
from overnight.registry import deployments as decided
from overnight.registry import store
from overnight.registry.evidence import Served
from overnight.registry.routing import chosen
from overnight.registry.store import Candidate

FAST = {"monitor_duration_seconds": 0.0, "min_requests": 20, "replay": False}


class Clock(SystemClock):
    """A clock that a test can set forward."""

    ahead_us = 0

    def now_us(self):
        return super().now_us() + self.ahead_us


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def project(tmp_path, clock):
    with Project.create(tmp_path / "p", clock=clock) as made:
        for run_id, serve in ((1, True), (2, False), (3, False)):
            register(made, run_id, serve=serve)
        yield made


def register(project, run_id, *, serve, model="nlu", signature=None):
    candidate = Candidate(
        model=model,
        run_id=run_id,
        snapshot_id="0" * 64,
        manifest={"model.npz": {"sha256": project.blobs.put(b"weights %d" % run_id), "size": 9}},
        signature=signature or {"trainer": "t"},
        metrics={},
        verdict={"decision": "ACCEPT"},
    )
    return project.database.writer.do(lambda tx: store.register(tx, candidate, serve=serve, why="test"))


class Users:
    """Sends requests where the split says, and what comes of them back."""

    def __init__(self, project, seed=1):
        self.project = project
        self.random = Random(seed)
        self.number = 0

    def ask(self, count, *, candidate=0.0, champion=0.0, batch=10, key=None):
        """Send requests of which so many fail; return how many the candidate got until the rollout was over."""
        mine = 0
        while count > 0:
            [split] = [one for one in deployments.splits(self.project) if one.model == "nlu"]
            if split.candidate is None:
                return mine
            served = []
            for _ in range(min(batch, count)):
                self.number += 1
                who = f"user {self.number}" if key is None else key(self.number)
                version = chosen(split, who)
                fails = self.random.random() < (candidate if version == split.candidate else champion)
                mine += version == split.candidate
                served.append(
                    Served(
                        request_id=f"r{self.number}",
                        key=who,
                        version=version,
                        percentage=split.percentage,
                        ok=not fails,
                    )
                )
            outcomes.take(self.project, outcomes.Batch(batch_id=f"b{self.number}", model_type="nlu", outcomes=served))
            count -= batch
        return mine


def begun(project, number="v1.0.1", **options):
    one = deployments.deploy(project, "nlu", number, by="tester", **options)
    until(lambda: deployments.deployment_of(project, one.deployment_id).state.status != "pending")
    return one.deployment_id


def until(seen, limit_s=20):
    end = time.monotonic() + limit_s
    while not (found := seen()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def status(project, deployment_id):
    return deployments.deployment_of(project, deployment_id).state.status


def serving(project):
    with project.database.read() as connection:
        return store.serving(connection, "nlu").number


def test_a_good_version_goes_stage_by_stage_and_serves_in_the_end(project, clock):
    with project.running():
        number = begun(project, config=FAST)
        users, look = Users(project), Rollouts(project)
        seen = []
        for _ in range(200):
            users.ask(20, candidate=0.02, champion=0.02)
            look.work()
            seen.append(deployments.deployment_of(project, number).percentage)
            if status(project, number) == "completed":
                break
        run = project.wait(deployments.deployment_of(project, number).run_id, timeout_s=30)
    assert sorted(set(seen)) == [10, 25, 50, 75, 98, 100]
    assert serving(project) == "v1.0.1"
    assert run.state is State.COMPLETED
    assert all(one.again for one in deployments.explain(project, number))


def test_a_bad_version_is_taken_back_within_a_handful_of_its_requests(project):
    with project.running():
        number = begun(project)
        took = Users(project).ask(2000, candidate=1.0, champion=0.01)
    assert status(project, number) == "rolled_back"
    assert took <= 8, "a batch of 10 may hold one or two more than the guard needed"
    assert serving(project) == "v1.0.0"
    [split] = deployments.splits(project)
    assert (split.champion, split.candidate) == ("v1.0.0", None)
    assert all(one.again for one in deployments.explain(project, number))
    reasons = [one.decided.reason for one in deployments.explain(project, number)]
    assert (reasons[0], reasons[-1]) == ("opened", "worse")


def test_on_either_database_it_is_the_same(tmp_path, database_url):
    with Project.create(tmp_path / "p", overrides={"engine.database": database_url}) as project:
        register(project, 1, serve=True)
        register(project, 2, serve=False)
        with project.running():
            number = begun(project, config=FAST)
            users, look = Users(project), Rollouts(project)
            while deployments.deployment_of(project, number).percentage < 25:
                users.ask(20, champion=0.02, candidate=0.02)
                look.work()
            assert users.ask(2000, candidate=1.0) > 0
            assert status(project, number) == "rolled_back"
        assert all(one.again for one in deployments.explain(project, number))


def test_an_outage_that_hits_both_takes_nothing_back_and_holds(project):
    with project.running():
        number = begun(project)
        Users(project).ask(3000, candidate=0.6, champion=0.6)
        one = deployments.deployment_of(project, number)
        assert (one.state.status, one.state.held) == ("held", "error_budget")
        [question] = until(project.questions)
        assert "held at 10 %" in question.prompt
        project.answer(question.question_id, "resume", by="Ada")
        until(lambda: status(project, number) == "running")
        assert serving(project) == "v1.0.0"


def test_a_hold_reads_the_newest_of_many_decisions_alone(project, monkeypatch):
    with project.running():
        number = begun(project)
        for what in ("pause", "resume") * 3:
            deployments.steer(project, number, what, by="Ada")
        read = []
        of_row = decided._decided
        monkeypatch.setattr(decided, "_decided", lambda row: read.append(row.decision_id) or of_row(row))
        Users(project).ask(1000, candidate=0.6, champion=0.6)
        [question] = until(project.questions)
        project.answer(question.question_id, "resume", by="Ada")
        until(lambda: status(project, number) == "running")
    assert set(read) == {8}


def test_errors_of_one_key_count_once(project):
    with project.running():
        number = begun(project, config={"initial_percentage": 50})
        [split] = deployments.splits(project)
        mine = next(key for key in map(str, range(99)) if chosen(split, key) == split.candidate)
        Users(project).ask(500, candidate=1.0, key=lambda n: mine)
        one = deployments.deployment_of(project, number)
    assert one.state.status == "running"
    assert (one.evidence.candidate.errors, one.evidence.candidate.requests) == (1, 1)


def test_late_outcomes_of_another_rollout_and_unknown_shares_count_for_nothing(project):
    with project.running():
        first = begun(project)
        deployments.steer(project, first, "abort")
        second = begun(project)
        late = [
            Served(request_id=f"r{n}", key=f"k{n}", version="v1.0.1", percentage=10.0, deployment_id=first, ok=False)
            for n in range(9)
        ]
        odd = [
            Served(request_id=f"o{n}", key=f"o{n}", version="v1.0.1", percentage=n / 100, ok=False)
            for n in range(1, 90)
        ]
        taken = outcomes.take(project, outcomes.Batch(batch_id="b", model_type="nlu", outcomes=[*late, *odd]))
        assert taken.counted == 0
        assert status(project, second) == "running"


def test_a_returning_key_is_compared_once(project):
    with project.running():
        number = begun(project, strategy="ab_test")
        [split] = deployments.splits(project)
        version = chosen(split, "fan")
        served = [
            Served(request_id=f"r{n}", key="fan", version=version, percentage=50.0, score=0.1 * n, latency_ms=1.0)
            for n in range(1, 8)
        ]
        outcomes.take(project, outcomes.Batch(batch_id="b", model_type="nlu", outcomes=served))
        cells = deployments.deployment_of(project, number).evidence.cells
    assert {name: [sum(steps.values()) for steps in one.values()] for name, one in cells.items()} == {
        "score": [1], "success": [1], "latency": [1]
    }  # fmt: skip


def test_going_back_twice_does_not_return_to_the_bad_one(project):
    with project.running():
        for number in ("v1.0.1", "v1.0.2"):
            deployments.steer(project, begun(project, number), "promote")
    assert deployments.rollback(project, "nlu")["model_version"] == "v1.0.1"
    assert deployments.rollback(project, "nlu")["model_version"] == "v1.0.0"
    with pytest.raises(UserMistake, match="there is none to go back to"):
        deployments.rollback(project, "nlu")


def test_a_pause_before_it_is_loaded_opens_nothing(project):
    one = deployments.deploy(project, "nlu", "v1.0.1")
    deployments.steer(project, one.deployment_id, "pause")
    with project.running():
        until(lambda: deployments.deployment_of(project, one.deployment_id).state.loaded)
        found = deployments.deployment_of(project, one.deployment_id)
        assert (found.state.status, found.percentage) == ("paused", 0)
        deployments.steer(project, one.deployment_id, "resume")
        assert status(project, one.deployment_id) == "running"


def test_a_batch_that_is_sent_again_counts_once(project):
    with project.running():
        number = begun(project)
        served = [Served(request_id="r", key="a", version="v1.0.0", percentage=10.0)]
        batch = outcomes.Batch(batch_id="b", model_type="nlu", outcomes=served)
        assert [outcomes.take(project, batch).duplicate for _ in range(2)] == [False, True]
        assert deployments.deployment_of(project, number).evidence.champion.requests == 1


def test_without_traffic_it_holds_and_goes_on_by_itself_when_there_is_some(project, clock):
    look = Rollouts(project)
    with project.running():
        number = begun(project, config={"monitor_duration_seconds": 60, "min_requests": 5})
        look.work()
        assert status(project, number) == "running"
        clock.ahead_us = 61 * 10**6
        look.work()
        one = deployments.deployment_of(project, number)
        assert (one.state.status, one.state.held) == ("held", "no_traffic")
        assert project.questions() == [], "nobody has to decide"
        Users(project).ask(200)
        look.work()
        assert deployments.deployment_of(project, number).percentage == 25


def test_a_rollout_whose_run_was_cancelled_ends_and_is_cleaned_up(project):
    unloaded = []

    class Noting(Stored):
        def unload(self, one):
            unloaded.append((one.candidate, one.state.status))
            return "noted"

    project.residence = Noting(project.database, project.artifacts.verify)
    with project.running():
        number, look = begun(project), Rollouts(project)
        first = deployments.deployment_of(project, number)
        look.work()
        assert status(project, number) == "running", "its run goes on"
        project.cancel(first.run_id)
        until(lambda: project.get(first.run_id).state is State.CANCELLED)
        look.work()
        look.work()
        one = deployments.deployment_of(project, number)
        assert (one.state.status, one.percentage) == ("aborted", 0.0)
        assert (
            one.message == f"run {first.run_id}, which saw to it, has ended as CANCELLED; the champion serves everybody"
        )
        assert json.loads(project.wait(one.run_id, timeout_s=20).result)["unloaded"] == "noted"
        begun(project)
    assert unloaded == [("v1.0.1", "aborted")]
    last = deployments.explain(project, number)[-1]
    assert (last.decided.by, last.decided.reason, last.again) == ("rollout", "run_ended", None)


def test_a_request_that_was_routed_through_any_daemon_and_of_which_nobody_tells_is_no_lack_of_traffic(project, clock):
    other = Rollouts(project)
    with project.running():
        number, look = begun(project, config={"monitor_duration_seconds": 100, "min_requests": 5}), Rollouts(project)

        def noted_us():
            project.database.writer.do(lambda tx: None)
            return deployments.deployment_of(project, number).routed_us

        look.routed([])
        look.routed(["vision"])
        assert noted_us() is None, "who only asks routes nothing"
        other.routed(["vision", "nlu"])
        first = noted_us()
        other.routed(["nlu"])
        look.routed(["nlu"])
        assert noted_us() == first, "it is written every 10 seconds, whoever writes it"
        clock.ahead_us = 90 * 10**6
        look.routed(["nlu"])
        assert noted_us() > first
        clock.ahead_us = 101 * 10**6
        look.work()
        assert deployments.deployment_of(project, number).state.held == "no_metrics"
        before = len(deployments.explain(project, number))
        clock.ahead_us = 300 * 10**6
        # Fewer than it waits for, whoever gets them.
        Users(project).ask(4, batch=4)
        for _ in range(3):
            look.work()
            other.work()
        assert len(deployments.explain(project, number)) == before, "it is told once, and by one"


def test_every_command_reaches_every_state(project):
    with project.running():
        for what, expected in (("promote", "completed"), ("abort", "aborted"), ("rollback", "rolled_back")):
            for first in ((), ("pause",)):
                number = begun(project, "v1.0.2" if serving(project) != "v1.0.2" else "v1.0.1")
                for command in (*first, what):
                    deployments.steer(project, number, command, by="Ada")
                assert status(project, number) == expected
                with pytest.raises(InvalidTransition, match="already"):
                    deployments.steer(project, number, "resume")


def test_what_cannot_be_deployed_is_refused_in_one_line(project):
    with pytest.raises(UnknownName, match="there is no version of a model 'nlx'; did you mean nlu"):
        deployments.deploy(project, "nlx", "v1.0.0")
    with pytest.raises(UnknownName, match="no version 'v1\\.0\\.9' of model 'nlu'; did you mean"):
        deployments.deploy(project, "nlu", "v1.0.9")
    with pytest.raises(UserMistake, match="serves already"):
        deployments.deploy(project, "nlu", "v1.0.0")
    with pytest.raises(UserMistake, match="does not rise"):
        deployments.deploy(project, "nlu", "v1.0.1", config={"rollout_steps": [50, 10]})
    with project.running():
        begun(project)
        with pytest.raises(InvalidTransition, match=r"deployment 1 of nlu v1\.0\.1 is running at 10 %"):
            deployments.deploy(project, "nlu", "v1.0.2")


def test_an_altered_artifact_is_refused(project):
    version = find_version(project, "nlu", "v1.0.1")
    name = version.manifest["model.npz"]["sha256"]
    (project.state_dir / "blobs" / name[:2] / name).write_bytes(b"others")
    with pytest.raises(DamagedBlob, match=r"model\.npz: .* damaged"):
        deployments.deploy(project, "nlu", "v1.0.1")


def test_other_outputs_cannot_answer_side_by_side(project):
    other = register(project, 9, serve=False, signature={"trainer": "t", "target": "x"})
    register(project, 10, serve=True, signature={"trainer": "t", "target": "y"})
    with pytest.raises(UserMistake, match="has other target than"):
        deployments.deploy(project, "nlu", other.number)


def test_rolling_back_lets_the_version_before_serve_again(project):
    with project.running():
        number = begun(project)
        deployments.steer(project, number, "promote")
    assert serving(project) == "v1.0.1"
    told = deployments.rollback(project, "nlu", by="Ada")
    assert (told["model_version"], serving(project)) == ("v1.0.0", "v1.0.0")
    with pytest.raises(UserMistake, match="serves already"):
        deployments.rollback(project, "nlu", "v1.0.0")
    with pytest.raises(UnknownName, match="there is no version of a model 'vision'"):
        deployments.rollback(project, "vision")


def test_a_hard_failure_takes_it_back_at_once(project):
    with project.running():
        number = begun(project)
        deployments.hard_failure(project, number, "it answered NaN")
        one = deployments.deployment_of(project, number)
    assert (one.state.status, one.message, one.percentage) == ("rolled_back", "it answered NaN", 0.0)


@pytest.mark.parametrize(
    ("deploy", "serves", "rolled_out"),
    [(None, "v1.0.0", True), ("canary", "v1.0.0", True), ("immediate", "v1.0.1", False), ("none", "v1.0.0", False)],
)
def test_what_follows_when_the_gate_accepts_is_what_the_settings_say(tmp_path, deploy, serves, rolled_out):
    overrides = {} if deploy is None else {"models.nlu.deploy": deploy}
    with Project.create(tmp_path / "p", overrides=overrides) as project:
        registry = project.trainings.registry

        def accept(run_id):
            candidate = Candidate(
                model="nlu", run_id=run_id, snapshot_id="0" * 64, manifest={}, signature={}, metrics={}, verdict={}
            )
            for _ in range(2):
                # A try that is repeated after a crash begins nothing twice.
                project.database.writer.do(lambda tx: registry.register(tx, candidate, serve=True, why="better"))

        accept(1)
        first = None if deploy == "none" else "v1.0.0"
        with project.database.read() as connection:
            found = store.serving(connection, "nlu")
        assert (None if found is None else found.number) == first, "the first has nobody to share requests with"
        if first is None:
            return
        accept(2)
        accept(3)
        assert serving(project) == ("v1.0.2" if deploy == "immediate" else serves)
        newest = deployments.newest_of(project)
        assert [one.candidate for one in newest] == (["v1.0.1"] if rolled_out else [])
        if rolled_out:
            assert (newest[0].by, newest[0].plan.strategy) == ("gate", deploy or "gradual_rollout")
            skipped = [
                event for batch in project.events() for event in batch.events if event["event"] == "not_deployed"
            ]
            assert [event["version"] for event in skipped] == ["v1.0.2"]
