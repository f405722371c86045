"""The loop of a training: epochs and batches, figures, checkpoints, and going on where another process was stopped.

The order of an epoch's items follows from the seed and the epoch alone, so a place in the data is two numbers. What is
in a checkpoint and what follows from items, settings and seed together make the training the same to the bit, wherever
it was cut. The model of the last epoch is the result: no epoch is chosen by the validation items, so what was measured
on them is not too good.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from overnight.base.errors import PermanentError, TransientError
from overnight.training.checkpoints import Checkpoints, Place
from overnight.training.ports import Trainer, Validation

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray


class Interrupted(TransientError):
    """The training was asked to stop, and its place is in a checkpoint."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to train: `checkpoint_every` epochs (0: never) of `epochs`, on `count` items."""

    epochs: int
    count: int
    seed: int
    checkpoint_every: int


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who looks on. `asked` says that the training is to stop; `now_s` is a clock that only moves forward."""

    tell: Callable[[Mapping[str, float | str]], None]
    """Takes the newest figures after each batch and epoch."""
    epoch_done: Callable[[Mapping[str, Any]], None]
    """Takes the figures of each epoch once."""
    saved: Callable[[Place, Mapping[str, Any]], None]
    """Told of each checkpoint, with the figures of its epoch."""
    asked: Callable[[], bool]
    now_s: Callable[[], float]


@dataclass(kw_only=True)
class Course:
    """How far the training is, and what was measured in each epoch so far."""

    place: Place = field(default_factory=Place)
    loss_sum: float = 0.0
    """Of the items of the epoch under way, added up."""
    history: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps beside its place."""
        return {"loss_sum": self.loss_sum, "history": self.history}


def train(
    trainer: Trainer, plan: Plan, checkpoints: Checkpoints | None, watch: Watch, course: Course | None = None
) -> list[dict[str, Any]]:
    """Train up to the last epoch, from the newest whole checkpoint on, and return the figures of all epochs.

    Each has `epoch` (from 1), `loss`, `val_loss` and `val_metric` (None: no items to measure with), `seconds`.
    The trainer is prepared. `course` is what `resume` has answered, for a caller who has asked it already.

    Raises:
        Interrupted: `watch.asked` said so; the place is in a checkpoint, if there are any.
        PermanentError: a loss is not finite.
        StaleToken: another process trains this job now.
    """
    course = resume(trainer, checkpoints) if course is None else course
    pace = _Pace(plan=plan, watch=watch, began_s=watch.now_s(), before=course.place, size=trainer.batch_size)
    while course.place.epoch < plan.epochs:
        began_s = watch.now_s()
        _train_epoch(trainer, plan, course, checkpoints, pace)
        _close_epoch(trainer, plan, course, watch, watch.now_s() - began_s)
        pace.tell(course)
        epoch = course.place.epoch
        if plan.checkpoint_every and (epoch % plan.checkpoint_every == 0 or epoch == plan.epochs):
            _save(trainer, course, checkpoints, watch)
    return course.history


def resume(trainer: Trainer, checkpoints: Checkpoints | None) -> Course:
    """Put the prepared trainer where the newest whole checkpoint is, and return how far that is."""
    found = None if checkpoints is None else checkpoints.newest()
    if found is None:
        return Course()
    trainer.restore(found.state)
    return Course(
        place=found.place,
        loss_sum=float(found.course["loss_sum"]),
        history=[dict(one) for one in found.course["history"]],
    )


def batches_of(plan: Plan, size: int, epoch: int) -> "list[NDArray[int64]]":
    """Return the places of the training items in each batch of an epoch, in their order."""
    import numpy as np

    order = np.random.default_rng([plan.seed, epoch]).permutation(plan.count)
    return [order[start : start + size] for start in range(0, plan.count, size)]


def _train_epoch(trainer: Trainer, plan: Plan, course: Course, checkpoints: Checkpoints | None, pace: "_Pace") -> None:
    epoch = course.place.epoch
    batches = batches_of(plan, trainer.batch_size, epoch)
    for number in range(course.place.batch, len(batches)):
        if pace.watch.asked():
            if checkpoints is not None and (epoch or number):
                _save(trainer, course, checkpoints, pace.watch)
            raise Interrupted("the training was asked to stop")
        loss = float(trainer.train_batch(batches[number], epoch))
        if not math.isfinite(loss):
            raise PermanentError(
                f"the loss is {loss} in epoch {epoch + 1}, batch {number + 1}: the training diverged; "
                "try a lower learning_rate, and look for broken items"
            )
        course.loss_sum += loss * len(batches[number])
        course.place = Place(epoch=epoch, batch=number + 1)
        pace.tell(course)


def _close_epoch(trainer: Trainer, plan: Plan, course: Course, watch: Watch, seconds: float) -> None:
    seen: Validation = trainer.validate()
    found = Validation(
        loss=None if seen.loss is None else float(seen.loss), metric=None if seen.metric is None else float(seen.metric)
    )
    for name, value in (("loss", found.loss), (trainer.metric, found.metric)):
        if value is not None and not math.isfinite(value):
            raise PermanentError(f"the {name} on the validation items is {value} after epoch {course.place.epoch + 1}")
    epoch = course.place.epoch + 1
    figures = {
        "epoch": epoch,
        "loss": course.loss_sum / plan.count,
        "val_loss": found.loss,
        "val_metric": found.metric,
        "seconds": seconds,
    }
    course.history.append(figures)
    course.place, course.loss_sum = Place(epoch=epoch), 0.0
    watch.epoch_done(figures)


def _save(trainer: Trainer, course: Course, checkpoints: Checkpoints | None, watch: Watch) -> None:
    if checkpoints is None:
        return
    last = course.history[-1] if course.history else {}
    metric = last.get("val_metric") if course.place.batch == 0 else None
    score = None if metric is None else trainer.metric_sign * metric
    checkpoints.save(course.place, trainer.state(), course.to_dict(), score)
    watch.saved(course.place, last)


@dataclass(frozen=True, kw_only=True)
class _Pace:
    """How fast this process trains, from where it began."""

    plan: Plan
    watch: Watch
    began_s: float
    before: Place
    size: int

    def _items(self, place: Place) -> int:
        return place.epoch * self.plan.count + min(place.batch * self.size, self.plan.count)

    def tell(self, course: Course) -> None:
        """Tell the newest figures: those of the epoch under way, and of the last whole one."""
        place, plan = course.place, self.plan
        items = self._items(place)
        trained, took_s = items - self._items(self.before), self.watch.now_s() - self.began_s
        figures: dict[str, float | str] = {"epoch": place.epoch, "total_epochs": plan.epochs}
        if place.batch:
            figures["loss"] = course.loss_sum / min(place.batch * self.size, plan.count)
        if course.history:
            last = course.history[-1]
            figures.setdefault("loss", last["loss"])
            figures |= {name: last[name] for name in ("val_loss", "val_metric") if last[name] is not None}
        if trained and took_s > 0:
            figures |= {
                "items_per_s": trained / took_s,
                "time_left_s": (plan.epochs * plan.count - items) * took_s / trained,
            }
        self.watch.tell({"items": items, **figures})
