"""`overnight config`: what is set, by whom, and whether all of it fits together."""

from typing import Annotated

import typer

from overnight.base.zones import zone_of
from overnight.cli.place import place_of
from overnight.cli.printing import compact, print_json, print_table, say


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True, epilog="Example: overnight config show", help="The configuration: show it, check it."
    )
    group.command("show", epilog="Example: overnight config show")(_show)
    group.command("check", epilog="Example: overnight config check && overnight run")(_check)
    app.add_typer(group, name="config")


def _show(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show each value and where it was set.

    That is a file, a variable, a flag, or nobody (default). Secrets are hidden.
    """
    found = place_of(ctx).config().origins()
    if as_json:
        print_json([{"key": item.key, "value": item.value, "origin": item.origin} for item in found])
        return
    rows = [(item.key, item.origin, _text(item.value)) for item in found]
    print_table(("KEY", "SET BY", "VALUE"), rows, fold=True)


def _text(value: object) -> str:
    return "-" if value is None else value if isinstance(value, str) else compact(value)


def _check(ctx: typer.Context) -> None:
    """Load everything that a worker would, and say whether it fits.

    That is the files, the project's module, all tasks together, the database.
    """
    with place_of(ctx).open() as project:
        tasks = len(project.book.own())
        zone_of(project.config)
        agents, module = len(project.config.agents), project.config.project.module
        parts = [f"tasks {tasks}", f"agents {agents}", f"module {module or 'none'}"]
        say(f"ok: {project.folder} ({', '.join(parts)})")
