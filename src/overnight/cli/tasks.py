"""`overnight tasks`: what there is to run, and running it."""

import json
from typing import Annotated, Any

import typer

from overnight.base.errors import UserMistake
from overnight.cli.place import place_of
from overnight.cli.printing import print_json, print_table, say


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight tasks run hello --wait",
        help="The tasks of the project: list them, run one.",
    )
    group.command("list", epilog="Example: overnight tasks list")(_list)
    group.command("run", epilog="Example: overnight tasks run hello --arg name=Ada --arg times=5")(_run)
    app.add_typer(group, name="tasks")


def _list(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the tasks, when each starts and where it runs."""
    with place_of(ctx).open() as project:
        entries = list(project.book)
    if as_json:
        print_json([_entry_json(entry) for entry in entries])
        return
    if not entries:
        say("no tasks yet; add them to overnight.toml as [tasks.NAME], or in the project's module")
        return
    rows = [
        (entry.task.task_id, _starts(entry), entry.task.priority, entry.executor, _limits(entry)) for entry in entries
    ]
    print_table(("TASK", "STARTS", "PRIORITY", "RUNS IN", "LIMITS"), rows)


def _entry_json(entry: Any) -> dict[str, Any]:  # Any: an engine.book.Entry, which is loaded late; JSON
    task = entry.task
    return {
        "task_id": task.task_id,
        "agent_name": task.agent_name,
        "starts": entry.trigger_text,
        "after": list(task.after),
        "enabled": task.enabled,
        "priority": task.priority,
        "executor": entry.executor,
        "flow": task.flow,
        "max_retries": task.max_retries,
        "timeout_s": entry.timeout_s,
        "max_concurrent": task.max_concurrent,
        "needs": {"cpus": task.needs.cpus, "locks": list(task.needs.locks)},
        "args": dict(task.args),
    }


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
    as_json: Annotated[bool, typer.Option("--json", help="Print the run as JSON.")] = False,
) -> None:
    """Run a task now.

    Where no process works on the project, this one does until the run has ended. Otherwise the run is put into the
    queue of that process. Exit code: 0 completed, 1 failed or cancelled, 130 interrupted; the run is then back in the
    queue.
    """
    given = arguments(args, arg or [])
    from overnight.cli.running import Wish, perform

    wish = Wish(task_id=name, args=given, wait=wait, with_dependants=with_dependants, as_json=as_json)
    with place_of(ctx).open() as project:
        raise typer.Exit(perform(project, wish))


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
