"""Coding agents work in real sandboxes: what each parameter does, what is judged, and what does not get out or in."""

import json
import sys
import textwrap
from pathlib import Path

import pytest

from overnight.learning.agents import REVIEW, execute
from overnight.learning.desk import AgentCommand, Desk
from overnight.learning.executed import CannotExecute
from overnight.learning.exercises import Exercise
from overnight.learning.parameters import AgentParameters
from overnight.learning.running import run_exercise
from overnight.learning.scoring import WEIGHTS
from overnight.processes.probe import sandbox_level
from overnight.testing.clock import FakeClock

pytestmark = pytest.mark.skipif(
    sandbox_level({"PATH": "/usr/bin:/bin"}) != "namespaces", reason="this kernel allows no namespaces"
)
GOOD = "def double(x):\n    return 2 * x\n"
HEAD = """import os, pathlib, sys
prompt = sys.argv[1]
write = lambda name, text: pathlib.Path(name).write_text(text)
"""
HIDDEN = "from double import double\nfor x in range(5):\n    assert double(x) == x + x\nprint('5 right')\n"
FILE = {
    "type": "code_double",
    "task": "Double a number.",
    "work": {
        "kind": "workspace",
        "stages": [{"role": "author", "prompt": "Write double(x) in double.py."}],
        "answer": ["double.py"],
        "files": {"example.py": "from double import double\nassert double(1) == 2\n"},
        "hidden": {"hidden.py": HIDDEN},
        "verify": [
            {"name": "example", "command": ["{python}", "example.py"]},
            {"name": "short", "command": ["{python}", "-c", "assert len(open('double.py').read()) < 200"]},
        ],
    },
    "expectedChecks": [
        {
            "name": "right",
            "command": ["{python}", "hidden.py"],
            "pattern": r"^(?P<value>\d+) right$",
            "bound": 5,
            "at_least": True,
        },
        {"name": "parses", "command": ["{python}", "-m", "py_compile", "double.py"]},
        {"name": "within_time", "metric": "time_s", "bound": 60, "at_least": False},
    ],
}
EXERCISE = Exercise.from_dict(FILE)


@pytest.fixture
def agent(tmp_path):
    """Return a function that makes an agent of a program, which finds its prompt in `prompt` and may call `write`."""
    folder = tmp_path / "agents"
    folder.mkdir()

    def made(program, **further):
        path = folder / "agent.py"
        path.write_text(f"{HEAD}GOOD = {GOOD!r}\n{textwrap.dedent(program)}")
        given = {"environment": {}, "visible": (str(folder),), "timeout_s": 20.0, **further}
        return AgentCommand(argv=(sys.executable, str(path), "{prompt}"), **given)

    return made


def run(agent, exercise=EXERCISE, seed=0, **parameters):
    return execute(exercise, [AgentParameters(**parameters)], agent, seed=seed)


def passed(found):
    return {name for name, one in found.checks.items() if one.passed}


def test_an_answer_that_is_right_passes_all_and_what_was_measured_is_recorded(agent):
    found = run(agent("write('double.py', GOOD); print('cost: 0.25')", cost=r"cost: (?P<usd>[\d.]+)"))
    assert passed(found) == {"right", "parses", "within_time"}
    assert found.checks["right"].value == 5
    assert found.facts["attempts"] == 1 and found.facts["missing"] == []
    assert 0 < found.time_s == found.facts["calls"][0]["time_s"] and 1 < found.memory_mb < 500
    assert found.cost_usd == 0.25
    assert found.answers == ("right: True", "parses: True", "within_time: True")
    assert json.loads(json.dumps(found.to_dict()))["checks"]["right"]["passed"] is True


def test_an_agent_that_exits_0_and_does_nothing_passes_no_check_of_its_answer(agent):
    found = run(agent("pass"))
    assert passed(found) == {"within_time"}
    assert found.checks["right"].detail == "double.py is missing" and found.facts["attempts"] == 2
    assert found.cost_usd is None


