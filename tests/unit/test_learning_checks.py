"""Checks by programs, what an agent's workspace may hold, and how an agent's settings are read. Pure."""

import json

import pytest

from overnight.base.argv import filled, names_in
from overnight.base.errors import UserMistake
from overnight.learning import custom
from overnight.learning.checks import Expected, Judged, ProgramCheck, checks_of
from overnight.learning.executed import CannotExecute, judged
from overnight.learning.exercises import Exercise
from overnight.learning.parameters import AgentParameters
from overnight.learning.running import agent_of
from overnight.learning.workspaces import Workspace

TESTS = {
    "name": "tests",
    "command": ["{python}", "-m", "pytest"],
    "pattern": r"^(?P<value>\d+) passed",
    "bound": 4,
    "at_least": True,
}
WORK = {
    "kind": "workspace",
    "stages": [{"role": "author", "prompt": "Write it."}],
    "answer": ["one.py", "pkg/two.py"],
    "files": {"README": "Read me."},
    "hidden": {"test_one.py": "def test(): pass"},
    "verify": [{"name": "runs", "command": ["{python}", "one.py"]}],
}
FILE = {"type": "code", "task": "Write it.", "work": WORK, "expectedChecks": [TESTS]}


def test_without_a_pattern_a_program_passes_by_its_exit_code_alone():
    check = ProgramCheck.from_dict({"name": "lint", "command": ["ruff"]}, "here")
    assert check.judge(0, "3 errors") == Judged(passed=True, score=100.0, value=0.0)
    assert check.judge(1, "") == Judged(passed=False, score=0.0, value=1.0)
    assert check.judge(-9, "") == Judged(passed=False, score=0.0, value=-9.0)


def test_with_a_pattern_the_last_figure_counts_and_a_near_miss_is_worth_more_than_a_far_one():
    check = ProgramCheck.from_dict(TESTS, "here")
    assert check.judge(0, "9 passed\nthen\n4 passed") == Judged(passed=True, score=100.0, value=4.0)
    assert check.judge(1, "3 passed").score == 75.0 and not check.judge(1, "3 passed").passed
    assert check.judge(1, "0 passed").score == 0.0
    below = ProgramCheck.from_dict({**TESTS, "bound": 2, "at_least": False}, "here")
    assert below.judge(0, "2 passed").passed and below.judge(0, "8 passed") == Judged(
        passed=False, score=25.0, value=8.0
    )


@pytest.mark.parametrize("printed", ["", "all passed", "\nx4 passed"])
def test_a_program_that_prints_no_figure_has_not_passed_whatever_its_exit_code(printed):
    found = ProgramCheck.from_dict(TESTS, "here").judge(0, printed)
    assert found == Judged(passed=False, score=0.0, value=None, detail="it has printed no figure")


@pytest.mark.parametrize("told", ["many", "nan", "inf"])
def test_what_is_no_finite_number_is_no_figure(told):
    check = ProgramCheck.from_dict({**TESTS, "pattern": r"(?P<value>\w+) passed"}, "here")
    assert check.judge(0, f"{told} passed").value is None


def test_what_was_not_measured_is_not_passed():
    check = Expected(name="cost", metric="cost_usd", bound=1.0, at_least=False)
    assert judged(check, {"cost_usd": 0.5}).passed
    assert judged(check, {"cost_usd": None}) == Judged(
        passed=False, score=0.0, value=None, detail="cost_usd was not measured"
    )


def test_what_is_expected_is_said_in_words():
    assert Expected(name="t", metric="time_s", bound=3.0, at_least=False).said == "time_s at most 3"
    assert ProgramCheck.from_dict(TESTS, "x").said == "{python} -m pytest, which says at least 4"
    assert ProgramCheck(name="x", command=("ruff", "check")).said == "ruff check"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": []}, r"^c\[0\]\.command: \[\] is not a list of words$"),
        ({"command": "pytest"}, r"^c\[0\]\.command: 'pytest' is not a list of words$"),
        ({"command": ["x", 1]}, r"is not a list of words$"),
        ({"command": [""]}, r"^c\[0\]\.command\[0\]: '' is not a text$"),
        ({"command": ["a\0b"]}, r"^c\[0\]\.command\[0\]: 'a.x00b' cannot be stored; give text without NUL and lone"),
        ({"command": ["a", "b\ud800"]}, r"^c\[0\]\.command\[1\]: 'b.ud800' cannot be stored"),
        ({"command": ["{nosuch}"]}, r"^c\[0\]\.command\[0\]: there is no \{nosuch\}; known are python$"),
        ({"command": ["{pyhton}", "x"]}, r"^c\[0\]\.command\[0\]: there is no \{pyhton\}; did you mean python\?$"),
        ({"pattern": "(?P<value>.)\ud800"}, r"^c\[0\]\.pattern: .* cannot be stored"),
        ({"pattern": 5}, r"^c\[0\]\.pattern: 5 is not a text$"),
        ({"bound": 10**400}, r"^c\[0\]\.bound: 10{99}… is not a number above 0$"),
        ({"timeout_s": 10**400}, r"^c\[0\]\.timeout_s: 10{99}… is not a number above 0$"),
        ({"name": "a\0"}, r"^c\[0\]\.name: 'a.x00' cannot be stored"),
        ({"pattern": "("}, r"^c\[0\]\.pattern: '\(' is no pattern: "),
        ({"pattern": "passed"}, r"^c\[0\]\.pattern: 'passed' names no figure; write one as "),
        ({"bound": "4"}, r"^c\[0\]\.bound: '4' is not a number above 0$"),
        ({"at_least": 1}, r"^c\[0\]\.at_least: 1 is neither true nor false$"),
        ({"timeout_s": 0}, r"^c\[0\]\.timeout_s: 0 is not a number above 0$"),
        ({"name": ""}, r"^c\[0\]\.name: '' is not a text$"),
        ({"metric": "time_s"}, r"^c\[0\]: there is no 'metric'"),
    ],
)
def test_a_program_with_a_mistake_is_refused_in_one_line(change, message):
    with pytest.raises(UserMistake, match=message):
        checks_of([{**TESTS, **change}], "c")


