"""Training jobs: submitted, placed, cancelled."""

import contextlib
import json
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from overnight.app.experiences import buffer_of, sequence_of
from overnight.app.fitting import check_of
from overnight.app.job_status import JobStatus, job_status, progress_of, status_of
from overnight.app.workplace import Workplace
from overnight.base.errors import InvalidTransition, QueueFull, TransientError, UnknownName, UserMistake, said_by
from overnight.base.files import to_json
from overnight.base.jobs import DEFAULT_EPOCHS, DEFAULT_INTERVAL, JOB, TRAINING
from overnight.base.refs import Bump
from overnight.data import experiences as experience_store
from overnight.db.writer import Tx
from overnight.engine import store as runs
from overnight.engine.model import Priority
from overnight.engine.submit import Request, submit
from overnight.flows.continuous import rules_of, under_way
from overnight.resources.placement import LOCAL, Placement
from overnight.training import jobs
from overnight.training.experiences import complaint, identified
from overnight.training.jobs import Wish
from overnight.training.kinds import kind_of

BEGIN_LOOK_S = 1.0
BEGIN_LOOK_EVERY_S = 0.02
RETRY_AFTER_S = 60.0
"""For who was refused because too many jobs wait, where nobody knows how long the present one will take."""
_TRIES = 5
"""How often a person's job looks at the buffer again while others take from it."""


def submit_training(
    project: Workplace,
    model_type: str,
    experiences: Iterable[Any] | None = None,  # Any: as they came, checked here
    *,
    snapshot: str | None = None,
    job_id: str | None = None,
    epochs: int = DEFAULT_EPOCHS,
    priority: Priority | str | None = None,
    checkpoint_interval: int = DEFAULT_INTERVAL,
    memory_gb: float | None = None,
    gpus: int | None = None,
    gpu_memory_gb: float | None = None,
    settings: Mapping[str, Any] | None = None,
    bump: Bump | None = None,
    strategy: str | None = None,
) -> JobStatus:
    """Ask for a training; see `Project.submit_training`.

    Raises:
        QueueFull: jobs do not run together, and too many wait.
    """
    if snapshot is not None:
        if experiences is not None:
            raise UserMistake("experiences or a snapshot: one of them, not both")
        experiences = _in_snapshot(project, snapshot)
    wish = _wish(
        project,
        model_type,
        job_id=job_id,
        epochs=epochs,
        priority=priority,
        checkpoint_interval=checkpoint_interval,
        memory_gb=memory_gb,
        gpus=gpus,
        gpu_memory_gb=gpu_memory_gb,
        settings=settings,
        bump=bump,
        strategy=strategy,
    )
    with project.database.read() as connection:
        known = jobs.find(connection, wish.job_id)
    if known is not None:
        return status_of(project, known)
    if experiences is None:
        _submit_buffer(project, wish)
    else:
        _put(project, wish, _checked(project, wish, experiences))
    return job_status(project, wish.job_id)


def submit_by_rule(project: Workplace, model_type: str, rule: str) -> JobStatus:
    """Have a model trained on its buffer because a rule says so.

    Raises:
        AlreadyUsed: another process has submitted such a job meanwhile.
        UserMistake: see `Project.submit_training`.
    """
    wish = _wish(project, model_type)
    _take_buffer(project, wish, rule)
    return job_status(project, wish.job_id)


class AlreadyUsed(TransientError):
    """Another process has used experiences of the buffer, or submitted a job by a rule, meanwhile; look again."""


def _submit_buffer(project: Workplace, wish: Wish) -> None:
    for _ in range(_TRIES - 1):
        with contextlib.suppress(AlreadyUsed):
            return _take_buffer(project, wish)
    return _take_buffer(project, wish)


def _take_buffer(project: Workplace, wish: Wish, rule: str | None = None) -> None:
    """Submit the job with what is in the buffer of its model_type, and mark exactly that as used.

    Raises:
        UserMistake: the buffer is empty.
        AlreadyUsed: somebody else has used some of it; nothing was done.
    """
    numbers, found = buffer_of(project, wish.model_type)
    if not numbers and rule is not None:
        raise AlreadyUsed(f"experiences of {wish.model_type!r} were used meanwhile")
    if not numbers:
        quality = rules_of(project.config, wish.model_type).min_quality_0_1
        raise UserMistake(
            f"no experience of {wish.model_type!r} is unused and of quality {quality:g} or more; send some "
            f"(`overnight experiences` says how many there are), or submit the job with experiences of its own"
        )
    _put(project, wish, [item for _, item in identified(found)], used=numbers, rule=rule)


