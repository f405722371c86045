"""How much is executed within a budget of time, and which exercises of one's own are for what."""

import json
from dataclasses import asdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import UserMistake
from overnight.base.instants import to_datetime
from overnight.base.learning_settings import AgentCommandSettings
from overnight.engine.flow import Ended
from overnight.engine.model import State
from overnight.flows.learning.flow import learn
from overnight.learning import custom
from overnight.learning.budget import Budget
from overnight.learning.generation import generate

NONE, HOUR = Budget(total_s=None), Budget(total_s=3600.0)


def test_without_a_budget_all_is_executed_and_compared_once():
    assert NONE.learns_again(used_s=1e9, last_s=1e9)
    assert NONE.fitting(60, used_s=1e9, each_s=100.0) == 60
    assert not NONE.looks_again(used_s=0.0)
    assert NONE.alpha_of(1, 0.05) == 0.05


def test_learning_takes_half_of_a_budget_at_the_most():
    assert HOUR.learns_again(used_s=900, last_s=900)
    assert not HOUR.learns_again(used_s=901, last_s=900)


def test_as_many_exercises_are_compared_as_fit_into_what_is_left():
    assert HOUR.fitting(60, used_s=1800, each_s=60) == 30
    assert HOUR.fitting(60, used_s=1800, each_s=1) == 60
    assert HOUR.fitting(60, used_s=4000, each_s=60) == 0
    assert HOUR.fitting(60, used_s=1800, each_s=0) == 60, "nothing was executed by which one could tell"


