"""The run in which an external generator works: it starts the command, follows its log, and ends with it.

It works in a child process without a database. The command is in a process tree of its own, which is ended when this
run ends, however it does. Started anew after a crash, the command has to go on by itself with what it has made.
"""

import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

from overnight.base.clock import Clock, SystemClock
from overnight.base.ports import RunContext
from overnight.base.settings import environment
from overnight.campaigns import pidfile
from overnight.campaigns.logs.following import Follower, Kept, end_of
from overnight.campaigns.logs.patterns import Patterns
from overnight.campaigns.logs.watching import Finding, Patience, Standing
from overnight.campaigns.making import CAMPAIGN_PID, ORCHESTRATOR_PID, STOPPED, TARGET, sigterm
from overnight.campaigns.orders import Campaign, Json, Phase
from overnight.processes import table
from overnight.processes.spawn import Child, spawn

FAILED = "failed"
"""Beside TARGET and STOPPED: the generator has ended too soon, or was given up."""
PRINTED: dict[Phase, str] = {"pilot": "pilot_campaign.log", "full": "full_campaign.log"}
"""Files of the campaign's folder that take what the commands print."""
FOLLOWED: dict[Phase, str] = {"pilot": "pilot_followed.json", "full": "full_followed.json"}
"""Files of the campaign's folder that keep how far the phases are."""
_TERMINATED = 128 + signal.SIGTERM
"""The exit code of a shell whose command was ended by SIGTERM, and of programs that take it for a wish to end."""
_LOOK_S = 0.2
_GRACE_S = 3.0


def follow_generator(ctx: RunContext, *, campaign: Json, phase: Phase, anew: bool = False) -> Json:
    """See one command of an external generator through and return how it went.

    With `anew` what an earlier run has seen to its end is made once more; without, it is told again. Returns `ended`
    (TARGET, STOPPED or FAILED), `why` (None, or one line), `lines` (the last ones of the log) and `counts` (see
    `Counts.to_dict`; without the single scores where the phase is no pilot).

    Raises:
        UserMistake: another process works on this campaign, or its log cannot be read.
    """
    with sigterm() as told:
        return _Following(ctx, Campaign.from_dict(campaign), phase, SystemClock(), told).perform(anew=anew)


def newest(folder: Path) -> tuple[Phase, Kept] | None:
    """Return the phase that was followed last, and how far it was; None where there was none."""
    paths = {phase: folder / name for phase, name in FOLLOWED.items()}
    there = [(path.stat().st_mtime_ns, phase) for phase, path in paths.items() if path.exists()]
    for _, phase in sorted(there, reverse=True):
        kept = Kept.read(paths[phase])
        if kept is not None:
            return phase, kept
    return None


