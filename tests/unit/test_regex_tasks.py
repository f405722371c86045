"""Regular expressions: the same ones every time, in many forms, and only right ones that end soon are accepted."""

import json
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.campaigns.generators import regex_parts
from overnight.campaigns.generators.regex_parts import RANGES, SETS
from overnight.campaigns.generators.regex_tasks import FAMILIES, SIZES, RegexTasks, _at_most
from overnight.campaigns.generators.regex_text import endless, skeleton
from overnight.campaigns.planted import KINDS, planted
from overnight.campaigns.ports import TERMS, Draft, Message


@pytest.fixture(scope="module")
def tasks() -> RegexTasks:
    return RegexTasks()


def answered(draft: Draft, answer: str) -> Draft:
    return replace(draft, messages=[*draft.messages[:-1], Message(role="assistant", content=answer)])


def drafts(tasks: RegexTasks, each: int = 2) -> list[Draft]:
    made = [tasks.draft(cell, number) for cell in tasks.cells() for number in range(each)]
    return [draft for draft in made if draft is not None]


# -- what is drawn


def test_cells_are_every_family_with_every_size_in_one_order(tasks):
    assert tasks.cells() == RegexTasks().cells()
    assert len(set(tasks.cells())) == len(FAMILIES) * len(SIZES)


def test_the_same_cell_and_number_give_the_same_draft_in_another_process(tasks):
    program = """
import json
from overnight.campaigns.generators.regex_tasks import RegexTasks
tasks = RegexTasks()
drafts = [tasks.draft(cell, number) for cell in tasks.cells() for number in (0, 5)]
print(json.dumps([[message.content for message in draft.messages] for draft in drafts]))
"""
    environment = {"PYTHONHASHSEED": "7", "PYTHONPATH": ":".join(sys.path)}
    child = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=environment)
    drafts = [tasks.draft(cell, number) for cell in tasks.cells() for number in (0, 5)]
    assert json.loads(child.stdout) == [[message.content for message in draft.messages] for draft in drafts]


def test_a_draft_shows_texts_of_both_kinds_and_names_its_source(tasks):
    for draft in drafts(tasks, 1):
        task, pattern = (message.content for message in draft.messages)
        shown, refused = task.partition("It must match:\n")[2].split("\n\nIt must not match:\n")
        assert all(re.fullmatch(pattern, json.loads(line)) for line in shown.splitlines())
        assert not any(re.fullmatch(pattern, json.loads(line)) for line in refused.splitlines())
        assert len(draft.facts["match"]) >= 5 <= len(draft.facts["refuse"])
        assert json.loads(json.dumps(draft.facts)) == draft.facts
        assert draft.source["name"].startswith("overnight regex_tasks, family ")
        assert draft.source["licence"] == "Apache-2.0"


def test_nearly_all_are_accepted_and_few_share_a_skeleton(tasks):
    made = drafts(tasks, 6)
    accepted = [draft for draft in made if tasks.check(draft).fault is None]
    assert len(accepted) == len(made) > 5.9 * len(tasks.cells())
    assert len({draft.skeleton for draft in accepted}) > 0.75 * len(accepted)


def test_a_cell_whose_texts_cannot_be_found_has_no_such_draft(tasks, monkeypatch):
    monkeypatch.setitem(FAMILIES, "codes", (lambda random: regex_parts.Piece("x", "x", lambda _: "x", lambda _: "y"),))
    assert tasks.draft("codes/2", 0) is None


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ab-[0-9]{3}", r"\.[A-F]{2,5}"),
        ("(?:red|blue)", "(?:a|b|c|d)"),
        (r"(?P<q>['\"])x(?P=q)", r"(?P<r>[a])\.(?P=r)"),
        (r"(a)\1", r"(b)\1"),
        (r"\d+", "[0-9]+"),
    ],
)
def test_a_skeleton_is_the_expression_without_its_characters_and_numbers(one, other):
    assert skeleton(one) == skeleton(other) or "(?P<" in one
    assert skeleton(one) != skeleton(f"{one}?")


@pytest.mark.parametrize("make", [value for name, value in sorted(vars(regex_parts).items()) if name.endswith("_of")])
def test_a_part_matches_what_it_makes_and_mostly_not_what_it_breaks(make):
    for seed in range(150):
        random = Random(seed)
        piece = make(random)
        matches = re.compile(piece.pattern).fullmatch
        if piece.looks:
            assert (piece.good(random), piece.bad(random)) == ("", "")
            continue
        assert all(matches(piece.good(random)) for _ in range(20)), piece
        assert not all(matches(piece.bad(random)) for _ in range(40)), piece
        assert piece.said and "  " not in piece.said