def test_braces_inside_of_a_word_and_empty_words_are_a_programs_own():
    command = ["{python}", "-c", "print(f'{x}')", "", "{}"]
    [check] = checks_of([{**TESTS, "command": command}], "c")
    assert check.command == tuple(command)


def test_a_figure_needs_all_that_judges_it():
    with pytest.raises(UserMistake, match=r"^c\[0\]\.bound: missing; a figure needs pattern, bound, at_least$"):
        checks_of([{key: value for key, value in TESTS.items() if key != "bound"}], "c")


def test_a_workspace_comes_back_from_its_file():
    exercise = Exercise.from_dict(FILE)
    assert Exercise.from_dict(json.loads(json.dumps(exercise.to_dict()))) == exercise
    work = Workspace.from_dict(exercise.work)
    assert Workspace.from_dict(json.loads(json.dumps(work.to_dict()))) == work
    assert exercise.kind == "workspace" and work.answer == ("one.py", "pkg/two.py")


def test_an_exercise_without_a_name_is_called_by_what_it_is():
    one, same = Exercise.from_dict(FILE), Exercise.from_dict(dict(reversed(FILE.items())))
    other = Exercise.from_dict({**FILE, "task": "Write another one."})
    assert one.name == same.name != other.name and one.name.startswith("code-")
    assert one.complexity == "medium"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"work": {**WORK, "kind": "worksapce"}}, r"^work\.kind: there is no 'worksapce'; did you mean workspace\?"),
        (
            {"expectedChecks": [{"name": "a", "metric": "accuracy", "bound": 0.9, "at_least": True}]},
            r"^expectedChecks\[0\]\.metric: accuracy is not measured of a workspace; time_s, memory_mb, cost_usd are$",
        ),
        (
            {"work": {"kind": "training"}},
            r"^expectedChecks\[0\]: a training leaves nothing that a program could look at$",
        ),
    ],
)
def test_an_exercise_of_a_kind_has_the_checks_of_that_kind(change, message):
    with pytest.raises(UserMistake, match=message):
        Exercise.from_dict({**FILE, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"answer": []}, r"^work\.answer: \[\] is not a list of at least 1$"),
        ({"answer": ["../one.py"]}, r"^work\.answer\[0\]: '\.\./one\.py' leads out of the workspace$"),
        ({"answer": ["/etc/passwd"]}, r"leads out of the workspace$"),
        ({"answer": ["a/../../b"]}, r"leads out of the workspace$"),
        ({"answer": ["."]}, r"leads out of the workspace$"),
        ({"answer": [""]}, r"^work\.answer\[0\]: '' is no path$"),
        ({"answer": ["x\x00y"]}, r"^work\.answer\[0\]: 'x.x00y' cannot be stored; give text without NUL and lone"),
        ({"answer": ["\ud800"]}, r"^work\.answer\[0\]: '.ud800' cannot be stored"),
        ({"files": {"x": "\ud800"}}, r"^work\.files: 'x' holds half of a surrogate pair, which is no text$"),
        ({"hidden": {"x": "\ud800"}}, r"^work\.hidden: 'x' holds half of a surrogate pair"),
        ({"verify": 5}, r"^work\.verify: 5 is not a list of checks by programs; \[\] is one without any$"),
        ({"verify": None}, r"^work\.verify: None is not a list of checks by programs"),
        ({"verify": "x"}, r"^work\.verify: 'x' is not a list of checks by programs"),
        ({"answer": ["x" * 201]}, r"is no path$"),
        ({"files": {"../x": ""}}, r"^work\.files: '\.\./x' leads out of the workspace$"),
        ({"files": {"x": 1}}, r"^work\.files: it is no table of paths with the texts of files$"),
        ({"files": []}, r"^work\.files: it is no table"),
        ({"hidden": {"one.py": ""}}, r"^work\.hidden: 'one\.py' is an answer, and would stand in for it$"),
        ({"files": {"pkg": ""}}, r"^work: 'pkg' cannot be a file and the folder of 'pkg/two\.py'$"),
        ({"files": {str(n): "" for n in range(101)}}, r"^work: 104 files; 100 at the most$"),
        ({"files": {"x": "x" * 1_000_001}}, r"^work: files of 1,000,017 characters; 1,000,000 at the most$"),
        ({"stages": [{"role": "author"}]}, r"^work\.stages\[0\]\.prompt: missing$"),
        ({"stages": [{"role": "author", "prompt": " "}]}, r"^work\.stages\[0\]\.prompt: ' ' is not a text$"),
        ({"stages": "Write it."}, r"^work\.stages: 'Write it\.' is not a list of at least 1$"),
        ({"verify": [{"name": "x"}]}, r"^work\.verify\[0\]\.command: missing$"),
        ({"secret": {}}, r"^work: there is no 'secret'"),
    ],
)
def test_a_workspace_with_a_mistake_is_refused_in_one_line(change, message):
    with pytest.raises(UserMistake, match=message) as refused:
        Workspace.from_dict({**WORK, **change})
    assert "\n" not in str(refused.value)


