"""`overnight tune`: parameters of an agent are tried, and kept where the gate accepts what was trained with them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.cli.place import place_of
from overnight.cli.printing import compact, note, print_json, print_table, say, span

if TYPE_CHECKING:
    from collections.abc import Sequence

    from overnight.app.project import Project
    from overnight.base.clock import Clock
    from overnight.engine.model import Run

SHOWN = 10
"""Trials in the table, the current parameters beside them."""


def add_to(app: typer.Typer) -> None:
    """Add the command."""
    app.command("tune", epilog="Example: overnight tune regressor --trials 50", rich_help_panel="Learning")(_tune)


def _tune(
    ctx: typer.Context,
    agent: Annotated[str, typer.Argument(metavar="AGENT")],
    *,
    trials: Annotated[int, typer.Option(min=1, metavar="N", help="Sets of parameters, beside the current one.")] = 50,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Another one tries others.")] = 0,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Go back to the parameters before the newest tuned ones.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find better parameters for an agent.

    Trials learn from a part of the training items, and those that do well from more of them. The best parameters are
    kept if the gate accepts the version that was trained with them. Exit code: 0 accepted, or none were better; 1
    rejected or failed; 3 that could not be told; 130 interrupted, and the same command goes on.
    """
    with place_of(ctx).open() as project:
        if rollback:
            _roll_back(project, agent, as_json=as_json)
        else:
            raise typer.Exit(_see_through(project, agent, trials, seed, as_json=as_json))


def _roll_back(project: "Project", agent: str, *, as_json: bool) -> None:
    from overnight.app import tuning

    settings = tuning.roll_back(project, agent)
    if as_json:
        print_json({"agent": agent, "settings": settings})
        return
    say(f"{agent} is trained with {_told(settings) or 'its defaults'} from now on")
    say(f"  overnight train --agent {agent}     trains it; the version that serves stays until one is better")


def _see_through(project: "Project", agent: str, trials: int, seed: int, *, as_json: bool) -> int:
    from overnight.app import tuning
    from overnight.base.ids import RunId
    from overnight.cli.running import see_flow_through

    def begin() -> tuple[RunId, bool]:
        run_id, resumed = tuning.begin(project, agent, trials=trials, seed=seed)
        wish = tuning.wish_of(project.get(run_id))
        if (wish["trials"], wish["seed"]) != (trials, seed):
            note(f"it was begun with --trials {wish['trials']} --seed {wish['seed']}, which hold")
        progress.total = wish["trials"] + 1
        return run_id, resumed

    progress = _Progress(project.clock)
    run = see_flow_through(project, begin, what=f"the tuning of {agent}", quiet=as_json, sum_up=progress.sum_up)
    if not run.state.final:
        note("interrupted; the same command goes on with it, with all that was tried")
        return 130
    if run.error is not None or run.result is None:
        note(f"it failed: {run.error.message if run.error is not None else 'it was cancelled'}")
        return 1
    found: dict[str, Any] = {"run_id": run.run_id, **project.result(run.run_id)}
    found["trials"] = tuning.trials_of(project, run.run_id)
    if as_json:
        print_json(found)
    else:
        _show(found)
    verdict = found["verdict"]
    if verdict is None or found["adopted"]:
        return 0
    # One that is accepted against a baseline alone has changed no parameters.
    return 3 if verdict["decision"] == "UNDERPOWERED" else 1


class _Progress:
    """Says how many trials were begun and have ended where they are, at which pace since this process looks on."""

    def __init__(self, clock: "Clock") -> None:
        self._clock = clock
        self._first: tuple[float, int] | None = None
        self.total = 1

    def sum_up(self, runs: "Sequence[Run]") -> tuple[float, float | None, str]:
        """Return how much of how much is done, and words for it."""
        from overnight.flows.nightly.tuning import trial_of

        places = [(trial_of(run), run.state.final) for run in runs[1:]]
        done = len({place[0] for place, ended in places if place is not None and ended})
        if any(place is None for place, _ in places):
            return float(self.total), float(self.total), "gate: the best parameters are trained and judged"
        if done >= self.total:
            left = sum(not ended for _, ended in places)
            return float(done), float(self.total), f"last rungs: {len(places)} trainings, {left} under way"
        return float(done), float(self.total), f"trials: {done} of {self.total}{self._pace(done)}"

    def _pace(self, done: int) -> str:
        now = self._clock.monotonic()
        since, before = self._first = self._first or (now, done)
        if done <= before or now <= since:
            return ""
        per_s = (done - before) / (now - since)
        return f", {per_s:.2g}/s, about {span((self.total - done) / per_s)} left"


def _show(found: dict[str, Any]) -> None:
    trials = found["trials"]
    good = [one for one in trials if one["value"] is not None]
    shown = good[:SHOWN]
    shown += [one for one in good[SHOWN:] if one["current"]]
    sign = -1.0 if found["best"] == 0 else 1.0
    rows = [
        (
            "current" if one["current"] else str(one["trial"]),
            *_figures(one, sign),
            str(one["items"]),
            span(one["seconds"]),
            str(one["run_id"]),
            _told(one["parameters"]) or "(its defaults)",
        )
        for one in shown
    ]
    print_table(("TRIAL", found["metric"].upper(), "95 %", "ITEMS", "TIME", "RUN", "PARAMETERS"), rows, fold=True)
    top = len(found["rungs"]) - 1
    pruned = [sum(one["rung"] == rung for one in good) for rung in range(top)]
    failed = [one for one in trials if one["value"] is None]
    told = [f"{count} ended at {found['rungs'][rung]} items" for rung, count in enumerate(pruned) if count]
    say(f"{len(trials)} trials, measured on {good[0]['measured']} of the training items{_listed(told)}")
    if failed:
        say(f"{len(failed)} failed: run {failed[0]['run_id']}: {failed[0]['error']}")
    _show_verdict(found)


def _listed(told: list[str]) -> str:
    return "".join(f"; {one}" for one in told)


def _figures(one: dict[str, Any], sign: float) -> tuple[str, str]:
    low, high = sorted((sign * one["lower"], sign * one["upper"]))
    return f"{sign * one['value']:.4g}", f"{low:.4g} to {high:.4g}"


def _told(parameters: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={compact(value)}"
        for name, value in parameters.items()
    )


def _show_verdict(found: dict[str, Any]) -> None:
    agent, verdict = found["agent"], found["verdict"]
    if verdict is None:
        say(f"no change: {found['reason']}")
        return
    against = verdict["against_version"] or verdict["against"] or "nothing"
    decision = verdict["decision"] or "not compared"
    say(f"trial {found['winner']} as {found['version']} against {against}: {decision} (alpha {found['alpha']:.2g})")
    say(f"  {found['reason']}")
    if found["adopted"]:
        say(f"{agent} is trained with {_told(found['parameters'])} from now on")
        say(f"  overnight tune {agent} --rollback     takes that back")
    else:
        say(f"no change: {agent} is trained as before")
