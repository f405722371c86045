"""What names say about a number, and predictions for items that a model has not seen."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.proof.splits import fold_of
from overnight.training.encoding import ENCODED, NameEffects, out_of_fold

np = pytest.importorskip("numpy")

NAMES = st.lists(st.lists(st.sampled_from("abcdef"), unique=True), min_size=1)


@given(NAMES, st.integers(0, 99))
def test_an_effect_is_the_shrunken_mean_of_the_residuals(names, seed):
    residuals = np.random.default_rng(seed).normal(size=len(names))
    found = NameEffects.fit(names, residuals, shrinkage=4.0)
    for name in {name for some in names for name in some}:
        of_name = [residual for some, residual in zip(names, residuals, strict=True) if name in some]
        assert found.effects[found.places[name]] == pytest.approx(sum(of_name) / (len(of_name) + 4))
        assert found.counts[found.places[name]] == len(of_name)


def test_an_item_is_encoded_by_its_known_names():
    effects = NameEffects.fit([["a"], ["a", "b"], ["c"]], np.array([1.0, 2.0, -4.0]), shrinkage=1.0)
    a, b, c = 3 / 3, 2 / 2, -4 / 2
    rows = effects.encode([["a", "c", "unknown"], [], ["unknown"], ["b"]])
    assert rows.shape == (4, ENCODED)
    assert rows[0] == pytest.approx([(a + c) / 2, a, c, 3, (a + c) / np.sqrt(2)])
    assert not rows[1:3].any()
    assert rows[3] == pytest.approx([b, b, b, 1, b])


def test_no_known_name_at_all_is_encoded_too():
    effects = NameEffects.fit([[], []], np.array([1.0, 2.0]), shrinkage=1.0)
    assert effects.encode([["a"], []]).tolist() == [[0.0] * ENCODED] * 2
    assert effects.encode([]).shape == (0, ENCODED)


@given(NAMES)
def test_effects_come_back_exactly_from_json(names):
    effects = NameEffects.fit(names, np.linspace(-1, 1, len(names)) / 3, shrinkage=3.0)
    again = NameEffects.from_dict(json.loads(json.dumps(effects.to_dict())))
    assert again.places == effects.places
    assert np.array_equal(again.encode(names), effects.encode(names))


@given(st.lists(st.text(), unique=True, min_size=1), st.integers(2, 6))
def test_no_item_is_among_those_that_its_prediction_was_fitted_on(ids, folds):
    calls = []

    def fit_and_apply(fit, apply):
        calls.append((set(fit.tolist()), set(apply.tolist())))
        return np.array([[row, fold_of(ids[row], folds=folds, salt="s")] for row in apply], dtype=float)

    found = out_of_fold(ids, fit_and_apply, folds=folds, salt="s")
    assert found.tolist() == [[row, fold_of(name, folds=folds, salt="s")] for row, name in enumerate(ids)]
    for fit, apply in calls:
        assert not fit & apply
        assert fit | apply == set(range(len(ids)))
        assert len({fold_of(ids[row], folds=folds, salt="s") for row in apply}) == 1
