"""`overnight learn feed`, `predict`, `recommend`, `verify`, `export` and `import`: evidence that comes and goes."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, print_table, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overnight.engine.model import Run
    from overnight.learning.estimating import Estimate
    from overnight.learning.selection.off_policy import Valued

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
File = Annotated[Path, typer.Argument(metavar="FILE")]


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group `learn`."""
    group.command("feed", epilog="Example: overnight learn feed outcomes.jsonl")(_feed)
    group.command("predict", epilog="Example: overnight learn predict code_api conservative")(_predict)
    group.command("estimate", epilog="Example: overnight learn estimate --type small_data")(_estimate)
    group.command("recommend", epilog="Example: overnight learn recommend")(_recommend)
    group.command("verify", epilog="Example: overnight learn verify 17")(_verify)
    group.command("export", epilog="Example: overnight learn export evidence.json")(_export)
    group.command("import", epilog="Example: overnight learn import evidence.json")(_import)


def _feed(ctx: typer.Context, file: File, *, as_json: Json = False) -> None:
    """Take outcomes of work elsewhere, a line of JSON each.

    {"type": "code_api", "success": true, "agent": "coder", "strategy": "balanced", "score": 80, "time_s": 12.5,
    "cost_usd": 0.1, "propensity": 0.5, "features": {"lines": 120}, "timestamp": "2026-11-26T20:00:00Z", "id": "a1"}:
    type and success (true, false, or 0 to 1) are needed. A file that is fed again counts once: outcomes are known by
    id, or else by their line, and lines that are alike and have no timestamp either are counted. Exit code: 1 where no
    line could be taken.
    """
    from overnight.app import learning_outcomes as outcomes

    with place_of(ctx).open() as project:
        found = outcomes.feed(project, file)
    if as_json:
        print_json(found)
    else:
        say(f"{found['new']} new outcomes, {found['known']} known, {len(found['wrong'])} lines set aside")
        for line in found["wrong"][: outcomes.MOST_SAID]:
            note(line)
        if len(found["wrong"]) > outcomes.MOST_SAID:
            note(f"and {len(found['wrong']) - outcomes.MOST_SAID} more")
        if found["of_no_strategy"]:
            note(
                f"{found['of_no_strategy']} name no strategy of this project: they count in predict and recommend, and "
                "not in which strategy is tried next, nor in estimate"
            )
    raise typer.Exit(1 if found["wrong"] and not found["new"] + found["known"] else 0)


def _predict(
    ctx: typer.Context,
    type_: Annotated[str, typer.Argument(metavar="TASK_TYPE")],
    agent: Annotated[str | None, typer.Argument(metavar="[AGENT]", help="Or a strategy, of exercises.")] = None,
    *,
    as_json: Json = False,
) -> None:
    """Predict whether a type of task succeeds, from what came of it."""
    from overnight.app import learning_outcomes as outcomes

    with place_of(ctx).open() as project:
        found = asdict(outcomes.predict(project, type_, agent))
    if as_json:
        print_json({"type": type_, "agent": agent, **found})
        return
    say(f"{type_}{f' by {agent}' if agent else ''}: {_said(found)}")


def _said(one: dict[str, Any]) -> str:
    figures = f"predicted {one['predicted']:.2f}, reliability {one['reliability']:.2f}, {one['n']} outcomes"
    interval = one["interval"]
    return (
        f"{figures}, success rate {one['success_rate']:.2f} ({interval['lower']:.2f} to {interval['upper']:.2f}); "
        f"{one['recommendation']}"
    )


def _estimate(
    ctx: typer.Context,
    *,
    type_: Annotated[str | None, typer.Option("--type", metavar="TYPE", help="Of this type of task alone.")] = None,
    as_json: Json = False,
) -> None:
    """Estimate what each strategy would bring by itself.

    Executions that were drawn by chance are weighed by how likely each was (SNIPS), and beside a model of the scores
    (doubly robust). EFFECTIVE is how many executions of its own that is worth.
    """
    from overnight.app import learning

    with place_of(ctx).open() as project:
        found = learning.estimated(project, type_)
    if as_json:
        print_json({"type": type_, "strategies": {name: _estimate_json(one) for name, one in found.items()}})
        return
    rows = [
        (name, _interval(one.snips), _interval(one.doubly_robust), f"{one.snips.effective:.1f} of {one.snips.n}")
        for name, one in found.items()
    ]
    print_table(("STRATEGY", "SNIPS", "DOUBLY ROBUST", "EFFECTIVE"), rows)


