"""All exercises for coding agents by their types: the same for the same seed, and fresh ones for each other seed.

Exercises of type "fleet" are flows over several agents: a designer, an author and a tester take turns in one workspace,
and what each of them leaves is judged. They are made only where they are asked for.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from importlib.util import find_spec

from overnight.base.errors import MissingExtra
from overnight.learning.checks import ProgramCheck
from overnight.learning.coding import functions, interfaces, rework, systems
from overnight.learning.coding.building import Coding, tests
from overnight.learning.exercises import Complexity, Exercise
from overnight.learning.makers import Draw
from overnight.learning.workspaces import Stage, Workspace

FLEET = "fleet"
TYPES: Mapping[Complexity, Mapping[str, Callable[[Draw], Coding]]] = {
    "easy": {"code_email": functions.email, "code_tests": functions.utility_tests, "code_docs": functions.docs},
    "medium": {
        "code_api": interfaces.api,
        "code_refactor": rework.refactor,
        "code_performance": rework.performance,
    },
    "hard": {"code_service": systems.service, "code_query": systems.query, "code_payment": systems.payment},
}
_FLEETS: Mapping[Complexity, Callable[[Draw], Coding]] = {
    "easy": functions.email,
    "medium": interfaces.api,
    "hard": systems.payment,
}
_TOOLS = ("pytest", "ruff", "mypy", "coverage")
_OWN_TESTS = 3


def make(complexity: Complexity, kind: str, seed: int, number: int) -> Exercise:
    """Return an exercise of a type that the complexity has; it follows from its name.

    Raises:
        MissingExtra: what checks it is not installed.
    """
    for tool in _TOOLS:
        if find_spec(tool) is None:
            raise MissingExtra(f"exercises for coding agents need {tool}: pip install 'overnight[coding]'")
    name = f"{complexity}-{kind}-{seed}-{number}"
    made = _FLEETS[complexity] if kind == FLEET else TYPES[complexity][kind]
    coding = made(Draw(name=name))
    stages = coding.stages
    if kind == FLEET:
        coding, stages = _by_three(coding)
    work = Workspace(
        stages=stages, answer=coding.answer, files=coding.files, hidden=coding.hidden, verify=coding.verify
    )
    return Exercise(
        name=name, type=kind, complexity=complexity, task=coding.task, work=work.to_dict(), checks=coding.checks
    )


def _by_three(coding: Coding) -> tuple[Coding, tuple[Stage, ...]]:
    """Return a task with what three agents are asked for, one after the other."""
    plan, own = "PLAN.md", "test_own.py"
    name = next(value for key, value in coding.facts.items() if key in ("function", "class")).split("(")[0]
    design = f"Read the task below, and write {plan}: how {name} is built, and which cases matter. Write no code yet."
    build = f"Do the task below; {plan} has the plan of your designer."
    test = (
        f"The task below is done. Write {own}: at least {_OWN_TESTS} tests for pytest of what it asks for, which pass. "
        "Mend what you find wrong."
    )
    roles = {"designer": design, "author": build, "tester": test}
    planned = ProgramCheck(name="plan", command=("grep", "-q", name, plan))
    three = replace(
        coding,
        answer=(*coding.answer, plan, own),
        checks=(*coding.checks, planned, tests(_OWN_TESTS, own, "own tests")),
    )
    return three, tuple(Stage(role=role, prompt=f"{said}\n\n{coding.prompt}") for role, said in roles.items())
