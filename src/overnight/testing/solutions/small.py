"""Right answers to the easy exercises."""

import re
from collections.abc import Mapping

_EMAIL = '''"""Addresses."""

import re

_LOCAL = re.compile(r"[A-Za-z0-9_\\-{plus}]+(\\.[A-Za-z0-9_\\-{plus}]+)*")
_PART = re.compile(r"[A-Za-z0-9]([A-Za-z0-9\\-]*[A-Za-z0-9])?")
_TOP = re.compile(r"[A-Za-z]{{{top},}}")


def {name}(text: str) -> bool:
    """Tell whether the text is an address."""
    local, at, domain = text.partition("@")
    parts = domain.split(".")
    return (
        bool(at)
        and len(local) <= {most}
        and _LOCAL.fullmatch(local) is not None
        and len(parts) >= 2
        and all(_PART.fullmatch(part) for part in parts)
        and _TOP.fullmatch(parts[-1]) is not None
    )
'''
_TESTS = {
    "clamp": """

def test_clamp_inside():
    assert clamp(5, 0, 10) == 5 and clamp(0, 0, 10) == 0 and clamp(10, 0, 10) == 10


def test_clamp_outside():
    assert clamp(-1, 0, 10) == 0 and clamp(11, 0, 10) == 10 and clamp(3, 4, 4) == 4


def test_clamp_error():
    with pytest.raises(ValueError):
        clamp(1, 2, 1)
""",
    "chunks": """

def test_chunks():
    assert chunks([1, 2, 3, 4, 5], 2) == [[1, 2], [3, 4], [5]]
    assert chunks([], 3) == [] and chunks([1], 1) == [[1]]


def test_chunks_error():
    with pytest.raises(ValueError):
        chunks([1], 0)
""",
    "slug": """

def test_slug():
    first = slug("A, b")
    assert first[0] == "a" and first[-1] == "b" and len(first) == 3 and first[1] in "-_+"
    assert len(slug("x" * 100)) == {slug_most}
""",
    "median": """

def test_median():
    assert median([3, 1, 2]) == 2 and median([4, 1, 3, 2]) == 2.5 and median([7]) == 7


def test_median_error():
    with pytest.raises(ValueError):
        median([])
""",
    "roman": """

def test_roman():
    assert roman(1) == "I" and roman(1949) == "MCMXLIX" and roman(38) == "XXXVIII"
    assert roman({roman_most}).startswith("M")


def test_roman_error():
    for number in (0, {roman_most} + 1):
        with pytest.raises(ValueError):
            roman(number)
""",
}
_EXAMPLES = {
    "clamp": ("value, least, most", "ValueError", "clamp(5, 1, 3)", "3"),
    "chunks": ("items, size", "ValueError", "chunks([1, 2, 3], 2)", "[[1, 2], [3]]"),
    "slug": ("text", "", "slug('A')", "'a'"),
    "median": ("values", "ValueError", "median([3, 1, 2])", "2"),
    "roman": ("number", "ValueError", "roman(4)", "'IV'"),
}


def email(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return a validator that heeds the rules."""
    plus = "+" if facts["a + before the @"] == "allowed" else ""
    most, top = (facts[key].split()[0] for key in ("longest part before the @", "shortest last part of the domain"))
    name = facts["function"].split("(")[0]
    return {facts["module"]: _EMAIL.format(name=name, most=most, top=top, plus=plus)}


def utility_tests(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return tests of each function."""
    source, module = files[facts["module"]], facts["module"].removesuffix(".py")
    names = sorted(facts["functions"].split(", "))
    limits = {
        "slug_most": _first(r"at most (\d+) long", source),
        "roman_most": _first(r"from 1 to (\d+)", source),
    }
    parts = "".join(_TESTS[name].format(**limits) if "{" in _TESTS[name] else _TESTS[name] for name in names)
    needs = "import pytest\n\n" if "pytest." in parts else ""
    return {facts["tests"]: f'"""Tests."""\n\n{needs}from {module} import {", ".join(names)}\n{parts}'}


def docs(facts: Mapping[str, str], files: Mapping[str, str]) -> dict[str, str]:
    """Return the description of each function."""
    module, text = facts["module"].removesuffix(".py"), ""
    for name in facts["functions"].split(", "):
        parameters, errors, call, result = _EXAMPLES[name]
        text += f"## {name}\n\nWhat it does.\n\n"
        text += "".join(f"- `{one}`: what it is\n" for one in parameters.split(", "))
        text += "".join(f"- raises `{one}`: when it cannot be\n" for one in errors.split(", ") if one)
        text += f"\n```python\n>>> from {module} import {name}\n>>> {call}\n{result}\n```\n\n"
    return {facts["file"]: text}


def _first(pattern: str, text: str) -> str:
    found = re.search(pattern, text)
    return "" if found is None else found[1]
