"""Training jobs in the database: what was asked for, which run works on it, and what it took."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

import sqlalchemy as sa

from overnight.base.errors import UserMistake
from overnight.base.files import to_json
from overnight.base.ids import RunId
from overnight.base.jobs import DEFAULT_INTERVAL
from overnight.base.refs import Bump
from overnight.db.writer import Tx
from overnight.training.estimate import Recorded
from overnight.training.tables import BY_RULE, jobs

MOST_EPOCHS = 100_000
_NAME_LENGTH = 100
RECORDED = 50
"""The newest finished jobs of a model_type that an estimate is made from."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What is asked for. `checkpoint_interval` counts epochs, 0 means no checkpoints.

    `memory_gb` (10^9 bytes) None means that no limit is set, `gpu_memory_gb` None that it has its `gpus` for itself. It
    is trained by the class `trainer` or by `program`, in `pool` (None: on this machine), and `placed` says why there.
    `bump` says which part of its version's number goes up; None: as what has changed asks for. `strategy` is the one of
    strategy learning by which it trains: its `name`, `why` that one, and which of its parameters are `unused`.

    Raises:
        UserMistake: a field cannot work; the message names it.
    """

    job_id: str
    model_type: str
    epochs: int
    priority: str
    checkpoint_interval: int = DEFAULT_INTERVAL
    memory_gb: float | None = None
    cpus: float = 1.0
    gpus: int = 0
    gpu_memory_gb: float | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: the trainer's own JSON
    trainer: str | None = None
    program: Mapping[str, Any] | None = None  # Any: JSON, the fields of a `Program`
    pool: str | None = None
    placed: str | None = None
    bump: Bump | None = None
    strategy: Mapping[str, Any] | None = None  # Any: JSON

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Mapping):
            raise UserMistake(f"settings: {self.settings!r} is not an object with the settings of the trainer")
        for what, name in (("job_id", self.job_id), ("model_type", self.model_type)):
            if not isinstance(name, str) or not _is_name(name):
                raise UserMistake(
                    f"{what}: {name!r} is not a name (1 to {_NAME_LENGTH} letters, digits and _ - ., no . in front)"
                )
        if type(self.epochs) is not int or not 1 <= self.epochs <= MOST_EPOCHS:
            raise UserMistake(f"epochs: {self.epochs!r} is not a whole number from 1 to {MOST_EPOCHS:,}")
        if type(self.checkpoint_interval) is not int or self.checkpoint_interval < 0:
            raise UserMistake(f"checkpoint_interval: {self.checkpoint_interval!r} is not a number of epochs (0: none)")
        if self.bump is not None and self.bump not in get_args(Bump):
            raise UserMistake(f"bump: {self.bump!r} is not one of {', '.join(get_args(Bump))}")
        self._check_needs()

    def _check_needs(self) -> None:
        for what, gb in (("memory_gb", self.memory_gb), ("gpu_memory_gb", self.gpu_memory_gb)):
            if gb is not None and (type(gb) not in (int, float) or not 0 < gb < 1e6):
                raise UserMistake(f"{what}: {gb!r} is not a number of gigabytes above 0")
        if type(self.gpus) is not int or not 0 <= self.gpus < 1e6:
            raise UserMistake(f"gpus: {self.gpus!r} is not a number of GPUs (0 or more)")
        if self.gpu_memory_gb is not None and not self.gpus:
            raise UserMistake("gpu_memory_gb: it is that of each GPU; set gpus too")


def _is_name(text: str) -> bool:
    """Tell whether the text can be the name of a folder anywhere."""
    known = all(char.isascii() and (char.isalnum() or char in "_-.") for char in text)
    return known and 0 < len(text) <= _NAME_LENGTH and not text.startswith(".")


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job as the database knows it. `run_id` is its flow's; `result`, `seconds`, `peak_memory_gb` once it is done."""

    number: int
    wish: Wish
    run_id: RunId
    snapshot_id: str
    items: int
    created_us: int
    result: Mapping[str, Any] | None
    seconds: float | None
    peak_memory_gb: float | None
    submitted_by: str | None
    """The rule of `training.triggers` that did; None where a person or a program did."""


