"""The naive baseline that a model must beat: the best of what needs no model, fitted on the training part only.

Regression (absolute error per item): mean, median, single best column. Classification (0 or 1 per item): majority,
single best column. Popularity, the order of items by how often they are chosen, has no meaning for one number per item,
and for one label per item it is the majority, so it is left out. The mean has none for labels, the majority none for
numbers.

Which one is best is found by cross-validation inside the training part, with folds by hash of the row.
"""

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import median
from typing import Any

from overnight.base.errors import NotMeasured, UserMistake
from overnight.proof.measures import mean
from overnight.proof.splits import position

# Any: a cell may hold whatever a table holds (text, number, None), a target a number or a label.
Row = Mapping[str, Any]
_Predict = Callable[[Any], Any]
_Fit = Callable[[Sequence[Any], Sequence[Any]], _Predict]
"""Takes the cells of one column and the targets, returns what predicts a target from a cell."""

FOLDS = 5
BINS = 10
SHRINKAGE = 10.0
"""How many rows the whole training part counts for beside the rows of one value, so that a value that was seen once
does not predict itself (m-estimate; Micci-Barreca 2001, SIGKDD Explorations 3(1):27, section 3)."""


class Kind(StrEnum):
    """What is predicted: a number, or one of a few labels."""

    REGRESSION = "regression"
    CLASSIFICATION = "classification"


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """A fitted naive predictor.

    `losses` names all that were tried with their cross-validated mean absolute error (regression) or share of wrong
    labels (classification), best first. `column` is None when no column is used.
    """

    name: str
    kind: Kind
    column: str | None
    losses: tuple[tuple[str, float], ...]
    predict_cell: _Predict

    def predict(self, rows: Sequence[Row]) -> list[Any]:
        """Return one number (regression) or label (classification) per row; a column that a row lacks is empty."""
        return [self.predict_cell(_cell(row, self.column)) for row in rows]


def fit_baseline(rows: Sequence[Row], target: str, columns: Sequence[str], kind: Kind) -> Baseline:
    """Fit the best naive baseline on the rows of the training part; `target` and `columns` name cells of the rows.

    A column is numeric when all its filled cells are numbers; None, "" and NaN are empty and get the overall prediction
    (all cells of a categorical column count as text). The order of the rows does not matter; of equally good baselines
    the simpler one (the first named) is taken.

    Raises:
        NotMeasured: there are fewer than 2 rows.
        UserMistake: the target is one of the columns, or a row has no usable target.
    """
    if target in columns:
        raise UserMistake(f"columns must not contain the target, got {target!r}")
    if len(rows) < 2:
        raise NotMeasured(f"a baseline needs at least 2 rows, got {len(rows)}")
    targets = _targets(rows, target, kind)
    folds = _folds(rows, [target, *columns])
    tried = []
    for name, column, fit in _ways(rows, columns, kind):
        cells = [_cell(row, column) for row in rows]
        tried.append((_cross_validated_loss(cells, targets, folds, fit, kind), name, column, fit))
    tried.sort(key=lambda way: way[0])
    _, name, column, fit = tried[0]
    return Baseline(
        name=name,
        kind=kind,
        column=column,
        losses=tuple((tried_name, loss) for loss, tried_name, _, _ in tried),
        predict_cell=fit([_cell(row, column) for row in rows], targets),
    )


def _ways(rows: Sequence[Row], columns: Sequence[str], kind: Kind) -> list[tuple[str, str | None, _Fit]]:
    """Return name, column and fit of everything to try, simplest first."""
    number = kind is Kind.REGRESSION
    ways: list[tuple[str, str | None, _Fit]]
    ways = [("mean", None, _fit_mean), ("median", None, _fit_median)] if number else [("majority", None, _fit_majority)]
    per_value = _fit_value_means if number else _fit_value_majorities
    for column in columns:
        name = f"single best column: {column}"
        if not _is_numeric([row.get(column) for row in rows]):
            ways.append((name, column, per_value))
            continue
        ways.append((f"{name} (bins)", column, _binned(per_value)))
        if number:
            ways.append((f"{name} (line)", column, _fit_line))
    return ways


def _cell(row: Row, column: str | None) -> Any:
    """Return the cell, or None where it is empty or no column is asked for."""
    value = None if column is None else row.get(column)
    return None if value == "" or (isinstance(value, float) and math.isnan(value)) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_numeric(cells: Sequence[Any]) -> bool:
    filled = [cell for cell in cells if cell is not None]
    return bool(filled) and all(map(_is_number, filled))


