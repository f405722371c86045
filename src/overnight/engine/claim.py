"""Taking ready runs out of the queue: what fits is decided in `queue`, and taken in the same transaction."""

import itertools
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from overnight.base.ids import WorkerId
from overnight.base.refs import ErrorRef
from overnight.db.writer import Tx
from overnight.engine import machine, moves, store
from overnight.engine.book import Book, Entry
from overnight.engine.model import Needs, Run
from overnight.engine.queue import Busy, Candidate, Capacity, Why, choose, limit_us
from overnight.engine.tables import LIVE, READY, locks, runs, tasks

WINDOW = 64
"""Ready runs looked at together, beyond the free slots."""
WANTING = 32
"""Ready runs that ask for memory or GPUs at the same time."""


@dataclass(frozen=True, kw_only=True)
class Claimant:
    """The worker that claims: who it is, what it has, what it is working on.

    `granted` are the runs that may take the memory that they need, with the GPUs that they get; None where neither is
    negotiated.
    """

    worker_id: WorkerId
    capacity: Capacity
    busy: Sequence[Busy]
    granted: Mapping[int, tuple[str, ...]] | None = None


def claim(tx: Tx, book: Book, claimant: Claimant) -> tuple[list[Run], list[Run]]:
    """Claim as many ready runs as fit; return them, first come first, and the first of those that ask for memory."""
    search = _Search(busy=list(claimant.busy))
    granted = store.ready_among(tx, claimant.granted) if claimant.granted else []
    while (free := claimant.capacity.slots - len(search.busy)) > 0:
        passed = bool(search.passed_over)
        window = _behind(tx, book, claimant.capacity, search, free + WINDOW) if passed else store.ready(tx, free)
        if not passed and len(window) < free:
            search.whole = window
        if granted:
            # However far behind they stand: memory is kept free for them.
            window, granted = _joined(granted, window), []
        if not window or not _claim_window(tx, book, claimant, search, window):
            break
    return search.claimed, [] if claimant.granted is None else _wanting(tx, book, search)


def _wanting(tx: Tx, book: Book, search: "_Search") -> list[Run]:
    """Return the first ready runs that need memory, in the order of the queue."""
    names = book.reserving | search.unadmitted
    if search.whole is None or tx.dialect.shared:
        # One that another worker looks at in this moment waits all the same.
        found = store.ready_of(tx, sorted(names), each=WANTING, limit=WANTING * len(names), lock=False)
    else:
        claimed = {run.run_id for run in search.claimed}
        found = [run for run in search.whole if run.task_id in names and run.run_id not in claimed]
    # Memory that is kept for a run which then waits for something else stands empty.
    taken = {lock for busy in search.busy for lock in busy.needs.locks}
    count = Counter(busy.task_id for busy in search.busy)
    wanting = []
    for run in found:
        entry = book.get(run.task_id)
        needs, most = entry.needs_of(run), entry.task.max_concurrent
        full = most is not None and count[run.task_id] >= most
        if needs.negotiated and not full and taken.isdisjoint(needs.locks):
            count[run.task_id] += 1
            taken.update(needs.locks)
            wanting.append(run)
    return wanting[:WANTING]


def _joined(granted: Sequence[Run], window: Sequence[Run]) -> list[Run]:
    runs = {run.run_id: run for run in (*granted, *window)}
    return sorted(runs.values(), key=lambda run: (run.rank or 0, run.run_id))


@dataclass(kw_only=True)
class _Search:
    """How far the search through the queue is."""

    busy: list[Busy]
    claimed: list[Run] = field(default_factory=list)
    passed_over: set[str] = field(default_factory=set)
    """Tasks that cannot start a run now: those behind them in the queue are looked at without them."""
    ahead: list[tuple[Run, Entry]] = field(default_factory=list)
    """Passed-over runs that wait for cores or locks: whoever passes them must not delay them."""
    unadmitted: set[str] = field(default_factory=set)
    """Tasks with a run that waits for memory."""
    whole: list[Run] | None = None
    """All ready runs as the turn found them, where they are so few that they were read at once; None once one of them
    has ended, on which others may have waited."""
    in_order: list[str] | None = None
    """The tasks with ready runs, in the order of their first ones; None while that is not known."""


