"""Medium tasks on code that is there: make it simpler, and make it faster, with the same results. Pure."""

from overnight.learning.checks import ProgramCheck
from overnight.learning.coding.building import Coding, figure, in_time, python, style, tests
from overnight.learning.makers import Draw

_KINDS = ("letter", "parcel", "pallet", "envelope", "crate", "tube")
FASTER = 20
SIMPLER = 4
LONGEST = 15


def refactor(draw: Draw) -> Coding:
    """Return the task to take a function apart that repeats itself; what it returns stays the same."""
    kinds = draw.some("kinds", _KINDS, 4)
    rates = {kind: (draw.whole(f"{kind} base", 2, 9), draw.whole(f"{kind} kilo", 1, 5)) for kind in kinds}
    limit, share = draw.whole("limit", 10, 40), draw.whole("share", 5, 25)
    source = _price(rates, limit, share)
    hidden = "import right\nfrom shipping import price\n\nimport pytest\n\n\n" + _PRICE_TESTS.format(
        kinds=kinds, limit=limit
    )
    facts = {
        "module": "shipping.py",
        "function": "price(kind, weight, express, member)",
        "lines of a function": f"{LONGEST} at the most, its first line included",
        "branches of a function": f"{SIMPLER} at the most (if, elif, for, while, and the like)",
    }
    details = (
        "Take it apart into smaller functions or a table, so that nothing is repeated. Results and errors stay the "
        "same for all that one may give it. The style is checked by ruff (rules E, F, B, I and N; lines of at most 100 "
        "characters)."
    )
    return Coding(
        task="Refactor the function price in shipping.py, which has grown by copying.",
        facts=facts,
        details=details,
        files={
            "shipping.py": source,
            "example.py": f"import shipping\n\nassert shipping.price({kinds[0]!r}, 1, False, False) > 0\n",
        },
        hidden={
            "right.py": source,
            "hidden_tests.py": hidden,
            "judge.py": _SIMPLE.format(lines=LONGEST, branches=SIMPLER),
        },
        answer=("shipping.py",),
        verify=(ProgramCheck(name="example", command=python("example.py")), style("shipping.py")),
        checks=(tests(4), figure("simple", "judge.py", "simple", 1), style("shipping.py"), in_time()),
    )


def _price(rates: dict[str, tuple[int, int]], limit: int, share: int) -> str:
    lines = ["def price(kind, weight, express, member):"]
    for place, (kind, (base, kilo)) in enumerate(rates.items()):
        lines += [
            f"    {'if' if place == 0 else 'elif'} kind == {kind!r}:",
            "        if weight <= 0:",
            '            raise ValueError("weight")',
            f"        if weight > {limit}:",
            '            raise ValueError("too heavy")',
            f"        total = {base} + {kilo} * weight",
            "        if express:",
            "            total = total * 2",
            "        if member:",
            f"            total = total - total * {share} / 100",
            "        return round(total, 2)",
        ]
    return "\n".join([*lines, "    else:", "        raise KeyError(kind)", ""])


_PRICE_TESTS = """def outcome(function, *given):
    try:
        return function(*given)
    except Exception as error:
        return type(error), error.args


@pytest.mark.parametrize("kind", {kinds!r})
def _same(kind):
    weights = (-1, 0, 0.5, 1, 3, {limit}, {limit} + 0.1, {limit} + 9)
    for weight in weights:
        for express in (False, True):
            for member in (False, True):
                given = (kind, weight, express, member)
                assert outcome(price, *given) == outcome(right.price, *given), given


def test_first():
    _same({kinds!r}[0])


def test_second_and_third():
    _same({kinds!r}[1])
    _same({kinds!r}[2])


def test_last():
    _same({kinds!r}[3])


def test_unknown():
    for kind in ("", "none", None, 3):
        _same(kind)
""".replace('@pytest.mark.parametrize("kind", {kinds!r})\n', "")

_SIMPLE = """import ast
import pathlib

tree = ast.parse(pathlib.Path("shipping.py").read_text())
branching = (ast.If, ast.For, ast.While, ast.IfExp, ast.BoolOp, ast.Try, ast.comprehension, ast.Match)
functions = [one for one in ast.walk(tree) if isinstance(one, (ast.FunctionDef, ast.Lambda))]
lines = max(one.end_lineno - one.lineno + 1 for one in functions)
branches = max(sum(isinstance(part, branching) for part in ast.walk(one)) for one in functions)
print("lines:", lines, "branches:", branches)
print("simple:", int(lines <= {lines} and branches <= {branches}))
"""


def performance(draw: Draw) -> Coding:
    """Return the task to make a function faster that compares each item with each other one."""
    window = draw.whole("window", 5, 50)
    name = draw.one("name", ("busiest", "densest", "fullest", "peak"))
    source = _SLOW.format(name=name, window=window)
    facts = {
        "module": "events.py",
        "function": f"{name}(times: list[int], window: int = {window}) -> tuple[int, int]",
        "faster": f"{FASTER} times on 4,000 items, measured beside the function as it is",
    }
    details = (
        "It returns what the function as it is returns, for all lists (unsorted, empty, with equal times), and does "
        "not change the list. Only the standard library is there. The style is checked by ruff (rules E, F, B, I and "
        "N; lines of at most 100 characters)."
    )
    return Coding(
        task=f"Make the function {name} in events.py faster.",
        facts=facts,
        details=details,
        files={"events.py": source, "example.py": f"import events\n\nassert events.{name}([1, 2, 9000]) == (1, 2)\n"},
        hidden={
            "slow.py": source,
            "hidden_tests.py": _SAME.format(name=name, window=window),
            "judge.py": _FAST.format(name=name),
        },
        answer=("events.py",),
        verify=(ProgramCheck(name="example", command=python("example.py")), style("events.py")),
        checks=(tests(4), figure("faster", "judge.py", "faster", FASTER), style("events.py"), in_time()),
    )


_SLOW = '''def {name}(times: list[int], window: int = {window}) -> tuple[int, int]:
    """Return the earliest time from which on the most events fall into a window, and how many do.

    An event falls into the window of a time where it is not before it and less than `window` after it.
    """
    best, most = 0, 0
    for start in sorted(set(times)):
        count = 0
        for other in times:
            if start <= other < start + window:
                count += 1
        if count > most:
            best, most = start, count
    return best, most
'''
_SAME = """import random

import slow
from events import {name}


def test_none():
    assert {name}([]) == slow.{name}([])


def test_some_by_chance():
    for seed in range(60):
        draw = random.Random(seed)
        times = [draw.randrange(300) for _ in range(draw.randrange(1, 60))]
        for window in (1, 2, {window}, 1000):
            assert {name}(times, window) == slow.{name}(times, window)


def test_the_list_stays_as_it_is():
    times = [5, 3, 9, 3]
    {name}(times)
    assert times == [5, 3, 9, 3]


def test_negative_and_equal_times():
    for times in ([-5, -5, -4, 100], [7] * 9, [0, {window}], [0, {window} - 1]):
        assert {name}(times) == slow.{name}(times)
"""
_FAST = """import random
import time

import events
import slow

draw = random.Random(1)
times = [draw.randrange(100_000) for _ in range(4000)]


def seconds(function, again):
    best = 1e9
    for _ in range(again):
        began = time.perf_counter()
        found = function(list(times))
        best = min(best, time.perf_counter() - began)
    return best, found


fast_s, ours = seconds(events.{name}, 5)
slow_s, theirs = seconds(slow.{name}, 1)
print("faster:", round(slow_s / fast_s, 1) if ours == theirs else 0.0)
"""