class Played:
    """A flow whose runs take a second each, in turn, and whose candidate is never told from the default."""

    run_id = 1

    def __init__(self, budget_s):
        self.seconds, self.steps, self.asked = 0.0, [], 0
        # What a session goes by where it matters here.
        strategies = {name: {"name": name, "members": [], "ways": []} for name in "ab"}
        agent = asdict(AgentCommandSettings())
        told = {"session_id": 1, "repeats": 2, "weights": {}, "agent": agent, "strategies": strategies, "default": "b"}
        self.begun = {
            **told,
            "changes": [],
            "tasks": [{"type": "t"}],
            "focus": None,
            "validation_exercises": 8,
            "budget_s": budget_s,
        }

    def now(self):
        return to_datetime(int(self.seconds * 1e6))

    def step(self, name, function, *args):
        self.steps.append(name)
        exercises = [{"name": f"{number}", "type": "t", "work": {"kind": "training"}} for number in range(100)]
        return {
            "begin": lambda: self.begun,
            "generate_to_learn": lambda: exercises[:2],
            "generate_to_compare": lambda: exercises[: args[-1]],
            "allocate": lambda: [[{"way": one, "strategy": one} for one in "ab"] for _ in range(2)],
            "learn": lambda: 4,
            "choose": lambda: {"candidate": "a", "reason": "a has the best average score", "measured": True},
            "validate": lambda: {"decision": "UNDERPOWERED", "more": True, "reason": "", "pairs": len(args[-2]) // 2},
        }[function.__name__]()

    def start(self, *_, **__):
        self.asked += 1
        return self.asked

    def wait(self, *run_ids):
        self.seconds += len(run_ids)
        return [Ended(run_id=one, task_id="", state=State.COMPLETED, result={}, error=None) for one in run_ids]

    def looks(self):
        return sum(name.startswith("validate") for name in self.steps)


def test_it_ends_when_less_than_one_exercise_fits_into_what_is_left():
    flow = Played(budget_s=25.5)
    found = learn(flow, None, {"iterations": 1})
    assert (flow.looks(), found["verdict"]["pairs"], flow.seconds) == (2, 10, 24.0)


def test_what_an_exercise_takes_is_told_from_the_looks_once_there_is_one():
    flow = Played(budget_s=60.0)
    wait = flow.wait

    def slower(*run_ids):
        """A look takes twice as long as learning has."""
        flow.seconds += 0 if len(run_ids) == 4 else len(run_ids)
        return wait(*run_ids)

    flow.wait = slower
    learn(flow, None, {"iterations": 1})
    assert flow.seconds <= 60.0 and flow.looks() == 2, "8 exercises in 32 s, and 6 in the 24 s that are left"


def test_where_learning_has_used_up_the_budget_nothing_is_judged():
    flow = Played(budget_s=5.0)
    found = learn(flow, None, {"iterations": 1})
    assert (found["candidate"], found["verdict"], found["applied"]) == ("a", None, False)
    assert found["reason"] == "the budget was used up by learning (4 s of 5 s); a larger --budget compares them"
    assert flow.looks() == 0


def test_what_is_the_default_already_of_all_that_could_be_compared_is_no_candidate():
    flow = Played(budget_s=None)
    flow.begun["changes"] = [{"type": "t", "strategy": "a", "how": "learned", "by": "ada", "at_us": 0, "verdict_id": 1}]
    found = learn(flow, None, {"iterations": 1})
    assert (found["candidate"], found["verdict"], flow.looks()) == (None, None, 0)
    assert found["reason"] == "a has the best score, and is the default already"


@given(st.integers(1, 40))
def test_all_looks_together_have_no_more_than_the_level_of_one(looks):
    assert HOUR.looks_again(used_s=3599) and not HOUR.looks_again(used_s=3600)
    assert sum(HOUR.alpha_of(look, 0.05) for look in range(1, looks + 1)) <= 0.05


# -- exercises of one's own


def tasks(count=6):
    return [one.to_dict() for one in generate("easy", count, 1)]


def test_a_file_is_read_as_json_or_toml():
    told = {"complexity": "easy", "tasks": tasks()}
    assert [one.to_dict() for one in custom.read(json.dumps(told), toml=False)] == told["tasks"]
    toml = 'complexity = "hard"\n' + "".join(
        f"""[[tasks]]
type = "code"
task = "Write number {number}."
work = {{ kind = "workspace", stages = [{{ role = "a", prompt = "{number}" }}], answer = ["x"] }}
expectedChecks = [{{ name = "there", command = ["test", "-s", "x"] }}]
"""
        for number in range(4)
    )
    found = custom.read(toml, toml=True)
    assert len({one.name for one in found}) == 4 and {one.complexity for one in found} == {"hard"}


@pytest.mark.parametrize(
    ("told", "message"),
    [
        ("{", r"^it is no JSON: "),
        ("[" * 100_000, r"^it is no JSON: "),
        ("[]", r"^it: \[\] is not a table$"),
        (json.dumps({"task": []}), r"^it: there is no 'task'; did you mean tasks\?"),
        (json.dumps({"tasks": tasks(3)}), r"^tasks: at least 4 are needed; half of them are kept for comparisons$"),
        (json.dumps({"tasks": tasks(4), "complexity": "x"}), r"^complexity: there is no 'x'"),
        (json.dumps({"tasks": [*tasks(4), 3]}), r"^tasks\[4\]: exercise: 3 is not a table$"),
        (json.dumps({"tasks": tasks(4) * 2}), r"^tasks\[4\]: 'easy-tabular_separable-1-0' is there twice$"),
        (
            json.dumps({"tasks": [*tasks(4), {**tasks(1)[0], "name": "x", "work": {"kind": "training", "data": "x"}}]}),
            r"^tasks\[4\]: work\.seed: missing$",
        ),
    ],
)
def test_a_file_with_a_mistake_is_refused_in_one_line(told, message):
    with pytest.raises(UserMistake, match=message) as error:
        custom.read(told, toml=False)
    assert "\n" not in str(error.value)


def test_half_of_each_type_is_kept_whatever_the_order():
    some = [{"name": f"{type_}{number}", "type": type_} for type_ in "ab" for number in range(6)]
    mine, kept = custom.halves(some)
    assert custom.halves(some[::-1]) == (mine, kept)
    assert len(mine) == len(kept) == 6 and not {one["name"] for one in mine} & {one["name"] for one in kept}
    assert sorted(one["type"] for one in kept) == ["a"] * 3 + ["b"] * 3


def test_iterations_take_turns_and_none_has_an_exercise_twice():
    some = [{"name": name} for name in "abc"]
    assert [one["name"] for one in custom.taken(some, 2, 0)] == ["a", "b"]
    assert [one["name"] for one in custom.taken(some, 2, 2)] == ["c", "a"]
    assert len(custom.taken(some, 9, 4)) == 3
