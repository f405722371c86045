"""The daemon of a project: the engine, the watch over it, its rounds, and whoever serves HTTP.

One thread each for the scheduler and the writer (see `app.runtime`), for the rounds, for the intake of experiences, and
for the watchdog.
"""

import gc
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from overnight.app import catching_up, deployments, energy, outcomes, rollouts
from overnight.app.catching_up import CatchingUp
from overnight.app.collecting import collect
from overnight.app.energy import EnergyMeter
from overnight.app.feeds import Feeds
from overnight.app.files import StatusFiles
from overnight.app.intake import Intake
from overnight.app.journal import Journal, logfmt
from overnight.app.launch import DAEMON_LOCK, Daemonic
from overnight.app.lock import ProjectLock
from overnight.app.machine_use import MachineLook
from overnight.app.models_host import Models
from overnight.app.notifying import Notifier
from overnight.app.project import Project
from overnight.app.reloading import Reloader
from overnight.app.reserving import Reservations
from overnight.app.residence import Hosted
from overnight.app.rollouts import Rollouts
from overnight.app.rounds import Rounds
from overnight.app.services import supervisor_of
from overnight.app.signals import Stop
from overnight.app.sweeping import PASS_EVERY_S, Sweeper
from overnight.app.tracing import Tracer
from overnight.app.watchdog import Watchdog
from overnight.base.config import Config
from overnight.base.errors import InvalidTransition, OvernightError, said_by
from overnight.base.instants import iso
from overnight.base.settings import DAEMON_FILE
from overnight.base.zones import zone_of
from overnight.engine.model import Standing
from overnight.flows.rollout import Stored
from overnight.processes.table import started_of
from overnight.reports import vitals as reports
from overnight.reports.vitals import OVERDUE_S, WRITER_MANY, Overdue, Vitals
from overnight.supervisor.described import started_of as services_started
from overnight.supervisor.startup import Mode
from overnight.supervisor.watch import Supervisor

SERVER_EVERY_S = 1.0
LOOK_EVERY_S = 2.0
"""Between two looks at the queue for those who read the files and the metrics."""
PLAN_EVERY_S = 900.0
HEALTH_EVERY_S = 3600.0
_RELOAD_EVERY_S = 0.5
_SWEEP_EVERY_S = 0.5
_STOP_LOOK_S = 0.5
_log = logging.getLogger("overnight.daemon")

Serve = Callable[["Daemon"], tuple[str, Callable[[], None]]]
"""Begins to serve HTTP; returns the address and what ends it."""


