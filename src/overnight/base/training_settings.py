"""The tables of `overnight.toml` that describe training jobs; see `base.config`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le, Lt, MinLen

from overnight.base.engine_settings import PriorityName
from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class ModelSettings(Table):
    """`[training.models.NAME]`: how models of a model_type are trained; NAME is the model_type."""

    trainer: str | None = None
    """The class that trains it, as "module:Class"; without it, the built-in one of that name (nlu, voice, vision,
    embedding)."""

    command: tuple[str, ...] = ()
    """A program that trains it, as a list of words, instead of `trainer`. {data}, {validation}, {epochs}, {seed},
    {checkpoints}, {model}, {job_id} and {python} stand for what they say."""

    resume: tuple[str, ...] = ()
    """Words behind `command` where the folder {checkpoints} holds something to go on from."""

    pattern: str | None = None
    """A regular expression with named groups (epoch, loss, val_loss, val_accuracy) that finds figures in what the
    program prints; without it, lines that are JSON objects hold them."""

    retry_codes: tuple[int, ...] = ()
    """Exit codes of the program that are worth another try."""

    metric: str = "accuracy"
    """What the program's val_accuracy is."""

    priority: PriorityName | None = None
    """How urgent its jobs are; without it, CRITICAL for voice, HIGH for nlu, NORMAL for vision and others, LOW for
    embedding."""

    memory_gb: Annotated[float, Gt(0)] | None = None
    """Gigabytes (10^9 bytes) of memory that a job's processes may take before they are ended; without it, any
    amount."""

    cpus: Annotated[float, Ge(0)] = 1.0
    """Cores that a job reserves."""

    gpus: Annotated[int, Ge(0)] = 0
    """GPUs that a job reserves; its processes see these alone."""

    gpu_memory_gb: Annotated[float, Gt(0)] | None = None
    """Gigabytes (10^9 bytes) that a job's processes may take of each of its GPUs before they are ended; without it, the
    job has them for itself."""

    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: the trainer's own TOML
    """What the trainer is told, such as `learning_rate = 0.01`."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Table):
    """`[training]`: how training jobs work."""

    checkpoint_folder: Annotated[str, MinLen(1)] = ".overnight/checkpoints"
    """Where jobs keep their checkpoints, each job in a folder of its own; relative to the project."""

    keep_checkpoints: Annotated[int, Ge(1)] = 3
    """Checkpoints of a job that are kept: the newest so many, and the best one."""

    validation: Annotated[float, Ge(0), Lt(1)] = 0.1
    """Share of the experiences that is measured on after each epoch and never trained on."""

    seed: int = 0
    """All the chance there is: the same experiences, settings and seed give the same model."""

    max_retries: Annotated[int, Ge(0)] = 3
    """Tries after the first one, each from the newest checkpoint, where the machine and not the training failed."""

    stall_s: Annotated[float, Gt(0)] = 900.0
    """Seconds without a finished batch after which a trainer counts as hung, and is started again from its newest
    checkpoint."""

    exclusive: bool = False
    """Whether only one job at a time trains on the whole machine, in whatever project; on PostgreSQL, also in all of
    the project's cluster. Otherwise jobs run together when they fit."""

    slot_ttl_s: Annotated[float, Gt(0)] = 7200.0
    """Seconds after which a job that has not renewed its slot loses it (with `exclusive`); while it lives, it does."""

    slot_wait_s: Annotated[float, Ge(1)] = 300.0
    """Seconds for which a job waits for the slot, before it goes back to its place in the queue (with `exclusive`)."""

    max_queue: Annotated[int, Ge(1)] = 100
    """Jobs that may wait behind the one that trains (with `exclusive`); a further one is refused."""
    min_experiences: Annotated[int, Ge(1), Le(10_000)] = 100
    """Unused experiences of enough quality at which a model_type is trained by itself."""

    min_experience_quality: Annotated[float, Ge(0), Le(1)] = 0.3
    """Lowest quality, 0 to 1, of an experience that a model is trained on; see the how-to on experiences."""

    training_check_interval_s: Annotated[float, Gt(0)] = 300.0
    """Seconds between two looks of the daemon at whether there are enough; it also looks whenever some have come."""

    local_queue_max_s: Annotated[float, Ge(0)] = 1800.0
    """Seconds that a job may be expected to wait for this machine before it goes to a pool where it waits for less."""

    models: Mapping[str, ModelSettings] = field(default_factory=dict)
    """How models are trained, by model_type."""


@dataclass(frozen=True, kw_only=True)
class ExperiencesSettings(Table):
    """`[experiences]`: where served interactions come in."""

    folder: Annotated[str, MinLen(1)] = ".overnight/experiences"
    """The folder that the daemon reads files of experiences from; relative to the project."""
