"""A training run gives one version; the champion moves only when it is told to; nothing is ever changed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.base.errors import NotJson
from overnight.db.database import Database
from overnight.registry import store
from overnight.registry.store import Candidate, register
from overnight.registry.tables import served
from overnight.registry.versions import next_number

SIGNATURE = {"class_": "agents:Critic", "target": "rating", "scale": (0, 10), "inputs": ("year", "genre")}
CANDIDATE = Candidate(
    model="critic",
    run_id=1,
    snapshot_id="ab" * 32,
    manifest={"weights.json": {"sha256": "cd" * 32, "size": 3}},
    signature=SIGNATURE,
    metrics={"held_out": 200},
    verdict={"decision": "ACCEPT"},
)


@pytest.fixture
def database(database_url, tmp_path):
    database = Database(database_url, SystemClock(), tmp_path)
    schema.prepare(database)
    yield database
    database.close()


def add(database, *, serve=False, why="", **changes):
    return database.writer.do(lambda tx: register(tx, replace(CANDIDATE, **changes), serve=serve, why=why))


def look(database, what, *arguments):
    with database.read() as connection:
        return what(connection, *arguments)


def served_rows(database):
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(sa.select(served.c.model, served.c.version_id, served.c.why))]


def test_a_version_holds_what_it_was_registered_with(database):
    made = add(database, serve=True, why="better")
    assert (made.model, made.number, made.run_id, made.parent_id) == ("critic", "v1.0.0", 1, None)
    assert (made.snapshot_id, made.manifest) == (CANDIDATE.snapshot_id, CANDIDATE.manifest)
    assert made.signature == {**SIGNATURE, "scale": [0, 10], "inputs": ["year", "genre"]}
    assert (made.metrics, made.verdict) == (CANDIDATE.metrics, CANDIDATE.verdict)
    assert look(database, store.of_run, 1) == look(database, store.newest, "critic") == made
    assert look(database, store.serving, "critic") == made
    assert look(database, store.of_run, 2) is look(database, store.serving, "other") is None


def test_registering_a_run_again_changes_nothing(database):
    first = add(database)
    again = add(database, serve=True, metrics={"held_out": 1})
    assert again == first and look(database, store.history, "critic") == [first]
    assert served_rows(database) == []


def test_the_champion_moves_only_when_a_version_is_to_serve(database):
    first = add(database, serve=True, why="first")
    refused = add(database, run_id=2)
    assert look(database, store.serving, "critic") == first
    better = add(database, run_id=3, serve=True, why="better")
    assert look(database, store.serving, "critic") == better
    assert (refused.parent_id, better.parent_id) == (first.version_id, first.version_id)
    assert look(database, store.history, "critic") == [better, refused, first]
    assert served_rows(database) == [("critic", first.version_id, "first"), ("critic", better.version_id, "better")]


def test_models_do_not_meet(database):
    add(database, serve=True)
    other = add(database, model="other", run_id=2)
    assert (other.number, other.parent_id) == ("v1.0.0", None)
    assert look(database, store.serving, "other") is None


def test_numbers_follow_what_changed_since_the_version_before(database):
    numbers = [
        add(database, run_id=place, signature={**SIGNATURE, **change}).number
        for place, change in enumerate(
            [{}, {"scale": [0, 10]}, {"inputs": ["year"]}, {"class_": "agents:New"}, {"target": "score"}, {}], start=1
        )
    ]
    assert numbers == ["v1.0.0", "v1.0.1", "v1.1.0", "v1.2.0", "v2.0.0", "v3.0.0"]


def test_what_is_not_json_is_refused_and_nothing_is_registered(database):
    with pytest.raises(NotJson):
        add(database, serve=True, metrics={"error": float("inf")})
    assert look(database, store.history, "critic") == [] and served_rows(database) == []


def test_a_new_version_is_told_with_the_commit(database):
    told = []
    database.writer.told = lambda events, news: told.extend(events)
    add(database, serve=True)
    assert {"event": "model_ready", "model": "critic", "version": "v1.0.0", "serves": True} in told


def test_two_processes_that_register_at_once_get_numbers_of_their_own(database_url, database, tmp_path):
    other = Database(database_url, SystemClock(), tmp_path)
    try:
        with ThreadPoolExecutor(2) as pool:
            runs = [(place % 2, 1 + place // 2) for place in range(40)]
            made = list(pool.map(lambda run: add((database, other)[run[0]], run_id=run[1]), runs))
    finally:
        other.close()
    history = look(database, store.history, "critic")
    assert len(history) == 20 and {version.run_id for version in made} == set(range(1, 21))
    assert sorted(int(version.number.rpartition(".")[2]) for version in history) == list(range(20))


@pytest.mark.parametrize(
    ("previous", "change", "number"),
    [
        (None, {}, "v1.0.0"),
        ("v1.0.0", {}, "v1.0.1"),
        ("v1.9.9", {}, "v1.9.10"),
        ("v1.2.3", {"inputs": ()}, "v1.3.0"),
        ("v1.2.3", {"class_": "other:Class"}, "v1.3.0"),
        ("v1.2.3", {"scale": (0, 100)}, "v2.0.0"),
        ("v12.2.3", {"target": "other", "class_": "other:Class"}, "v13.0.0"),
    ],
)
def test_a_number_says_how_much_has_changed(previous, change, number):
    assert next_number(previous, SIGNATURE, {**SIGNATURE, **change}) == number


@pytest.mark.parametrize("bad", ["1.0.0", "v1.0", "v1.0.0 ", "v1.0.0-rc1"])
def test_a_number_of_another_form_is_refused(bad):
    with pytest.raises(ValueError, match="is not a version such as v1"):
        next_number(bad, SIGNATURE, SIGNATURE)
