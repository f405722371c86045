"""Which exercises are drawn, with a coding agent and without one."""

import pytest

from overnight.base.errors import UserMistake
from overnight.learning.drawing import all_types, draw, types_of
from overnight.learning.generation import generate

pytest.importorskip("sklearn")


def test_without_an_agent_all_train_models_and_with_one_all_types_take_turns():
    assert draw("easy", 3, 1, agent=False) == generate("easy", 3, 1)
    types = [one.type for one in draw("easy", 8, 1, agent=True)]
    assert types == [*types_of("easy", agent=True)] * 2
    assert types[:4] == ["tabular_separable", "code_email", "code_tests", "code_docs"]


def test_with_a_focus_all_are_of_that_type_and_the_same_as_without():
    focused = draw("easy", 2, 1, agent=False, focus="code_docs")
    assert [one for one in draw("easy", 8, 1, agent=True) if one.type == "code_docs"] == focused
    assert {one.type for one in draw("hard", 3, 1, agent=False, focus="fleet")} == {"fleet"}


def test_a_type_that_the_complexity_does_not_have_is_refused():
    with pytest.raises(UserMistake, match=r"^focus: easy exercises have no type 'code_api'"):
        draw("easy", 1, 1, agent=True, focus="code_api")
    assert {"small_data", "code_api", "fleet"} <= set(all_types())
