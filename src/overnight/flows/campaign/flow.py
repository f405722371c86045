"""A data campaign: a pilot, the gate that judges it, and, where that approves, the whole campaign.

A durable flow. What is made is in the ledger, a row for each candidate, so that nothing here is made again after a
crash; the flow itself records its phases alone. While samples are made it takes what comes into the ledger, twice a
second, and keeps the status files that other programs read. What an external generator makes is its own: of that there
is what its log tells.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from overnight.base.campaigns import FOLLOWING, SAMPLES
from overnight.base.errors import PermanentError, UnknownName
from overnight.campaigns import following, gate, ledger, record, versions
from overnight.campaigns.following import FAILED, FOLLOWED
from overnight.campaigns.gate import Pilot, Specification
from overnight.campaigns.logs.counting import Counts
from overnight.campaigns.logs.following import Kept
from overnight.campaigns.making import SPOOL, STOPPED, TARGET
from overnight.campaigns.orders import Campaign
from overnight.campaigns.orders import Phase as Part
from overnight.campaigns.phases import Phase
from overnight.campaigns.quality import replayed
from overnight.campaigns.spool import Damaged, Question, Spool, read_batch
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import store
from overnight.engine.flow import Flow
from overnight.engine.model import Needs, Run, State
from overnight.flows.campaign.strategy import by_strategy
from overnight.flows.campaign.then import Train, then
from overnight.reports.campaign_status import Statuses

LOOK_S = 0.5
_AT_ONCE = 40
"""Batches that are taken in one transaction."""
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Campaigns:
    """What the flow works with. `plan` returns what a campaign of that name is, with the wishes of one run."""

    database: Database
    plan: Callable[[str, Mapping[str, Any]], tuple[Campaign, Specification, float]]
    statuses: Callable[[Campaign, Specification], Statuses]
    train: Train


def campaign(flow: Flow, campaigns: Campaigns, name: str, wish: Mapping[str, Any]) -> Json:
    """See a campaign through and return how it ended: `phase`, `reason`, `judged` and `accepted` in all.

    `wish` says which parts: `pilot` and `launch`, `force` (why it may go on without a verdict), `by` (who wants it),
    `judge` (what an external generator has made is judged once more), `settings` of this run alone, and the `strategy`
    by which its language models are asked.

    Raises:
        ConfigError: its settings do not go together.
        PermanentError: another run works on it, or samples could not be made; the message says why.
    """
    begun = flow.step("begin", _begin, campaigns, flow.run_id, name, dict(wish))
    work = _Work(flow=flow, campaigns=campaigns, begun=begun, wish=wish)
    if wish.get("pilot", True):
        ended = work.pilot()
        if ended is not None:
            return ended
    return work.full() if wish.get("launch", work.campaign.auto_launch) else work.end(Phase.VALIDATION_COMPLETE, None)


@dataclass(frozen=True, kw_only=True)
class _Work:
    flow: Flow
    campaigns: Campaigns
    begun: Json
    wish: Mapping[str, Any]

    @property
    def campaign(self) -> Campaign:
        return Campaign.from_dict(self.begun["campaign"])

    @property
    def campaign_id(self) -> int:
        return int(self.begun["campaign_id"])

    def pilot(self) -> Json | None:
        """Make the pilot and have it judged; return how the campaign ended, or None where it goes on."""
        made = self._made("pilot", Phase.MONITORING_PILOT)
        if made["ended"] == STOPPED:
            return self.end(Phase.STOPPED, made["why"])
        self._enter(Phase.VALIDATING_PILOT)
        verdict = self.flow.step("validate", _validate, self.campaigns, self.begun, made)
        if verdict["decision"] != "APPROVED":
            return self.end(Phase.VALIDATION_FAILED, made["why"] if made["ended"] == FAILED else verdict["reason"])
        self._enter(Phase.VALIDATION_COMPLETE)
        return None

    def full(self) -> Json:
        """Make the whole campaign."""
        launched = self.flow.step("launch", _launch, self.campaigns, self.flow.run_id, self.begun, dict(self.wish))
        if launched["refused"] is not None:
            return self._failed(launched["refused"])
        made = self._made("full", Phase.CAMPAIGN_LAUNCHED, launched)
        if made["ended"] == STOPPED:
            return self.end(Phase.STOPPED, made["why"])
        if made["ended"] != TARGET:
            return self._failed(made["why"])
        ended = self.end(Phase.CAMPAIGN_COMPLETE, None)
        parts = self.campaigns
        return {**ended, "then": then(self.flow, parts.database, self.campaign, self.campaign_id, parts.train)}

    def _made(self, phase: Part, entered: Phase, launched: Json | None = None) -> Json:
        """Have samples made, and take them, until there are enough; return what the run that makes them says.

        Terms that are constant as it was `launched` carry no weight.
        """
        constant, forced = ((), False) if launched is None else (launched["constant"], launched["forced"])
        self._enter(entered)
        needs = Needs(memory_gb=self.begun["memory_gb"], cpus=float(self.campaign.workers))
        args: Json = {"campaign": self.campaign.without(constant).to_dict(), "phase": phase}
        external = self.campaign.external
        if external is not None:
            args["anew"] = phase == "pilot" and not self.wish.get("judge") and self._refused()
        task = SAMPLES if external is None else FOLLOWING
        run_id = self.flow.start(task, args, name=f"{phase} of {self.campaign.name}", needs=needs)
        look = partial(_look_after, self.campaigns, self.begun, run_id, phase)
        if external is None:
            look = partial(_look, self.campaigns, self.begun, run_id, phase, any_version=forced)
        every_s = LOOK_S if external is None else min(LOOK_S, external.poll_s(phase))
        seen = self.flow.until(f"{phase} samples", look, every_s=every_s)
        broken = seen.get("broken")
        if seen["stopping"] or broken:
            self.flow.cancel(run_id)
            self.flow.wait(run_id)
            rest = _take_all if external is None else partial(_tell, run_id=run_id, phase=phase, ended=True)
            self.flow.step("take the rest", rest, self.campaigns, self.begun)
        if broken:
            self._failed(broken)
        if seen["stopping"]:
            return {"ended": STOPPED, "why": "somebody stopped it"}
        if seen["error"] is not None:
            # What an executor calls the setting of a task is here one of the campaign.
            here = f"campaigns.{self.campaign.name}.memory_gb, or take fewer workers"
            self._failed(seen["error"].replace("needs.memory_gb", here))
        return dict(seen["result"])

    def _refused(self) -> bool:
        """Return whether the pilot that was judged last did not pass: then another one is wanted."""
        return bool(self.flow.step("what was judged", _was_refused, self.campaigns, self.begun))

    def _enter(self, phase: Phase) -> None:
        self.flow.step(f"phase {phase}", _enter, self.campaigns, self.begun, str(phase), None)

    def end(self, phase: Phase, reason: str | None) -> Json:
        """Note how it has ended, and return it."""
        self.flow.step(f"phase {phase}", _enter, self.campaigns, self.begun, str(phase), reason)
        return self.flow.step("sum up", _sum_up, self.campaigns, self.begun, str(phase), reason)

    def _failed(self, reason: str) -> Json:
        self.flow.step("phase launch_failed", _enter, self.campaigns, self.begun, str(Phase.LAUNCH_FAILED), reason)
        raise PermanentError(reason)


def _begin(campaigns: Campaigns, run_id: int, name: str, wish: Json) -> Json:
    """Fix what the campaign is, and what its pilot has to reach; nobody else may work on it."""
    plan, specification, memory_gb = campaigns.plan(name, wish.get("settings") or {})
    plan, _ = by_strategy(plan, wish.get("strategy"))
    Path(plan.folder).mkdir(parents=True, exist_ok=True)

    def change(tx: Tx) -> int:
        campaign_id = ledger.campaign_of(tx, name)
        stand = record.find(tx.connection, name)
        assert stand is not None, "it was just made"
        other = None if stand.run_id in (None, run_id) else store.get(tx.connection, stand.run_id)
        if other is not None and not other.state.final:
            raise PermanentError(
                f"campaign {name!r} is already running (run {other.run_id}); `overnight campaign stop {name}` stops it"
            )
        ledger.register_gate(tx, campaign_id, specification, str(wish.get("by") or "its schedule"))
        if stand.run_id != run_id:
            # Else it is noted, and so may be that somebody wants it to stop already.
            record.begin(tx, campaign_id, run_id)
        return campaign_id

    campaign_id = campaigns.database.writer.do(change)
    campaigns.statuses(plan, specification).begun()
    return {
        "campaign_id": campaign_id,
        "campaign": plan.to_dict(),
        "gate": specification.to_dict(),
        "memory_gb": memory_gb,
    }


def _statuses(campaigns: Campaigns, begun: Json) -> Statuses:
    return campaigns.statuses(Campaign.from_dict(begun["campaign"]), Specification(**begun["gate"]))


def _enter(campaigns: Campaigns, begun: Json, phase: str, reason: str | None) -> None:
    def change(tx: Tx) -> None:
        record.enter(tx, begun["campaign_id"], Phase(phase))

    campaigns.database.writer.do(change)
    _statuses(campaigns, begun).entered(Phase(phase), reason)


def _look(campaigns: Campaigns, begun: Json, run_id: int, phase: str, *, any_version: bool = False) -> Json | None:
    """Take what was made; return how it ended once it has, that somebody wants it to stop, or what is `broken`.

    That is so where beyond a pilot others than its generators make the samples, but for `any_version`.
    """
    plan, campaign_id = Campaign.from_dict(begun["campaign"]), begun["campaign_id"]
    spool = Spool(Path(plan.folder) / SPOOL)
    with campaigns.database.read() as connection:
        # Before anything is taken: what a run that has ended has left is all there then.
        run = store.get(connection, run_id)
        stand = record.find(connection, plan.name)
    if run is None or stand is None:
        raise UnknownName(f"run {run_id} or its campaign is gone")
    try:
        more = _take(campaigns, campaign_id, spool)
    except Damaged as batch:
        again = f"`overnight campaign resume {plan.name}` makes its samples again"
        return {"stopping": False, "broken": f"{batch} in the spool is damaged and was put aside; {again}"}
    question = None if more else spool.asked(run_id)
    if question is not None:
        others = _others(campaigns, campaign_id, question, phase)
        if others and phase != "pilot" and not any_version:
            again = f"`overnight campaign pilot {plan.name}` makes another one"
            return {"stopping": False, "broken": f"{others}: {again}"}
        with campaigns.database.read() as connection:
            known = ledger.known(connection, campaign_id, question.generators)
            spool.answer(question.asker, (line.to_json() for line in known))
    with campaigns.database.read() as connection:
        found = ledger.counts(connection, campaign_id, *([ledger.PILOT] if phase == "pilot" else []))
        qualities, _ = _replayed(connection, campaign_id, plan) if phase == "pilot" else ({}, ())
    ended = run.state.final and not more
    statuses = _statuses(campaigns, begun)
    if phase == "pilot":
        statuses.pilot(found, [one for some in qualities.values() for one in some], complete=ended, now=ended)
    else:
        statuses.full(found, running=not ended, now=ended)
    if ended:
        return {"stopping": False, "broken": None, **_said(run)}
    return {"stopping": True, "broken": None} if stand.stopping else None


def _others(campaigns: Campaigns, campaign_id: int, question: Question, phase: str) -> str:
    """Return in a line which generators are others than those of the pilot; a pilot is made anew by those of now."""
    with campaigns.database.read() as connection:
        before = versions.changed(connection, campaign_id, question.generators)
        verdict, launches = record.verdict_of(connection, campaign_id), record.launches_of(connection, campaign_id)
    if before and phase == "pilot":
        # What was made for a whole campaign was wanted.
        keep = bool(launches) or (verdict is not None and verdict["decision"] == "APPROVED")
        campaigns.database.writer.do(lambda tx: versions.begin_anew(tx, campaign_id, question.generators, keep=keep))
    return versions.told(before, question.generators)


def _look_after(campaigns: Campaigns, begun: Json, run_id: int, phase: Part) -> Json | None:
    """Tell how far an external generator is; return how it ended once it has, or that somebody wants it to stop."""
    with campaigns.database.read() as connection:
        run = store.get(connection, run_id)
        stand = record.find(connection, begun["campaign"]["name"])
    if run is None or stand is None:
        raise UnknownName(f"run {run_id} or its campaign is gone")
    _tell(campaigns, begun, run_id=run_id, phase=phase, ended=run.state.final)
    if run.state.final:
        return {"stopping": False, **_said(run)}
    return {"stopping": True} if stand.stopping else None


def _tell(campaigns: Campaigns, begun: Json, *, run_id: int, phase: Part, ended: bool) -> None:
    plan = Campaign.from_dict(begun["campaign"])
    kept = Kept.read(Path(plan.folder) / FOLLOWED[phase])
    # Before the run begins, there is what an earlier one has left.
    known = None if kept is None or kept.run_id != run_id else kept
    _statuses(campaigns, begun).followed(phase, known, running=not ended, ended=ended)


def _was_refused(campaigns: Campaigns, begun: Json) -> bool:
    with campaigns.database.read() as connection:
        verdict = record.verdict_of(connection, begun["campaign_id"])
    return verdict is not None and verdict["decision"] != "APPROVED"


def _said(run: Run) -> Json:
    if run.state is State.COMPLETED:
        return {"result": json.loads(str(run.result)), "error": None}
    why = "it was cancelled" if run.error is None else run.error.message
    return {"result": None, "error": f"no samples could be made: {why}"}


def _take(campaigns: Campaigns, campaign_id: int, spool: Spool) -> bool:
    """Take some of the batches into the ledger; return whether there are more."""
    waiting = spool.waiting()
    batches = waiting[:_AT_ONCE]
    rows = [row for path in batches for row in read_batch(path)]
    if rows:
        campaigns.database.writer.do(lambda tx: ledger.take(tx, campaign_id, rows))
    spool.taken(batches)
    return len(waiting) > len(batches)


def _take_all(campaigns: Campaigns, begun: Json) -> None:
    spool, more = Spool(Path(begun["campaign"]["folder"]) / SPOOL), True
    while more:
        try:
            more = _take(campaigns, begun["campaign_id"], spool)
        except Damaged as batch:
            spool.put_aside(str(batch))


def _validate(campaigns: Campaigns, begun: Json, made: Json) -> Json:
    """Have the gate judge what there is of the pilot."""
    plan, specification = Campaign.from_dict(begun["campaign"]), Specification(**begun["gate"])
    constant: Sequence[str] = ()
    if plan.external is not None:
        qualities = {"": Counts.from_dict(made["counts"]).qualities}
    else:
        with campaigns.database.read() as connection:
            qualities, constant = _replayed(connection, begun["campaign_id"], plan)
    told = made.get("planted", {})
    planted = {domain.name: told.get(domain.name, {}) for domain in plan.domains}
    pilot = Pilot(qualities=qualities, planted=planted, complete=made["ended"] == TARGET, constant=constant)
    verdict = gate.judge(specification, pilot)
    campaigns.database.writer.do(lambda tx: record.judged(tx, begun["campaign_id"], verdict))
    _statuses(campaigns, begun).judged(verdict)
    return {"decision": str(verdict.decision), "reason": verdict.reason, "quality": _estimate(verdict)}


def _replayed(
    connection: sa.Connection, campaign_id: int, plan: Campaign
) -> tuple[dict[str, list[float | None]], tuple[str, ...]]:
    weights = {domain.name: domain.terms.weights for domain in plan.domains}
    return replayed(ledger.pilot_terms(connection, campaign_id), weights)


def _estimate(verdict: gate.Verdict) -> Json | None:
    return None if verdict.quality is None else asdict(verdict.quality)


def _launch(campaigns: Campaigns, run_id: int, begun: Json, wish: Json) -> Json:
    """Note the launch, or return why it is `refused`: the newest verdict has to approve it, by the gate of now.

    `constant` are the terms that have no weight from now on, as the verdict has found them.
    """
    specification, forced = Specification(**begun["gate"]), wish.get("force")
    with campaigns.database.read() as connection:
        verdict = record.verdict_of(connection, begun["campaign_id"])
    refused = None
    if verdict is None:
        refused = "no pilot was judged: `overnight campaign pilot` comes first"
    elif verdict["decision"] != "APPROVED":
        refused = f"the pilot was rejected: {verdict['reason']}"
    elif verdict["version"] != specification.version:
        refused = (
            "what the pilot has to reach has changed since it was judged: `overnight campaign pilot` judges it anew"
        )
    constant = [] if verdict is None else verdict["constant"]
    told = {"refused": refused, "constant": constant, "forced": bool(forced)}
    if refused is not None and not forced:
        return told

    def change(tx: Tx) -> None:
        by = str(wish.get("by") or "its schedule")
        record.launch(tx, begun["campaign_id"], run_id, by=by, forced=forced)

    campaigns.database.writer.do(change)
    _statuses(campaigns, begun).launched(verdict, forced)
    return {**told, "refused": None}


def _sum_up(campaigns: Campaigns, begun: Json, phase: str, reason: str | None) -> Json:
    plan = Campaign.from_dict(begun["campaign"])
    said = {"campaign": plan.name, "phase": phase, "reason": reason}
    if plan.external is not None:
        last = following.newest(Path(plan.folder))
        counts = Counts() if last is None else last[1].counts
        return {**said, "judged": counts.judged, "accepted": counts.accepted}
    with campaigns.database.read() as connection:
        found = ledger.counts(connection, begun["campaign_id"])
    return {**said, "judged": sum(one.judged for one in found), "accepted": sum(one.accepted for one in found)}
