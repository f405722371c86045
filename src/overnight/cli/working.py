"""Working on a project in the foreground, with a line for each event."""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from datetime import tzinfo

from overnight.app.project import Project
from overnight.app.signals import stopping
from overnight.base.zones import zone_of
from overnight.cli.describe import reason, waiting
from overnight.cli.printing import STYLES, clock_time, note, say
from overnight.db import stream
from overnight.engine import store
from overnight.engine.idle import can_move

LOOK_EVERY_S = 0.5
"""How long a signal may stay unnoticed; news are noticed at once."""
NAMED = 3
"""Runs that are named at the end, because they were not worked on."""

_LEFT_OUT = {"progress", "woken"}
_SHOWN = {"run", "task", "event"}


def work(project: Project, *, until_idle: bool) -> int:
    """Work until stopped, or until there is nothing to do, and return the exit code."""
    teller = _Teller(project, zone_of(project.config))
    with hearing(project) as news:
        with stopping() as stop:
            project.start()
            say(f"working on {project.folder} ({_count(project)}); Ctrl-C stops")
            while not (stop.count or project.failure or (until_idle and not can_move(project.database, project.book))):
                if news.wait(LOOK_EVERY_S):
                    news.clear()
                    teller.tell()
        _stop(project, in_hurry=stop.count > 1)
        teller.tell()
    if not stop.count:
        say("; ".join(["nothing left to do", *left(project)]))
    return 130 if stop.count and until_idle else 0


def _stop(project: Project, *, in_hurry: bool) -> None:
    """Stop working. Ctrl-C is an exception again by now, and ends the wait for what still runs."""
    with project.database.read() as connection:
        running = store.worked_on(connection)
    if running:
        names = ", ".join(f"{run.run_id} ({run.task_id})" for run in running)
        grace_s = project.config.engine.grace_s
        note(f"stopping: up to {grace_s:g} s for runs {names}; Ctrl-C puts them back at once")
    try:
        project.stop(grace_s=0.0 if in_hurry else None)
    except KeyboardInterrupt:
        note("stopped at once; what was being worked on is back in the queue")


def left(project: Project) -> Iterator[str]:
    """Yield what was not worked on, and what it waits for."""
    with project.database.read() as connection:
        runs = store.unfinished(connection, limit=NAMED + 1)
    for run in runs[:NAMED]:
        why = f"waits for {waiting(run)}" if run.task_id in project.book else "stays: there is no such task any more"
        yield f"run {run.run_id} of {run.task_id} {why}"
    if len(runs) > NAMED:
        yield "and so on"


def _count(project: Project) -> str:
    count = len(project.book.own())
    return "1 task" if count == 1 else f"{count} tasks"


@contextlib.contextmanager
def hearing(project: Project) -> Iterator[threading.Event]:
    """Give an event that is set whenever this or another process has changed something."""
    news = threading.Event()
    writer = project.database.writer
    before = writer.told

    def told(events: Sequence[stream.Event], look: bool) -> None:
        before(events, look)
        news.set()

    writer.told = told
    end = project.database.doorbell.listen(news.set)
    try:
        yield news
    finally:
        end()


class _Teller:
    """Prints the events that it has not printed yet."""

    def __init__(self, project: Project, zone: tzinfo) -> None:
        self._project = project
        self._zone = zone
        self._tasks: dict[int, str] = {}
        with project.database.read() as connection:
            self._cursor = stream.newest(connection)

    def tell(self) -> None:
        """Print what has happened since the last call."""
        for batch in self._project.events(self._cursor):
            self._cursor = batch.cursor
            for event in batch.events:
                if event["event"] not in _LEFT_OUT:
                    time = clock_time(batch.at_us, self._zone)
                    say(f"{time}  {self._line(event)}", style=STYLES.get(str(event["event"]).upper()))

    def _line(self, event: stream.Event) -> str:
        run_id, what = event.get("run"), str(event["event"])
        if run_id is None:
            return f"{event.get('task', '')}  {what}{_more(event)}"
        if "task" in event:
            self._tasks[run_id] = event["task"]
        name = self._tasks.get(run_id) or self._project.get(run_id).task_id
        return f"run {run_id}  {name}  {what.replace('_', ' ')}{self._why(run_id, what)}{_more(event)}"

    def _why(self, run_id: int, what: str) -> str:
        if what not in ("retrying", "failed", "cancelled", "blocked"):
            return ""
        run = self._project.get(run_id)
        return "" if run.error is None else f": {reason(run.error)}"


def _more(event: stream.Event) -> str:
    if event["event"] == "step":
        return f"  {event['name']}" if event["kind"] == "step" else f"  ({event['kind']} {event['name']})"
    return "".join(f"  {name} {value}" for name, value in event.items() if name not in _SHOWN)
