"""`overnight doctor`: what this machine offers, found out by trying."""

from typing import Annotated

import typer

from overnight.cli.place import place_of
from overnight.cli.printing import STYLES, clean, console, print_json


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("doctor", epilog="Example: overnight doctor --json")(_doctor)


def _doctor(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Try out what this machine offers.

    Says what to do where something is missing. What is marked `warn` works, but less well. Exit code 1: something is
    broken.
    """
    from overnight.cli.checks import examine

    found = examine(place_of(ctx))
    healthy = all(check.verdict != "bad" for check in found)
    if as_json:
        checks = [{"name": c.name, "verdict": c.verdict, "found": c.found, "advice": c.advice} for c in found]
        print_json({"healthy": healthy, "checks": checks})
    else:
        from rich.text import Text

        out = console()
        for check in found:
            verdict = Text(f"{check.verdict:<5}", style=STYLES[check.verdict])
            out.print(verdict + Text(f"{check.name:<18}{clean(check.found, one_line=True)}"), soft_wrap=True)
            if check.advice:
                out.print(f"{'':<23}{check.advice}", soft_wrap=True)
    raise typer.Exit(0 if healthy else 1)
