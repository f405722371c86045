"""Runs a state machine against a real database, a new one or an emptied one for each of its examples."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from overnight.testing.bench import empty


def check(
    machine: type[RuleBasedStateMachine], new_url: Callable[[Path], str], *, examples: int, steps: int, **options: Any
) -> None:
    """Run the machine, whose `new_url` gives the database for a folder; `options` are Hypothesis's settings."""
    on_this = type(machine.__name__, (machine,), {"new_url": staticmethod(new_url)})
    run_state_machine_as_test(
        on_this,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **options,
        ),
    )


def emptied(url: str) -> Callable[[Path], str]:
    """Return what gives this PostgreSQL database, emptied."""

    def new_url(folder: Path) -> str:
        empty(url)
        return url

    return new_url


def sqlite_in(folder: Path) -> str:
    """Return a new SQLite database in the folder."""
    return f"sqlite:///{folder / 'o.db'}"