def _behind(tx: Tx, book: Book, capacity: Capacity, search: _Search, limit: int) -> list[Run]:
    """Return the next runs of the queue without those that cannot start now, because their task is full or passed over.

    However many runs of such tasks wait, they are not read: the search goes by the task.
    """
    while True:
        if search.in_order is None:
            search.in_order = store.ready_tasks(tx)
        busy = Counter(run.task_id for run in search.busy)
        places: dict[int, list[str]] = defaultdict(list)
        # One run of each is enough: the first so many tasks have the first so many runs.
        for task_id in itertools.islice(_not_full(book, capacity, search, busy), limit):
            places[_places(book.get(task_id), capacity, busy[task_id], limit)].append(task_id)
        window = [run for each, names in places.items() for run in store.ready_of(tx, names, each=each, limit=limit)]
        if window or not places:
            return sorted(window, key=lambda run: (run.rank or 0, run.run_id))[:limit]
        # Another worker has just locked all runs of these.
        search.passed_over.update(itertools.chain(*places.values()))


def _not_full(book: Book, capacity: Capacity, search: _Search, busy: Counter[str]) -> Iterator[str]:
    for task_id in search.in_order or ():
        entry = book.find(task_id)
        if entry is not None and task_id not in search.passed_over and _places(entry, capacity, busy[task_id], 1) > 0:
            yield task_id


def _places(entry: Entry, capacity: Capacity, busy: int, limit: int) -> int:
    """Return how many more runs of the task are worth looking at, at most `limit`; those that never fit all are."""
    most = entry.task.max_concurrent
    return limit if most is None or entry.task.needs.cpus > capacity.cpus else min(limit, most - busy)


def _claim_window(tx: Tx, book: Book, claimant: Claimant, search: _Search, window: list[Run]) -> bool:
    """Claim what fits of these runs and return whether it is worth while to look behind them."""
    known = {run.run_id: (run, entry) for run in window if (entry := book.find(run.task_id)) is not None}
    hindered: set[str] = {run.task_id for run in window if run.run_id not in known}
    if tx.dialect.shared:
        hindered |= _locked_elsewhere(tx, [entry for _, entry in known.values()])
    fresh = [(run, entry) for run, entry in known.values() if run.task_id not in hindered]
    known |= {run.run_id: (run, entry) for run, entry in search.ahead}
    candidates = [_candidate(run, entry, claimant.granted) for run, entry in (*search.ahead, *fresh)]
    busy = [*search.busy, *_elsewhere(tx, claimant, search.busy, candidates)]
    closed = _closed(tx, {candidate.task_id for candidate in candidates if candidate.rated})
    choice = choose(candidates, busy, claimant.capacity, tx.now_us, closed)
    never = [known[run_id][0] for run_id, why in choice.waiting.items() if why is Why.NEVER]
    _fail_impossible(tx, book, never, claimant.capacity)
    event = machine.Claimed(worker_id=claimant.worker_id)
    taken = moves.move(tx, book, [(known[run_id][0], event) for run_id in choice.start])
    _take_locks(tx, book, taken.values())
    _space(tx, book, taken.values())
    for run in taken.values():
        search.claimed.append(run)
        search.busy.append(busy_with(run, book.get(run.task_id)))
    if never:
        search.whole = None
    if taken or never:
        search.in_order = None
    search.ahead = [(run, entry) for run, entry in search.ahead if run.run_id not in taken]
    for run, entry in fresh:
        why = choice.waiting.get(run.run_id)
        if why in (Why.LOCK, Why.CPUS, Why.BEHIND) and run.task_id not in hindered:
            search.ahead.append((run, entry))
        if why is not None and why is not Why.NEVER:
            hindered.add(run.task_id)
        if why is Why.MEMORY:
            search.unadmitted.add(run.task_id)
    search.passed_over |= hindered
    return bool(hindered or never)


def busy_with(run: Run, entry: Entry) -> Busy:
    """Return what a claimed run takes of its worker, and when it ends at the latest."""
    limit = limit_us(entry.timeout_s, run.active_us)
    ends_us = None if limit is None or run.started_us is None else run.started_us + limit
    return Busy(task_id=run.task_id, needs=entry.needs_of(run), ends_us=ends_us)


def _candidate(run: Run, entry: Entry, granted: Mapping[int, tuple[str, ...]] | None) -> Candidate:
    needs = entry.needs_of(run)
    return Candidate(
        run_id=run.run_id,
        task_id=run.task_id,
        needs=needs,
        admitted=granted is None or not needs.negotiated or run.run_id in granted,
        limit_us=limit_us(entry.timeout_s, run.active_us),
        max_concurrent=entry.task.max_concurrent,
        rated=entry.rate_us is not None,
    )


