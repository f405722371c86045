"""A rollout: make the candidate resident, try it on recorded requests, let it answer stage by stage, clean up.

A durable flow around the state machine of `registry.rollout`. The stages themselves do not wait for it: whoever brings
news (outcomes, the clock, a person) has `settle` decide and write what follows in its own transaction, so that a bad
candidate is taken back even while all places of the engine are taken. A crash at any point leaves the last split that
was written.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol

import sqlalchemy as sa

from overnight.base.errors import OvernightError, UnknownName, said_by
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import approvals, moves
from overnight.engine.book import Book
from overnight.engine.flow import Flow
from overnight.engine.tables import questions
from overnight.registry import deployments, rollout, store
from overnight.registry.deployments import Deployment
from overnight.registry.rollout import COMMANDS, Look, Move, Status

LOOK_EVERY_S = 15.0
"""Between two looks of the flow at whether its rollout has ended, where nobody wakes it."""
GUARD, FLOW = "guard", "rollout"
"""Who decided, where it was no person."""
ANSWERS = tuple(what for what in COMMANDS if what != "pause")
Json = dict[str, Any]

_AS_ANSWER = {Status.COMPLETED: "promote", Status.ABORTED: "abort", Status.ROLLED_BACK: "rollback"}


@dataclass(frozen=True, kw_only=True)
class Tried:
    """What recorded requests have shown: whether the candidate did worse, and one line."""

    worse: bool
    message: str


@dataclass(frozen=True, kw_only=True)
class Room:
    """Whether the candidate fits into memory beside the champion, or at least in its place; `message` says why not."""

    beside: bool
    instead: bool = True
    message: str | None = None


BESIDE = Room(beside=True)


class Residence(Protocol):
    """Where versions are resident. Each call may come again after a crash."""

    def room(self, one: Deployment) -> Room | None:
        """Reserve memory for the candidate; None as long as runs have it that will give it back."""

    def load(self, one: Deployment) -> str:
        """Make the candidate resident beside the champion, and say in one line what was done.

        Raises:
            OvernightError: it cannot serve.
        """

    def replay(self, one: Deployment, room: Room) -> Tried | None:
        """Put recorded requests to both versions, in turns if need be; None where that tells nothing."""

    def swap(self, one: Deployment) -> str:
        """Make the candidate resident in the champion's place, and say in one line what was done.

        Raises:
            OvernightError: it cannot serve; the champion is back.
        """

    def unload(self, one: Deployment) -> str:
        """Let the version that serves from now on stay, take the other one away, and say so in one line."""


class Stored:
    """Nowhere: those who route load versions themselves. What is stored has to be whole all the same."""

    def __init__(self, database: Database, verify: Callable[[Mapping[str, Any]], object]) -> None:
        self._database = database
        self._verify = verify

    def room(self, one: Deployment) -> Room:
        """Reserve nothing."""
        return BESIDE

    def load(self, one: Deployment) -> str:
        """Check the files of the candidate."""
        with self._database.read() as connection:
            version = store.of_number(connection, one.model, one.candidate)
        assert version is not None, "its row stays"
        self._verify(version.manifest)
        return "its files are as they were stored"

    def replay(self, one: Deployment, room: Room) -> Tried | None:
        """Do nothing."""
        return None

    def swap(self, one: Deployment) -> str:
        """Check the files of the candidate."""
        return self.load(one)

    def unload(self, one: Deployment) -> str:
        """Do nothing."""
        return "nothing was resident"


@dataclass(frozen=True, kw_only=True)
class Rollouts:
    """What the flow works with."""

    database: Database
    book: Callable[[], Book]
    residence: Residence

    def deployment(self, deployment_id: int) -> Deployment:
        """Return the deployment as it stands.

        Raises:
            UnknownName: there is none of that id.
        """
        with self.database.read() as connection:
            found = deployments.find(connection, deployment_id)
        if found is None:
            raise UnknownName(f"there is no deployment {deployment_id}")
        return found


def run(flow: Flow, rollouts: Rollouts, deployment_id: int) -> Json:
    """See a rollout through and return how it ended."""
    flow.step("open", _open, rollouts, deployment_id, *_prepare(flow, rollouts, deployment_id))
    while True:
        news = flow.until("news", lambda: _news(rollouts, deployment_id), every_s=LOOK_EVERY_S)
        if "question" not in news:
            break
        known = partial(_known, deployment_id, news["decision"])
        answer = flow.ask(news["name"], news["question"], ANSWERS, known=known)
        flow.step("answer", _answer, rollouts, deployment_id, answer, news["decision"])
    return flow.step("settle", _clean_up, rollouts, deployment_id)


def _prepare(flow: Flow, rollouts: Rollouts, deployment_id: int) -> tuple[Json, Json | None, Json | None]:
    """Have the candidate there, beside the champion or in its place, and tried; see `_open` for what is returned."""
    plan = rollouts.deployment(deployment_id).plan
    while True:
        room = flow.until("room", lambda: _room(rollouts, deployment_id), every_s=LOOK_EVERY_S)
        loaded = flow.step("load", _load, rollouts, deployment_id) if room["beside"] else None
        if loaded is None or not loaded.get("again"):
            break
    tried = None
    if plan.replay and room["instead"] and (loaded is None or loaded["error"] is None):
        tried = flow.step("replay", _replay, rollouts, deployment_id, room)
    worse = tried is not None and tried.get("worse", False)
    if plan.swaps and room["instead"] and loaded is None and not worse:
        flow.until("no pause", lambda: _not_paused(rollouts, deployment_id), every_s=LOOK_EVERY_S)
        loaded = flow.step("swap", _swap, rollouts, deployment_id)
    return room, loaded, tried


def settle(
    tx: Tx,
    book: Book,
    deployment: Deployment,
    move: Move,
    *,
    look: Look,
    by: str,
    asked: str | None = None,
) -> Deployment:
    """Write what follows for a deployment, with all that led to it; the split holds from this transaction on."""
    settled = deployments.write_move(tx, deployment, move, evidence=deployment.evidence, look=look, by=by, asked=asked)
    if settled.state.status is Status.COMPLETED and not settled.plan.shadow:
        store.serialize(tx, settled.model)
        version = store.of_number(tx.connection, settled.model, settled.candidate)
        assert version is not None, "its row stays"
        store.let_serve(tx, version, by=by, why=f"deployment {settled.deployment_id}: {move.message}")
    _tell_flow(tx, book, settled, by)
    return settled


def _tell_flow(tx: Tx, book: Book, deployment: Deployment, by: str) -> None:
    """Answer the question that is open, where somebody has decided without it; have the flow look."""
    # Whoever asks a question at this moment has asked it, or sees what was decided: see `_known`.
    moves.wake(tx, book, deployment.run_id)
    if not deployment.state.asks:
        query = sa.select(questions.c.question_id).where(
            questions.c.run_id == deployment.run_id, questions.c.answer.is_(None)
        )
        for (question_id,) in tx.connection.execute(query).fetchall():
            approvals.answer(tx, book, question_id, _AS_ANSWER.get(deployment.state.status, "resume"), by)


def _room(rollouts: Rollouts, deployment_id: int) -> Json | None:
    """Ask for memory, again and again; None as long as it is waited for."""
    deployment = rollouts.deployment(deployment_id)
    room = BESIDE if deployment.state.status.over else rollouts.residence.room(deployment)
    return None if room is None else asdict(room)


def _load(rollouts: Rollouts, deployment_id: int) -> Json:
    deployment = rollouts.deployment(deployment_id)
    # What was reserved is gone with the process that did it, if that has ended since.
    if not deployment.state.status.over and rollouts.residence.room(deployment) != BESIDE:
        return {"again": True, "error": None, "message": "the memory that was reserved for it is somebody else's now"}
    return {"again": False, **_made_resident(deployment, rollouts.residence.load)}


def _not_paused(rollouts: Rollouts, deployment_id: int) -> Json | None:
    """Return None as long as somebody has paused it: nobody is to meet another version meanwhile."""
    status = rollouts.deployment(deployment_id).state.status
    return None if status is Status.PAUSED else {"status": status}


def _swap(rollouts: Rollouts, deployment_id: int) -> Json:
    return _made_resident(rollouts.deployment(deployment_id), rollouts.residence.swap)


def _made_resident(deployment: Deployment, make: Callable[[Deployment], str]) -> Json:
    if deployment.state.status.over:
        return {"error": None, "message": "it had ended before it began"}
    try:
        return {"error": None, "message": make(deployment)}
    except OvernightError as error:
        return {"error": said_by(error), "message": None}


def _replay(rollouts: Rollouts, deployment_id: int, room: Json) -> Json:
    """Try the candidate on what users asked earlier, before any of them is at its mercy."""
    deployment = rollouts.deployment(deployment_id)
    tried = None if deployment.state.status.over else rollouts.residence.replay(deployment, Room(**room))
    if tried is None:
        return {"replayed": False}
    if tried.worse:
        _change(rollouts, deployment_id, lambda one, look: rollout.replayed_worse(one.plan, one.state, tried.message))
    return {"replayed": True, "worse": tried.worse, "message": tried.message}


def _open(rollouts: Rollouts, deployment_id: int, room: Json, loaded: Json | None, tried: Json | None) -> Json:
    def change(one: Deployment, look: Look) -> Move | None:
        if one.state.status.over or one.state.opened or one.state.loaded or one.state.held is not None:
            return None
        if loaded is not None and loaded["error"] is not None:
            return rollout.failed_hard(one.state, loaded["error"])
        if room["beside"] or (loaded is not None and one.plan.strategy == "immediate"):
            return rollout.opened(one.plan, one.state, look.now_us)
        if loaded is not None:
            return rollout.swapped(one.plan, one.state, f"{room['message']}; {loaded['message']}", look.now_us)
        seen = "" if tried is None or not tried["replayed"] else f"; in turns, {tried['message']}"
        return rollout.no_room(one.state, f"{room['message']}{seen}; promote swaps one for the other")

    return _change(rollouts, deployment_id, change)


def _change(rollouts: Rollouts, deployment_id: int, decide: Callable[[Deployment, Look], Move | None]) -> Json:
    def write(tx: Tx) -> Json:
        one = deployments.for_update(tx, deployment_id)
        assert one is not None, "rows of deployments stay"
        look = Look(now_us=tx.now_us, heard_us=one.heard_us)
        move = decide(one, look)
        if move is not None:
            one = settle(tx, rollouts.book(), one, move, look=look, by=FLOW)
        return {"status": one.state.status, "message": one.message}

    return rollouts.database.writer.do(write)


def _news(rollouts: Rollouts, deployment_id: int) -> Json | None:
    with rollouts.database.read() as connection:
        one = deployments.find(connection, deployment_id)
        assert one is not None, "rows of deployments stay"
        if one.state.status.over:
            return {"status": one.state.status}
        if not one.state.asks:
            return None
        held = deployments.newest_decision(connection, deployment_id)
    return {
        "name": f"deployment {deployment_id}: {held.reason}",
        "question": (
            f"{one.model} {one.candidate} is held at {one.percentage:g} %: {held.message}. "
            "resume sets this reason aside and goes on, promote lets it serve everybody, abort and rollback end it"
        ),
        "decision": held.decision_id,
    }


def _known(deployment_id: int, decision_id: int, tx: Tx) -> tuple[str, str] | None:
    """Return what was decided since the news of a question, and by whom: nobody is asked that any more."""
    newest = deployments.newest_decision(tx.connection, deployment_id)
    if newest.decision_id == decision_id:
        return None
    return _AS_ANSWER.get(newest.after.status, "resume"), newest.by


def _answer(rollouts: Rollouts, deployment_id: int, answer: str, decision_id: int) -> Json:
    """Do what was answered, unless something else has happened since the question."""

    def write(tx: Tx) -> Json:
        one = deployments.for_update(tx, deployment_id)
        assert one is not None, "rows of deployments stay"
        newest = deployments.newest_decision(tx.connection, deployment_id)
        if newest.decision_id == decision_id and one.state.asks:
            look = Look(now_us=tx.now_us, heard_us=one.heard_us)
            move = rollout.command(one.plan, one.state, answer, tx.now_us)
            by = _answered_by(tx, one.run_id)
            one = settle(tx, rollouts.book(), one, move, look=look, by=by, asked=answer)
        return {"status": one.state.status}

    return rollouts.database.writer.do(write)


def _answered_by(tx: Tx, run_id: int) -> str:
    query = sa.select(questions.c.answered_by).where(questions.c.run_id == run_id, questions.c.answer.is_not(None))
    return str(tx.connection.execute(query.order_by(questions.c.question_id.desc()).limit(1)).scalar_one())


def _clean_up(rollouts: Rollouts, deployment_id: int) -> Json:
    deployment = rollouts.deployment(deployment_id)
    try:
        done = rollouts.residence.unload(deployment)
    except OvernightError as error:
        # It has been decided; what is in the way stays for a person to see.
        done = said_by(error)
    told = {"status": deployment.state.status, "percentage": deployment.percentage, "message": deployment.message}
    return {**told, "unloaded": done}
