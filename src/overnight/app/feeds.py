"""The streams that followers of a daemon read: the events of a job, and those of the whole engine.

Everybody who follows a thing reads one list, each at a place of his own, so that a slow reader costs a place and no
queue, and delays nobody. One thread looks for news of all that is followed, and stands still while nothing is.
"""

import json
import logging
import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from overnight.app.deployments import decisions_of, deployment_of
from overnight.app.job_status import JobStatus, status_of
from overnight.app.project import Project
from overnight.db import stream
from overnight.reports.job_stream import Event, Followed, frame
from overnight.training.jobs import Job
from overnight.training.model_job import EPOCHS

LOOK_EVERY_S = 0.1
"""Between two looks at what is followed: one `stat` for a job. It works on shared folders, as inotify does not."""
ASK_EVERY_S = 1.0
"""What another process does to a job is noticed within this time."""
WINDOW = 20_000
"""Events of the engine that are kept in memory for readers; who is further behind reads the database."""
MOST_SENT = 500
"""Events that a reader gets at a time."""
_log = logging.getLogger("overnight.feeds")


class Feed(Protocol):
    """Something that is followed. A place is what `at` has answered, or the second part of an answer of `after`."""

    def at(self, last_id: str | None) -> Any:  # Any: its own kind of place
        """Return the place behind the event of that id; without one, where a new reader begins.

        Raises:
            ValueError: it is no id of this feed.
        """

    def after(self, place: Any) -> tuple[Sequence[bytes], Any] | None:  # Any: see `at`
        """Return what follows, as it goes over the wire, and the place behind it; None: ask `behind`."""

    def behind(self, place: Any) -> tuple[Sequence[bytes], Any]:  # Any: see `at`
        """Return the same for a place that is no longer in memory; may take a while."""

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""

    def look(self) -> bool:
        """Look for news; return whether there is any. Called by one thread."""


@dataclass(kw_only=True, eq=False)
class JobFeed:
    """The events of one job."""

    project: Project
    job: Job
    folder: Path
    now_s: Callable[[], float]
    ended: bool = False
    dirty: bool = True
    """Something has happened to its runs."""
    runs: set[int] = field(default_factory=set)
    _numbers: list[int] = field(default_factory=list)
    _frames: list[bytes] = field(default_factory=list)
    _asked_s: float = 0.0
    _read: tuple[int, int] = (0, 0)
    """Which file of epochs was read, by its inode, and how many bytes of it."""
    _stamp: tuple[int, int, int] | None = None
    _unsaved: dict[str, Any] | None = None  # Any: JSON
    """Figures of the last epoch after which a checkpoint is written, until it is seen."""

    def __post_init__(self) -> None:
        wish = self.job.wish
        self.runs.add(self.job.run_id)
        self._plan = Followed(
            job_id=wish.job_id,
            total_epochs=wish.epochs,
            checkpoint_every=0 if wish.trainer is None else wish.checkpoint_interval,
            folder=str(self.folder),
        )
        self._add(self._plan.queued())

    def at(self, last_id: str | None) -> int:
        """Return the place behind the event of that id: its number, also where it is still to come again."""
        return int(last_id) if last_id else 0

    def after(self, place: int) -> tuple[Sequence[bytes], int]:
        """Return what follows and the place behind it."""
        return _following(self._numbers, self._frames, place)

    behind = after

    def look(self) -> bool:
        """Look into the job's folder, and into the database where something happened or nobody asked for a while."""
        before, status = len(self._frames), None
        if self.dirty or self.now_s() - self._asked_s >= ASK_EVERY_S:
            self.dirty, self._asked_s = False, self.now_s()
            status = self._status()
        # After the database: what was trained before the job ended is in the folder by then.
        self._look_at_epochs()
        if status is not None and status.ended:
            self._end(status)
        return len(self._frames) > before or self.ended

    def _status(self) -> JobStatus:
        job = self.project.trainings.job(self.job.wish.job_id)
        status = status_of(self.project, job)
        if status.training_run_id is not None:
            self.runs.add(status.training_run_id)
        return status

    def _look_at_epochs(self) -> None:
        for figures in self._new_epochs():
            self._saved()
            event = self._plan.epoch(figures)
            if event is not None:
                self._add(event)
                self._unsaved = figures if self._plan.saves(event.data["epoch"]) else None
        if self._unsaved is not None:
            path = Path(self._plan.checkpoint(self._unsaved).data["checkpoint_path"])
            if path.with_suffix(".json").exists():
                self._saved()

    def _new_epochs(self) -> Iterator[dict[str, Any]]:  # Any: JSON
        with suppress(OSError), (self.folder / EPOCHS).open("rb") as file:
            about = os.fstat(file.fileno())
            stamp = (about.st_ino, about.st_size, about.st_mtime_ns)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            inode, offset = self._read
            if inode != about.st_ino or about.st_size < offset:
                # A training that goes on from a checkpoint has begun the file anew.
                offset, self._unsaved = 0, None
            self._add(self._plan.begun())
            file.seek(offset)
            content = file.read()
            # What stands behind the last end of a line is being written.
            whole = content[: content.rfind(b"\n") + 1]
            self._read = (about.st_ino, offset + len(whole))
            for line in whole.splitlines():
                with suppress(ValueError):
                    yield json.loads(line)

    def _saved(self) -> None:
        """Tell of the checkpoint that was due: it is there, or an epoch after it is."""
        if self._unsaved is not None:
            self._add(self._plan.checkpoint(self._unsaved))
            self._unsaved = None

    def _end(self, status: JobStatus) -> None:
        if status.status == "completed":
            self._saved()
        self._add(
            self._plan.end(
                status.status, model_version=status.model_version, error=status.error, figures=asdict(status)
            )
        )
        self.ended = True

    def _add(self, event: Event) -> None:
        # An epoch that is trained again after a crash was told already.
        if not self._numbers or event.number > self._numbers[-1]:
            self._frames.append(frame(*event))
            self._numbers.append(event.number)


