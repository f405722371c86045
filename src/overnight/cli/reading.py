"""What the command line reads from the database beyond what the Python API offers."""

from overnight.app.project import Project
from overnight.engine import graph, store
from overnight.engine.model import Run


def runs_of_cycle(project: Project, first: Run) -> list[Run]:
    """Return the runs of the cycle that `first` opened, in the order of their ids."""
    if first.cycle is None:
        return [first]
    names = graph.downstream(project.book.after, first.task_id)
    with project.database.read() as connection:
        found = store.in_cycle(connection, project.database.dialect, names, first.cycle)
    return sorted(found.values(), key=lambda run: run.run_id)


def with_children(project: Project, run_id: int) -> list[Run]:
    """Return a run, and those that it has started, oldest first."""
    with project.database.read() as connection:
        return [project.get(run_id), *store.children_of(connection, run_id)]