class _Following:
    def __init__(
        self, ctx: RunContext, campaign: Campaign, phase: Phase, clock: Clock, told: Callable[[], bool]
    ) -> None:
        assert campaign.external is not None, "a campaign without a command is not followed"
        self._ctx = ctx
        self._campaign = campaign
        self._external = campaign.external
        self._phase: Phase = phase
        self._clock = clock
        self._told = told
        self._folder = Path(campaign.folder)
        self._total = campaign.size(phase)
        self._printed = self._folder / PRINTED[phase]
        self._path = self._folder / FOLLOWED[phase]

    def perform(self, *, anew: bool) -> Json:
        """Have it made, or tell what is there."""
        with self._named(ORCHESTRATOR_PID, os.getpid()):
            kept = self._begin(anew=anew)
            if kept.complete:
                return _result(TARGET, None, [], kept, self._phase)
            # A generator that somebody else has started is not started once more.
            with self._named(CAMPAIGN_PID, os.getpid()):
                pass
            return self._run(kept)

    def _begin(self, *, anew: bool) -> Kept:
        """Return where counting begins: where an earlier run of the same command has ended, if it was not the end."""
        external, log = self._external, str(self._external.log or self._printed)
        about = {"command": external.command(self._phase), "total": self._total, "patterns": dict(external.patterns)}
        new = Kept(log=log, about=about)
        before = Kept.read(self._path)
        if before is not None and before.log == log:
            same = before.about == new.about
            again = before.complete and anew and before.run_id != self._ctx.run_id
            new = before if same and not again else replace(new, place=before.place)
        if new.place is None:
            # What stands there was told by others.
            new = replace(new, place=end_of(Path(log)))
        kept = replace(new, run_id=self._ctx.run_id)
        kept.write(self._path)
        return kept

    @contextmanager
    def _named(self, file: str, pid: int) -> Iterator[None]:
        """Name a process of this campaign in a file, as long as it works."""
        started = table.started_of(pid)
        if started is None:
            yield
            return
        told = pidfile.claim(self._folder / file, pid, started, name=self._campaign.name)
        if told is not None:
            sys.stderr.write(f"{told}\n")
        try:
            yield
        finally:
            pidfile.release(self._folder / file, pid, started)

    def _run(self, kept: Kept) -> Json:
        """Start the command, follow it, and end what is left of it."""
        child = self._start()
        try:
            if child.error is not None:
                return _result(FAILED, f"the generator {child.describe_exit()}", [], kept, self._phase)
            assert child.worker_pid is not None, "what was started has a pid"
            with self._named(CAMPAIGN_PID, child.worker_pid), closing(self._follower(kept)) as follower:
                ended, why = self._follow(child, follower)
                return _result(ended, why, follower.last_lines, follower.kept, self._phase)
        finally:
            child.end(_GRACE_S)
            child.line.setblocking(True)
            child.wait()

    def _start(self) -> Child:
        # Python keeps back what it prints to a file, and what is kept back tells nobody how far it is.
        env = {**environment(), "PYTHONUNBUFFERED": "1"}
        output = os.open(self._printed, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            command = self._external.command(self._phase)
            child = spawn(command, env=env, cwd=self._campaign.project, stdout=output, stderr=output)
        finally:
            os.close(output)
        child.go()
        while child.worker_pid is None and child.error is None and child.listen():
            pass
        child.line.setblocking(False)
        return child

    def _follower(self, kept: Kept) -> Follower:
        external = self._external
        return Follower(
            kept,
            self._path,
            total=self._total,
            patience=Patience(start_s=external.start_s, stall_s=external.stall_s),
            patterns=Patterns(**external.patterns),
            clock=self._clock,
            restarted=True,
        )

    def _follow(self, child: Child, follower: Follower) -> tuple[str, str | None]:
        """Look at the log now and then, and once more when the generator is gone; return how it has ended, and why."""
        poll_s, next_s = self._external.poll_s(self._phase), self._clock.monotonic()
        while True:
            if self._ctx.cancelled or self._told():
                return STOPPED, "stopped by SIGTERM" if self._told() else "stopped"
            gone = not child.listen() or child.exit is not None
            if gone and _terminated(child):
                follower.look(alive=False)
                return STOPPED, "the generator was stopped by SIGTERM"
            if gone or follower.behind or self._clock.monotonic() >= next_s:
                finding = follower.look(alive=not gone, exit_code=_code(child))
                self._tell(follower.kept)
                if finding.standing is not Standing.GOES_ON:
                    return _ended(follower, finding)
                next_s = self._clock.monotonic() + poll_s
            if not (gone or follower.behind):
                rest_s = max(0.0, min(_LOOK_S, next_s - self._clock.monotonic()))
                select.select([child.line], [], [], rest_s)

    def _tell(self, kept: Kept) -> None:
        counts = kept.counts
        if counts.done is None:
            return
        figures = {"accepted": counts.accepted, "rejected": counts.rejected, "quality": counts.quality}
        told = {name: value for name, value in figures.items() if value is not None}
        self._ctx.progress(counts.done, self._total, phase=self._phase, doing="following", **told)


def _ended(follower: Follower, finding: Finding) -> tuple[str, str | None]:
    return (TARGET, None) if finding.standing is Standing.COMPLETE else (FAILED, follower.why(finding))


def _code(child: Child) -> int | None:
    """Return how the generator has ended as `Seen.exit_code` has it."""
    if child.exit is None:
        return None
    return -child.exit["signal"] if "signal" in child.exit else child.exit["code"]


def _terminated(child: Child) -> bool:
    return _code(child) in (-signal.SIGTERM, _TERMINATED)


def _result(ended: str, why: str | None, lines: list[str], kept: Kept, phase: Phase) -> Json:
    counts = kept.counts if phase == "pilot" else replace(kept.counts, scores=())
    return {"ended": ended, "why": why, "lines": lines, "counts": counts.to_dict()}
