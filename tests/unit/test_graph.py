"""Which task comes after which, and when a dependant starts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import InvalidTask
from overnight.engine.graph import Block, Start, Wait, decide, dependants, downstream, order
from overnight.engine.model import State

DIAMOND = {"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": [], "alone": []}


def test_each_task_comes_behind_those_it_is_after() -> None:
    found = order(DIAMOND)
    assert sorted(found) == sorted(DIAMOND)
    assert all(found.index(parent) < found.index(task) for task, parents in DIAMOND.items() for parent in parents)


def test_unknown_parent_is_named() -> None:
    with pytest.raises(InvalidTask, match=r"^task 'b': after: there is no task 'aa' \(tasks: a, b\)$"):
        order({"a": [], "b": ["aa"]})


def test_circle_is_shown_in_order() -> None:
    with pytest.raises(InvalidTask, match=r"^after: the tasks wait for each other in a circle: ") as caught:
        order({"a": ["c"], "b": ["a"], "c": ["b"]})
    circle = str(caught.value).rpartition(": ")[2].split(" -> ")
    assert circle[0] == circle[-1]
    assert sorted(circle[1:]) == ["a", "b", "c"]


def test_dependants_are_the_tasks_that_name_it() -> None:
    assert dependants(DIAMOND) == {"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": [], "alone": []}


def test_downstream_reaches_everything_once() -> None:
    assert downstream(DIAMOND, "a") == {"a", "b", "c", "d"}
    assert downstream(DIAMOND, "b") == {"b", "d"}
    assert downstream(DIAMOND, "alone") == {"alone"}


@given(st.dictionaries(st.sampled_from("abcd"), st.none() | st.sampled_from(list(State)), min_size=1))
def test_dependant_is_blocked_by_any_bad_end_starts_when_all_completed_and_else_waits(
    parents: dict[str, State | None],
) -> None:
    states = set(parents.values())
    verdict = decide(parents)
    if states & {State.FAILED, State.CANCELLED}:
        assert isinstance(verdict, Block)
        bad = min(name for name, state in parents.items() if state in (State.FAILED, State.CANCELLED))
        assert verdict.reason == f"blocked: task {bad!r}, which it comes after, ended {parents[bad]}"
    else:
        assert verdict == (Start() if states == {State.COMPLETED} else Wait())
