"""The events of a training job's stream, as they follow from what is durable. Pure.

What happens to a job once has one number: 1 it was queued, 2 its training began, 2e + 1 epoch e was trained, 2e + 2
the checkpoint after epoch e was written, and behind those of the last epoch the end. So a reader who goes on after a
number misses nothing and reads nothing twice, whatever was restarted, and though epochs were trained again after a
crash.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

Json = Mapping[str, Any]  # Any: JSON
QUEUED, BEGUN = 1, 2


class Event(NamedTuple):
    """One event: its number, its name, its data."""

    number: int
    name: str
    data: Json


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What of a job does not change. `checkpoint_every` 0: its checkpoints are unknown, or there are none."""

    job_id: str
    total_epochs: int
    checkpoint_every: int
    folder: str

    def queued(self) -> Event:
        """Return the event of its submission."""
        return self._status(QUEUED, "queued", 0, {})

    def begun(self) -> Event:
        """Return the event of the training's begin."""
        return self._status(BEGUN, "training", 0, {})

    def epoch(self, figures: Json) -> Event | None:
        """Return the event of an epoch from its line in `epochs.jsonl`; None for one that is not of this job."""
        epoch = epoch_of(figures)
        if not 1 <= epoch <= self.total_epochs:
            return None
        return self._status(2 * epoch + 1, "training", epoch, figures)

    def saves(self, epoch: int) -> bool:
        """Tell whether a checkpoint is written after this epoch."""
        every = self.checkpoint_every
        return bool(every) and (epoch % every == 0 or epoch == self.total_epochs)

    def checkpoint(self, figures: Json) -> Event:
        """Return the event of the checkpoint after the epoch that has these figures."""
        epoch = epoch_of(figures)
        path = f"{self.folder}/epoch_{epoch:04}.npz"
        return Event(
            2 * epoch + 2, "checkpoint", {"epoch": epoch, "checkpoint_path": path, "metrics": metrics(figures)}
        )

    def end(self, status: str, *, model_version: str | None, error: str | None, figures: Json) -> Event:
        """Return the last event: completed with what was measured, failed or cancelled with the reason."""
        rest = (
            {"model_version": model_version, "metrics": metrics(figures)} if status == "completed" else {"error": error}
        )
        return Event(2 * self.total_epochs + 3, status, {"job_id": self.job_id, "status": status, **rest})

    def _status(self, number: int, status: str, epoch: int, figures: Json) -> Event:
        head = {"job_id": self.job_id, "status": status, "epoch": epoch, "total_epochs": self.total_epochs}
        metric, value = figures.get("metric"), figures.get("val_metric")
        body = {"loss": figures.get("loss"), "accuracy": accuracy(metric, value), "val_loss": figures.get("val_loss")}
        return Event(number, "status", {**head, **body, "metric": metric, "val_metric": value})


def epoch_of(figures: Json) -> int:
    """Return the whole epochs that the figures tell of; 0 where they tell of none."""
    epoch = figures.get("epoch")
    return int(epoch) if isinstance(epoch, int | float) else 0


def accuracy(metric: str | None, value: float | None) -> float | None:
    """Return the value where the metric is a share of right answers; an error rate or a correlation is none."""
    return value if metric is not None and metric.endswith("accuracy") else None


def metrics(figures: Json) -> dict[str, Any]:
    """Return what was measured in an epoch, without when and how fast."""
    return {name: figures.get(name) for name in ("loss", "val_loss", "metric", "val_metric")}


def frame(number: object, name: str, data: Json) -> bytes:
    """Return an event as it goes over the wire (WHATWG HTML Living Standard, Server-sent events)."""
    text = json.dumps(data, separators=(",", ":"))
    return f"id: {number}\nevent: {name}\ndata: {text}\n\n".encode()
