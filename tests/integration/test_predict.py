"""Requests that a project's models answer: routed, counted, recorded, learnt from."""

import json
import subprocess
import sys
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from daemons import wait_for
from lines import add_version
from overnight import Project
from overnight.app import deployments
from overnight.app.feedback import learn
from overnight.app.models_host import Models
from overnight.base.errors import ConfigError, ModelFailed, NoTurn, UnfitExperiences, UnknownName, UserMistake
from overnight.base.serving_settings import DeployerSettings, ServedSettings
from overnight.registry.routing import Split, chosen
from overnight.serving import requests as store
from overnight.serving.shadow import compared

OVERRIDES = {"training.models.line.trainer": "small_trainer:Line", "models.line.record": True}


def opened(folder, url):
    folder.mkdir()
    (folder / "overnight.toml").write_text("")
    (folder / "small_trainer.py").write_text((Path(__file__).parents[1] / "small_trainer.py").read_text())
    return Project.open(folder, overrides={**OVERRIDES, "engine.database": url})


@pytest.fixture
def project(tmp_path):
    with opened(tmp_path / "p", f"sqlite:///{tmp_path}/overnight.db") as made:
        yield made


@pytest.fixture
def either(tmp_path, database_url):
    """A project on SQLite, and one on PostgreSQL."""
    with opened(tmp_path / "p", database_url) as made:
        yield made


def daily(project):
    """Return the models of a project, routed as its daemon routes them."""
    return Models(project, splits=lambda one: {split.model: split for split in deployments.splits(one)})


