"""The naive baseline: the best of what needs no model, found inside the training part."""

import math
import random
import re

import pytest

from overnight.base.errors import NotMeasured, UserMistake
from overnight.proof.baselines import FOLDS, SHRINKAGE, Kind, fit_baseline

REGRESSION, CLASSIFICATION = Kind.REGRESSION, Kind.CLASSIFICATION


def films(n: int = 200, seed: int = 1) -> list[dict]:
    """Ratings that follow the genre; year and title say nothing."""
    source = random.Random(seed)
    level = {"Drama": 7.0, "Comedy": 5.0, "Horror": 3.0}
    rows = []
    for at in range(n):
        genre = source.choice(sorted(level))
        rating = level[genre] + source.gauss(0, 0.5)
        rows.append({"Title": f"Film {at}", "Genre": genre, "Year": source.randint(1950, 2020), "Rating": rating})
    return rows


def losses(baseline) -> dict[str, float]:
    return dict(baseline.losses)


# -- regression


def test_the_single_best_column_wins_and_is_named():
    baseline = fit_baseline(films(), "Rating", ["Title", "Genre", "Year"], REGRESSION)
    assert (baseline.name, baseline.column, baseline.kind) == ("single best column: Genre", "Genre", REGRESSION)
    assert baseline.losses[0][0] == baseline.name
    assert [loss for _, loss in baseline.losses] == sorted(loss for _, loss in baseline.losses)
    assert sorted(losses(baseline)) == [
        "mean",
        "median",
        "single best column: Genre",
        "single best column: Title",
        "single best column: Year (bins)",
        "single best column: Year (line)",
    ]


def test_the_mean_of_a_value_is_shrunk_towards_the_mean_of_all():
    rows = [{"g": "a", "y": 10.0}] * 30 + [{"g": "b", "y": 0.0}] * 30
    baseline = fit_baseline(rows, "y", ["g"], REGRESSION)
    assert baseline.name == "single best column: g"
    a, b, unseen, empty, absent = baseline.predict([{"g": "a"}, {"g": "b"}, {"g": "c"}, {"g": None}, {}])
    assert a == pytest.approx((300 + SHRINKAGE * 5) / (30 + SHRINKAGE))
    assert b == pytest.approx(SHRINKAGE * 5 / (30 + SHRINKAGE))
    assert unseen == empty == absent == 5


def test_a_column_whose_values_are_seen_once_does_not_win():
    rows = films()
    baseline = fit_baseline(rows, "Rating", ["Title"], REGRESSION)
    assert baseline.name in {"mean", "median"}
    assert baseline.column is None


def test_the_median_wins_where_outliers_pull_the_mean():
    rows = [{"y": 1.0}] * 20 + [{"y": 100.0}] * 3
    baseline = fit_baseline(rows, "y", [], REGRESSION)
    assert baseline.name == "median"
    assert baseline.predict([{}, {"x": 3}]) == [1.0, 1.0]


def test_the_mean_wins_where_two_heaps_leave_the_median_beside_both():
    source = random.Random(4)
    rows = [{"y": source.choice([0.0, 1.0, 2.0, 3.0])} for _ in range(200)]
    named = losses(fit_baseline(rows, "y", [], REGRESSION))
    assert set(named) == {"mean", "median"}
    even = fit_baseline([{"y": 1.0}, {"y": 2.0}], "y", [], REGRESSION)
    assert even.name == "mean"
    assert even.predict([{}]) == [1.5]


def test_the_loss_is_the_mean_absolute_error_on_rows_left_out():
    baseline = fit_baseline([{"y": 1.0}, {"y": 2.0}, {"y": 6.0}], "y", [], REGRESSION)
    # Each row is left out once: |1 - 4|, |2 - 3.5|, |6 - 1.5|.
    assert losses(baseline)["mean"] == pytest.approx((3 + 1.5 + 4.5) / 3)