def test_an_agent_is_needed_where_an_exercise_that_counts_is_one_for_it():
    training = {"name": "t", "type": "small_data", "work": {"kind": "training"}}
    coding = {"name": "c", "type": "code", "work": {"kind": "workspace"}}
    custom.check_agent([training, coding], None, ["agent", "{prompt}"])
    custom.check_agent([training, coding], "small_data", [])
    for focus in (None, "code"):
        with pytest.raises(
            UserMistake, match=r"^tasks\[1\]: 'c' is executed by a coding agent, and there is none; set "
        ):
            custom.check_agent([training, coding], focus, [])


# -- the agent

AGENT = {
    "command": ["agent", "{prompt}"],
    "environment": ["KEY"],
    "visible": ["~/agents"],
    "network": True,
    "timeout_s": 5.0,
    "cost_pattern": None,
}


def test_an_agent_gets_the_values_of_the_variables_that_are_named_and_of_no_others():
    agent = agent_of(AGENT, {"KEY": "k", "OTHER": "o"})
    assert agent.environment == {"KEY": "k"} and agent.network and not agent.visible[0].startswith("~")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"command": []},
            r"^learning\.agent\.command: missing; exercises of this type are executed by a coding agent$",
        ),
        ({"command": ["agent"]}, r"^learning\.agent\.command: names no \{prompt\}"),
        ({"command": ["agent", "{prompt}", "{modle}"]}, r"there is no \{modle\}; known are prompt, workspace, model"),
        ({"environment": ["NONE"]}, r"^learning\.agent\.environment: the variable NONE is not set$"),
    ],
)
def test_an_agent_that_cannot_be_called_is_refused_in_one_line(change, message):
    with pytest.raises(CannotExecute, match=message):
        agent_of({**AGENT, **change}, {"KEY": "k"})


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("cost: (", r"^learning\.agent\.cost_pattern: 'cost: \(' is no pattern: "),
        (r"cost: (\d+)", r"^learning\.agent\.cost_pattern: .* names no figure; write one as \(\?P<usd>\[0-9\.\]\+\)$"),
    ],
)
def test_a_pattern_that_finds_no_cost_is_refused_before_anything_is_executed(pattern, message):
    with pytest.raises(UserMistake, match=message):
        agent_of({**AGENT, "cost_pattern": pattern}, {"KEY": "k"})


def test_what_a_template_names_is_put_in_as_one_word_and_the_rest_is_left():
    assert filled(["{a}-{b}", "{c}", "{A}"], {"a": "1 2", "b": "{c}"}) == ["1 2-{c}", "{c}", "{A}"]
    assert list(names_in(["{a}-{b}", "x"])) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": 3}, r"^temperature: 3 is not a number from 0 to 2$"),
        ({"attempts": 0}, r"^attempts: 0 is not a whole number from 1 to 16$"),
        ({"verification_depth": 4}, r"^verification_depth: 4 is not a whole number from 0 to 3$"),
        ({"self_review": 1}, r"^self_review: 1 is neither true nor false$"),
        ({"model": 4}, r"^model: 4 is not a text$"),
    ],
)
def test_parameters_of_agents_have_ranges(given, message):
    with pytest.raises(UserMistake, match=message):
        AgentParameters.from_dict(given)