def _put(
    project: Workplace,
    wish: Wish,
    items: Sequence[Mapping[str, Any]],
    *,
    used: Sequence[int] = (),
    rule: str | None = None,
) -> None:
    """Submit the job, with the numbers of the experiences in the database that it uses, in one transaction.

    Those of the final hold-out are left out: no job may learn from them.
    """
    final = {item["id"] for item in project.trainings.final(wish.model_type)}
    items = [item for item in items if item["id"] not in final]
    if not items:
        raise UserMistake(
            f"experiences: all of them are in the final hold-out (gate.final.{wish.model_type}); send others"
        )
    content = _content(items)
    snapshot_id = project.blobs.put(content)
    if project.config.pools:
        from overnight.app.placing import placement_of

        placed = placement_of(project, wish, items, len(content))
        pool = placed.chosen
        wish = replace(wish, pool=None if pool == LOCAL else pool, placed=placed.reason)

    def change(tx: Tx) -> None:
        jobs.serialize(tx)
        if jobs.find(tx.connection, wish.job_id) is not None:
            return
        _check_queue(project, tx)
        if rule is not None and under_way(tx.connection, wish.model_type) is not None:
            raise AlreadyUsed(f"a job of {wish.model_type!r} was submitted meanwhile")
        if used and experience_store.mark(tx, used, wish.job_id) != len(used):
            raise AlreadyUsed(f"experiences of {wish.model_type!r} were used meanwhile")
        request = Request(task_id=JOB, priority=Priority(wish.priority), args=to_json({"job_id": wish.job_id}))
        tx.news = True
        [run_id] = submit(tx, [request])
        jobs.insert(tx, wish, run_id, snapshot_id=snapshot_id, items=len(items), submitted_by=rule)

    project.database.writer.do(change)


def _check_queue(project: Workplace, tx: Tx) -> None:
    """Let no more jobs wait than may.

    Raises:
        QueueFull: they do already, and jobs do not run together.
    """
    settings = project.config.training
    if not settings.exclusive:
        return
    flows = runs.unfinished(tx.connection, task_id=JOB, limit=settings.max_queue + 1)
    if len(flows) <= settings.max_queue:
        return
    trainings = [run for run in runs.worked_on(tx.connection) if run.task_id == TRAINING]
    figures = progress_of(trainings[0]) if trainings else {}
    raise QueueFull(
        f"{settings.max_queue} jobs wait already (training.max_queue); try again later",
        active_job_id=json.loads(trainings[0].args or "{}").get("job_id") if trainings else None,
        retry_after_s=max(1.0, figures.get("time_left_s", RETRY_AFTER_S)),
    )


def _wish(
    project: Workplace,
    model_type: str,
    *,
    job_id: str | None = None,
    epochs: int = DEFAULT_EPOCHS,
    priority: Priority | str | None = None,
    checkpoint_interval: int = DEFAULT_INTERVAL,
    memory_gb: float | None = None,
    gpus: int | None = None,
    gpu_memory_gb: float | None = None,
    settings: Mapping[str, Any] | None = None,
    bump: Bump | None = None,
    strategy: str | None = None,
) -> Wish:
    """Return what is asked for, with what the model_type's settings add.

    Raises:
        UserMistake: nobody knows how to train that model_type, or an argument cannot be used.
    """
    if not isinstance(model_type, str):
        raise UserMistake(f"model_type: {model_type!r} is not text")
    if settings is not None and not isinstance(settings, Mapping):
        raise UserMistake(f"settings: {settings!r} is not an object with the settings of the trainer")
    kind = kind_of(model_type, project.config.training.models)
    rank = priority.upper() if isinstance(priority, str) else priority
    if rank is not None and rank not in tuple(Priority):
        raise UserMistake(f"priority: {priority!r} is not one of {', '.join(Priority)}")
    by = None
    if strategy is not None:
        from overnight.app.learning import for_training

        by, epochs, own = for_training(project, kind, strategy, epochs)
        settings = {**own, **(settings or {})}
    return Wish(
        job_id=f"{model_type[:80]}-{os.urandom(4).hex()}" if job_id is None else job_id,
        model_type=model_type,
        epochs=epochs,
        priority=str(rank or kind.priority),
        checkpoint_interval=checkpoint_interval,
        memory_gb=kind.memory_gb if memory_gb is None else memory_gb,
        cpus=kind.cpus,
        gpus=kind.gpus if gpus is None else gpus,
        gpu_memory_gb=kind.gpu_memory_gb if gpu_memory_gb is None and gpus != 0 else gpu_memory_gb,
        settings={**kind.settings, **(settings or {})},
        trainer=kind.trainer,
        program=None if kind.program is None else asdict(kind.program),
        bump=bump,
        strategy=by,
    )


