"""Samples of campaigns in a database: each once, whatever comes twice."""

import json
from dataclasses import replace

import pytest
import sqlalchemy as sa

from drafts import GOOD, candidate
from overnight import Project
from overnight.campaigns import ledger
from overnight.campaigns.gate import Specification
from overnight.campaigns.intake import Intake, Terms, stored_text_of
from overnight.campaigns.tables import samples


@pytest.fixture
def database(tmp_path, database_url):
    folder = tmp_path / "p"
    folder.mkdir()
    (folder / "overnight.toml").write_text("")
    with Project.open(folder, overrides={"engine.database": database_url}) as project:
        yield project.database


def do(database, work):
    return database.writer.do(work)


def campaign(database, name="code"):
    return do(database, lambda tx: ledger.campaign_of(tx, name))


def judged(count, first=0):
    wrong = replace(GOOD, fault="wrong answer")
    some = [
        candidate(
            number, f"{number} plus {number * 7}?", checked=wrong if number % 4 == 3 else GOOD, skeleton=f"{number}"
        )
        for number in range(first, first + count)
    ]
    return Intake(Terms()).judge(some)


def rows(judged, pilot):
    return [ledger.row_of(one, pilot=pilot) for one in judged]


def test_a_batch_that_comes_again_adds_nothing(database):
    number, batch = campaign(database), judged(8)
    assert do(database, lambda tx: ledger.take(tx, number, rows(batch, pilot=True))) == 8
    assert do(database, lambda tx: ledger.take(tx, number, rows(batch, pilot=False))) == 0
    assert do(database, lambda tx: ledger.take(tx, number, rows([*batch[4:], *judged(3, 8)], pilot=False))) == 3
    with database.read() as connection:
        [count] = ledger.counts(connection, number)
    assert (count.domain, count.cell, count.judged, count.accepted) == ("code", "a", 11, 9)


def test_campaigns_do_not_know_each_others_samples(database):
    one, other = campaign(database), campaign(database, "sql")
    assert campaign(database) == one != other
    for number in (one, other):
        assert do(database, lambda tx, number=number: ledger.take(tx, number, rows(judged(4), pilot=True))) == 4
    with database.read() as connection:
        assert [count.judged for count in ledger.counts(connection, one)] == [4]


def test_a_text_is_accepted_once_even_where_whoever_judged_did_not_know_it(database):
    number = campaign(database)
    same = Intake(Terms()).judge([replace(candidate(5, "0 plus 0?"), checked=GOOD)])
    do(database, lambda tx: ledger.take(tx, number, rows(judged(1), pilot=True)))
    with pytest.raises(sa.exc.DBAPIError):
        do(database, lambda tx: ledger.take(tx, number, rows(same, pilot=True)))
    with database.read() as connection:
        assert [count.judged for count in ledger.counts(connection, number)] == [1]


def test_what_was_accepted_is_read_back_whole_and_in_pieces(database, monkeypatch):
    monkeypatch.setattr(ledger, "_AT_ONCE", 4)
    number, batch = campaign(database), judged(20)
    do(database, lambda tx: ledger.take(tx, number, rows(batch, pilot=True)))
    with database.read() as connection:
        there = list(ledger.exported(connection, number))
    assert {one.domain for one in there} == {"code"}
    found = [(one.body, one.skeleton) for one in there]
    told = {(json.loads(body)["messages"][1]["content"], skeleton) for body, skeleton in found}
    kept = [one for one in batch if one.reason is None]
    assert told == {(one.candidate.draft.messages[1].content, one.skeleton) for one in kept}
    assert len(found) == len(kept) == 15
    again = Intake(Terms())
    again.remember((stored_text_of(body), skeleton) for body, skeleton in found)
    assert {one.reason for one in again.judge([one.candidate for one in kept])} == {"same text"}


def test_odd_texts_come_back_as_they_were(database):
    number = campaign(database)
    odd = "a 'quote', a \"double\", a back\\slash, a line\nand \t, ümläut, 漢字, 😀, null \\u0000 in letters"
    batch = Intake(Terms()).judge([candidate(0, odd, answer=odd * 2)])
    do(database, lambda tx: ledger.take(tx, number, rows(batch, pilot=True)))
    with database.read() as connection:
        [found] = ledger.exported(connection, number)
    assert [one["content"] for one in json.loads(found.body)["messages"][1:]] == [odd, odd * 2]


@pytest.mark.parametrize("poison", ["a\x00b", "half \ud800 of a pair", "x" * 200_000])
def test_what_no_database_takes_is_refused_and_kept_as_far_as_it_can_be(database, poison):
    number = campaign(database)
    [one] = batch = Intake(Terms()).judge([candidate(0, poison)])
    assert one.reason == ("too long" if len(poison) > 1000 else "not text")
    assert do(database, lambda tx: ledger.take(tx, number, rows(batch, pilot=True))) == 1
    with database.read() as connection:
        [body] = connection.execute(sa.select(samples.c.body)).scalars()
    kept = json.loads(body)["messages"][1]["content"]
    assert kept in {"a\\x00b", "half \\ud800 of a pair", "x" * 10_000}


def test_what_a_pilot_is_asked_for_is_kept_and_each_change_is_a_new_row(database):
    number = campaign(database)
    with database.read() as connection:
        assert ledger.gate_of(connection, number) is None
    wishes = [
        Specification(),
        Specification(),
        Specification(quality_threshold=0.7, domains={"sql": 0.5}),
        Specification(),
    ]
    versions = [do(database, lambda tx, wish=wish: ledger.register_gate(tx, number, wish, "ada")) for wish in wishes]
    assert versions == [wish.version for wish in wishes]
    with database.read() as connection:
        assert ledger.gate_of(connection, number) == Specification()
        rows = connection.execute(ledger.gates.select().order_by(ledger.gates.c.gate_id)).fetchall()
    assert [row.version for row in rows] == [versions[0], versions[2], versions[3]], "what holds is not written again"
    assert {row.by for row in rows} == {"ada"}
