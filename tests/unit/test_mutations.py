"""What can go wrong in a function: one edit at a time, of as little text as it takes."""

import ast
import inspect
import statistics
import textwrap
from difflib import SequenceMatcher
from heapq import merge

import pytest

from overnight.campaigns.generators.python.mutations import OPERATORS, Code, Edit, edits_of, mutant

EXAMPLES = {
    "arguments": ("def f(a, b):\n    return g(a, b)", "def f(a, b):\n    return g(b, a)"),
    "arithmetic": ("def f(a, b):\n    return (a) + (b)", "def f(a, b):\n    return (a) - (b)"),
    "boolean": ("def f(a, b):\n    return a and b", "def f(a, b):\n    return a or b"),
    "boundary": ("def f(n):\n    return range(n)", "def f(n):\n    return range(n - 1)"),
    "call": ("def f(a):\n    return a.lstrip()", "def f(a):\n    return a.rstrip()"),
    "comparison": ("def f(a, b):\n    return a <= b", "def f(a, b):\n    return a < b"),
    "condition": ("def f(a):\n    if a == 1:\n        return 2", "def f(a):\n    if not (a == 1):\n        return 2"),
    "constant": ("def f(a):\n    return 'é', a * 2", "def f(a):\n    return 'é', a * 3"),
    "default": ("def f(a, *, b=False):\n    return b", "def f(a, *, b=True):\n    return b"),
    "leaving": (
        "def f(a):\n    for x in a:\n        yield x",
        "def f(a):\n    for x in a:\n        yield x\n        break",
    ),
    "name": ("def f(a, b):\n    return a", "def f(a, b):\n    return b"),
    "negation": ("def f(a):\n    return not (a or 1)", "def f(a):\n    return (a or 1)"),
    "statement": ("def f(a):\n    a.sort()\n    return a", "def f(a):\n    return a"),
}


@pytest.mark.parametrize("operator", sorted(OPERATORS))
def test_each_operator_makes_the_mistake_that_its_name_says(operator):
    right, wrong = EXAMPLES[operator]
    assert wrong in [mutant(right, edit) for edit in edits_of(right)[operator]]


@pytest.mark.parametrize("function", [statistics.correlation, statistics.quantiles, merge, SequenceMatcher.get_opcodes])
def test_a_mutant_is_another_function_of_the_same_name_and_differs_in_one_place(function):
    text = textwrap.dedent(inspect.getsource(function))
    for edits in edits_of(text).values():
        for edit in edits:
            made = mutant(text, edit)
            if made is None:
                continue
            assert (ast.parse(made).body[0].name, made != text) == (function.__name__, True)
            assert made[: edit.start] == text[: edit.start]
            assert made[len(made) - len(text) + edit.end :] == text[edit.end :]


def test_edits_come_in_the_same_order_each_time():
    text = textwrap.dedent(inspect.getsource(statistics.quantiles))
    first = edits_of(text)
    assert first == edits_of(text)
    assert all(edits == sorted(set(edits)) for edits in first.values())
    assert sum(map(len, first.values())) > 50


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("def f():\n    return 1", Edit(start=4, end=5, text="(")),
        ("def f():\n    return 1", Edit(start=20, end=21, text="(1)")),
        ("def f():\n    return 1", Edit(start=0, end=0, text="x = 1\n")),
    ],
)
def test_what_is_no_function_or_the_same_one_is_no_mutant(text, edit):
    assert mutant(text, edit) is None


def test_docstrings_decorators_and_f_strings_are_left_alone():
    text = '@d(1)\ndef f(a):\n    """Say 1."""\n    return f"{a + 1}"'
    assert [edit for edits in edits_of(text).values() for edit in edits] == []


def test_equal_arguments_do_not_change_places():
    assert edits_of("def f(a):\n    return g(a, a)")["arguments"] == []


def test_what_does_not_stand_between_two_nodes_is_not_replaced():
    function = ast.parse("def f(a, b):\n    return a + b").body[0]
    code = Code(text="def f(a, b):\n    return a + b", function=function)
    sides = function.body[0].value
    assert list(code.between(sides.left, sides.right, "-", "+")) == []
