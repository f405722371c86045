"""Experiences in the database: taken once, used once, and a job as soon as there are enough of them."""

import json
import threading

import pytest
import sqlalchemy as sa

from overnight import Project
from overnight.app import triggers
from overnight.app.jobs import AlreadyUsed, submit_by_rule
from overnight.app.triggers import look_at, look_at_all, verdict_on
from overnight.base.errors import ConfigError, UnfitExperiences, UserMistake
from overnight.data import experiences as store
from overnight.data.experiences import Held
from overnight.training.triggers import Verdict
from served import OVERRIDES, served, snapshot_of, some, unused, used_by


def open_project(tmp_path, database_url, **overrides):
    options = {**OVERRIDES, "engine.database": database_url, **overrides}
    return Project.create(tmp_path / "project", overrides=options)


@pytest.fixture
def project(tmp_path, database_url):
    with open_project(tmp_path, database_url) as made:
        yield made


def test_experiences_are_taken_once_whatever_batch_they_come_in(project):
    first = project.add_experiences("line", some(1, 2, 2, 3), batch_id="a")
    assert (first.batch_id, first.accepted, first.duplicates, first.buffer_size) == ("a", 3, 1, 3)
    again = project.add_experiences("line", some(1, 2, 2, 3), batch_id="a")
    assert (again.accepted, again.duplicates) == (0, 4)
    other = project.add_experiences("line", some(3, 4))
    assert (other.accepted, other.duplicates, other.buffer_size, len(other.batch_id)) == (1, 1, 4, 64)
    assert project.add_experiences("line", some(3, 4)).batch_id == other.batch_id
    assert unused(project) == [1, 2, 3, 4]


def test_a_batch_id_that_another_batch_has_had_is_refused_and_nothing_is_taken(project):
    project.add_experiences("line", some(1), batch_id="a")
    with pytest.raises(UserMistake, match="batch_id: 'a' was sent before with other experiences"):
        project.add_experiences("line", some(1, 2), batch_id="a")
    assert unused(project) == [1]


def test_the_same_experience_of_two_model_types_is_two(tmp_path, database_url):
    twin = {"training.models.twin.trainer": "small_trainer:Line"}
    with open_project(tmp_path, database_url, **twin) as project:
        project.add_experiences("line", some(1))
        assert project.add_experiences("twin", some(1)).accepted == 1


def test_experiences_whose_keys_are_equal_are_told_apart(project, monkeypatch):
    monkeypatch.setattr(store, "_key", lambda digest: 7)
    assert project.add_experiences("line", some(1, 2)).accepted == 2
    assert project.add_experiences("line", some(2, 3)).accepted == 1
    assert unused(project) == [1, 2, 3]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([served(1), 5], r"1 of 2 experiences cannot be used: experiences\[1\]: int is not an object"),
        ([served(1, confidence=2)], r"experiences\[0\]: confidence: 2 is not a number from 0 to 1"),
        ([served(1, input="one")], r"experiences\[0\]: input: 'one' is not a number"),
        ([served(1, metadata={"x": {1}})], r"experiences\[0\]: is not JSON"),
        ([served(1, type="\ud800")], r"experiences\[0\]: is not JSON"),
        ([served(n, success=None) for n in range(5)], r"5 of 5 .*; and 2 more"),
    ],
)
def test_one_that_does_not_fit_is_named_and_none_of_its_batch_is_taken(project, given, message):
    with pytest.raises(UnfitExperiences, match=message) as caught:
        project.add_experiences("line", given)
    assert caught.value.details and all("experiences[" in detail for detail in caught.value.details)
    assert project.experience_buffer() == []


@pytest.mark.parametrize(
    ("model_type", "given", "message"),
    [
        ("lines", some(1), "no trainer is known for 'lines'.*line"),
        ("line", [], "experiences: 0 in one batch"),
        ("line", {"input": 1}, "experiences: dict is not a list"),
    ],
)
def test_a_batch_that_does_not_fit_is_refused(project, model_type, given, message):
    with pytest.raises(UserMistake, match=message):
        project.add_experiences(model_type, given)


def test_the_built_in_model_types_look_at_their_own_fields(tmp_path):
    pytest.importorskip("sklearn")
    intent = {"type": "intent", "input": "hi", "expected_output": None, "success": True, "confidence": 1}
    with open_project(tmp_path, f"sqlite:///{tmp_path / 'o.db'}") as project:
        assert project.add_experiences("nlu", [intent]).accepted == 1
        for model_type in ("nlu", "voice", "vision", "embedding"):
            with pytest.raises(UnfitExperiences, match=r"experiences\[0\]: "):
                project.add_experiences(model_type, [{**intent, "input": 5}])


