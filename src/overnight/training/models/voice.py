"""Whether two recordings are of one speaker: a vector for each, learned from recordings whose speakers are known."""

import json
import math
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from overnight.base.errors import NotMeasured, UserMistake
from overnight.base.files import write_json
from overnight.proof.measures import equal_error_rate
from overnight.proof.splits import position
from overnight.training.arrays import load_arrays, save_arrays
from overnight.training.models.descent import Adam, rate_at
from overnight.training.models.gradients import generator_state, restore_generator
from overnight.training.models.sound import faster, noisy, read_sound, sounds_like, wrong_sound
from overnight.training.models.speaker_encoder import (
    Statistics,
    counted,
    encode,
    first_weights,
    gradients,
    margin_loss,
    vectors,
)
from overnight.training.ports import Item, State, Validation
from overnight.training.trainers.basis import FEWEST, needs_ml, with_defaults

if TYPE_CHECKING:
    from numpy import float32, int64
    from numpy.random import Generator
    from numpy.typing import NDArray

    Floats = NDArray[float32]

MODEL, ABOUT = "model.npz", "about.json"
STATISTICS = ("centre", "spread", "middle", "directions")
AT_ONCE = 64
"""Recordings that are encoded at once."""
SPEEDS = (1.0, 0.9, 1.1)
"""A speaker at another speed is another speaker (Yamamoto et al. 2019, Interspeech, p. 406)."""
OFTEN = (0.8, 0.1, 0.1)
"""How often each speed is heard."""
QUIETEST, LOUDEST = 5.0, 25.0
"""Decibels that added noise is below the speech, from and to."""
REDDEST = 0.9
"""The colour of added noise, from 0 (white) on; see `noisy`."""
COPIES = 3
"""Noisy copies of each recording that statistics are counted on."""
CLEAN = 0.1
"""Share of recordings that no noise is added to."""
SHORTEST_PART = 0.4
"""Share of a recording's frames that are heard at the least."""
SCALE = 20.0
"""What cosines are multiplied by before the softmax."""


