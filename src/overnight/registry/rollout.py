"""A rollout as a state machine: what follows from what was seen, from the time and from what people ask. Pure.

    pending -> running (stage by stage) -> soaking -> completed
    held and paused stand beside running and soaking; rolled_back and aborted can follow from every state that is open

A stage is left when it has lasted long enough, the candidate has answered enough requests in it, and nothing speaks
against it. Proof that the candidate is worse takes it back; whatever else is wrong holds the rollout where it is, with
a code for the reason. It never goes on because nothing is known.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any, Self

from overnight.base.errors import InvalidTransition, UserMistake
from overnight.base.instants import US
from overnight.proof import betting, eprocess
from overnight.registry.evidence import LATENCY, SCORE, SUCCESS, Evidence
from overnight.registry.plans import MOST_STEPS, Plan

HOLD_ALPHA = 0.01
"""The chance, over a rollout, of a hold for each reason that is judged by chance, while all is well."""
MISMATCH_ALPHA = 0.001
MOST_SHARES = MOST_STEPS + 1
"""Different percentages that a rollout can have had."""
SILENT_S = 60.0
"""After so long without an outcome, whoever routes requests is said to tell none."""
THRESHOLD_FROM = 20
"""Requests from which the plain rule (`guard = "threshold"`) looks at the rate of errors."""


class Status(StrEnum):
    """How a rollout stands."""

    PENDING = "pending"
    RUNNING = "running"
    SOAKING = "soaking"
    HELD = "held"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    ABORTED = "aborted"

    @property
    def over(self) -> bool:
        """Return whether it has ended."""
        return self in (Status.COMPLETED, Status.ROLLED_BACK, Status.ABORTED)


class Reason(StrEnum):
    """Why something was decided."""

    OPENED = "opened"
    STAGE_PASSED = "stage_passed"
    SOAKED = "soaked"
    WORSE = "worse"
    ERROR_BUDGET = "error_budget"
    ABOVE_THRESHOLD = "above_threshold"
    HARD_FAILURE = "hard_failure"
    NO_TRAFFIC = "no_traffic"
    NO_METRICS = "no_metrics"
    SAMPLE_RATIO_MISMATCH = "sample_ratio_mismatch"
    SCORE_WORSE = "score_worse"
    REPLAY_WORSE = "replay_worse"
    NO_ROOM = "no_room"
    SWAPPED = "swapped"
    WINNER_KNOWN = "winner_known"
    LAST_STEP = "last_step"
    SHADOWED = "shadowed"
    BY_HAND = "by_hand"
    RUN_ENDED = "run_ended"


PASSING = (Reason.NO_TRAFFIC, Reason.NO_METRICS)
"""Holds that end by themselves; the others need a person."""
COMMANDS = ("pause", "resume", "promote", "abort", "rollback")


@dataclass(frozen=True, kw_only=True)
class State:
    """Where a rollout stands. `since_us` is when the stage began, `held` why it is held (also while it is paused),
    `overruled` the reasons for a hold that a person has set aside for good. `opened`: the candidate may answer users;
    `loaded`: it could, and was paused before. `alone`: it has taken the champion's place, for want of room for both.
    """

    status: Status = Status.PENDING
    stage: int = 0
    since_us: int = 0
    held: Reason | None = None
    overruled: tuple[Reason, ...] = ()
    opened: bool = False
    loaded: bool = False
    alone: bool = False

    def percentage(self, plan: Plan) -> float:
        """Return the candidate's percentage of the keys: the last one that was recorded serves, whatever happens."""
        if self.status is Status.COMPLETED:
            return 0.0 if plan.shadow else 100.0
        if self.status.over or not self.opened:
            return 0.0
        return 100.0 if self.alone else plan.percentage(self.stage)

    @property
    def asks(self) -> bool:
        """Return whether a person has to decide."""
        return self.status is Status.HELD and self.held not in PASSING

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:  # Any: JSON
        """Return the state whose fields came as JSON."""
        held = values["held"]
        return cls(
            status=Status(values["status"]),
            stage=values["stage"],
            since_us=values["since_us"],
            held=None if held is None else Reason(held),
            overruled=tuple(map(Reason, values["overruled"])),
            opened=values["opened"],
            loaded=values["loaded"],
            alone=values.get("alone", False),
        )

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the fields as JSON-able values."""
        return {**asdict(self), "overruled": list(self.overruled)}


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is known at a moment beside the evidence.

    `heard_us` is when the newest outcome came, `routed_us` when requests were last known to be routed; None: never.
    """

    now_us: int
    heard_us: int | None = None
    routed_us: int | None = None


