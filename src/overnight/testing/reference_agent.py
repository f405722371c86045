"""A reference agent for tests: it knows the answers to the exercises that ship, and measures nothing but the harness.

    python -m overnight.testing.reference_agent [--model strong|weak|idle] PROMPT

It works in the folder that it is called in. "strong" writes right answers; "weak" writes each answer with a fault at
first, and the right one where the prompt says that the last attempt did not succeed, or asks to go through the work
once more; "idle" does nothing and exits with code 0. It is deterministic: what it writes follows from the prompt, the
files and the model. It is no language model, and no figure about it says anything about one.
"""

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from overnight.testing.solutions import hard, medium, small

Solve = Callable[[Mapping[str, str], Mapping[str, str]], dict[str, str]]
KNOWN: Mapping[str, Solve] = {
    "Write a function that tells whether a text is the e-mail": small.email,
    "Write unit tests for the functions": small.utility_tests,
    "Write the documentation": small.docs,
    "Write an HTTP interface": medium.api,
    "Refactor the function": medium.refactor,
    "Make the function": medium.performance,
    "Design a set of services": hard.service,
    "Make a query do less work": hard.query,
    "Write a payment flow": hard.payment,
}
AGAIN = ("The last attempt did not succeed.", "once more as its strictest reviewer")


def main() -> int:
    """Write the answer to the prompt; the exit code is 1 where it is to none of the exercises that are known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("strong", "weak", "idle"), default="strong")
    parser.add_argument("prompt")
    asked = parser.parse_args()
    if asked.model == "idle":
        return 0
    solve = next((one for said, one in KNOWN.items() if said in asked.prompt), None)
    if solve is None:
        sys.stderr.write("this is none of the exercises that the reference agent knows\n")
        return 1
    facts = dict(re.findall(r"^- ([^:\n]+): (.*)$", asked.prompt, re.MULTILINE))
    files = {one.name: one.read_text() for one in Path().iterdir() if one.is_file()}
    found = solve(facts, files)
    if asked.model == "weak" and not any(said in asked.prompt for said in AGAIN):
        found = {name: faulty(text) for name, text in found.items()}
    for name, text in {**found, **_beside(asked.prompt, facts, found)}.items():
        Path(name).write_text(text)
    return 0


def faulty(text: str) -> str:
    """Return a text without its last third, which leaves no program, and no document, whole."""
    lines = text.splitlines(keepends=True)
    return "".join(lines[: 2 * len(lines) // 3])


def _beside(prompt: str, facts: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    """Return what a designer or tester leaves beside the answer."""
    name = (facts.get("function") or facts.get("class") or "").split("(")[0]
    if "write PLAN.md" in prompt:
        return {"PLAN.md": f"{name}: one step after the other.\n"}
    if "Write test_own.py" in prompt:
        module = facts["module"].removesuffix(".py")
        tests = "".join(f"def test_{number}():\n    assert callable({name})\n\n\n" for number in range(3))
        return {"test_own.py": f"from {module} import {name}\n\n\n{tests.rstrip()}\n"}
    return {}


if __name__ == "__main__":
    raise SystemExit(main())