class Voice:
    """Gives recordings unit vectors whose cosine tells whether they are of one speaker; see `speaker_encoder`.

    An item's input is a sound, `{"path": file}` or `{"wav": base64 text}`, of one channel and at least 8,000 samples a
    second; its expected output is the speaker's name. The loss is an additive-margin softmax over the speakers.
    """

    metric: ClassVar[str] = "EER"
    metric_sign: ClassVar[int] = -1
    score_title: ClassVar[str] = "pairs in the right order"
    score_bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    defaults: ClassVar[Mapping[str, float]] = {"batch_size": 64, "rate": 0.003, "width": 64, "margin": 0.2}
    speakers: tuple[str, ...]
    statistics: Statistics
    weights: "dict[str, Floats]"

    @classmethod
    def check(cls, item: Item) -> str | None:
        """Return what is wrong with an experience: a sound and a name are needed."""
        wrong = wrong_sound(item.get("input"), "input")
        if wrong is not None:
            return wrong
        name = item.get("expected_output")
        return None if isinstance(name, str) and name.strip() else "expected_output: not the name of a speaker"

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:  # Any: the settings' own JSON
        self.settings = with_defaults(settings, self.defaults)
        self.seed = seed

    @property
    def batch_size(self) -> int:
        """How many recordings a batch has."""
        return int(self.settings["batch_size"])

    def prepare(self, training: Sequence[Item], validation: Sequence[Item], epochs: int) -> None:
        """Read all recordings and count the statistics of the training part.

        Raises:
            UserMistake: an item is not a sound with a speaker.
            PermanentError: a sound cannot be read.
            NotMeasured: there are too few recordings, or all are of one speaker.
            MissingExtra: the extra `ml` is not installed.
        """
        needs_ml()
        import numpy as np

        self._sounds, names = self._read(training)
        sounds, self._held_out_names = self._read(validation)
        if len(names) < FEWEST:
            raise NotMeasured(f"{len(names)} recordings are too few to learn from, at least {FEWEST} are needed")
        self.speakers = tuple(sorted(set(names)))
        if len(self.speakers) < 2:
            raise NotMeasured("all recordings are of one speaker; there is nothing to learn")
        numbers = {name: number for number, name in enumerate(self.speakers)}
        self._targets = np.array([numbers[name] for name in names], dtype=np.int64)
        self._held_out = [sounds_like(sound) for sound in sounds]
        self._known = np.array([numbers.get(name, -1) for name in self._held_out_names], dtype=np.int64)
        self._steps = epochs * math.ceil(len(names) / self.batch_size)
        self._random = np.random.default_rng([self.seed, 1])
        self.statistics = self._counted()
        self.weights = first_weights(
            int(self.settings["width"]), len(self.speakers) * len(SPEEDS), np.random.default_rng([self.seed, 2])
        )
        self._adam = Adam(self.weights)

    def _read(self, items: Sequence[Item]) -> "tuple[list[Floats], list[str]]":
        for item in items:
            wrong = self.check(item)
            if wrong is not None:
                raise UserMistake(f"item {item.get('id')!r}: {wrong}")
        sounds = [read_sound(item["input"], f"item {item.get('id')!r}") for item in items]
        return sounds, [item["expected_output"].strip() for item in items]

    def _counted(self) -> Statistics:
        """Count statistics of each recording as it is and with noise: what noise changes tells nothing of speakers."""
        import numpy as np

        random = np.random.default_rng([self.seed, 3])
        frames = []
        for sound in self._sounds:
            frames.append(sounds_like(sound))
            frames += [sounds_like(_with_noise(sound, random)) for _ in range(COPIES)]
        return counted(frames, np.repeat(self._targets, 1 + COPIES))

    def train_batch(self, rows: "NDArray[int64]", epoch: int) -> float:
        """Learn from these recordings, each at a speed and with noise that are drawn anew."""
        import numpy as np

        speeds = np.searchsorted(np.cumsum(OFTEN), self._random.random(len(rows)) * sum(OFTEN), side="right")
        frames = []
        for row, speed in zip(rows, speeds, strict=True):
            sound = faster(self._sounds[row], SPEEDS[speed])
            if self._random.random() >= CLEAN:
                sound = _with_noise(sound, self._random)
            frames.append(self._part(sounds_like(sound)))
        encoded = encode(self.weights, self.statistics, frames)
        losses, slopes, by_classes = self._losses(encoded.vectors, speeds * len(self.speakers) + self._targets[rows])
        changes = gradients(self.weights, encoded, slopes)
        changes["classes"] = by_classes
        self._adam.step(changes, rate_at(self._adam.steps, self._steps, self.settings["rate"]))
        return float(np.mean(losses))

    def _part(self, frames: "Floats") -> "Floats":
        """Return a random stretch of the frames, so that less of a speaker is learned from what is said."""
        length = max(1, math.ceil(len(frames) * self._random.uniform(SHORTEST_PART, 1)))
        start = int(self._random.integers(0, len(frames) - length + 1))
        return frames[start : start + length]

    def _losses(self, found: "Floats", targets: "NDArray[int64]") -> "tuple[Floats, Floats, Floats]":
        return margin_loss(found, self.weights["classes"], targets, self.settings["margin"], SCALE)

    def validate(self) -> Validation:
        """Return the loss on the held-out recordings of known speakers, and the EER over all held-out pairs.

        The loss is None where no speaker is known, the EER where there are no pairs of one speaker or of two.
        """
        import numpy as np

        if not self._held_out:
            return Validation()
        learned, whole = self._vectors(self._held_out)
        known = np.flatnonzero(self._known >= 0)
        loss = float(np.mean(self._losses(learned[known], self._known[known])[0])) if len(known) else None
        try:
            return Validation(loss=loss, metric=_over_all_pairs(whole, self._held_out_names))
        except NotMeasured:
            return Validation(loss=loss)

    def _vectors(self, frames: "Sequence[Floats]") -> "tuple[Floats, Floats]":
        """Return the learned vectors, and the whole ones."""
        import numpy as np

        parts = [
            encode(self.weights, self.statistics, frames[at : at + AT_ONCE]) for at in range(0, len(frames), AT_ONCE)
        ]
        return np.vstack([part.vectors for part in parts]), np.vstack([vectors(part) for part in parts])

    def embed(self, audios: Sequence[Mapping[str, Any]]) -> "Floats":  # Any: a sound
        """Return a unit vector for each recording, shape (n, d): the higher the cosine of two, the more alike.

        Raises:
            UserMistake, PermanentError: one is not a sound, or cannot be read; the message says which.
        """
        import numpy as np

        frames = [sounds_like(_heard(one, f"audio {place}")) for place, one in enumerate(audios)]
        if not frames:
            return np.zeros((0, int(self.settings["width"]) + self.statistics.directions.shape[1]), dtype=np.float32)
        return self._vectors(frames)[1]

    def scores(self, items: Sequence[Item]) -> dict[str, float]:
        """Return for couples of speakers how often a pair of one of them is more alike than a pair of both.

        Each speaker with two recordings or more is in one couple at the most, by a hash of the name, so that couples
        are independent of each other, as pairs over all recordings are not.
        """
        names = [item["expected_output"].strip() for item in items]
        found = self.embed([item["input"] for item in items])
        mine = {name: [at for at, one in enumerate(names) if one == name] for name in set(names)}
        ordered = sorted(
            (name for name, places in mine.items() if len(places) > 1),
            key=lambda name: (position(name, salt="", purpose="couple"), name),
        )
        couples = zip(ordered[::2], ordered[1::2], strict=False)
        return {f"{one} | {other}": _in_order(found, mine[one], mine[other]) for one, other in couples}

    def state(self) -> State:
        """Return the weights, Adam's means and step count (which is the place in the schedule), and the generator."""
        found = self._adam.state()
        return State(arrays=found.arrays, values={**found.values, "random": generator_state(self._random)})

    def restore(self, state: State) -> None:
        """Go on from a state."""
        self._adam.restore(state)
        restore_generator(self._random, state.values["random"])

    def schema(self) -> dict[str, Any]:  # Any: JSON
        """Tell what goes in and comes out."""
        return {"inputs": {"type": "pair", "of": "audio"}, "outputs": {"type": "number"}}

    def save(self, folder: Path) -> None:
        """Write the weights, the statistics and the speakers' names."""
        counts = {name: getattr(self.statistics, name) for name in STATISTICS}
        save_arrays(folder / MODEL, {**self.weights, **counts})
        about = {"settings": self.settings, "seed": self.seed, "speakers": list(self.speakers)}
        write_json(folder / ABOUT, about)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the model that was saved.

        Raises:
            MissingExtra: the extra `ml` is not installed.
        """
        needs_ml()
        about = json.loads((folder / ABOUT).read_text())
        found = cls(about["settings"], about["seed"])
        arrays = load_arrays(folder / MODEL)
        found.statistics = Statistics(**{name: arrays.pop(name) for name in STATISTICS})
        found.weights, found.speakers = arrays, tuple(about["speakers"])
        return found

    def predict(self, inputs: Sequence[Any]) -> list[float]:  # Any: {"enrol": sounds, "test": sound}
        """Return for each input the cosine of its test recording and the mean of its enrolled ones.

        Raises:
            UserMistake, PermanentError: an input is not that, or a sound cannot be read; the message says which.
        """
        import numpy as np

        found = []
        for place, one in enumerate(inputs):
            if not isinstance(one, Mapping) or not isinstance(one.get("enrol"), list | tuple) or not one["enrol"]:
                raise UserMistake(f"input {place}: enrol: not a list of sounds")
            *enrolled, test = self.embed([*one["enrol"], one.get("test", {})])
            middle = np.mean(enrolled, axis=0)
            found.append(float(middle @ test / max(1e-6, float(np.sqrt(middle @ middle)))))
        return found


def _with_noise(sound: "Floats", random: "Generator") -> "Floats":
    return noisy(sound, random.uniform(QUIETEST, LOUDEST), random.uniform(0, REDDEST), random)


def _heard(value: Any, what: str) -> "Floats":
    wrong = wrong_sound(value, what)
    if wrong is not None:
        raise UserMistake(wrong)
    return read_sound(value, what)


def _in_order(found: "Floats", one: Sequence[int], other: Sequence[int]) -> float:
    """Return the share of (pair of one speaker, pair of both) whose first is more alike; ties count half."""
    cosines = found @ found.T
    same = [float(cosines[a, b]) for places in (one, other) for a, b in combinations(places, 2)]
    different = [float(cosines[a, b]) for a in one for b in other]
    won = sum((left > right) + 0.5 * (left == right) for left in same for right in different)
    return won / (len(same) * len(different))


def _over_all_pairs(found: "Floats", names: Sequence[str]) -> float:
    import numpy as np

    cosines = found @ found.T
    left, right = np.triu_indices(len(names), 1)
    numbers = np.unique(np.array(names), return_inverse=True)[1]
    same = numbers[left] == numbers[right]
    scores = cosines[left, right]
    return equal_error_rate(scores[same].tolist(), scores[~same].tolist())