@dataclass(frozen=True, kw_only=True)
class Move:
    """What is decided: the state from now on, why, and one line for a person."""

    state: State
    reason: Reason
    message: str


def decide(plan: Plan, state: State, evidence: Evidence, look: Look) -> Move | None:
    """Return what follows from what is known; None where all stays as it is."""
    if state.status.over or state.status is Status.PENDING:
        return None
    return (
        _taken_back(plan, state, evidence)
        or (None if state.status is Status.PAUSED else _held(plan, state, evidence))
        or (None if state.status is Status.PAUSED or state.asks else _further(plan, state, evidence, look))
    )


def opened(plan: Plan, state: State, now_us: int) -> Move:
    """Return the first stage: the candidate is there and answers; a paused rollout has it, and waits."""
    if state.status is Status.PAUSED:
        return Move(state=replace(state, loaded=True), reason=Reason.OPENED, message="loaded; it is paused")
    if plan.strategy == "immediate":
        return Move(
            state=replace(state, status=Status.COMPLETED, since_us=now_us),
            reason=Reason.OPENED,
            message="it serves at once, as asked: nothing was watched",
        )
    return Move(state=_at(plan, state, 0, now_us), reason=Reason.OPENED, message=_stage_text(plan, 0))


def failed_hard(state: State, why: str) -> Move | None:
    """Return what follows from a failure that needs no statistics: it does not load, NaN, another schema."""
    if state.status.over:
        return None
    return Move(state=_end(state, Status.ROLLED_BACK), reason=Reason.HARD_FAILURE, message=why)


def run_ended(state: State, why: str) -> Move | None:
    """Return what follows where the run that sees to it was cancelled or has failed: nobody would go on with it."""
    if state.status.over:
        return None
    return Move(state=_end(state, Status.ABORTED), reason=Reason.RUN_ENDED, message=why)


def swapped(plan: Plan, state: State, message: str, now_us: int) -> Move:
    """Return what follows where there is room for one version only, and the candidate is in the champion's place.

    Nobody can be compared with it: more errors than are allowed take it back.
    """
    on = _at(plan, replace(state, alone=True), len(plan.steps) - 1, now_us)
    # It is there, paused or not: the champion is not resident any more.
    status = Status.PAUSED if state.status is Status.PAUSED else on.status
    return Move(state=replace(on, status=status), reason=Reason.SWAPPED, message=message)


def no_room(state: State, message: str) -> Move:
    """Return what follows where the candidate does not fit beside the champion: a person decides."""
    return Move(state=replace(state, status=Status.HELD, held=Reason.NO_ROOM), reason=Reason.NO_ROOM, message=message)


def replayed_worse(plan: Plan, state: State, message: str) -> Move:
    """Return what follows where the candidate did worse on recorded requests; no user has seen it yet."""
    if plan.auto_rollback:
        return Move(state=_end(state, Status.ROLLED_BACK), reason=Reason.REPLAY_WORSE, message=message)
    return Move(
        state=replace(state, status=Status.HELD, held=Reason.REPLAY_WORSE), reason=Reason.REPLAY_WORSE, message=message
    )


