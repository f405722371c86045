"""`overnight campaign`: training data made at scale, after a pilot that has to be good."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.base.errors import UserMistake
from overnight.base.learning import said_of
from overnight.cli import campaign_monitor, campaign_outputs
from overnight.cli.campaign_options import Name
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overnight.app.project import Project
    from overnight.engine.model import Run

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Threshold = Annotated[
    float | None, typer.Option("--quality-threshold", metavar="Q", help="Quality, 0 to 1, that the pilot must reach.")
]
Fewest = Annotated[
    int | None, typer.Option("--min-pilot-samples", metavar="N", help="Candidates of the pilot that must be judged.")
]
Size = Annotated[int | None, typer.Option("--pilot-size", metavar="N", help="Candidates of the pilot.")]
Target = Annotated[int | None, typer.Option("--campaign-target", metavar="N", help="Accepted samples in all.")]
Workers = Annotated[int | None, typer.Option("--workers", metavar="N", help="Processes that make samples.")]
OutputName = Annotated[
    str | None,
    typer.Option("--output-name", metavar="NAME", help="What an external generator is to call what it makes."),
]
NoAuto = Annotated[bool, typer.Option("--no-auto-launch", help="Stop after a pilot that was approved.")]
NoActive = Annotated[bool, typer.Option("--no-active-learning", help="Choose what is made next by chance.")]
Usd = Annotated[float | None, typer.Option("--budget-usd", metavar="USD", help="What language models may cost in all.")]
Tokens = Annotated[int | None, typer.Option("--budget-tokens", metavar="N", help="Tokens that they may take in all.")]
StrategyName = Annotated[
    str | None,
    typer.Option("--strategy", metavar="NAME", help="A strategy, or learned: how language models are asked."),
]
Background = Annotated[bool, typer.Option("--background", help="Go on alone, and say how to watch and stop it.")]
DONE = ("campaign_complete", "validation_complete")
"""Phases that end with exit code 0; any other one with 1."""


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight campaign auto --campaign-target 2000",
        help="Make training data, after a pilot that has to be good.",
    )
    group.callback()(_group)
    group.command("auto", epilog="Example: overnight campaign auto code --campaign-target 2000")(_auto)
    group.command("pilot", epilog="Example: overnight campaign pilot code --pilot-size 190")(_pilot)
    group.command("validate", epilog="Example: overnight campaign validate code")(_validate)
    group.command("launch", epilog="Example: overnight campaign launch code")(_launch)
    group.command("resume", epilog="Example: overnight campaign resume code")(_resume)
    group.command("status", epilog="Example: overnight campaign status code --json")(_status)
    group.command("logs", epilog="Example: overnight campaign logs code -n 20")(_logs)
    group.command("stop", epilog="Example: overnight campaign stop code")(_stop)
    campaign_outputs.add_to(group)
    campaign_monitor.add_to(group)
    app.add_typer(group, name="campaign")


def _group() -> None:
    """Make training data, after a pilot that has to be good."""


def _auto(
    ctx: typer.Context,
    name: Name = None,
    *,
    quality_threshold: Threshold = None,
    min_pilot_samples: Fewest = None,
    pilot_size: Size = None,
    campaign_target: Target = None,
    workers: Workers = None,
    budget_usd: Usd = None,
    budget_tokens: Tokens = None,
    output_name: OutputName = None,
    no_auto_launch: NoAuto = False,
    no_active_learning: NoActive = False,
    strategy: StrategyName = None,
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Make a pilot, and the whole campaign if it is approved.

    What was interrupted goes on where it was, with nothing made twice. The variables QUALITY_THRESHOLD, CAMPAIGN_TARGET
    and AUTO_LAUNCH count where no option is given. Exit code: 0 if all was made, or the pilot approved with
    --no-auto-launch; 1 if the pilot was rejected or the campaign failed; 130 interrupted.
    """
    settings = _settings(
        quality_threshold=quality_threshold,
        min_pilot_samples=min_pilot_samples,
        pilot_size=pilot_size,
        target=campaign_target,
        workers=workers,
        output_name=output_name,
        active_learning=False if no_active_learning else None,
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
    )
    wish: dict[str, Any] = {"settings": settings, **({"launch": False} if no_auto_launch else {})}
    wish |= {} if strategy is None else {"strategy": strategy}
    _perform(ctx, name, wish, as_json=as_json, background=background)


