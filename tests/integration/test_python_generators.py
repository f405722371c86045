"""Samples of Python are what they say: each was run, and what is wrong in one is found out."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import overnight
from overnight.campaigns.generators.python.answers import code_blocks
from overnight.campaigns.generators.python.workshop import Workshop
from overnight.campaigns.generators.python_bugs import PythonBugs
from overnight.campaigns.generators.python_doc import PythonDoc, prose_of
from overnight.campaigns.generators.python_predict import KINDS, PythonPredict, kind_of
from overnight.campaigns.ports import TERMS, Draft, Message

GENERATORS = (PythonBugs, PythonPredict, PythonDoc)
MODULES = ("collections", "difflib", "fractions", "heapq", "statistics")


@pytest.fixture(scope="module")
def workshop() -> Iterator[Workshop]:
    with Workshop() as found:
        yield found


def drafts(generator, cells, each=2) -> list[Draft]:
    found = [generator.draft(cell, number) for cell in cells for number in range(each)]
    return [draft for draft in found if draft is not None]


def some_cells(generator) -> list[str]:
    return [cell for cell in generator.cells() if cell.split("/")[1] in MODULES]


def answering(draft: Draft, answer: str) -> Draft:
    return replace(draft, messages=[draft.messages[0], Message(role="assistant", content=answer)])


# -- what is made


def test_a_mistake_fails_its_example_and_the_repair_passes_all(workshop):
    bugs = PythonBugs(workshop)
    made = drafts(bugs, some_cells(bugs)[::3], each=1)
    assert {draft.source["name"].split(".")[0] for draft in made} == set(MODULES)
    for draft in made:
        subject = workshop.find(draft.facts["package"], draft.facts["function"])
        own, broken = workshop.own(subject), workshop.with_code(subject, draft.facts["broken"])
        assert own.passed - broken.passed, draft.source
        assert workshop.with_code(subject, subject.function.text).passed >= own.passed
        assert bugs.check(draft).fault is None


def test_a_share_of_the_mistakes_is_to_be_found_and_not_repaired(workshop):
    bugs = PythonBugs(workshop)
    cells = [cell for cell in bugs.cells() if cell.startswith(("comparison/", "constant/"))]
    forms = Counter(draft.facts["form"] for draft in drafts(bugs, cells, each=4))
    assert 0.1 < forms["find"] / forms.total() < 0.5


@pytest.mark.parametrize("kind", GENERATORS)
def test_every_sample_passes_its_check_with_terms_between_0_and_1(kind, workshop):
    generator = kind(workshop)
    made = drafts(generator, some_cells(generator), each=1)
    checks = [generator.check(draft) for draft in made]
    assert [check.fault for check in checks] == [None] * len(made)
    assert {term for check in checks for term in check.terms} <= set(TERMS)
    for term in checks[0].terms:
        values = [check.terms[term] for check in checks if term in check.terms]
        assert all(0 <= value <= 1 for value in values)
        assert len(set(values)) > 1, f"{term} tells nothing apart"


def test_samples_say_what_they_were_made_from(workshop):
    predict = PythonPredict(workshop)
    (draft, *_) = drafts(predict, ["number/statistics"])
    assert draft.source["licence"] == "PSF-2.0"
    assert draft.source["version"] == ".".join(map(str, sys.version_info[:3]))
    assert draft.source["name"].startswith("statistics.")


def test_what_is_printed_is_what_the_docstring_says(workshop):
    predict = PythonPredict(workshop)
    for draft in drafts(predict, ["collection/collections", "number/statistics"]):
        subject = workshop.find(draft.facts["package"], draft.facts["function"])
        example = subject.function.examples[draft.facts["example"]]
        assert draft.messages[-1].content == example.want.rstrip("\n")
        assert example.source.split("\n")[0] in draft.messages[0].content


def test_a_missing_statement_is_to_be_repaired_and_never_to_be_found(workshop):
    bugs = PythonBugs(workshop)
    cells = [cell for cell in bugs.cells() if cell.startswith("statement/")]
    made = drafts(bugs, cells, each=12)
    assert {draft.facts["form"] for draft in made} == {"repair"}


def test_numbers_end(workshop):
    for kind in GENERATORS:
        generator = kind(workshop)
        cell = generator.cells()[0]
        assert generator.count(cell) > 0
        assert generator.draft(cell, generator.count(cell)) is None


PRINT_DRAFTS = """
import json, sys
from dataclasses import asdict
from test_python_generators import GENERATORS, some_cells
from overnight.campaigns.generators.python.workshop import Workshop
with Workshop() as workshop:
    for kind in GENERATORS:
        generator = kind(workshop)
        for cell in some_cells(generator)[:: int(sys.argv[1])]:
            draft = generator.draft(cell, 1)
            print(json.dumps([cell, None if draft is None else asdict(draft)], sort_keys=True))