def test_sets_and_ranges_hold_what_they_say():
    for pattern, (_, inside, outside) in SETS.items():
        assert all(re.fullmatch(pattern, one) for one in inside) and not any(
            re.fullmatch(pattern, one) for one in outside
        )
    for pattern, inside, outside in RANGES.values():
        assert all(re.fullmatch(pattern, one) for one in inside) and not any(
            re.fullmatch(pattern, one) for one in outside
        )


# -- what is accepted


def test_terms_are_shares_and_one_that_cannot_vary_is_left_out(tasks):
    told = [tasks.check(draft).terms for draft in drafts(tasks)]
    assert all(set(terms) == set(TERMS) - {"groundedness"} for terms in told)
    for name in told[0]:
        assert len({terms[name] for terms in told}) > 3, name
        assert all(0 <= terms[name] <= 1 for terms in told)


def test_every_bad_sample_that_a_pilot_plants_is_refused(tasks):
    bad = list(planted([tasks.draft(cell, 3) for cell in tasks.cells()[:24]]))
    assert {one.kind for one in bad} == set(KINDS)
    assert [one for one in bad if tasks.check(one.draft).fault is None] == []


def test_the_answer_to_another_task_is_refused(tasks):
    made = drafts(tasks)
    faults = Counter(tasks.check(answered(one, other.messages[-1].content)).fault for one, other in pairwise(made))
    assert set(faults) == {"the wrong answer"}


def test_an_answer_that_only_lists_the_shown_texts_is_refused(tasks):
    for draft in drafts(tasks, 1):
        if len(draft.facts["match"]) > 5:
            listed = "|".join(re.escape(text) for text in draft.facts["match"][:5])
            assert tasks.check(answered(draft, listed)).fault == "the wrong answer"


def test_another_expression_for_the_same_texts_is_accepted(tasks):
    for draft in drafts(tasks, 1):
        assert tasks.check(answered(draft, f"(?:{draft.messages[-1].content})")).fault is None


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        ("", "no answer"),
        ("  \n", "no answer"),
        ("[a-z", "no regular expression"),
        ("a{99999999999}", "no regular expression"),
        ("(" * 150 + ")" * 150, "the wrong answer"),
        ("a\nb", "the answer is no single line"),
        ("a" * 401, "the answer is no single line"),
        ("(a+)+", "the expression may backtrack for ever"),
        ("[[a]|.", "the wrong answer"),
        (".*", "the wrong answer"),
    ],
)
def test_damaged_answers_have_their_fault(tasks, answer, fault):
    assert tasks.check(answered(tasks.draft("mixed/3", 1), answer)).fault == fault


@given(answer=st.one_of(st.text(), st.text(alphabet="ab[]()|*+?{}01,^$.\\-P<>=!:'\"")))
@settings(deadline=None, max_examples=40)
def test_no_answer_makes_the_check_fail(tasks, answer):
    assert tasks.check(answered(tasks.draft("mixed/6", 2), answer)).fault


@pytest.mark.parametrize("facts", [{}, {"match": 3, "refuse": [], "pinned": 1.0}, {"match": ["a"], "refuse": ["b"]}])
def test_damaged_facts_are_a_fault_and_no_error(tasks, facts):
    assert tasks.check(replace(tasks.draft("codes/2", 0), facts=facts)).fault == "not an expression of this generator"
    assert tasks.check(replace(tasks.draft("codes/2", 0), messages=[])).fault == "not an expression of this generator"


# -- what may take for ever


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+",
        "(?:a|a)*",
        "(?:a*b?){9}",
        "((a?){2,})+",
        "(?:[a-z]+,?){1,20}",
        "(?P<q>a|b)+",
        "a*a*a*a*a*",
        "(x+x+)+y",
        "(a{2,})*",
    ],
)
def test_repeats_of_what_varies_are_refused(pattern):
    assert endless(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "a+",
        "(?:ab)+",
        "(?:,[a-z]{2,5}){1,4}",
        "(?:a|b)?",
        "[+*]+",
        r"\(a+\)+",
        "(?=.*x)(?!.*y)a",
        "(?:a{3})*",
        "a{2}{",
        ")",
    ],
)
def test_other_repeats_are_not(pattern):
    assert not endless(pattern)


def test_no_draft_may_take_for_ever(tasks):
    assert not any(endless(draft.messages[-1].content) for draft in drafts(tasks, 4))


SLOW = ".*.*.*.*b"


def test_what_is_slow_all_the_same_is_stopped(tasks):
    draft = replace(tasks.draft("codes/2", 0), facts={"match": ["a" * 400], "refuse": [], "pinned": 1.0})
    assert not endless(SLOW)
    began = time.process_time()
    assert tasks.check(answered(draft, SLOW)).fault == "the expression takes too long"
    assert time.process_time() - began < 2


def test_in_another_thread_nothing_is_stopped_and_nothing_fails():
    done = []

    def work():
        with _at_most(0.001):
            sum(range(200_000))
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(10)
    assert done
