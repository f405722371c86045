"""The Python API: a project, its tasks and runs, and its fleet."""

from collections.abc import Sequence
from typing import Any

from overnight.app.results import TrainingResult
from overnight.app.training import stats, train
from overnight.app.workplace import Workplace


class Project(Workplace):
    """A folder with `overnight.toml`, its tasks, its fleet, and the durable state in its `.overnight/`.

    Any process may open a project, submit, look and cancel. One at a time (on PostgreSQL: any number) works on it:
    `run`, or `running` for the length of a block. Safe to use from any thread. Close it, or use it in a `with` block.
    """

    def train(self, *, agents: Sequence[str] = (), force: bool = False, verbose: bool = False) -> TrainingResult:
        """Train the fleet now, see it through, and return what was measured; see `TrainingResult`.

        Only the named agents, if any are. With `force` what sources gave before does not count. With `verbose` each
        change is a line on stderr. A training that was interrupted goes on where it was.

        Raises:
            ConfigError: the project has no agents.
            UserMistake: there is no agent of that name.
            RunFailed: the training as a whole ended without a result.
        """
        return train(self, agents=agents, force=force, verbose=verbose)

    def health(self) -> dict[str, Any]:  # Any: JSON
        """Return how the fleet does, from what its trainings measured; see `reports.health`."""
        return stats(self)
