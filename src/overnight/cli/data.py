"""`overnight data`: harvesting records, and how the categories stand."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overnight.base.errors import UserMistake
from overnight.base.zones import zone_of
from overnight.cli import records
from overnight.cli.place import place_of
from overnight.cli.printing import clean, note, print_json, print_table, say, short_moment, span

if TYPE_CHECKING:
    from overnight.app.project import Project
    from overnight.app.records import CategoryStatus
    from overnight.data.harvest import Harvest, Told
    from overnight.data.store import Visit

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight data harvest",
        help="Records: harvest them, look at them, compare, export.",
    )
    group.command("harvest", epilog="Example: overnight data harvest trend --force")(_harvest)
    group.command("status", epilog="Example: overnight data status")(_status)
    records.add_to(group)
    group.command("snapshots", epilog="Example: overnight data snapshots trend")(_snapshots)
    group.command("diff", epilog="Example: overnight data diff 1f0c9a 77ab01")(_diff)
    group.command("export", epilog="Example: overnight data export trend trend.csv")(_export)
    app.add_typer(group, name="data")


def _harvest(
    ctx: typer.Context,
    category: Annotated[
        list[str] | None, typer.Argument(metavar="[CATEGORY]...", help="Which categories; without one, all.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Ask for all again; nothing older stands in for a source that fails.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Ask the sources, and make what they give a new snapshot.

    A source that fails is stood in for by what it gave before, for 30 days at the most. Exit code: 0 if every
    category has records now, 1 if one has none.
    """
    from overnight.app.records import check_category
    from overnight.data.categories import categories

    with place_of(ctx).open() as project:
        names = [check_category(project, name) for name in category or categories(project.config)]
        if not names:
            raise UserMistake("there are no sources; add a [sources.NAME] table to overnight.toml")
        harvests, mistakes = _harvest_all(project, names, force=force, quiet=as_json)
    if as_json:
        print_json([harvest.to_json() for harvest in harvests])
    else:
        for harvest in harvests:
            _show_harvest(harvest)
    for mistake in mistakes:
        note(f"overnight: {mistake}")
    if mistakes:
        raise typer.Exit(2)
    raise typer.Exit(0 if all(harvest.records for harvest in harvests) else 1)


def _harvest_all(
    project: "Project", names: list[str], *, force: bool, quiet: bool
) -> "tuple[list[Harvest], list[UserMistake]]":
    """Harvest one category after the other; a mistake in one costs the others nothing."""
    harvests: list[Harvest] = []
    mistakes: list[UserMistake] = []
    with reading(quiet=quiet) as told:
        for place, name in enumerate(names):
            try:
                harvests.append(project.harvest(name, force=force, told=told))
            except UserMistake as mistake:
                mistakes.append(mistake)
            except KeyboardInterrupt:
                left = ", ".join(names[place:])
                note(f"interrupted; what was there before of {left} is unchanged; the same command asks again")
                raise
    return harvests, mistakes


@contextmanager
def reading(*, quiet: bool) -> "Iterator[Told]":
    """Give what shows how many rows were read from each source: live lines on a terminal, nothing elsewhere."""
    import sys

    if quiet or not sys.stderr.isatty():
        yield lambda source, region, rows: None
        return
    from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    from overnight.cli.printing import console

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}", markup=False),
        TextColumn("{task.completed:,.0f} rows", markup=False),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console(to_stderr=True), transient=True, refresh_per_second=5) as progress:
        lines: dict[tuple[str, str], TaskID] = {}
        one_at_a_time = threading.Lock()

        def told(source: str, region: str, rows: int) -> None:
            with one_at_a_time:
                name = clean(f"{source} {region}".strip(), one_line=True)
                if (source, region) not in lines:
                    lines[source, region] = progress.add_task(f"reading {name}", total=None, rate="")
                task = lines[source, region]
                speed = progress.tasks[task].speed
                progress.update(task, advance=rows, rate="" if speed is None else f"{speed:,.0f}/s")

        yield told


def _show_harvest(harvest: "Harvest") -> None:
    from overnight.data.remarks import remarks

    if harvest.snapshot is None:
        say(f"{harvest.category}: no source gave anything; what was there before is unchanged", style="bold red")
    else:
        counts = harvest.snapshot.statistics
        aside = ", ".join(f"{count} {stage}" for stage, count in counts["set_aside"].items())
        spread = counts["quality"]
        quality = "" if spread is None else f", quality {spread['lowest']:.1f} to {spread['highest']:.1f}"
        say(f"{harvest.category}: {counts['filtered']} of {counts['original']} records kept{quality}", style="bold")
        if aside:
            say(f"  set aside: {aside} (`overnight data list {harvest.category} --rejected`)")
        for remark in remarks(counts):
            say(f"  {remark}", style="yellow")
        say(f"  snapshot {harvest.snapshot.snapshot_id[: records.SHOWN_DIGITS]}")
    for visit in harvest.visits:
        say(f"  {visit.name}: {_standing(visit)}, {visit.count} rows in {span(visit.ms / 1000)}{_error(visit)}")


def _standing(visit: "Visit") -> str:
    status, age_s = str(visit.standing.status), visit.standing.age_s
    return f"{status} ({span(age_s)} old)" if status == "cache" else status


def _error(visit: "Visit") -> str:
    return "" if visit.error is None else f": {visit.error}"


