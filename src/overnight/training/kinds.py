"""Which trainer belongs to a model_type, and how urgent its jobs are."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from overnight.base.errors import ConfigError, MissingExtra, UserMistake, said_by
from overnight.base.vocabulary import suggestion
from overnight.training.program import Program

if TYPE_CHECKING:
    from overnight.base.training_settings import ModelSettings
    from overnight.training.ports import Trainer


@dataclass(frozen=True, kw_only=True)
class Kind:
    """How models of one model_type are trained: by a class, "module:Class", or by a program."""

    model_type: str
    trainer: str | None = None
    program: Program | None = None
    priority: str = "NORMAL"
    cpus: float = 1.0
    memory_gb: float | None = None
    gpus: int = 0
    gpu_memory_gb: float | None = None
    settings: Mapping[str, Any]  # Any: the trainer's own JSON


BUILT_IN = {
    "nlu": ("overnight.training.models.nlu:Nlu", "HIGH"),
    "voice": ("overnight.training.models.voice:Voice", "CRITICAL"),
    "vision": ("overnight.training.models.vision:Vision", "NORMAL"),
    "embedding": ("overnight.training.models.embedding:Embedding", "LOW"),
}


def kind_of(model_type: str, models: "Mapping[str, ModelSettings]") -> Kind:
    """Return how models of that type are trained.

    Raises:
        UserMistake: nobody knows how; the message names those that are known.
        ConfigError: its settings do not go together.
    """
    configured = models.get(model_type)
    trainer, priority = BUILT_IN.get(model_type, (None, "NORMAL"))
    trainer = trainer if configured is None or configured.trainer is None else configured.trainer
    program = None if configured is None else _program(model_type, configured)
    if trainer is None and program is None:
        known = sorted({*BUILT_IN, *models})
        raise UserMistake(
            f"model_type: no trainer is known for {model_type!r}{suggestion(model_type, known)}; "
            f"[training.models.{model_type}] names one"
        )
    if configured is None:
        return Kind(model_type=model_type, trainer=trainer, priority=priority, settings={})
    return Kind(
        model_type=model_type,
        trainer=None if program is not None else trainer,
        program=program,
        priority=configured.priority or priority,
        cpus=configured.cpus,
        memory_gb=configured.memory_gb,
        gpus=configured.gpus,
        gpu_memory_gb=configured.gpu_memory_gb,
        settings=configured.settings,
    )


def _program(model_type: str, configured: "ModelSettings") -> Program | None:
    where = f"training.models.{model_type}"
    if not configured.command:
        if configured.resume or configured.pattern or configured.retry_codes:
            raise ConfigError(f"{where}: resume, pattern and retry_codes mean nothing without command")
        return None
    if configured.trainer is not None:
        raise ConfigError(f"{where}: trainer and command are two ways to train; set one of them")
    program = Program(
        argv=configured.command,
        resume=configured.resume,
        pattern=configured.pattern,
        retry_codes=configured.retry_codes,
        metric=configured.metric,
    )
    program.check(where)
    return program


def load_trainer(model_type: str, spec: str) -> "type[Trainer]":
    """Return the class that "module:Class" names.

    Raises:
        ConfigError: it cannot be imported, or lacks what a trainer has.
        MissingExtra: it needs PyTorch, which is not installed.
    """
    module, colon, name = spec.partition(":")
    where = f"training.models.{model_type}.trainer"
    if not (module and colon and name):
        raise ConfigError(f'{where}: {spec!r} is not "module:Class"')
    try:
        found = getattr(import_module(module), name, None)
    except Exception as error:
        if isinstance(error, ImportError) and error.name in ("torch", "safetensors"):
            raise MissingExtra(f"{where}: {spec!r} needs the extra 'torch': pip install 'overnight[torch]'") from error
        raise ConfigError(f"{where}: {spec!r} cannot be imported: {said_by(error)}") from error
    lacking = [part for part in _PARTS if not hasattr(found, part)]
    if not isinstance(found, type) or lacking:
        raise ConfigError(f"{where}: {spec!r} is no trainer: it lacks {', '.join(lacking) or 'being a class'}")
    return found


_PARTS = (
    "metric", "metric_sign", "check", "prepare", "batch_size", "train_batch", "validate", "state", "restore", "save",
    "load", "predict",
)  # fmt: skip
