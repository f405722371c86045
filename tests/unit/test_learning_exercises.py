"""Exercises: what a file of one may hold, how checks judge, and what is made from a seed."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.base.errors import MissingExtra, UserMistake
from overnight.learning import generation, items
from overnight.learning.checks import METRICS, Expected
from overnight.learning.exercises import COMPLEXITIES, LIMIT_S, Exercise
from overnight.learning.generation import TYPES, generate
from overnight.learning.items import load
from overnight.learning.recipes import DATA_SETS, GENERATED, Recipe
from overnight.learning.reference import Reference, reference

FILE = {
    "name": "mine",
    "type": "small_data",
    "complexity": "hard",
    "task": "Tell wines apart.",
    "work": {"kind": "training", "data": "wine"},
    "expectedChecks": [
        {"name": "accuracy", "metric": "accuracy", "bound": 0.9, "at_least": True},
        {"name": "within_time", "metric": "time_s", "bound": 2, "at_least": False},
    ],
}
RECIPE = {
    "data": "digits",
    "seed": 1,
    "training_items": 60,
    "held_out_items": 90,
    "labels": {"3": 0.34, "5": 0.33, "8": 0.33},
}
MADE = {
    **RECIPE,
    "data": GENERATED,
    "labels": {"0": 0.5, "1": 0.5},
    "columns": 6,
    "informative": 4,
    "clusters": 2,
    "separation": 1.5,
}


# -- files


def test_an_exercise_comes_back_from_its_file():
    exercise = Exercise.from_dict(FILE)
    assert Exercise.from_dict(json.loads(json.dumps(exercise.to_dict()))) == exercise
    assert {"type", "task", "expectedChecks"} <= exercise.to_dict().keys()
    assert exercise.checks[1].bound == 2


def test_its_limit_is_its_check_of_time():
    assert Exercise.from_dict(FILE).limit_s == 2
    assert Exercise.from_dict({**FILE, "expectedChecks": FILE["expectedChecks"][:1]}).limit_s == LIMIT_S


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"task": None}, r"^task: None is not a text$"),
        ({"type": " "}, r"^type: ' ' is not a text$"),
        ({"type": "a\ud800"}, r"^type: 'a.ud800' cannot be stored; give text without NUL and lone surrogates$"),
        ({"name": "a\0"}, r"^name: 'a.x00' cannot be stored; give text without NUL and lone surrogates$"),
        ({"complexity": "eazy"}, r"^complexity: there is no 'eazy'; did you mean easy\? \(easy, medium, hard\)$"),
        ({"complexity": ["easy"]}, r"^complexity: there is no \['easy'\]"),
        ({"work": []}, r"^work: \[\] is not a table$"),
        ({"checks": []}, r"^exercise: there is no 'checks'; did you mean expectedChecks\?"),
        ({"expectedChecks": []}, r"^expectedChecks: \[\] is not a list of at least 1 check$"),
        ({"expectedChecks": "accuracy"}, r"^expectedChecks: 'accuracy' is not a list"),
        ({"expectedChecks": ["accuracy"]}, r"^expectedChecks\[0\]: 'accuracy' is not a table$"),
        ({"expectedChecks": FILE["expectedChecks"][:1] * 2}, r"^expectedChecks\[1\]\.name: 'accuracy' is there twice$"),
    ],
)
def test_a_file_with_a_mistake_is_refused_in_one_line(change, message):
    with pytest.raises(UserMistake, match=message) as refused:
        Exercise.from_dict({**FILE, **change})
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("key", ["type", "task", "work", "expectedChecks"])
def test_a_file_without_a_key_is_refused(key):
    with pytest.raises(UserMistake, match=rf"^exercise\.{key}: missing$"):
        Exercise.from_dict({name: value for name, value in FILE.items() if name != key})


def test_what_is_no_table_is_refused():
    with pytest.raises(UserMistake, match=r"^exercise: None is not a table$"):
        Exercise.from_dict(None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "acuracy"}, r"^expectedChecks\[0\]\.metric: there is no 'acuracy'; did you mean accuracy\?"),
        ({"metric": ["accuracy"]}, r"metric: there is no \['accuracy'\]"),
        ({"bound": "0.9"}, r"bound: '0.9' is not a number above 0$"),
        ({"bound": True}, r"bound: True is not a number above 0$"),
        ({"bound": 0}, r"bound: 0 is not a number above 0$"),
        ({"bound": 10**400}, r"bound: 10{99}… is not a number above 0$"),
        ({"bound": float("nan")}, r"bound: nan is not a number above 0$"),
        ({"bound": 90}, r"bound: accuracy is never above 1, got 90$"),
        ({"at_least": False}, r"at_least: False, but of accuracy more is better$"),
        ({"at_least": 1}, r"at_least: 1, but of accuracy more is better$"),
        ({"metric": "time_s"}, r"at_least: True, but of time_s less is better$"),
        ({"name": 3}, r"name: 3 is not a text$"),
        ({"atLeast": True}, r"^expectedChecks\[0\]: there is no 'atLeast'; did you mean at_least\?"),
    ],
)
def test_a_check_with_a_mistake_is_refused(change, message):
    with pytest.raises(UserMistake, match=message):
        Exercise.from_dict({**FILE, "expectedChecks": [{**FILE["expectedChecks"][0], **change}]})


# -- judging

CHECKS = st.sampled_from(sorted(METRICS)).flatmap(
    lambda metric: st.builds(
        Expected,
        name=st.just("check"),
        metric=st.just(metric),
        bound=st.floats(0.01, 1),
        at_least=st.just(METRICS[metric].more),
    )
)


@given(CHECKS, st.lists(st.floats(0, 1), min_size=2, max_size=5))
def test_a_better_value_never_has_a_lower_score_and_50_is_where_the_check_is_passed(check, values):
    judged = [check.judge(value) for value in sorted(values, reverse=not check.at_least)]
    assert all(worse.score <= better.score + 1e-9 for worse, better in pairwise(judged))
    assert all(0 <= one.score <= 100 for one in judged)
    assert all(one.passed == (one.score >= 50) for one in judged if abs(one.score - 50) > 1e-9)


def test_a_check_judges_in_its_direction():
    accuracy = Expected(name="a", metric="accuracy", bound=0.8, at_least=True)
    assert [accuracy.judge(value).passed for value in (0.79, 0.8, 0.81)] == [False, True, True]
    assert [round(accuracy.judge(value).score) for value in (0, 0.4, 0.8, 0.9, 1)] == [0, 25, 50, 75, 100]
    time = Expected(name="t", metric="time_s", bound=2, at_least=False)
    assert [time.judge(value).passed for value in (1.9, 2, 2.1)] == [True, True, False]
    assert [round(time.judge(value).score) for value in (0, 1, 2, 3, 4, 9)] == [100, 75, 50, 25, 0, 0]
    assert Expected(name="a", metric="accuracy", bound=1, at_least=True).judge(1).score == 100


# -- recipes


def test_a_recipe_comes_back_from_its_work():
    for work in (RECIPE, MADE):
        recipe = Recipe.from_dict(work)
        assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
    assert "separation" not in Recipe.from_dict(RECIPE).to_dict()
    assert (Recipe.from_dict(RECIPE).width, Recipe.from_dict(MADE).width) == (64, 6)


@pytest.mark.parametrize(
    ("work", "message"),
    [
        ({**RECIPE, "data": "digit"}, r"^work\.data: there is no 'digit'; did you mean digits\?"),
        ({**RECIPE, "data": ["digits"]}, r"^work\.data: there is no \['digits'\]"),
        ({**RECIPE, "noise": 1}, r"^work: there is no 'noise'"),
        ({key: value for key, value in RECIPE.items() if key != "seed"}, r"^work\.seed: missing$"),
        ({**RECIPE, "seed": -1}, r"^work\.seed: -1 is not a whole number from 0 to"),
        ({**RECIPE, "training_items": 60.0}, r"^work\.training_items: 60.0 is not a whole number"),
        ({**RECIPE, "held_out_items": 10**6}, r"^work\.held_out_items: 1000000 is not a whole number"),
        ({**RECIPE, "label_noise": float("nan")}, r"^work\.label_noise: nan is not a number from 0 to 1$"),
        ({**RECIPE, "column_noise": True}, r"^work\.column_noise: True is not a number"),
        ({**RECIPE, "labels": {"3": 1}}, r"^work\.labels: .* is not a table of at least 2 labels"),
        ({**RECIPE, "labels": ["3", "5"]}, r"^work\.labels: .* is not a table"),
        ({**RECIPE, "labels": {"3": 0.5, "5": "half"}}, r"^work\.labels\.5: 'half' is not a number from 0 to 1$"),
        ({**RECIPE, "labels": {"3": 0.5, "5": 0.4}}, r"^work\.labels: the shares sum up to 0.9, not to 1$"),
        ({**RECIPE, "labels": {"3": 0.5, "x": 0.5}}, r"^work\.labels: digits has no label 'x'"),
        ({**RECIPE, "held_out_items": 900}, r"^work\.labels: digits has 183 items of label '3', asked are 326$"),
        ({**MADE, "labels": {"a": 0.5, "\ud800": 0.5}}, r"^work\.labels: '.ud800' cannot be stored"),
        ({**MADE, "separation": 10**400}, r"^work\.separation: 10{99}… is not a number from 0 to 100$"),
        ({**MADE, "informative": 7}, r"^work\.informative: 7 is not a whole number from 2 to 6$"),
        ({**MADE, "informative": 2, "clusters": 3}, r"^work\.informative: 2 columns have 4 corners, too few for"),
    ],
)
def test_work_with_a_mistake_is_refused_in_one_line(work, message):
    with pytest.raises(UserMistake, match=message) as refused:
        Recipe.from_dict(work)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", sorted(DATA_SETS))
def test_the_known_data_sets_are_what_scikit_learn_brings(name):
    import numpy as np
    from sklearn import datasets

    columns, labels = getattr(datasets, f"load_{name}")(return_X_y=True)
    _, different = np.unique(columns, axis=0, return_index=True)
    found = {str(label): int(count) for label, count in enumerate(np.bincount(labels[different]))}
    assert (DATA_SETS[name].columns, DATA_SETS[name].labels) == (columns.shape[1], found)


# -- items


def rows(part):
    return {tuple(row) for row in part.columns.tolist()}


@pytest.mark.parametrize("work", [RECIPE, MADE, {**RECIPE, "data": "iris", "labels": {"0": 0.3, "1": 0.3, "2": 0.4}}])
def test_no_item_is_on_both_sides(work):
    found = load(Recipe.from_dict({**work, "training_items": 60, "held_out_items": 60}))
    assert len(rows(found.training)) == len(found.training.labels)
    assert not rows(found.training) & rows(found.held_out)


def test_labels_have_their_shares_on_both_sides():
    found = load(Recipe.from_dict({**RECIPE, "labels": {"3": 0.8, "5": 0.15, "8": 0.05}}))
    assert found.labels == ("3", "5", "8")
    counts = [[(part.labels == place).sum() for place in range(3)] for part in (found.training, found.held_out)]
    assert counts == [[48, 9, 3], [72, 14, 4]]


def test_columns_are_scaled_by_the_training_items_alone():
    found = load(Recipe.from_dict(MADE))
    assert found.training.columns.mean(axis=0) == pytest.approx(0, abs=1e-9)
    assert found.training.columns.std(axis=0) == pytest.approx(1)
    assert found.held_out.columns.mean(axis=0) != pytest.approx(0, abs=1e-3)


def test_noise_changes_labels_and_columns_and_nothing_else():
    plain, wrong, noisy = (
        load(Recipe.from_dict({**RECIPE, **noise})) for noise in ({}, {"label_noise": 0.2}, {"column_noise": 0.5})
    )
    changed = [
        (a.labels != b.labels).mean() for a, b in ((plain.training, wrong.training), (plain.held_out, wrong.held_out))
    ]
    assert all(0.05 < share < 0.4 for share in changed)
    assert (plain.training.columns == wrong.training.columns).all()
    assert (plain.training.labels == noisy.training.labels).all()
    assert (plain.training.columns != noisy.training.columns).any()


# -- made from a seed


@pytest.mark.parametrize("complexity", COMPLEXITIES)
def test_the_same_seed_makes_the_same_exercises_and_another_seed_others(complexity):
    made = generate(complexity, 4, 11)
    assert made == generate(complexity, 4, 11)
    assert made[:2] == generate(complexity, 2, 11)
    others = generate(complexity, 4, 12)
    assert len({one.name for one in (*made, *others)}) == 8
    assert not [one for one in made if one.work in [other.work for other in others]]


@pytest.mark.parametrize("complexity", COMPLEXITIES)
def test_exercises_are_of_all_types_of_their_complexity_and_of_found_and_generated_data(complexity):
    made = generate(complexity, 4 * len(TYPES[complexity]), 3)
    assert {(one.type, one.work["data"] == GENERATED) for one in made} == {
        (kind, generated) for kind in TYPES[complexity] for generated in (True, False)
    }
    assert {one.complexity for one in made} == {complexity}


@pytest.mark.parametrize("complexity", COMPLEXITIES)
def test_what_is_made_is_a_file_that_can_be_read_and_run(complexity):
    for one in generate(complexity, 2 * len(TYPES[complexity]), 5):
        assert Exercise.from_dict(json.loads(json.dumps(one.to_dict()))) == one
        assert Recipe.from_dict(one.work).to_dict() == one.work
        assert [check.name for check in one.checks] == ["accuracy", "within_time", "within_memory", "calibrated"]


@pytest.mark.parametrize("kind", [kind for kinds in TYPES.values() for kind in kinds])
def test_what_any_seed_can_draw_is_a_recipe_that_can_be_made(kind):
    # 200 of each, without fitting anything: data of scikit-learn never has too few items, nor a cube too few corners.
    for number in range(200):
        for make in generation.MAKERS[kind]:
            recipe = make(generation.Draw(name=f"{kind}-{number}"))
            assert Recipe.from_dict(recipe.to_dict()) == recipe


def test_with_a_focus_exercises_are_of_one_type_and_the_same_as_without():
    focused = generate("hard", 2, 7, focus="many_classes")
    assert [one.name for one in focused] == ["hard-many_classes-7-0", "hard-many_classes-7-1"]
    assert focused == generate("hard", 4, 7)[1::2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("eazy", 1, 1), r"^complexity: there is no 'eazy'; did you mean easy\?"),
        (("easy", -1, 1), r"^count: -1 is less than 0$"),
        (("hard", 1, 1, "small"), r"^focus: hard exercises have no type 'small'; did you mean small_data\?"),
        (("easy", 1, 1, "small_data"), r"^focus: easy exercises have no type 'small_data'"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments, message):
    with pytest.raises(UserMistake, match=message):
        generate(*arguments)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setattr(items, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"'overnight\[ml\]'"):
        generate("easy", 1, 1)


def test_the_bound_lies_between_answering_always_the_same_and_the_best_simple_learner():
    for one in generate("medium", 4, 9):
        found = reference(load(Recipe.from_dict(one.work)), one.checks[0].metric)
        assert found.majority < one.checks[0].bound < found.best
        assert one.checks[0].bound == round(found.share(generation.ASKED), 3)


def test_data_that_cannot_be_learnt_makes_no_exercise(monkeypatch):
    tried = []

    def told(found, metric):
        tried.append(found)
        return Reference(majority=0.5, best=0.6 if len(tried) < 3 else 0.9)

    monkeypatch.setattr(generation, "reference", told)
    (one,) = generate("easy", 1, 1)
    assert len(tried) == 3
    assert one.checks[0].bound == 0.86