def test_a_wrong_answer_fails_the_hidden_check_and_a_program_that_ends_early_has_told_no_figure(agent):
    assert passed(run(agent("write('double.py', 'def double(x):\\n    return x + 1\\n')"))) == {"parses", "within_time"}
    early = run(agent("write('double.py', 'import os; os._exit(0)')"))
    assert passed(early) == {"parses", "within_time"}
    assert early.checks["right"].detail == "it has printed no figure"


def test_what_an_agent_puts_beside_its_answer_is_not_there_when_it_is_judged(agent):
    cheat = """
    write("double.py", "x = 1")
    for name in ("sitecustomize.py", "hidden.py"):
        write(name, "print('5 right')")
    """
    assert passed(run(agent(cheat))) == {"parses", "within_time"}


@pytest.mark.parametrize(
    "escape",
    [
        "os.symlink('/etc/passwd', 'double.py')",
        "os.mkdir('d'); os.symlink('/', 'double.py')",
        "os.mkfifo('double.py')",
        "os.mkdir('double.py')",
        "write('double.py', 'x' * 1_000_001)",
        "pathlib.Path('double.py').write_bytes(b'\\xff\\xfe')",
    ],
)
def test_what_is_no_file_of_the_workspace_is_no_answer(agent, escape):
    found = run(agent(escape), attempts=1)
    assert passed(found) == {"within_time"} and found.checks["right"].detail.startswith("double.py ")


def test_an_agent_cannot_write_outside_nor_read_what_is_hidden_nor_reach_the_network(agent, tmp_path):
    (tmp_path / "secret").write_text("s")
    check = ["{python}", "-c", "assert 'yes' not in open('double.py').read()"]
    exercise = Exercise.from_dict({**FILE, "expectedChecks": [{"name": "all refused", "command": check}]})
    program = f"""
        import socket
        got = []
        for what in (
            lambda: write({str(tmp_path / "out")!r}, "x"),
            lambda: write({str(Path(__file__).parent / "out")!r}, "x"),
            lambda: open({str(tmp_path / "secret")!r}).read(),
            lambda: socket.create_connection(("127.0.0.1", 1), 1),
        ):
            try:
                what(); got.append("yes")
            except OSError as error:
                got.append(type(error).__name__)
        write("double.py", f"{{got}}")
        """
    assert passed(run(agent(program), exercise, attempts=1)) == {"all refused"}
    assert not (tmp_path / "out").exists() and not (Path(__file__).parent / "out").exists()
    assert passed(run(agent("write('double.py', 'yes')"), exercise, attempts=1)) == set(), "the check can fail"


def test_an_agent_gets_the_environment_that_is_named_and_no_other(agent, monkeypatch):
    monkeypatch.setenv("SECRET_OF_MINE", "s")
    program = "write('double.py', f'env = {sorted(os.environ)!r}\\n' + GOOD)"
    exercise = Exercise.from_dict(
        {
            **FILE,
            "expectedChecks": [
                {
                    "name": "environment",
                    "command": [
                        "{python}",
                        "-c",
                        "import double, os; assert 'KEY' in double.env and 'SECRET_OF_MINE' not in double.env; "
                        "assert 'KEY' not in os.environ",
                    ],
                }
            ],
        }
    )
    found = run(agent(program, environment={"KEY": "k"}), exercise)
    assert passed(found) == {"environment"}


def test_an_agent_that_hangs_is_ended_and_so_is_a_check_that_hangs(agent):
    hanging = run(agent("import time; write('double.py', GOOD); time.sleep(60)", timeout_s=1.0), attempts=1)
    assert hanging.facts["calls"][0]["exit"] is None and passed(hanging) >= {"right"}
    check = {"name": "hangs", "command": ["{python}", "-c", "import time; time.sleep(60)"], "timeout_s": 0.5}
    exercise = Exercise.from_dict({**FILE, "expectedChecks": [check]})
    found = run(agent("write('double.py', GOOD)"), exercise)
    assert passed(found) == set() and found.checks["hangs"].detail == "it took longer than 0.5 s"


# -- each parameter changes a recorded fact


