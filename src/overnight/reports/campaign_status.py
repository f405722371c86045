"""The status files and logs of a campaign, as other programs read them: written anew with each change.

They follow from the database and are nobody's memory: one that is gone is there again with the next change.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.base.clock import Clock
from overnight.base.files import write_json
from overnight.base.instants import US, iso
from overnight.campaigns import pidfile
from overnight.campaigns.gate import Specification, Verdict
from overnight.campaigns.ledger import Count
from overnight.campaigns.logs.counting import Counts, Tally
from overnight.campaigns.logs.following import Kept
from overnight.campaigns.making import CAMPAIGN_PID
from overnight.campaigns.orders import Campaign
from overnight.campaigns.orders import Phase as Part
from overnight.campaigns.phases import Phase
from overnight.campaigns.planning import shares
from overnight.reports import campaign_files as files

PILOT, VALIDATION = "pilot_monitor_status.json", "campaign_validation.json"
LAUNCH, MONITOR, STATE = "campaign_status.json", "campaign_monitor_status.json", "orchestrator_state.json"
PILOT_LOG, FULL_LOG, LOG = "pilot_campaign.log", "full_campaign.log", "training_orchestrator.log"
_LINE_EVERY_US = {"pilot": 10 * US, "full": 60 * US}
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Statuses:
    """Writes the files of one campaign. `logs` is the project's folder of logs."""

    campaign: Campaign
    specification: Specification
    logs: Path
    clock: Clock

    @property
    def folder(self) -> Path:
        """Where the campaign's files are."""
        return Path(self.campaign.folder)

    def begun(self) -> None:
        """Write that somebody works on it now."""
        state = files.orchestrator_state(Phase.MONITORING_PILOT, started_us=self.clock.now_us())
        known = {key: value for key, value in self._read(STATE).items() if key.endswith("_result")}
        write_json(self.folder / STATE, {**state, **known})
        self._say(f"campaign begun: {self.campaign.target:,} samples, {self.campaign.workers} processes")

    def entered(self, phase: Phase, reason: str | None) -> None:
        """Write its phase, and why it has it."""
        ended = iso(self.clock.now_us()) if phase.ended and phase is not Phase.VALIDATION_COMPLETE else None
        self._update(STATE, {"phase": str(phase), "completed": ended})
        self._say(f"phase {phase}" + (f": {reason}" if reason else ""))

    def pilot(self, found: Sequence[Count], qualities: Sequence[float | None], *, complete: bool, now: bool) -> None:
        """Write how far the pilot is; with `now` also to its log, else now and then."""
        at_us = self.clock.now_us()
        sizes = shares({one.name: one.target for one in self.campaign.domains}, self.campaign.pilot_size)
        status = files.pilot_status(
            _counts(found, sizes, qualities),
            total=self.campaign.pilot_size,
            complete=complete,
            quality_threshold=self.specification.quality_threshold,
            updated_us=at_us,
            now_us=at_us,
        )
        write_json(self.folder / PILOT, status, durable=False)
        self._line(PILOT_LOG, files.pilot_line(status, now_us=at_us), "pilot", now=now)
        if complete:
            self._update(STATE, {"pilot_result": status})

    def full(self, found: Sequence[Count], *, running: bool, now: bool) -> None:
        """Write how far the whole campaign is."""
        at_us = self.clock.now_us()
        self._name_generator()
        accepted = sum(one.accepted for one in found)
        counts = Counts(domains={"all": Tally(done=accepted, total=self.campaign.target)})
        status = files.monitor_status(counts, total=self.campaign.target, is_running=running, updated_us=at_us)
        write_json(self.folder / MONITOR, status, durable=False)
        self._line(FULL_LOG, files.monitor_line(status, now_us=at_us), "full", now=now)
        if not running:
            self._update(STATE, {"campaign_result": status})

    def followed(
        self, phase: Part, kept: Kept | None, *, running: bool | None, ended: bool = False, total: int | None = None
    ) -> Json:
        """Write how far an external generator is by its log, and return it; None is one that has told nothing yet.

        `running` is None where its process is not known. With `ended` the campaign's own state has it too. `total` is
        what it is to make, where that is not what the campaign says.
        """
        counts, told_us = (Counts(), None) if kept is None else (kept.counts, kept.told_us)
        size = total or self.campaign.size(phase)
        if phase == "pilot":
            status = files.pilot_status(
                counts,
                total=size,
                complete=kept is not None and kept.complete,
                quality_threshold=self.specification.quality_threshold,
                updated_us=told_us,
                now_us=self.clock.now_us(),
            )
        else:
            self._name_generator()
            status = files.monitor_status(counts, total=size, is_running=running, updated_us=told_us)
        write_json(self.folder / (PILOT if phase == "pilot" else MONITOR), status, durable=False)
        if ended:
            self._update(STATE, {"pilot_result" if phase == "pilot" else "campaign_result": status})
        return status

    def _name_generator(self) -> None:
        """Write which process makes the whole campaign, once there is one."""
        owner = pidfile.alive(self.folder / CAMPAIGN_PID)
        launched = self._read(LAUNCH)
        if owner is not None and launched and launched.get("pid") != owner.pid:
            self._update(LAUNCH, {"pid": owner.pid})

    def judged(self, verdict: Verdict) -> None:
        """Write what the gate said."""
        said = files.validation(verdict, self._read(PILOT), now_us=self.clock.now_us())
        write_json(self.folder / VALIDATION, said)
        self._update(STATE, {"validation_result": said})
        self._say(f"pilot {verdict.decision} by gate {verdict.version}: {verdict.reason}")

    def launched(self, verdict: Mapping[str, Any] | None, forced: str | None) -> None:
        """Write that the whole campaign begins, and why, where no verdict allows it."""
        said = files.campaign_status(
            # That of the process that makes the samples, once there is one.
            pid=None,
            log_path=(self.campaign.external and self.campaign.external.log) or str(self.folder / FULL_LOG),
            target=self.campaign.target,
            launched_us=self.clock.now_us(),
            validation=self._read(VALIDATION) or None,
        )
        write_json(self.folder / LAUNCH, said)
        self._update(STATE, {"launch_result": said})
        self._say("campaign launched" + (f" without an approved pilot: {forced}" if forced else ""))

    def _update(self, name: str, values: Json) -> None:
        write_json(self.folder / name, {**self._read(name), **values})

    def _read(self, name: str) -> Json:
        try:
            known: Json = json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return {}
        return known

    def _say(self, text: str) -> None:
        self.logs.mkdir(parents=True, exist_ok=True)
        line = files.orchestrator_line(f"{self.campaign.name}: {text}", now_us=self.clock.now_us())
        _append(self.logs / LOG, line)

    def _line(self, name: str, text: str, phase: str, *, now: bool) -> None:
        path = self.folder / name
        before_us = path.stat().st_mtime_ns // 1000 if path.exists() else 0
        if now or self.clock.now_us() - before_us >= _LINE_EVERY_US[phase]:
            _append(path, text)


def _append(path: Path, line: str) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def _counts(found: Sequence[Count], sizes: Mapping[str, int], qualities: Sequence[float | None]) -> Counts:
    """Return what the ledger has of a pilot in the words of its monitors."""
    domains = {}
    for name, size in sizes.items():
        cells = [one for one in found if one.domain == name]
        judged, accepted = sum(one.judged for one in cells), sum(one.accepted for one in cells)
        domains[name] = Tally(done=judged, total=size, accepted=accepted, rejected=judged - accepted)
    known = [one for one in qualities if one is not None]
    # One that could not be measured makes the mean unknown, as the gate has it.
    total = sum(known) if len(known) == len(qualities) else float("nan")
    return Counts(domains=domains, scores=tuple(qualities), scored=len(qualities), score_sum=total)
