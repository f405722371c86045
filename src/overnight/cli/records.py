"""`overnight data list`, `show` and `explain`: records one by one."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.base.errors import UserMistake
from overnight.cli.place import place_of
from overnight.cli.printing import compact, print_json, print_table, say

if TYPE_CHECKING:
    from overnight.app.project import Project
    from overnight.app.records import Known
    from overnight.data.quality import Part, Quality

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="The record's id.")]
CategoryOption = Annotated[str | None, typer.Option("--category", metavar="NAME", help="Look in this category only.")]
NOT_MEASURED = "not measured"
SHOWN_DIGITS = 12
"""Digits of a snapshot's id that people see."""


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group `data`."""
    group.command("list", epilog="Example: overnight data list trend --limit 10")(_list)
    group.command("show", epilog="Example: overnight data show tt0068646")(_show)
    group.command("explain", epilog="Example: overnight data explain tt0068646")(_explain)


def _list(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="A category, or first digits of a snapshot's id; one may be left out."),
    ] = None,
    rejected: Annotated[bool, typer.Option("--rejected", help="What was set aside, with the reason.")] = False,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many, the best first; 20, with --json all.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List records, best first, or what was set aside."""
    from overnight.app import records

    with place_of(ctx).open() as project:
        snapshot = records.find_snapshot(project, name or _only_category(project))
        found = records.rejected(project, snapshot) if rejected else records.records(project, snapshot)
    if as_json:
        print_json(found[:limit])
        return
    limit = limit or 20
    if not found:
        say("nothing was set aside" if rejected else "no records")
        return
    if rejected:
        print_table(("STAGE", "SOURCE", "WHERE", "ID", "REASON"), map(_rejected_row, found[:limit]), fold=True)
    else:
        print_table(("QUALITY", "ID", "PLATFORM", "PUBLISHED", "TITLE"), map(_row, found[:limit]))
    if len(found) > limit:
        say(f"and {len(found) - limit} more (--limit, --json)")


def _only_category(project: "Project") -> str:
    from overnight.app.records import known_categories

    names = known_categories(project)
    if len(names) == 1:
        return names[0]
    if not names:
        raise UserMistake("there are no sources; add a [sources.NAME] table to overnight.toml")
    raise UserMistake(f"name a category: {', '.join(names)}")


def _row(record: dict[str, Any]) -> tuple[str, ...]:  # Any: JSON
    quality = record["quality_score"]
    published = record["published_at"]
    return (
        "-" if quality is None else f"{quality:.2f}",
        record["id"],
        record["platform"],
        "-" if published is None else published[:10],
        record["title"],
    )


def _rejected_row(line: dict[str, Any]) -> tuple[str, ...]:  # Any: JSON
    name = "-" if line["record"] is None else line["record"]["id"]
    return (line["stage"], line["source"], line["where"], name, line["reason"])


def _show(ctx: typer.Context, record_id: IdArgument, category: CategoryOption = None, as_json: Json = False) -> None:
    """Show all that is known of a record."""
    from overnight.app.records import find_record

    with place_of(ctx).open() as project:
        known = find_record(project, record_id, category)
    record = known.record
    if as_json:
        print_json({**_known_json(known), "record": record})
        return
    say(f"{record['title']}", style="bold")
    if known.reason is not None:
        say(f"  set aside: {known.stage}: {known.reason}", style="yellow")
    quality = record["quality_score"]
    facts = {
        "id": record["id"],
        "category": known.category,
        "snapshot": known.snapshot.snapshot_id[:SHOWN_DIGITS],
        "quality": NOT_MEASURED if quality is None else f"{quality:.2f}/10 (`overnight data explain {record['id']}`)",
        **{name: record[name] for name in ("source", "platform", "region", "source_url", "published_at")},
        "harvested_at": record["harvested_at"],
        **record["engagement"],
        **record["metadata"],
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        text = "-" if value is None else value if isinstance(value, str) else compact(value)
        say(f"  {name:<{width}}  {text}")


def _known_json(known: "Known") -> dict[str, Any]:  # Any: JSON
    return {
        "category": known.category,
        "snapshot": known.snapshot.snapshot_id,
        "stage": known.stage,
        "reason": known.reason,
    }


def _explain(ctx: typer.Context, record_id: IdArgument, category: CategoryOption = None, as_json: Json = False) -> None:
    """Show how a record's quality came about.

    Each term with what it gave, what was left out and why, and the scale.
    """
    from overnight.app.records import explain, facts_of, find_record

    with place_of(ctx).open() as project:
        known = find_record(project, record_id, category)
        quality = explain(project, known)
    if as_json:
        stored = known.record["quality_score"]
        about = {"id": known.record["id"], "stored_quality": stored, "quality": _quality_json(quality)}
        print_json({**_known_json(known), **about})
        return
    say(f"{known.record['title']}  ({known.record['id']}, {known.category})", style="bold")
    if quality is None:
        say(
            f"  quality {NOT_MEASURED}: no formula is known for category {known.category!r}; a project can give its own"
        )
        say(f"  (categories.{known.category}.scorer)")
        return
    as_of = facts_of(known).as_of_for(known.record).date().isoformat()
    rows = [_part_row(part) for part in quality.parts]
    print_table(("TERM", "GAVE", "OF", "FORMULA"), rows, fold=True)
    if quality.quality is None:
        say(f"  quality {NOT_MEASURED}: source {known.record['source']!r} has none of the fields")
        return
    scale = f"{quality.value:.3f} of {quality.reach:g}, x 10 / {quality.reach:g}"
    say(f"quality {quality.quality:.2f} of 10 = {scale}; recency counts from {as_of}")
    stored = known.record["quality_score"]
    if stored is not None and abs(stored - quality.quality) > 0.001:
        say(f"the snapshot says {stored:.2f}: it was made with another formula", style="yellow")
    absent = [f"{part.name} ({', '.join(part.needs)})" for part in quality.parts if part.value is None]
    if absent:
        say(f"left out, because source {known.record['source']!r} has no such field: {'; '.join(absent)}")
    if known.reason is not None:
        say(f"set aside: {known.stage}: {known.reason}", style="yellow")


def _part_row(part: "Part") -> tuple[str, ...]:
    gave = "left out" if part.value is None else f"{part.value:.3f}"
    why = " (missing in this record)" if part.missing else ""
    return (part.name, gave, "-" if part.value is None else f"{part.reach:g}", part.formula + why)


def _quality_json(quality: "Quality | None") -> dict[str, Any] | None:  # Any: JSON
    if quality is None:
        return None
    terms = [
        {
            "term": part.name,
            "formula": part.formula,
            "needs": list(part.needs),
            "value": part.value,
            "reach": part.reach,
            "missing": part.missing,
        }
        for part in quality.parts
    ]
    return {"quality": quality.quality, "value": quality.value, "reach": quality.reach, "terms": terms}
