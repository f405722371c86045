"""`overnight campaign monitor`: a generator that Overnight did not start is followed by its log."""

import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.cli.campaign_options import Name
from overnight.cli.place import place_of
from overnight.cli.printing import clean, console, note, print_json, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOT_MEASURED = "not measured"
EXIT_CODES = {"complete": 0, "failed": 1, "stopped": 130}


def add_to(group: typer.Typer) -> None:
    """Add the command to the group."""
    group.command("monitor", epilog="Example: overnight campaign monitor code --log pilot.log --pid 4711")(_monitor)


def _monitor(
    ctx: typer.Context,
    name: Name = None,
    *,
    log: Annotated[Path, typer.Option("--log", metavar="FILE", help="The log that the generator writes.")],
    pid: Annotated[
        int | None, typer.Option("--pid", metavar="N", min=1, help="Its process; its end is an end.")
    ] = None,
    total: Annotated[
        int | None, typer.Option("--total", metavar="N", min=1, help="Samples it is to make, if not the campaign's.")
    ] = None,
    pilot: Annotated[bool, typer.Option("--pilot/--full", help="Which phase of the campaign it is.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON at the end, and nothing before.")] = False,
) -> None:
    """Follow a generator that Overnight did not start.

    That is until it is done, has failed, or makes nothing any more. A second call goes on where the first one was.
    Nothing is started or ended but the watching. Exit code: 0 all was made, 1 it failed or was given up, 130
    interrupted.
    """
    from overnight.app import campaigns
    from overnight.app.campaign_monitor import Followed, monitor
    from overnight.app.signals import stopping

    with place_of(ctx).open() as project, stopping() as stop, _watching(quiet=as_json) as tell:
        followed = Followed(
            name=campaigns.name_of(project, name),
            log=log,
            phase="pilot" if pilot else "full",
            pid=pid,
            total=total,
        )
        found = monitor(project, followed, stop.wait, tell)
    if as_json:
        print_json(found)
    else:
        _report(followed.name, found)
    raise typer.Exit(EXIT_CODES[found["ended"]])


def _report(name: str, found: dict[str, Any]) -> None:
    if found["ended"] == "stopped":
        note("interrupted; the same command goes on where it was")
        return
    say(f"campaign {name}: {found['ended']}, {line(found)}")
    if found["why"] is not None:
        say(f"  {found['why'].partition('; its last lines: ')[0]}")
        for one in found["lines"]:
            say(f"  | {one}")


@contextlib.contextmanager
def _watching(*, quiet: bool) -> "Iterator[Callable[[dict[str, Any]], None]]":
    """Give what shows a status: in a live line on a terminal, elsewhere in a line of its own."""
    if quiet or not sys.stderr.isatty():
        yield (lambda status: None) if quiet else (lambda status: note(line(status)))
        return
    from rich.live import Live
    from rich.text import Text

    with Live(console=console(to_stderr=True), transient=True, auto_refresh=False) as live:
        yield lambda status: live.update(Text(clean(line(status))), refresh=True)


def line(status: dict[str, Any]) -> str:
    """Return a status in one line: how much is made, and of a pilot how good it is."""
    done, total = status["progress"], status["total"]
    made = NOT_MEASURED if done is None else f"{done:,} of {total:,} ({done / total:.1%})"
    if "estimated_quality" not in status:
        return f"made {made}"
    quality, rate = status["estimated_quality"], status["acceptance_rate"]
    return (
        f"made {made}, quality {NOT_MEASURED if quality is None else f'{quality:.3f}'}, "
        f"accepted {NOT_MEASURED if rate is None else f'{rate:.1%}'}"
    )


def show(followed: dict[str, Any]) -> None:
    """Print what the log of an external generator has told; see `app.campaigns.status`."""
    told = {
        name: NOT_MEASURED if followed[name] is None else f"{followed[name]:,}"
        for name in ("made", "accepted", "rejected")
    }
    quality = NOT_MEASURED if followed["quality"] is None else f"{followed['quality']:.3f}"
    say(
        f"  {followed['phase']}, as the generator's log tells: {told['made']} of {followed['total']:,} made, accepted "
        f"{told['accepted']}, rejected {told['rejected']}, quality {quality}"
    )
    for name, one in followed["domains"].items():
        if one["made"] is not None:
            say(f"    {name}: {one['made']:,} of {one['target']:,}")
