"""`overnight train`, `stats` and `report`: the fleet's nightly training, how the fleet does, what a night found out."""

import json
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, say, span

if TYPE_CHECKING:
    from pathlib import Path

    from overnight.app.project import Project
    from overnight.engine.model import Run


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("train", epilog="Example: overnight train --agent trend_detective --force")(_train)
    app.command("stats", epilog="Example: overnight stats")(_stats)
    app.command("report", epilog="Example: overnight report --morning --open")(_report)


def _train(
    ctx: typer.Context,
    *,
    force: Annotated[
        bool, typer.Option("--force", help="Ask every source anew; what sources gave before does not count.")
    ] = False,
    agent: Annotated[
        list[str] | None, typer.Option("--agent", help="Train this agent only; may be given several times.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME", help="A strategy, or learned: whichever executes such trainings.")
    ] = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Say each change in a line of its own.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train every agent of the fleet now.

    That is: harvest, validate, train, judge, report. A training that was interrupted goes on where it was, with nothing
    trained twice; one that another process works on is waited for. Exit code: 0 if an agent was trained, 1 if none was,
    130 interrupted.
    """
    with place_of(ctx).open() as project:
        code = train(project, agents=agent or (), force=force, strategy=strategy, verbose=verbose, as_json=as_json)
        raise typer.Exit(code)


def train(  # the options of the command
    project: "Project",
    *,
    agents: Sequence[str] = (),
    force: bool = False,
    strategy: str | None = None,
    verbose: bool = False,
    as_json: bool,
) -> int:
    """Begin or go on with the nightly training, see it through, show the report, and return the exit code."""
    from overnight.app.signals import stopping
    from overnight.app.training import begin, expected_times, trained_by
    from overnight.cli.progress import watching
    from overnight.cli.reading import with_children
    from overnight.cli.running import begin_work, leave, see_through

    with stopping() as stop:
        run_id, resumed = begin(project, agents=agents, force=force, strategy=strategy)
        here = begin_work(project)
        if resumed:
            note(f"going on with training run {run_id}" + ("" if here else ", which another process works on"))
            if agents or force or strategy:
                note("it was begun with options of its own: --agent, --force and --strategy count for the next one")
        sum_up = partial(_sum_up, expected_times(project), trained_by(project, run_id))
        with watching(project, quiet=as_json and not verbose, lines=verbose, sum_up=sum_up) as show:
            runs = see_through(project, lambda: with_children(project, run_id), stop, show)
    leave(project, interrupted=not runs[0].state.final)
    run = project.get(run_id)
    if not run.state.final:
        note(f"interrupted; `overnight train` goes on with run {run_id}")
        return 130
    return _show(run, as_json=as_json)


def _sum_up(times: dict[str, float], names: "Sequence[str]", runs: "Sequence[Run]") -> tuple[float, float | None, str]:
    """Return how many of the agents are through, and about how long the others will take."""
    import os

    from overnight.reports.history import left_s

    begun = {run.task_id.partition(":")[2]: run for run in runs[1:]}
    ended = [name for name in names if name in begun and begun[name].state.final]
    known = {**times, **{name: begun[name].active_us / 1e6 for name in ended}}
    left = left_s([name for name in names if name not in ended], known, os.cpu_count() or 1)
    words = f"{len(ended)} of {len(names)} agents" + ("" if left is None else f", about {span(left)} left")
    return float(len(ended)), float(len(names)), words


def _show(run: "Run", *, as_json: bool) -> int:
    from pathlib import Path

    from overnight.base.errors import RunFailed

    if run.result is None:
        reason = run.error.message if run.error is not None else "no reason recorded"
        raise RunFailed(f"training run {run.run_id} ended {run.state}: {reason}")
    result = json.loads(run.result)
    if as_json:
        print_json(result)
    elif result["report"] is not None:
        say(Path(result["report"]).read_text().rstrip("\n"))
        say(f"\nreport: {result['report']}")
    else:
        say(f"training run {run.run_id}: {result['status']}, {result['agents_trained']} agents trained")
    return 1 if result["status"] == "failed" else 0


def _report(
    ctx: typer.Context,
    *,
    date: Annotated[
        str | None, typer.Argument(metavar="[DATE]", help="The day, as 2026-11-26; without it, the newest report.")
    ] = None,
    morning: Annotated[
        bool, typer.Option("--morning", help="What the last 24 hours have brought, instead; made now, or of DATE.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the HTML page in the browser.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the facts of the morning report as JSON.")] = False,
) -> None:
    """Show the report of a night, or of the last day.

    It is shown as it was written on that day. With --open, its page is shown in the browser, or its address where there
    is none.
    """
    from overnight.base.errors import UnknownName, UserMistake

    if as_json and not morning:
        raise UserMistake("--json goes with --morning; `overnight train --json` prints the result of a training")
    if morning:
        _morning(ctx, date, open_page=open_page, as_json=as_json)
        return
    logs = place_of(ctx).find() / ".overnight" / "logs"
    if date is not None and not _is_day(date):
        raise UserMistake(f"DATE: {date!r} is not a day such as 2026-11-26")
    known = sorted(logs.glob(f"daily_report_{date or '*'}.txt"))
    if not known:
        days = [path.stem.removeprefix("daily_report_") for path in sorted(logs.glob("daily_report_*.txt"))]
        there = f"there are {', '.join(days[-5:])}" if days else "`overnight train` writes one"
        raise UnknownName(f"there is no report{'' if date is None else f' of {date}'}; {there}")
    _shown(known[-1], open_page=open_page)


def _morning(ctx: typer.Context, day: str | None, *, open_page: bool, as_json: bool) -> None:
    """Show the morning report of a day as it was written; make it where it was not, and without a day, now."""
    from datetime import date

    from overnight.app import morning
    from overnight.base.errors import UserMistake

    if day is not None and not _is_day(day):
        raise UserMistake(f"DATE: {day!r} is not a day such as 2026-11-26")
    with place_of(ctx).open() as project:
        written = None if day is None else morning.files_of(project.state_dir, day)[0]
        if written is not None and written.exists() and not as_json:
            _shown(written, open_page=open_page)
            return
        now_us = project.clock.now_us()
        if day is not None and date.fromisoformat(day) > morning.day_of(project, now_us):
            raise UserMistake(f"DATE: {day} has not come yet")
        end_us = now_us if day is None else morning.end_of(project, date.fromisoformat(day))
        facts, text, _ = morning.write(project, end_us)
    if as_json:
        print_json(facts)
    else:
        _shown(text, open_page=open_page)


def _shown(text: "Path", *, open_page: bool) -> None:
    """Print a report, or open its page, which stands beside it."""
    import webbrowser

    if not open_page:
        say(text.read_text().rstrip("\n"))
        return
    page = text.with_suffix(".html").resolve().as_uri()
    if not webbrowser.open(page):
        say(page)


def _is_day(text: str) -> bool:
    from datetime import date

    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _stats(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how the fleet does.

    All figures are what its nightly trainings measured. An agent is online if the version that serves can really be
    loaded.
    """
    from overnight.reports.health import lines

    with place_of(ctx).open() as project:
        found = project.health()
    if as_json:
        print_json(found)
        return
    for line in lines(found):
        say(line)
