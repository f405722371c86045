"""Transitions in the database: apply the machine to runs, save them, and do what follows for the others.

Every function here runs inside a transaction of the writer and may run again, so it changes nothing but the database.
"""

from collections.abc import Sequence

import sqlalchemy as sa

from overnight.base.errors import InvalidTransition, UnknownName
from overnight.base.ids import RunId
from overnight.db.writer import Tx
from overnight.engine import gaps, graph, machine, pausing, store
from overnight.engine.book import Book, Entry
from overnight.engine.machine import Effect
from overnight.engine.model import Cancel, Queue, Run, State
from overnight.engine.submit import Request, submit
from overnight.engine.tables import locks
from overnight.engine.ticks import Gap, Missed

Move = tuple[Run, machine.Event]

_NAMES = {
    machine.Claimed: "started",
    machine.CancelAsked: "cancelled",
    machine.Woken: "woken",
    machine.Held: "held",
    machine.Released: "released",
    machine.Blocked: "blocked",
    machine.Lost: "lost",
    machine.Parked: "parked",
}


def move(tx: Tx, book: Book, moves: Sequence[Move]) -> dict[RunId, Run]:
    """Apply each event to its run and return the new runs of those that were still as known.

    A run that somebody else changed meanwhile, or whose state no longer allows the event, is left alone.
    """
    stepped: list[tuple[Run, Run, machine.Event, tuple[Effect, ...]]] = []
    for run, event in moves:
        try:
            new, effects = machine.apply(run, event, tx.now_us)
        except InvalidTransition:
            continue
        stepped.append((run, new, event, effects))
    saved = store.save(tx, [(old, new) for old, new, _, _ in stepped])
    stepped = [step for step in stepped if step[1].run_id in saved]
    # All of it is told first: what follows from one run may change another one of these.
    for _, new, event, _ in stepped:
        tx.emit({"run": new.run_id, "task": new.task_id, "event": _told(new, event)})
    for old, new, _, effects in stepped:
        _follow(tx, book, old, new, effects)
    return {new.run_id: new for _, new, _, _ in stepped}


def _told(run: Run, event: machine.Event) -> str:
    if run.state.final and not isinstance(event, machine.Blocked):
        return run.state.lower()
    return _NAMES.get(type(event)) or run.state.lower()


def _follow(tx: Tx, book: Book, old: Run, new: Run, effects: tuple[Effect, ...]) -> None:
    entry = book.find(new.task_id)
    if old.worker_id is not None and new.worker_id is None and (entry is None or entry.needs_of(old).locks):
        release_locks(tx, old.run_id, old.token)
    if Effect.CANCEL_CHILDREN in effects:
        for child in store.children_of(tx.connection, new.run_id):
            if not child.state.final:
                _cancel(tx, book, child, Cancel.PARENT)
    if new.state is State.FAILED and entry is not None and entry.task.pause_on_failure:
        reason = "" if new.error is None else f": {new.error.message}"
        pausing.pause(tx, new.task_id, f"run {new.run_id} failed{reason}")
    if Effect.SETTLED in effects:
        settled(tx, book, new)


def settled(tx: Tx, book: Book, run: Run) -> None:
    """Do what the end of a run means for others: a flow that waits for it, and the tasks that come after it."""
    if run.parent_id is not None:
        wake_parent(tx, book, run)
    if run.cycle is not None:
        entry = book.find(run.task_id)
        if entry is not None and entry.dependants:
            tx.dialect.serialize(tx.connection, run.cycle)
            for name in entry.dependants:
                _start_dependant(tx, book, book.get(name), run)


def release_locks(tx: Tx, run_id: int, token: int) -> None:
    """Give back the named locks that a run took with this token."""
    tx.connection.execute(sa.delete(locks).where(locks.c.run_id == run_id, locks.c.token == token))


def wake_parent(tx: Tx, book: Book, run: Run) -> None:
    """Wake the flow that started this run, if it is parked and all runs that it waits for have ended."""
    assert run.parent_id is not None
    parent = store.get_for_update(tx, run.parent_id)
    if parent is not None and parent.parked and satisfied(tx, parent):
        move(tx, book, [(parent, machine.Woken())])


def wake(tx: Tx, book: Book, run_id: int) -> None:
    """Have a flow that waits for an instant (`flow.until`, `flow.sleep`) look again now."""
    run = store.get_for_update(tx, run_id)
    if run is not None and run.parked and "until_us" in (run.waiting_for or {}):
        move(tx, book, [(run, machine.Woken())])
        tx.news = True


def satisfied(tx: Tx, run: Run) -> bool:
    """Tell whether everything that a parked flow waits for is there, as far as other runs decide it."""
    if run.waiting_for is None or "runs" not in run.waiting_for:
        return False
    wanted = run.waiting_for["runs"]
    found = store.by_ids(tx.connection, wanted)
    return all(run_id in found and found[run_id].state.final for run_id in wanted)