def command(plan: Plan, state: State, what: str, now_us: int) -> Move:
    """Return what follows from what a person asks; every one of `COMMANDS` can be asked for as long as it is open.

    Raises:
        UserMistake: there is no such command.
        InvalidTransition: the rollout has ended, or the command changes nothing.
    """
    if what not in COMMANDS:
        raise UserMistake(f"{what!r} is not one of {', '.join(COMMANDS)}")
    if state.status.over:
        raise InvalidTransition(f"the rollout is {state.status} already")
    match what:
        case "pause":
            if state.status is Status.PAUSED:
                raise InvalidTransition("the rollout is paused already")
            return _by_hand(replace(state, status=Status.PAUSED), "paused where it is; resume goes on")
        case "resume":
            return _resumed(plan, state, now_us)
        case "promote":
            if plan.shadow:
                raise InvalidTransition("a shadow serves nobody; roll the version out by another strategy")
            return _by_hand(replace(_end(state, Status.COMPLETED), since_us=now_us), "serves everybody")
        case "abort":
            return _by_hand(_end(state, Status.ABORTED), "ended; the champion serves everybody")
        case _:
            return _by_hand(_end(state, Status.ROLLED_BACK), "taken back; the champion serves everybody")


def _resumed(plan: Plan, state: State, now_us: int) -> Move:
    if state.status not in (Status.PAUSED, Status.HELD):
        raise InvalidTransition(f"the rollout is {state.status}: there is nothing to resume")
    if state.status is Status.PAUSED and state.held is not None:
        return _by_hand(replace(state, status=Status.HELD), f"held as before: {state.held}")
    if state.status is Status.PAUSED and not (state.opened or state.loaded):
        return _by_hand(replace(state, status=Status.PENDING), "the version is being loaded")
    overruled = state.overruled if state.held is None else (*state.overruled, state.held)
    on = _at(plan, replace(state, overruled=overruled), state.stage, now_us)
    return _by_hand(on, f"goes on; {_ALONE_TEXT if on.alone else _stage_text(plan, state.stage)}")


def guards_told(plan: Plan, evidence: Evidence) -> dict[str, dict[str, float]]:
    """Return for each guard its e-value and the value that takes the candidate back."""
    told = {
        name: {"e_value": wealth.value, "limit": 1.0 / plan.alpha_of(name)} for name, wealth in evidence.guards.items()
    }
    told["error_budget"] = {"e_value": evidence.budget.value, "limit": 1.0 / HOLD_ALPHA}
    mismatch = eprocess.mismatch(evidence.drawn, shares=MOST_SHARES)
    told["sample_ratio"] = {"e_value": mismatch, "limit": 1.0 / MISMATCH_ALPHA}
    if SCORE in evidence.cells:
        told[SCORE] = {"e_value": betting.evidence_worse(evidence.cells[SCORE]), "limit": 1.0 / HOLD_ALPHA}
    return told


def lifts(plan: Plan, evidence: Evidence) -> dict[str, betting.Lift]:
    """Return what an A/B test compares, each with the interval that holds at every look."""
    found = {
        # All intervals together hold with the confidence that was asked for.
        name: betting.lift(evidence.cells[name], alpha=(1 - plan.confidence) / 3)
        for name in (SUCCESS, LATENCY, SCORE)
        if name in evidence.cells
    }
    return {name: lift for name, lift in found.items() if lift is not None}


def winner(plan: Plan, evidence: Evidence) -> str | None:
    """Return "candidate" or "champion" where an A/B test has told: better in one thing, and in none worse."""
    told = lifts(plan, evidence).values()
    better, worse = any(lift.lower > 0 for lift in told), any(lift.upper < 0 for lift in told)
    if better == worse:
        return None
    return "candidate" if better else "champion"


