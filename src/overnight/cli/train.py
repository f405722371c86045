"""`overnight train` and `overnight stats`: the fleet's nightly training, now, and how the fleet does."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, say

if TYPE_CHECKING:
    from overnight.app.project import Project
    from overnight.engine.model import Run

NOT_MEASURED = "not measured"


def add_to(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("train", epilog="Example: overnight train --json")(_train)
    app.command("stats", epilog="Example: overnight stats")(_stats)


def _train(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as JSON.")] = False,
) -> None:
    """Train every agent of the fleet now.

    That is: harvest, validate, train, judge, report. A training that was interrupted goes on where it was, with nothing
    trained twice; one that another process works on is waited for. Exit code: 0 if an agent was trained, 1 if none was,
    130 interrupted.
    """
    with place_of(ctx).open() as project:
        raise typer.Exit(train(project, as_json=as_json))


def train(project: "Project", *, as_json: bool) -> int:
    """Begin or go on with the nightly training, see it through, show the report, and return the exit code."""
    from overnight.app.signals import stopping
    from overnight.app.training import begin
    from overnight.cli.progress import watching
    from overnight.cli.running import begin_work, leave, see_through

    with stopping() as stop:
        run_id, resumed = begin(project)
        here = begin_work(project)
        if resumed:
            note(f"going on with training run {run_id}" + ("" if here else ", which another process works on"))
        with watching(project, quiet=as_json) as show:
            runs = see_through(project, lambda: _with_children(project, run_id), stop, show)
    leave(project, interrupted=not runs[0].state.final)
    run = project.get(run_id)
    if not run.state.final:
        note(f"interrupted; `overnight train` goes on with run {run_id}")
        return 130
    return _show(run, as_json=as_json)


def _with_children(project: "Project", run_id: int) -> "list[Run]":
    from overnight.engine import store

    with project.database.read() as connection:
        return [project.get(run_id), *store.children_of(connection, run_id)]


def _show(run: "Run", *, as_json: bool) -> int:
    from pathlib import Path

    from overnight.base.errors import RunFailed

    if run.result is None:
        reason = run.error.message if run.error is not None else "no reason recorded"
        raise RunFailed(f"training run {run.run_id} ended {run.state}: {reason}")
    result = json.loads(run.result)
    if as_json:
        print_json(result)
    else:
        say(Path(result["report"]).read_text().rstrip("\n"))
        say(f"\nreport: {result['report']}")
    return 1 if result["status"] == "failed" else 0


def _stats(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show how the fleet does.

    All figures are what its nightly trainings measured.
    """
    from overnight.app.training import stats

    with place_of(ctx).open() as project:
        found = stats(project)
    if as_json:
        print_json(found)
        return
    for line in lines_of(found):
        say(line)


def lines_of(stats: dict[str, Any]) -> list[str]:  # Any: JSON
    """Return what `overnight stats` prints."""
    attention = stats["agents_needing_attention"]
    last = stats["last_training"]
    lines = [
        f"Overall Quality:          {_number(stats['overall_quality'], '{:.2f}/10')}",
        f"Trend:                    {stats['trend'] or NOT_MEASURED}",
        f"Improvement:              {_number(stats['improvement_percent'], '{:+.2f} %')}",
        f"Agents Serving:           {stats['agents_serving']} of {len(stats['agents'])}",
        f"Agents Needing Attention: {len(attention) if last else NOT_MEASURED}",
        *(f"  {line['agent']}: {line['reason']}" for line in attention),
        f"Next Training:            {stats['next_training'] or 'not scheduled'}",
        f"Last Training:            {_last(last)}",
    ]
    for name, agent in stats["agents"].items():
        version = agent["version"] or "no version serves"
        quality = _number(agent["quality"], "{:.2f}/10")
        error = _number(agent["metric"], "{:.3f}")
        lines.append(f"  {name:<20} {version:<10} quality {quality}, {agent['metric_name'] or 'error'} {error}")
    return lines


def _number(value: float | None, shown: str) -> str:
    return NOT_MEASURED if value is None else shown.format(value)


def _last(training: dict[str, Any] | None) -> str:  # Any: JSON
    if training is None:
        return "none yet; `overnight train` starts one"
    return f"{training['timestamp'][:16].replace('T', ' ')} UTC, run {training['run']}: {training['status']}"
