"""A learner of this project's own: what critics will say about a film, from what is known before they see it.

A first model predicts the score from numbers (year, runtime, genres, lengths of lists).
What it leaves over is credited to the people who made the film, shrunken where a person made few. A second model joins
both. The people's effects are taken out of fold, so that no film's own score is among its features.
"""

import json
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.errors import NotMeasured
from overnight.base.files import replace_file
from overnight.training.agents import TrainContext
from overnight.training.encoding import NameEffects, out_of_fold
from overnight.training.trainers.basis import one_thread

if TYPE_CHECKING:
    from overnight.training.encoding import Numbers, Rows

Record = dict[str, Any]

FOLDS = 4
SHRINKAGE = 4.0
FEWEST_FILMS = 40
LISTS = ("director", "writer", "cast", "crew")
TRUSTED = ["sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor"]
"""What may be in a saved model beside the types that skops trusts by itself."""


def boosted_trees(iterations: int, rate: float, smallest_leaf: int) -> Any:
    """Return a regressor without any chance in it."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    return HistGradientBoostingRegressor(
        max_iter=iterations,
        learning_rate=rate,
        max_leaf_nodes=12,
        min_samples_leaf=smallest_leaf,
        l2_regularization=5.0,
        early_stopping=False,
        random_state=0,
    )


def words(text: str | None) -> list[str]:
    """Return the parts of a list such as "Drama, Crime"."""
    return [part for part in (text or "").split(", ") if part]


@dataclass(frozen=True)
class Films:
    """Films as features: `numbers` has a row per film, `people` the names per film in each of LISTS."""

    ids: list[str]
    numbers: "Numbers"
    people: dict[str, list[list[str]]]

    @classmethod
    def read(cls, records: Sequence[Record], genres: list[str], more: Sequence[list[float]] = ()) -> "Films":
        """Return the features of records; `more` holds further numbers per film."""
        import numpy as np

        people = {name: [words(record[name]) for record in records] for name in LISTS[:3]}
        people["crew"] = [
            sorted({*directors, *writers})
            for directors, writers in zip(people["director"], people["writer"], strict=True)
        ]
        rows = []
        for place, record in enumerate(records):
            directors, writers, cast = (people[name][place] for name in LISTS[:3])
            title, of_genres = record["title"] or "", words(record["genre"])
            # 0 stands for unknown: trees can tell it from every real value.
            row = [
                record["year"] or 0,
                record["runtime"] or 0,
                len(title),
                len(title.split()),
                bool(re.search(r"\d", title)),
            ]
            row += [len(of_genres), len(directors), len(writers), len(cast), len({*directors} & {*writers})]
            rows.append([*row, *(genre in of_genres for genre in genres), *(column[place] for column in more)])
        numbers = np.array(rows, dtype=np.float64).reshape(len(records), -1)
        return cls([record["id"] for record in records], numbers, people)

    def take(self, rows: "Rows") -> "Films":
        """Return the films of these rows."""
        people = {name: [lists[row] for row in rows] for name, lists in self.people.items()}
        return Films([self.ids[row] for row in rows], self.numbers[rows], people)


@dataclass(frozen=True)
class FirstStage:
    """The plain model on numbers, and the people's effects on what it leaves over."""

    plain: Any
    effects: dict[str, NameEffects]

    @classmethod
    def fit(cls, films: Films, scores: "Numbers") -> "FirstStage":
        """Learn from films and their scores."""
        plain = boosted_trees(30, 0.15, 20).fit(films.numbers, scores)
        left_over = scores - plain.predict(films.numbers)
        effects = {name: NameEffects.fit(films.people[name], left_over, shrinkage=SHRINKAGE) for name in LISTS}
        return cls(plain, effects)

    def features(self, films: Films) -> "Numbers":
        """Return the numbers, the plain prediction and the people's effects of films that it was not fitted on."""
        import numpy as np

        people = [self.effects[name].encode(films.people[name]) for name in LISTS]
        return np.column_stack([films.numbers, self.plain.predict(films.numbers), *people])


