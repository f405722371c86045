"""What becomes of one service, from what it is and what was seen of it. Pure.

    waiting -> starting -> up -> (ended, hung, leaking) -> backing_off -> starting ...
    stopping can follow from every state in which it lives; down and given_up stay until somebody asks

Before anything is started it is looked at: what works already is adopted. A first start that fails is not tried again,
because whoever waits for it wants to know; one that has worked is started again as its policy says.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from overnight.base.resource_settings import ServiceSettings

LONGEST_BACKOFF_S = 60.0
SETTLED_S = 2.0
"""A service without a look at its health works when it has lived for so long."""
STUCK_S = 10.0
"""After its grace time, until what is left of it is killed from here."""


class Status(StrEnum):
    """How a service stands."""

    WAITING = "waiting"
    STARTING = "starting"
    UP = "up"
    BACKING_OFF = "backing_off"
    STOPPING = "stopping"
    DOWN = "down"
    GIVEN_UP = "given_up"

    @property
    def settled(self) -> bool:
        """Return whether nothing is about to change."""
        return self in (Status.UP, Status.DOWN, Status.GIVEN_UP)


class Act(StrEnum):
    """What is to be done."""

    START = "start"
    STOP = "stop"
    KILL = "kill"


@dataclass(frozen=True, kw_only=True)
class State:
    """How a service stands since `since_s` (of the clock that only moves forward).

    `ours` says that it was started by this project, `again` that it is stopped to be started again, `worked` that it
    has been up since the daemon began. `failures` counts looks in a row that failed, `restarts` holds when it was
    started again, and `until_s` is when that may be done next. `why` is what was wrong last.
    """

    status: Status = Status.WAITING
    since_s: float = 0.0
    ours: bool = False
    again: bool = False
    worked: bool = False
    failures: int = 0
    restarts: tuple[float, ...] = ()
    until_s: float = 0.0
    why: str | None = None


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What is known of a service at a moment.

    `alive`: of what was started here something lives; `ended` is how it has ended in words, where it has, and `failed`
    whether that was a failure. `healthy` None: it was not looked at; `problem` is what was wrong. `taken` says who else
    has its port. `memory_bytes` None: not measured.
    """

    alive: bool = False
    ended: str | None = None
    failed: bool = True
    healthy: bool | None = None
    problem: str | None = None
    taken: str | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """The state from now on, and what is to be done."""

    state: State
    act: Act | None = None


def decide(settings: ServiceSettings, state: State, seen: Seen, now_s: float, *, ready: bool) -> Decision:
    """Return what follows; `ready` says that what it needs is there."""
    if state.status is Status.WAITING:
        return _waiting(state, seen, now_s) if ready else Decision(state=state)
    if state.status is Status.STARTING:
        return _starting(settings, state, seen, now_s)
    if state.status is Status.UP:
        return _up(settings, state, seen, now_s)
    if state.status is Status.BACKING_OFF and now_s >= state.until_s:
        return _waiting(state, seen, now_s)
    if state.status is Status.STOPPING:
        return _stopping(settings, state, seen, now_s)
    return Decision(state=state)


def _waiting(state: State, seen: Seen, now_s: float) -> Decision:
    if seen.healthy is None and seen.taken is None:
        return Decision(state=state)  # it has not been looked at yet
    if seen.alive:
        if seen.healthy:
            return Decision(state=_to(state, Status.UP, now_s, ours=True, worked=True, why=None))
        # It was left by a daemon that has ended; another one takes its place.
        return Decision(state=_to(state, Status.STOPPING, now_s, ours=True, again=True, why=None), act=Act.STOP)
    if seen.taken is not None:
        return Decision(state=_to(state, Status.GIVEN_UP, now_s, ours=False, why=seen.taken))
    if seen.healthy:
        return Decision(state=_to(state, Status.UP, now_s, ours=False, worked=True, why=None))
    return Decision(state=_to(state, Status.STARTING, now_s, ours=True), act=Act.START)


def _starting(settings: ServiceSettings, state: State, seen: Seen, now_s: float) -> Decision:
    if not seen.alive:
        return _after_end(settings, state, f"{seen.ended or 'is gone'}, before it worked", now_s, failed=True)
    if seen.healthy:
        return Decision(state=_to(state, Status.UP, now_s, worked=True, why=None))
    if now_s - state.since_s < settings.start_timeout_s:
        return Decision(state=state)
    why = f"did not work within {settings.start_timeout_s:g} s: {seen.problem or 'it was not looked at'}"
    return _stop(settings, state, why, now_s, again=state.worked)