def _taken_back(plan: Plan, state: State, evidence: Evidence) -> Move | None:
    found = None
    if plan.guard == "threshold":
        found = _threshold(plan, evidence)
    elif _comparable(state, evidence):
        found = _proof(plan, evidence)
    if found is None and _over_budget(evidence) and not _has_control(plan, state, evidence):
        found = Reason.ERROR_BUDGET, f"{_budget_text(plan, evidence)}, and no champion can be compared with it"
    if found is None or (not plan.auto_rollback and found[0] in state.overruled):
        return None
    reason, message = found
    if plan.auto_rollback:
        return Move(state=_end(state, Status.ROLLED_BACK), reason=reason, message=message)
    if state.status is Status.PAUSED or state.asks:
        return None
    return Move(state=replace(state, status=Status.HELD, held=reason), reason=reason, message=message)


def _proof(plan: Plan, evidence: Evidence) -> tuple[Reason, str] | None:
    for name, wealth in evidence.guards.items():
        if wealth.value >= 1.0 / plan.alpha_of(name):
            mine, theirs = getattr(evidence.candidate, name), getattr(evidence.champion, name)
            return Reason.WORSE, (
                f"{name}: {mine} in {evidence.candidate.requests} requests of the candidate, {theirs} in "
                f"{evidence.champion.requests} of the champion; e-value {wealth.value:.4g}, "
                f"limit {1.0 / plan.alpha_of(name):g}"
            )
    return None


def _threshold(plan: Plan, evidence: Evidence) -> tuple[Reason, str] | None:
    seen = evidence.candidate
    if seen.requests < THRESHOLD_FROM or seen.errors <= plan.allowed * seen.requests:
        return None
    return Reason.ABOVE_THRESHOLD, f"{seen.errors} errors in {seen.requests} requests, above {100 * plan.allowed:g} %"


def _over_budget(evidence: Evidence) -> bool:
    return evidence.budget.value >= 1.0 / HOLD_ALPHA


def _has_control(plan: Plan, state: State, evidence: Evidence) -> bool:
    return (plan.shadow or state.percentage(plan) < 100) and _comparable(state, evidence)


def _comparable(state: State, evidence: Evidence) -> bool:
    """Tell whether the counts of both can be compared: what is lost of one of them looks like a difference."""
    return Reason.SAMPLE_RATIO_MISMATCH in state.overruled or not _mismatched(evidence)


def _mismatched(evidence: Evidence) -> bool:
    return eprocess.mismatch(evidence.drawn, shares=MOST_SHARES) >= 1.0 / MISMATCH_ALPHA


def _held(plan: Plan, state: State, evidence: Evidence) -> Move | None:
    """Return the hold that needs a person; one is enough."""
    if state.asks:
        return None
    found: tuple[Reason, str] | None = None
    if _over_budget(evidence) and _has_control(plan, state, evidence):
        text = f"{_budget_text(plan, evidence)}; the champion's errors do not show that it is the candidate's fault"
        found = Reason.ERROR_BUDGET, text
    elif _mismatched(evidence):
        found = (
            Reason.SAMPLE_RATIO_MISMATCH,
            f"keys do not reach the versions with the shares that were set: {_drawn(evidence)}",
        )
    elif SCORE in evidence.cells and betting.evidence_worse(evidence.cells[SCORE]) >= 1.0 / HOLD_ALPHA:
        found = Reason.SCORE_WORSE, "the candidate's scores are lower than the champion's"
    elif plan.strategy == "ab_test" and evidence.of_stage >= plan.min_requests:
        name = winner(plan, evidence)
        found = None if name is None else (Reason.WINNER_KNOWN, f"the {name} is better: {_lift_text(plan, evidence)}")
    if found is None or found[0] in state.overruled:
        return None
    reason, message = found
    return Move(state=replace(state, status=Status.HELD, held=reason), reason=reason, message=message)