def insert(tx: Tx, wish: Wish, run_id: RunId, *, snapshot_id: str, items: int, submitted_by: str | None = None) -> None:
    """Add a job; nobody else has its id, which `find` has told in the same transaction."""
    [number] = tx.dialect.allocate(tx.connection, jobs, 1)
    tx.connection.execute(
        sa.insert(jobs).values(
            number=number,
            job_id=wish.job_id,
            run_id=run_id,
            model_type=wish.model_type,
            wish=to_json(asdict(wish)),
            snapshot_id=snapshot_id,
            item_count=items,
            created_us=tx.now_us,
            submitted_by=submitted_by,
        )
    )


def serialize(tx: Tx) -> None:
    """Let nobody else add a job until this transaction ends."""
    tx.dialect.serialize(tx.connection, ADDING)


ADDING = 3
"""The number of the lock on new jobs; see `engine.pausing` for the others."""


def find(connection: sa.Connection, job_id: str) -> Job | None:
    """Return the job of that id."""
    row = connection.execute(sa.select(jobs).where(jobs.c.job_id == job_id)).fetchone()
    return None if row is None else _job(row)


def newest(
    connection: sa.Connection, *, limit: int, model_type: str | None = None, before: int | None = None
) -> list[Job]:
    """Return the newest jobs, newest first; only those with a number below `before`, if it is given."""
    query = sa.select(jobs).order_by(jobs.c.number.desc()).limit(limit)
    if before is not None:
        query = query.where(jobs.c.number < before)
    if model_type is not None:
        query = query.where(jobs.c.model_type == model_type)
    return [_job(row) for row in connection.execute(query)]


def newest_by_rule(connection: sa.Connection, model_type: str) -> Job | None:
    """Return the newest job of a model_type that a rule has submitted."""
    query = sa.select(jobs).where(jobs.c.model_type == model_type, BY_RULE).order_by(jobs.c.number.desc()).limit(1)
    row = connection.execute(query).fetchone()
    return None if row is None else _job(row)


def by_rule_since(connection: sa.Connection, model_type: str, since_us: int) -> int:
    """Return how many jobs of a model_type rules have submitted since an instant."""
    query = sa.select(sa.func.count()).where(jobs.c.model_type == model_type, BY_RULE, jobs.c.created_us >= since_us)
    return int(connection.execute(query).scalar_one())


def done(tx: Tx, job_id: str, result: Mapping[str, Any], *, seconds: float, peak_memory_gb: float | None) -> None:
    """Note what was measured, and what it took."""
    values = {"result": to_json(dict(result)), "seconds": seconds, "peak_memory_gb": peak_memory_gb}
    tx.connection.execute(sa.update(jobs).values(values).where(jobs.c.job_id == job_id))


def recorded(connection: sa.Connection, model_type: str) -> list[Recorded]:
    """Return what the newest finished jobs of a model_type took."""
    query = (
        sa.select(jobs.c.item_count, jobs.c.wish, jobs.c.seconds, jobs.c.peak_memory_gb)
        .where(jobs.c.model_type == model_type, jobs.c.seconds.is_not(None))
        .order_by(jobs.c.number.desc())
        .limit(RECORDED)
    )
    return [
        Recorded(
            items=row.item_count,
            epochs=int(json.loads(row.wish)["epochs"]),
            seconds=row.seconds,
            peak_memory_gb=row.peak_memory_gb,
        )
        for row in connection.execute(query)
    ]


def _job(row: "sa.Row[Any]") -> Job:
    return Job(
        number=row.number,
        wish=Wish(**json.loads(row.wish)),
        run_id=row.run_id,
        snapshot_id=row.snapshot_id,
        items=row.item_count,
        created_us=row.created_us,
        result=None if row.result is None else json.loads(row.result),
        seconds=row.seconds,
        peak_memory_gb=row.peak_memory_gb,
        submitted_by=row.submitted_by,
    )
