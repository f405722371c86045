"""Experiences come in: by a call, as a file in the watched folder; and the looks at whether they are enough."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overnight.app import experiences, triggers
from overnight.app.background import Background
from overnight.app.experiences import Added
from overnight.app.journal import logfmt
from overnight.app.workplace import Workplace
from overnight.base.config import Config
from overnight.base.errors import said_by
from overnight.data.batches import Batch, batch_of
from overnight.data.inbox import Inbox

LOOK_EVERY_S = 0.5
_SWEEP_EVERY_S = 3600.0
_log = logging.getLogger("overnight.intake")


def add(project: Workplace, batch: Batch) -> Added:
    """Take a batch, all of it or nothing, and submit a job if there are enough now.

    Raises:
        UserMistake, UnfitExperiences: it cannot be used, or its id was another batch's; nothing was taken.
    """
    parcel = experiences.parcel_of(project, batch)
    batch_id, accepted = experiences.taken(project, experiences.submit(project, parcel))
    job_id = triggers.look_at(project, batch.model_type) if accepted else None
    return Added(
        batch_id=batch_id,
        model_type=batch.model_type,
        accepted=accepted,
        duplicates=parcel.sent - accepted,
        buffer_size=experiences.buffer_size(project, batch.model_type),
        job_id=job_id,
    )


def folder_of(config: Config) -> Path:
    """Return the watched folder of a project."""
    return config.project_dir / config.experiences.folder


class Intake(Background):
    """Watches a project's folder of experiences, in a thread of its own: a large file must not hold up the rounds."""

    def __init__(self, project: Workplace) -> None:
        self._project = project
        self._inbox = Inbox(folder_of(project.config), project.clock)
        super().__init__("overnight-intake")
        self._check_at = self._sweep_at = project.clock.monotonic()
        self._said: str | None = None

    def _go(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            try:
                self.work()
            except Exception as error:  # noqa: BLE001  # a full disk, a busy database: the next look tries again
                self._say(said_by(error))
            else:
                self._said = None

    def _say(self, error: str) -> None:
        """Write an error down once, and not at each look."""
        if error != self._said:
            _log.error("event=intake_failed %s", logfmt({"error": error}))
        self._said = error

    def work(self) -> None:
        """Take what is there, and look at whether a job is due."""
        now, folder = self._project.clock.monotonic(), folder_of(self._project.config)
        if folder != self._inbox.folder:
            self._inbox = Inbox(folder, self._project.clock)
        touched = set[str]()
        try:
            self._inbox.look(lambda value: self._take(value, touched), ended=self._ended.is_set)
        finally:
            for model_type in sorted(touched):
                triggers.look_at(self._project, model_type)
        if now >= self._check_at:
            self._check_at = now + self._project.config.training.training_check_interval_s
            triggers.look_at_all(self._project)
        if now >= self._sweep_at:
            self._sweep_at = now + _SWEEP_EVERY_S
            self._inbox.sweep()

    def _take(self, value: Any, touched: set[str]) -> Callable[[], object]:  # Any: JSON
        parcel = experiences.parcel_of(self._project, batch_of(value, named=True))
        future = experiences.submit(self._project, parcel)

        def wait() -> None:
            _, accepted = experiences.taken(self._project, future)
            if accepted:
                touched.add(parcel.model_type)

        return wait
