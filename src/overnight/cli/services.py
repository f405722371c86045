"""`overnight ps` and `restart`, and what `overnight up` shows of the services while they come up."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.base.errors import UserMistake
from overnight.base.instants import from_datetime
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, print_table, say, span

if TYPE_CHECKING:
    from overnight.app.launch import Daemonic
    from overnight.cli.place import Place

Json = dict[str, Any]
_LOOK_S = 0.05
_WORD_EVERY_S = 5.0
LINES = 12
"""Of a service's log, where it could not be started."""
_STYLES = {"up": "green", "given_up": "red", "backing_off": "yellow"}
_DONE = ("full", "degraded", "failed")


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("ps", epilog="Example: overnight ps")(_ps)
    app.command("restart", epilog="Example: overnight restart assistant")(_restart)


def _ps(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the services of the project.

    Exit code 1 where one that should be up is not.
    """
    from overnight.app import launch
    from overnight.app.services import status_left
    from overnight.base.clock import SystemClock
    from overnight.client.client import Client

    place = place_of(ctx)
    daemon = launch.find(place.state_dir())
    found = Client(daemon.url).services() if daemon is not None else status_left(place.config(), place.state_dir())
    if as_json:
        print_json(found)
    elif not found["services"]:
        say("no services; a table [services.NAME] with a command makes one")
    else:
        rows = [(name, *_row(one, SystemClock().now_us())) for name, one in found["services"].items()]
        print_table(("SERVICE", "STATUS", "PROCESS", "FOR", "MEMORY", "RESTARTS"), rows)
        for name, one in found["services"].items():
            if one["why"]:
                say(f"  {name}: {one['why']}", style=_STYLES.get(one["status"]))
        for link in found["links"]:
            say(_link(link), style=None if link["ok"] else "yellow")
        if daemon is None:
            say("no daemon looks after them; `overnight up` does, `overnight down` stops what is left")
    wrong = [one for one in found["services"].values() if one["status"] not in ("up", "down")]
    raise typer.Exit(1 if wrong else 0)


def _row(one: Json, now_us: int) -> tuple[str, ...]:
    status = one["status"].replace("_", " ") + (" (adopted)" if one.get("adopted") else "")
    memory = one.get("memory_bytes")
    return (
        status,
        "" if one["pid"] is None else str(one["pid"]),
        "" if one.get("since") is None else span((now_us - from_datetime(datetime.fromisoformat(one["since"]))) / 1e6),
        "" if memory is None else f"{memory / 1e6:,.0f} MB",
        str(one.get("restarts") or ""),
    )


def _link(link: Json) -> str:
    came = "ok" if link["ok"] else f"FAILED: {link['problem']}"
    return f"  {link['service']} -> {link['link']}: {came}"


def _restart(ctx: typer.Context, service: Annotated[str, typer.Argument(metavar="SERVICE")]) -> None:
    """Stop a service and start it again.

    One that was given up begins anew. Exit code: 0 it is up, 1 it is not.
    """
    from overnight.app import launch
    from overnight.client.client import Client

    daemon = launch.find(place_of(ctx).state_dir())
    if daemon is None:
        raise UserMistake("not up: `overnight up` starts the daemon, which looks after services")
    raise typer.Exit(0 if asked(Client(daemon.url), service, "restart") else 1)


def asked(client: Any, name: str, what: str) -> bool:  # Any: a Client, which is loaded late
    """Have a service started or restarted, say how it stands once it does, and return whether it is up."""
    client.ask_service(name, what)
    pause, tell, one = threading.Event().wait, _now_and_then(), {"status": "waiting"}
    while one["status"] not in ("up", "down", "given_up"):
        pause(_LOOK_S)
        found = client.services()
        one = found["services"][name]
        tell(found)
    _say_one(name, one)
    return bool(one["status"] == "up")


def log_of(place: "Place", name: str) -> Path:
    """Return the log of a service.

    Raises:
        UnknownName: the project starts none of that name.
    """
    from overnight.supervisor.described import started_of
    from overnight.supervisor.watch import LOGS

    started_of(place.config(), [name])
    return place.state_dir() / LOGS / f"{name}.log"


def watch(daemon: "Daemonic", state_dir: Path) -> str:
    """Say how the services come up, phase by phase, until they are; return the mode: full, degraded or failed."""
    from overnight.app import launch
    from overnight.app.services import last_told

    pause, tell, said = threading.Event().wait, _now_and_then(), set[str]()
    phase: int | None = None
    while True:
        ended = launch.has_ended(daemon)
        found = last_told(state_dir)
        for name, one in sorted(found["services"].items(), key=lambda item: (item[1]["phase"], item[0])):
            if name not in said and one["status"] in ("up", "given_up"):
                if one["phase"] != phase:
                    phase = one["phase"]
                    say(f"phase {phase}")
                said.add(name)
                _say_one(name, one)
        if ended and found["mode"] != "failed":
            say("the daemon has ended while its services came up; `overnight logs` says why", style="red")
            return "failed"
        if found["mode"] in _DONE:
            _say_links(found)
            return _sum_up(found)
        tell(found)
        pause(_LOOK_S)


def _now_and_then() -> Callable[[Json], None]:
    """Return what says, every few seconds, of whom it is waited for, and what they lack."""
    from overnight.base.clock import SystemClock

    clock = SystemClock()
    said_s = clock.monotonic()

    def tell(found: Json) -> None:
        nonlocal said_s
        if clock.monotonic() - said_s <= _WORD_EVERY_S:
            return
        said_s = clock.monotonic()
        for name, one in found["services"].items():
            if one["status"] == "starting":
                note(f"waiting for {name}: {one['why'] or 'it was just started'}")

    return tell


def _say_one(name: str, one: Json) -> None:
    how = "adopted: it works already" if one["adopted"] else f"up (process {one['pid']})"
    told = how if one["status"] == "up" else f"{one['status'].replace('_', ' ')}: {one['why']}"
    say(f"  {name:<16} {told}", style=_STYLES.get(one["status"]))
    if one["status"] == "given_up" and one["log"] is not None:
        for line in _last_lines(Path(one["log"])):
            say(f"    | {line}")


def _last_lines(path: Path) -> list[str]:
    from overnight.cli.printing import clean
    from overnight.cli.tail import end_of

    return [clean(line) for line in end_of(path, LINES)]


def _say_links(found: Json) -> None:
    if found["links"]:
        say("links")
    for link in found["links"]:
        say(_link(link), style="green" if link["ok"] else "yellow")


def _sum_up(found: Json) -> str:
    services: Mapping[str, Json] = found["services"]
    up = [name for name, one in services.items() if one["status"] == "up"]
    mode = str(found["mode"])
    # Once it has failed, the others are being stopped: that is no news, and not why.
    fine = ("up", "down") if mode != "failed" else ("up", "down", "waiting", "starting", "stopping")
    missing = [f"{name} ({one['why'] or one['status']})" for name, one in services.items() if one["status"] not in fine]
    missing += [f"{link['service']} does not reach {link['link']}" for link in found["links"] if not link["ok"]]
    if mode == "full":
        say(f"FULL MODE: {len(up)} of {len(up)} services are up", style="green")
    elif mode == "degraded":
        say(f"DEGRADED: {len(up)} of {len(services)} services are up; missing: {'; '.join(missing)}", style="yellow")
    else:
        say(f"FAILED: {'; '.join(missing)}", style="red")
        say("  what was started is stopped again; `overnight up --no-services` works without")
    return mode