def _status(
    ctx: typer.Context,
    category: Annotated[
        str | None, typer.Argument(metavar="[CATEGORY]", help="One category, with its harvest log.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show how each category and its sources stand."""
    from overnight.app.records import check_category, status

    with place_of(ctx).open() as project:
        if category is not None:
            check_category(project, category)
        found = [one for one in status(project) if category in (None, one.category)]
        lines = _log_of(project, category) if category is not None else []
        now_us, zone = project.clock.now_us(), zone_of(project.config)
    if as_json:
        log = [line.to_json() for line in lines]
        print_json([{**one.to_json(), **({"log": log} if category else {})} for one in found])
        return
    if not found:
        say("no categories; add a [sources.NAME] table to overnight.toml")
        return
    rows = [row for one in found for row in _status_rows(one, now_us)]
    print_table(("CATEGORY", "KEPT", "OF", "AGE", "SNAPSHOT", "SOURCE", "STATUS", "ROWS", ""), rows)
    for one in found:
        for remark in one.remarks:
            say(f"{one.category}: {remark}", style="yellow")
    if lines:
        say("log, newest first")
        for line in lines:
            at, took = short_moment(line.at_us, zone), span(line.ms / 1000)
            say(f"  {at}  {line.name}  {_standing(line)}  {line.count} rows  {took}{_error(line)}")


def _log_of(project: "Project", category: str) -> "list[Visit]":
    from overnight.data import store

    with project.database.read() as connection:
        return store.visits(connection, category, limit=20)


def _status_rows(one: "CategoryStatus", now_us: int) -> list[tuple[str, ...]]:
    snapshot = one.snapshot
    head = (one.category, "-", "-", "-", "never harvested")
    if snapshot is not None:
        counts, age_s = snapshot.statistics, max(0, now_us - snapshot.made_us) / 1_000_000
        kept, original = str(counts["filtered"]), str(counts["original"])
        head = (one.category, kept, original, span(age_s), snapshot.snapshot_id[: records.SHOWN_DIGITS])
    rows = [
        (visit.name, _standing(visit), str(visit.count), "" if visit.error is None else visit.error)
        for visit in one.visits
    ] or [("-", "-", "-", "")]
    blank = ("",) * len(head)
    return [(*(blank if place else head), *row) for place, row in enumerate(rows)]


def _snapshots(
    ctx: typer.Context,
    category: Annotated[str | None, typer.Argument(metavar="[CATEGORY]", help="Only of this category.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List the snapshots, the newest first.

    Equal records give an equal snapshot.
    """
    from overnight.app.records import check_category
    from overnight.base.clock import iso
    from overnight.data import store

    with place_of(ctx).open() as project:
        if category is not None:
            check_category(project, category)
        with project.database.read() as connection:
            found = store.all_snapshots(connection, category, limit=limit)
        zone = zone_of(project.config)
    if as_json:
        print_json(
            [
                {
                    "snapshot": one.snapshot_id,
                    "category": one.category,
                    "made_at": iso(one.made_us),
                    "statistics": one.statistics,
                    "sources": one.sources,
                }
                for one in found
            ]
        )
        return
    if not found:
        say("no snapshots yet; `overnight data harvest` makes them")
        return
    rows = [
        (
            one.snapshot_id[: records.SHOWN_DIGITS],
            one.category,
            short_moment(one.made_us, zone),
            str(one.statistics["filtered"]),
            str(one.statistics["original"]),
        )
        for one in found
    ]
    print_table(("SNAPSHOT", "CATEGORY", "MADE", "KEPT", "OF"), rows)


def _diff(
    ctx: typer.Context,
    before: Annotated[str, typer.Argument(metavar="A", help="First digits of a snapshot's id, or a category.")],
    after: Annotated[str, typer.Argument(metavar="B", help="The same, to compare with.")],
    limit: Annotated[int, typer.Option(metavar="N", min=0, help="How many ids of each kind are shown.")] = 20,
    as_json: Json = False,
) -> None:
    """Show what changed between two snapshots.

    + stands before what only B has, - before what only A has, ~ before what says something else.
    """
    from overnight.app.records import difference, find_snapshot
    from overnight.app.records import records as records_in

    with place_of(ctx).open() as project:
        old, new = find_snapshot(project, before), find_snapshot(project, after)
        found = difference(records_in(project, old), records_in(project, new))
    if as_json:
        print_json(
            {
                "before": old.snapshot_id,
                "after": new.snapshot_id,
                "added": found.added,
                "removed": found.removed,
                "changed": found.changed,
            }
        )
        return
    say(" -> ".join(f"{one.snapshot_id[: records.SHOWN_DIGITS]} ({one.category})" for one in (old, new)))
    say(f"{len(found.added)} added, {len(found.removed)} removed, {len(found.changed)} changed")
    changed = [f"{name}: {', '.join(fields)}" for name, fields in found.changed.items()]
    for sign, lines in (("+", found.added), ("-", found.removed), ("~", changed)):
        for line in lines[:limit]:
            say(f"  {sign} {line}")
        if len(lines) > limit:
            say(f"  {sign} and {len(lines) - limit} more (--limit, --json)")


def _export(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="NAME", help="A category, or first digits of a snapshot's id.")],
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Where to; ends in .jsonl, .csv or .parquet.")],
    force: Annotated[bool, typer.Option("--force", help="Replace a file that exists.")] = False,
) -> None:
    """Write the records of a snapshot into a file."""
    from overnight.app.records import find_snapshot
    from overnight.app.records import records as records_in
    from overnight.data.export import export

    if file.is_dir():
        raise UserMistake(f"{file} is a folder; name a file in it, such as {file / 'records.csv'}")
    if file.exists() and not force:
        raise UserMistake(f"{file} exists already; --force replaces it")
    with place_of(ctx).open() as project:
        snapshot = find_snapshot(project, name)
        found = records_in(project, snapshot)
    export(found, file)
    note(f"{len(found)} records of snapshot {snapshot.snapshot_id[: records.SHOWN_DIGITS]} are in {file}")
