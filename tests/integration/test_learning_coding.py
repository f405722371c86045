"""The exercises for coding agents: right answers pass all that is checked, and no other answer does."""

import json
import re
import sys
from functools import partial

import pytest

from overnight.base.errors import MissingExtra
from overnight.learning import agents
from overnight.learning.coding import families
from overnight.learning.coding.families import FLEET, TYPES, make
from overnight.learning.desk import AgentCommand
from overnight.learning.exercises import Exercise
from overnight.learning.parameters import AgentParameters
from overnight.learning.workspaces import Workspace
from overnight.processes.probe import sandbox_level
from overnight.testing import reference_agent

ALL = [(complexity, kind) for complexity, kinds in TYPES.items() for kind in kinds]
needs_sandbox = pytest.mark.skipif(
    sandbox_level({"PATH": "/usr/bin:/bin"}) != "namespaces", reason="this kernel allows no namespaces"
)


def run(exercise, model="strong", **parameters):
    words = (sys.executable, "-m", "overnight.testing.reference_agent", "--model", "{model}", "{prompt}")
    agent = AgentCommand(argv=words, environment={"PYTHONPATH": reference_agent_root()}, timeout_s=60.0)
    way = AgentParameters(model=model, **{"attempts": 1, "verification_depth": 0, **parameters})
    return agents.execute(exercise, [way], agent)


def reference_agent_root():
    return str(reference_agent.__file__).split("/overnight/testing/")[0]


def failed(found):
    return {name for name, one in found.checks.items() if not one.passed}


@needs_sandbox
@pytest.mark.parametrize(("complexity", "kind"), ALL)
def test_a_right_answer_passes_each_check_and_one_that_breaks_off_does_not(complexity, kind):
    exercise = make(complexity, kind, 7, 0)
    found = run(exercise)
    assert not failed(found), {name: found.checks[name] for name in failed(found)}
    assert failed(run(exercise, "weak")) - {"style", "types"}


@needs_sandbox
def test_an_agent_that_does_nothing_passes_nothing_but_the_time():
    for complexity, kind in ALL[::4]:
        found = run(make(complexity, kind, 1, 0), "idle")
        given = Workspace.from_dict(make(complexity, kind, 1, 0).work)
        left = set(found.checks) - failed(found)
        assert left == {"within_time"} or set(given.answer) <= set(given.files), "it had nothing to begin with"


@needs_sandbox
@pytest.mark.parametrize("kind", ["code_refactor", "code_performance"])
def test_code_that_is_left_as_it_is_is_not_enough(kind):
    assert failed(run(make("medium", kind, 1, 0), "idle")) & {"simple", "faster"}


@needs_sandbox
def test_a_second_attempt_after_a_look_and_a_review_mend_what_was_wrong():
    exercise = make("easy", "code_email", 3, 0)
    assert failed(run(exercise, "weak", attempts=2, verification_depth=0))
    assert not failed(run(exercise, "weak", attempts=2, verification_depth=2))
    assert not failed(run(exercise, "weak", self_review=True))


@needs_sandbox
def test_a_fleet_of_three_agents_takes_turns():
    found = run(make("easy", FLEET, 1, 0))
    assert not failed(found), found.checks
    assert [call["role"] for call in found.facts["calls"]] == ["designer", "author", "tester"]
    assert {"plan", "own tests"} <= set(found.checks)


def faulty(exercise, change):
    """Return what fails where the answer of the reference agent is changed."""
    work = Workspace.from_dict(exercise.work)
    prompt = work.stages[0].prompt
    facts = dict(re.findall(r"^- ([^:\n]+): (.*)$", prompt, re.MULTILINE))
    solve = next(one for said, one in reference_agent.KNOWN.items() if said in prompt)
    right = solve(facts, work.files)
    changed = {name: change(text) for name, text in right.items()}
    assert changed != right, "the change has changed nothing"
    program = f"import pathlib\nfor name, text in {changed!r}.items():\n    pathlib.Path(name).write_text(text)\n"
    agent = AgentCommand(argv=(sys.executable, "-c", program, "{prompt}"), environment={}, timeout_s=60.0)
    return failed(agents.execute(exercise, [AgentParameters(attempts=1, verification_depth=0)], agent))


def instead(old, new, text):
    return text.replace(old, new, 1)


@needs_sandbox
@pytest.mark.parametrize(
    ("complexity", "kind", "old", "new", "noticed"),
    [
        ("easy", "code_email", "fullmatch", "match", "tests"),
        ("easy", "code_email", "(text: str)", "(text)", "types"),
        ("easy", "code_email", "import re\n", "import re\nimport os\n", "style"),
        ("easy", "code_tests", "assert ", "assert True or ", "faults noticed"),
        ("easy", "code_docs", "- `", "- ", "described"),
        ("easy", "code_docs", "\n```\n", "\n1\n```\n", "described"),
        ("medium", "code_api", '!= "Bearer" or', '== "" or', "tests"),
        ("medium", "code_api", "hmac.compare_digest(digest, one)", "digest == one", "constant time"),
        ("medium", "code_refactor", "weight <= 0", "weight < 0", "tests"),
        ("medium", "code_performance", "< start + window", "<= start + window", "tests"),
        ("hard", "code_service", '"replicas": ', '"replicas": 1', "rules kept"),
        ("hard", "code_query", "o.region = 'north'\n  AND ", "", "same rows"),
        ("hard", "code_query", "CREATE INDEX thing_owner", "-- CREATE INDEX thing_owner", "less work"),
        ("hard", "code_payment", "if before != call:", "if False:", "tests"),
        ("hard", "code_payment", "or isinstance(cents, bool) ", "", "tests"),
    ],
)
def test_a_planted_fault_is_noticed(complexity, kind, old, new, noticed):
    assert noticed in faulty(make(complexity, kind, 5, 0), partial(instead, old, new))


def test_the_same_seed_makes_the_same_exercise_and_another_one_another():
    for complexity, kind in [*ALL, ("easy", FLEET), ("hard", FLEET)]:
        one = make(complexity, kind, 1, 0)
        assert make(complexity, kind, 1, 0) == one
        assert Exercise.from_dict(json.loads(json.dumps(one.to_dict()))) == one
        assert len({json.dumps(make(complexity, kind, seed, 0).work) for seed in range(12)}) >= 10, kind


def test_prompts_name_what_is_judged():
    for complexity, kind in ALL:
        exercise = make(complexity, kind, 2, 0)
        work = Workspace.from_dict(exercise.work)
        prompt = work.stages[0].prompt
        assert all(name in prompt for name in work.answer)
        assert not [one for one in exercise.checks if one.name in ("style", "types") and "ruff" not in prompt]


def test_without_what_checks_them_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(families, "_TOOLS", ("no_such_tool",))
    with pytest.raises(MissingExtra, match=r"need no_such_tool: pip install 'overnight\[coding\]'"):
        make("easy", "code_email", 1, 0)
