"""Verdicts are only added; uses, levels and the best version so far follow from them."""

import json

import pytest
import sqlalchemy as sa

from overnight.app import schema
from overnight.base.clock import SystemClock
from overnight.base.errors import UserMistake
from overnight.base.gate_settings import GateSettings
from overnight.db.database import Database
from overnight.proof.evidence import Evidence
from overnight.proof.forms import Form, GateSpec, Looks
from overnight.proof.gate import Decision
from overnight.proof.multiple import lord
from overnight.registry import store, verdicts
from overnight.registry.store import Candidate
from overnight.registry.verdicts import Pair, UsedMeanwhile


@pytest.fixture
def database(database_url, tmp_path):
    database = Database(database_url, SystemClock(), tmp_path)
    schema.prepare(database)
    yield database
    database.close()


def evidence(wins, losses, ties=60, *, prefix="i", **more):
    n = wins + losses + ties
    return Evidence(
        metric="score",
        title="accuracy",
        ids=[f"{prefix}{place}" for place in range(n)],
        candidate=[1.0] * wins + [0.0] * losses + [1.0] * ties,
        against=[0.0] * wins + [1.0] * losses + [1.0] * ties,
        **more,
    )


def pair(candidate, against="v1.0.0", **more):
    return Pair(model="nlu", candidate=candidate, against=against, **more)


def judged(database, whom, what, spec=None, evidence_id="ab" * 32):
    with database.read() as connection:
        return verdicts.judge(connection, whom, what, evidence_id, spec or GateSpec())


def kept(database, candidate, what, spec=None, *, against="v1.0.0", **more):
    found = judged(database, pair(candidate, against, **more), what, spec)
    database.writer.do(lambda tx: verdicts.keep(tx, found, candidate=candidate, by="a test"))
    return found.result


def look(database, what, *arguments, **options):
    with database.read() as connection:
        return what(connection, *arguments, **options)


def test_a_verdict_is_kept_with_all_that_it_rests_on(database):
    result = kept(database, "v1.0.1", evidence(30, 5), GateSpec(smallest_effect=0.1))
    [row] = look(database, verdicts.history, "nlu")
    assert (row.candidate, row.against, row.by, row.final, row.items) == ("v1.0.1", "v1.0.0", "a test", False, 95)
    assert (row.decision, row.evidence, row.level) == (Decision.ACCEPT, "ab" * 32, lord([], alpha=0.05))
    assert row.result == json.loads(json.dumps(result)) and row.spec["smallest_effect"] == 0.1
    assert row.held_out == evidence(1, 2, 92).held_out_id != evidence(1, 2, 92, prefix="x").held_out_id
    assert look(database, verdicts.evidence_ids) == {"ab" * 32}
    assert look(database, verdicts.history, "other") == []


def test_candidates_on_the_same_items_share_alpha_and_findings_give_some_back(database):
    levels = [kept(database, f"v1.0.{n}", evidence(30, 5))["alpha"] for n in (1, 2, 3)]
    assert levels == [lord([], alpha=0.05), lord([True], alpha=0.05), lord([True, True], alpha=0.05)]
    assert levels[1] < levels[0] and levels[2] > levels[1]
    assert kept(database, "v1.0.4", evidence(30, 5, prefix="fresh"))["alpha"] == levels[0]
    assert look(database, verdicts.history, "nlu", limit=2)[1].result["uses"] == 3


def test_a_pair_that_is_looked_at_again_pays_unless_its_bounds_hold_at_any_time(database):
    first = kept(database, "v1.0.1", evidence(6, 5))
    again = judged(database, pair("v1.0.1"), evidence(8, 6, prefix="more")).result
    assert again["alpha"] == lord([False], alpha=0.05) < first["alpha"]
    assert "Earlier verdicts share its alpha: it was judged at 0.0066 instead of 0.05." in again["reason"]
    any_time = GateSpec(looks=Looks.ANY_TIME)
    assert judged(database, pair("v1.0.1"), evidence(8, 6, prefix="more"), any_time).result["alpha"] == first["alpha"]
    assert judged(database, pair("v1.0.2"), evidence(8, 6, prefix="more")).result["alpha"] == first["alpha"]


def test_a_verdict_whose_items_were_used_meanwhile_is_not_kept(database):
    first, second = (judged(database, pair(number), evidence(30, 5)) for number in ("v1.0.1", "v1.0.2"))
    database.writer.do(lambda tx: verdicts.keep(tx, first, candidate="v1.0.1", by="one"))
    with pytest.raises(UsedMeanwhile, match="another version of 'nlu' was judged on the same items meanwhile"):
        database.writer.do(lambda tx: verdicts.keep(tx, second, candidate="v1.0.2", by="other"))
    assert len(look(database, verdicts.history, "nlu")) == 1


