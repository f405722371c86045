"""Follows a generator that Overnight did not start, in the foreground, by its log."""

from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.app.campaign_external import patterns_of
from overnight.app.campaign_plans import settings_of
from overnight.app.project import Project
from overnight.base.errors import UserMistake
from overnight.campaigns import pidfile
from overnight.campaigns.logs.following import Follower, Kept
from overnight.campaigns.logs.patterns import Patterns
from overnight.campaigns.logs.watching import Patience, Standing
from overnight.campaigns.making import ORCHESTRATOR_PID, STOPPED
from overnight.campaigns.orders import Phase
from overnight.processes.table import same_process, started_of

MONITORED: dict[Phase, str] = {"pilot": "pilot_monitored.json", "full": "full_monitored.json"}
"""Files of the campaign's folder that keep how far what was followed here is."""
Json = dict[str, Any]
Wait = Callable[[float], bool]
"""Waits for so many seconds and returns whether somebody wants it to end."""


@dataclass(frozen=True, kw_only=True)
class Followed:
    """What is to be followed: the log of a campaign's phase, the generator's process, and how much it is to make.

    Without `pid` there is the log alone; without `total` it is what the campaign's settings say.
    """

    name: str
    log: Path
    phase: Phase = "pilot"
    pid: int | None = None
    total: int | None = None


def monitor(project: Project, followed: Followed, wait: Wait, show: Callable[[Json], None]) -> Json:
    """Follow it until its end and return the last of its status files, with `ended`, `why` and `lines`.

    `ended` is "complete", "failed" (then `why` says in one line why, and `lines` are the last ones of the log), or
    "stopped" where `wait` has said so: another call goes on where this one was. `show` is given the status after each
    look.

    Raises:
        UserMistake: the campaign's own run follows one, or the log cannot be read.
        UnknownName, ConfigError: there is no such campaign, or its settings do not go together.
    """
    settings = settings_of(project.config, project.campaign_names(), followed.name, {})
    plan, specification, _ = project.campaigns.plan(followed.name, {})
    folder = Path(plan.folder)
    owner = pidfile.alive(folder / ORCHESTRATOR_PID)
    if owner is not None:
        raise UserMistake(
            f"Campaign already running: process {owner.pid} follows it; "
            f"stop it with `overnight campaign stop {followed.name}`"
        )
    follower = Follower(
        _begin(folder, followed),
        folder / MONITORED[followed.phase],
        total=followed.total or plan.size(followed.phase),
        patience=Patience(start_s=settings.start_s, stall_s=settings.stall_s),
        patterns=Patterns(**patterns_of(followed.name, settings)),
        clock=project.clock,
    )
    alive = _looking_at(followed.pid)
    poll_s = settings.poll_pilot_s if followed.phase == "pilot" else settings.poll_full_s
    statuses = project.campaigns.statuses(plan, specification)
    with closing(follower):
        while True:
            lives = alive()
            finding = follower.look(alive=lives)
            status = statuses.followed(followed.phase, follower.kept, running=lives, total=followed.total)
            if not follower.behind:
                show(status)
            if finding.standing is not Standing.GOES_ON:
                why = None if follower.kept.complete else follower.why(finding)
                return {**status, "ended": str(finding.standing), "why": why, "lines": follower.last_lines}
            if wait(0.0 if follower.behind else poll_s):
                return {**status, "ended": STOPPED, "why": None, "lines": follower.last_lines}


def _begin(folder: Path, followed: Followed) -> Kept:
    """Return where following begins: where an earlier one of the same log was, else at the log's beginning."""
    log = str(followed.log.resolve())
    before = Kept.read(folder / MONITORED[followed.phase])
    return before if before is not None and before.log == log else Kept(log=log, about={})


def _looking_at(pid: int | None) -> Callable[[], bool | None]:
    """Return what tells whether the process lives that has this pid now; None where no process is named."""
    if pid is None:
        return lambda: None
    started = started_of(pid)
    return lambda: started is not None and same_process(pid, started)