def test_what_a_person_asks_for_takes_the_buffer_and_only_what_is_good_enough(project):
    project.add_experiences("line", some(1, 2, 3))
    project.add_experiences("line", some(4, 5, metadata={"number": 4, "quality": 0.29}))
    project.add_experiences("line", some(6, confidence=0.3))
    assert project.experience_buffer() == [Held(model_type="line", unused=4, below=2, used=0)]
    status = project.submit_training("line", job_id="mine")
    assert (status.items, status.submitted_by) == (4, None)
    assert used_by(project, "mine") == snapshot_of(project, "mine") == [1, 2, 3, 6]
    assert project.experience_buffer() == [Held(model_type="line", unused=0, below=2, used=4)]
    assert project.submit_training("line", job_id="mine").items == 4, "the same job is asked for again"
    with pytest.raises(UserMistake, match=r"no experience of 'line' is unused and of quality 0\.3 or more"):
        project.submit_training("line")
    assert project.add_experiences("line", some(1, 7)).accepted == 1, "a used one does not come in again"


def test_enough_experiences_are_a_job_at_once_and_exactly_those_are_used(project):
    assert project.add_experiences("line", some(*range(9))).job_id is None
    poor = project.add_experiences("line", some(50, 51, confidence=0.1))
    assert (poor.job_id, poor.buffer_size) == (None, 9)
    added = project.add_experiences("line", some(9, 10))
    assert added.job_id is not None and added.buffer_size == 0
    assert used_by(project, added.job_id) == snapshot_of(project, added.job_id) == list(range(11))
    status = project.job(added.job_id)
    assert (status.items, status.submitted_by, status.total_epochs) == (11, "experiences", 20)


def test_a_job_trains_on_the_buffer(tmp_path):
    with open_project(tmp_path, f"sqlite:///{tmp_path / 'o.db'}") as project:
        project.add_experiences("line", some(*range(0, 900, 100)))
        status = project.submit_training("line", epochs=2)
        with project.running():
            project.wait(status.run_id, 60)
        assert project.job(status.job_id).status == "completed"


def test_the_next_job_follows_when_the_one_before_has_ended(project):
    first = project.add_experiences("line", some(*range(10))).job_id
    assert project.add_experiences("line", some(*range(10, 30))).job_id is None
    why = f"20 unused experiences of quality 0.3 or more; the next job follows when {first} has ended"
    assert verdict_on(project, "line") == Verdict(rule=None, why=why)
    project.cancel_job(first)
    second = look_at(project, "line")
    assert used_by(project, second) == list(range(10, 30))
    assert used_by(project, first) == list(range(10)), "a cancelled job keeps what it took"


def test_a_job_of_a_person_does_not_hold_up_the_next_one(project):
    project.submit_training("line", some(1, 2, 3), job_id="mine")
    assert project.add_experiences("line", some(*range(10))).job_id is not None


def test_each_model_type_is_looked_at(tmp_path, database_url):
    twin = {"training.models.twin.trainer": "small_trainer:Line"}
    with open_project(tmp_path, database_url, **twin, **{"training.min_experiences": 100}) as project:
        for model_type in ("line", "twin"):
            project.add_experiences(model_type, some(*range(20)))
        assert project.jobs() == []
    with open_project(tmp_path, database_url, **twin) as project:
        look_at_all(project)
        assert sorted(status.model_type for status in project.jobs()) == ["line", "twin"]


def test_the_buffer_is_the_newest_and_older_ones_stay(project, monkeypatch):
    monkeypatch.setattr(store, "BUFFER", 12)
    monkeypatch.setattr(triggers, "look_at", lambda *_: None)
    added = project.add_experiences("line", some(*range(30)))
    assert added.buffer_size == 12
    with project.database.read() as connection:
        newest = [json.loads(body)["metadata"]["number"] for _, body in store.newest(connection, "line", 0.3, 3)]
    assert newest == [29, 28, 27]
    status = project.submit_training("line", job_id="newest")
    assert status.items == 12 and used_by(project, "newest") == list(range(18, 30))
    assert unused(project) == list(range(18))
    project.submit_training("line", job_id="older")
    assert used_by(project, "older") == list(range(6, 18))