"""


def test_the_same_number_is_the_same_draft_in_another_process():
    paths = f"{Path(__file__).parent}:{Path(overnight.__file__).parents[1]}"

    def told() -> str:
        argv = [sys.executable, "-c", PRINT_DRAFTS, "4"]
        return subprocess.run(argv, env={"PYTHONPATH": paths}, capture_output=True, text=True, check=True).stdout

    first = told()
    assert first == told()
    made = [json.loads(line)[1] for line in first.splitlines()]
    assert sum(draft is not None for draft in made) > 12


# -- what is damaged


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_damaged_answer_is_refused_with_a_reason(kind, workshop):
    generator = kind(workshop)
    made = drafts(generator, some_cells(generator)[::3])
    assert len(made) > 5
    for one, other in zip(made, made[1:] + made[:1], strict=True):
        answer, task = one.messages[-1].content, one.messages[0].content
        damaged = ["", "  \n", answer[: len(answer) // 2], task, "I do not know."]
        if one.source["name"] != other.source["name"] and answer != other.messages[-1].content:
            damaged.append(other.messages[-1].content)
        for text in damaged:
            if text != answer:
                assert generator.check(answering(one, text)).fault is not None, (text, task)


@pytest.mark.parametrize("kind", GENERATORS)
def test_a_damaged_task_is_refused_and_damaged_facts_raise_nothing(kind, workshop):
    generator = kind(workshop)
    (draft, *_) = drafts(generator, some_cells(generator)[:4])
    blank = Message(role="user", content="")
    assert generator.check(replace(draft, messages=[blank, draft.messages[1]])).fault == "its task is damaged"
    assert generator.check(replace(draft, messages=[])).fault == "it is not one question and one answer"
    for key in draft.facts:
        for value in (None, 12, "other", []):
            assert generator.check(replace(draft, facts={**draft.facts, key: value})).fault is not None, (key, value)
        rest = {name: value for name, value in draft.facts.items() if name != key}
        assert generator.check(replace(draft, facts=rest)).fault == "its facts are damaged"


def test_a_repair_that_repairs_nothing_is_told_from_one_that_is_wrong(workshop):
    bugs = PythonBugs(workshop)
    made = drafts(bugs, some_cells(bugs)[::4])
    repair = next(one for one in made if one.facts["form"] == "repair")
    broken = repair.facts["broken"]
    assert bugs.check(answering(repair, f"```python\n{broken}\n```")).fault == "the answer is copied from the task"
    (right,) = code_blocks(repair.messages[-1].content, 1)
    head = right.split("\n")[0]
    wrong = f"```python\n{head}\n    return 'planted'\n```"
    assert bugs.check(answering(repair, wrong)).fault == "a doctest fails with the answer"
    renamed = f"```python\n{right.replace('def ', 'def other_', 1)}\n```"
    assert bugs.check(answering(repair, renamed)).fault == "the answer is another function"
    spare = right.replace(head, f"{head}\n    spare = 1")
    whole = replace(repair, facts={**repair.facts, "broken": spare})
    assert bugs.check(whole).fault == "nothing is wrong in the task"


def test_a_line_that_is_named_must_be_there_and_its_replacement_right(workshop):
    bugs = PythonBugs(workshop)
    cells = [cell for cell in bugs.cells() if cell.startswith("comparison/")]
    find = next(one for one in drafts(bugs, cells, each=4) if one.facts["form"] == "find")
    answer = find.messages[-1].content
    wrong, right = code_blocks(answer, 2)
    assert bugs.check(find).fault is None
    for told in (
        answer.replace("Line ", "Line 9", 1),
        answer.replace(right, wrong),
        answer.replace("The reason: ", ""),
        answer.replace("Line ", "The line ", 1),
    ):
        assert bugs.check(answering(find, told)).fault is not None, told


def test_a_secret_makes_a_sample_unfit(workshop):
    predict = PythonPredict(workshop)
    (draft, *_) = drafts(predict, ["number/statistics"])
    assert predict.check(answering(draft, "AKIA" + "ABCDEFGHIJKLMNOP")).fault == "it holds a secret"


# -- parts


@pytest.mark.parametrize(
    ("want", "kind"),
    [("True\n", "bool"), ("-1.5\n", "number"), ("'a'\n", "text"), ("{1: 2}\n", "collection"), ("None\n", "object")],
)
def test_the_kind_of_an_output_is_what_python_reads_in_it(want, kind):
    assert kind_of(want) == kind
    assert kind_of(want + want) == "several_lines"
    assert kind in KINDS


def test_prose_ends_where_examples_begin():
    assert prose_of("Do.\n\n    More.\n\n    Examples\n    --------\n    >>> 1\n    1\n") == "Do.\n\nMore."
    assert prose_of("Do.\n\n    >>> 1\n    1\n\n    More.") == "Do."
