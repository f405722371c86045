"""What a learner says that may be tuned, and what is wrong with what it says."""

import math

import pytest

from overnight.base.errors import ConfigError
from overnight.training.tuning.space import Range, lies_in, size_of, space_of


def learner(told):
    return type("Learner", (), {"tunable": told, "__module__": "agents"})


def test_ranges_are_lines_whole_numbers_and_choices():
    space = space_of("first", learner({"a": (0.1, 10.0, "log"), "b": (1, 8), "c": ["x", 1, True], "d": (0, 1.5)}))
    assert space == {
        "a": Range(low=0.1, high=10.0, log=True),
        "b": Range(low=1, high=8, whole=True),
        "c": Range(choices=("x", 1, True)),
        "d": Range(low=0, high=1.5),
    }
    assert {name: Range.from_dict(one.to_dict()) for name, one in space.items()} == space


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (None, "agent 'first' has nothing that could be tuned: agents:Learner has no tunable, such as"),
        ({}, "agent 'first' has nothing that could be tuned"),
        ([1], "agents:Learner.tunable must be a dict of ranges by the names of settings, not [1]"),
        ({1: (1, 2)}, "must be a dict of ranges by the names of settings"),
        ({"a": 3}, "agents:Learner.tunable['a'] must be (low, high), (low, high, \"log\") or a list of values, not 3"),
        ({"a": (1,)}, 'must be (low, high), (low, high, "log")'),
        ({"a": (1, 2, "linear")}, 'must be (low, high), (low, high, "log")'),
        ({"a": (1, 2, "log", 4)}, 'must be (low, high), (low, high, "log")'),
        ({"a": (2, 1)}, "(2, 1) must begin with two numbers, the lower one first"),
        ({"a": ("1", 2)}, "must begin with two numbers"),
        ({"a": (1, "2")}, "must begin with two numbers"),
        ({"a": (False, True)}, "must begin with two numbers"),
        ({"a": (0.0, math.inf)}, "must begin with two numbers"),
        ({"a": (0.0, 1.0, "log")}, "must begin above 0, because it is on a log scale"),
        ({"a": []}, "must hold two different values at least, each once"),
        ({"a": ["x"]}, "must hold two different values at least, each once"),
        ({"a": ["x", "y", "x"]}, "must hold two different values at least, each once"),
        ({"a": [None, "x"]}, "must hold texts, numbers or truth values"),
    ],
)
def test_what_is_written_wrong_is_named(told, says):
    with pytest.raises(ConfigError) as caught:
        space_of("first", learner(told))
    assert says in str(caught.value)


def test_a_class_without_the_attribute_has_nothing_that_could_be_tuned():
    with pytest.raises(ConfigError, match="has nothing that could be tuned"):
        space_of("first", type("Learner", (), {}))


@pytest.mark.parametrize(
    ("one", "inside", "outside"),
    [
        (Range(low=0.5, high=2.0), [0.5, 1, 2.0], [0.4, 2.1, "1", True, math.nan, None]),
        (Range(low=1, high=3, whole=True), [1, 3, 2.0], [0, 1.5, 4]),
        (Range(choices=("x", 1, True)), ["x", 1, True], ["y", 1.0, False, None]),
    ],
)
def test_a_range_knows_its_values(one, inside, outside):
    assert all(one.holds(value) for value in inside)
    assert not any(one.holds(value) for value in outside)


def test_parameters_lie_in_a_space_where_each_name_has_a_value_of_it():
    space = {"a": Range(low=1, high=3, whole=True), "b": Range(choices=("x", "y"))}
    assert lies_in(space, {"a": 2, "b": "x", "other": 5})
    assert not lies_in(space, {"a": 2})
    assert not lies_in(space, {"a": 4, "b": "x"})


def test_a_space_has_as_many_sets_as_its_values_can_be_joined():
    assert size_of({"a": Range(low=1, high=3, whole=True), "b": Range(choices=("x", "y"))}) == 6
    assert size_of({"a": Range(low=1.0, high=3.0), "b": Range(choices=("x", "y"))}) == math.inf