def test_a_line_wins_where_the_target_follows_a_number():
    source = random.Random(2)
    rows = [{"x": x, "y": 3 * x - 2 + source.gauss(0, 0.1)} for x in range(100)]
    baseline = fit_baseline(rows, "y", ["x"], REGRESSION)
    assert baseline.name == "single best column: x (line)"
    inside, below, above, empty = baseline.predict([{"x": 50.5}, {"x": -99}, {"x": 1e9}, {"x": math.nan}])
    assert inside == pytest.approx(3 * 50.5 - 2, abs=0.1)
    assert below == pytest.approx(-2, abs=0.2)
    assert above == pytest.approx(3 * 99 - 2, abs=0.2)
    assert empty == pytest.approx(math.fsum(row["y"] for row in rows) / 100)


def test_bins_win_where_the_target_goes_up_and_down():
    rows = [{"x": x, "y": 10.0 if 160 <= x < 320 else 0.0} for x in range(400)]
    baseline = fit_baseline(rows, "y", ["x"], REGRESSION)
    assert baseline.name == "single best column: x (bins)"
    inside, outside, empty = baseline.predict([{"x": 250}, {"x": 380}, {"x": ""}])
    assert inside > 5 > outside
    assert empty == pytest.approx(4)


def test_a_line_through_one_number_is_level():
    rows = [{"x": 7, "y": float(y)} for y in range(10)]
    named = losses(fit_baseline(rows, "y", ["x"], REGRESSION))
    assert named["single best column: x (line)"] == pytest.approx(named["mean"])


def test_empty_cells_are_left_out_of_a_line():
    rows = [{"x": x, "y": 2.0 * x} for x in range(50)] + [{"x": None, "y": 1_000.0}, {"y": 1_000.0}]
    baseline = fit_baseline(rows, "y", ["x"], REGRESSION)
    assert baseline.name == "single best column: x (line)"
    assert baseline.predict([{"x": 10}]) == [pytest.approx(20)]


def test_a_column_with_few_numbers_can_be_fitted_in_every_fold():
    rows = [{"x": 1.0, "y": 5.0}] + [{"x": None, "y": float(y)} for y in range(9)]
    named = losses(fit_baseline(rows, "y", ["x"], REGRESSION))
    assert {"single best column: x (line)", "single best column: x (bins)"} <= set(named)


@pytest.mark.parametrize("cell", ["1999?", True, math.inf])
def test_a_column_with_anything_but_numbers_is_categorical(cell):
    rows = [{"x": 1, "y": 1.0}, {"x": 2.5, "y": 2.0}, {"x": cell, "y": 3.0}, {"x": None, "y": 3.0}]
    assert "single best column: x" in losses(fit_baseline(rows, "y", ["x"], REGRESSION))


def test_an_empty_column_is_categorical_and_predicts_what_the_mean_does():
    rows = [{"x": None, "y": float(y)} for y in range(8)]
    named = losses(fit_baseline(rows, "y", ["x"], REGRESSION))
    assert named["single best column: x"] == named["mean"]


def test_of_equals_the_simplest_is_named():
    rows = [{"x": None, "y": 2.0}] * 8
    assert fit_baseline(rows, "y", ["x"], REGRESSION).name == "mean"


# -- classification


def test_the_majority_is_the_baseline_of_labels():
    rows = [{"y": "spam"}] * 6 + [{"y": "ham"}] * 14
    baseline = fit_baseline(rows, "y", [], CLASSIFICATION)
    assert (baseline.name, baseline.losses) == ("majority", (("majority", pytest.approx(0.3)),))
    assert baseline.predict([{}, {}]) == ["ham", "ham"]


def test_of_equally_frequent_labels_the_first_by_text_is_taken():
    assert fit_baseline([{"y": "b"}, {"y": "a"}] * 5, "y", [], CLASSIFICATION).predict([{}]) == ["a"]
    assert fit_baseline([{"y": "a"}, {"y": "b"}] * 5, "y", [], CLASSIFICATION).predict([{}]) == ["a"]