def test_what_there_is_is_counted_by_the_quality_that_each_model_type_asks_for(tmp_path, database_url):
    models = {f"training.models.{name}.trainer": "small_trainer:Line" for name in ("strict", "twin")}
    with open_project(
        tmp_path, database_url, **models, **{"training.min_experiences": 100, "loop.strict.min_quality": 0.95}
    ) as project:
        for model_type in ("line", "strict", "twin"):
            project.add_experiences(model_type, [*some(1, 2, 3), *some(4, confidence=0.99), *some(5, confidence=0.1)])
        project.submit_training("strict")
        assert [(one.model_type, one.unused, one.below, one.used) for one in project.experience_buffer()] == [
            ("line", 4, 1, 0),
            ("strict", 0, 4, 1),
            ("twin", 4, 1, 0),
        ]
    with open_project(tmp_path, database_url, **models) as project:
        assert [one.unused for one in project.experience_buffer()] == [4, 3, 4], "without a quality of its own"


def test_experiences_that_others_use_meanwhile_are_not_used_twice(project, monkeypatch):
    project.add_experiences("line", some(*range(8)))
    put, beaten = project.blobs.put, []

    def put_late(content):
        if not beaten:
            beaten.append(True)
            with Project.open(project.folder, overrides=project._overrides) as other:
                other.submit_training("line", job_id="quicker")
                other.add_experiences("line", some(8, 9))
        return put(content)

    monkeypatch.setattr(project.blobs, "put", put_late)
    project.submit_training("line", job_id="slower")
    assert used_by(project, "quicker") == snapshot_of(project, "quicker") == list(range(8))
    assert used_by(project, "slower") == snapshot_of(project, "slower") == [8, 9]


def test_a_rule_whose_experiences_another_one_has_taken_meanwhile_is_no_mistake_of_who_sends_some(project, monkeypatch):
    seen = Verdict(rule="experiences", why="9 of 9")
    monkeypatch.setattr(triggers, "verdict_on", lambda *asked, **how: seen)
    assert look_at(project, "line") is None
    with pytest.raises(AlreadyUsed):
        submit_by_rule(project, "line", "experiences")


def test_two_that_see_enough_at_once_submit_one_job(project):
    project.add_experiences("line", some(*range(9)))
    both = threading.Barrier(2)

    def add(number):
        with Project.open(project.folder, overrides=project._overrides) as other:
            both.wait(20)
            other.add_experiences("line", some(number))

    threads = [threading.Thread(target=add, args=(number,)) for number in (100, 101)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    [status] = project.jobs()
    used = used_by(project, status.job_id)
    assert sorted(used) == snapshot_of(project, status.job_id)
    assert sorted(used + unused(project)) == [*range(9), 100, 101]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("training.min_experiences", 0),
        ("training.min_experiences", 10_001),
        ("training.min_experience_quality", 1.5),
        ("training.training_check_interval_s", 0),
        ("experiences.folder", ""),
    ],
)
def test_settings_that_could_never_work_are_refused(tmp_path, key, value):
    with pytest.raises(ConfigError, match=key):
        Project.create(tmp_path / "p", overrides={key: value})


def test_the_buffer_is_counted_and_found_by_its_index(tmp_path):
    # On SQLite: a plan of PostgreSQL follows from the size of its tables.
    said = []
    with open_project(tmp_path, f"sqlite:///{tmp_path / 'o.db'}") as project, project.database.read() as connection:
        sa.event.listen(project.database.engine, "before_cursor_execute", lambda *call: said.append(call[2:4]))
        store.size(connection, "line", 0.3)
        store.newest(connection, "line", 0.3)
        plans = [
            row[3]
            for statement, parameters in [one for one in said if one[0].startswith("SELECT")]
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    assert sum("experiences_unused (model_type=? AND quality_millionths>?)" in plan for plan in plans) == 2, plans
    assert not any(plan.startswith("SCAN experiences") for plan in plans), plans


def test_a_rule_does_not_submit_beside_a_job_of_its_own_even_if_it_saw_none(project):
    first = project.add_experiences("line", some(*range(10))).job_id
    project.add_experiences("line", some(*range(10, 30)))
    with pytest.raises(AlreadyUsed):
        submit_by_rule(project, "line", "experiences")
    assert [status.job_id for status in project.jobs()] == [first] and unused(project) == list(range(10, 30))


def test_a_rule_whose_job_another_process_has_just_submitted_says_nothing(project, monkeypatch):
    project.add_experiences("line", some(*range(10)))
    project.add_experiences("line", some(*range(10, 30)))
    monkeypatch.setattr(
        triggers, "verdict_on", lambda *_, **how: Verdict(rule="experiences", why="it looked too early")
    )
    assert look_at(project, "line") is None and len(project.jobs()) == 1