def _further(plan: Plan, state: State, evidence: Evidence, look: Look) -> Move | None:
    """Return the next stage, the end, or the hold until there is something to go by."""
    enough = evidence.of_stage >= plan.min_requests
    if look.now_us - state.since_us < plan.dwell_s * US or (plan.strategy == "ab_test" and enough):
        return None
    if not enough:
        if state.held in PASSING:
            # Which of them it is may change with each look; what it waits for does not.
            return None
        reason, message = _silence(plan, state, evidence, look)
        return Move(state=replace(state, status=Status.HELD, held=reason), reason=reason, message=message)
    return _passed(plan, state, evidence, look)


def _passed(plan: Plan, state: State, evidence: Evidence, look: Look) -> Move | None:
    """Return what follows a stage that has passed."""
    if plan.shadow:
        message = (
            f"{evidence.candidate.requests} requests were answered beside the champion; roll it out to let it serve"
        )
        return Move(state=_end(state, Status.COMPLETED), reason=Reason.SHADOWED, message=message)
    stage = state.stage + 1
    if stage < len(plan.steps):
        on = _at(plan, state, stage, look.now_us)
        return Move(state=on, reason=Reason.STAGE_PASSED, message=_stage_text(plan, stage))
    if plan.steps[-1] == 100 or state.alone:
        done = replace(_end(state, Status.COMPLETED), since_us=look.now_us)
        return Move(state=done, reason=Reason.SOAKED, message="serves everybody")
    if Reason.LAST_STEP in state.overruled:
        return None
    message = f"the last step of {plan.steps[-1]:g} % is passed; promote lets it serve everybody, abort ends it"
    return Move(
        state=replace(state, status=Status.HELD, held=Reason.LAST_STEP), reason=Reason.LAST_STEP, message=message
    )


def _silence(plan: Plan, state: State, evidence: Evidence, look: Look) -> tuple[Reason, str]:
    lacking = f"{evidence.of_stage} of {plan.min_requests} requests of this stage have come"
    since = max(state.since_us, look.heard_us or 0)
    asked = look.routed_us is not None and look.routed_us > since
    if asked and look.now_us - since > SILENT_S * US:
        return Reason.NO_METRICS, f"{lacking}, and those who route requests tell no outcomes"
    return Reason.NO_TRAFFIC, f"{lacking}; it goes on by itself when there are enough"


def _at(plan: Plan, state: State, stage: int, now_us: int) -> State:
    last = stage == len(plan.steps) - 1 and (plan.steps[stage] == 100 or state.alone)
    status = Status.SOAKING if last else Status.RUNNING
    return replace(state, status=status, stage=stage, since_us=now_us, held=None, opened=True)


def _end(state: State, status: Status) -> State:
    return replace(state, status=status, held=None)


def _by_hand(state: State, message: str) -> Move:
    return Move(state=state, reason=Reason.BY_HAND, message=message)


def _stage_text(plan: Plan, stage: int) -> str:
    if plan.shadow:
        return "the candidate answers beside the champion, and nobody sees it"
    return f"stage {stage + 1} of {len(plan.steps)}: {plan.percentage(stage):g} % of the keys"


_ALONE_TEXT = "it serves everybody in the champion's place, watched until it has soaked"


def _budget_text(plan: Plan, evidence: Evidence) -> str:
    seen = evidence.candidate
    return (
        f"{seen.errors} errors in {seen.requests} requests of the candidate, more than {100 * plan.allowed:g} % "
        f"(e-value {evidence.budget.value:.4g}, limit {1.0 / HOLD_ALPHA:g})"
    )


def _drawn(evidence: Evidence) -> str:
    told = (
        f"{mine} of {mine + theirs} at {100 * share:g} %" for share, (mine, theirs) in sorted(evidence.drawn.items())
    )
    return ", ".join(told)


def _lift_text(plan: Plan, evidence: Evidence) -> str:
    return ", ".join(
        f"{name} {lift.difference:+.3f} ({lift.lower:+.3f} to {lift.upper:+.3f})"
        for name, lift in lifts(plan, evidence).items()
    )
