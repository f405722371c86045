"""A training run gives one version; the champion moves only when it is told to; nothing is ever changed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import sqlalchemy as sa

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.base.errors import InvalidTransition, NotJson
from overnight.db.database import Database
from overnight.registry import store
from overnight.registry.store import Candidate, register
from overnight.registry.tables import served
from overnight.registry.versions import Rights, differences, next_number, removable, tag_complaint

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


SCHEMA = {"trainer": "t", "settings": {}, "inputs": {"type": "text"}, "outputs": {"type": "class", "classes": ["a"]}}


@pytest.mark.parametrize(
    ("before", "now", "number"),
    [
        (SCHEMA, SCHEMA, "v1.0.1"),
        (SCHEMA, {**SCHEMA, "settings": {"rate": 1}}, "v1.1.0"),
        (SCHEMA, {**SCHEMA, "outputs": {"type": "class", "classes": ["a", "b"]}}, "v2.0.0"),
        (SCHEMA, {**SCHEMA, "inputs": {"type": "audio"}, "settings": {"rate": 1}}, "v2.0.0"),
        ({"trainer": "t", "settings": {}}, SCHEMA, "v1.0.1"),
        (SCHEMA, {"trainer": "t", "settings": {}}, "v1.0.1"),
    ],
)
def test_another_schema_is_a_major_version_where_both_tell_it(before, now, number):
    assert next_number("v1.0.0", before, now) == number


@pytest.mark.parametrize(("bump", "number"), [("major", "v2.0.0"), ("minor", "v1.3.0"), ("patch", "v1.2.4")])
def test_who_asks_for_a_number_gets_it(bump, number):
    assert next_number("v1.2.3", SIGNATURE, {**SIGNATURE, "scale": (0, 100)}, bump) == number


def test_a_number_is_asked_for_by_the_candidate_and_follows_the_highest(database):
    first = add(database, bump="major")
    assert first.number == "v1.0.0"
    look_back = {name: getattr(first, name) for name in ("model", "snapshot_id", "manifest", "signature", "metrics")}
    older = {**look_back, "run_id": None, "parent_id": None, "number": "v0.9.0", "verdict": {}, "created_us": 1}
    older["origin"] = {"project": "other"}
    imported = database.writer.do(lambda tx: store.insert(tx, older))
    assert look(database, store.newest, "critic") == imported
    assert (imported.run_id, imported.origin) == (None, {"project": "other"})
    assert look(database, store.highest, "critic") == first
    assert add(database, run_id=2, bump="minor").number == "v1.1.0"
    assert look(database, store.runs_of_versions) == {1, 2}


def test_what_served_when_by_whom_and_why_is_kept(database):
    first = add(database, serve=True, why="first")
    second = add(database, run_id=2, serve=True, why="better")
    assert look(database, store.served_before, "critic") == first
    database.writer.do(lambda tx: store.let_serve(tx, first, by="overnight rollback by ada", why="it is slow"))
    told = [(one.number, one.by, one.why) for one in look(database, store.services, "critic")]
    assert told == [
        ("v1.0.0", "overnight rollback by ada", "it is slow"),
        ("v1.0.1", "gate", "better"),
        ("v1.0.0", "gate", "first"),
    ]
    assert look(database, store.serving, "critic") == first
    assert look(database, store.served_before, "critic") == second
    assert look(database, store.served_before, "other") is None and look(database, store.models) == ["critic"]


def test_a_tag_is_on_one_version_of_a_model(database):
    first, second = add(database), add(database, run_id=2)
    for version in (first, second):
        database.writer.do(lambda tx, version=version: store.put_tag(tx, version, "gold", by="ada"))
    assert look(database, store.tags_of, "critic") == {"gold": second.version_id}
    database.writer.do(lambda tx: store.drop_tag(tx, "critic", "gold"))
    assert look(database, store.tags_of, "critic") == {}


def test_the_artifact_is_forgotten_once(database):
    version = add(database)
    for _ in range(2):
        database.writer.do(lambda tx: store.forget_artifact(tx, version.version_id))
    with pytest.raises(InvalidTransition, match=r"^the artifact of critic v1\.0\.0 was removed; train the"):
        database.writer.do(lambda tx: store.let_serve(tx, version, by="ada", why="old"))
    assert served_rows(database) == []
    gone = look(database, store.of_number, "critic", "v1.0.0")
    assert gone.removed_us is not None and replace(gone, removed_us=None) == version


@pytest.mark.parametrize("name", ["gold", "2026-11", "a.b_c"])
def test_a_tag_is_a_name(name):
    assert tag_complaint(name) is None


@pytest.mark.parametrize("name", ["", "a b", "-x", "v1.2.3", "champion", "newest", "x" * 101])
def test_what_cannot_be_a_tag_is_told(name):
    assert tag_complaint(name) is not None


def test_differences_are_told_by_key():
    a = {"settings": {"rate": 1, "width": 2}, "same": [1], "gone": {}, "x": {"y": 1}}
    b = {"settings": {"rate": 2, "width": 2}, "same": [1], "new": {"deep": {"er": 1}}, "x": 1}
    assert differences(a, b) == {
        "settings.rate": (1, 2), "gone": ({}, None), "x.y": (1, None), "new.deep.er": (None, 1), "x": (None, 1),
    }  # fmt: skip


def test_the_newest_and_those_that_somebody_needs_keep_their_artifact():
    rights = Rights(champion=3, previous=2, best=7, tagged={5: ["gold", "x"]}, deploying={4})
    assert removable([9, 8, 7, 6, 5, 4, 3, 2, 1], rights, keep=2) == [6, 1]
    reasons = ["it serves", "it served before the one that serves", "it is tagged gold, x", "it is being rolled out"]
    assert [rights.of(one) for one in (3, 2, 5, 4, 1)] == [*reasons, None]
    assert rights.of(7) == "it is the best so far, which the next one must not be worse than (gate.form)"


@pytest.mark.parametrize("bad", ["1.0.0", "v1.0", "v1.0.0 ", "v1.0.0-rc1"])
def test_a_number_of_another_form_is_refused(bad):
    with pytest.raises(ValueError, match="is not a version such as v1"):
        next_number(bad, SIGNATURE, SIGNATURE)