def test_the_single_best_column_of_labels():
    rows = [{"w": "win", "y": 1}] * 40 + [{"w": "hi", "y": 0}] * 60 + [{"w": "win", "y": 0}] * 5
    baseline = fit_baseline(rows, "y", ["w"], CLASSIFICATION)
    assert baseline.name == "single best column: w"
    assert baseline.losses[0][1] == pytest.approx(5 / 105)
    assert baseline.predict([{"w": "win"}, {"w": "hi"}, {"w": "?"}, {"w": None}]) == [1, 0, 0, 0]


def test_a_value_seen_once_does_not_outvote_all():
    rows = [{"w": "rare", "y": "b"}] + [{"w": "other", "y": "a"}] * 80 + [{"w": "bee", "y": "b"}] * 30
    baseline = fit_baseline(rows, "y", ["w"], CLASSIFICATION)
    assert baseline.predict([{"w": "rare"}, {"w": "bee"}]) == ["a", "b"]


def test_labels_by_bins_of_a_number_and_never_by_a_line():
    rows = [{"x": x, "y": "old" if x < 50 else "new"} for x in range(100)]
    baseline = fit_baseline(rows, "y", ["x"], CLASSIFICATION)
    assert set(losses(baseline)) == {"majority", "single best column: x (bins)"}
    assert baseline.name == "single best column: x (bins)"
    assert baseline.predict([{"x": 3}, {"x": 97}]) == ["old", "new"]


# -- both


@pytest.mark.parametrize("kind", list(Kind))
def test_the_order_of_the_rows_changes_nothing(kind):
    rows = films(60)
    for row in rows:
        row["Rating"] = round(row["Rating"])
    columns = ["Genre", "Year", "Title"]
    one, other = fit_baseline(rows, "Rating", columns, kind), fit_baseline(rows[::-1], "Rating", columns, kind)
    assert one.losses == other.losses
    assert one.predict(rows) == other.predict(rows)


def test_rows_that_were_not_given_have_no_say():
    rows = films(100)
    baseline = fit_baseline(rows[:80], "Rating", ["Genre"], REGRESSION)
    poisoned = [{**row, "Rating": 1e9} for row in rows[80:]]
    assert baseline.predict(poisoned) == baseline.predict(rows[80:])


def test_every_row_is_left_out_once():
    # With n rows of one label each, no label can be predicted from the others.
    rows = [{"y": f"label {at}"} for at in range(FOLDS * 3)]
    assert fit_baseline(rows, "y", [], CLASSIFICATION).losses == (("majority", 1.0),)


@pytest.mark.parametrize(
    ("rows", "target", "columns", "kind", "error", "message"),
    [
        ([{"y": 1.0}], "y", [], REGRESSION, NotMeasured, "a baseline needs at least 2 rows, got 1"),
        ([{"y": 1.0}] * 2, "y", ["y"], REGRESSION, UserMistake, "columns must not contain the target, got 'y'"),
        ([{"y": 1.0}, {"y": "x"}], "y", [], REGRESSION, UserMistake, "rows[1]['y'] must be a finite number, got 'x'"),
        ([{"y": True}, {"y": 1}], "y", [], REGRESSION, UserMistake, "rows[0]['y'] must be a finite number, got True"),
        ([{"y": 1}, {}], "y", [], REGRESSION, UserMistake, "rows[1]['y'] must be a finite number, got None"),
        ([{"y": "a"}, {"y": ""}], "y", [], CLASSIFICATION, UserMistake, "rows[1]['y'] must be a label, got ''"),
    ],
)
def test_what_has_no_baseline_is_refused(rows, target, columns, kind, error, message):
    with pytest.raises(error, match=f"^{re.escape(message)}$"):
        fit_baseline(rows, target, columns, kind)
