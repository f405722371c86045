"""Which code is the same but for its names, literals, annotations and docstrings."""

import ast
import inspect
import statistics
import textwrap

import pytest

from overnight.text import syntax
from overnight.text.syntax import shapes_in

CLOSE = '''
def has_close(numbers: list[float], threshold: float) -> bool:
    """Tell whether two numbers are closer than the threshold."""
    for at, one in enumerate(numbers):
        for other in numbers[at + 1 :]:
            if abs(one - other) < threshold:
                return True
    return False
'''
RENAMED = """
@cached
async def near(xs, eps, *, why="so"):
    # how far they are apart
    for i, a in enumerate(xs):
        for b in xs[i + 2 :]:
            if gap(a - b) < eps:
                return False
    return True
"""


def indented(text):
    return textwrap.indent(text, "    ")


@pytest.mark.parametrize(
    "text",
    [
        RENAMED,
        f"Here it is:\n\n```python\n{RENAMED}```\nThat is all.",
        f"Here it is:\n~~~\n{RENAMED}~~~",
        f"Here it is:\n{RENAMED}\nThat is all.",
        f"A method:\n{indented(RENAMED)}\nThat is all.",
        f"class A:\n{indented(RENAMED)}",
        f"def outer():\n{indented(RENAMED)}\n    return near\n",
        f"```python\n{RENAMED}```\n```python\nthis is none\n```\n",
        f"```python\nbroken(\n{RENAMED}```\n",
        "def near(\n    xs,\n    eps,\n) -> bool:\n" + RENAMED.split("\n", 3)[3] + "\n\nas I said",
        RENAMED.split("\n", 3)[3],
    ],
    ids=["alone", "fence", "tildes", "prose", "indented", "method", "inner", "second", "broken", "signature", "body"],
)
def test_a_function_is_found_wherever_it_stands_with_other_names(text):
    assert set(shapes_in(CLOSE)) & set(shapes_in(text))


@pytest.mark.parametrize(
    "change",
    [("abs(one - other)", "abs(one + other)"), ("numbers[at", "other[at"), ("< threshold", "< one"), ("1 :", "1.0 :")],
)
def test_what_does_something_else_is_another_shape(change):
    old, new = change
    assert old in CLOSE
    assert not set(shapes_in(CLOSE)) & set(shapes_in(CLOSE.replace(old, new)))


def test_small_functions_and_prose_have_none():
    assert shapes_in("def f(x):\n    return x + 1\n") == []
    assert shapes_in("The def of a word, and for each one of them: no code at all (really).") == []
    assert shapes_in("") == []


def test_code_that_does_not_parse_has_none():
    assert shapes_in(CLOSE.replace("return True", "return return")) == []
    assert shapes_in("x = " + "(" * 5000) == []
    assert shapes_in("x = 1" + " + 1" * 20_000) == []
    assert shapes_in("x = 1" + " + 1" * 2000) == [], "deeper than this program can follow"


def test_what_a_module_does_outside_of_functions_is_compared_too():
    script = textwrap.dedent(CLOSE.split('"""')[2]).replace("return True", "print(1)").replace("return False", "")
    renamed = "import sys\nfrom os import path\n" + script.replace("one", "eins").replace("other", "zwei")
    assert len(shapes_in(script)) == 1
    assert shapes_in(script) == shapes_in(renamed)
    assert shapes_in(script) != shapes_in(f'"""It says."""\n{script}\nprint(2)\n')
    assert shapes_in(script) == shapes_in(f'"""It says."""\n{script}')


def test_global_names_and_keywords_are_names():
    text = "def f(a):\n    global b, c\n    b = c = [g(one=a, two=a + 1, three=[a, a, a]) for a in a if a and not a]\n"
    text += "    return b, c, g(b, c)\n"
    other = text.replace("b, c", "x, y").replace("b = c", "x = y").replace("one", "eins").replace("two", "zwei")
    assert shapes_in(text) == shapes_in(other) != []
    assert shapes_in(text) != shapes_in(text.replace("global b, c", "global b, a"))


def test_what_the_parser_warns_of_is_nobodys_warning():
    assert shapes_in(CLOSE.replace("return True", r'return "\d"')) != []


def test_the_functions_of_a_module_differ_in_their_shapes():
    source = inspect.getsource(statistics)
    shapes = shapes_in(source)
    assert len(shapes) > 20
    twins = len(shapes) - len(set(shapes))
    assert twins <= 2
    assert len(shapes) < sum(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(source)))
    assert syntax.LEAST == 30