def place_training(
    project: Workplace,
    model_type: str,
    experiences: Iterable[Any],
    *,
    epochs: int = DEFAULT_EPOCHS,
    memory_gb: float | None = None,
    gpus: int | None = None,
    gpu_memory_gb: float | None = None,
) -> Placement:
    """Return where such a job would train now, and why; nothing is submitted.

    Raises:
        UserMistake, MissingExtra: as `submit_training`.
    """
    from overnight.app.placing import placement_of

    wish = _wish(project, model_type, epochs=epochs, memory_gb=memory_gb, gpus=gpus, gpu_memory_gb=gpu_memory_gb)
    items = _checked(project, wish, experiences)
    return placement_of(project, wish, items, len(_content(items)))


def _in_snapshot(project: Workplace, snapshot: str) -> list[Any]:
    """Return the experiences of a snapshot, such as one that an earlier job was trained on.

    Raises:
        UserMistake: there is no such snapshot, or it holds something else.
        DamagedBlob: it is not what was stored.
    """
    try:
        if not re.fullmatch(r"[0-9a-f]{64}", snapshot):
            raise UnknownName("an id has 64 hexadecimal digits")
        return [json.loads(line) for line in project.blobs.get(snapshot).splitlines()]
    except (UnknownName, ValueError) as error:
        raise UserMistake(f"snapshot: {snapshot!r} is none of experiences: {said_by(error)}") from None


def _content(items: Sequence[Mapping[str, Any]]) -> bytes:
    """Return the experiences as what a training reads."""
    return "".join(f"{to_json(dict(item))}\n" for item in sorted(items, key=lambda one: str(one["id"]))).encode()


def _checked(project: Workplace, wish: Wish, experiences: Iterable[Any]) -> list[Mapping[str, Any]]:
    """Return the experiences, each once; refuse those that its trainer cannot use.

    Raises:
        UserMistake: there are none, or some do not fit.
    """
    given = sequence_of(experiences)
    items = identified(given)
    if not items:
        raise UserMistake("experiences: there are none; a training needs some with input and expected_output")
    # A wrong setting or experience is told now, and not when the job's turn comes.
    check = check_of(project, wish.model_type, wish.trainer, wish.settings)
    wrong = [(place, why) for place, item in items if (why := check(item)) is not None]
    if wrong:
        raise UserMistake(complaint(wrong, len(given)))
    return [item for _, item in items]


def begins(project: Workplace, job_id: str) -> JobStatus:
    """Return how a job stands once it has begun to train, or it is clear that it has to wait; soon in any case.

    Raises:
        UnknownName: there is no such job.
    """
    until = project.clock.monotonic() + BEGIN_LOOK_S
    pause = threading.Event()
    while True:
        status = job_status(project, job_id)
        with project.database.read() as connection:
            full = len(runs.worked_on(connection)) >= project.config.engine.max_concurrent
        waits = status.waiting is not None or (full and status.training_run_id is not None)
        if status.status != "queued" or waits or project.clock.monotonic() >= until:
            return status
        pause.wait(BEGIN_LOOK_EVERY_S)


def cancel_job(project: Workplace, job_id: str) -> JobStatus:
    """End a job, queued or running; what it has trained so far stays in its checkpoints.

    Raises:
        UnknownName: there is no such job.
        InvalidTransition: it has ended already.
    """
    status = job_status(project, job_id)
    if status.ended:
        raise InvalidTransition(f"job {job_id!r} is {status.status} already; there is nothing to cancel")
    project.cancel(status.run_id)
    return job_status(project, job_id)