def _targets(rows: Sequence[Row], target: str, kind: Kind) -> list[Any]:
    allowed = "a finite number" if kind is Kind.REGRESSION else "a label"
    targets = [_cell(row, target) for row in rows]
    for at, value in enumerate(targets):
        if value is None or (kind is Kind.REGRESSION and not _is_number(value)):
            raise UserMistake(f"rows[{at}][{target!r}] must be {allowed}, got {rows[at].get(target)!r}")
    return targets


def _folds(rows: Sequence[Row], columns: Sequence[str]) -> list[int]:
    """Return each row's fold: equal sizes, whatever the order of the rows. Equal rows are interchangeable."""
    texts = [repr([row.get(column) for column in columns]) for row in rows]
    order = sorted(range(len(rows)), key=lambda at: (position(texts[at], salt="", purpose="baseline"), texts[at]))
    folds = [0] * len(rows)
    for place, at in enumerate(order):
        folds[at] = place % FOLDS
    return folds


def _cross_validated_loss(
    cells: Sequence[Any], targets: Sequence[Any], folds: Sequence[int], fit: _Fit, kind: Kind
) -> float:
    losses = []
    for fold in sorted(set(folds)):
        kept = [at for at, other in enumerate(folds) if other != fold]
        predict = fit([cells[at] for at in kept], [targets[at] for at in kept])
        for at, other in enumerate(folds):
            if other == fold:
                predicted = predict(cells[at])
                wrong = abs(predicted - targets[at]) if kind is Kind.REGRESSION else predicted != targets[at]
                losses.append(float(wrong))
    return mean(losses)


def _fit_mean(_cells: Sequence[Any], targets: Sequence[Any]) -> _Predict:
    value = mean(targets)
    return lambda _cell: value


def _fit_median(_cells: Sequence[Any], targets: Sequence[Any]) -> _Predict:
    value = float(median(targets))
    return lambda _cell: value


def _fit_majority(_cells: Sequence[Any], targets: Sequence[Any]) -> _Predict:
    value = _most(Counter(targets))
    return lambda _cell: value


def _most(weights: Mapping[Any, float]) -> Any:
    """Return the label of the largest weight; of equal ones the first by its text."""
    return min(weights, key=lambda label: (-weights[label], repr(label)))


def _by_value(cells: Sequence[Any], targets: Sequence[Any]) -> dict[str, list[Any]]:
    grouped = defaultdict(list)
    for cell, target in zip(cells, targets, strict=True):
        if cell is not None:
            grouped[str(cell)].append(target)
    return grouped


def _fit_value_means(cells: Sequence[Any], targets: Sequence[Any]) -> _Predict:
    overall = mean(targets)
    means = {
        value: (math.fsum(seen) + SHRINKAGE * overall) / (len(seen) + SHRINKAGE)
        for value, seen in _by_value(cells, targets).items()
    }
    return lambda cell: means.get(str(cell), overall)


def _fit_value_majorities(cells: Sequence[Any], targets: Sequence[Any]) -> _Predict:
    shares = {label: count / len(targets) for label, count in Counter(targets).items()}
    overall = _most(shares)
    labels = {}
    for value, seen in _by_value(cells, targets).items():
        counts = Counter(seen)
        labels[value] = _most({label: counts[label] + SHRINKAGE * share for label, share in shares.items()})
    return lambda cell: labels.get(str(cell), overall)


def _binned(per_value: _Fit) -> _Fit:
    """Return a fit that treats tenths of the column's numbers as its values."""

    def fit(cells: Sequence[Any], targets: Sequence[Any]) -> _Predict:
        filled = sorted(cell for cell in cells if cell is not None)
        edges = sorted({filled[place * len(filled) // BINS] for place in range(1, BINS)}) if filled else []

        def bin_of(cell: Any) -> int | None:
            return None if cell is None else bisect_right(edges, cell)

        predict = per_value([bin_of(cell) for cell in cells], targets)
        return lambda cell: predict(bin_of(cell))

    return fit


def _fit_line(cells: Sequence[Any], targets: Sequence[Any]) -> _Predict:
    """Fit a least squares line; beyond the numbers seen it goes on level."""
    overall = mean(targets)
    pairs = [(float(cell), target) for cell, target in zip(cells, targets, strict=True) if cell is not None]
    spread = 0.0
    if pairs:
        centre, level = mean([x for x, _ in pairs]), mean([y for _, y in pairs])
        spread = math.fsum((x - centre) ** 2 for x, _ in pairs)
    if spread == 0:
        return lambda _cell: overall
    slope = math.fsum((x - centre) * (y - level) for x, y in pairs) / spread
    low, high = min(pairs)[0], max(pairs)[0]
    return lambda cell: overall if cell is None else level + slope * (min(max(cell, low), high) - centre)
