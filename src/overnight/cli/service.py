"""`overnight install-service`: the file that lets the machine keep the project's worker running."""

import re
import sys
import unicodedata
from pathlib import Path
from typing import Annotated

import typer

from overnight.app.service_files import Kind, Service, file_name, is_of, next_commands, text_of
from overnight.base.errors import UserMistake
from overnight.base.files import replace_file
from overnight.base.settings import environment
from overnight.cli.place import place_of
from overnight.cli.printing import note, say, to_stdout

_OF_PLATFORM: dict[str, Kind] = {"darwin": "launchd", "win32": "windows"}
_REMARKS: dict[Kind, str] = {
    "systemd": "the last line lets it run while nobody is logged in",
    "launchd": "it runs while you are logged in",
    "windows": "run them as an administrator: the task starts with the machine",
}


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("install-service", epilog="Example: overnight install-service --print")(_install_service)


def _install_service(
    ctx: typer.Context,
    kind: Annotated[Kind | None, typer.Option(help="What starts it; without it, what this machine has.")] = None,
    system: Annotated[bool, typer.Option("--system", help="A service of the machine, not yours (systemd).")] = False,
    user: Annotated[str | None, typer.Option(metavar="NAME", help="The account of a --system service.")] = None,
    only_print: Annotated[bool, typer.Option("--print", help="Print the file instead of writing it.")] = False,
) -> None:
    """Write the file of a service that runs `overnight up`.

    It starts nothing: what to run next is printed. With --system the file is put into the project and printed, with
    the lines that install it.
    """
    chosen = kind or _OF_PLATFORM.get(sys.platform, "systemd")
    _check_account(chosen, user, system=system)
    config = place_of(ctx).config()
    service = Service(
        project=config.project.name or config.project_dir.name,
        python=_writable(sys.executable),
        folder=_writable(str(config.project_dir)),
        user=user,
    )
    text = text_of(chosen, service)
    if only_print:
        with to_stdout():
            sys.stdout.write(text)
        return
    file = _destination(chosen, service)
    _spare_others(file, service)
    replace_file(file, f"\ufeff{text}".encode("utf-16-le") if chosen == "windows" else text)
    say(f"{file} is written, nothing is started yet")
    if system:
        say(f"\n{text}")
    say("To start it, now and whenever the machine starts:")
    for line in next_commands(chosen, service, str(file)):
        say(f"  {line}")
    note(_REMARKS[chosen] if user is None else f"{user} must be able to read and run {service.python}")


def _check_account(kind: Kind, user: str | None, *, system: bool) -> None:
    if system and kind != "systemd":
        raise UserMistake(f"--system is for --kind systemd only, not for {kind}")
    if system and user is None:
        raise UserMistake("--system needs --user NAME, the account that the service runs as")
    if user is None:
        return
    if not system:
        raise UserMistake("--user needs --system; without both, the service runs as you")
    if user == "root":
        raise UserMistake("--user: a service does not run as root; name an account of its own, such as 'overnight'")
    if not re.fullmatch(r"[a-z_][a-z0-9_-]*", user):
        raise UserMistake(f"--user: {user!r} is no account's name: a-z, 0-9, _ and -, with a letter or _ first")


def _writable(path: str) -> str:
    """Return the path if a service's file can hold it: no control characters, no bytes that are not UTF-8."""
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        raise UserMistake(f"{path!r} holds characters that a service's file cannot; rename that folder")
    return path


def _destination(kind: Kind, service: Service) -> Path:
    name = file_name(kind, service)
    if kind == "windows" or service.user is not None:
        return Path(service.folder) / name
    if kind == "launchd":
        return Path.home() / "Library" / "LaunchAgents" / name
    given = Path(environment().get("XDG_CONFIG_HOME", ""))
    return (given if given.is_absolute() else Path.home() / ".config") / "systemd" / "user" / name


def _spare_others(file: Path, service: Service) -> None:
    """Refuse to replace the file of a project elsewhere that is called the same."""
    if file.parent == Path(service.folder) or not file.exists():
        return
    if not is_of(service, file.read_text(encoding="utf-8", errors="replace")):
        raise UserMistake(f"{file} is of another project; set project.name to another name than {service.project!r}")