def _start_dependant(tx: Tx, book: Book, entry: Entry, parent: Run) -> None:
    name = entry.task.task_id
    # Also where it has no trigger any more: an instant of the one that it had may still wait.
    if entry.trigger is not None or store.waiting_of(tx, name):
        tx.dialect.serialize(tx.connection, pausing.SCHEDULE)
        for waiting in store.waiting_of(tx, name):
            decide_waiting(tx, book, waiting)
    if entry.trigger is not None or not entry.task.enabled:
        return
    assert parent.cycle is not None
    found = store.in_cycle(tx.connection, tx.dialect, [name, *entry.task.after], parent.cycle)
    if name in found:
        return
    if pausing.is_paused(tx, name):
        if parent.cycle > 0:
            gaps.record(tx, name, None, Gap(first_us=parent.cycle, last_us=parent.cycle), Missed.PAUSED)
        return
    parents = _parents_in_cycle(tx, book, entry, parent.cycle)
    verdict = graph.decide({task_id: found[task_id].state if task_id in found else None for task_id in parents})
    if isinstance(verdict, graph.Wait):
        return
    blocked = verdict.reason if isinstance(verdict, graph.Block) else None
    request = Request(
        task_id=name,
        priority=entry.task.priority,
        cycle=parent.cycle,
        key=f"{name}@{parent.cycle}",
        blocked=blocked,
        further=entry.task.further,
    )
    [run_id] = submit(tx, [request])
    if blocked is not None:
        run = store.peek(tx, run_id)
        assert run is not None
        settled(tx, book, run)


def _parents_in_cycle(tx: Tx, book: Book, entry: Entry, cycle: int) -> list[str]:
    """Return the parents that count: in a cycle opened by hand only those that the cycle reaches."""
    if cycle > 0:
        return list(entry.task.after)
    root = store.peek(tx, -cycle)
    if root is None or root.task_id not in book:
        return list(entry.task.after)
    reached = graph.downstream(book.after, root.task_id)
    return [task_id for task_id in entry.task.after if task_id in reached]


def decide_waiting(tx: Tx, book: Book, run: Run) -> None:
    """Start, block or leave a due run that waits for its parents' most recent due runs."""
    entry = book.find(run.task_id)
    if entry is None or run.cycle is None:
        return
    states: dict[str, State | None] = {}
    for task_id in entry.task.after:
        latest = store.latest_due(tx, task_id, run.cycle)
        if latest is None:
            # Its own instant was missed and it never ran before: then its next run is the one to wait for.
            latest = store.first_due(tx, task_id, run.cycle)
        states[task_id] = None if latest is None else latest.state
    match graph.decide(states):
        case graph.Start():
            move(tx, book, [(run, machine.Woken())])
        case graph.Block(reason=reason):
            move(tx, book, [(run, machine.Blocked(reason=reason))])
        case graph.Wait():
            pass


def cancel(tx: Tx, book: Book, run_id: int) -> Run:
    """End a run: at once where nobody works on it, else as soon as its worker has stopped the work.

    Raises:
        UnknownName: there is no such run.
        InvalidTransition: the run has ended already.
    """
    run = store.get_for_update(tx, run_id)
    if run is None:
        raise UnknownName(f"there is no run {run_id}; `overnight runs list` shows the newest")
    if run.state.final:
        raise InvalidTransition(f"run {run_id} is {run.state} already; nothing to cancel")
    _cancel(tx, book, run, Cancel.PERSON)
    return run


def cancel_all(tx: Tx, book: Book, found: Sequence[Run], why: Cancel) -> None:
    """End unfinished runs, as `cancel` does."""
    for run in found:
        _cancel(tx, book, run, why)


def resume(tx: Tx, book: Book, task_id: str) -> bool:
    """Let a paused task go on, with the runs that were held; the instants meanwhile are recorded as missed.

    Return False where it was not paused.
    """
    held = store.held(tx.connection, task_id)
    if not pausing.resume(tx, book.get(task_id)):
        return False
    move(tx, book, [(run, machine.Released()) for run in held])
    for run in held:
        now = store.peek(tx, run.run_id)
        if now is not None and now.queue == Queue.PARENTS:
            decide_waiting(tx, book, now)
    return True


def _cancel(tx: Tx, book: Book, run: Run, why: Cancel) -> None:
    if run.worker_id is not None:
        store.mark_cancel(tx, run.run_id, why)
        tx.emit({"run": run.run_id, "task": run.task_id, "event": "cancel_asked"})
    else:
        move(tx, book, [(run, machine.CancelAsked(why=why))])
