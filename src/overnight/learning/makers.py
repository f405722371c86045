"""Draws what the data of an exercise is made of, for each type of task. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, log2

from overnight.learning.recipes import DATA_SETS, GENERATED, Recipe
from overnight.proof.splits import position


@dataclass(frozen=True, kw_only=True)
class Draw:
    """Numbers by chance that follow from a name and a purpose."""

    name: str

    def number(self, purpose: str, least: float, most: float) -> float:
        """Return a number between two, to three digits."""
        return round(least + (most - least) * position(self.name, salt="exercise", purpose=purpose), 3)

    def whole(self, purpose: str, least: int, most: int) -> int:
        """Return a whole number from one to another."""
        return least + int((most - least + 1) * position(self.name, salt="exercise", purpose=purpose))

    def one(self, purpose: str, choices: Sequence[str]) -> str:
        """Return one of the choices."""
        return choices[self.whole(purpose, 0, len(choices) - 1)]

    def some(self, purpose: str, choices: Sequence[str], count: int) -> list[str]:
        """Return so many of the choices, in their order."""
        by_chance = sorted(choices, key=lambda one: position(f"{self.name}/{one}", salt="exercise", purpose=purpose))
        return sorted(by_chance[:count])


def _seed(draw: Draw) -> int:
    return draw.whole("seed", 0, 2**32 - 1)


def _even(labels: Sequence[str]) -> dict[str, float]:
    return {label: round(1 / len(labels), 4) for label in labels}


def _numbered(count: int) -> list[str]:
    return [str(number) for number in range(count)]


def _of_digits(
    draw: Draw, labels: int, items: int, held_out: int, *, label_noise: float = 0.0, column_noise: float = 0.0
) -> Recipe:
    """Return a recipe of so many labels of handwritten digits, with that many items of each in both parts."""
    return Recipe(
        data="digits",
        seed=_seed(draw),
        training_items=items * labels,
        held_out_items=held_out * labels,
        labels=_even(draw.some("labels", list(DATA_SETS["digits"].labels), labels)),
        label_noise=label_noise,
        column_noise=column_noise,
    )


def _generated(
    draw: Draw,
    labels: Mapping[str, float],
    items: tuple[int, int],
    *,
    separation: float,
    clusters: int = 1,
    label_noise: float = 0.0,
) -> Recipe:
    """Return a recipe of generated data, with so many training and held-out items."""
    informative = ceil(log2(len(labels) * clusters)) + draw.whole("informative", 2, 4)
    return Recipe(
        data=GENERATED,
        seed=_seed(draw),
        training_items=items[0],
        held_out_items=items[1],
        labels=labels,
        label_noise=label_noise,
        columns=informative + draw.whole("columns", 2, 12),
        informative=informative,
        clusters=clusters,
        separation=separation,
    )


def _separable_found(draw: Draw) -> Recipe:
    data = draw.one("data", ("breast_cancer", "digits", "iris", "wine"))
    if data == "digits":
        return _of_digits(draw, draw.whole("count", 3, 5), draw.whole("items", 40, 70), 80)
    items, held_out = {"breast_cancer": (200, 200), "iris": (75, 69), "wine": (75, 66)}[data]
    return Recipe(
        data=data,
        seed=_seed(draw),
        training_items=items,
        held_out_items=held_out,
        labels=_even(list(DATA_SETS[data].labels)),
    )


def _separable_generated(draw: Draw) -> Recipe:
    labels = _even(_numbered(draw.whole("count", 2, 4)))
    items = (draw.whole("items", 200, 400), 300)
    return _generated(draw, labels, items, separation=draw.number("separation", 1.5, 2.5))


def _noisy_found(draw: Draw) -> Recipe:
    wrong, noise = draw.number("label", 0.05, 0.2), draw.number("column", 0.2, 0.8)
    if draw.one("data", ("breast_cancer", "digits")) == "digits":
        count, items = draw.whole("count", 4, 8), draw.whole("items", 30, 60)
        return _of_digits(draw, count, items, 50, label_noise=wrong, column_noise=noise)
    return Recipe(
        data="breast_cancer",
        seed=_seed(draw),
        training_items=200,
        held_out_items=200,
        labels=_even(("0", "1")),
        label_noise=wrong,
        column_noise=noise,
    )


def _noisy_generated(draw: Draw) -> Recipe:
    labels = _even(_numbered(draw.whole("count", 2, 5)))
    return _generated(
        draw,
        labels,
        (draw.whole("items", 200, 400), 300),
        separation=draw.number("separation", 1, 1.5),
        clusters=2,
        label_noise=draw.number("label", 0.05, 0.2),
    )


def _rare(draw: Draw, labels: Sequence[str]) -> dict[str, float]:
    """Return shares such that all labels but the first are rare."""
    share = draw.number("rare", 0.06, 0.12)
    return {labels[0]: round(1 - share * (len(labels) - 1), 4)} | dict.fromkeys(labels[1:], share)


def _imbalanced_found(draw: Draw) -> Recipe:
    data = draw.one("data", ("breast_cancer", "digits"))
    if data == "digits":
        labels = draw.some("labels", list(DATA_SETS[data].labels), draw.whole("count", 2, 4))
        items, held_out = draw.whole("items", 70, 90), 90
    else:
        labels, items, held_out = ["1", "0"], draw.whole("items", 150, 200), 180
    return Recipe(
        data=data,
        seed=_seed(draw),
        training_items=items,
        held_out_items=held_out,
        labels=_rare(draw, labels),
        column_noise=draw.number("column", 0.2, 0.8),
    )


def _imbalanced_generated(draw: Draw) -> Recipe:
    labels = _rare(draw, _numbered(draw.whole("count", 2, 4)))
    items = (draw.whole("items", 250, 400), 400)
    return _generated(draw, labels, items, separation=draw.number("separation", 1, 1.5))


def _small_found(draw: Draw) -> Recipe:
    data, noise = draw.one("data", ("breast_cancer", "digits", "wine")), draw.number("column", 0.4, 1)
    if data == "digits":
        return _of_digits(draw, draw.whole("count", 3, 5), draw.whole("items", 5, 10), 80, column_noise=noise)
    return Recipe(
        data=data,
        seed=_seed(draw),
        training_items=draw.whole("items", 15, 30),
        held_out_items={"breast_cancer": 200, "wine": 100}[data],
        labels=_even(list(DATA_SETS[data].labels)),
        column_noise=noise,
    )


def _small_generated(draw: Draw) -> Recipe:
    labels = _even(_numbered(draw.whole("count", 2, 3)))
    items = (draw.whole("items", 30, 60), 300)
    return _generated(draw, labels, items, separation=draw.number("separation", 0.8, 1.3))


def _many_found(draw: Draw) -> Recipe:
    return _of_digits(draw, 10, draw.whole("items", 6, 15), 40, column_noise=draw.number("column", 0.2, 0.8))


def _many_generated(draw: Draw) -> Recipe:
    count = draw.whole("count", 12, 20)
    items = (count * draw.whole("items", 8, 15), count * 20)
    return _generated(draw, _even(_numbered(count)), items, separation=draw.number("separation", 1, 1.5))


MAKERS: Mapping[str, tuple[Callable[[Draw], Recipe], Callable[[Draw], Recipe]]] = {
    "tabular_separable": (_separable_found, _separable_generated),
    "tabular_noisy": (_noisy_found, _noisy_generated),
    "tabular_imbalanced": (_imbalanced_found, _imbalanced_generated),
    "small_data": (_small_found, _small_generated),
    "many_classes": (_many_found, _many_generated),
}
"""How the data of each type is made: that which scikit-learn brings, and generated."""
