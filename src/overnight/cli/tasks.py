"""`overnight tasks`: what there is to run, and running it."""

import getpass
import json
from typing import Annotated, Any

import typer

from overnight.base.errors import UserMistake
from overnight.base.instants import US, iso
from overnight.base.zones import zone_of
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, print_table, say, short_moment


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight tasks run hello --wait",
        help="The tasks of the project: list, show, run, pause, resume.",
    )
    group.command("list", epilog="Example: overnight tasks list")(_list)
    group.command("show", epilog="Example: overnight tasks show hello")(_show)
    group.command("pause", epilog='Example: overnight tasks pause hello --why "disk is being replaced"')(_pause)
    group.command("resume", epilog="Example: overnight tasks resume hello")(_resume)
    group.command("run", epilog="Example: overnight tasks run hello --arg name=Ada --arg times=5")(_run)
    app.add_typer(group, name="tasks")


def _list(
    ctx: typer.Context,
    tag: Annotated[str | None, typer.Option(metavar="WORD", help="Only tasks with this tag.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the tasks, when each starts and where it runs."""
    from overnight.app.describing import entry_json
    from overnight.engine import pausing

    with place_of(ctx).open() as project:
        book = project.book
        entries = book.own() if tag is None else [entry for entry in book if tag in entry.task.tags]
        with project.database.read() as connection:
            paused = {pause.task_id: pause for pause in pausing.pauses(connection)}
    if as_json:
        print_json([entry_json(entry, paused.get(entry.task.task_id)) for entry in entries])
        return
    if tag is not None and not entries:
        say(f"no task has the tag {tag!r}")
        return
    if not entries:
        say("no tasks yet; add them to overnight.toml as [tasks.NAME], or in the project's module")
        return
    rows = [
        (
            entry.task.task_id,
            f"{_starts(entry)}{' (paused)' if entry.task.task_id in paused else ''}",
            entry.task.priority,
            entry.executor,
            _limits(entry),
        )
        for entry in entries
    ]
    print_table(("TASK", "STARTS", "PRIORITY", "RUNS IN", "LIMITS"), rows)


def _starts(entry: Any) -> str:  # Any: an engine.book.Entry, which is loaded late
    parts = [entry.trigger_text] if entry.trigger_text else []
    parts += [f"after {', '.join(entry.task.after)}"] if entry.task.after else []
    if not entry.task.enabled:
        return "by hand (not enabled)"
    return "; ".join(parts) or "by hand"


def _limits(entry: Any) -> str:  # Any: an engine.book.Entry, which is loaded late
    limits = [] if entry.timeout_s is None else [f"{entry.timeout_s:g} s"]
    retries = {0: "no retries", 1: "1 retry"}.get(entry.task.max_retries, f"{entry.task.max_retries} retries")
    return ", ".join([*limits, retries])


TaskArgument = Annotated[str, typer.Argument(metavar="NAME", help="The task.")]


def _show(
    ctx: typer.Context,
    name: TaskArgument,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show all that is known of a task.

    That is: its rules, its next firings, its newest runs, what was missed.
    """
    from overnight.app import schedule
    from overnight.app.describing import entry_json, run_json
    from overnight.cli.describe import how_many, missed_json, remark
    from overnight.engine import gaps, pausing

    with place_of(ctx).open() as project:
        entry = project.book.get(name)
        coming = schedule.coming(project, project.clock.now_us() + 366 * 86400 * US, most=FIRINGS).get(name, [])
        runs = project.runs(task_id=name, limit=RUNS)
        with project.database.read() as connection:
            pause = next((one for one in pausing.pauses(connection) if one.task_id == name), None)
            missed = gaps.spans(connection, task_id=name, limit=RUNS)
        zone = zone_of(project.config)
    found = entry_json(entry, pause)
    if as_json:
        spans = [missed_json(one) for one in missed]
        next_ones = [iso(at_us) for at_us in coming[:FIRINGS]]
        print_json({**found, "next": next_ones, "runs": [run_json(run) for run in runs], "missed": spans})
        return
    say(f"task {name}: {_starts(entry)}")
    if pause is not None:
        say(f"  paused since {short_moment(pause.since_us, zone)}: {pause.why}", style="yellow")
    for key, value in found.items():
        if key not in _SHOWN_APART and value not in (None, [], {}):
            say(f"  {key:<18}{_readable(value)}")
    for place, at_us in enumerate(coming[:FIRINGS]):
        say(f"{'next' if not place else '':<11}{short_moment(at_us, zone)}")
    for run in runs:
        say(f"run {run.run_id:<7}{short_moment(run.created_us, zone)}  {run.state}  {remark(run, zone)}".rstrip())
    for one in missed:
        span = f"from {short_moment(one.first_us, zone)} to {short_moment(one.last_us, zone)}"
        say(f"missed     {how_many(one.count)} {span}: {one.reason.meaning}")


def _readable(value: Any) -> str:  # Any: JSON
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


FIRINGS, RUNS = 5, 5
_SHOWN_APART = {"task_id", "starts", "paused", "after"}


def _pause(
    ctx: typer.Context,
    name: TaskArgument,
    why: Annotated[str | None, typer.Option(metavar="TEXT", help="The reason, for those who look.")] = None,
) -> None:
    """Pause a task, until it is resumed.

    Its triggers do not fire, its scheduled runs wait; a run by hand still works.
    """
    with place_of(ctx).open() as project:
        by = f"{getpass.getuser()}{'' if why is None else f': {why}'}"
        if project.pause(name, f"paused by {by}"):
            say(f"{name} is paused; `overnight tasks resume {name}` lets it go on")
        else:
            say(f"{name} was paused already")


def _resume(ctx: typer.Context, name: TaskArgument) -> None:
    """Let a paused task go on.

    The instants meanwhile are recorded as missed; `overnight backfill` runs them after all.
    """
    with place_of(ctx).open() as project:
        say(f"{name} goes on" if project.resume(name) else f"{name} was not paused")


def _run(
    ctx: typer.Context,
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The task.")],
    args: Annotated[str | None, typer.Option(metavar="JSON", help="Its arguments as a JSON object.")] = None,
    arg: Annotated[
        list[str] | None,
        typer.Option(metavar="KEY=VALUE", help="One argument; VALUE is JSON, or else text. May be given often."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for the end also where another process does the work.")
    ] = False,
    with_dependants: Annotated[
        bool, typer.Option("--with-dependants", help="Also run the tasks that come after it.")
    ] = False,
    strategy: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="A strategy, or learned: what the run gets as the argument strategy."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would run, with which arguments and limits.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the run as JSON.")] = False,
) -> None:
    """Run a task now.

    Where no process works on the project, this one does until the run has ended. Otherwise the run is put into the
    queue of that process. Exit code: 0 completed, 1 failed or cancelled, 130 interrupted; the run is then back in the
    queue.
    """
    given = arguments(args, arg or [])
    from overnight.cli.running import Wish, perform

    with place_of(ctx).open() as project:
        if strategy is not None:
            from overnight.app.learning import for_task

            project.book.get(name)
            given = {**given, "strategy": for_task(project, name, strategy)}
            note(f"strategy {given['strategy']['name']} ({given['strategy']['why']})")
        wish = Wish(task_id=name, args=given, wait=wait, with_dependants=with_dependants, as_json=as_json)
        if dry_run:
            _show_plan(project, wish, as_json=as_json)
            return
        raise typer.Exit(perform(project, wish))


def _show_plan(project: Any, wish: Any, *, as_json: bool) -> None:  # Any: a Project and a Wish, which are loaded late
    from overnight.engine import graph

    entry = project.book.get(wish.task_id)
    reached = graph.downstream(project.book.after, wish.task_id) - {wish.task_id} if wish.with_dependants else set()
    plan = {
        "task_id": wish.task_id,
        "action": entry.target or (list(entry.task.action) if isinstance(entry.task.action, tuple) else "a flow"),
        "executor": entry.executor,
        "args": {**entry.task.args, **wish.args},
        "timeout_s": entry.timeout_s,
        "max_retries": entry.task.max_retries,
        "dependants": [name for name in graph.order(project.book.after) if name in reached],
        "worked_on": project.is_worked_on,
    }
    if as_json:
        print_json(plan)
        return
    say(f"would run {wish.task_id}; nothing was started")
    for name, value in plan.items():
        if name not in ("task_id", "worked_on") and value not in (None, [], {}):
            say(f"  {name:<12}{_readable(value)}")
    say(f"  {'where':<12}{'the process that works on the project' if plan['worked_on'] else 'this process'}")


def arguments(text: str | None, pairs: list[str]) -> dict[str, Any]:  # Any: JSON
    """Return what `--args` and `--arg` say.

    Raises:
        UserMistake: both were given, or one cannot be read.
    """
    if text is not None and pairs:
        raise UserMistake("give either --args or --arg, not both")
    if text is not None:
        return _from_json(text)
    found: dict[str, Any] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UserMistake(f"--arg: {pair!r} is not KEY=VALUE, such as --arg name=Ada")
        if key in found:
            raise UserMistake(f"--arg: {key!r} is given twice")
        found[key] = _value(value)
    return found


def _from_json(text: str) -> dict[str, Any]:  # Any: JSON
    example = """--args '{"name": "Ada"}'"""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise UserMistake(f"--args: {text!r} is not JSON ({error}); write it like {example}") from error
    if not isinstance(found, dict):
        raise UserMistake(f"--args: {text!r} is not a JSON object; write it like {example}")
    return found


def _value(text: str) -> Any:  # Any: JSON
    try:
        return json.loads(text)
    except ValueError:
        return text
