"""What a strategy means for a trainer with settings of its own."""

import pytest

from overnight.learning.parameters import TrainingParameters
from overnight.learning.transfer import transferred

NLU = {"batch_size": 64, "learning_rate": 0.02, "dropout": 0.3}


def test_what_stands_for_nothing_changes_nothing():
    found = transferred(TrainingParameters(), NLU, 20)
    assert (found.settings, found.epochs, found.unused) == ({"learning_rate": 0.02}, 20, ())


def test_settings_and_epochs_change_by_as_much_as_the_strategy_differs():
    slow = TrainingParameters(learning_rate=0.001, epochs=60)
    found = transferred(slow, NLU, 20)
    assert found.settings == {"learning_rate": pytest.approx(0.02 / 3)} and found.epochs == 40
    assert transferred(TrainingParameters(epochs=1), NLU, 5).epochs == 1


def test_what_a_trainer_has_no_setting_for_is_named():
    all_ = TrainingParameters(regularisation=0.01, early_stopping=8, ensemble=3)
    assert transferred(all_, NLU, 20).unused == ("regularisation", "early_stopping", "ensemble")
    found = transferred(all_, {**NLU, "weight_decay": 0.02}, 20)
    assert found.settings["weight_decay"] == pytest.approx(2.0) and found.unused == ("early_stopping", "ensemble")
    assert transferred(all_, {"learning_rate": "auto"}, 20).settings == {}
