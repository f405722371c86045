"""`overnight db`: the version and the health of the project's database."""

from typing import TYPE_CHECKING, Annotated

import typer

from overnight.cli.place import Place, place_of
from overnight.cli.printing import print_json, say

if TYPE_CHECKING:
    from overnight.db.database import Database


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight db check",
        help="The project's database: check it, bring it up to date.",
    )
    group.command("upgrade", epilog="Example: overnight backup before.zip && overnight db upgrade")(_upgrade)
    group.command("check", epilog="Example: overnight db check")(_check)
    app.add_typer(group, name="db")


def open_database(place: Place) -> "Database":
    """Open the database as it is: nothing is created in it, nothing upgraded."""
    from overnight.base.clock import SystemClock
    from overnight.base.settings import STATE_FOLDER
    from overnight.db.database import Database

    config = place.config()
    state = config.project_dir / STATE_FOLDER
    state.mkdir(exist_ok=True)
    return Database(config.database_url, SystemClock(), state)


def _upgrade(ctx: typer.Context) -> None:
    """Bring the database to this program's version. Other commands do so too when they open it."""
    from overnight.app import schema

    database = open_database(place_of(ctx))
    try:
        before = schema.version_of(database)
        schema.prepare(database)
        after = schema.version_of(database)
    finally:
        database.close()
    if before == after:
        say(f"the database is at version {after} already, the newest that this program knows")
    else:
        say(f"the database is at version {after} now (it was {'empty' if before is None else f'at {before}'})")


def _check(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check the database's version, and every page of it.

    Exit code 1: it is damaged, or a newer Overnight wrote it.
    """
    from overnight.app import schema

    database = open_database(place_of(ctx))
    try:
        version, wrong, kind = schema.version_of(database), database.check(), database.dialect.name
    finally:
        database.close()
    fits = version in (None, schema.HEAD) or version in schema.known_versions()
    if as_json:
        print_json({"database": kind, "version": version, "newest": schema.HEAD, "problems": wrong})
    else:
        say(f"version    {version or 'none: the database is empty'} (this program's is {schema.HEAD})")
        if not fits:
            say("           a newer Overnight wrote it: install that one; this one does not touch the database")
        for line in wrong or [_verdict(kind)]:
            say(f"integrity  {line}")
    raise typer.Exit(1 if wrong or not fits else 0)


def _verdict(kind: str) -> str:
    return "ok" if kind == "sqlite" else "not measured: the server answers; its pages are checked by pg_amcheck"
