"""`overnight schedule`, `backfill` and `review`: what comes, what is made up for, what waits for a person."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from zoneinfo import ZoneInfo

import typer

from overnight.base.errors import UserMistake
from overnight.base.instants import US, from_datetime, to_datetime
from overnight.base.zones import zone_of
from overnight.cli.place import number, place_of
from overnight.cli.printing import note, print_json, print_table, say, short_moment

if TYPE_CHECKING:
    from overnight.app.project import Project

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FIRINGS = 10
MOST_SHOWN = 100
YES, NO = ("approve", "yes"), ("reject", "no")


def add_to(app: typer.Typer) -> None:
    """Add the groups and the command."""
    group = typer.Typer(
        no_args_is_help=True, epilog="Example: overnight schedule next --hours 48", help="When tasks fire."
    )
    group.command("next", epilog="Example: overnight schedule next --hours 48")(_next)
    group.command("check", epilog='Example: overnight schedule check "0 */4 * * *" --tz Europe/Berlin')(_check)
    app.add_typer(group, name="schedule")
    app.command("backfill", epilog="Example: overnight backfill report --from 2026-11-01 --to 2026-11-08")(_backfill)
    review = typer.Typer(no_args_is_help=True, epilog="Example: overnight review list", help="What waits for a person.")
    review.command("list", epilog="Example: overnight review list")(_review)
    review.command("approve", epilog="Example: overnight review approve 3")(_approve)
    review.command("reject", epilog="Example: overnight review reject 3")(_reject)
    app.add_typer(review, name="review")


def _next(
    ctx: typer.Context,
    hours: Annotated[float, typer.Option(min=0.0, max=24 * 366, metavar="H", help="How far to look ahead.")] = 24.0,
    as_json: Json = False,
) -> None:
    """List the firings to come.

    Of a task that fires often, the first ones are shown.
    """
    from overnight.app import schedule

    with place_of(ctx).open() as project:
        until_us = project.clock.now_us() + int(hours * 3600 * US)
        coming = schedule.coming(project, until_us, most=FIRINGS)
        zone = zone_of(project.config)
    firings = sorted((at_us, name) for name, instants in coming.items() for at_us in instants[:FIRINGS])
    often = [name for name, instants in coming.items() if len(instants) > FIRINGS]
    if as_json:
        print_json(
            {
                "firings": [{"at": _local(at_us, zone).isoformat(), "task_id": name} for at_us, name in firings],
                "more_follow": sorted(often),
            }
        )
        return
    if not firings:
        say(f"nothing fires in the next {hours:g} hours; `overnight tasks list` shows what starts each task")
        return
    print_table(("AT", "TASK"), [(short_moment(at_us, zone), name) for at_us, name in firings[:MOST_SHOWN]])
    for name in sorted(often):
        say(f"of {name} only the first {FIRINGS} are shown")


def _local(at_us: int, zone: Any) -> datetime:  # Any: tzinfo
    return to_datetime(at_us).astimezone(zone)


def _check(
    line: Annotated[str, typer.Argument(metavar="LINE", help="Minute, hour, day of month, month, day of week.")],
    tz: Annotated[str, typer.Option("--tz", metavar="ZONE", help="Its time zone.")] = "UTC",
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="Count from here (ISO 8601) instead of now.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check a cron line and show its next ten firings.

    Where clocks change between two of them, that is marked. A fixed local time fires once per civil day.
    """
    from overnight.base.clock import SystemClock
    from overnight.engine.cron import next_after, parse_cron

    cron = parse_cron(line, tz)
    zone = ZoneInfo(tz)
    at_us: int | None = SystemClock().now_us() if start is None else instant(start, zone, "--from")
    before = _local(at_us or 0, zone).utcoffset()
    found = []
    for _ in range(FIRINGS):
        at_us = next_after(cron, at_us or 0)
        if at_us is None:
            break
        at = _local(at_us, zone)
        found.append({"at": at.isoformat(timespec="minutes"), "clocks_changed": at.utcoffset() != before})
        before = at.utcoffset()
    if as_json:
        print_json({"schedule": line, "timezone": tz, "fixed": cron.fixed, "firings": found})
        return
    rule = "times of the civil day: once per day" if cron.fixed else "elapsed time: at every matching minute"
    say(f"{line}  ({tz}; {rule})")
    for firing in found:
        say(f"  {firing['at']}{'  clocks have changed' if firing['clocks_changed'] else ''}")


