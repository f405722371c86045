"""Easy tasks: a validator by rules, tests of given functions, the description of an interface. Pure."""

from collections.abc import Sequence

from overnight.learning.checks import ProgramCheck
from overnight.learning.coding.building import RUFF, STYLE, Coding, figure, in_time, python, style, tests, types
from overnight.learning.coding.utilities import UTILITIES, Utility
from overnight.learning.makers import Draw

_NOUNS = ("account", "contact", "sender", "member", "customer", "signup", "invoice", "mailbox")


def email(draw: Draw) -> Coding:
    """Return the task to tell addresses from what is none, by rules that differ from task to task."""
    noun = draw.one("noun", _NOUNS)
    most, top, plus = draw.whole("most", 8, 40), draw.whole("top", 2, 4), draw.whole("plus", 0, 1) == 1
    module, name = f"{noun}_email", f"is_{noun}_email"
    facts = {
        "module": f"{module}.py",
        "function": f"{name}(text: str) -> bool",
        "longest part before the @": f"{most} characters",
        "shortest last part of the domain": f"{top} letters",
        "a + before the @": "allowed" if plus else "not allowed",
    }
    details = (
        "It returns True for text that is one address and False for all other text, and raises nothing. An address has "
        "exactly one @. Before it: letters, digits, '.', '_', '-' (ASCII alone), and '+' where that is allowed; "
        "neither first nor last is a '.', and no two '.' follow each other. After it: at least two parts, separated by "
        "'.', each of letters, digits and '-' (ASCII alone), not empty, with no '-' at either end; the last part has "
        f"letters alone. Nothing else is allowed, blanks and line ends included. {STYLE}"
    )
    cases = _addresses(most, top, plus=plus)
    hidden = (
        f'from {module} import {name}\n\nimport pytest\n\n\n@pytest.mark.parametrize(("text", "right"), {cases!r})\n'
    )
    hidden += f"def test_it(text, right):\n    assert {name}(text) is right\n"
    example = f"from {module} import {name}\n\nassert {name}('ann@example.com')\nassert not {name}('ann')\n"
    return Coding(
        task=f"Write a function that tells whether a text is the e-mail address of a {noun}.",
        facts=facts,
        details=details,
        files={"example.py": example},
        hidden={"hidden_tests.py": hidden},
        answer=(f"{module}.py",),
        verify=(ProgramCheck(name="example", command=python("example.py")), style(f"{module}.py")),
        checks=(tests(len(cases)), style(f"{module}.py"), types(f"{module}.py"), in_time()),
    )


def _addresses(most: int, top: int, *, plus: bool) -> list[tuple[str, bool]]:
    domain = f"example.{'abcd'[:top]}"
    good = [f"ann@{domain}", f"a.b_c-d9@{domain}", f"{'x' * most}@{domain}", f"ann@a-b.c.{'z' * top}", f"A@9.{domain}"]
    bad = [
        "",
        "ann",
        f"@{domain}",
        "ann@",
        f"ann@@{domain}",
        f"ann@b@{domain}",
        f".ann@{domain}",
        f"ann.@{domain}",
        f"a..n@{domain}",
        f"{'x' * (most + 1)}@{domain}",
        f"ann@example.{'abcd'[: top - 1]}",
        "ann@example",
        f"ann@.{domain}",
        f"ann@-a.{domain}",
        f"ann@a-.{domain}",
        f"ann@a..{domain}",
        f"ann@{domain}1",
        f" ann@{domain}",
        f"ann@{domain}\n",
        f"a nn@{domain}",
        f"änn@{domain}",
        f"ann@exämple.{'abcd'[:top]}",
        f"an/n@{domain}",
    ]
    return [*((one, True) for one in good), *((one, False) for one in bad), (f"ann+b@{domain}", plus)]


def utility_tests(draw: Draw) -> Coding:
    """Return the task to test functions that are given: tests are judged by the faults that they notice."""
    chosen = _some_utilities(draw, 3)
    module = f"{draw.one('noun', _NOUNS)}_tools"
    source = "\n\n".join(one.source for one in chosen)
    mutants = [source.replace(old, new, 1) for one in chosen for old, new in one.faults]
    least = len(mutants) - 1
    hidden = {"judge.py": _JUDGE.format(module=module, mutants=mutants), "right.py": source}
    path = f"test_{module}.py"
    facts = {
        "module": f"{module}.py",
        "functions": ", ".join(one.name for one in chosen),
        "tests": path,
        "lines and branches run": "100 %",
        "faults noticed": f"{least} of {len(mutants)} that are planted, one at a time",
    }
    details = (
        "Write tests for pytest of what the docstrings say, limits and errors included. They pass with the module as "
        "it is, and do not change it. "
        f"{RUFF}"
    )
    return Coding(
        task=f"Write unit tests for the functions of {module}.py.",
        facts=facts,
        details=details,
        files={f"{module}.py": source},
        hidden=hidden,
        answer=(path,),
        verify=(ProgramCheck(name="they pass", command=python("-m", "pytest", "-q", path)), style(path)),
        checks=(
            ProgramCheck(name="they pass", command=python("-m", "pytest", "-q", "-p", "no:cacheprovider", path)),
            figure("faults noticed", "judge.py", "noticed", least),
            _coverage(module, path),
            style(path),
            in_time(),
        ),
    )


