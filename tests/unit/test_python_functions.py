"""Functions are found in source text; samples of them are told apart by what is left without names and literals."""

from dataclasses import replace

import pytest

from overnight.campaigns.generators.python.functions import functions_of, summary_of
from overnight.campaigns.generators.python.judging import (
    blocks_of,
    definition_of,
    explained,
    has_secret,
    names_in,
    same_code,
)
from overnight.campaigns.generators.python.skeletons import shape_of, skeleton_of
from overnight.campaigns.ports import Origin

SOURCE = '''
def plain(x):
    """Return x.

    >>> plain(1)
    1
    """
    return x  # as it is


class Box:
    @property
    def size(self):
        """Return the size.

        >>> Box().size
        2
        """
        return 2

    def text(self):
        """Return a text.

        >>> Box().text()
        'a'
        """
        return """a
        b"""

    def silent(self):
        """Have no example."""
        return 1

    def empty(self):
        """>>> 1
        1
        """


def twice(x):
    """
    >>> twice(1)
    1
    """
    return x


def twice(x):
    return x
'''


def test_functions_with_examples_are_found_with_their_text_and_place():
    plain, size = functions_of("m", SOURCE)
    assert (plain.name, plain.first_line, plain.last_line) == ("m.plain", 2, 2)
    assert plain.text == 'def plain(x):\n    """Return x."""\n\n    return x  # as it is'.replace("\n\n", "\n")
    assert [example.want for example in plain.examples] == ["1\n"]
    assert (size.name, size.first_line, size.last_line) == ("m.Box.size", 12, 13)
    assert size.text == 'def size(self):\n    """Return the size."""\n    return 2'


def test_what_is_no_python_of_this_version_has_no_functions():
    assert functions_of("m", "def f(:\n    >>> f") == []


@pytest.mark.parametrize(
    "source",
    [
        'def f(x): """>>> f(1)\n1"""; return x',
        'def f(x):\n    """>>> f(1)\n    1\n    """; y = x\n    return y',
        'def f(x):\n    """\n    >>> f(1)\n  1\n    """\n    return x',
        'class C:\n    def f(x):\n        """>>> f(1)\n        1\n        """\n  # far left\n        return x',
        'class C:\n    def f(x):\n        """>>> f(1)\n        1\n        """\n\x0c        y = x\n        return y',
        'class C:\n    def f(x):\n        """>>> f(1)\n        1\n        """\n        return f"""{x}\n        """',
        'def f(x):\n    """>>>"""\n    return x',
    ],
)
def test_a_function_whose_text_cannot_be_taken_out_is_none(source):
    assert functions_of("m", source) == []


def test_a_docstring_that_begins_with_an_example_has_no_summary():
    (function,) = functions_of("m", 'def f(x):\n    """>>> f(1)\n    1\n    """\n    return x')
    assert function.text == "def f(x):\n    return x"


def test_the_summary_is_the_first_paragraph_and_no_example():
    assert summary_of("One\n   line.\n\nMore.") == "One line."
    assert summary_of(">>> f()\n1") == ""


def test_samples_that_differ_in_names_and_literals_share_a_skeleton():
    one, other = "def f(a):\n    return a + 1", 'def g(b):\n    """Say."""\n    return b + 20'
    assert skeleton_of("form", one) == skeleton_of("form", other)
    assert skeleton_of("form", one) != skeleton_of("another form", one)
    assert skeleton_of("form", one) != skeleton_of("form", "def f(a):\n    return a - 1")
    assert skeleton_of("form", one) != skeleton_of("form", "def f(a):\n    return a + 'x'")


def test_what_is_no_python_has_a_shape_too():
    assert shape_of("<Box 12 of 3.5>") == shape_of("<Bag 7 of 1>") != shape_of("<Box 12>")


@pytest.mark.parametrize(
    "text",
    [
        "key = AKIA" + "ABCDEFGHIJKLMNOP",
        "ghp_" + "a1" * 18,
        "-----BEGIN RSA PRIVATE KEY-----",
        "password = 'hunter2hunter2hunter2'",
        "sk-" + "a1" * 12,
    ],
)
def test_keys_and_passwords_are_seen(text):
    assert has_secret(f"def f():\n    {text}")


@pytest.mark.parametrize("text", ["token = 'identifier'", "password = read()", "sk-learn", "AKIA"])
def test_words_that_only_sound_secret_are_none(text):
    assert not has_secret(text)


def test_blocks_are_read_and_one_that_does_not_end_is_noticed():
    assert blocks_of("a\n```python\nx = 1\n```\nb\n```\ny\n```") == ["x = 1", "y"]
    assert blocks_of("```python\nx = 1") is None
    assert blocks_of("no code") == []


def test_the_same_code_has_any_layout():
    assert same_code("def f(a):\n    return a", "def f( a ):\n\n  return (a)")
    assert not same_code("def f(a):\n    return a", "def f(a):\n    return 1")
    assert not same_code("x = 1", "x = 1")


def test_what_is_no_python_defines_and_names_nothing():
    assert definition_of("def f(:") is None
    assert definition_of("x = 1") is None
    assert names_in("import a.b as c, d.e\nf = g(") == set()
    assert names_in("import a.b as c, d.e\nf = g") == {"c", "d", "f", "g"}


def test_the_id_of_a_sample_follows_from_its_origin():
    origin = Origin(domain="d", generator="g/1", cell="c", number=1)
    assert len(origin.sample_id) == 32
    assert origin.sample_id == replace(origin).sample_id != replace(origin, number=2).sample_id


def test_names_are_explained_by_the_function_what_is_built_in_and_what_is_given():
    code = "def f(a):\n    b = len(a)\n    return helper(b, given)"
    assert explained(code, []) == 3 / 5
    assert explained(code, ["given"]) == 4 / 5
    assert explained("def f():\n    pass", []) == 1.0