class DeploymentFeed:
    """What is decided about one deployment; an event's id is the number of the decision."""

    def __init__(self, project: Project, deployment_id: int, now_s: Callable[[], float]) -> None:
        self._project = project
        self._id = deployment_id
        self._now_s = now_s
        self._asked_s = 0.0
        self.runs: set[int] = {deployment_of(project, deployment_id).run_id}
        self.dirty = True
        self.ended = False
        self._numbers: list[int] = []
        self._frames: list[bytes] = []

    def at(self, last_id: str | None) -> int:
        """Return the place behind the decision of that number."""
        return int(last_id) if last_id else 0

    def after(self, place: int) -> tuple[Sequence[bytes], int]:
        """Return what follows and the place behind it."""
        return _following(self._numbers, self._frames, place)

    behind = after

    def look(self) -> bool:
        """Ask the database, where something happened or nobody asked for a while."""
        if not (self.dirty or self._now_s() - self._asked_s >= ASK_EVERY_S):
            return False
        self.dirty, self._asked_s = False, self._now_s()
        over = deployment_of(self._project, self._id).state.status.over
        found = decisions_of(self._project, self._id, after=self._numbers[-1] if self._numbers else 0)
        for decided in found:
            self._frames.append(frame(decided["decision_id"], "deployment", decided))
            self._numbers.append(decided["decision_id"])
        # Of the same transaction as the last decision.
        self.ended = over
        return bool(found) or over


def _following(numbers: Sequence[int], frames: Sequence[bytes], place: int) -> tuple[Sequence[bytes], int]:
    """Return the frames behind that number, and the number of the last of them."""
    begin = bisect_right(numbers, place)
    end = min(begin + MOST_SENT, len(numbers))
    return frames[begin:end], numbers[end - 1] if end > begin else place


Mark = tuple[int, int]
"""A place in the stream of the engine: a transaction, and an event in it."""