@dataclass(frozen=True)
class FilmModel:
    """Predicts a score; everything in it was learnt from the films that `fit` was given."""

    first: FirstStage
    joined: Any

    @classmethod
    def fit(cls, films: Films, scores: "Numbers", seed: int) -> "FilmModel":
        """Learn from films and their scores."""
        features = out_of_fold(
            films.ids,
            lambda fit, apply: FirstStage.fit(films.take(fit), scores[fit]).features(films.take(apply)),
            folds=FOLDS,
            salt=f"people {seed}",
        )
        return cls(FirstStage.fit(films, scores), boosted_trees(120, 0.1, 30).fit(features, scores))

    def predict(self, films: Films) -> "Numbers":
        """Return a score per film that it was not fitted on."""
        predicted: Numbers = self.joined.predict(self.first.features(films))
        return predicted

    def save(self, folder: Path) -> None:
        """Write the trees with skops and the people as JSON."""
        import skops.io

        folder.mkdir(parents=True, exist_ok=True)
        trees = skops.io.dumps({"plain": self.first.plain, "joined": self.joined})
        replace_file(folder / "trees.skops", trees)
        people = {name: effects.to_dict() for name, effects in self.first.effects.items()}
        replace_file(folder / "people.json", json.dumps(people))

    @classmethod
    def load(cls, folder: Path) -> "FilmModel":
        """Read what `save` wrote; a file with other types than the trusted ones is refused."""
        import skops.io

        trees = skops.io.loads((folder / "trees.skops").read_bytes(), trusted=TRUSTED)
        people = json.loads((folder / "people.json").read_text())
        effects = {name: NameEffects.from_dict(values) for name, values in people.items()}
        return cls(FirstStage(trees["plain"], effects), trees["joined"])


class FilmAgent(ABC):
    """What agents that predict a film's score share."""

    model: FilmModel
    target: str
    scale: tuple[float, float]
    genres: list[str]

    def train(self, data: list[Record], ctx: TrainContext) -> dict[str, Any]:
        """Learn to predict `ctx.target` from the films in `data`; see `learn`."""
        import numpy as np

        if len(data) < FEWEST_FILMS:
            raise NotMeasured(f"{len(data)} films are too few to learn from, at least {FEWEST_FILMS} are needed")
        data = sorted(data, key=lambda record: record["id"])
        self.target, self.scale = ctx.target, ctx.scale
        self.genres = sorted({genre for record in data for genre in words(record["genre"])})
        scores = np.array([record[ctx.target] for record in data], dtype=np.float64)
        with one_thread():
            metrics = self.learn(data, scores, ctx)
        return {"status": "completed", "metrics": {"films": len(data), **metrics}}

    @abstractmethod
    def learn(self, data: list[Record], scores: "Numbers", ctx: TrainContext) -> dict[str, float]:
        """Set `model`; return what was measured on the way."""

    def predict(self, items: list[Record]) -> list[float]:
        """Return a score per film, on the scale of the target."""
        import numpy as np

        if not items:
            return []
        with one_thread():
            predicted: list[float] = np.clip(self.model.predict(self.features(items)), *self.scale).tolist()
        return predicted

    def evaluate(self, items: list[Record]) -> list[float]:
        """Return minus the absolute error per film."""
        return [-abs(item[self.target] - score) for item, score in zip(items, self.predict(items), strict=True)]

    def features(self, records: Sequence[Record]) -> Films:
        """Return what the model looks at."""
        return Films.read(records, self.genres)

    def save(self, folder: Path) -> None:
        """Write all that `load` needs."""
        self.model.save(folder)
        about = {"target": self.target, "scale": self.scale, "genres": self.genres}
        replace_file(folder / "about.json", json.dumps(about))

    def load(self, folder: Path) -> None:
        """Become the agent that was saved."""
        about = json.loads((folder / "about.json").read_text())
        self.target, self.scale, self.genres = about["target"], about["scale"], about["genres"]
        self.model = FilmModel.load(folder)


class VideoConcept(FilmAgent):
    """Predicts the critics' mean rating (0-10), with what the trend detective expects as one more number."""

    def learn(self, data: list[Record], scores: "Numbers", ctx: TrainContext) -> dict[str, float]:
        """Fit on all films."""
        self.model = FilmModel.fit(self.features(data), scores, ctx.seed)
        return {}

    def features(self, records: Sequence[Record]) -> Films:
        """Return what the model looks at."""
        return Films.read(records, self.genres, more=[[record["trend_detective"] for record in records]])

    def act(self, item: Record, ctx: Any = None) -> dict[str, float]:
        """Return the rating that the film of one input would get."""
        return {"expected_rating": self.predict([item])[0]}
