"""The parameters of training, and whether a model is right as often as it says."""

import pytest

from overnight.base.errors import UserMistake
from overnight.learning.calibration import calibration_error
from overnight.learning.parameters import TrainingParameters

# -- parameters


def test_what_is_not_named_has_its_default():
    assert TrainingParameters.from_dict({"epochs": 5}) == TrainingParameters(epochs=5)
    assert TrainingParameters().to_dict() == {
        "learning_rate": 0.003,
        "regularisation": 1e-4,
        "early_stopping": 0,
        "ensemble": 1,
        "epochs": 30,
    }


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", 0),
        ("learning_rate", 1.5),
        ("learning_rate", float("nan")),
        ("learning_rate", "0.1"),
        ("regularisation", -0.1),
        ("regularisation", float("inf")),
        ("early_stopping", -1),
        ("early_stopping", 2.0),
        ("ensemble", 0),
        ("ensemble", True),
        ("ensemble", 65),
        ("epochs", 0),
        ("epochs", 10**400),
        ("epochs", None),
    ],
)
def test_a_value_out_of_range_is_refused_with_the_name_of_its_parameter(name, value):
    with pytest.raises(UserMistake, match=rf"^{name}: .* is not a (whole )?number (from|above) "):
        TrainingParameters.from_dict({name: value})


def test_the_ends_of_the_ranges_are_allowed():
    TrainingParameters(learning_rate=1, regularisation=0, early_stopping=0, ensemble=64, epochs=1000)


def test_an_unknown_parameter_is_refused_with_the_one_that_was_meant():
    with pytest.raises(UserMistake, match=r"no parameter 'learningrate' of training; did you mean learning_rate\? \("):
        TrainingParameters.from_dict({"learningrate": 0.1})


# -- calibration


def test_who_is_right_as_often_as_said_has_no_error():
    assert calibration_error([0.75] * 4 + [1.0] * 3, [True, True, True, False, True, True, True]) == pytest.approx(0)


def test_too_sure_and_not_sure_enough_are_both_errors():
    assert calibration_error([0.95] * 4, [True, True, False, False]) == pytest.approx(0.45)
    assert calibration_error([0.55] * 4, [True] * 4) == pytest.approx(0.45)


def test_errors_in_two_bins_do_not_cancel_out():
    # Each answer's bin is off by 0.4, once upwards and once downwards; over all answers the confidence is right.
    assert calibration_error([0.4, 0.6], [False, True]) == pytest.approx(0.4)
    # In one bin they do: that is the share of right answers in it.
    assert calibration_error([0.52, 0.58], [False, True]) == pytest.approx(0.05)


def test_without_answers_or_with_too_few_there_is_no_error_to_tell():
    with pytest.raises(ValueError, match="at least 1"):
        calibration_error([], [])
    with pytest.raises(ValueError, match="zip"):
        calibration_error([0.5], [])
