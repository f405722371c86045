"""`overnight loop`: how models get better by themselves."""

from typing import Annotated, Any

import typer

from overnight.cli.place import place_of
from overnight.cli.printing import print_json, say

_AGENTS_ONLY = "no model here is trained by the loop; agents of a fleet are shown by `overnight stats`"
_NOTHING_YET = (
    "no model has a version or experiences yet; `overnight jobs submit MODEL --data FILE` trains a first version, "
    "`overnight experiences add FILE` brings experiences in"
)
_STYLES = {"ACCEPT": "green", "REJECT": "red", "UNDERPOWERED": "yellow"}


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight loop status",
        help="See how models get better by themselves.",
    )
    group.callback()(_group)
    group.command("status", epilog="Example: overnight loop status")(_status)
    app.add_typer(group, name="loop", rich_help_panel="Learning")


def _group() -> None:
    """Nothing is done here."""


def _status(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show each model's loop.

    What serves, what was gathered, what follows next, and what the gate said last.
    """
    from overnight.app.loop_status import loop_status

    with place_of(ctx).open() as project:
        found, agents = loop_status(project), bool(project.config.agents)
    if as_json:
        print_json(found)
    elif not found:
        say(_AGENTS_ONLY if agents else _NOTHING_YET)
    for one in [] if as_json else found:
        _show(one)


def _show(one: dict[str, Any]) -> None:
    say(f"{one['model_type']}: {one['serving'] or 'no version'} serves")
    say(f"  gathered  {one['unused']:,} of {one['needed']:,} experiences")
    say(f"  next      {one['next']}" + (f"; by schedule {one['next_schedule']}" if one["next_schedule"] else ""))
    for rule in one["rules"]:
        say(f"            {rule}")
    if one["rollout"] is not None:
        rollout = one["rollout"]
        say(
            f"  rollout   {rollout['version']} {rollout['status']} at {rollout['percentage']:g} %: {rollout['message']}"
        )
    for version in one["last"]:
        style = _STYLES.get(version["decision"] or "")
        say(f"  {version['version']:<9} {version['decision'] or 'not compared'}: {version['reason']}", style=style)
