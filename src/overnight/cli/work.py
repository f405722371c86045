"""`overnight run`: work on the project until stopped."""

from typing import Annotated

import typer

from overnight.cli.place import place_of


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("run", epilog="Example: overnight run --until-idle")(_run)


def _run(
    ctx: typer.Context,
    until_idle: Annotated[
        bool, typer.Option("--until-idle", help="Stop by itself when no run is ready, worked on or waiting.")
    ] = False,
) -> None:
    """Work on the project until stopped.

    Starts what is due and runs what is in the queue; prints a line for each event. Ctrl-C stops: what is being
    worked on may end first, a second Ctrl-C puts it back into the queue.
    """
    from overnight.cli.working import work

    with place_of(ctx).open() as project:
        raise typer.Exit(work(project, until_idle=until_idle))
