"""`overnight up`, `down`, `reload`, `status` and `logs`: the daemon of a project."""

import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer

from overnight.base.errors import ConfigError, UserMistake
from overnight.base.service_settings import LogLevel
from overnight.cli import services
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, say

if TYPE_CHECKING:
    from overnight.app.launch import Daemonic
    from overnight.base.config import Config
    from overnight.cli.place import Place

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
    only: Annotated[
        list[str] | None,
        typer.Option("--only", metavar="SERVICE", help="Of the services, only this one and those that it needs."),
    ] = None,
    no_services: Annotated[bool, typer.Option("--no-services", help="Start none of the project's services.")] = False,
    log_level: Annotated[
        str | None, typer.Option(metavar="LEVEL", help="DEBUG, INFO, WARNING or ERROR, instead of log.level.")
    ] = None,
) -> None:
    """Start the daemon, and the project's services.

    It runs every task on time until `overnight down`, and answers on 127.0.0.1, port 8090 (server.port). Services that
    work already are adopted. Exit code: 0 all that is required is up, 1 it is not, and what was started is stopped.
    """
    if only and no_services:
        raise UserMistake("give either --only or --no-services, not both")
    level = None if log_level is None else log_level.upper()
    if level is not None and level not in LEVELS:
        raise UserMistake(f"--log-level: {log_level!r} is not one of {', '.join(LEVELS)}")
    if foreground:
        return _stay(ctx, level, [] if no_services else only or None)
    from overnight.app import launch

    place = place_of(ctx)
    folder, state_dir = place.find(), place.state_dir()
    there = launch.find(state_dir)
    if there is not None and only:
        return _start_also(there, only)
    _refuse_second(there)
    options = [*(["--no-services"] if no_services else []), *(["--log-level", level] if level else [])]
    options += [word for name in only or () for word in ("--only", name)]
    daemon = launch.start(folder, state_dir, options, threading.Event().wait)
    say(f"up: process {daemon.pid} works on {folder}", style="green")
    if not no_services and _has_services(place.config()):
        try:
            mode = services.watch(daemon, state_dir)
        except KeyboardInterrupt:
            note("it goes on coming up: `overnight ps` shows how, `overnight down` stops it")
            raise
        if mode == "failed":
            _await_end(daemon)
            raise typer.Exit(1)
    say(f"  overnight status     how it does (also {daemon.url}/health)")
    say("  overnight logs -f    what it does")
    say("  overnight down       stop it")
    return None


def _has_services(config: "Config") -> bool:
    return any(one.command and one.enabled for one in config.services.values())


def _start_also(daemon: "Daemonic", names: list[str]) -> None:
    """Have a daemon that is up start these services too."""
    from overnight.client.client import Client

    client = Client(daemon.url)
    came_up = [services.asked(client, name, "start") for name in names]
    if not all(came_up):
        raise typer.Exit(1)


def _await_end(daemon: "Daemonic") -> None:
    from overnight.app import launch

    while not launch.has_ended(daemon):
        threading.Event().wait(_LOOK_EVERY_S)


def _refuse_second(daemon: "Daemonic | None") -> None:
    if daemon is not None:
        raise UserMistake(
            f"process {daemon.pid} is up for this project since {daemon.since} ({daemon.url}); "
            "`overnight status` shows it, `overnight down` stops it"
        )


def _stay(ctx: typer.Context, level: str | None, only: list[str] | None) -> None:
    from overnight.app.daemon import Daemon
    from overnight.app.signals import hearing_hangup, stopping
    from overnight.server.serving import serve

    with place_of(ctx).open() as project, stopping() as stop:
        daemon = Daemon(project, level=level, only=only)
        with hearing_hangup(daemon.reloader.ask):
            daemon.run(stop, serve)


def _down(
    ctx: typer.Context,
    force: Annotated[
        bool, typer.Option("--force", help="Put what is worked on back into the queue at once; kill it if need be.")
    ] = False,
) -> None:
    """Stop the daemon, and the services that it has started.

    It starts nothing new, lets what is worked on end for up to engine.grace_s (5 min), and puts the rest back into the
    queue. Services that were adopted go on. Ctrl-C here leaves it stopping.
    """
    from overnight.app import launch
    from overnight.base.clock import SystemClock

    place = place_of(ctx)
    state_dir = place.state_dir()
    daemon = launch.find_begun(state_dir, threading.Event().wait)
    if daemon is None:
        if not _stop_left(place):
            say("not up: nothing to stop")
        return
    clock, pause = SystemClock(), threading.Event().wait
    if force:
        killed = launch.end_by_force(daemon, clock, pause)
        say(f"down: process {daemon.pid} {'was killed' if killed else 'has ended'}")
        _stop_left(place)
        return
    launch.tell(daemon, signal.SIGTERM)
    said_at = clock.monotonic()
    while not launch.has_ended(daemon):
        pause(_LOOK_EVERY_S)
        if clock.monotonic() - said_at > _WORD_EVERY_S:
            said_at = clock.monotonic()
            note("waiting for what is worked on; `overnight down --force` puts it back into the queue at once")
    say(f"down: process {daemon.pid} has ended")
    _stop_left(place)


def _stop_left(place: "Place") -> bool:
    """Stop the services that a daemon has left, which was killed; return whether there were any."""
    from overnight.app.services import left, stop_left

    state_dir = place.state_dir()
    if not left(state_dir):
        return False
    try:
        config = place.config()
    except ConfigError:
        config = None
    stopped = stop_left(state_dir, config)
    say(f"stopped: {', '.join(stopped)}, left by a daemon that was killed")
    return True


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
    service: Annotated[str | None, typer.Option(metavar="NAME", help="What this service has printed, instead.")] = None,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, metavar="N", help="How many of the last lines.")] = 100,
) -> None:
    """Print what the daemon wrote down.

    What a run itself printed is shown by `overnight runs logs ID`.
    """
    from overnight.app.journal import FILE
    from overnight.cli.tail import print_logs

    state_dir: Path = place_of(ctx).state_dir()
    path = state_dir / FILE
    if service is not None:
        if task is not None:
            raise UserMistake("give either --task or --service, not both")
        path = services.log_of(place_of(ctx), service)
    if not print_logs([path], task=task, lines=lines, follow=follow):
        note("nothing is written down yet; `overnight up` starts the daemon")
