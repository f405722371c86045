"""The files in which a daemon tells others how it stands; see docs/reference/files.md."""

from pathlib import Path
from typing import Any

import sqlalchemy as sa

from overnight.app import schedule, targets
from overnight.app.experiences import held
from overnight.app.machine_use import MachineUse
from overnight.app.project import Project
from overnight.base.files import Stamp, stamp_of, to_json, write_json
from overnight.base.instants import US, iso, to_datetime
from overnight.base.jobs import TRAINING
from overnight.base.zones import zone_of
from overnight.db.writer import Tx
from overnight.engine import counters
from overnight.engine.model import Run, Standing
from overnight.engine.overview import first_later, first_ready, standing
from overnight.engine.recovery import this_host
from overnight.engine.store import worked_on
from overnight.engine.tables import vitals as history
from overnight.registry import store as registry
from overnight.reports.targets import Produced
from overnight.reports.vitals import (
    MOST_FIRINGS,
    Doings,
    Models,
    Vitals,
    health_file,
    next_file,
    standing_word,
    state_file,
)

SERVER = Path("server_state.json")
STATE = Path("data") / "tasks" / "orchestrator_state.json"
NEXT = Path("data") / "schedules" / "next.json"
LOGS = Path("data") / "logs"
AHEAD_H = 24
MOST_LISTED = 100
"""Runs that the state file lists as waiting."""
STILL_US = 60 * US
"""A state in which nothing changes is written this often all the same, so that its age tells whether somebody lives."""
HEARTBEAT_US = 5 * US
"""The state of the server is written this often at least."""
LOOK_ANYWAY_S = 10.0
"""What other processes wait for is seen this often, where nothing happens in this one."""
KEEP_HISTORY_US = 90 * 86400 * US


class StatusFiles:
    """Looks at the queue, remembers what it saw, and writes it down. Used by one thread; what it saw is for any."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._written: tuple[int, dict[str, Any]] = (0, {})  # Any: JSON
        self._stamp: Stamp | None = None
        """What the state file looked like when it was written."""
        self._seen = (-1, 0.0)
        self._server: tuple[int, int, tuple[object, ...]] = (0, 0, ())
        """When the state of the server was written, since when it stands so, and how."""
        self.models = Models()
        self.queue = Standing()
        self.doings = Doings()
        self.produced: list[Produced] = []

    def look_if_needed(self) -> None:
        """Ask the database where something has happened here, or nobody has asked for a while."""
        happened, now = self._project.database.measures.events.total(), self._project.clock.monotonic()
        if happened != self._seen[0] or now - self._seen[1] >= LOOK_ANYWAY_S:
            self._seen = (happened, now)
            self.look()

    def look(self) -> None:
        """Ask the database how the queue stands."""
        project, now_us = self._project, self._project.clock.now_us()
        with project.database.read() as connection:
            self.queue = standing(connection)
            active = worked_on(connection)
            queued = [*first_ready(connection, MOST_LISTED), *first_later(connection, MOST_LISTED)]
            counted = counters.figures(connection, now_us, project.config.project.timezone)
            deployed = registry.deployed(connection)
        self.models = Models(
            training=sum(run.task_id == TRAINING for run in active),
            deployed=deployed,
            experiences=sum(one.unused for one in held(project)),
        )
        self.produced = targets.standing(project)
        events = project.database.measures.events
        self.doings = Doings(
            active=[_active(run) for run in active],
            queued=[_queued(run) for run in queued[:MOST_LISTED]],
            completed=events["completed"],
            failed=events["failed"],
            counted=counted,
        )

    def write_state(self, vitals: Vitals) -> None:
        """Write `orchestrator_state.json` where something has changed, or nothing was written for a minute.

        A file that somebody else has damaged or removed is written anew.
        """
        body = state_file(vitals, self.doings)
        moving = ("timestamp", "uptime_hours", "metrics")
        told = {key: value for key, value in body.items() if key not in moving} | {"counted": dict(self.doings.counted)}
        at_us, before = self._written
        path = self._project.state_dir / STATE
        if told == before and vitals.at_us - at_us < STILL_US and stamp_of(path) == self._stamp:
            return
        write_json(path, body)
        self._written, self._stamp = (vitals.at_us, told), stamp_of(path)

    def write_server(self, vitals: Vitals, use: MachineUse, *, last: bool = False) -> None:
        """Write `server_state.json` where something is new, 5 s have passed, or this is the `last` time."""
        models = self.models
        written_us, since_us, before = self._server
        stands = (standing_word(vitals, models), models.training, models.deployed)
        if stands == before and vitals.at_us - written_us < HEARTBEAT_US and not last:
            return
        since_us = since_us if stands == before else vitals.at_us
        body = {
            "status": stands[0],
            "last_update": iso(since_us),
            "active_training_jobs": models.training,
            "memory_usage_gb": None if use.memory_gb is None else round(use.memory_gb, 3),
            "cpu_percent": None if use.cpu_percent is None else round(use.cpu_percent, 1),
            "models_deployed": models.deployed,
            "last_heartbeat": iso(vitals.at_us),
        }
        write_json(self._project.state_dir / SERVER, body)
        self._server = (vitals.at_us, since_us, stands)

    def write_plan(self) -> None:
        """Write `next.json`."""
        now_us = self._project.clock.now_us()
        coming = schedule.coming(self._project, now_us + AHEAD_H * 3600 * US, most=MOST_FIRINGS)
        write_json(self._project.state_dir / NEXT, next_file(now_us, AHEAD_H, coming))

    def write_health(self, vitals: Vitals) -> None:
        """Write the day's `health_YYYYMMDD.json` and a row of its history."""
        body = health_file(vitals, self.queue, self.doings)
        day = to_datetime(vitals.at_us).astimezone(zone_of(self._project.config))
        write_json(self._project.state_dir / LOGS / f"health_{day:%Y%m%d}.json", body)
        text, host = to_json(body), this_host()

        def change(tx: Tx) -> None:
            tx.connection.execute(sa.delete(history).where(history.c.at_us < vitals.at_us - KEEP_HISTORY_US))
            tx.connection.execute(sa.insert(history).values(at_us=vitals.at_us, host=host, body=text))

        self._project.database.writer.do(change)


def _active(run: Run) -> dict[str, Any]:  # Any: JSON
    return {"run_id": run.run_id, "task_id": run.task_id, "attempt": run.attempt, "started": iso(run.started_us)}


def _queued(run: Run) -> dict[str, Any]:  # Any: JSON
    return {"run_id": run.run_id, "task_id": run.task_id, "state": run.state, "due": iso(run.due_us)}