def test_model_and_temperature_are_handed_over_and_recorded(agent):
    program = "write('double.py', f'{os.environ[\"OVERNIGHT_MODEL\"]} {os.environ[\"OVERNIGHT_TEMPERATURE\"]}')"
    check = {"name": "told", "command": ["{python}", "-c", "assert open('double.py').read() == 'large 0.7'"]}
    exercise = Exercise.from_dict({**FILE, "expectedChecks": [check]})
    found = run(agent(program), exercise, model="large", temperature=0.7, verification_depth=0)
    assert passed(found) == {"told"}
    assert (found.facts["calls"][0]["model"], found.facts["calls"][0]["temperature"]) == ("large", 0.7)


LEARNS = """
if "does not succeed" in prompt or "did not succeed" in prompt:
    assert "AssertionError" in prompt, prompt
    write("double.py", GOOD)
else:
    write("double.py", "def double(x):\\n    return x + 5\\n")
"""


def test_attempts_and_depth_say_how_often_it_is_asked_and_what_it_is_told(agent):
    once = run(agent(LEARNS), attempts=1, verification_depth=2)
    assert once.facts["attempts"] == 1 and "right" not in passed(once)
    twice = run(agent(LEARNS), attempts=3, verification_depth=2)
    assert twice.facts["attempts"] == 2 and "right" in passed(twice)
    assert len(twice.facts["calls"]) == 2 and twice.time_s > max(call["time_s"] for call in twice.facts["calls"])
    blind = run(agent(LEARNS), attempts=3, verification_depth=0)
    assert blind.facts["attempts"] == 1 and "right" not in passed(blind), "nobody has looked"
    counted = [run(agent("write('double.py', GOOD)"), verification_depth=d).facts["verifications"] for d in range(4)]
    assert counted == sorted(set(counted)), "deeper is more"


def test_a_command_that_fails_is_asked_again_and_its_answer_counts_all_the_same(agent):
    found = run(agent("write('double.py', GOOD); sys.exit(3)"), attempts=2)
    assert [call["exit"] for call in found.facts["calls"]] == [{"code": 3}, {"code": 3}] and "right" in passed(found)


def test_a_review_asks_once_more(agent):
    program = f"write('double.py', GOOD if {REVIEW!r} in prompt else 'x = 1')"
    with_review = run(agent(program), attempts=1, self_review=True)
    assert with_review.facts["reviews"] == 1 and "right" in passed(with_review)
    without = run(agent(program), attempts=1)
    assert without.facts["reviews"] == 0 and "right" not in passed(without)


def test_stages_take_turns_in_one_workspace(agent):
    stages = [{"role": "designer", "prompt": "Design."}, {"role": "author", "prompt": "Write."}]
    exercise = Exercise.from_dict({**FILE, "work": {**FILE["work"], "stages": stages}})
    program = """
    if prompt.startswith("Design."):
        write("plan", GOOD)
    else:
        write("double.py", pathlib.Path("plan").read_text())
    """
    found = run(agent(program), exercise, attempts=1)
    assert [call["role"] for call in found.facts["calls"]] == ["designer", "author"] and "right" in passed(found)


def test_of_an_ensemble_the_answer_that_passes_most_open_checks_counts(agent):
    program = "write('double.py', GOOD if os.environ['OVERNIGHT_MODEL'] == 'good' else 'x = 1')"
    ways = [AgentParameters(model=model, attempts=1) for model in ("bad", "good", "good")]
    found = execute(EXERCISE, ways, agent(program))
    assert found.facts["chosen"] == 1 and "right" in passed(found)
    assert [one["open_checks_passed"] for one in found.facts["ways"]] == [2, 3, 3]
    assert found.time_s == pytest.approx(sum(one["calls"][0]["time_s"] for one in found.facts["ways"]))


# -- what cannot be


def test_an_agent_that_cannot_be_started_says_nothing_of_its_strategy(agent):
    missing = AgentCommand(argv=("no_such_agent", "{prompt}"), environment={})
    with pytest.raises(CannotExecute, match=r"'no_such_agent' could not be started: .*no program"):
        run(missing)


