"""A trainer small enough to be killed at every instant: a line through points, with momentum and noise of its own."""

import contextlib
import json
import os
import pickle
import time
from pathlib import Path

import numpy as np

from overnight.base.errors import ConfigError, UserMistake
from overnight.base.files import replace_file
from overnight.training.ports import State, Validation

DEFAULTS = {"learning_rate": 0.05, "batch": 4, "pause_s": 0.0, "bad_epoch": -1, "hang_epoch": -1, "leak_mb": 0}
DEFAULTS |= {"prepare_s": 0.0, "save_s": 0.0, "full_epoch": -1, "fills": ""}


class Line:
    """y = a x + b by gradient descent with momentum; each gradient gets noise from the trainer's own chance."""

    metric = "R2"
    metric_sign = 1
    score_title, score_bounds = "closeness", (0.0, 1.0)

    @classmethod
    def check(cls, item):
        for key in ("input", "expected_output"):
            if not isinstance(item.get(key), int | float):
                return f"{key}: {item.get(key)!r} is not a number"
        return None

    def __init__(self, settings, seed):
        unknown = set(settings) - set(DEFAULTS)
        if unknown:
            raise ConfigError(f"settings: there is no {sorted(unknown)[0]!r}")
        self.settings = {**DEFAULTS, **settings}
        self.random = np.random.default_rng(seed)
        self.weights, self.speed, self.steps = np.zeros(2), np.zeros(2), 0
        self.leaked = []

    def prepare(self, training, validation, epochs):
        if len(training) < 2:
            raise UserMistake(f"{len(training)} experiences are too few for a line")
        time.sleep(self.settings["prepare_s"])
        self.points = [self._points(part) for part in (training, validation)]

    @staticmethod
    def _points(items):
        x = np.array([float(item["input"]) for item in items])
        return np.column_stack([x, np.ones(len(x))]), np.array([float(item["expected_output"]) for item in items])

    @property
    def batch_size(self):
        return int(self.settings["batch"])

    def train_batch(self, rows, epoch):
        if epoch == self.settings["bad_epoch"]:
            return float("nan")
        if epoch == self.settings["hang_epoch"]:
            time.sleep(600)
        if epoch == self.settings["full_epoch"]:
            fill(Path(self.settings["fills"]))
        if self.settings["leak_mb"]:
            self.leaked.append(os.urandom(int(self.settings["leak_mb"] * 1e6)))
        time.sleep(self.settings["pause_s"])
        x, y = (part[rows] for part in self.points[0])
        miss = x @ self.weights - y
        gradient = x.T @ miss / len(rows) + 1e-3 * self.random.standard_normal(2)
        self.speed = 0.9 * self.speed - self.settings["learning_rate"] * gradient
        self.weights = self.weights + self.speed
        self.steps += 1
        return float(miss @ miss / len(rows))

    def validate(self):
        x, y = self.points[1]
        if not len(y):
            return Validation()
        miss, spread = x @ self.weights - y, ((y - y.mean()) ** 2).sum()
        metric = float(1 - miss @ miss / spread) if spread > 0 else None
        return Validation(loss=float(miss @ miss / len(y)), metric=metric)

    def state(self):
        values = {"steps": self.steps, "random": self.random.bit_generator.state}
        return State(arrays={"weights": self.weights, "speed": self.speed}, values=values)

    def restore(self, state):
        self.weights, self.speed = state.arrays["weights"].copy(), state.arrays["speed"].copy()
        self.steps = state.values["steps"]
        self.random.bit_generator.state = state.values["random"]

    def schema(self):
        return {"inputs": {"type": "number"}, "outputs": {"type": "number"}}

    def save(self, folder):
        time.sleep(self.settings["save_s"])
        replace_file(folder / "line.json", json.dumps({"weights": self.weights.tolist(), "steps": self.steps}))

    @classmethod
    def load(cls, folder):
        made = cls({}, 0)
        made.weights = np.array(json.loads((folder / "line.json").read_text())["weights"])
        return made

    def scores(self, items):
        answers = self.predict([item["input"] for item in items])
        misses = [abs(answer - item["expected_output"]) for item, answer in zip(items, answers, strict=True)]
        return {item["id"]: max(0.0, 1 - miss) for item, miss in zip(items, misses, strict=True)}

    def predict(self, inputs):
        return [float(self.weights[0] * x + self.weights[1]) for x in inputs]


def fill(path):
    """Write a file, unless it is there, until its disk is full but for one page."""
    with contextlib.suppress(FileExistsError), path.open("xb", buffering=0) as file:
        with contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))
        file.truncate(file.tell() - 4096)


class Pickled(Line):
    """One that keeps its model as a pickle."""

    def save(self, folder):
        (folder / "line.bin").write_bytes(pickle.dumps(self.weights))


def points(count=40):
    random = np.random.default_rng(7)
    x = random.uniform(-1, 1, count)
    return [{"input": float(a), "expected_output": float(2 * a - 1 + 0.01 * random.standard_normal())} for a in x]