def _coverage(module: str, path: str) -> ProgramCheck:
    run = f"coverage.Coverage(branch=True, include=['{module}.py'], data_file=None)"
    program = (
        f"import coverage, pytest; c = {run}; c.start(); "
        f"pytest.main(['-q', '-p', 'no:cacheprovider', '{path}']); c.stop(); print('share:', c.report())"
    )
    return ProgramCheck(
        name="coverage", command=python("-c", program), pattern=r"^share: (?P<value>[0-9.]+)$", bound=100, at_least=True
    )


_JUDGE = """import os
import pathlib
import signal
import sys

import pytest

MODULE, MUTANTS = pathlib.Path("{module}.py"), {mutants!r}


def passes():
    # In a process of its own: what tests do to it is gone afterwards.
    child = os.fork()
    if child == 0:
        signal.alarm(10)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", "test_{module}.py"]))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


MODULE.write_text(pathlib.Path("right.py").read_text())
if not passes():
    sys.exit("the tests do not pass with the module as it is")
noticed = 0
for mutant in MUTANTS:
    MODULE.write_text(mutant)
    noticed += not passes()
print(f"noticed: {{noticed}}")
"""


def docs(draw: Draw) -> Coding:
    """Return the task to describe an interface: what is said is held against the code, and the examples are run."""
    chosen = _some_utilities(draw, 4)
    module = f"{draw.one('noun', _NOUNS)}_api"
    source = "\n\n".join(one.bare for one in chosen)
    claims = [(one.name, list(one.parameters), list(one.errors)) for one in chosen]
    count = sum(2 + len(parameters) + len(errors) for _, parameters, errors in claims)
    facts = {"module": f"{module}.py", "functions": ", ".join(one.name for one in chosen), "file": "API.md"}
    details = (
        "Describe the interface in Markdown. Each function has a heading '## NAME'; below it, a line '- `PARAMETER`: "
        "...' for each parameter, a line '- raises `ERROR`: ...' for each kind of error that it raises, and a block of "
        "code between lines of ``` with an example in the form of an interactive session ('>>> ' and what it shows), "
        f"which begins with the import of the function from {module} and shows what really comes out."
    )
    return Coding(
        task=f"Write the documentation of {module}.py for those who use it.",
        facts=facts,
        details=details,
        files={f"{module}.py": source},
        hidden={"judge.py": _DOCS.format(claims=claims)},
        answer=("API.md",),
        verify=(ProgramCheck(name="headings", command=("grep", "-q", f"^## {chosen[0].name}$", "API.md")),),
        checks=(figure("described", "judge.py", "described", count), in_time()),
    )


_DOCS = """import doctest
import pathlib
import re

CLAIMS = {claims!r}
text = pathlib.Path("API.md").read_text()
parts = dict(re.findall(r"^## `?(\\w+)`?[^\\n]*\\n(.*?)(?=^## |\\Z)", text, re.M | re.S))
described = 0
for name, parameters, errors in CLAIMS:
    part = parts.get(name)
    if part is None:
        print("missing:", name)
        continue
    described += 1
    wanted = [rf"^- `{{one}}`: \\S" for one in parameters] + [rf"^- raises `{{one}}`: \\S" for one in errors]
    described += sum(bool(re.search(one, part, re.M)) for one in wanted)
    blocks = re.findall(r"^```\\w*\\n(.*?)^```", part, re.M | re.S)
    tests = [doctest.DocTestParser().get_doctest(one, {{}}, name, None, 0) for one in blocks]
    run = [doctest.DocTestRunner(verbose=False).run(one) for one in tests if one.examples]
    calls = any(name in example.source for one in tests for example in one.examples if "import" not in example.source)
    described += bool(run) and calls and not any(one.failed for one in run)
print(f"described: {{described}}")
"""


def _some_utilities(draw: Draw, count: int) -> Sequence[Utility]:
    names = draw.some("utilities", list(UTILITIES), count)
    return [UTILITIES[name](draw) for name in names]
