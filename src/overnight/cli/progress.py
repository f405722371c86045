"""How far runs are, while somebody waits for them: a live line on a terminal, a line for each change elsewhere."""

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from overnight.app.project import Project
from overnight.base.clock import Clock
from overnight.base.instants import US
from overnight.cli.describe import reason, waiting
from overnight.cli.printing import clean, note, span
from overnight.engine.model import Question, Run, State


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast a run is: units of its own progress a second; `left_s` is None while it cannot be told."""

    per_s: float
    left_s: float | None


SumUp = Callable[[Sequence[Run]], tuple[float, float | None, str]]
"""From runs to how much of how much is done, and words for it."""


class Meter:
    """Measures the pace of each run from the progress that was seen; a new try starts anew."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._first: dict[tuple[int, int], tuple[float, float]] = {}

    def pace(self, run: Run) -> Pace | None:
        """Return the pace since the first progress of this try; None while there is too little to say."""
        done, total = done_of(run)
        if done is None:
            return None
        now = self._clock.monotonic()
        since, before = self._first.setdefault((run.run_id, run.token), (now, done))
        if done <= before or now <= since:
            return None
        per_s = (done - before) / (now - since)
        return Pace(per_s=per_s, left_s=None if total is None else max(0.0, (total - done) / per_s))


def done_of(run: Run) -> tuple[float | None, float | None]:
    """Return how much of how much is done, as far as the run has told."""
    values = json.loads(run.progress) if run.progress is not None else {}
    done, total = values.get("done"), values.get("total")
    return _number(done), _number(total) or None


def _number(value: object) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


class News:
    """Turns each change of a run into one line, once. `now_us` of the project's clock says how long a wait still is."""

    def __init__(self, project: Project, every_change: bool) -> None:
        self._project = project
        self._every_change = every_change
        self._seen: dict[int, tuple[object, ...]] = {}

    def lines(self, runs: Sequence[Run]) -> Iterator[str]:
        """Yield a line for each run that stands otherwise than before."""
        first = not self._seen
        for run in runs:
            # A retry has a new due time, a parked flow something else to wait for.
            stand = (run.state, run.attempt, str(run.waiting_for), run.due_us if run.state is State.RETRYING else 0)
            before = self._seen.get(run.run_id)
            if before != stand:
                self._seen[run.run_id] = stand
                # It may have begun and ended between two looks; what had ended before the first one is no news.
                unseen = before is None or before[0] is not State.IN_PROGRESS
                if run.state is State.COMPLETED and unseen and not first:
                    yield from self._line(run._replace(state=State.IN_PROGRESS, waiting_for=None))
                yield from self._line(run)

    def _line(self, run: Run) -> Iterator[str]:
        name = f"run {run.run_id} of {run.task_id}"
        if run.state is State.RETRYING and run.error is not None:
            wait_s = max(0.0, (run.due_us - self._project.clock.now_us()) / US)
            yield f"{name}: try {run.attempt} failed: {reason(run.error)}; the next one is in {span(wait_s)}"
        elif run.parked and run.waiting_for is not None and "question" in run.waiting_for:
            yield from self._asked(name, run.waiting_for["question"])
        elif self._every_change and not run.state.final:
            doing = "is waiting for " + waiting(run) if run.waiting_for else "is " + run.state.replace("_", " ").lower()
            yield f"{name} {doing}"

    def _asked(self, name: str, question_id: int) -> Iterator[str]:
        for question in self._project.questions():
            if question.question_id == question_id:
                yield f"{name} asks: {asked(question)}"


def asked(question: Question) -> str:
    """Return a question with the commands that answer it."""
    ways = " or ".join(f"`overnight answer {question.question_id} {choice}`" for choice in question.choices)
    return f"{question.prompt} ({ways})"


@contextlib.contextmanager
def watching(
    project: Project, *, quiet: bool = False, lines: bool = False, sum_up: SumUp | None = None
) -> Iterator[Callable[[Sequence[Run]], None]]:
    """Give what shows how runs stand, on stderr: a live line where that is a terminal and no `lines` are asked for.

    `sum_up` tells how far the first of the runs is, which starts the others.
    """
    if lines or not sys.stderr.isatty():
        news = News(project, every_change=True)
        yield (lambda runs: None) if quiet else (lambda runs: _tell(news.lines(runs)))
        return
    with _live(project, sum_up) as show:
        yield show


@contextlib.contextmanager
def watching_one(project: Project, *, quiet: bool, sum_up: SumUp) -> Iterator[Callable[[Sequence[Run]], None]]:
    """Give what shows how far the first of some runs is, which has started the others, and they alone say how far.

    One bar on a terminal, elsewhere a line for each tenth of a part: what stands before a colon in the words of
    `sum_up`.
    """
    if sys.stderr.isatty() and not quiet:
        newest: Sequence[Run] = ()
        with watching(project, sum_up=lambda _: sum_up(newest)) as show:

            def live(runs: Sequence[Run]) -> None:
                nonlocal newest
                newest = runs
                show(runs[:1])

            yield live
        return
    said: set[tuple[str, int]] = set()

    def tell(runs: Sequence[Run]) -> None:
        done, total, words = sum_up(runs)
        tenth = (words.partition(":")[0], int(10 * done / total) if total else 0)
        if not quiet and tenth not in said:
            note(words)
        said.add(tenth)

    yield tell


def _tell(lines: Iterator[str]) -> None:
    for line in lines:
        note(line)


@contextlib.contextmanager
def _live(project: Project, sum_up: SumUp | None) -> Iterator[Callable[[Sequence[Run]], None]]:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn

    from overnight.cli.printing import console

    meter, news = Meter(project.clock), News(project, every_change=False)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[status]}", markup=False),
    )
    with Progress(*columns, console=console(to_stderr=True), transient=True, refresh_per_second=5) as progress:
        bars: dict[int, TaskID] = {}

        def show(runs: Sequence[Run]) -> None:
            for line in news.lines(runs):
                progress.console.print(clean(line), soft_wrap=True)
            for run in runs:
                if run.run_id not in bars:
                    bars[run.run_id] = progress.add_task(f"run {run.run_id} {run.task_id}", total=None, status="")
                done, total = done_of(run)
                at, of, said = (1.0, 1.0, "") if run.state.final else (done or 0.0, total, "")
                if sum_up is not None and run is runs[0] and not run.state.final:
                    at, of, said = sum_up(runs)
                progress.update(bars[run.run_id], status=clean(said or status(run, meter)), completed=at, total=of)

        yield show


def status(run: Run, meter: Meter) -> str:
    """Return what stands behind the bar of a run."""
    if run.parked:
        return f"waits for {waiting(run)}" if run.waiting_for else "waits for a worker"
    done, total = done_of(run)
    if run.state is not State.IN_PROGRESS or done is None:
        return run.state.replace("_", " ").lower()
    pace = meter.pace(run)
    parts = [f"{done:g} of {total:g}" if total is not None else f"{done:g}"]
    if pace is not None:
        parts.append(f"{pace.per_s:.3g}/s")
        if pace.left_s is not None:
            parts.append(f"{span(pace.left_s)} left")
    return ", ".join(parts)
