"""How a training looks while somebody waits for it: a bar, the figures, and the course of loss and metric."""

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from overnight.app import job_status
from overnight.app.job_status import JobStatus
from overnight.app.project import Project
from overnight.app.signals import stopping
from overnight.cli.printing import clean, note, say, span
from overnight.cli.running import LOOK_EVERY_S, begin_work, leave
from overnight.reports.sparks import course
from overnight.resources.placement import LOCAL

if TYPE_CHECKING:
    from rich.console import RenderableType

WIDTH = 60
"""Places of a chart."""
Show = Callable[[JobStatus], None]


def see_through(project: Project, job_id: str, *, wait: bool, quiet: bool) -> tuple[JobStatus, int]:
    """Work on the job here unless another process does, and return how it stands then and the exit code."""
    with stopping() as stop:
        if not begin_work(project) and not wait:
            if not quiet:
                say(f"  overnight jobs watch {job_id}     see how it goes")
            return project.job(job_id), 0
        status = _wait(project, job_id, quiet=quiet, enough=lambda: stop.count > 0)
    leave(project, interrupted=not status.ended)
    status = project.job(job_id)
    if not quiet:
        say_end(status)
    return status, 0 if status.status == "completed" else 1 if status.ended else 130


def follow(project: Project, job_id: str) -> JobStatus:
    """Show how a job stands until it has ended, and return how it has."""
    status = _wait(project, job_id, quiet=False)
    say_end(status)
    return status


def _wait(project: Project, job_id: str, *, quiet: bool, enough: Callable[[], bool] = lambda: False) -> JobStatus:
    """Show how a job stands until it has ended or `enough` says so, and return how it stands then."""
    status = project.job(job_id)
    with _showing(project, quiet=quiet) as show:
        while not status.ended and not enough():
            show(status)
            project.wait(status.run_id, timeout_s=LOOK_EVERY_S)
            status = project.job(job_id)
        show(status)
    return status


def say_end(status: JobStatus) -> None:
    """Say how the job has ended, or what happens to it."""
    style = {"completed": "green", "failed": "bold red", "cancelled": "yellow"}.get(status.status)
    what = f"job {status.job_id} {status.status}"
    if status.status == "completed":
        figures = [f"loss {status.loss:.4g}"] if status.loss is not None else []
        if status.val_metric is not None:
            figures.append(f"{status.metric} {status.val_metric:.4g} on experiences that it was not trained on")
        figures += [f"{status.cost:.4g} USD"] if status.cost is not None else []
        say(f"{what}: version {status.model_version}; {', '.join(figures)}", style=style)
    elif status.ended:
        say(f"{what}: {status.error}", style=style)
        if status.training_run_id is not None:
            say(f"  overnight runs logs {status.training_run_id}     what it printed")
    else:
        say(f"{what}: it goes on from its newest checkpoint with the next `overnight up` or `overnight run`")


@contextlib.contextmanager
def _showing(project: Project, *, quiet: bool) -> Iterator[Show]:
    if quiet:
        yield lambda status: None
    elif not sys.stderr.isatty():
        yield _Lines()
    else:
        with _live(project) as show:
            yield show


class _Lines:
    """A line for each epoch and each change of the status, where there is no terminal."""

    def __init__(self) -> None:
        self._said: tuple[Any, ...] = ()

    def __call__(self, status: JobStatus) -> None:
        stand = (status.status, status.epoch, status.waiting)
        if stand != self._said:
            self._said = stand
            note(line_of(status))


def line_of(status: JobStatus) -> str:
    """Return how a job stands in one line."""
    parts = [f"job {status.job_id} {status.status}{'' if status.pool == LOCAL else f' in {status.pool}'}"]
    if status.epoch or status.status == "training":
        parts.append(f"epoch {status.epoch} of {status.total_epochs}")
    parts += [f"loss {status.loss:.4g}"] if status.loss is not None else []
    parts += [f"{status.metric} {status.val_metric:.4g}"] if status.val_metric is not None else []
    if status.status == "training" and status.items_per_s is not None:
        parts.append(f"{status.items_per_s:.3g} items/s")
        parts += [f"{span(status.time_left_s)} left"] if status.time_left_s is not None else []
    parts += [status.waiting] if status.waiting else []
    return ", ".join(parts)


@contextlib.contextmanager
def _live(project: Project) -> Iterator[Show]:
    from rich.live import Live

    from overnight.cli.printing import console

    with Live(console=console(to_stderr=True), refresh_per_second=5, transient=True) as live:
        yield lambda status: live.update(_picture(status, job_status.history_of(project, status.job_id)))


def _picture(status: JobStatus, history: Sequence[dict[str, Any]]) -> "RenderableType":
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.text import Text

    lines: list[Any] = [Text(clean(line_of(status)))]
    lines.append(ProgressBar(total=status.total_epochs, completed=min(status.epoch, status.total_epochs), width=WIDTH))
    for name, key in (("loss", "loss"), (status.metric or "metric", "val_metric")):
        values = [float(one[key]) for one in history if isinstance(one.get(key), int | float)]
        if len(values) > 1:
            lines.append(Text(f"{course(values, WIDTH)}  {name} {values[0]:.4g} to {values[-1]:.4g}"))
    return Group(*lines)
