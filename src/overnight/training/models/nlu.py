"""An intent from a text, or none where the text is out of scope: a softmax regression on words and pieces of words.

Texts that are known to be out of scope are one more class (Larson et al. 2019, EMNLP, "An evaluation dataset for
intent classification and out-of-scope prediction").
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from overnight.base.errors import NotMeasured, UserMistake
from overnight.base.files import write_json
from overnight.training.arrays import load_arrays, save_arrays
from overnight.training.models.gradients import (
    Learning,
    RowGradient,
    cross_entropy,
    kept_by_dropout,
    needs_numpy,
    smoothed,
    softmax,
    steps_of,
)
from overnight.training.models.terms import Terms
from overnight.training.ports import Item, State, Validation
from overnight.training.trainers.basis import FEWEST, with_defaults

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.typing import NDArray
    from scipy.sparse import csr_matrix

    Floats = NDArray[float32]
    Rows = NDArray[int64]

NOWHERE = -1
"""The class of a validation item that the training part does not have."""
WEIGHTS, ABOUT = "weights.npz", "about.json"


class Nlu:
    """Names the intent of a text; measured by accuracy, where the right answer may be that there is none.

    An `input` is a text; an `expected_output` is the name of its intent, or null where it is out of scope. Answers are
    `{"intent": ..., "confidence": ...}`, with null for the intent if the confidence is below the setting
    `reject_below`. Confidence is (1 + p - q) / 2 for the probability p of the most probable intent and q of being out
    of scope: 1 is sure, 0.5 as likely out of scope. Without examples that are out of scope, q is 0.
    """

    metric: ClassVar[str] = "accuracy"
    metric_sign: ClassVar[int] = 1
    score_bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    DEFAULTS: ClassVar[Mapping[str, float]] = {
        "batch_size": 64,
        "learning_rate": 0.02,
        "dropout": 0.3,
        "smoothing": 0.1,
        "reject_below": 0.52,
    }
    """`dropout` is the share of a text's terms that is left out, another one each time."""

    terms: Terms
    intents: list[str]
    outside: bool
    weights: "dict[str, Floats]"
    learning: Learning

    @classmethod
    def check(cls, item: Item) -> str | None:
        """Return what is wrong with a text or its intent, in one line."""
        wrong = [said for said in (_wrong_text(item.get("input")), _wrong_intent(item)) if said]
        return "; ".join(wrong) or None

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:
        needs_numpy()
        shares = ("dropout", "smoothing", "reject_below")
        self.settings = with_defaults(settings, self.DEFAULTS, may_be_0=shares, below_1=shares, whose="this trainer")
        self.seed = seed

    def prepare(self, training: Sequence[Item], validation: Sequence[Item], epochs: int) -> None:
        """Turn the texts into rows and set up the regression.

        Raises:
            NotMeasured: there are too few texts, only one intent, or no words that occur again.
        """
        import numpy as np

        if len(training) < FEWEST:
            raise NotMeasured(f"{len(training)} texts are too few to learn from, at least {FEWEST} are needed")
        named = {item["expected_output"] for item in training}
        self.outside = None in named
        self.intents = sorted(named - {None})
        if len(self.intents) < 2:
            found = f"only the intent {self.intents[0]!r}" if self.intents else "no intent"
            raise NotMeasured(f"the texts have {found}; there is nothing to learn")
        texts = [item["input"] for item in training]
        self.terms = Terms.fit(texts)
        if not self.terms.columns:
            raise NotMeasured("no two texts have a word or a part of one in common; there is nothing to learn from")
        self._rows = self.terms.rows(texts)
        self._truths = self._places(training)
        self._unseen = self.terms.rows([item["input"] for item in validation])
        self._unseen_truths = self._places(validation)
        self._no_intent = np.array([item["expected_output"] is None for item in validation], dtype=bool)
        self.weights = {
            "terms": np.zeros((self.terms.columns, self._classes), dtype=np.float32),
            "bias": np.zeros(self._classes, dtype=np.float32),
        }
        self.learning = Learning(
            self.weights,
            np.random.Generator(np.random.PCG64(self.seed)),
            steps=steps_of(len(training), self.batch_size, epochs),
            rate=self.settings["learning_rate"],
        )

    @property
    def batch_size(self) -> int:
        """How many texts one call of `train_batch` takes at the most."""
        return int(self.settings["batch_size"])

    def train_batch(self, rows: "Rows", epoch: int) -> float:
        """Learn from the training texts at these places, without a part of their terms; return their mean loss."""
        import numpy as np
        from scipy.sparse import csr_matrix

        some = self._rows[rows]
        if self.settings["dropout"]:
            some.data *= kept_by_dropout(self.learning.generator, some.data.shape, self.settings["dropout"])
        # Only the terms of these texts take part: a few of all.
        places, columns = np.unique(some.indices, return_inverse=True)
        part = csr_matrix((some.data, columns.astype(np.int32), some.indptr), shape=(len(rows), len(places)))
        logits: Floats = part @ self.weights["terms"][places] + self.weights["bias"]
        losses, gradient = cross_entropy(logits, self._targets(self._truths[rows]))
        by_term = RowGradient(places, part.T @ gradient)
        self.learning.step({"terms": by_term, "bias": gradient.sum(axis=0)})
        return float(losses.mean())

    def validate(self) -> Validation:
        """Measure the accuracy with rejection, and the loss (as trained) of the texts whose class is known."""
        import numpy as np

        if not len(self._unseen_truths):
            return Validation()
        logits = self._logits(self._unseen)
        best, sure = self._best(softmax(logits))
        taken = sure >= self.settings["reject_below"]
        right = np.where(self._no_intent, ~taken, taken & (best == self._unseen_truths))
        known = np.flatnonzero(self._unseen_truths != NOWHERE)
        losses, _ = cross_entropy(logits[known], self._targets(self._unseen_truths[known]))
        return Validation(loss=float(losses.mean()) if len(known) else None, metric=float(right.mean()))

    def state(self) -> State:
        """Return weights, optimiser and generator."""
        return self.learning.state()

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            PermanentError: it is of another model.
        """
        self.learning.restore(state)

    def schema(self) -> dict[str, Any]:  # Any: JSON
        """Tell what goes in and comes out."""
        return {"inputs": {"type": "text"}, "outputs": {"type": "class", "classes": self.intents, "none": self.outside}}

    def save(self, folder: Path) -> None:
        """Write the weights, and the names of terms and intents."""
        save_arrays(folder / WEIGHTS, self.weights)
        about = {
            "intents": self.intents,
            "outside": self.outside,
            "terms": self.terms.to_dict(),
            "settings": self.settings,
            "seed": self.seed,
        }
        write_json(folder / ABOUT, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the model that `save` wrote."""
        about = json.loads((folder / ABOUT).read_text())
        found = cls(about["settings"], about["seed"])
        found.intents, found.outside = about["intents"], about["outside"]
        found.terms = Terms.from_dict(about["terms"])
        found.weights = load_arrays(folder / WEIGHTS)
        return found

    def predict(self, inputs: Sequence[Any]) -> list[Any]:
        """Return `{"intent", "confidence"}` for each text; the intent is None where it is taken for out of scope.

        Raises:
            UserMistake: an input is no text.
        """
        intents, sure = self.score(inputs)
        least = self.settings["reject_below"]
        return [
            {"intent": intent if confidence >= least else None, "confidence": confidence}
            for intent, confidence in zip(intents, sure, strict=True)
        ]

    def scores(self, items: Sequence[Item]) -> dict[str, float]:
        """Return 1 for each text whose intent, or that it has none, is answered rightly, else 0."""
        answers = self.predict([item["input"] for item in items])
        return {
            str(item["id"]): float(answer["intent"] == item["expected_output"])
            for item, answer in zip(items, answers, strict=True)
        }

    def score(self, inputs: Sequence[Any]) -> tuple[list[str], list[float]]:
        """Return the most probable intent of each text, and how sure that is, without rejecting any.

        Raises:
            UserMistake: an input is no text.
        """
        for place, text in enumerate(inputs):
            if wrong := _wrong_text(text):
                raise UserMistake(f"text {place}: {wrong}")
        best, sure = self._best(softmax(self._logits(self.terms.rows(inputs))))
        return [self.intents[place] for place in best.tolist()], [float(one) for one in sure]

    @property
    def _classes(self) -> int:
        return len(self.intents) + self.outside

    def _places(self, items: Sequence[Item]) -> "Rows":
        """Return the class of each item; being out of scope is the last one, where there is such a class."""
        import numpy as np

        places: dict[str | None, int] = {intent: place for place, intent in enumerate(self.intents)}
        if self.outside:
            places[None] = len(self.intents)
        return np.array([places.get(item["expected_output"], NOWHERE) for item in items], dtype=np.int64)

    def _targets(self, truths: "Rows") -> "Floats":
        """Return what should come out: most for the right class, the rest for the intents, none for out of scope."""
        import numpy as np

        inside = truths < len(self.intents)
        targets: Floats = np.zeros((len(truths), self._classes), dtype=np.float32)
        targets[inside, : len(self.intents)] = smoothed(truths[inside], len(self.intents), self.settings["smoothing"])
        if self.outside:
            targets[~inside, -1] = 1
        return targets

    def _logits(self, rows: "csr_matrix") -> "Floats":
        found: Floats = rows @ self.weights["terms"] + self.weights["bias"]
        return found

    def _best(self, chances: "Floats") -> "tuple[Rows, Floats]":
        """Return the most probable intent of each row, and how sure that is."""
        import numpy as np

        intents = chances[:, : len(self.intents)]
        outside = chances[:, -1] if self.outside else np.float32(0)
        sure: Floats = (1 + intents.max(axis=1) - outside) / np.float32(2)
        return intents.argmax(axis=1), sure


def _wrong_text(value: Any) -> str | None:  # Any: a person's JSON
    if value is None:
        return "input: missing; a text"
    if not isinstance(value, str):
        return f"input: {value!r} is not a text"
    return None if value.strip() else "input: an empty text"


def _wrong_intent(item: Item) -> str | None:
    if "expected_output" not in item:
        return "expected_output: missing; the name of the intent, or null for a text that is out of scope"
    intent = item["expected_output"]
    if intent is not None and (not isinstance(intent, str) or not intent.strip()):
        return f"expected_output: {intent!r} is neither the name of an intent nor null"
    return None
