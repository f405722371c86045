"""`overnight backup` and `overnight restore`: the project's state in one file."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overnight.cli.place import place_of
from overnight.cli.printing import amount, note, say, to_stdout

if TYPE_CHECKING:
    from overnight.base.config import Config

Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("backup", epilog="Example: overnight backup /backups/friday.zip")(_backup)
    app.command("restore", epilog="Example: overnight restore /backups/friday.zip --force")(_restore)


def _backup(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to put it.")],
    force: Force = False,
) -> None:
    """Write the database and the blobs into one file.

    Also while a worker works. The file is read back and checked before it gets its name. With PostgreSQL: print the
    command line that does it, and end with exit code 1, because nothing is backed up yet.
    """
    from importlib import import_module

    from overnight.app.backup import back_up, database_file, pg_dump_line
    from overnight.base.clock import SystemClock

    config = place_of(ctx).config()
    if database_file(config) is None:
        _hand_over(pg_dump_line(config, file), config)
    program = str(import_module("overnight").__version__)
    manifest = back_up(config, file, clock=SystemClock(), program=program, overwrite=force)
    packed = amount(file.stat().st_size)
    holds = f"the database (version {manifest.schema}) and {manifest.blobs} blobs"
    say(f"{file} holds {holds}: {packed}, read back and verified")


def _restore(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A backup.")],
    force: Force = False,
) -> None:
    """Put a backup's database and blobs back.

    The whole backup is verified first. No worker may work meanwhile; nothing but the database and the blobs is
    changed. With PostgreSQL: print the command line that does it, and end with exit code 1.
    """
    from overnight.app.backup import database_file, pg_restore_line, restore
    from overnight.base.clock import SystemClock

    config = place_of(ctx).config()
    if database_file(config) is None:
        _hand_over(pg_restore_line(config, file), config)
    manifest = restore(config, file, clock=SystemClock(), overwrite=force)
    say(f"restored the database (version {manifest.schema}) and {manifest.blobs} blobs as of {manifest.created}")


def _hand_over(line: str, config: "Config") -> None:
    from overnight.base.settings import STATE_FOLDER

    with to_stdout():
        sys.stdout.write(f"{line}\n")
    note("nothing was done yet: PostgreSQL has tools of its own, run the line above")
    note("its password comes from ~/.pgpass or PGPASSWORD; it is not part of the line")
    if (config.project_dir / STATE_FOLDER / "blobs").is_dir():
        note(f"copy {config.project_dir / STATE_FOLDER / 'blobs'} too; it belongs to the database")
    raise typer.Exit(1)
