"""What the data of an exercise is made of, as JSON. Pure."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion
from overnight.learning.checks import shown, storable, table
from overnight.learning.exercises import TRAINING

GENERATED = "generated"
MOST_ITEMS = 20_000
"""Training and held-out items of one exercise: more is no exercise, but a training run."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """Data that scikit-learn brings: how many columns, and how many different items of each label."""

    columns: int
    labels: Mapping[str, int]


DATA_SETS: Mapping[str, DataSet] = {
    "breast_cancer": DataSet(columns=30, labels={"0": 212, "1": 357}),
    "digits": DataSet(
        columns=64,
        labels=dict(zip("0123456789", (178, 182, 177, 183, 181, 182, 181, 179, 174, 180), strict=True)),
    ),
    "iris": DataSet(columns=4, labels={"0": 50, "1": 50, "2": 49}),
    "wine": DataSet(columns=13, labels={"0": 59, "1": 71, "2": 48}),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Which items an exercise has; the same recipe always gives the same items.

    `data` is one of `DATA_SETS` or "generated". `labels` are the labels that are taken, with the share of the items
    that each has, in both parts. `label_noise` is the share of items, in both parts, whose label is another one,
    `column_noise` what is added to each column, in its standard deviations. The rest is for generated data, which is
    scikit-learn's `make_classification`: `columns` of which `informative` tell the label, `clusters` of each label,
    `separation` of the clusters.
    """

    data: str
    seed: int
    training_items: int
    held_out_items: int
    labels: Mapping[str, float]
    label_noise: float = 0.0
    column_noise: float = 0.0
    columns: int = 0
    informative: int = 0
    clusters: int = 0
    separation: float = 0.0

    @classmethod
    def from_dict(cls, work: Mapping[str, Any]) -> Self:  # Any: a person wrote it
        """Return the recipe that an exercise's `work` is.

        Raises:
            UserMistake: a key is missing or unknown, or a value cannot be; the message names it.
        """
        known = [field.name for field in fields(cls)]
        given = table(work, "work", known[:5], [*known[5:], "kind"])
        recipe = cls(**{key: value for key, value in given.items() if key != "kind"})
        recipe._check()
        return recipe

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the recipe as JSON."""
        values = asdict(self)
        own = ("columns", "informative", "clusters", "separation")
        told = {key: value for key, value in values.items() if self.data == GENERATED or key not in own}
        return {"kind": TRAINING, **told}

    @property
    def width(self) -> int:
        """How many columns the items have."""
        return self.columns if self.data == GENERATED else DATA_SETS[self.data].columns

    def counts(self, items: int) -> dict[str, int]:
        """Return how many of so many items have each label: its share, but at least one."""
        return {label: max(1, round(share * items)) for label, share in self.labels.items()}

    def _check(self) -> None:
        _whole("seed", self.seed, 0, 2**32 - 1)
        _whole("training_items", self.training_items, 2, MOST_ITEMS)
        _whole("held_out_items", self.held_out_items, 2, MOST_ITEMS)
        _number("label_noise", self.label_noise, 0, 1)
        _number("column_noise", self.column_noise, 0, 100)
        _check_labels(self.labels)
        if self.data == GENERATED:
            self._check_generated()
        elif isinstance(self.data, str) and self.data in DATA_SETS:
            self._check_found(DATA_SETS[self.data])
        else:
            raise UserMistake(f"work.data: there is no {self.data!r}{suggestion(str(self.data), self._sources())}")

    def _check_generated(self) -> None:
        _whole("columns", self.columns, 2, 1000)
        _whole("informative", self.informative, 2, self.columns)
        _whole("clusters", self.clusters, 1, 16)
        _number("separation", self.separation, 0, 100)
        corners = 2**self.informative
        if len(self.labels) * self.clusters > corners:
            raise UserMistake(
                f"work.informative: {self.informative} columns have {corners} corners, too few for "
                f"{len(self.labels)} labels of {self.clusters} clusters"
            )

    def _check_found(self, source: DataSet) -> None:
        for label in self.labels:
            if label not in source.labels:
                raise UserMistake(
                    f"work.labels: {self.data} has no label {label!r}{suggestion(str(label), source.labels)}"
                )
            asked = self.counts(self.training_items)[label] + self.counts(self.held_out_items)[label]
            if asked > source.labels[label]:
                raise UserMistake(
                    f"work.labels: {self.data} has {source.labels[label]} items of label {label!r}, asked are {asked}"
                )

    @staticmethod
    def _sources() -> list[str]:
        return [*DATA_SETS, GENERATED]


def _check_labels(labels: object) -> None:
    if not isinstance(labels, Mapping) or len(labels) < 2:
        raise UserMistake(f"work.labels: {labels!r} is not a table of at least 2 labels with their shares")
    for label, share in labels.items():
        storable(label, "work.labels")
        _number(f"labels.{label}", share, 0, 1)
    if abs(math.fsum(labels.values()) - 1) > 0.01:
        raise UserMistake(f"work.labels: the shares sum up to {math.fsum(labels.values()):g}, not to 1")


def _whole(key: str, value: object, least: int, most: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UserMistake(f"work.{key}: {shown(value)} is not a whole number from {least} to {most}")


def _number(key: str, value: object, least: float, most: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool) or not least <= value <= most:
        raise UserMistake(f"work.{key}: {shown(value)} is not a number from {least:g} to {most:g}")