def _pilot(
    ctx: typer.Context,
    name: Name = None,
    *,
    quality_threshold: Threshold = None,
    min_pilot_samples: Fewest = None,
    pilot_size: Size = None,
    workers: Workers = None,
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Make the pilot of a campaign and have it judged.

    Its samples are the first of the campaign. Exit code: 0 approved, 1 rejected or failed, 130 interrupted.
    """
    settings = _settings(
        quality_threshold=quality_threshold,
        min_pilot_samples=min_pilot_samples,
        pilot_size=pilot_size,
        workers=workers,
    )
    _perform(ctx, name, {"settings": settings, "launch": False}, as_json=as_json, background=background)


def _validate(
    ctx: typer.Context, name: Name = None, *, quality_threshold: Threshold = None, as_json: Json = False
) -> None:
    """Judge the pilot once more, by the settings of now.

    What is lacking of it is made first. Exit code: 0 approved, 1 rejected.
    """
    wish = {"settings": _settings(quality_threshold=quality_threshold), "launch": False, "judge": True}
    _perform(ctx, name, wish, as_json=as_json)


def _launch(
    ctx: typer.Context,
    name: Name = None,
    *,
    force: Annotated[
        str | None,
        typer.Option("--force", metavar="REASON", help="Launch without an approved pilot; kept, with your name."),
    ] = None,
    campaign_target: Target = None,
    workers: Workers = None,
    budget_usd: Usd = None,
    budget_tokens: Tokens = None,
    output_name: OutputName = None,
    background: Background = False,
    as_json: Json = False,
) -> None:
    """Make the whole campaign, whose pilot was approved.

    It must have been approved by the gate of now, unless --force says why not. Exit code: 0 if all was made, 1 if not,
    130 interrupted.
    """
    if force is not None and not force.strip():
        raise UserMistake("--force: say why, as in --force 'a person has read the pilot'")
    settings = _settings(
        target=campaign_target,
        workers=workers,
        output_name=output_name,
        budget_usd=budget_usd,
        budget_tokens=budget_tokens,
    )
    wish = {"settings": settings, "pilot": False, "launch": True, **({"force": force} if force else {})}
    _perform(ctx, name, wish, as_json=as_json, background=background)


def _resume(ctx: typer.Context, name: Name = None, *, background: Background = False, as_json: Json = False) -> None:
    """Go on with a campaign that was stopped.

    So does one that was interrupted or has failed; all that it has made is kept.
    """
    from overnight.app import campaigns

    with place_of(ctx).open() as project:
        wish = campaigns.last_wish(project, campaigns.name_of(project, name))
    _perform(ctx, name, wish, as_json=as_json, background=background)


def _settings(**given: Any) -> dict[str, Any]:  # Any: whatever an option holds
    return {key: value for key, value in given.items() if value is not None}


def _perform(
    ctx: typer.Context, name: str | None, wish: dict[str, Any], *, as_json: bool, background: bool = False
) -> None:
    from overnight.app import campaigns

    with place_of(ctx).open() as project:
        found = campaigns.name_of(project, name)
        wish = campaigns.with_environment(project, found, wish)
        raise typer.Exit(
            _in_background(project, found, wish) if background else perform(project, found, wish, as_json=as_json)
        )


def perform(project: "Project", name: str, wish: dict[str, Any], *, as_json: bool) -> int:
    """Begin or go on with the campaign, see it through, say how it ended, and return the exit code."""
    from overnight.app import campaigns
    from overnight.cli.running import see_flow_through

    run = see_flow_through(
        project,
        lambda: campaigns.begin(project, name, wish),
        what=f"campaign {name}",
        quiet=as_json,
        sum_up=_sum_up,
    )
    if not run.state.final:
        note(f"interrupted; `overnight campaign resume {name}` goes on with it, with all that it has made")
        return 130
    found = campaigns.status(project, name)
    if as_json:
        print_json(found)
    else:
        _show(found)
    return 0 if run.error is None and found["phase"] in DONE else 1


def _in_background(project: "Project", name: str, wish: dict[str, Any]) -> int:
    from overnight.app import campaigns

    begun = campaigns.begin_alone(project, name, wish)
    say(f"campaign {name} goes on alone (run {begun.run_id}), worked on by process {begun.pid}")
    say(f"  it {begun.will}")
    say(f"  logs:   {begun.logs}")
    say(f"  watch:  overnight campaign status {name}     or: overnight campaign logs {name}")
    say(f"  stop:   overnight campaign stop {name}")
    return 0


def _sum_up(runs: "Sequence[Run]") -> tuple[float, float | None, str]:
    """Return how far the newest of the runs is that make samples."""
    import json

    told = json.loads(runs[-1].progress or "{}") if len(runs) > 1 else {}
    done, total = told.get("done", 0), told.get("total")
    words = f"{told.get('phase', 'begins')}: {done:,.0f} of {total:,.0f}" if total else "begins"
    return float(done), total, words


def _status(ctx: typer.Context, name: Name = None, *, as_json: Json = False) -> None:
    """Show where a campaign stands."""
    from overnight.app import campaigns

    with place_of(ctx).open() as project:
        found = campaigns.status(project, campaigns.name_of(project, name))
    if as_json:
        print_json(found)
    else:
        _show(found)


def _show(found: dict[str, Any]) -> None:
    state = "was never begun" if found["phase"] is None else str(found["phase"]).replace("_", " ")
    if found["stopping"]:
        state += ", stopping"
    say(f"campaign {found['campaign']}: {state}")
    verdict = found["verdict"]
    if found["reason"] and found["reason"] != (verdict or {}).get("reason"):
        say(f"  {found['reason']}")
    if verdict is not None:
        say(f"  pilot {verdict['decision']}: {verdict['reason']}")
    for launch in found["launches"]:
        if launch["forced"] is not None:
            say(f"  launched without an approved pilot by {launch['by']} at {launch['at']}: {launch['forced']}")
    if found["followed"] is not None:
        campaign_monitor.show(found["followed"])
    elif found["judged"]:
        say(f"  {found['accepted']:,} of {found['target']:,} samples, {found['skeletons']:,} skeletons")
        rows = [
            (name, f"{one['accepted']:,}", f"{one['target']:,}", f"{one['judged']:,}", _share(one))
            for name, one in found["domains"].items()
        ]
        print_table(("DOMAIN", "ACCEPTED", "OF", "JUDGED", "ACCEPTED OF JUDGED"), rows)
    if found["strategy"] is not None:
        say(f"  strategy {said_of(found['strategy'])}")
    _show_what_followed(found["then"])
    say(f"  files: {found['folder']}")


def _show_what_followed(then: dict[str, Any]) -> None:
    for output in then.get("export", {}).values():
        say(f"  exported: {output['folder']} ({', '.join(f'{n:,} {part}' for part, n in output['rows'].items())})")
    for copy in then.get("copy", {}).values():
        say(f"  copied to {copy['target']}: {copy['files']} files, {copy['bytes']:,} bytes")
    if "job" in then:
        say(f"  training job: {then['job']}")


def _share(one: dict[str, int]) -> str:
    return "not measured" if not one["judged"] else f"{one['accepted'] / one['judged']:.1%}"


def _logs(
    ctx: typer.Context,
    name: Name = None,
    *,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, metavar="N", help="How many of the last lines of each.")
    ] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on with what comes, until Ctrl-C.")] = False,
) -> None:
    """Show the newest lines of a campaign's logs."""
    from overnight.app import campaigns
    from overnight.cli.tail import print_logs

    with place_of(ctx).open() as project:
        found = campaigns.log_files(project, campaigns.name_of(project, name))
    if not print_logs(found, lines=lines, follow=follow):
        note(f"nothing is written yet; {found[0]} is the first to be")


def _stop(ctx: typer.Context, name: Name = None) -> None:
    """Stop a campaign; what it has made is kept.

    `overnight campaign resume` goes on with it.
    """
    from overnight.app import campaigns

    with place_of(ctx).open() as project:
        say(campaigns.stop(project, campaigns.name_of(project, name)))
