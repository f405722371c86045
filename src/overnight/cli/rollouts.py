"""`overnight deploy`, `overnight rollback` and `overnight rollout`: versions on their way to users."""

import math
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.base.zones import zone_of
from overnight.cli.live import Line, show, watch_until
from overnight.cli.pairs import settings_of
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, print_table, say, short_moment

if TYPE_CHECKING:
    from overnight.app.project import Project
    from overnight.registry.deployments import Deployment

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Number = Annotated[int, typer.Argument(metavar="ID", min=1, help="The deployment's number.")]
_WIDTH = 40
_LOOK_S = 0.2
_STYLES = {"completed": "green", "rolled_back": "bold red", "aborted": "yellow", "held": "magenta"}


def add_to(app: typer.Typer) -> None:
    """Add the commands and the group."""
    app.command("deploy", epilog="Example: overnight deploy nlu v1.0.1 --set min_requests=200")(_deploy)
    app.command("rollback", epilog="Example: overnight rollback nlu")(_rollback)
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight rollout watch 3",
        help="Rollouts: watch, explain and steer them.",
    )
    group.command("list", epilog="Example: overnight rollout list --model nlu")(_list)
    group.command("watch", epilog="Example: overnight rollout watch 3")(_watch)
    group.command("explain", epilog="Example: overnight rollout explain 3")(_explain)
    for what, text in (
        ("pause", "Stay where it is; the guards go on."),
        ("resume", "Go on with a rollout that is paused or held."),
        ("promote", "Have the candidate serve everybody now."),
        ("abort", "End it; the champion serves everybody."),
    ):
        group.command(what, help=text, epilog=f"Example: overnight rollout {what} 3")(_command(what))
    app.add_typer(group, name="rollout")