def instant(text: str, zone: Any, name: str) -> int:  # Any: tzinfo
    """Return the instant of an ISO 8601 text, local to the zone where it has no offset.

    Raises:
        UserMistake: it is something else.
    """
    try:
        at = datetime.fromisoformat(text)
        return from_datetime(at if at.tzinfo else at.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        raise UserMistake(
            f'{name}: {text!r} is not a date; write ISO 8601, such as "2026-11-01" or "2026-11-01T06:00"'
        ) from None


def _backfill(
    ctx: typer.Context,
    *,
    task: Annotated[str, typer.Argument(metavar="TASK", help="A task with a trigger.")],
    start: Annotated[str, typer.Option("--from", metavar="DATE", help="The first instant (ISO 8601), included.")],
    end: Annotated[
        str | None, typer.Option("--to", metavar="DATE", help="The end, not included; now, if not given.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show which instants there are.")] = False,
    as_json: Json = False,
) -> None:
    """Run a task for instants of the past, each once.

    Those that ran already do not run again. The runs queue behind what is in the queue; dependants follow. A function
    learns its instant as ctx.scheduled.
    """
    from overnight.app import schedule

    with place_of(ctx).open() as project:
        zone = zone_of(project.config)
        from_us = instant(start, zone, "--from")
        to_us = project.clock.now_us() if end is None else instant(end, zone, "--to")
        if dry_run:
            instants = schedule.instants(project, task, from_us, to_us)
            _show_instants(instants, zone, as_json=as_json)
            return
        made = project.backfill(task, from_us, to_us)
        works = project.is_worked_on or project.database.dialect.shared
    if as_json:
        print_json({"task_id": task, "run_ids": list(made.run_ids), "known": made.known})
        return
    again = f"; {made.known} had a run already" if made.known else ""
    say(f"{len(made.run_ids)} of {len(made.instants)} instants of {task} are in the queue{again}")
    if made.run_ids and not works:
        say("  overnight up     start the daemon, which works them off")


def _show_instants(instants: tuple[int, ...], zone: Any, *, as_json: bool) -> None:  # Any: tzinfo
    if as_json:
        print_json([_local(at_us, zone).isoformat() for at_us in instants])
        return
    for at_us in instants[:MOST_SHOWN]:
        say(short_moment(at_us, zone))
    rest = len(instants) - MOST_SHOWN
    say(f"{len(instants)} instants" + (f", of which {rest} are not shown" if rest > 0 else ""))


def _review(ctx: typer.Context, as_json: Json = False) -> None:
    """List everything that waits for a person.

    That is: questions of flows, and tasks that are paused.
    """
    from overnight.base.instants import iso
    from overnight.engine import pausing

    with place_of(ctx).open() as project:
        questions = project.questions()
        with project.database.read() as connection:
            paused = pausing.pauses(connection)
        zone = zone_of(project.config)
    if as_json:
        asked = [
            {
                "kind": "question",
                "id": q.question_id,
                "run_id": q.run_id,
                "prompt": q.prompt,
                "choices": list(q.choices),
            }
            | {"since": iso(q.asked_us)}
            for q in questions
        ]
        stopped = [
            {"kind": "paused", "task_id": one.task_id, "why": one.why, "since": iso(one.since_us)} for one in paused
        ]
        print_json([*asked, *stopped])
        return
    if not questions and not paused:
        say("nothing waits for you")
        return
    rows = [
        (str(q.question_id), f"run {q.run_id}", short_moment(q.asked_us, zone), f"{q.prompt} ({'|'.join(q.choices)})")
        for q in questions
    ]
    rows += [("-", one.task_id, short_moment(one.since_us, zone), f"paused: {one.why}") for one in paused]
    print_table(("REVIEW", "OF", "SINCE", "WHAT"), rows, fold=True)
    if questions:
        say("overnight review approve N, review reject N, or: overnight answer N CHOICE")
    if paused:
        say("overnight tasks resume NAME")


QuestionArgument = Annotated[int, typer.Argument(metavar="N", parser=number, help="Its number in the list.")]


def _approve(ctx: typer.Context, question_id: QuestionArgument) -> None:
    """Answer a question with approve (or yes)."""
    with place_of(ctx).open() as project:
        _answer(project, question_id, YES)


def _reject(ctx: typer.Context, question_id: QuestionArgument) -> None:
    """Answer a question with reject (or no)."""
    with place_of(ctx).open() as project:
        _answer(project, question_id, NO)


def _answer(project: "Project", question_id: int, words: tuple[str, ...]) -> None:
    question = next((one for one in project.questions() if one.question_id == question_id), None)
    choices = words[:1] if question is None else question.choices
    choice = next((word for word in words if word in choices), None)
    if choice is None:
        raise UserMistake(
            f"question {question_id} has neither {' nor '.join(words)} among its choices ({', '.join(choices)}); "
            f"`overnight answer {question_id} CHOICE`"
        )
    project.answer(question_id, choice)
    say(f"question {question_id} is answered: {choice}")
    if not project.is_worked_on:
        note("nobody works on the project; `overnight up` lets the flow go on")
