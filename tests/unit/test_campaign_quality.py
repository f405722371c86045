"""What a sample is worth, and bad samples that are made on purpose."""

import pytest

from overnight.base.errors import UserMistake
from overnight.campaigns.planted import COPIED, EMPTY, KINDS, TRUNCATED, WRONG, planted
from overnight.campaigns.ports import Checked, Draft, Message, Origin
from overnight.campaigns.quality import WEIGHTS, checked_weights, quality, replayed, spreads, telling, terms_of


def draft(task, answer):
    messages = (Message(role="system", content="be brief"), Message(role="user", content=task))
    return Draft(
        messages=(*messages, Message(role="assistant", content=answer)), skeleton=task, source={"name": "test"}
    )


def test_quality_is_the_weighted_mean_of_what_was_measured():
    terms = {"diversity": 1.0, "consistency": 1.0, "groundedness": 0.5, "coherence": 0.0}
    assert quality(terms, WEIGHTS) == pytest.approx(0.3 + 0.2 + 0.15)
    # What a check abstains from is not good, and not bad.
    del terms["coherence"]
    assert quality(terms, WEIGHTS) == pytest.approx(0.65 / 0.8)
    assert quality({"coherence": 1.0}, {**WEIGHTS, "coherence": 0.0}) is None
    assert quality({}, WEIGHTS) is None


def test_a_term_that_is_the_same_for_all_has_no_weight():
    seen = spreads([{"diversity": 0.2, "consistency": 1.0}, {"diversity": 0.4, "consistency": 1.0, "coherence": 0.5}])
    assert list(seen) == ["diversity", "consistency", "coherence"]
    assert (seen["diversity"].measured, seen["diversity"].least, seen["diversity"].most) == (2, 0.2, 0.4)
    assert [name for name, spread in seen.items() if spread.constant] == ["consistency", "coherence"]
    assert telling(WEIGHTS, seen) == {"diversity": 0.3, "consistency": 0.0, "groundedness": 0.0, "coherence": 0.0}


def test_weights_can_be_set_and_mistakes_are_said():
    assert checked_weights({"diversity": 0}) == {**WEIGHTS, "diversity": 0}
    for given, words in (
        ({"beauty": 1}, "weights.beauty: there is no such term (diversity, consistency"),
        ({"coherence": -1}, "weights.coherence: -1 is not 0 or greater"),
        ({"coherence": float("inf")}, "weights.coherence: inf"),
        (dict.fromkeys(WEIGHTS, 0), "at least one must be greater than 0"),
    ):
        with pytest.raises(UserMistake) as caught:
            checked_weights(given)
        assert words in str(caught.value)


def test_what_a_check_says_must_be_what_a_check_can_say():
    assert terms_of(Checked(terms={"coherence": 0.5}), 1.0) == {"diversity": 1.0, "coherence": 0.5}
    for wrong in ({"beauty": 0.5}, {"coherence": 1.5}, {"coherence": float("nan")}):
        with pytest.raises(ValueError, match="a check gave"):
            terms_of(Checked(terms=wrong), 1.0)


def test_planted_samples_are_bad_in_the_way_that_their_kind_says():
    drafts = [draft(f"add {number} and 1", f"the sum is {number + 1}") for number in range(20)]
    found = list(planted(drafts, each=5))
    assert [one.kind for one in found] == [kind for kind in KINDS for _ in range(5)]
    answers = {kind: [one.draft.messages[-1].content for one in found if one.kind == kind] for kind in KINDS}
    assert answers[EMPTY] == [""] * 5
    assert answers[TRUNCATED][0] == "the su"
    assert answers[COPIED][0] == "be brief\nadd 0 and 1"
    assert answers[WRONG][0] == "the sum is 2"
    for one in found:
        assert one.draft.messages[:-1] in [draft.messages[:-1] for draft in drafts]
        assert one.draft not in drafts


def test_what_cannot_be_made_worse_is_not_planted():
    assert list(planted([])) == []
    same = [draft("what?", "")] * 3
    # An empty answer is empty already, and the others have no other one.
    assert [one.kind for one in planted(same)] == [COPIED] * 3


def test_the_id_of_a_sample_follows_from_where_it_comes_from():
    one = Origin(domain="code", generator="python_bugs/1", cell="textwrap", number=3)
    assert one.sample_id == Origin(domain="code", generator="python_bugs/1", cell="textwrap", number=3).sample_id
    others = [
        Origin(domain=domain, generator=generator, cell=cell, number=number)
        for domain, generator, cell, number in (
            ("sql", "python_bugs/1", "textwrap", 3),
            ("code", "python_bugs/2", "textwrap", 3),
            ("code", "python_bugs/1", "heapq", 3),
            ("code", "python_bugs/1", "textwrap", 4),
            ("code", "python_bugs/1textwrap", "", 3),
        )
    ]
    assert len({one.sample_id, *(other.sample_id for other in others)}) == 6
    assert len(one.sample_id) == 32


def test_a_pilot_is_weighed_again_by_the_terms_that_tell_its_samples_apart_and_faults_stay_faults():
    measured = [({"diversity": 1.0, "groundedness": value, "coherence": 0.8}, 0.9) for value in (0.5, 0.7)]
    pilot = {"code": [*measured, ({"diversity": 1.0}, 0.0)], "sql": [({"diversity": 1.0, "coherence": 0.8}, 0.9)]}
    found, constant = replayed(pilot, {"code": WEIGHTS, "sql": WEIGHTS})
    assert constant == ("diversity", "consistency", "coherence")
    assert found == {"code": [0.5, 0.7, 0.0], "sql": [None]}
    same = {"code": [measured[0], measured[0]]}
    assert replayed(same, {}) == ({"code": [None, None]}, tuple(WEIGHTS))
