"""Gathers what is known of a job and of the places where it may train, for the rule of `resources.placement`."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from overnight.app.job_tasks import training_of
from overnight.app.memory import limits_of, measured
from overnight.app.workplace import Workplace
from overnight.base.instants import US
from overnight.base.jobs import JOB
from overnight.engine import store
from overnight.engine.model import Run
from overnight.resources.placement import LOCAL, JobFacts, Placement, PoolFacts, Rules, place, wait_s
from overnight.resources.probes.gpu import GpuProbe
from overnight.training import estimate, jobs
from overnight.training.experiences import paths_in
from overnight.training.jobs import Wish

GB, MB = 1e9, 1e6


def machine_memory_gb(project: Workplace) -> float:
    """Return how much memory services and jobs may have together on this machine, in GB (10^9 bytes)."""
    return limits_of(project.config.resources, measured()).room_bytes / GB


def placement_of(project: Workplace, wish: Wish, items: Sequence[Mapping[str, Any]], content_bytes: int) -> Placement:
    """Return where a job with these experiences, of so many bytes, should train, and why."""
    config = project.config
    job = _facts(project, wish, items, content_bytes)
    waits = _waits(project)
    places = 1 if config.training.exclusive else config.engine.max_concurrent
    pools = [
        PoolFacts(
            name=LOCAL,
            memory_gb=machine_memory_gb(project),
            cpus=float(os.cpu_count() or 1),
            gpus=_gpus() if wish.gpus else None,
            wait_s=wait_s(waits.get(LOCAL, ()), places),
        )
    ]
    pools += [
        PoolFacts(
            name=name,
            memory_gb=pool.memory_gb,
            cpus=pool.cpus,
            gpus=pool.gpus,
            wait_s=wait_s(waits.get(name, ()), pool.jobs),
            price_per_hour=pool.price_per_hour,
            max_hours=pool.max_hours,
        )
        for name, pool in sorted(config.pools.items())
    ]
    rules = Rules(max_data_mb=config.resources.local_training_max_size_mb, max_wait_s=config.training.local_queue_max_s)
    return place(job, pools, rules)


def _facts(project: Workplace, wish: Wish, items: Sequence[Mapping[str, Any]], content_bytes: int) -> JobFacts:
    with project.database.read() as connection:
        known = jobs.recorded(connection, wish.model_type)
    memory = estimate.memory_gb(known, items=len(items))
    duration = estimate.duration_s(known, items=len(items), epochs=wish.epochs)
    names = {name for item in items for name in paths_in(item)}
    outside = sorted(name for name in names if Path(name).is_absolute() or ".." in Path(name).parts)
    return JobFacts(
        data_mb=(content_bytes + sum(_bytes(project.folder / name) for name in names)) / MB,
        memory_gb=wish.memory_gb if wish.memory_gb is not None or memory is None else memory.value,
        cpus=wish.cpus,
        gpus=wish.gpus,
        duration_s=None if duration is None else duration.value,
        bound=f"it reads {outside[0]}, which is outside the project's folder" if outside else None,
    )


def _gpus() -> int:
    """Return how many GPUs this machine tells of."""
    probe = GpuProbe()
    try:
        return len(probe.look().devices or ())
    finally:
        probe.close()


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _waits(project: Workplace) -> dict[str, list[float | None]]:
    """Return how long the jobs will take that have not ended (s; None: not known), by place, oldest first."""
    found: dict[str, list[float | None]] = {}
    with project.database.read() as connection:
        for flow in store.unfinished(connection, task_id=JOB):
            job = jobs.find(connection, json.loads(flow.args or "{}").get("job_id", ""))
            if job is None:
                continue
            known = jobs.recorded(connection, job.wish.model_type)
            whole = estimate.duration_s(known, items=job.items, epochs=job.wish.epochs)
            training = training_of(store.children_of(connection, flow.run_id))
            spent_s = 0.0 if training is None else _spent_s(training, project.clock.now_us())
            left = None if whole is None else max(0.0, whole.value - spent_s)
            found.setdefault(job.wish.pool or LOCAL, []).append(left)
    return found


def _spent_s(training: Run, now_us: int) -> float:
    """Return for how long somebody has worked on the training."""
    now = 0 if training.worker_id is None or training.started_us is None else now_us - training.started_us
    return (training.worked_us + now) / US
