"""Takes down the machines that were brought up for jobs, whatever became of the job and of whoever worked on it.

Level-based: each look reads what may be up and how the job stands, and does what `resources.upkeep` says. So it makes
no difference who was killed at which instant: the next look, of this process or of the next one, does what is left to
do. Several workers may take down the same machine at the same time, which a command that is safe to repeat allows.
"""

import contextlib
from collections.abc import Callable

from overnight.app.job_tasks import training_of
from overnight.app.rounds import Rounds
from overnight.base.backoff import Backoff
from overnight.base.errors import InvalidTransition, said_by
from overnight.base.jobs import JOB
from overnight.base.settings import environment
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import moves, store
from overnight.engine.book import Book
from overnight.engine.model import Run
from overnight.processes.call import CallFailed, call
from overnight.resources.upkeep import Move, Work, decide
from overnight.training import stays
from overnight.training.stays import Stay

LOOK_EVERY_S = 0.5
AGAIN = Backoff(base_s=2.0, factor=2.0, cap_s=300.0)
"""Between two tries to take down a machine that does not go."""


class Keeper:
    """Looks after the machines of a project's jobs, in a thread of its own, from `start` to `close`."""

    def __init__(self, database: Database, book: Callable[[], Book]) -> None:
        self._database, self._book, self._clock = database, book, database.clock
        self._rounds = Rounds(database.clock)
        self._hurry: Callable[[], bool] | None = None
        self._tries: dict[int, tuple[int, float]] = {}
        """How often a machine could not be taken down, and when the next try is due."""

    def start(self) -> None:
        """Begin."""
        self._rounds.add("pools", self.look, LOOK_EVERY_S)
        self._rounds.start()

    def close(self, hurry: Callable[[], bool]) -> None:
        """Take down what no other worker uses, now that this process works no longer on the project; then end.

        With `hurry`, what is being taken down at that moment is left to whoever works next.
        """
        self._hurry = hurry
        self._rounds.stop()
        if not hurry():
            self._tries.clear()
            self.look(closing=True)

    def _asked(self) -> bool:
        return self._hurry is not None and self._hurry()

    def look(self, *, closing: bool = False) -> None:
        """Do what is to be done now."""
        with self._database.read() as connection:
            found = stays.unended(connection)
        for stay in found:
            while self._move(stay.run_id, closing=closing):
                pass

    def _move(self, run_id: int, *, closing: bool) -> bool:
        """Do the next thing for the machine of a job; return whether there may be another one."""
        with self._database.read() as connection:
            stay, flow = stays.find(connection, run_id), store.get(connection, run_id)
            children = store.children_of(connection, run_id)
        assert stay is not None, "stays are kept"
        training = training_of(children)
        move = decide(stay.standing, _work(flow, training), self._clock.now_us(), closing=closing)
        match move:
            case Move.WAIT:
                return False
            case Move.COUNT:
                assert training is not None and training.started_us is not None, "it was begun"
                self._note(stay, "pool_up", up_us=training.started_us)
            case Move.STOP:
                self._stop(stay, training)
            case Move.DOWN:
                assert training is not None, "it was begun"
                return self._take_down(stay, training)
            case Move.CLOSE:
                self._sum_up(stay, training)
                return False
        return True

    def _note(self, stay: Stay, event: str, **values: object) -> None:
        def change(tx: Tx) -> None:
            stays.note(tx, stay.run_id, **values)
            _tell(tx, stay, event, values.get("error"))

        self._database.writer.do(change)

    def _stop(self, stay: Stay, training: Run | None) -> None:
        """Stop a training whose hours are over; its flow then ends with that reason."""
        book = self._book()

        def change(tx: Tx) -> None:
            stays.note(tx, stay.run_id, over=1)
            _tell(tx, stay, "pool_hours_over")
            if training is not None:
                tx.news = True
                with contextlib.suppress(InvalidTransition):
                    moves.cancel(tx, book, training.run_id)

        self._database.writer.do(change)

    def _take_down(self, stay: Stay, training: Run) -> bool:
        """Call the command; return whether the machine is down."""
        tries, due_s = self._tries.get(stay.run_id, (0, 0.0))
        if self._clock.monotonic() < due_s:
            return False
        terms = stay.terms
        try:
            if terms.down:
                call(terms.down, env=environment(), timeout_s=terms.timeout_s, asked=self._asked)
        except (CallFailed, OSError) as error:
            why = said_by(error)
            self._tries[stay.run_id] = tries + 1, self._clock.monotonic() + AGAIN.wait_s(tries + 1, None)
            self._note(stay, "pool_down_failed", error=why)
            return False
        self._tries.pop(stay.run_id, None)
        spent_us = stay.standing.used_us(self._clock.now_us())
        token, downs = training.token, stay.downs + 1
        self._note(stay, "pool_down", up_us=None, spent_us=spent_us, down_token=token, downs=downs, error=None)
        return True

    def _sum_up(self, stay: Stay, training: Run | None) -> None:
        """Close the account: what the machine has cost belongs to the training that it was brought up for."""
        cost = stay.cost_of(stay.standing.spent_us)

        def change(tx: Tx) -> None:
            now = stays.find(tx.connection, stay.run_id)
            if now is None or now.ended:
                return  # another worker was faster
            stays.note(tx, stay.run_id, ended_us=tx.now_us, cost=cost)
            if cost is not None and training is not None:
                store.add_cost(tx, training.run_id, cost)
            _tell(tx, stay, "pool_closed")

        self._database.writer.do(change)


def _tell(tx: Tx, stay: Stay, event: str, error: object = None) -> None:
    told = {"run": stay.run_id, "task": JOB, "event": event, "pool": stay.terms.pool}
    tx.emit(told if error is None else {**told, "error": error})


def _work(flow: Run | None, training: Run | None) -> Work:
    ended = flow is None or flow.state.final
    if training is None:
        return Work(job_ended=ended)
    return Work(
        job_ended=ended,
        token=training.token,
        worked_on=training.worker_id is not None,
        ended=training.state.final,
    )