class Daemon:
    """Works on a project until somebody asks it to stop. Built and used by the main thread of a process.

    Raises:
        ProjectLocked: another daemon of this folder lives; the message names it.
    """

    def __init__(self, project: Project, *, level: str | None = None, only: Sequence[str] | None = None) -> None:
        """`level` stands above the configured one of the log; `only` these services are started, None: all of them."""
        self.project = project
        self._level = level
        self._clock = project.clock
        self._lock = ProjectLock(project.state_dir / DAEMON_LOCK, project.clock)
        self._since = self._clock.monotonic()
        self._since_us = self._clock.now_us()
        self._grew_at = (self._since, 0)
        self._failure: BaseException | None = None
        """What has ended the engine, which the project forgets when it stops."""
        self._url = ""
        self._only = only
        try:
            services_started(project.config, only or ())
            zone = zone_of(project.config)
            self._notifier = Notifier(project)
            self.journal = Journal(project.state_dir, project.config.log, zone)
        except BaseException:
            self._lock.release()
            raise
        self.journal.set_level(level or project.config.log.level)
        self.files = StatusFiles(project)
        self.machine = MachineLook(project.clock)
        self.feeds = Feeds(project)
        self.models = Models(
            project,
            splits=lambda one: {split.model: split for split in deployments.splits(one)},
            sink=outcomes.sink_of(project),
            hard_failure=lambda deployment_id, why: deployments.hard_failure(project, deployment_id, why),
        )
        hosted = Hosted(
            project=project,
            models=self.models,
            stored=Stored(project.database, project.artifacts.verify),
            reservations=Reservations(
                lambda: None if project.runtime is None else project.runtime.negotiator, project.clock.now_us
            ),
        )
        project.residence = hosted
        self._catching_up = CatchingUp(hosted)
        self.reloader = Reloader(project, self._take_up, self._reloaded)
        self._sweeper = Sweeper(project)
        self.rollouts = Rollouts(project)
        self._energy = EnergyMeter(project)
        self._rounds = Rounds(project.clock)
        self._intake = Intake(project)
        self._watchdog = Watchdog(self.vitals, project.state_dir / "logs")
        self._told_before = project.database.writer.told
        self._tracer: Tracer | None = None
        self._services: Supervisor | None = None

    # What is known of it, from any thread.

    def vitals(self) -> Vitals:
        """Return how it does now. Asks neither the database nor a lock."""
        now, project = self._clock.monotonic(), self.project
        runtime, writer = project.runtime, project.database.writer
        worker = None if runtime is None else runtime.worker
        failure = project.failure or self._failure
        return Vitals(
            at_us=self._clock.now_us(),
            uptime_s=now - self._since,
            decided_s_ago=0.0 if worker is None else worker.decided_s_ago,
            writer_waiting=writer.waiting,
            writer_stalled_s=writer.stalled_s,
            writer_growing_s=self._growing_s(now, writer.waiting),
            disk_free_bytes=_free_bytes(project.state_dir),
            disk_reserve_gb=project.config.engine.disk_reserve_gb,
            overdue=[
                Overdue(run_id=run.run_id, task_id=run.task_id, by_s=by_s)
                for run, by_s in ([] if worker is None else worker.overdue(OVERDUE_S))
            ],
            failure=None if failure is None else said_by(failure),
            services_lost={} if self._services is None else self._services.given_up(),
        )

    def _growing_s(self, now: float, waiting: int) -> float:
        """Return for how long the writer's queue has not been as short as it was."""
        since, least = self._grew_at
        if waiting < WRITER_MANY or waiting <= least:
            self._grew_at = (now, waiting)
            return 0.0
        return now - since

    @property
    def queue(self) -> Standing:
        """How the queue stood when the database was asked last."""
        return self.files.queue

    def health(self) -> dict[str, Any]:  # Any: JSON
        """Return the body of `GET /health`."""
        return reports.health(self.vitals(), self.queue, self.files.models)

    @property
    def services(self) -> Supervisor:
        """Who looks after the services.

        Raises:
            InvalidTransition: the daemon does not work yet.
        """
        if self._services is None:
            raise InvalidTransition("the daemon begins; its services are not looked after yet")
        return self._services

    # Its life.

    def run(self, stop: Stop, serve: Serve) -> None:
        """Work until `stop` is asked; asked twice, put what is worked on back into the queue at once.

        Raises:
            ProjectLocked: another process works on the project; the message names it.
            OvernightError: a service that is required cannot be started; what was started is stopped again.
        """
        end_serving: Callable[[], None] = lambda: None  # noqa: E731  # until there is a server
        self.project.database.writer.told = self._told
        try:
            endpoint = self.project.config.telemetry.otlp_endpoint
            if endpoint is not None:
                self._tracer = Tracer(self.project, endpoint)
            self.project.start()
            self.files.look()
            self._url, end_serving = serve(self)
            self._plan()
            self._watchdog.start()
            self._rounds.start()
            # What was loaded stays: looking through it for garbage would stop all threads for half a second. What
            # has become old since is looked through five times less often than usual; the young as ever.
            gc.freeze()
            gc.set_threshold(*gc.get_threshold()[:2], 50)
            self._intake.start()
            self._services = supervisor_of(self.project, self._url, self._only)
            self._services.start()
            self._say_who()
            tasks = sum(1 for _ in self.project.book)
            _log.info("event=up %s", logfmt({"pid": os.getpid(), "url": self._url, "tasks": tasks}))
            self._wait(stop)
        finally:
            self._shut(stop, end_serving)

    def _wait(self, stop: Stop) -> None:
        while not stop.wait(_STOP_LOOK_S):
            self._failure = self.project.failure
            if self._failure is not None:
                _log.critical("event=engine_ended %s", logfmt({"error": said_by(self._failure)}))
                return
            if self.services.mode is Mode.FAILED:
                lost = self.services.given_up()
                told = "; ".join(f"{name}: {why}" for name, why in lost.items())
                _log.critical("event=services_failed %s", logfmt({"services": told}))
                raise OvernightError(f"what is required cannot be started: {told}")

    def _shut(self, stop: Stop, end_serving: Callable[[], None]) -> None:
        _log.info("event=stopping grace_s=%g", self.project.config.engine.grace_s)
        try:
            self.project.stop_unless(lambda: stop.count > 1)
        finally:
            if self._services is not None:
                self._services.stop(lambda: stop.count > 1)
            self._intake.stop()
            self._rounds.stop()
            self._watchdog.stop()
            self.feeds.stop()
            end_serving()
            self._catching_up.close()
            self.models.close()
            self._notifier.close()
            if self._tracer is not None:
                self._tracer.close()
            try:
                self.files.look()
                self.files.write_state(self.vitals())
                self.files.write_server(self.vitals(), self.machine.look(), last=True)
                self._energy.close()
            except (OvernightError, OSError) as error:
                _log.error("event=last_state_lost %s", logfmt({"error": said_by(error)}))
            _log.info("event=down")
            self.machine.close()
            self.project.database.writer.told = self._told_before
            (self.project.state_dir / DAEMON_FILE).unlink(missing_ok=True)
            self.journal.close()
            self._lock.release()

    def _told(self, events: Sequence[dict[str, Any]], news: bool) -> None:  # Any: see db.stream.Event
        self._told_before(events, news)
        self.feeds.tell(events)
        self.models.tell(events)
        self.journal.tell(events)
        self._notifier.tell(events)
        if self._tracer is not None:
            self._tracer.tell(events)

    def _plan(self) -> None:
        rounds, files = self._rounds, self.files
        rounds.add("reload", self.reloader.work, _RELOAD_EVERY_S)
        rounds.add("look", files.look_if_needed, LOOK_EVERY_S)
        rounds.add("state file", lambda: files.write_state(self.vitals()), LOOK_EVERY_S)
        rounds.add("server file", lambda: files.write_server(self.vitals(), self.machine.look()), SERVER_EVERY_S)
        rounds.add("plan file", files.write_plan, PLAN_EVERY_S)
        rounds.add("health file", lambda: files.write_health(self.vitals()), HEALTH_EVERY_S)
        rounds.add("alerts", lambda: self._notifier.look(self.vitals(), self.queue), LOOK_EVERY_S)
        rounds.add("rollouts", self.rollouts.work, rollouts.LOOK_EVERY_S)
        rounds.add("champions", self._catching_up.work, catching_up.LOOK_EVERY_S)
        rounds.add("retention", self._sweeper.work, _SWEEP_EVERY_S)
        rounds.add("energy", self._energy.work, energy.LOOK_EVERY_S)
        rounds.add("artifacts", lambda: collect(self.project), PASS_EVERY_S)

    def _take_up(self, config: Config) -> None:
        self.journal.set_level(self._level or config.log.level)
        self._notifier.take_up(config)

    def _reloaded(self) -> None:
        self._say_who()
        if self.reloader.error is None:
            self.files.write_plan()

    def _say_who(self) -> None:
        pid = os.getpid()
        Daemonic(
            pid=pid,
            started=started_of(pid) or 0.0,
            url=self._url,
            since=str(iso(self._since_us)),
            level=self._level or self.project.config.log.level,
            reloads=self.reloader.number,
            reload_error=self.reloader.error,
            needs_restart=self.reloader.needs_restart,
        ).write(self.project.state_dir)


def _free_bytes(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
