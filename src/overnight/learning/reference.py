"""How far an exercise's data can be learnt: from answering always the same to what simple learners reach."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from overnight.learning.items import Items
from overnight.proof.labels import macro_f1

if TYPE_CHECKING:
    from overnight.learning.items import Places


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A metric of the held-out items: of the `majority` of the training labels, and of the `best` simple learner."""

    majority: float
    best: float

    def share(self, share: float) -> float:
        """Return the value at a share of the way from the majority to the best."""
        return self.majority + share * (self.best - self.majority)


def reference(items: Items, metric: str) -> Reference:
    """Return how far the items can be learnt.

    The learners are a logistic regression and a support vector machine with a Gaussian kernel, both with what
    scikit-learn sets by default: each has one solution for the same items, without a seed, and they learn otherwise
    than what an exercise executes, so that no strategy is measured by itself. `metric` is "accuracy" or "macro_f1".
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression
    from sklearn.svm import SVC

    training, held_out = items.training, items.held_out
    most = np.bincount(training.labels).argmax()
    learners = (LogisticRegression(max_iter=1000), SVC())
    answers = [one.fit(training.columns, training.labels).predict(held_out.columns) for one in learners]
    return Reference(
        majority=figure(metric, held_out.labels, np.full_like(held_out.labels, most)),
        best=max(figure(metric, held_out.labels, given) for given in answers),
    )


def figure(metric: str, truths: "Places", answers: "Places") -> float:
    """Return the accuracy or the macro-F1 of answers."""
    if metric == "accuracy":
        return float((truths == answers).mean())
    return macro_f1(_texts(truths), _texts(answers))


def _texts(labels: "Places") -> Sequence[str]:
    return [str(label) for label in labels.tolist()]
