"""Models in PyTorch that are small enough to be cut, killed and resumed hundreds of times."""

from typing import ClassVar

import numpy as np
import torch
from torch import nn

from overnight.training.models.torch_trainer import TorchTrainer
from overnight.training.run import Plan, batches_of

COUNT = 34
PLAN = Plan(epochs=4, count=COUNT, seed=3, checkpoint_every=1)
WORDS = ("low", "middle", "high")


class Sums(TorchTrainer):
    """Says whether the sum of six numbers is low, middle or high; with dropout and running means."""

    defaults: ClassVar = {"batch_size": 4, "learning_rate": 0.02, "dropout": 0.3, "width": 8, "norm": True}

    def build(self, facts):
        width = self.settings["width"]
        norm = nn.BatchNorm1d(width) if self.settings["norm"] else nn.Identity()
        dropout = nn.Dropout(self.settings["dropout"])
        return nn.Sequential(nn.Linear(6, width), norm, nn.ReLU(), dropout, nn.Linear(width, len(facts["labels"])))

    def encode(self, inputs):
        return torch.tensor(inputs, dtype=torch.float32)


class HalfSums(Sums):
    """Weights and what the optimiser keeps are in bfloat16."""

    def build(self, facts):
        return super().build(facts).to(torch.bfloat16)

    def encode(self, inputs):
        return super().encode(inputs).to(torch.bfloat16)


class TiedSums(Sums):
    """Two layers share their weights, a third is not trained, and the optimiser is another one."""

    def build(self, facts):
        first, second, last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        second.weight = first.weight
        last.requires_grad_(False)
        return nn.Sequential(first, nn.Tanh(), second, nn.Dropout(0.2), last, nn.Linear(6, len(facts["labels"])))

    def optimise(self, model):
        parts = [
            {"params": [model[0].weight, model[0].bias]},
            {"params": [*model[-1].parameters(), model[2].bias], "lr": 0.005},
        ]
        return torch.optim.SGD(parts, lr=0.05, momentum=0.9)


class Ratio(nn.Module):
    """Keeps a buffer that is not saved with the model but changes while it trains."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(6, 1)
        self.register_buffer("calls", torch.zeros(()), persistent=False)

    def forward(self, left, right):
        if self.training:
            self.calls += 1
        return self.linear(torch.cat([left, right], 1)).squeeze(1) * (1 + self.calls / 1000)


class Means(TorchTrainer):
    """Predicts the mean of six numbers, which come as two halves."""

    metric, metric_sign = "absolute error", -1
    defaults: ClassVar = {"batch_size": 4, "learning_rate": 0.02}

    @classmethod
    def check(cls, item):
        return None if isinstance(item.get("expected_output"), float) else "expected_output: not a number"

    def describe(self, training):
        return {}

    def build(self, facts):
        return Ratio()

    def encode(self, inputs):
        numbers = torch.tensor(inputs, dtype=torch.float32)
        return numbers[:, :3], numbers[:, 3:]

    def encode_targets(self, outputs):
        return torch.tensor(outputs, dtype=torch.float32)

    def loss(self, outputs, targets):
        return nn.functional.mse_loss(outputs, targets)

    def measure(self, outputs, targets):
        return float((outputs - targets).abs().mean())

    def answer(self, outputs):
        return outputs.tolist()


def sums(count=COUNT, seed=7):
    numbers = np.random.default_rng(seed).uniform(-1, 1, (count, 6)).round(3)
    words = np.digitize(numbers.sum(1), [-0.7, 0.7])
    return [
        {"id": f"{n:04}", "input": row.tolist(), "expected_output": WORDS[word]}
        for n, (row, word) in enumerate(zip(numbers, words, strict=True))
    ]


def means(count=COUNT, seed=7):
    return [{**item, "expected_output": float(np.mean(item["input"]))} for item in sums(count, seed)]


def prepared(kind=Sums, *, seed=5, epochs=PLAN.epochs, count=COUNT, **settings):
    trainer = kind({"accumulate": 3, **settings}, seed)
    items = means if kind is Means else sums
    trainer.prepare(items(count), items(12, 8), epochs)
    return trainer


def trained(trainer, epochs=PLAN.epochs, count=COUNT):
    """Train without any loop around; return the losses."""
    plan = Plan(epochs=epochs, count=count, seed=3, checkpoint_every=10)
    return [
        trainer.train_batch(rows, epoch)
        for epoch in range(epochs)
        for rows in batches_of(plan, trainer.batch_size, epoch)
    ]


def bits(trainer):
    """Return all that a training keeps, as bytes by name, and the rest as values."""
    state = trainer.state()
    return {name: (one.dtype.str, one.shape, one.tobytes()) for name, one in state.arrays.items()}, dict(state.values)


def weights(trainer):
    """Return the weights alone, as bytes."""
    return b"".join(part.detach().view(torch.uint8).numpy().tobytes() for part in trainer.model.parameters())
