"""Figures and samples of a campaign are what was judged, on both databases, and cost no reading of the samples."""

import json
from collections import Counter
from dataclasses import replace

import pytest
import sqlalchemy as sa

from drafts import GOOD, candidate
from overnight.app import schema
from overnight.base.errors import UserMistake
from overnight.base.instants import US
from overnight.campaigns import ledger, reading
from overnight.campaigns.figures import BINS
from overnight.campaigns.gate import Specification
from overnight.campaigns.intake import Intake, Terms
from overnight.campaigns.ports import Checked, Message
from overnight.db.database import Database
from overnight.testing.clock import FakeClock

WRONG = replace(GOOD, fault="wrong answer", detail="41")
POOR = Checked(terms={"consistency": 0.1, "groundedness": 0.1, "coherence": 0.1})
PAUSE_S = 100


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def database(tmp_path, database_url, clock):
    opened = Database(database_url, clock, tmp_path)
    schema.prepare(opened)
    yield opened
    opened.close()


def rows(judged, *, pilot):
    return [ledger.row_of(one, pilot=pilot) for one in judged]


def made(domain, cell, number, checked=GOOD, *, skeleton=None):
    one = candidate(number, f"{domain} {cell} {number}: {number * 7919}?", checked=checked, skeleton=skeleton)
    return replace(one, origin=replace(one.origin, domain=domain, cell=cell))


def batches():
    """Yield what comes one after the other: a pilot, then more, with every kind of outcome."""
    constant = {"consistency": 1.0}
    pilot = [
        made("code", "a", number, Checked(terms={**constant, "coherence": number / 10}), skeleton="s")
        for number in range(8)
    ]
    yield [*pilot, made("code", "b", 0, replace(WRONG, terms=constant))]
    yield [made("code", "b", number, WRONG) for number in (1, 2)] + [made("sql", "x", 0), made("sql", "x", 1, POOR)]
    yield [made("code", "b", 3), made("sql", "y", 0), made("sql", "y", 1, Checked(fault="no rows"))]
    yield [made("sql", "z", number, replace(GOOD, terms={"coherence": number / 40})) for number in range(40)]


@pytest.fixture
def campaign(database, clock):
    """A campaign with everything that was judged, a batch each PAUSE_S; another one stands beside it."""
    number, other = (database.writer.do(lambda tx, name=name: ledger.campaign_of(tx, name)) for name in "ab")
    intakes = {name: Intake(Terms()) for name in ("code", "sql")}
    judged = []
    for place, batch in enumerate(batches()):
        clock.advance(PAUSE_S)
        found = [intakes[one.origin.domain].judge([one])[0] for one in batch]
        judged += found
        database.writer.do(lambda tx, found=found, place=place: ledger.take(tx, number, rows(found, pilot=place == 0)))
        database.writer.do(lambda tx, found=found: ledger.take(tx, other, rows(found[:1], pilot=True)))
    return number, judged


def figures(database, number, now_us, **asked):
    with database.read() as connection:
        given = {"target": 100, "allocations": {"code": 60, "music": 5}, **asked}
        return reading.figures_of(connection, number, now_us=now_us, **given)


def test_domains_reasons_and_histogram_are_those_of_what_was_judged(database, campaign, clock):
    number, judged = campaign
    found = figures(database, number, clock.now_us())
    reasons = {
        name: Counter(one.reason for one in judged if one.candidate.origin.domain == name) for name in ("code", "sql")
    }
    code, music, sql = found.domains
    assert (music.name, music.judged, music.accepted, music.allocation) == ("music", 0, 0, 5)
    assert (code.allocation, sql.allocation) == (60, None)
    for one in (code, sql):
        told = dict(reasons[one.name])
        assert (one.accepted, one.judged) == (told.pop(None), reasons[one.name].total())
        assert dict(one.reasons) == told
        assert list(one.reasons.values()) == sorted(told.values(), reverse=True)
    assert {"skeleton is full", "wrong answer"} <= set(code.reasons)
    assert {"no rows", "quality too low"} <= set(sql.reasons)
    for bins, those in (
        (found.judged_by_quality, judged),
        (found.accepted_by_quality, [one for one in judged if one.reason is None]),
    ):
        expected = Counter(min(BINS - 1, int(one.quality * BINS)) for one in those if one.quality is not None)
        assert bins == [expected[place] for place in range(BINS)]
    assert sum(found.judged_by_quality) + found.unmeasured == found.judged == len(judged)


