"""A model in PyTorch as a training job: a project says what the model is, and the rest is here.

A subclass has `build` and `encode`; unless it names the class of an input, also what its targets, loss, metric and
answers are. It is watched, stopped and resumed like every trainer: killed anywhere, it ends with the same bits on one
machine's CPU. All its chance must be PyTorch's, as that of dropout is, and all that its model keeps must be in
parameters and buffers.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias

from overnight.base.errors import NotMeasured, UserMistake
from overnight.base.files import replace_file, write_json
from overnight.training.models.torch_arrays import (
    fill,
    fill_optimiser,
    optimiser_parts,
    packed,
    parts_of,
    saved_parts_of,
    unpacked,
)
from overnight.training.models.torch_exact import Chance, computing, device_of, needs_torch, on
from overnight.training.models.torch_settings import rate_at, settled
from overnight.training.ports import Item, State, Validation

if TYPE_CHECKING:
    import torch
    from numpy import int64
    from numpy.typing import NDArray

Inputs: TypeAlias = "torch.Tensor | tuple[torch.Tensor, ...]"
"""What a model takes: one tensor, or several, each of shape (n, ...)."""
Facts = Mapping[str, Any]  # Any: JSON
WEIGHTS, ABOUT = "model.safetensors", "model.json"
"""The files of a saved model: its parameters and buffers, and what it takes to build it."""
AT_ONCE = 256
"""Items that go through the model together where nothing is learnt."""
UNKNOWN = -100
"""The class of an item whose label the training part does not have; PyTorch's cross entropy passes over it."""