class Rollout:
    """The models of a project in a rollout; `told` are outcomes, `failures` what was told of hard failures."""

    def __init__(self, project, **split):
        self.split = Split(**{"model": "line", "champion": "v1.0.0", "deployment_id": 3, "salt": 9, **split})
        self.told, self.failures = [], []
        self.models = Models(
            project,
            splits=lambda _: {"line": self.split},
            sink=lambda batch: self.told.extend(batch.outcomes),
            hard_failure=lambda number, reason: self.failures.append((number, reason)),
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.models.close()

    def keys(self, number, count):
        """Return keys that are assigned to that version."""
        some = (f"user-{one}" for one in range(10_000))
        return [key for key in some if chosen(self.split, key) == number][:count]


def test_the_version_of_the_key_answers_and_what_came_of_it_is_told(project):
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    with Rollout(project, candidate=new, percentage=40.0) as rollout:
        [mine], [other] = rollout.keys(old, 1), rollout.keys(new, 1)
        assert rollout.models.predict("line", [1, 2], mine).outputs == [2.0, 4.0]
        answered = rollout.models.predict("line", [1], other)
        assert (answered.outputs, answered.model_version) == ([3.0], new)
        by_chance = {rollout.models.predict("line", [1]).model_version for _ in range(60)}
        assert by_chance == {old, new}
    # However many inputs a request has, it is one, of one key.
    first, second = rollout.told[:2]
    assert (first.key, first.version, first.percentage, first.deployment_id, first.ok) == (mine, old, 40.0, 3, True)
    assert first.latency_ms >= 0
    assert (second.request_id, second.version) == (answered.request_ids[0], new)
    assert len({one.request_id for one in rollout.told}) == len(rollout.told) == 62


def test_a_candidate_that_hangs_has_timed_out_and_the_champion_answers(project):
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    project.config = replace(project.config, models={"line": ServedSettings(timeout_s=0.05)})
    over = threading.Event()
    with Rollout(project, candidate=new, percentage=50.0) as rollout:
        rollout.models.ask("line", new, [1])
        resident = rollout.models.host.residents("line")[new]
        resident.model.predict = lambda inputs: over.wait(60) and inputs
        for key in rollout.keys(new, 3):
            answered = rollout.models.predict("line", [1, 2], key)
            assert (answered.outputs, answered.model_version) == ([2.0, 4.0], old)
        over.set()
    assert rollout.failures == []
    told = [(one.version, one.ok, one.timed_out, one.latency_ms) for one in rollout.told]
    assert told == [(new, False, True, None)] * 3


def test_the_latency_of_a_request_is_that_of_one_of_its_inputs(project):
    old = add_version(project, 2.0, serve=True)
    with Rollout(project) as rollout:
        rollout.models.predict("line", [1])
        host = rollout.models.host
        real = host.ask
        host.ask = lambda *args: replace(real(*args), ms=12.0)
        rollout.models.predict("line", [1, 2, 3])
    assert (rollout.told[1].version, rollout.told[1].latency_ms) == (old, 4.0)


BAD = {
    "it does not load": {"content": "{"},
    "it answers no number": {"content": '{"weights": [NaN, 0.0], "steps": 1}'},
    "its code is gone": {"trainer": "small_trainer:Nobody"},
}


@pytest.mark.parametrize("harm", BAD.values(), ids=BAD)
def test_a_candidate_that_fails_for_good_is_told_once_and_nobody_feels_it(project, harm):
    old, bad = add_version(project, 2.0, serve=True), add_version(project, 3.0, **harm)
    with Rollout(project, candidate=bad, percentage=50.0) as rollout:
        for key in rollout.keys(bad, 3):
            answered = rollout.models.predict("line", [1], key)
            assert (answered.outputs, answered.model_version) == ([2.0], old)
    [(deployment, reason)] = rollout.failures
    assert (deployment, bad in reason) == (3, True)
    assert [(one.version, one.ok) for one in rollout.told] == [(bad, False)] * 3


def test_files_that_were_altered_are_fetched_again_and_a_lost_blob_is_a_hard_failure(project):
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    with Rollout(project, candidate=new, percentage=50.0) as rollout:
        [key] = rollout.keys(new, 1)
        ref = rollout.models.ref("line", new)
        (ref.folder / "line.json").write_text('{"weights": [9.0, 0.0]}')
        assert rollout.models.predict("line", [1], key).outputs == [3.0]
        rollout.models.take_away(ref)
        assert not ref.folder.exists()
        name = ref.manifest["line.json"]["sha256"]
        (Path(project.blobs.root) / name[:2] / name).write_text("other")
        assert rollout.models.predict("line", [1], key).model_version == old
    assert "is damaged" in rollout.failures[0][1]


def refuse(always, inputs):
    if always or isinstance(inputs[0], str):
        raise UserMistake("no number")
    return inputs


def test_who_asks_wrongly_is_told_so_unless_only_the_candidate_minds(project):
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    with Rollout(project, candidate=new, percentage=50.0) as rollout:
        models = rollout.models
        with pytest.raises(UserMistake, match="inputs: 0"):
            models.predict("line", [])
        with pytest.raises(UserMistake, match=r"inputs: 1,001; 1 to 1,000"):
            models.predict("line", [1] * 1001)
        with pytest.raises(UnknownName, match="did you mean line"):
            models.predict("lime", [1])
        # This model does not look at its inputs, so that the fault is its own.
        with pytest.raises(ModelFailed, match=rf"line {old} failed: TypeError"):
            models.predict("line", [None], rollout.keys(old, 1)[0])
        assert models.predict("line", [1], rollout.keys(new, 1)[0]).model_version == new
        for version in models.host.residents("line").values():
            version.model.predict = partial(refuse, version.ref.number == new)
        assert models.predict("line", [1], rollout.keys(new, 1)[0]).model_version == old
        with pytest.raises(UserMistake, match="no number"):
            models.predict("line", ["text"], rollout.keys(new, 1)[0])
    assert [(one.version, one.ok) for one in rollout.told] == [(old, False), (new, True), (new, False)]
    assert rollout.failures == []


def test_a_model_that_serves_nowhere_or_elsewhere_is_not_asked(project):
    add_version(project, 2.0)
    with pytest.raises(UnknownName, match="overnight deploy"):
        daily(project).predict("line", [1])
    add_version(project, 2.0, model="chat", serve=True, trainer={"argv": ["train"]})
    with pytest.raises(ModelFailed, match=r"\[models.chat.deployer\] says what serves it"):
        daily(project).predict("chat", [1])
    elsewhere = ServedSettings(deployer=DeployerSettings(kind="http", load_url="http://127.0.0.1:9"))
    project.config = replace(project.config, models={"chat": elsewhere})
    with pytest.raises(UserMistake, match="'chat' is served elsewhere"):
        daily(project).predict("chat", [1])


def test_a_version_that_no_split_names_any_more_is_taken_away_and_a_pinned_one_stays(project, monkeypatch):
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    monkeypatch.setattr("overnight.app.models_host.LINGER_S", 0.0)
    with Rollout(project, candidate=new, percentage=50.0) as rollout:
        models = rollout.models
        models.predict("line", [1], rollout.keys(new, 1)[0])
        folder = models.ref("line", new).folder
        models.pin(models.ref("line", new))
        rollout.split = Split(model="line", champion=old)

        def look():
            models.tell([{"event": "deployment"}])
            models.predict("line", [1])
            return sorted(models.host.residents("line"))

        assert look() == [old, new]
        models.unpin(models.ref("line", new))
        assert look() == [old]
        assert not folder.exists()


def test_who_waits_in_vain_for_a_turn_says_nothing_about_a_version(project):
    new = add_version(project, 3.0, serve=True)

    def nobody(*_):
        raise NoTurn("its versions take turns")

    with Rollout(project, champion=new, candidate=new, percentage=100.0) as rollout:
        rollout.models.turns.wait = nobody
        with pytest.raises(NoTurn):
            rollout.models.predict("line", [1])
    assert rollout.told == []


def test_a_version_that_is_taken_away_in_the_middle_of_a_request_still_answers_it(project):
    old = add_version(project, 2.0, serve=True)
    with Rollout(project) as rollout:
        models = rollout.models
        champion, load = models.host.champion, models.host.load
        taking = []

        def taken_away(model):
            models.take_away(models.ref("line", old))
            return champion(model)

        def load_while_taken_away(ref):
            taking.append(threading.Thread(target=models.take_away, args=(ref,)))
            taking[0].start()
            # It has to wait: until it is loaded, the files are needed.
            taking[0].join(0.2)
            return load(ref)

        models.host.champion = taken_away
        assert models.predict("line", [1]).outputs == [2.0]
        assert not models.host.residents("line")
        models.host.champion, models.host.load = champion, load_while_taken_away
        assert models.predict("line", [1]).outputs == [2.0]
        taking[0].join()
    assert [one.ok for one in rollout.told] == [True, True]


def test_a_request_that_was_routed_before_the_change_makes_no_champion(project):
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    with Rollout(project) as rollout:
        models = rollout.models
        residents = models.host.residents

        def changed(model):
            models.host.residents, rollout.split = residents, Split(model="line", champion=new)
            models.tell([{"event": "deployment"}])
            assert models.predict("line", [1]).model_version == new
            return residents(model)

        models.host.residents = changed
        assert models.predict("line", [1]).model_version == old
        assert models.host.champion("line") == new


def test_a_deployer_of_a_project_makes_versions_serve_here_and_keeps_what_it_loaded(project, monkeypatch):
    monkeypatch.setattr("overnight.app.models_host.LINGER_S", 0.0)
    old, new = add_version(project, 2.0, serve=True), add_version(project, 3.0)
    with Rollout(project) as rollout:
        models = rollout.models
        deployer, ref = models.deployer("line"), models.ref("line", new)
        deployer.load(ref)
        for _ in range(3):
            models.tell([{"event": "deployment"}])
            models.predict("line", [1])
        assert deployer.healthy(ref) is None
        assert models.ask("line", new, [1]).outputs == [3.0]
        deployer.unload(ref)
        assert (sorted(models.host.residents("line")), ref.folder.exists()) == ([old], False)
    project.config = replace(project.config, models={"chat": ServedSettings(deployer=DeployerSettings(kind="http"))})
    with pytest.raises(ConfigError, match=r"models\.chat\.deployer: kind 'http' needs"):
        daily(project)


def test_in_a_shadow_the_champion_answers_and_the_candidate_is_compared(either):
    old, new = add_version(either, 2.0, serve=True), add_version(either, 3.0)
    with Rollout(either, candidate=new, shadow=True, percentage=0.0) as rollout:
        assert rollout.models.predict("line", [1, 0], "user-1").outputs == [2.0, 0.0]
        with pytest.raises(ModelFailed):
            rollout.models.predict("line", [None], "user-2")
        wait_for(lambda: len(rollout.told) == 4)
    with either.database.read() as connection:
        [sums] = compared(connection, "line")
    assert (sums.champion, sums.candidate, sums.deployment_id) == (old, new, 3)
    assert (sums.answers, sums.disagreed, sums.errors, sums.dropped) == (2, 1, 1, 0)
    assert "TypeError" in sums.error
    assert sums.candidate_ms > 0
    told = sorted((one.key, one.version, one.percentage, one.ok) for one in rollout.told)
    assert told == [
        ("user-1", old, 50.0, True),
        ("user-1", new, 50.0, True),
        ("user-2", old, 50.0, False),
        ("user-2", new, 50.0, False),
    ]


def test_a_shadow_deployment_tells_what_the_candidate_made_of_the_requests(project):
    add_version(project, 2.0, serve=True)
    one = deployments.deploy(project, "line", add_version(project, 3.0), strategy="shadow")
    assert deployments.as_json(project, one)["shadow"] is None
    with project.running():
        wait_for(lambda: deployments.deployment_of(project, one.deployment_id).state.opened)
    models = daily(project)
    assert models.predict("line", [1, 0]).outputs == [2.0, 0.0]
    told = wait_for(lambda: deployments.as_json(project, one)["shadow"])
    models.close()
    assert (told["answers"], told["disagreed"], told["errors"], told["dropped"]) == (2, 1, 0, 0)


def test_recorded_requests_become_experiences_when_their_outcome_is_told(either):
    number = add_version(either, 2.0, serve=True)
    with Rollout(either) as rollout:
        ids = rollout.models.predict("line", [1, 2, 3, 4], "user-1").request_ids
    told = [
        {"request_id": ids[0], "expected_output": 2.5},
        {"request_id": ids[1], "score": 0.75},
        {"request_id": ids[2], "score": 0.0},
        {"request_id": "nobody", "score": 1.0},
    ]
    assert (learn(either, told).experiences, learn(either, told).experiences) == (2, 0)
    assert learn(either, told).unknown == ["nobody"]
    with either.database.read() as connection:
        recorded = {one.request_id: one for one in store.newest(connection, "line")}
        [held] = [one for one in either.experience_buffer() if one.model_type == "line"]
    assert held.unused == 2
    assert [recorded[one].input for one in ids] == [1, 2, 3, 4]
    assert (recorded[ids[0]].expected, recorded[ids[0]].known) == (2.5, True)
    assert not recorded[ids[1]].known
    from overnight.data.tables import experiences

    with either.database.read() as connection:
        bodies = [json.loads(row.body) for row in connection.execute(experiences.select())]
    bodies.sort(key=lambda one: one["input"])
    for body in bodies:
        assert body.pop("timestamp").startswith("20")
    same = {"type": "served", "confidence": 1.0, "success": True}
    whose = {"version": number}
    assert bodies == [
        {**same, "input": 1, "expected_output": 2.5, "actual_output": 2.0,
         "metadata": {**whose, "request_id": ids[0], "quality": 1.0}},
        {**same, "input": 2, "expected_output": 4.0, "actual_output": 4.0,
         "metadata": {**whose, "request_id": ids[1], "quality": 0.75}},
    ]  # fmt: skip
    with pytest.raises(UnfitExperiences, match="'text' is not a number"):
        learn(either, [{"request_id": ids[3], "expected_output": "text"}])


def test_the_newest_requests_are_kept_and_a_share_can_be_recorded(either, monkeypatch):
    monkeypatch.setattr(store, "KEPT", 30)
    monkeypatch.setattr(store, "PRUNE_EVERY", 20)
    add_version(either, 2.0, serve=True)
    with Rollout(either) as rollout:
        for number in range(100):
            rollout.models.predict("line", [number])
    with either.database.read() as connection:
        kept = [one.input for one in store.newest(connection, "line")]
    assert kept == list(range(99, 99 - len(kept), -1))
    assert 30 <= len(kept) < 50


def test_a_daemon_loads_nothing_heavy_before_the_first_request(tmp_path):
    program = (
        "import sys\n"
        "from overnight.app.daemon import Daemon\n"
        "from overnight.server.app import build\n"
        "from overnight import Project\n"
        f"build(Daemon(Project.create({str(tmp_path)!r})))\n"
        "heavy = ('numpy', 'sklearn', 'scipy', 'torch', 'skops', 'overnight.training.models')\n"
        "print([name for name in sys.modules if name.startswith(heavy)])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "[]\n"
