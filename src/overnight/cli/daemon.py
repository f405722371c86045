"""`overnight up`, `down`, `reload`, `status` and `logs`: the daemon of a project."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from overnight.base.errors import ConfigError, UserMistake
from overnight.base.service_settings import LogLevel
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, say

if TYPE_CHECKING:
    from overnight.app.launch import Daemonic

LEVELS = get_args(LogLevel)
_WORD_EVERY_S = 5.0
_LOOK_EVERY_S = 0.1
RELOAD_PATIENCE_S = 30.0


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("up", epilog="Example: overnight up")(_up)
    app.command("down", epilog="Example: overnight down")(_down)
    app.command("reload", epilog="Example: overnight reload")(_reload)
    app.command("status", epilog="Example: overnight status --watch")(_status)
    app.command("logs", epilog="Example: overnight logs -f --task hello")(_logs)


def _up(
    ctx: typer.Context,
    *,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay in this terminal; Ctrl-C stops. For a service manager.")
    ] = False,
    no_services: Annotated[
        bool, typer.Option("--no-services", help="Start none of the project's services (it cannot have any yet).")
    ] = False,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR, instead of log.level.")
    ] = None,
) -> None:
    """Start the daemon.

    It runs every task on time until `overnight down`, and answers on 127.0.0.1, port 8090 (server.port):
    GET /health and GET /metrics.
    """
    level = None if log_level is None else log_level.upper()
    if level is not None and level not in LEVELS:
        raise UserMistake(f"--log-level: {log_level!r} is not one of {', '.join(LEVELS)}")
    if foreground:
        return _stay(ctx, level)
    from overnight.app import launch

    place = place_of(ctx)
    folder, state_dir = place.find(), place.state_dir()
    _refuse_second(launch.find(state_dir))
    options = [*(["--no-services"] if no_services else []), *(["--log-level", level] if level else [])]
    daemon = launch.start(folder, state_dir, options, threading.Event().wait)
    say(f"up: process {daemon.pid} works on {folder}", style="green")
    say(f"  overnight status     how it does (also {daemon.url}/health)")
    say("  overnight logs -f    what it does")
    say("  overnight down       stop it")
    return None


def _refuse_second(daemon: "Daemonic | None") -> None:
    if daemon is not None:
        raise UserMistake(
            f"process {daemon.pid} is up for this project since {daemon.since} ({daemon.url}); "
            "`overnight status` shows it, `overnight down` stops it"
        )


def _stay(ctx: typer.Context, level: str | None) -> None:
    from overnight.app.daemon import Daemon
    from overnight.app.signals import hearing_hangup, stopping
    from overnight.server.serving import serve

    with place_of(ctx).open() as project, stopping() as stop:
        daemon = Daemon(project, level=level)
        with hearing_hangup(daemon.reloader.ask):
            daemon.run(stop, serve)


def _down(
    ctx: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Put what is worked on back into the queue at once; kill it if need be.")
    ] = False,
) -> None:
    """Stop the daemon.

    It starts nothing new, lets what is worked on end for up to engine.grace_s (5 min), and puts the rest back into the
    queue. Ctrl-C here leaves it stopping.
    """
    from overnight.app import launch
    from overnight.base.clock import SystemClock

    state_dir = place_of(ctx).state_dir()
    daemon = launch.find(state_dir)
    if daemon is None:
        say("not up: nothing to stop")
        return
    clock, pause = SystemClock(), threading.Event().wait
    if force:
        killed = launch.end_by_force(daemon, clock, pause)
        say(f"down: process {daemon.pid} {'was killed' if killed else 'has ended'}")
        return
    launch.tell(daemon, signal.SIGTERM)
    said_at = clock.monotonic()
    while not launch.has_ended(daemon):
        pause(_LOOK_EVERY_S)
        if clock.monotonic() - said_at > _WORD_EVERY_S:
            said_at = clock.monotonic()
            note("waiting for what is worked on; `overnight down --force` puts it back into the queue at once")
    say(f"down: process {daemon.pid} has ended")


def _reload(ctx: typer.Context) -> None:
    """Have the daemon read its configuration anew.

    It does so by itself within a second when one of the files changes. A wrong one is refused, and the old one kept.
    """
    from overnight.app import launch
    from overnight.base.clock import SystemClock

    place = place_of(ctx)
    daemon = launch.find(place.state_dir())
    if daemon is None:
        raise UserMistake("not up: there is nothing to reload; `overnight up` reads the configuration anyway")
    clock, pause = SystemClock(), threading.Event().wait
    until = clock.monotonic() + RELOAD_PATIENCE_S
    launch.tell(daemon, signal.SIGHUP)
    now: Daemonic | None = daemon
    while now is not None and now.reloads == daemon.reloads:
        if clock.monotonic() > until:
            raise UserMistake(f"process {daemon.pid} has not answered for {RELOAD_PATIENCE_S:g} s; `overnight status`")
        pause(_LOOK_EVERY_S)
        now = launch.find(place.state_dir())
    if now is None:
        raise UserMistake("the daemon has ended meanwhile")
    if now.reload_error is not None:
        raise UserMistake(f"refused, the old configuration stays: {now.reload_error}")
    say("reloaded")
    for key in now.needs_restart:
        say(f"  {key} takes effect with the next `overnight down` and `overnight up`")


def _status(
    ctx: typer.Context,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on, once a second, until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how the daemon does and what comes next.

    Exit code 1 if it is down or unhealthy.
    """
    from overnight.cli.status import look, look_from_outside, show, watch_it

    place = place_of(ctx)
    try:
        with place.open() as project:
            if watch:
                watch_it(project)
                return
            found = look(project)
    except ConfigError as error:
        # A daemon goes on with the configuration that it had.
        found = look_from_outside(place.state_dir(), str(error))
    if as_json:
        print_json(found)
    else:
        show(found)
    raise typer.Exit(0 if found["status"] == "healthy" else 1)


def _logs(
    ctx: typer.Context,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    task: Annotated[str | None, typer.Option(metavar="NAME", help="Only lines about this task.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, metavar="N", help="How many of the last lines.")] = 100,
) -> None:
    """Print what the daemon wrote down.

    What a run itself printed is shown by `overnight runs logs ID`.
    """
    from overnight.app.journal import FILE
    from overnight.cli.tail import print_logs

    path: Path = place_of(ctx).state_dir() / FILE
    if not print_logs([path], task=task, lines=lines, follow=follow):
        note("nothing is written down yet; `overnight up` starts the daemon")