def settings_of(command):
    return {
        "command": list(command.argv),
        "environment": [],
        "visible": list(command.visible),
        "network": False,
        "timeout_s": 20.0,
        "cost_pattern": None,
    }


STRATEGY = {"name": "s", "members": [], "ways": [{"training": {}, "agent": {"attempts": 1}}]}


@pytest.mark.parametrize(
    ("program", "missing"),
    [
        ("pass", "double.py is missing"),
        ("write('double.py', ' ')", "double.py is empty"),
        ("write('example.py', GOOD)", "example.py is as it was given"),
    ],
)
def test_who_does_nothing_is_neither_quick_nor_reliable_and_passes_no_check(agent, program, missing):
    work = {**FILE["work"], "answer": [missing.split()[0]], "files": {"example.py": GOOD}}
    checks = [*FILE["expectedChecks"][2:], {"name": "ends", "command": ["{python}", "-c", "pass"]}]
    told = {**FILE, "work": work, "expectedChecks": checks}
    given = {"strategy": STRATEGY, "seed": 7, "repeats": 2, "weights": WEIGHTS}
    found = run_exercise(_Context(), exercise=told, **given, agent=settings_of(agent(program)))
    assert (found["score"], found["success_rate"], found["time_s"]) == (0, 0, 60)
    assert found["parts"] == {"success": 0, "speed": 0, "reliability": 0}
    for one in found["repeats"]:
        assert one["answers"] == [] and one["checks"]["ends"]["detail"] == missing
        assert one["checks"]["within_time"]["detail"] == "there is no answer that passes a check of it"


def test_of_two_repeats_one_that_passes_no_check_of_its_answer_has_taken_the_whole_limit(agent):
    command = agent("write('double.py', GOOD if os.environ['OVERNIGHT_SEED'] != '8' else '(')")
    given = {"strategy": STRATEGY, "seed": 7, "repeats": 2, "weights": WEIGHTS}
    found = run_exercise(_Context(), exercise=FILE, **given, agent=settings_of(command))
    assert found["success_rate"] == 0.5 and found["parts"]["reliability"] == 0
    assert 40 < found["parts"]["speed"] < 50 and 30 < found["time_s"] < 36


def test_a_run_counts_repeats_that_agree_and_has_no_score_for_an_agent_that_is_not_there(agent):
    settings = settings_of(agent("write('double.py', GOOD if os.environ['OVERNIGHT_SEED'] != '8' else 'x = 1')"))
    told = {"exercise": EXERCISE.to_dict(), "strategy": STRATEGY, "seed": 7, "repeats": 2, "weights": WEIGHTS}
    found = run_exercise(_Context(), **told, agent=settings)
    assert found["success_rate"] == pytest.approx((1 + 2 / 3) / 2)
    assert found["parts"]["speed"] > 90
    assert found["parts"]["reliability"] == pytest.approx(100 * 2 / 3) and found["cost_usd"] is None
    with pytest.raises(CannotExecute):
        run_exercise(_Context(), **told, agent={**settings, "command": ["no_such_agent", "{prompt}"]})


def test_answers_that_were_kept_are_judged_where_there_is_no_agent():
    strategy = {"name": "s", "members": [], "ways": [{"training": {}, "agent": {}}]}
    told = {"exercise": EXERCISE.to_dict(), "strategy": strategy, "seed": 7, "repeats": 2, "weights": WEIGHTS}
    found = run_exercise(_Context(), **told, agent={"command": []}, answers=[{"double.py": GOOD}, {}])
    assert [len(one["checks"]) for one in found["repeats"]] == [2, 2] and found["success_rate"] == 0.5


class _Context:
    def progress(self, done, total=None, **figures):
        """Tell nobody."""


def test_a_desk_keeps_nothing_of_a_path_that_is_a_folder(tmp_path):
    desk = Desk(tmp_path / "desk", FakeClock())
    desk.lay_out({"a/b": "1"}, {"a/b": "2"})
    assert desk.answer("a/b") == ("2", None) and desk.answer("a") == (None, "a is no file")
