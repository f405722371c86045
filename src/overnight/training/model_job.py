"""One training job as it runs in a child process: from experiences to a saved model, an epoch at a time.

The job's folder holds `experiences.jsonl`, which is read, the checkpoints, `epochs.jsonl` with the figures of each
epoch, and at the end `model/`. A trainer that finishes no batch for too long is ended with the stacks of all its
threads in the run's log; the next try goes on from the newest checkpoint.
"""

import faulthandler
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from overnight.base.clock import SystemClock
from overnight.base.errors import PermanentError, TransientError, UserMistake
from overnight.base.files import replace_file
from overnight.base.ports import CHECKPOINT, RunContext
from overnight.base.settings import environment
from overnight.resources.machine import Machine, shared_folder
from overnight.training.checkpoints import Checkpoints, Place
from overnight.training.exclusive import Wanted, held
from overnight.training.experiences import parted
from overnight.training.failing import final, room_in
from overnight.training.kinds import load_trainer
from overnight.training.one_core import one_core
from overnight.training.ports import Item, Trainer
from overnight.training.program import Figures, Program, Run
from overnight.training.run import Plan, Watch, resume, train

EXPERIENCES, EPOCHS, MODEL = "experiences.jsonl", "epochs.jsonl", "model"
"""What lies in the folder of a job, beside its checkpoints."""
DATA, VALIDATION = "data.jsonl", "validation.jsonl"
"""What a program reads: the experiences to train on, and those to measure with."""
READ = (EXPERIENCES, DATA, VALIDATION)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a child is told of a job; `checkpoint_interval` 0 means none."""

    job_id: str
    model_type: str
    trainer: str | None
    program: Mapping[str, Any] | None  # Any: JSON, the fields of a `Program`
    settings: Mapping[str, Any]  # Any: the trainer's own JSON
    epochs: int
    checkpoint_interval: int
    keep_checkpoints: int
    validation: float
    seed: int
    stall_s: float
    slot: Mapping[str, Any] | None  # Any: JSON, the fields of a `Wanted`; None: jobs run together
    folder: str


def read_epochs(folder: Path) -> list[dict[str, Any]]:
    """Return the figures of each epoch so far, as far as they are in the folder."""
    try:
        # What stands behind the last end of a line is being written.
        *lines, _ = (folder / EPOCHS).read_text().split("\n")
        return [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return []


def train_model(ctx: RunContext, **job: Any) -> dict[str, Any]:  # Any: JSON, see `Job`
    """Train the model of a job and return what was measured.

    Returns `epochs`, `items` (trained on), `validation_items`, `metric` (its name), `figures` (of the last epoch),
    `seconds` (of work, with that of earlier tries that counts), `resumed_from` (the checkpoint, None) and `damaged`
    (checkpoints that could not be used).

    Raises:
        UserMistake, PermanentError: the experiences or settings cannot be used, or the training diverged. What a
            trainer raises is permanent, because the same items and seed would raise it again; only what the machine
            does (files, memory) is worth another try.
    """
    told = Job(**job)
    with final(), _slot(ctx, told) as renew, room_in(Path(told.folder)):
        if told.trainer is None:
            return _Called(ctx=ctx, job=told, folder=Path(told.folder), renew=renew).perform()
        with on_one_core():
            return _Work(ctx=ctx, job=told, folder=Path(told.folder), renew=renew).perform()


@contextmanager
def _slot(ctx: RunContext, job: Job) -> Iterator[Callable[[], None]]:
    """Hold the machine's training slot, where jobs do not run together."""
    if job.slot is None:
        yield lambda: None
        return
    clock = SystemClock()

    def told(why: str) -> None:
        ctx.progress(0, job.epochs, phase="waiting", total_epochs=job.epochs, waiting=why)

    with held(
        Machine(shared_folder(environment()), clock),
        Wanted(**job.slot),
        now_s=clock.monotonic,
        pause=threading.Event().wait,
        told=told,
        asked=lambda: ctx.cancelled,
    ) as renew:
        yield renew


def on_one_core() -> AbstractContextManager[None]:
    """Keep linear algebra to one core: others work here too, and the order of a sum decides its last digit."""
    # A trainer of the project's own may do without linear algebra.
    return one_core() if find_spec("threadpoolctl") else nullcontext()