def _interval(one: "Valued") -> str:
    return f"{one.value:.1f} ({one.lower:.1f} to {one.upper:.1f})" if one.meaningful else "too few executions"


def _estimate_json(one: "Estimate") -> dict[str, Any]:
    return {
        name: {**asdict(valued), "meaningful": valued.meaningful}
        for name, valued in (("snips", one.snips), ("doubly_robust", one.doubly_robust))
    }


def _recommend(ctx: typer.Context, *, as_json: Json = False) -> None:
    """Say for each type of task, and whoever does it, how to go on."""
    from overnight.app import learning_outcomes as outcomes

    with place_of(ctx).open() as project:
        found = outcomes.recommend(project)
    if as_json:
        print_json(found)
    elif not found:
        say("nothing is known yet; `overnight learn run` executes exercises, `overnight learn feed` takes outcomes")
    else:
        rows = [
            (
                one["type"],
                one["agent"],
                str(one["n"]),
                f"{one['predicted']:.2f}",
                f"{one['confidence']:.2f}",
                one["recommendation"],
            )
            for one in found
        ]
        print_table(("TYPE", "BY", "OUTCOMES", "PREDICTED", "CONFIDENCE", "RECOMMENDATION"), rows)


def _verify(
    ctx: typer.Context, run_id: Annotated[int, typer.Argument(metavar="RUN_ID", min=1)], *, as_json: Json = False
) -> None:
    """Make the checks of an exercise's run again.

    They count, once for each run. A model is trained again by the same seeds; what a coding agent has left was
    kept, and is judged again. Exit code: 0 all checks are passed, 1 they are not.
    """
    from overnight.app import learning_outcomes as outcomes
    from overnight.cli.running import see_flow_through

    with place_of(ctx).open() as project:
        run = see_flow_through(
            project,
            lambda: (outcomes.verify(project, run_id), False),
            what="the verification",
            quiet=as_json,
            sum_up=_sum_up,
        )
        if not run.state.final:
            note("interrupted; nothing was counted")
            raise typer.Exit(130)
        if run.error is not None:
            note(f"it failed: {run.error.message}")
            raise typer.Exit(1)
        found = outcomes.verified(project, run_id, run.run_id)
    if as_json:
        print_json(found)
    else:
        said = "not predicted" if found["predicted"] is None else f"predicted {found['predicted']:.2f}"
        say(f"run {run_id}, {found['type']} by {found['agent']}: {said}, observed {found['observed']:.2f}")
        for number, checks in enumerate(found["checks"], 1):
            for name, check in checks.items():
                passed = check["passed"] if isinstance(check, dict) else False
                say(f"  repeat {number}, {name}: {'passed' if passed else 'failed'}")
        say(f"  {'now' if found['counted'] else 'counted before; still'} {_said(found['now'])}")
    raise typer.Exit(0 if found["observed"] == 1 else 1)


def _sum_up(runs: "Sequence[Run]") -> tuple[float, float | None, str]:
    """Return that one run is worked on."""
    return float(runs[0].state.final), 1.0, "the checks run"


def _export(ctx: typer.Context, file: File) -> None:
    """Write what was measured here to a file, for another project."""
    from overnight.app import learning
    from overnight.base.files import replace_file, to_json

    with place_of(ctx).open() as project:
        found = learning.export(project)
    replace_file(file, to_json(found) + "\n")
    say(f"{file}: {len(found['evidence'])} figures of strategies at types of task")


def _import(ctx: typer.Context, file: File, *, as_json: Json = False) -> None:
    """Take what another project has measured, as a discounted prior.

    It is never counted as measured here, and is used for strategies that have the same parameters here. A newer export
    of the same project takes the place of the one before.
    """
    from overnight.app import learning

    with place_of(ctx).open() as project:
        found = learning.take_evidence(project, file)
    if as_json:
        print_json(found)
    else:
        counts = f"{found['new']} new figures, {found['newer']} newer than before, {found['known']} known"
        say(f"from {found['project']}: {counts}, {found['usable']} usable here")