def _elsewhere(tx: Tx, claimant: Claimant, own: Sequence[Busy], candidates: Sequence[Candidate]) -> list[Busy]:
    """Return what other workers do, as far as it counts here: runs of limited tasks, and locks."""
    found: list[Busy] = []
    wanted = {lock for candidate in candidates for lock in candidate.needs.locks}
    wanted -= {lock for busy in own for lock in busy.needs.locks}
    for name in sorted(wanted):
        # Two workers that look at a free lock at the same time would both take it.
        tx.dialect.serialize(tx.connection, _number_of(name))
    if wanted:
        names = tx.connection.execute(sa.select(locks.c.name).where(locks.c.name.in_(wanted)))
        found.extend(Busy(task_id="", needs=Needs(locks=(name,)), here=False) for (name,) in names)
    if tx.dialect.shared:
        limited = {candidate.task_id for candidate in candidates if candidate.max_concurrent is not None}
        rows = tx.connection.execute(
            sa.select(runs.c.task_id).where(LIVE, runs.c.worker_id != claimant.worker_id, runs.c.task_id.in_(limited))
        )
        found.extend(Busy(task_id=task_id, here=False) for (task_id,) in rows)
    return found


def _number_of(lock: str) -> int:
    """Return a number for the lock's name, below all numbers that are used for cycles."""
    return zlib.crc32(lock.encode()) - (1 << 62)


def _locked_elsewhere(tx: Tx, entries: Iterable[Entry]) -> set[str]:
    """Lock the limited tasks of a window for this transaction; return those that another worker has just locked.

    Two workers that count the runs of a task at the same time would both find room for one more.
    """
    limited = {
        entry.task.task_id for entry in entries if entry.task.max_concurrent is not None or entry.rate_us is not None
    }
    if not limited:
        return set()
    query = (
        sa.select(tasks.c.task_id)
        .where(tasks.c.task_id.in_(limited))
        .order_by(tasks.c.task_id)
        .with_for_update(skip_locked=True)
    )
    return limited - {task_id for (task_id,) in tx.connection.execute(query)}


def _closed(tx: Tx, rated: set[str]) -> set[str]:
    """Return those of the tasks whose next run may not start yet."""
    if not rated:
        return set()
    query = sa.select(tasks.c.task_id).where(tasks.c.task_id.in_(rated), tasks.c.start_us > tx.now_us)
    return {task_id for (task_id,) in tx.connection.execute(query)}


def _space(tx: Tx, book: Book, taken: Iterable[Run]) -> None:
    """Note when the next runs of tasks with a rate limit may start."""
    for run in taken:
        rate_us = book.get(run.task_id).rate_us
        if rate_us is not None:
            following = sa.update(tasks).values(start_us=tx.now_us + rate_us).where(tasks.c.task_id == run.task_id)
            tx.connection.execute(following)


def next_start_us(tx: Tx, book: Book) -> int | None:
    """Return when the next ready run that a rate limit holds back may start."""
    if not book.rated:
        return None
    waiting = sa.select(runs.c.task_id).where(READY, runs.c.task_id.in_(book.rated))
    query = sa.select(sa.func.min(tasks.c.start_us)).where(tasks.c.start_us > tx.now_us, tasks.c.task_id.in_(waiting))
    found: int | None = tx.connection.execute(query).scalar()
    return found


def _take_locks(tx: Tx, book: Book, taken: Iterable[Run]) -> None:
    rows = [
        {"name": name, "run_id": run.run_id, "token": run.token}
        for run in taken
        for name in book.get(run.task_id).needs_of(run).locks
    ]
    if rows:
        tx.connection.execute(sa.insert(locks), rows)


def _fail_impossible(tx: Tx, book: Book, never: Sequence[Run], capacity: Capacity) -> None:
    """End runs that need more cores or memory than there are: waiting would not help."""
    for run in never:
        needs = book.get(run.task_id).needs_of(run)
        message = f"needs.cpus: {needs.cpus:g} cores are more than this machine has ({capacity.cpus:g})"
        if needs.cpus <= capacity.cpus:
            basis = "" if needs.memory_basis == "given" else f" ({needs.memory_basis})"
            message = (
                f"needs.memory_gb: {needs.memory_gb:.3g} GB{basis} are more than this machine has for services and "
                f"runs together ({capacity.memory_gb:.3g} GB)"
            )
        error = ErrorRef(family="user", type="InvalidTask", message=message)
        moves.move(tx, book, [(run, machine.Impossible(error=error))])