def _up(settings: ServiceSettings, state: State, seen: Seen, now_s: float) -> Decision:
    if state.ours and not seen.alive:
        why = seen.ended or "is gone"
        return _after_end(settings, state, why, now_s, failed=seen.failed)
    failures = 0 if seen.healthy else state.failures + (seen.healthy is False)
    state = replace(state, failures=failures)
    if failures >= settings.health.failures:
        why = f"does not work any more: {seen.problem}"
        if state.ours:
            return _stop(settings, state, why, now_s, again=True)
        return _after_end(settings, state, why, now_s, failed=True)
    limit = settings.max_memory_gb
    if state.ours and limit is not None and seen.memory_bytes is not None and seen.memory_bytes > limit * 1e9:
        why = f"took {seen.memory_bytes / 1e9:.1f} GB of memory, max_memory_gb is {limit:g}"
        return _stop(settings, state, why, now_s, again=True)
    return Decision(state=state)


def _stopping(settings: ServiceSettings, state: State, seen: Seen, now_s: float) -> Decision:
    if seen.alive:
        stuck = now_s - state.since_s > settings.grace_s + STUCK_S
        return Decision(state=state, act=Act.KILL if stuck else None)
    if state.again and state.why is None:  # somebody wants it
        return Decision(state=_to(state, Status.WAITING, now_s, ours=False))
    if state.again:
        return _after_end(settings, state, state.why or "", now_s, failed=True)
    return Decision(state=_to(state, Status.GIVEN_UP if state.why else Status.DOWN, now_s, ours=False))


def _stop(settings: ServiceSettings, state: State, why: str, now_s: float, *, again: bool) -> Decision:
    again = again and settings.restart != "never"
    return Decision(state=_to(state, Status.STOPPING, now_s, again=again, why=why), act=Act.STOP)


def _after_end(settings: ServiceSettings, state: State, why: str, now_s: float, *, failed: bool) -> Decision:
    """Return what follows when it lives no more."""
    wanted = settings.restart == "always" or (settings.restart == "on_failure" and failed)
    if not state.worked or not wanted:
        ended = Status.DOWN if state.worked and not failed else Status.GIVEN_UP
        return Decision(state=_to(state, ended, now_s, ours=False, why=why))
    recent = tuple(at for at in state.restarts if now_s - at < settings.window_s)
    if len(recent) >= settings.max_restarts:
        told = f"given up after {len(recent)} restarts in {settings.window_s:g} s: {why}"
        return Decision(state=_to(state, Status.GIVEN_UP, now_s, ours=False, restarts=recent, why=told))
    wait_s = min(LONGEST_BACKOFF_S, settings.backoff_s * 2 ** len(recent))
    later = _to(state, Status.BACKING_OFF, now_s, ours=False, restarts=(*recent, now_s), why=why)
    return Decision(state=replace(later, until_s=now_s + wait_s))


def _to(state: State, status: Status, now_s: float, **changed: object) -> State:
    begun: dict[str, object] = {"status": status, "since_s": now_s, "again": False, "failures": 0, **changed}
    return replace(state, **begun)  # type: ignore[arg-type]  # each a field of it


def asked_to_start(state: State, now_s: float) -> State:
    """Return the state of a service that somebody wants to be started, and waits for: all begins anew."""
    if state.status in (Status.DOWN, Status.GIVEN_UP, Status.BACKING_OFF):
        return _to(state, Status.WAITING, now_s, restarts=(), why=None, worked=False)
    return state


def asked_to_stop(state: State, now_s: float, *, again: bool = False) -> Decision:
    """Return what follows where somebody wants it to be stopped, and with `again`, started once more."""
    if state.ours and state.status in (Status.STARTING, Status.UP):
        stopping = _to(state, Status.STOPPING, now_s, restarts=(), why=None)
        return Decision(state=replace(stopping, again=again, worked=state.worked and not again), act=Act.STOP)
    if again:
        return Decision(state=asked_to_start(state, now_s))
    if state.status in (Status.WAITING, Status.BACKING_OFF):
        return Decision(state=_to(state, Status.DOWN, now_s, why=None))
    return Decision(state=state)
