"""Strategies are their parameters, and what the settings describe stands in for what is built in."""

import json
from dataclasses import asdict

import pytest

from overnight.base.errors import ConfigError, UnknownName
from overnight.base.learning_settings import AgentCommandSettings, LearningSettings, StrategySettings
from overnight.learning.parameters import AgentParameters, TrainingParameters
from overnight.learning.strategies import Strategy, Way, named, strategies_of


def test_the_built_in_ones_are_there_and_those_of_the_settings_stand_in_for_them():
    settings = LearningSettings(
        strategies={
            "aggressive": StrategySettings(training={"epochs": 3}),
            "mine": StrategySettings(training={"ensemble": 2}),
        }
    )
    found = strategies_of(settings)
    assert set(found) == {"conservative", "balanced", "aggressive", "mine"}
    assert found["balanced"].ways[0].training == TrainingParameters()
    assert found["aggressive"].ways[0].training == TrainingParameters(epochs=3), "and has nothing of the built-in one"
    assert named(found, "mine").ways[0].training.ensemble == 2


def way(**training):
    return Way(training=TrainingParameters(**training), agent=AgentParameters())


def test_a_name_has_no_part_in_what_a_strategy_is():
    one, other = (Strategy(name=name, ways=(way(epochs=7),)) for name in ("conservative", "aggressive"))
    agent = asdict(AgentCommandSettings())
    assert one.digests(agent) == other.digests(agent)
    longer = Strategy(name="conservative", ways=(way(epochs=8),))
    assert longer.digest("training", agent) != one.digest("training", agent)
    assert longer.digest("workspace", agent) == one.digest("workspace", agent), "a coding agent is asked the same"
    assert Strategy.from_dict(json.loads(json.dumps(one.to_dict()))) == one


@pytest.mark.parametrize(
    "other", [{"command": ["other"]}, {"network": True}, {"visible": ["~/x"]}, {"environment": ["K"]}, {"timeout_s": 5}]
)
def test_with_another_agent_a_strategy_is_another_one_in_a_workspace_and_in_no_training(other):
    one, agent = Strategy(name="mine", ways=(way(),)), asdict(AgentCommandSettings(command=["agent", "{prompt}"]))
    assert one.digest("workspace", {**agent, **other}) != one.digest("workspace", agent)
    assert one.digest("training", {**agent, **other}) == one.digest("training", agent)
    assert one.digest("workspace", {**agent, "memory_gb": 2.0}) == one.digest("workspace", agent)


def test_an_ensemble_has_the_ways_of_its_members():
    both = StrategySettings(members=("conservative", "aggressive"))
    found = strategies_of(LearningSettings(default="both", strategies={"both": both}))
    assert found["both"].ways == (*found["conservative"].ways, *found["aggressive"].ways)
    assert found["both"].members == ("conservative", "aggressive")
    assert Strategy.from_dict(json.loads(json.dumps(found["both"].to_dict()))) == found["both"]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (
            LearningSettings(default="balancd"),
            "learning.default: there is no strategy 'balancd'; did you mean balanced?",
        ),
        (
            LearningSettings(strategies={"x": StrategySettings(training={"epochs": 0})}),
            "learning.strategies.x.training: epochs",
        ),
        (
            LearningSettings(strategies={"x": StrategySettings(agent={"attemps": 2})}),
            "learning.strategies.x.agent: there is no parameter 'attemps' of agents; did you mean attempts?",
        ),
        (
            LearningSettings(strategies={"x": StrategySettings(members=("conservativ",))}),
            "learning.strategies.x.members: there is no strategy 'conservativ' that is no ensemble; did you mean",
        ),
        (
            LearningSettings(strategies={"x": StrategySettings(members=("balanced",), training={"epochs": 3})}),
            "learning.strategies.x: an ensemble has the parameters of its members, and none of its own",
        ),
    ],
)
def test_what_is_none_is_refused(settings, why):
    with pytest.raises(ConfigError) as error:
        strategies_of(settings)
    assert why in str(error.value)


def test_a_strategy_that_is_not_there_is_named():
    with pytest.raises(UnknownName, match="there is no strategy 'agressive'; did you mean aggressive"):
        named(strategies_of(LearningSettings()), "agressive")