@dataclass(kw_only=True)
class _Work:
    """A training by a class of this process."""

    ctx: RunContext
    job: Job
    folder: Path
    renew: Callable[[], None]

    def perform(self) -> dict[str, Any]:
        """Prepare, train, save."""
        with _stall_guard(self.job.stall_s) as alive:
            return self._perform(alive)

    def _perform(self, alive: Callable[[], None]) -> dict[str, Any]:
        ctx, job, now_s = self.ctx, self.job, SystemClock().monotonic
        began_s = now_s()
        ctx.progress(0, job.epochs, phase="preparing", total_epochs=job.epochs)
        trainer = load_trainer(job.model_type, str(job.trainer))(job.settings, job.seed)
        training, validation = _items(self.folder, job)
        trainer.prepare(training, validation, job.epochs)
        checkpoints = self._checkpoints()
        plan = Plan(
            epochs=job.epochs,
            count=len(training),
            seed=job.seed,
            checkpoint_every=job.checkpoint_interval or job.epochs,
        )
        course = resume(trainer, checkpoints)
        before, prepared_s = course.place, now_s() - began_s
        self._begin_epochs(course.history, trainer.metric)
        alive()
        history = train(trainer, plan, checkpoints, self._watch(trainer, alive, course.place), course)
        alive()
        ctx.progress(job.epochs, job.epochs, phase="saving", epoch=job.epochs, total_epochs=job.epochs)
        self._save(trainer)
        return {
            "epochs": job.epochs,
            "items": len(training),
            "validation_items": len(validation),
            "metric": trainer.metric,
            "schema": trainer.schema() if hasattr(trainer, "schema") else {},
            "figures": history[-1],
            "seconds": prepared_s + sum(one["seconds"] for one in history),
            "resumed_from": None if before == Place() else before.name,
            "damaged": [] if checkpoints is None else checkpoints.damaged,
        }

    def _checkpoints(self) -> Checkpoints | None:
        if not self.job.checkpoint_interval:
            return None
        checkpoints = Checkpoints(folder=self.folder, token=self.ctx.token, keep=self.job.keep_checkpoints)
        checkpoints.take()
        return checkpoints

    def _begin_epochs(self, history: list[dict[str, Any]], metric: str) -> None:
        """Have the file of epochs hold what the checkpoint knows: what came after it is trained again."""
        replace_file(self.folder / EPOCHS, "".join(_line(one, metric) for one in history))

    def _watch(self, trainer: Trainer, alive: Callable[[], None], before: Place) -> Watch:
        total = self.job.epochs
        newest: dict[str, str] = {}

        def tell(figures: Mapping[str, float | str]) -> None:
            alive()
            self.renew()
            known = {"phase": "training", "metric": trainer.metric, **newest, **figures}
            self.ctx.progress(float(figures["epoch"]), total, **known)

        def epoch_done(figures: Mapping[str, Any]) -> None:
            alive()
            with (self.folder / EPOCHS).open("a") as file:
                file.write(_line(figures, trainer.metric))

        def saved(place: Place, figures: Mapping[str, Any]) -> None:
            alive()
            if place > before:
                newest[CHECKPOINT] = place.name
                self.ctx.progress(place.epoch, total, phase="training", epoch=place.epoch, total_epochs=total, **newest)

        return Watch(
            tell=tell,
            epoch_done=epoch_done,
            saved=saved,
            asked=lambda: self.ctx.cancelled,
            now_s=SystemClock().monotonic,
        )

    def _save(self, trainer: Trainer) -> None:
        """Write the model beside, and put it in its place as a whole."""
        made, final = self.folder / f".{MODEL}", self.folder / MODEL
        for folder in (made, final):
            shutil.rmtree(folder, ignore_errors=True)
        made.mkdir(parents=True)
        trainer.save(made)
        made.rename(final)


def _line(figures: Mapping[str, Any], metric: str) -> str:
    """Return the line of an epoch: its figures, and what `val_metric` is."""
    return f"{json.dumps({**figures, 'metric': metric})}\n"


def _items(folder: Path, job: Job) -> tuple[list[Item], list[Item]]:
    with (folder / EXPERIENCES).open("rb") as lines:
        items = [json.loads(line) for line in lines]
    training, validation = parted(items, share=job.validation, seed=job.seed)
    if not training:
        raise UserMistake(f"{len(items)} experiences leave none to train on; send more")
    return training, validation


