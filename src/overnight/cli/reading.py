"""What the command line reads from the database beyond what the Python API offers."""

from overnight.app.project import Project
from overnight.cli.describe import StepRow
from overnight.engine import graph, store
from overnight.engine.model import Run
from overnight.engine.tables import steps


def runs_of_cycle(project: Project, first: Run) -> list[Run]:
    """Return the runs of the cycle that `first` opened, in the order of their ids."""
    if first.cycle is None:
        return [first]
    names = graph.downstream(project.book.after, first.task_id)
    with project.database.read() as connection:
        found = store.in_cycle(connection, project.database.dialect, names, first.cycle)
    return sorted(found.values(), key=lambda run: run.run_id)


def steps_of(project: Project, run_id: int) -> list[StepRow]:
    """Return the recorded steps of a flow, in their order."""
    with project.database.read() as connection:
        rows = connection.execute(steps.select().where(steps.c.run_id == run_id).order_by(steps.c.ordinal))
        return [
            StepRow(
                ordinal=row.ordinal,
                kind=row.kind,
                name=row.name,
                result=row.result,
                started_us=row.started_us,
                finished_us=row.finished_us,
            )
            for row in rows
        ]
