"""Strategies are their parameters, and what the settings describe stands in for what is built in."""

from dataclasses import asdict

import pytest

from overnight.base.errors import ConfigError, UnknownName
from overnight.base.learning_settings import LearningSettings, StrategySettings
from overnight.learning.parameters import TrainingParameters
from overnight.learning.strategies import Strategy, named, strategies_of


def test_the_built_in_ones_are_there_and_those_of_the_settings_stand_in_for_them():
    settings = LearningSettings(
        strategies={
            "aggressive": StrategySettings(training={"epochs": 3}),
            "mine": StrategySettings(training={"ensemble": 2}),
        }
    )
    found = strategies_of(settings)
    assert set(found) == {"conservative", "balanced", "aggressive", "mine"}
    assert found["balanced"].training == TrainingParameters()
    assert found["aggressive"].training == TrainingParameters(epochs=3), "and has nothing of the built-in one"
    assert named(found, "mine").training.ensemble == 2


def test_a_name_has_no_part_in_what_a_strategy_is():
    one, other = (Strategy(name=name, training=TrainingParameters(epochs=7)) for name in ("conservative", "aggressive"))
    assert one.digest == other.digest != Strategy(name="conservative", training=TrainingParameters(epochs=8)).digest
    assert Strategy.from_dict(asdict(one)) == one


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
    ],
)
def test_what_is_none_is_refused(settings, why):
    with pytest.raises(ConfigError) as error:
        strategies_of(settings)
    assert why in str(error.value)


def test_a_strategy_that_is_not_there_is_named():
    with pytest.raises(UnknownName, match="there is no strategy 'agressive'; did you mean aggressive"):
        named(strategies_of(LearningSettings()), "agressive")