class TorchTrainer(ABC):
    """Trains a `torch.nn.Module`; as it stands, one that gives each item a logit of each label, shape (n, labels).

    `settings` are those of `torch_settings.SETTINGS`, and those that a subclass has in `defaults`.
    """

    metric: ClassVar[str] = "accuracy"
    metric_sign: ClassVar[int] = 1
    defaults: ClassVar[Mapping[str, Any]] = {}  # Any: JSON
    """Settings of a subclass's own with their defaults, and other defaults for those that all have."""

    settings: dict[str, Any]  # Any: JSON
    facts: Facts
    """What `describe` returned."""
    model: "torch.nn.Module"

    # -- what a project says

    @abstractmethod
    def build(self, facts: Facts) -> "torch.nn.Module":
        """Return a new model. Only `self.settings`, `facts` and PyTorch's random numbers decide what it is like."""

    @abstractmethod
    def encode(self, inputs: Sequence[Any]) -> Inputs:  # Any: as the model_type has them
        """Return n inputs as a tensor of shape (n, ...), or as a tuple of such for a model that takes several.

        Raises:
            UserMistake: one cannot be used; the message says which.
        """

    def describe(self, training: Sequence[Item]) -> Facts:
        """Return what `build`, `encode` and `answer` must know of the training items: here `labels`, sorted.

        It is saved with the model, as JSON.

        Raises:
            NotMeasured: all have the same label.
        """
        labels = sorted(
            {item["expected_output"] for item in training}, key=lambda label: (isinstance(label, str), label)
        )
        if len(labels) < 2:
            raise NotMeasured(f"every item has the label {labels[0]!r}; there is nothing to learn")
        return {"labels": labels}

    def encode_targets(self, outputs: Sequence[Any]) -> "torch.Tensor":  # Any: as the model_type has them
        """Return the expected outputs as a tensor of shape (n, ...): here the place of each label, or `UNKNOWN`."""
        import torch

        places = {label: place for place, label in enumerate(self.facts["labels"])}
        return torch.tensor([places.get(label, UNKNOWN) for label in outputs], dtype=torch.int64)

    def loss(self, outputs: "torch.Tensor", targets: "torch.Tensor") -> "torch.Tensor":
        """Return the mean loss of the items, shape (): here the cross entropy (nats)."""
        from torch.nn.functional import cross_entropy

        return cross_entropy(outputs, targets)

    def measure(self, outputs: "torch.Tensor", targets: "torch.Tensor") -> float | None:
        """Return the metric of all validation items together, None where it cannot be told: here the accuracy."""
        return float((outputs.argmax(1) == targets).double().mean())

    def answer(self, outputs: "torch.Tensor") -> list[Any]:  # Any: JSON
        """Return what `predict` answers for each item: here its label, and the probability that the model gives it."""
        chances, places = outputs.softmax(1).max(1)
        labels = self.facts["labels"]
        return [
            {"label": labels[place], "confidence": chance}
            for place, chance in zip(places.tolist(), chances.tolist(), strict=True)
        ]

    def optimise(self, model: "torch.nn.Module") -> "torch.optim.Optimizer":
        """Return the optimiser, with the highest learning rates: here AdamW (Loshchilov and Hutter 2019)."""
        from torch.optim import AdamW

        trained = [part for part in model.parameters() if part.requires_grad]
        return AdamW(trained, lr=self.settings["learning_rate"], weight_decay=self.settings["weight_decay"])

    # -- what the loop of a training asks

    @classmethod
    def check(cls, item: Item) -> str | None:
        """Return what is wrong with an experience: here, whether it has an input, and a label."""
        if item.get("input") is None:
            return "input: missing"
        label = item.get("expected_output")
        if isinstance(label, bool) or not isinstance(label, str | int):
            return f"expected_output: {label!r} is neither a text nor a whole number"
        return None

    def __init__(self, settings: Mapping[str, Any], seed: int) -> None:  # Any: JSON
        needs_torch()
        self.settings = settled(settings, self.defaults)
        self.seed = seed

    @property
    def batch_size(self) -> int:
        """How many items go through the model at once."""
        return int(self.settings["batch_size"])

    def prepare(self, training: Sequence[Item], validation: Sequence[Item], epochs: int) -> None:
        """Encode the items, build the model and its optimiser.

        Raises:
            UserMistake: an item cannot be used, or the device is not there.
            NotMeasured: there is nothing to learn.
        """
        import torch

        self._begin(device_of(self.settings["device"], must=True))
        self.facts = self.describe(training)
        with self._computing():
            self._seen, self._unseen = self._encoded(training), self._encoded(validation) if validation else None
            self.model = self.build(self.facts).to(self._device)
            parts_of(self.model)
            self._optimiser = self.optimise(self.model)
        self._count = len(training)
        self._batches_each = -(-self._count // self.batch_size)
        self._steps_all = epochs * -(-self._batches_each // self.settings["accumulate"])
        self._rates = [group["lr"] for group in self._optimiser.param_groups]
        self._scaler = torch.amp.GradScaler(self._device.type, enabled=self.settings["precision"] == "float16")
        self._batches = self._steps = 0

    def train_batch(self, rows: "NDArray[int64]", epoch: int) -> float:
        """Learn from the training items at these places, shape (n,), and return their mean loss.

        Gradients are added up over `accumulate` batches, or up to the last of an epoch, and weigh as one large batch.
        """
        with self._computing():
            self.model.train()
            place = self._batches % self._batches_each
            loss = self.loss(self._outputs(_some(self._seen[0], rows)), _some(self._seen[1], rows).to(self._device))
            self._scaler.scale(loss * (len(rows) / self._gathered(place))).backward()
            self._batches += 1
            if (place + 1) % self.settings["accumulate"] == 0 or place + 1 == self._batches_each:
                self._step()
            return float(loss.detach())

    def validate(self) -> Validation:
        """Measure loss and metric on the validation items."""
        if self._unseen is None:
            return Validation()
        inputs, targets = self._unseen
        with self._computing():
            outputs = self._outputs_of(inputs, len(targets))
            known = targets.is_floating_point() or bool((targets != UNKNOWN).any())
            loss = float(self.loss(outputs, targets)) if known else None
            return Validation(loss=loss, metric=self.measure(outputs, targets))

    def state(self) -> State:
        """Return weights, gradients that no step has used yet, optimiser, schedule, scale of losses and chance."""
        kept, values = optimiser_parts(self._optimiser)
        gradients = {name: part.grad for name, part in self.model.named_parameters() if part.grad is not None}
        groups = {
            "model": parts_of(self.model),
            "gradient": gradients,
            "optimiser": kept,
            "chance": self._chance.tensors(),
        }
        counts = {"batches": self._batches, "steps": self._steps}
        return packed(groups, {**counts, "optimiser": values, "scaler": self._scaler.state_dict()})

    def restore(self, state: State) -> None:
        """Go on from a state.

        Raises:
            PermanentError: it is of another model.
        """
        groups, values = unpacked(state), state.values
        fill(parts_of(self.model), groups["model"], "the checkpoint")
        gradients = groups.get("gradient", {})
        for name, part in self.model.named_parameters():
            part.grad = gradients[name].to(self._device) if name in gradients else None
        fill_optimiser(self._optimiser, groups.get("optimiser", {}), values["optimiser"])
        self._chance.restore(groups["chance"])
        self._batches, self._steps = values["batches"], values["steps"]
        if values["scaler"]:
            self._scaler.load_state_dict(values["scaler"])

    def schema(self) -> dict[str, Any]:  # Any: JSON
        """Tell what comes out: the labels, where `describe` has found some."""
        labels = self.facts.get("labels")
        return {} if labels is None else {"outputs": {"type": "class", "classes": labels}}

    def save(self, folder: Path) -> None:
        """Write the model's parameters and buffers, and what it takes to build it."""
        from safetensors.torch import save

        replace_file(folder / WEIGHTS, save(saved_parts_of(self.model)))
        write_json(folder / ABOUT, {"settings": self.settings, "seed": self.seed, "facts": self.facts})

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Return the model that `save` wrote; where its device is not at hand, on the CPU.

        Raises:
            MissingExtra: PyTorch is not installed.
            PermanentError: the files are of another model.
        """
        needs_torch()
        from safetensors.torch import load

        about = json.loads((folder / ABOUT).read_text())
        found = cls(about["settings"], about["seed"])
        found._begin(device_of(found.settings["device"], must=False))
        found.facts = about["facts"]
        with found._computing():
            found.model = found.build(found.facts).to(found._device)
        parts = parts_of(found.model)
        kept = found.model.state_dict().keys()
        weights = load((folder / WEIGHTS).read_bytes())
        fill({name: part for name, part in parts.items() if name in kept}, weights, str(folder / WEIGHTS))
        return found

    def predict(self, inputs: Sequence[Any]) -> list[Any]:  # Any: as the model_type has them
        """Return an answer for each input.

        Raises:
            UserMistake: an input cannot be used.
        """
        if not inputs:
            return []
        with self._computing():
            return self.answer(self._outputs_of(self.encode(inputs), len(inputs)))

    @property
    def score_title(self) -> str:
        """What versions are compared by: the accuracy, or with another metric, minus the loss of each item."""
        return self.metric if self._by_label else "-loss"

    @property
    def score_bounds(self) -> tuple[float, float] | None:
        """Between what the scores lie, where that is known."""
        return (0.0, 1.0) if self._by_label else None

    @property
    def _by_label(self) -> bool:
        return type(self).measure is TorchTrainer.measure

    def scores(self, items: Sequence[Item]) -> dict[str, float]:
        """Return for each item whether its label is right (1 or 0), or with another metric, minus its loss.

        Raises:
            UserMistake: an item cannot be used.
        """
        inputs, targets = self._encoded(items)
        with self._computing():
            outputs = self._outputs_of(inputs, len(items))
            one = self.measure if self._by_label else lambda given, wanted: -float(self.loss(given, wanted))
            found = [one(outputs[at : at + 1], targets[at : at + 1]) for at in range(len(items))]
        return {str(item["id"]): float(score or 0.0) for item, score in zip(items, found, strict=True)}

    # -- inside

    def _begin(self, device: "torch.device") -> None:
        self._device, self._chance = device, Chance(self.seed, device)

    def _computing(self) -> AbstractContextManager[None]:
        return computing(self._device, self._chance)

    def _encoded(self, items: Sequence[Item]) -> "tuple[Inputs, torch.Tensor]":
        inputs = self.encode([item["input"] for item in items])
        targets = self.encode_targets([item["expected_output"] for item in items])
        for tensor in (*(inputs if isinstance(inputs, tuple) else (inputs,)), targets):
            if tensor.shape[:1] != (len(items),):
                raise UserMistake(
                    f"{type(self).__name__} encodes {len(items)} items as a tensor of shape {tuple(tensor.shape)}; "
                    "the first length must be that of the items"
                )
        return inputs, targets

    def _gathered(self, place: int) -> int:
        """Return how many items the step gathers gradients of to which the batch at this place of its epoch belongs."""
        batches = int(self.settings["accumulate"])
        most = batches * self.batch_size
        return min(most, self._count - place // batches * most)

    def _step(self) -> None:
        from torch.nn.utils import clip_grad_norm_

        warm_up, schedule = self.settings["warm_up"], self.settings["schedule"]
        factor = rate_at(self._steps, self._steps_all, warm_up=warm_up, schedule=schedule)
        for group, rate in zip(self._optimiser.param_groups, self._rates, strict=True):
            group["lr"] = rate * factor
        if self.settings["clip"]:
            self._scaler.unscale_(self._optimiser)
            clip_grad_norm_(self.model.parameters(), self.settings["clip"])
        self._scaler.step(self._optimiser)
        self._scaler.update()
        self._optimiser.zero_grad(set_to_none=True)
        self._steps += 1

    def _outputs(self, inputs: Inputs) -> "torch.Tensor":
        """Return what the model says of the inputs, in float32 however it was computed."""
        import torch

        moved = on(self._device, inputs)
        precision = self.settings["precision"]
        mixed = precision != "float32"
        with torch.autocast(self._device.type, dtype=getattr(torch, precision) if mixed else None, enabled=mixed):
            outputs = self.model(*moved) if isinstance(moved, tuple) else self.model(moved)
        return outputs.float()

    def _outputs_of(self, inputs: Inputs, count: int) -> "torch.Tensor":
        """Return what the model says where nothing is learnt, on the CPU."""
        import torch

        self.model.eval()
        with torch.no_grad():
            parts = [
                self._outputs(_some(inputs, slice(start, start + AT_ONCE))).cpu() for start in range(0, count, AT_ONCE)
            ]
        return torch.cat(parts)


def _some(tensors: Inputs, rows: Any) -> Any:  # Any: places or a slice; a tensor, or a tuple of them
    """Return these rows of the tensor, or of each of a tuple of them."""
    return tuple(one[rows] for one in tensors) if isinstance(tensors, tuple) else tensors[rows]
