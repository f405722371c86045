"""The command line: its commands, and what becomes of their errors.

Each group of commands is a module of its own with a function `add_to(app)`; nothing heavy is imported before a command
runs. Results go to stdout, remarks and errors to stderr.
"""

import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from overnight.base.errors import OvernightError, UserMistake
from overnight.cli import (
    backup,
    campaigns,
    daemon,
    data,
    database,
    doctor,
    experiences,
    gate,
    init,
    jobs,
    learn,
    loop,
    models,
    questions,
    resources,
    rollouts,
    runs,
    schedule,
    service,
    services,
    settings,
    tasks,
    train,
    tune,
    work,
)
from overnight.cli.place import Place
from overnight.cli.printing import clean, give_up_stdout, to_stdout

OK, FAILED, MISTAKE, INTERRUPTED = 0, 1, 2, 130

GROUPS = (
    init,
    daemon,
    train,
    jobs,
    models,
    experiences,
    loop,
    rollouts,
    gate,
    campaigns,
    learn,
    tune,
    resources,
    data,
    tasks,
    schedule,
    work,
    runs,
    questions,
    service,
    services,
    settings,
    doctor,
    database,
    backup,
)
_EVERYWHERE = {"--project": True, "--debug": False}
"""Options that may stand anywhere, and whether a value follows."""


def version() -> str:
    """Return the version of the program."""
    return str(import_module("overnight").__version__)


def _show_version(wanted: bool) -> None:
    if wanted:
        with to_stdout():
            sys.stdout.write(f"overnight {version()}\n")
        raise typer.Exit()


def build() -> typer.Typer:
    """Return the command line with all its commands."""
    app = typer.Typer(
        name="overnight",
        help="Keeps a fleet of agents and models getting better on its own, and proves it.",
        epilog="Start with: overnight init DIR, then in DIR: overnight tasks run hello",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )

    @app.callback()
    def overnight(
        ctx: typer.Context,
        project: Annotated[
            Path | None,
            typer.Option(metavar="DIR", help="The project's folder; without it, the nearest one from here upwards."),
        ] = None,
        debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of every error.")] = False,
        show_version: Annotated[
            bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
        ] = False,
    ) -> None:
        ctx.obj = Place(folder=project)

    for group in GROUPS:
        group.add_to(app)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 ok, 1 failed, 2 a mistake of the caller, 130 interrupted."""
    given = _everywhere_first(sys.argv[1:] if arguments is None else arguments)
    try:
        code = build()(args=given, prog_name="overnight", standalone_mode=False)
        with to_stdout():
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of a pipe is gone: end quietly.
        give_up_stdout()
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001  # the last place that can say something useful about it
        return _explain(error, debug="--debug" in given)
    return code if isinstance(code, int) else OK


def _everywhere_first(arguments: Sequence[str]) -> list[str]:
    """Put the options that may stand anywhere in front, where the parser expects them."""
    front, rest = list[str](), list(arguments)
    place = 0
    while place < len(rest) and rest[place] != "--":
        name, equals, _ = rest[place].partition("=")
        if name not in _EVERYWHERE:
            place += 1
            continue
        count = 2 if _EVERYWHERE[name] and not equals else 1
        front += rest[place : place + count]
        del rest[place : place + count]
    return front + rest


def complain(text: str) -> None:
    """Say on stderr, in one line, what went wrong."""
    sys.stderr.write(f"overnight: {clean(text, one_line=True)}\n")


def _explain(error: Exception, *, debug: bool) -> int:
    """Say what the error means to the caller and return the exit code."""
    if isinstance(error, typer.TyperException):
        return _usage(error)
    if isinstance(error, FileNotFoundError) and not _stands_somewhere():
        error = UserMistake("the folder that this terminal is in was removed or replaced: `cd` to one that is there")
    known = isinstance(error, OvernightError | OSError)
    if debug or not known:
        import traceback

        traceback.print_exception(error)
    if isinstance(error, OvernightError):
        complain(str(error))
    elif isinstance(error, OSError):
        where = "" if error.filename is None else f"{error.filename}: "
        complain(f"{where}{error.strerror or error}")
    else:
        complain(
            f"this is a defect of Overnight {version()}, not yours; nothing acknowledged is lost. Please report "
            "it where you got Overnight from, with the lines above and what `overnight doctor` prints"
        )
    return MISTAKE if isinstance(error, UserMistake) else FAILED


def _stands_somewhere() -> bool:
    try:
        Path.cwd()
    except FileNotFoundError:
        return False
    return True


def _usage(error: typer.TyperException) -> int:
    text = error.format_message()
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        sys.stderr.write(f"{text}\n")
    else:
        hint = "" if context is None else f" (`{context.command_path} --help`)"
        complain(text.rstrip(".") + hint)
    return MISTAKE
