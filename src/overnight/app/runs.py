"""The runs of a project: submit, look, wait, cancel, answer. The part of a project that any process may use."""

import getpass
import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from overnight.app.runtime import Runtime
from overnight.app.waits import Waits
from overnight.base.errors import RunFailed, UnknownName, UserMistake
from overnight.base.ids import RunId
from overnight.db import stream
from overnight.db.database import Database
from overnight.db.writer import Tx
from overnight.engine import approvals, moves, store
from overnight.engine.book import Book
from overnight.engine.forks import check_fork, fork
from overnight.engine.model import Priority, Question, Run, State
from overnight.engine.submit import Request, args_text, due_instant, submit


class Runs(ABC):
    """What a project offers for its runs. Safe to use from any thread."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._runtime: Runtime | None = None
        self._waits = Waits(database.clock)
        self._end_listening: Callable[[], None] | None = None
        self._listening = threading.Lock()
        database.writer.told = lambda events, news: self._waits.tell(events)

    @property
    @abstractmethod
    def book(self) -> Book:
        """All tasks, checked together."""

    @abstractmethod
    def _loose_book(self) -> Book:
        """Return the tasks also where `after` of some task is wrong."""

    def submit(
        self,
        task_id: str,
        args: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        priority: Priority | str | None = None,
        due: Any = None,  # Any: a datetime, checked below
        with_dependants: bool = False,
    ) -> RunId:
        """Ask for a run and return its id once the wish is on disk.

        Two submits with one `key` give one run. `due` (an aware datetime) is the earliest start.

        Raises:
            UnknownName: there is no such task.
            UserMistake: the arguments are no mapping, or the priority, due time or key cannot be used.
            NotJson: the arguments are not JSON.
            DatabaseBusy, DatabaseBroken, CommitInDoubt: nothing was acknowledged; with a `key` it is safe to ask again.
        """
        request = self._request(task_id, args, key=key, priority=priority, due=due, with_dependants=with_dependants)
        writer = self.database.writer
        return writer.wait(writer.join(_submit_all, request))

    def _request(
        self,
        task_id: str,
        args: Mapping[str, Any] | None,
        *,
        key: str | None,
        priority: Priority | str | None,
        due: Any,  # Any: a datetime, checked here
        with_dependants: bool,
    ) -> Request:
        entry = self.book.get(task_id)
        if priority is not None and priority not in tuple(Priority):
            raise UserMistake(f"priority: {priority!r} is not one of {', '.join(Priority)}")
        return Request(
            task_id=task_id,
            priority=entry.task.priority if priority is None else Priority(priority),
            args=args_text(task_id, args),
            key=key,
            due_us=due_instant(due),
            own_cycle=with_dependants,
            further=entry.task.further,
        )

    def get(self, run_id: int) -> Run:
        """Return the run as it is on disk.

        Raises:
            UnknownName: there is no such run.
        """
        with self.database.read() as connection:
            run = store.get(connection, run_id)
        if run is None:
            raise UnknownName(f"there is no run {run_id}; `overnight runs list` shows the newest")
        return run

    def runs(
        self,
        *,
        limit: int = 20,
        task_id: str | None = None,
        state: State | str | None = None,
        before: int | None = None,
    ) -> list[Run]:
        """Return the newest runs, newest first; only those with an id below `before`, if it is given."""
        with self.database.read() as connection:
            return store.newest(connection, limit=limit, task_id=task_id, state=state, before=before)

    def wait(self, run_id: int, timeout_s: float | None = None) -> Run:
        """Wait until the run has ended, or the time is over, and return it as it is then.

        Raises whatever has ended the work in this process against its will, if the run has not ended before.
        """
        self._listen()
        before = self._runtime

        def look() -> list[Run]:
            run = self.get(run_id)
            runtime = self._runtime or before
            if not run.state.final and runtime is not None and runtime.failure is not None:
                raise runtime.failure
            return [run]

        return self._waits.wait([run_id], look, timeout_s)[0]

    @property
    def failure(self) -> BaseException | None:
        """What has ended the work in this process against its will; `stop` raises it too."""
        return None if self._runtime is None else self._runtime.failure

    def result(self, run_id: int, timeout_s: float | None = None) -> Any:  # Any: whatever JSON the run returned
        """Wait for the run and return what its function returned.

        Raises:
            RunFailed: it ended FAILED or CANCELLED, or has not ended in time.
        """
        run = self.wait(run_id, timeout_s)
        if run.state is not State.COMPLETED:
            reason = run.error.message if run.error is not None else "it has not ended yet"
            raise RunFailed(f"run {run_id} of task {run.task_id!r} is {run.state}: {reason}")
        return None if run.result is None else json.loads(run.result)

    def _listen(self) -> None:
        """Hear the worker of another process."""
        with self._listening:
            if self._end_listening is None and self._runtime is None:
                self._end_listening = self.database.doorbell.listen(self._waits.wake_all)

    def _end_to_listen(self) -> None:
        with self._listening:
            end, self._end_listening = self._end_listening, None
        if end is not None:
            end()

    def cancel(self, run_id: int) -> Run:
        """End a run, in whatever state it is, and return it as it is now.

        Raises:
            UnknownName: there is no such run.
            InvalidTransition: it has ended already.
        """

        book = self._loose_book()

        def change(tx: Tx) -> None:
            tx.news = True
            moves.cancel(tx, book, run_id)

        self.database.writer.do(change)
        return self.get(run_id)

    def fork(self, run_id: int, step: int = 0) -> RunId:
        """Start a new run of an ended one, which takes the recorded steps before the ordinal `step` as done.

        Raises:
            UnknownName: there is no such run, or its task is gone.
            InvalidTransition: it has not ended yet.
            UserMistake: it has recorded fewer steps.
        """
        source = self.get(run_id)
        self.book.get(source.task_id)
        check_fork(self.database, source, step)
        return self.database.writer.do(lambda tx: fork(tx, source, step))

    def questions(self) -> list[Question]:
        """Return what flows have asked and nobody has answered yet."""
        with self.database.read() as connection:
            return approvals.open_questions(connection)

    def answer(self, question_id: int, choice: str, *, by: str | None = None) -> None:
        """Answer a flow's question.

        Raises:
            UnknownName, InvalidTransition, UserMistake: no such question, answered already, not one of the choices.
        """
        name = by or getpass.getuser()

        def change(tx: Tx) -> None:
            tx.news = True
            approvals.answer(tx, self.book, question_id, choice, name)

        self.database.writer.do(change)

    def events(self, after: int = 0, limit: int = 1000) -> list[stream.Batch]:
        """Return what happened behind the cursor `after`, oldest first; go on after the last batch's cursor."""
        with self.database.read() as connection:
            return list(stream.read(connection, self.database.dialect, after, limit))


def _submit_all(tx: Tx, requests: Sequence[Request]) -> list[RunId]:
    tx.news = True
    return submit(tx, requests)
