"""`overnight gate`: versions compared by hand, and the gate put to the test."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Annotated

import typer

from overnight.base.errors import UserMistake
from overnight.base.zones import zone_of
from overnight.cli.place import place_of
from overnight.cli.printing import console, moment, print_json, say

CODES = {"ACCEPT": 0, "REJECT": 1, "UNDERPOWERED": 3}
PASSED, FAILED, TOO_FEW = 0, 1, 3
OUTCOMES = {PASSED: "passed", FAILED: "FAILED", TOO_FEW: "too few items"}


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True, epilog="Example: overnight gate check nlu", help="Judge a new version, or the judge."
    )
    group.callback()(_group)
    group.command("check", epilog="Example: overnight gate check nlu --self-test")(_check)
    app.add_typer(group, name="gate")


def _group() -> None:
    """Judge a new version, or the judge."""


def _check(
    ctx: typer.Context,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="The model_type.")],
    *,
    candidate: Annotated[
        str | None, typer.Option(metavar="VERSION", help="The version to judge; without it, the newest.")
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="VERSION", help="The version to compare with; without it, what serves."),
    ] = None,
    final: Annotated[
        bool, typer.Option("--final", help="Use the final hold-out (gate.final); each use counts.")
    ] = False,
    self_test: Annotated[
        bool, typer.Option("--self-test", help="Test the gate: two seeds of equal skill, and a planted better one.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge a version against another one.

    Both answer about experiences that neither was trained on. Exit code 0: ACCEPT, or the test passed; 1: REJECT, or it
    failed; 3: too few items.
    """
    if self_test and (candidate or against or final):
        raise UserMistake("--self-test trains its own versions: leave out --candidate, --against and --final")
    if self_test:
        raise typer.Exit(_test(ctx, model, as_json))
    with place_of(ctx).open() as project:
        found = project.gate_check(model, candidate=candidate, against=against, final=final)
        zone = zone_of(project.config)
    kept = found.verdict
    if as_json:
        print_json(
            {
                "model": kept.model,
                "candidate": kept.candidate,
                "against": kept.against,
                "known": found.known,
                "held_out": kept.held_out,
                "final": kept.final,
                "evidence": kept.evidence,
                "verdict": dict(kept.result),
            }
        )
    else:
        say(f"{kept.decision}: {kept.candidate} against {kept.against}, by {kept.result['metric']}")
        say(f"  {kept.result['reason']}")
        if kept.result["detectable"] is not None:
            say(f"  The smallest gain that {kept.items} items find in 80 % of cases: {kept.result['detectable']:.4g}.")
        if found.known:
            say(f"  This was judged before, at {moment(kept.at_us, zone)}, and is no new use of the items.")
    raise typer.Exit(CODES[kept.decision])


def _test(ctx: typer.Context, model: str, as_json: bool) -> int:
    from overnight.app import gate

    with place_of(ctx).open() as project, _bar("training two seeds, then judging", quiet=as_json) as told:
        found = gate.put_to_the_test(project, model, told=told)
    code = FAILED if not found.honest or found.able is False else PASSED if found.able else TOO_FEW
    if as_json:
        print_json(gate.to_dict(found))
    else:
        say(f"{OUTCOMES[code]}: {found.finding}")
        say(f"  {found.units} held-out items, of which the two seeds answer {found.differing:.0%} differently")
    return code


@contextlib.contextmanager
def _bar(what: str, *, quiet: bool) -> Iterator[Callable[[float], None]]:
    """Show how much is done, on stderr, where that is a terminal."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"))
    screen = console(to_stderr=True)
    with Progress(
        *columns, TimeRemainingColumn(), console=screen, transient=True, disable=quiet or not screen.is_terminal
    ) as progress:
        task = progress.add_task(what, total=1.0)
        yield lambda share: progress.update(task, completed=share)
