"""What a strategy means for whoever trains with settings of its own, and for requests to a language model."""

import pytest

from overnight.learning.parameters import AgentParameters, TrainingParameters
from overnight.learning.transfer import transferred, transferred_to_model

NLU = {"batch_size": 64, "learning_rate": 0.02, "dropout": 0.3, "epochs": 20}


def test_what_stands_for_nothing_changes_nothing():
    found = transferred(TrainingParameters(), NLU)
    assert (found.settings, found.unused) == ({"learning_rate": 0.02, "epochs": 20}, ())


def test_settings_and_epochs_change_by_as_much_as_the_strategy_differs():
    slow = TrainingParameters(learning_rate=0.001, epochs=60)
    found = transferred(slow, NLU)
    assert found.settings == {"learning_rate": pytest.approx(0.02 / 3), "epochs": 40}
    assert transferred(TrainingParameters(epochs=1), {"epochs": 5}).settings == {"epochs": 1}


def test_counts_are_taken_as_they_are():
    many = TrainingParameters(ensemble=3, early_stopping=8)
    assert transferred(many, {"ensemble": 1, "early_stopping": 2}).settings == {"early_stopping": 8, "ensemble": 3}


def test_what_a_trainer_has_no_setting_for_is_named():
    all_ = TrainingParameters(regularisation=0.01, early_stopping=8, ensemble=3, epochs=60)
    assert transferred(all_, NLU).unused == ("regularisation", "early_stopping", "ensemble")
    found = transferred(all_, {"penalty": 0.02})
    assert found.settings == {"penalty": pytest.approx(2.0)}
    assert found.unused == ("early_stopping", "ensemble", "epochs")
    assert transferred(all_, {"learning_rate": "auto", "ensemble": True}).settings == {}


def test_a_language_model_is_asked_as_much_warmer_as_the_strategy_is_and_by_the_name_that_it_gives():
    assert transferred_to_model(AgentParameters(), {"temperature": 0.7}).settings == {}
    cold = transferred_to_model(AgentParameters(temperature=0.1, attempts=3), {})
    assert (cold.settings, cold.unused) == ({"temperature": 0.5}, ("attempts",))
    hot = transferred_to_model(AgentParameters(temperature=0.8, model="large"), {"temperature": 0.9, "model": "small"})
    assert hot.settings == {"temperature": 2.0, "model": "large"}