class EventFeed:
    """All that happens to tasks, runs, models and data; see `db.stream`. An event's id is "TRANSACTION-NUMBER"."""

    ended = False

    def __init__(self, project: Project, now_s: Callable[[], float]) -> None:
        self._project = project
        self._now_s = now_s
        self._asked_s = 0.0
        self.dirty = True
        with project.database.read() as connection:
            self._seen = stream.newest(connection)
        self._window: tuple[Mark, list[Mark], list[bytes]] = ((self._seen, WINDOW), [], [])
        """Where it begins, and what it holds; replaced as a whole, because readers are in another thread."""

    def at(self, last_id: str | None) -> Mark:
        """Return the place behind the event of that id; without one, behind all that there is."""
        if not last_id:
            start, marks, _ = self._window
            return marks[-1] if marks else start
        cursor, _, number = last_id.partition("-")
        mark = int(cursor), int(number)
        if not (0 <= mark[0] < 2**63 and mark[1] >= 0):
            raise ValueError(f"{last_id!r} is no id of this stream")
        return mark

    def after(self, place: Mark) -> tuple[Sequence[bytes], Mark] | None:
        """Return what follows and the place behind it; None for who is behind the window."""
        start, marks, frames = self._window
        if place < start:
            return None
        begin = bisect_right(marks, place)
        end = min(begin + MOST_SENT, len(marks))
        return frames[begin:end], marks[end - 1] if end > begin else place

    def behind(self, place: Mark) -> tuple[Sequence[bytes], Mark]:
        """Return what follows from the database; first a `gap`, where what came directly behind the place is gone."""
        # Before the database is asked: then all that lies before the window is in the answer.
        start, _, _ = self._window
        with self._project.database.read() as connection:
            batches = list(stream.read(connection, self._project.database.dialect, max(0, place[0] - 1), MOST_SENT))
        found = [(mark, text) for batch in batches for mark, text in _frames_of(batch) if mark > place]
        if batches and place[0] and batches[0].cursor != place[0]:
            found.insert(0, (place, frame(f"{place[0]}-{place[1]}", "gap", {"resumes_at": batches[0].cursor})))
        behind = [place, *(mark for mark, _ in found[-1:]), *([start] if len(batches) < MOST_SENT else ())]
        return [text for _, text in found], max(behind)

    def look(self) -> bool:
        """Read what is new."""
        if not (self.dirty or self._now_s() - self._asked_s >= ASK_EVERY_S):
            return False
        self.dirty, self._asked_s = False, self._now_s()
        with self._project.database.read() as connection:
            batches = list(stream.read(connection, self._project.database.dialect, self._seen))
        if not batches:
            return False
        self.dirty = len(batches) > 1
        self._seen = batches[-1].cursor
        start, marks, frames = self._window
        new = [one for batch in batches for one in _frames_of(batch)]
        marks, frames = [*marks, *(mark for mark, _ in new)], [*frames, *(text for _, text in new)]
        over = len(marks) - WINDOW
        if over > 0:
            start, marks, frames = marks[over - 1], marks[over:], frames[over:]
        self._window = (start, marks, frames)
        return True


def _frames_of(batch: stream.Batch) -> Iterator[tuple[Mark, bytes]]:
    for number, event in enumerate(batch.events):
        yield (batch.cursor, number), frame(f"{batch.cursor}-{number}", str(event["event"]), event)


Key = str | int | None
AnyFeed = JobFeed | DeploymentFeed | EventFeed


class Feeds:
    """What is followed now. Safe to use from any thread."""

    def __init__(self, project: Project) -> None:
        self._project = project
        self._now_s = project.clock.monotonic
        self._lock = threading.Lock()
        self._open: dict[Key, tuple[AnyFeed, int]] = {}
        self._wanted, self._closed = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._watch, name="overnight-feeds", daemon=True)
        self.news: Callable[[Feed], None] = lambda feed: None
        """Called in the thread of the feeds when one of them has something new."""

    def open(self, job_id: Key) -> AnyFeed:
        """Follow a job (its id), a deployment (its number), or (None) all that happens; call `close` as often.

        Raises:
            UnknownName: there is no such job or deployment.
        """
        # Outside of the lock, for which the database's writer waits.
        made = None if job_id in self._open else self._made(job_id)
        with self._lock:
            feed, readers = self._open.get(job_id) or (made or self._made(job_id), 0)
            self._open[job_id] = (feed, readers + 1)
            if not self._thread.is_alive() and not self._closed.is_set():
                self._thread.start()
        self._wanted.set()
        return feed

    def _made(self, job_id: Key) -> AnyFeed:
        if job_id is None:
            return EventFeed(self._project, self._now_s)
        if isinstance(job_id, int):
            feed = DeploymentFeed(self._project, job_id, self._now_s)
            feed.look()
            return feed
        trainings = self._project.trainings
        job = trainings.job(job_id)
        made = JobFeed(project=self._project, job=job, folder=trainings.folder(job_id), now_s=self._now_s)
        made.look()
        return made

    def close(self, job_id: Key) -> None:
        """Follow it no longer, on behalf of one who did."""
        with self._lock:
            feed, readers = self._open.pop(job_id)
            if readers > 1:
                self._open[job_id] = (feed, readers - 1)

    def tell(self, events: Sequence[dict[str, Any]]) -> None:  # Any: see db.stream.Event
        """Take what this process has just committed."""
        if not self._open:
            return
        runs = {event.get("run") for event in events}
        with self._lock:
            for feed, _ in self._open.values():
                feed.dirty = feed.dirty or isinstance(feed, EventFeed) or not runs.isdisjoint(feed.runs)

    def stop(self) -> None:
        """Look for nothing more."""
        self._closed.set()
        self._wanted.set()
        if self._thread.is_alive():
            self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(LOOK_EVERY_S):
            with self._lock:
                feeds = [feed for feed, _ in self._open.values() if not feed.ended]
                if not feeds:
                    self._wanted.clear()
            for feed in feeds:
                try:
                    if feed.look():
                        self.news(feed)
                except Exception:  # noqa: BLE001  # a busy database: the next look tries again
                    _log.debug("a look at what is followed failed", exc_info=True)
            self._wanted.wait()
