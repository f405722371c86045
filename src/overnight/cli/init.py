"""`overnight init`: a new project."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from overnight.base.errors import UserMistake
from overnight.base.settings import FILE, load_config
from overnight.cli.printing import print_table, say

MOST_NAMED = 10
"""Files and folders of a new project that are named; of more, only where to begin, so that what follows is seen."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init", epilog="Example: overnight init my_project")(_init)


def _init(
    folder: Annotated[Path | None, typer.Argument(metavar="DIR", help="A folder, empty or not there yet.")] = None,
    example: Annotated[
        str | None, typer.Option(metavar="NAME", help="Start from this example instead of a minimal project.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="List the examples that there are.")] = False,
) -> None:
    """Make a project: a folder with overnight.toml and tasks."""
    from overnight.app.examples import MINIMAL, examples, new_project

    if listing:
        print_table(("EXAMPLE", "ABOUT"), [(found.name, found.about) for found in examples()], fold=True)
        return
    if folder is None:
        raise UserMistake("DIR is missing: `overnight init DIR` makes a project there, `--list` shows the examples")
    files = new_project(folder, example or MINIMAL)
    say(f"{folder} is a project now: {_listed(files)}")
    if folder.resolve() != Path().resolve():
        say(f"  cd {folder}")
    config = load_config(folder)
    models = config.training.models
    if example is None:
        say("  overnight tasks run hello     run its one task and see the result")
        say("  overnight run                 work on the project until stopped")
    elif models:
        data = next((name for name in files if name.endswith(".jsonl")), "FILE")
        say(f"  overnight jobs submit {next(iter(models))} --data {data}     train a model and see how it goes")
    else:
        if config.agents:
            say("  overnight train               train its agents now, and see the report")
        say("  overnight tasks list          see its tasks")
    if (folder / "README.md").exists():
        say(f"  {folder / 'README.md'} says what to try first")


def _listed(files: Sequence[str]) -> str:
    """Return the files of a project in a line: all of few, and of many what lies at the top, or only where to begin."""
    if len(files) <= MOST_NAMED:
        return ", ".join(files)
    folders = Counter(name.partition("/")[0] for name in files if "/" in name)
    top = [name for name in files if "/" not in name]
    if len(top) + len(folders) > MOST_NAMED:
        first = [name for name in (FILE, "README.md") if name in top]
        top = [*first, f"{len(top) - len(first)} more"]
    return ", ".join([*top, *(f"{count} in {name}/" for name, count in folders.items())])