@dataclass(kw_only=True)
class _Called:
    """A training by a program of its own."""

    ctx: RunContext
    job: Job
    folder: Path
    renew: Callable[[], None]
    figures: Figures = field(default_factory=dict)
    epochs_told: int = 0

    def perform(self) -> dict[str, Any]:
        """Lay out the experiences, call the program, look at what it left."""
        job, program = self.job, Program(**dict(self.job.program or {}))
        training, validation = _items(self.folder, job)
        values = self._lay_out(training, validation)
        began_s = SystemClock().monotonic()
        self.ctx.progress(0, job.epochs, phase="preparing", total_epochs=job.epochs)
        run = Run(
            program=program,
            values=values,
            env=environment(),
            stall_s=job.stall_s,
            now_s=SystemClock().monotonic,
            told=lambda figures: self._told(program, figures),
            asked=self._asked,
        )
        before = _changed_ns(values["checkpoints"])
        try:
            run.perform()
        except TransientError:
            if _changed_ns(values["checkpoints"]) > before:
                self._show(program, **{CHECKPOINT: "its own"})
            raise
        if not any(Path(values["model"]).iterdir()):
            raise PermanentError(f"{program.argv[0]!r} ended well, but left nothing in its folder {{model}}")
        return {
            "epochs": job.epochs,
            "items": len(training),
            "validation_items": len(validation),
            "metric": program.metric,
            "figures": {"epoch": job.epochs, "loss": None, "val_loss": None, "val_metric": None, **self.figures},
            "seconds": SystemClock().monotonic() - began_s,
            "resumed_from": "its own checkpoints" if run.resumed else None,
            "damaged": [],
        }

    def _asked(self) -> bool:
        self.renew()
        return self.ctx.cancelled

    def _lay_out(self, training: Sequence[Item], validation: Sequence[Item]) -> dict[str, str]:
        """Write what the program reads, make its folders, and return what its words stand for."""
        paths = {"data": self.folder / DATA, "validation": self.folder / VALIDATION}
        for name, items in (("data", training), ("validation", validation)):
            replace_file(paths[name], "".join(f"{json.dumps(item)}\n" for item in items))
        folders = {"checkpoints": self.folder / "program", "model": self.folder / MODEL}
        shutil.rmtree(folders["model"], ignore_errors=True)
        for folder in folders.values():
            folder.mkdir(parents=True, exist_ok=True)
        (self.folder / EPOCHS).touch()
        job = self.job
        told = {"epochs": job.epochs, "seed": job.seed, "job_id": job.job_id, "python": sys.executable}
        return {name: str(value) for name, value in (*paths.items(), *folders.items(), *told.items())}

    def _told(self, program: Program, figures: Figures) -> None:
        self.figures |= figures
        epoch = self._show(program)
        if int(epoch) > self.epochs_told:
            self.epochs_told = int(epoch)
            # One that resumes tells epochs again that are there already.
            lines = [*(one for one in read_epochs(self.folder) if one.get("epoch", 0) < epoch), self.figures]
            replace_file(self.folder / EPOCHS, "".join(_line(one, program.metric) for one in lines))

    def _show(self, program: Program, **more: str) -> float:
        """Tell the newest figures; return the epoch that they are of."""
        epoch, total = float(self.figures.get("epoch", 0)), self.job.epochs
        known = {**self.figures, "phase": "training", "metric": program.metric, "epoch": epoch, "total_epochs": total}
        self.ctx.progress(epoch, total, **known, **more)
        return epoch


def _changed_ns(folder: str) -> int:
    """Return when something in a folder was written last; 0 where nothing is there."""
    times = [0]
    for path in Path(folder).rglob("*"):
        with suppress(OSError):
            times.append(path.stat().st_mtime_ns)
    return max(times)


@contextmanager
def _stall_guard(stall_s: float) -> Iterator[Callable[[], None]]:
    """End this process, and print the stacks of its threads, when nothing calls the given function for so long."""
    output = getattr(sys.stderr, "fileno", None)

    def alive() -> None:
        faulthandler.dump_traceback_later(stall_s, exit=True, file=2 if output is None else output())

    alive()
    try:
        yield alive
    finally:
        faulthandler.cancel_dump_traceback_later()