def test_skeletons_are_counted_by_domain_and_not_the_samples(database, campaign, clock):
    number, judged = campaign
    found = figures(database, number, clock.now_us())
    kept = Counter((one.candidate.origin.domain, one.skeleton) for one in judged if one.reason is None)
    assert found.skeletons == len(kept) < found.accepted
    assert found.most_of_one == max(kept.values()) == 5
    assert {one.name: one.skeletons for one in found.domains} == {
        **Counter(domain for domain, _ in kept),
        "music": 0,
    }


def test_a_term_that_is_the_same_over_the_pilot_is_constant(database, campaign, clock):
    spreads = figures(database, campaign[0], clock.now_us()).spreads
    assert spreads["consistency"].constant and spreads["consistency"].measured == 9
    assert not spreads["coherence"].constant and spreads["coherence"].measured == 8
    assert (spreads["coherence"].least, spreads["coherence"].most) == (0.0, 0.7)
    assert "groundedness" not in spreads, "it was measured later, but not over the pilot"


def test_rates_leave_out_what_took_a_time_that_nobody_measured(database, campaign, clock):
    number, judged = campaign
    first = sum(one.reason is None for one in judged[:9])
    later = sum(one.reason is None for one in judged) - first
    ended = clock.now_us()
    found = figures(database, number, ended)
    assert (found.first_us, found.last_us) == (ended - 3 * PAUSE_S * US, ended)
    assert found.rate == found.rate_in_all == pytest.approx(later / (3 * PAUSE_S))
    assert found.left_s == pytest.approx((100 - found.accepted) / found.rate)
    newest = sum(one.reason is None for one in judged[-40:])
    much_later = figures(database, number, ended + (600 - PAUSE_S + 1) * US)
    assert much_later.rate == pytest.approx(newest / 600)
    assert much_later.rate_in_all == found.rate_in_all
    assert figures(database, number, ended + 601 * US).rate == 0.0


def test_coverage_counts_cells_with_an_accepted_sample_after_each_batch(database, campaign, clock):
    found = figures(database, campaign[0], clock.now_us())
    assert found.coverage == [(0, 0), (9, 1), (13, 2), (16, 4), (56, 5)]


def test_each_decile_shows_some_of_its_samples_whole_and_always_the_same(database, campaign, clock):
    number, judged = campaign
    found = figures(database, number, clock.now_us())
    ordered = sorted(one.quality for one in judged if one.reason is None)
    assert [one.number for one in found.deciles] == list(range(1, 11))
    assert (found.deciles[0].least, found.deciles[-1].most) == (ordered[0], ordered[-1])
    for one, after in zip(found.deciles, [*found.deciles[1:], None], strict=True):
        assert 1 <= len(one.samples) <= reading.SHOWN_OF_A_DECILE
        assert all(one.least <= sample.quality <= one.most and sample.reason is None for sample in one.samples)
        assert after is None or one.most <= after.least
    assert figures(database, number, clock.now_us()) == found


def test_of_nothing_there_are_no_figures(database, clock):
    number = database.writer.do(lambda tx: ledger.campaign_of(tx, "new"))
    found = figures(database, number, clock.now_us())
    assert (found.judged, found.accepted, found.skeletons, found.unmeasured) == (0, 0, 0, 0)
    assert (found.first_us, found.last_us, found.rate, found.rate_in_all, found.left_s) == (None,) * 5
    assert (found.spreads, found.deciles, found.coverage) == ({}, [], [(0, 0)])


def test_at_the_instant_of_the_first_batch_no_rate_is_known(database, clock):
    number = database.writer.do(lambda tx: ledger.campaign_of(tx, "new"))
    batch = Intake(Terms()).judge([made("code", "a", 0), made("code", "a", 1, Checked())])
    database.writer.do(lambda tx: ledger.take(tx, number, rows(batch, pilot=True)))
    found = figures(database, number, clock.now_us())
    assert (found.accepted, found.rate, found.rate_in_all) == (2, None, None)


def test_a_sample_without_a_quality_is_counted_and_in_no_bin(database, clock):
    number = database.writer.do(lambda tx: ledger.campaign_of(tx, "new"))
    only_coherence = Terms(
        weights=dict.fromkeys(("diversity", "consistency", "groundedness"), 0.0) | {"coherence": 1.0}
    )
    batch = Intake(only_coherence).judge([made("code", "a", 0, Checked(terms={"consistency": 1.0}))])
    database.writer.do(lambda tx: ledger.take(tx, number, rows(batch, pilot=True)))
    found = figures(database, number, clock.now_us())
    assert (found.unmeasured, sum(found.judged_by_quality), found.judged) == (1, 0, 1)
    assert found.domains[0].reasons == {"unmeasured": 1} and found.domains[0].without_a_fault == 1


