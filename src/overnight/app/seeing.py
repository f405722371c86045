"""A run that somebody waits for in Python: worked on here, unless another process does."""

import sys
from collections.abc import Callable
from typing import Any

from overnight.app.workplace import Workplace
from overnight.base.errors import RunFailed
from overnight.base.ids import RunId
from overnight.engine.model import Run

STOP_S = 1.0
"""Seconds that running work gets when the caller was interrupted; it goes on with the next call."""


def seen_through(project: Workplace, run_id: RunId, wait: Callable[[], Run] | None = None) -> Run:
    """Work on the project until the run has ended, and return it; `wait` waits for that, None: `Project.wait`."""
    started = not project.is_worked_on
    if started:
        project.start()
    try:
        return project.wait(run_id) if wait is None else wait()
    finally:
        if started:
            project.stop(STOP_S if sys.exc_info()[0] is not None else None)


def result_of(project: Workplace, run_id: RunId, what: str) -> Any:  # Any: whatever JSON the flow returned
    """See a run through and return its result; `what` it is stands in the message of a failure.

    Raises:
        RunFailed: it ended without one.
    """
    run = seen_through(project, run_id)
    if run.result is None:
        reason = run.error.message if run.error is not None else "no reason recorded"
        raise RunFailed(f"{what}, run {run_id}, ended {run.state}: {reason}")
    return project.result(run_id)