def _deploy(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model type, or the agent.")],
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Such as v1.0.1.")],
    *,
    strategy: Annotated[
        str | None,
        typer.Option(
            metavar="S",
            help="gradual_rollout, canary, immediate, blue_green, ab_test or shadow; without it, the model's.",
        ),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Of the rollout, e.g. rollout_steps=[10,100]; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Roll a version out.

    The daemon sees to it. Errors of the candidate take it back; `overnight rollout watch` shows how it goes.
    """
    from overnight.app import deployments
    from overnight.app.models import find_version

    config = settings_of(settings, "min_requests=200")
    with place_of(ctx).open() as project:
        one = deployments.deploy(project, model, version, strategy=strategy, config=config)
        if as_json:
            print_json(deployments.as_json(project, one))
            return
        say(f"deployment {one.deployment_id}: {model} {version} by {one.plan.strategy}")
        objection = find_version(project, model, version).objection
        if objection is not None:
            note(f"the gate said {objection} of {version}; `overnight rollback {model}` takes it back")
        say(f"  overnight rollout watch {one.deployment_id}     see how it goes")
        _note_nobody(project)


def _note_nobody(project: "Project") -> None:
    if not project.is_worked_on and not project.database.dialect.shared:
        note("nobody works on this project: it begins with the next `overnight up`")


def _rollback(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model type, or the agent.")],
    version: Annotated[
        str | None, typer.Argument(metavar="VERSION", help="To which; without it, what served before.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take back a rollout, or go back a version."""
    from overnight.app import deployments

    with place_of(ctx).open() as project:
        told = deployments.rollback(project, model, version)
    if as_json:
        print_json(told)
    else:
        say(f"{model} {told['model_version']} serves: {told['message']}")


def _list(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Option(metavar="MODEL", help="Only those of this model.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List the newest rollouts, the newest first."""
    from overnight.app import deployments

    with place_of(ctx).open() as project:
        found = deployments.newest_of(project, model=model, limit=limit)
        zone = zone_of(project.config)
        if as_json:
            print_json([deployments.as_json(project, one) for one in found])
            return
    if not found:
        say("no rollouts yet; `overnight deploy MODEL VERSION` begins one")
        return
    rows = [
        (
            str(one.deployment_id),
            one.model,
            one.candidate,
            one.plan.strategy,
            one.state.status,
            f"{one.percentage:g} %",
            short_moment(one.updated_us, zone),
            one.message,
        )
        for one in found
    ]
    print_table(("ID", "MODEL", "VERSION", "STRATEGY", "STATUS", "SHARE", "CHANGED", ""), rows, fold=True)


def _command(what: str) -> Any:  # Any: a command of typer
    def command(ctx: typer.Context, deployment_id: Number, as_json: Json = False) -> None:
        from overnight.app import deployments

        with place_of(ctx).open() as project:
            one = deployments.steer(project, deployment_id, what)
            if as_json:
                print_json(deployments.as_json(project, one))
            else:
                say(f"deployment {deployment_id} is {one.state.status} at {one.percentage:g} %: {one.message}")

    return command


def _watch(ctx: typer.Context, deployment_id: Number) -> None:
    """Follow a rollout until it ends: counts and guards.

    Exit code 0 if the version serves in the end. Ctrl-C ends the watching, not the rollout.
    """
    from overnight.app import deployments

    with place_of(ctx).open() as project:
        _note_nobody(project)
        one = deployments.deployment_of(project, deployment_id)
        if sys.stdout.isatty():
            watch_until(
                lambda: _page(project, deployments.deployment_of(project, deployment_id)),
                lambda: deployments.deployment_of(project, deployment_id).state.status.over,
            )
        else:
            said = None
            while True:
                one = deployments.deployment_of(project, deployment_id)
                if (one.state, one.message) != said:
                    said = (one.state, one.message)
                    say(f"{one.state.status} at {one.percentage:g} %: {one.message}")
                if one.state.status.over:
                    break
                time.sleep(_LOOK_S)
        ended = deployments.deployment_of(project, deployment_id)
    raise typer.Exit(0 if ended.state.status == "completed" else 1)


def _page(project: "Project", one: "Deployment") -> Iterator[Line]:
    from overnight.app import deployments

    told = deployments.as_json(project, one)
    yield f"deployment {one.deployment_id}: {one.model} {one.candidate} by {one.plan.strategy}", "bold"
    yield f"{one.state.status} at {one.percentage:g} %: {one.message}", _STYLES.get(one.state.status)
    yield f"{_bar(one.percentage / 100)} {one.percentage:g} % of the keys", None
    yield f"stage {told['stage'] or '-'} of {len(one.plan.steps)}, {one.evidence.of_stage} requests in it", None
    for name, counts in (("candidate", one.evidence.candidate), ("champion", one.evidence.champion)):
        figures = ", ".join(f"{value} {what}" for what, value in vars(counts).items())
        yield f"{name:<10} {one.candidate if name == 'candidate' else one.champion or '-'}: {figures}", None
    for name, guard in told["guards"].items():
        yield f"{name:<13} {_bar(_nearness(guard))} e-value {guard['e_value']:.3g} of {guard['limit']:g}", None
    for name, lift in told["lifts"].items():
        yield f"{name:<13} {lift['difference']:+.3f} ({lift['lower']:+.3f} to {lift['upper']:+.3f})", None


def _nearness(guard: dict[str, float]) -> float:
    """Return how much of the proof is there, on the scale on which evidence adds up: the logarithm."""
    return max(0.0, math.log(max(guard["e_value"], 1.0)) / math.log(guard["limit"]))


def _bar(share: float) -> str:
    full = round(min(1.0, share) * _WIDTH)
    return "█" * full + "░" * (_WIDTH - full)


def _explain(ctx: typer.Context, deployment_id: Number, as_json: Json = False) -> None:
    """Tell every decision with what led to it.

    Each is decided again from that; exit code 1 if one comes out otherwise.
    """
    from overnight.app import deployments

    with place_of(ctx).open() as project:
        found = deployments.explain(project, deployment_id)
        zone = zone_of(project.config)
    if as_json:
        print_json([{**one.told, "again": one.again} for one in found])
    else:
        for one in found:
            show(_lines_of(one.told, short_moment(one.decided.at_us, zone), again=one.again))
        if not found:
            say("nothing was decided yet")
    raise typer.Exit(0 if all(one.again is not False for one in found) else 1)


def _lines_of(body: dict[str, Any], at: str, *, again: bool | None) -> Iterator[Line]:
    asked = "" if body["asked"] is None else f" ({body['asked']})"
    head = f"{at}  {body['status']} at {body['current_percentage']:g} %: {body['reason']} by {body['by']}{asked}"
    yield head, _STYLES.get(body["status"])
    yield f"    {body['message']}", None
    for name in ("candidate", "champion"):
        counts = body[f"{name}_counts"]
        yield f"    {name}: " + ", ".join(f"{value} {what}" for what, value in counts.items()), None
    guards = (f"{name} {guard['e_value']:.3g} of {guard['limit']:g}" for name, guard in body["guards"].items())
    yield "    e-values: " + ", ".join(guards), None
    told = {True: "the same", False: "SOMETHING ELSE", None: "not by numbers"}[again]
    yield f"    decided again from this: {told}", "bold red" if again is False else None