def pages(database, number, limit, **asked):
    with database.read() as connection:
        page = reading.samples_page(connection, number, limit=limit, **asked)
        while page:
            yield from page
            last = page[-1].sample_id
            page = reading.samples_page(connection, number, limit=limit, after=last, **asked)
            assert last not in {one.sample_id for one in page}


PAGES = {
    "all": ({}, lambda one: True),
    "of a domain": ({"domain": "sql"}, lambda one: one.candidate.origin.domain == "sql"),
    "accepted": ({"reason": "accepted"}, lambda one: one.reason is None),
    "refused": ({"reason": "refused"}, lambda one: one.reason is not None),
    "for a reason": ({"reason": "wrong answer"}, lambda one: one.reason == "wrong answer"),
    "none": ({"reason": "wrong answer", "domain": "sql"}, lambda one: False),
}


def test_all_samples_are_leafed_through_once_in_the_order_of_their_judgement(database, campaign):
    number, judged = campaign
    for name, (asked, fits) in PAGES.items():
        found = list(pages(database, number, 7, **asked))
        assert [one.at_us for one in found] == sorted(one.at_us for one in found), name
        assert len({one.sample_id for one in found}) == len(found), name
        expected = {one.candidate.origin.sample_id for one in judged if fits(one)}
        assert {one.sample_id for one in found} == expected, name
        assert bool(expected) == (name != "none")


def test_a_sample_is_read_as_it_was_judged(database, campaign):
    number, judged = campaign
    known = {one.candidate.origin.sample_id: one for one in judged}
    for sample in pages(database, number, 100):
        one = known[sample.sample_id]
        origin, draft = one.candidate.origin, one.candidate.draft
        assert (sample.domain, sample.generator, sample.cell, sample.number) == tuple(vars(origin).values())
        assert (sample.reason, sample.detail, sample.quality) == (one.reason, one.detail, one.quality)
        assert (sample.terms, sample.skeleton, sample.source) == (one.terms, one.skeleton, draft.source)
        assert sample.messages == draft.messages and isinstance(sample.messages[0], Message)
        assert sample.pilot == (one in judged[:9])


def test_an_id_that_there_is_not_is_a_mistake(database, campaign):
    with database.read() as connection, pytest.raises(UserMistake, match="no sample 'nope'"):
        reading.samples_page(connection, campaign[0], after="nope")


def test_everything_that_a_pilot_was_ever_asked_for_is_told(database, clock):
    number = database.writer.do(lambda tx: ledger.campaign_of(tx, "new"))
    for threshold, by in ((0.75, "ada"), (0.7, "bob")):
        wish = Specification(quality_threshold=threshold, domains={"sql": 0.5})
        database.writer.do(lambda tx, wish=wish, by=by: ledger.register_gate(tx, number, wish, by))
        clock.advance(PAUSE_S)
    with database.read() as connection:
        first, second = reading.registered(connection, number)
    assert (first.specification.quality_threshold, first.by, second.by) == (0.75, "ada", "bob")
    assert second.specification == Specification(quality_threshold=0.7, domains={"sql": 0.5})
    assert second.at_us - first.at_us == PAUSE_S * US


def test_a_fault_that_no_index_takes_is_cut_off(database, clock):
    number = database.writer.do(lambda tx: ledger.campaign_of(tx, "new"))
    long = "".join(chr(0x4E00 + (place * 7919) % 20_000) for place in range(20_000))
    batch = Intake(Terms()).judge([made("code", "a", 0, replace(WRONG, fault=long))])
    database.writer.do(lambda tx: ledger.take(tx, number, rows(batch, pilot=True)))
    [reason] = figures(database, number, clock.now_us()).domains[0].reasons
    assert len(reason) == 200 and reason[:199] == long[:199]


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_figures_are_counted_without_reading_the_samples(database, campaign, clock):
    asked = []

    def note(connection, cursor, statement, parameters, context, many):
        asked.append((statement, parameters))

    sa.event.listen(database.engine, "before_cursor_execute", note)
    figures(database, campaign[0], clock.now_us())
    sa.event.remove(database.engine, "before_cursor_execute", note)
    with database.read() as connection:
        plans = [
            row[3]
            for statement, parameters in asked
            if statement.startswith("SELECT")
            for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)
        ]
    read = [line for line in plans if "campaign_samples" in line and "COVERING" not in line]
    by_id = "SEARCH campaign_samples USING INDEX sqlite_autoindex_campaign_samples_1 (campaign_id=? AND sample_id=?)"
    assert set(read) == {by_id}, json.dumps(plans, indent=1)
