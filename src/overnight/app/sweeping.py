"""Removes finished runs that are old enough, a small batch at a time, and what they printed."""

from collections.abc import Sequence
from pathlib import Path

from overnight.app.project import Project
from overnight.base.jobs import COMPARING, JOB, TRAINING
from overnight.base.tuning import TUNE
from overnight.db.writer import Tx
from overnight.engine import gaps, retention
from overnight.engine.retention import DAY_US, Keep, Pass, Rules
from overnight.flows.nightly.night import TASK
from overnight.registry import store as registry
from overnight.resources import used
from overnight.training.tuning import ledger

PASS_EVERY_S = 3600.0
"""Between the end of a pass over the finished runs and the begin of the next one."""


class Sweeper:
    """Goes over the finished runs again and again. Used by one thread."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._pass: Pass | None = None
        self._next_at = 0.0
        self.removed = 0
        """Runs that were removed since the start."""

    def work(self) -> bool:
        """Do one small part if it is time; return whether the pass goes on."""
        clock = self._project.clock
        if self._pass is None:
            if clock.monotonic() < self._next_at:
                return False
            self._pass = self._begin()
        batch = retention.step(self._project.database, self._pass)
        if batch.doomed or batch.compact:
            self._project.database.writer.do(lambda tx: retention.remove(tx, batch))
            _remove_logs(self._project.state_dir / "logs" / "runs", [*batch.doomed, *batch.compact])
            self.removed += len(batch.doomed)
        if not batch.more:
            self._pass, self._next_at = None, clock.monotonic() + PASS_EVERY_S
        return batch.more

    def _begin(self) -> Pass:
        project = self._project
        settings, now_us = project.config.engine.retention, project.clock.now_us()
        default = Keep(days=settings.days, last=settings.last)
        own = {
            entry.task.task_id: Keep(
                days=default.days if entry.task.keep_days is None else entry.task.keep_days,
                last=default.last if entry.task.keep_last is None else entry.task.keep_last,
            )
            for entry in project.book
        }
        with project.database.read() as connection:
            named = registry.runs_of_versions(connection) | ledger.runs_of_trials(connection)
        before_us = now_us - int(default.days * DAY_US)

        def forget(tx: Tx) -> None:
            gaps.forget(tx, before_us)
            used.forget(tx, before_us)

        project.database.writer.do(forget)
        lasting = (TASK, TUNE, JOB, TRAINING, COMPARING, *(f"{TRAINING}/{name}" for name in project.config.pools))
        return Pass(rules=Rules(tasks=own, default=default, named=named, lasting=lasting), now_us=now_us)


def _remove_logs(folder: Path, run_ids: Sequence[int]) -> None:
    for run_id in run_ids:
        for name in (f"{run_id}.log", f"{run_id}.log.1"):
            (folder / name).unlink(missing_ok=True)
