"""Running one task from the command line: here, where nobody else works on the project, else by whoever does."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from overnight.app.describing import run_json
from overnight.app.project import Project
from overnight.app.signals import Stop, stopping
from overnight.base.errors import ProjectLocked
from overnight.base.ids import RunId
from overnight.base.instants import US
from overnight.cli.describe import reason, shortened
from overnight.cli.printing import STYLES, note, print_json, say, span_us
from overnight.cli.progress import SumUp, watching, watching_one
from overnight.cli.reading import runs_of_cycle, with_children
from overnight.engine import store
from overnight.engine.model import Run, State

_LONGEST_RESULT = 400
LOOK_EVERY_S = 0.2
"""How often the progress line is renewed; the end of the run is noticed at once."""


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What the caller asked for."""

    task_id: str
    args: dict[str, Any] = field(default_factory=dict)  # Any: JSON
    wait: bool = False
    with_dependants: bool = False
    as_json: bool = False


class Show(Protocol):
    """Is told how the runs stand, several times a second."""

    def __call__(self, runs: Sequence[Run], /) -> None:
        """Show it."""


def perform(project: Project, wish: Wish) -> int:
    """Submit the run, see it through where that is wanted, report, and return the exit code."""
    project.book.get(wish.task_id)
    with stopping() as stop:
        here = begin_work(project)
        run_id = project.submit(wish.task_id, wish.args or None, with_dependants=wish.with_dependants)
        if not here and not wish.wait:
            return _queued(project, run_id, wish)
        with watching(project, quiet=wish.as_json) as show:
            runs = see_through(project, lambda: _current(project, run_id, wish.with_dependants), stop, show)
    # From here on Ctrl-C is an exception again, so that it ends even a stop that takes long.
    leave(project, interrupted=not all(run.state.final for run in runs))
    runs = _current(project, run_id, wish.with_dependants)
    _report(runs, wish)
    if not all(run.state.final for run in runs):
        _say_how_to_go_on(project, [run for run in runs if not run.state.final])
        return 130
    return 0 if all(run.state is State.COMPLETED for run in runs) else 1


def begin_work(project: Project) -> bool:
    """Begin to work on the project here; return False where another process does."""
    try:
        project.start()
    except ProjectLocked:
        return False
    return True


def _queued(project: Project, run_id: RunId, wish: Wish) -> int:
    if wish.as_json:
        print_json(run_json(project.get(run_id)))
    else:
        say(f"run {run_id} of {wish.task_id} is in the queue of the process that works on the project")
        say(f"  overnight runs show {run_id}     see how it goes (next time, --wait stays until it ends)")
    return 0


def see_through(project: Project, current: Callable[[], list[Run]], stop: Stop, show: Show) -> list[Run]:
    """Return the runs when all have ended or somebody asked to stop; go on here where the other worker went away."""
    while True:
        runs = current()
        show(runs)
        unfinished = [run.run_id for run in runs if not run.state.final]
        if not unfinished or stop.count:
            return runs
        project.wait(unfinished[0], timeout_s=LOOK_EVERY_S)
        if not project.is_worked_on and begin_work(project):
            note("the process that worked on the project is gone; going on here")


def see_flow_through(
    project: Project, begin: Callable[[], tuple[RunId, bool]], *, what: str, quiet: bool, sum_up: SumUp
) -> Run:
    """Begin a flow, see it through with what it starts, or until somebody asks to stop; return it as it stands then.

    `begin` returns its run, and whether that was under way already; `what` it is called in words.
    """
    with stopping() as stop:
        run_id, resumed = begin()
        here = begin_work(project)
        if resumed:
            note(f"going on with {what} (run {run_id})" + ("" if here else ", which another process works on"))
        with watching_one(project, quiet=quiet, sum_up=sum_up) as show:
            runs = see_through(project, lambda: with_children(project, run_id), stop, show)
    leave(project, interrupted=not runs[0].state.final)
    return project.get(run_id)


def _current(project: Project, run_id: RunId, with_dependants: bool) -> list[Run]:
    first = project.get(run_id)
    if not with_dependants:
        return [first]
    return [first, *(run for run in runs_of_cycle(project, first) if run.run_id != run_id)]


def leave(project: Project, *, interrupted: bool) -> None:
    """Stop working here; what else was begun meanwhile may end, unless the caller is in a hurry."""
    if interrupted:
        note("stopping: what is being worked on goes back into the queue")
        project.stop(grace_s=0.0)
        return
    if project.runtime is None:
        # Another process works on it, and goes on.
        return
    with project.database.read() as connection:
        others = store.worked_on(connection)
    if others and not project.database.dialect.shared:
        names = ", ".join(f"{run.run_id} ({run.task_id})" for run in others)
        note(f"other runs began meanwhile: {names}; waiting for them (Ctrl-C puts them back into the queue)")
    with contextlib.suppress(KeyboardInterrupt):
        project.stop()


def took(run: Run) -> str:
    """Return how long a run worked; of one that has waited longer, since when it was there too."""
    if not run.worked_us:
        return ""
    whole_us = (run.finished_us or run.created_us) - run.created_us
    if whole_us - run.worked_us > max(US, run.worked_us):
        return f" after {span_us(whole_us)}, {span_us(run.worked_us)} of them at work"
    return f" in {span_us(run.worked_us)}"


def _report(runs: Sequence[Run], wish: Wish) -> None:
    if wish.as_json:
        first, *others = (run_json(run) for run in runs)
        print_json({**first, "dependants": others} if wish.with_dependants else first)
        return
    for run in (run for run in runs if run.state.final):
        why = "" if run.error is None else f": {reason(run.error)}"
        say(f"run {run.run_id} of {run.task_id} {run.state}{took(run)}{why}", style=STYLES.get(run.state))
        if run.result not in (None, "null"):
            say(f"  {shortened(str(run.result), _LONGEST_RESULT)}")
        if run.state is State.FAILED:
            say(f"  overnight runs logs {run.run_id}     what it printed")
            say(f"  overnight runs show {run.run_id}     its story")


def _say_how_to_go_on(project: Project, left: Sequence[Run]) -> None:
    """Say what becomes of the runs that have not ended: of a chain, the first is the one that was worked on."""
    first = left[0]
    if project.is_worked_on:
        note(
            f"run {first.run_id} goes on in the process that works on the project; `overnight runs show {first.run_id}`"
        )
        return
    behind = f", and {len(left) - 1} behind it," if len(left) > 1 else ""
    verb = "are" if behind else "is"
    note(
        f"interrupted; run {first.run_id} of {first.task_id}{behind} {verb} in the queue again: `overnight run` goes on"
    )
    note(f"  (`overnight runs cancel {first.run_id}` drops {'them' if behind else 'it'})")