def test_the_same_question_is_answered_from_the_record(database):
    kept(database, "v1.0.1", evidence(30, 5))
    assert look(database, verdicts.same, pair("v1.0.1"), "ab" * 32, GateSpec()).candidate == "v1.0.1"
    for whom, name, spec in (
        (pair("v1.0.2"), "ab" * 32, GateSpec()),
        (pair("v1.0.1"), "cd" * 32, GateSpec()),
        (pair("v1.0.1"), "ab" * 32, GateSpec(alpha=0.01)),
    ):
        assert look(database, verdicts.same, whom, name, spec) is None


def test_uses_of_the_final_hold_out_are_told(database):
    first = kept(database, "v1.0.1", evidence(30, 5), final=True)
    second = kept(database, "v1.0.2", evidence(30, 5), final=True)
    assert first["reason"].endswith("The final hold-out was used for the first time.")
    assert second["reason"].endswith("The final hold-out was used 2 times now, and proves less each time.")


def test_the_best_version_is_not_replaced_by_one_that_is_only_not_inferior(database):
    assert look(database, verdicts.best, "nlu") is None
    first = Candidate(model="nlu", run_id=1, snapshot_id="s", manifest={}, signature={}, metrics={}, verdict={})
    database.writer.do(lambda tx: store.register(tx, first, serve=True, why="the first version"))
    loose = GateSpec(form=Form.NON_INFERIORITY, margin=0.2)
    assert kept(database, "v1.0.1", evidence(5, 9, 400), loose)["decision"] == Decision.ACCEPT
    assert look(database, verdicts.best, "nlu") == "v1.0.0"
    assert kept(database, "v1.0.2", evidence(40, 5, prefix="b"), loose)["decision"] == Decision.ACCEPT
    assert look(database, verdicts.best, "nlu") == "v1.0.2"
    kept(database, "v1.0.3", evidence(40, 5, prefix="c"), against="v1.0.1")
    assert look(database, verdicts.best, "nlu") == "v1.0.2", "better than another one says nothing about the best"
    with database.read() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM verdicts")).scalar_one() == 3
        assert (
            store.of_number(connection, "nlu", "v1.0.0").run_id == 1
            and store.of_number(connection, "nlu", "v9") is None
        )


def test_verdicts_of_nightly_trainings_stay_with_their_versions_and_count_as_well(database):
    def night(run_id, decision, lower, against):
        told = {"decision": decision, "lower": lower, "against_version": against}
        made = Candidate(
            model="critic", run_id=run_id, snapshot_id="s", manifest={}, signature={}, metrics={}, verdict=told
        )
        database.writer.do(lambda tx: store.register(tx, made, serve=decision == Decision.ACCEPT, why="a test"))
        return look(database, verdicts.best, "critic")

    assert night(1, Decision.ACCEPT, 0.2, None) == "v1.0.0", "better than the naive rival"
    assert night(2, Decision.ACCEPT, -0.1, "v1.0.0") == "v1.0.0", "only not inferior"
    assert night(3, Decision.ACCEPT, 0.1, "v1.0.1") == "v1.0.0", "better than another one"
    assert night(4, Decision.REJECT, 0.1, "v1.0.0") == "v1.0.0"
    loose = GateSpec(form=Form.NON_INFERIORITY, margin=0.2)
    assert look(database, verdicts.rival, "critic", loose).number == "v1.0.0"
    assert look(database, verdicts.rival, "critic", GateSpec()).number == "v1.0.2", "the champion"
    assert night(5, Decision.ACCEPT, 0.1, "v1.0.0") == "v1.0.4"
    assert night(6, Decision.ACCEPT, 0.1, None) == "v1.0.5", "nothing before could be compared with"


def test_settings_become_what_is_asked():
    assert verdicts.spec_of(GateSettings()) == GateSpec()
    asked = verdicts.spec_of(GateSettings(form="non_inferiority", margin=0.1, looks="any_time", alpha=0.01))
    assert asked == GateSpec(form=Form.NON_INFERIORITY, margin=0.1, looks=Looks.ANY_TIME, alpha=0.01)
    with pytest.raises(UserMistake, match="margin: missing"):
        verdicts.spec_of(GateSettings(form="non_inferiority"))


def test_evidence_comes_back_from_json_and_is_judged_by_its_own_bounds(database):
    found = evidence(30, 5, bounds=(0.0, 1.0), segments=["a"] * 95, groups=[f"{n:02}" for n in range(95)])
    again = Evidence.from_dict(json.loads(json.dumps(found.to_dict())))
    assert (again.bounds, again.held_out_id) == ((0.0, 1.0), found.held_out_id)
    asked = GateSpec(looks=Looks.ANY_TIME)
    assert judged(database, pair("v1.0.1"), again, asked).result["method"] == "betting, at any time"
