"""`overnight questions` and `overnight answer`: what flows ask people."""

from dataclasses import asdict
from typing import Annotated

import typer

from overnight.base.instants import iso
from overnight.base.zones import zone_of
from overnight.cli.place import number, place_of
from overnight.cli.printing import print_json, print_table, say, short_moment


def add_to(app: typer.Typer) -> None:
    """Add the group and the command."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight questions list",
        help="What flows have asked and nobody has answered yet.",
    )
    group.command("list", epilog="Example: overnight questions list")(_list)
    app.add_typer(group, name="questions")
    app.command("answer", epilog="Example: overnight answer 3 yes")(_answer)


def _list(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the open questions, the oldest first."""
    with place_of(ctx).open() as project:
        found = project.questions()
        zone = zone_of(project.config)
    if as_json:
        names = ("question_id", "run_id", "name", "prompt", "choices")
        print_json([{name: asdict(item)[name] for name in names} | {"asked": iso(item.asked_us)} for item in found])
        return
    if not found:
        say("no open questions")
        return
    rows = [
        (str(q.question_id), str(q.run_id), short_moment(q.asked_us, zone), "|".join(q.choices), q.prompt)
        for q in found
    ]
    print_table(("QUESTION", "RUN", "ASKED", "CHOICES", "PROMPT"), rows, fold=True)
    say("answer with: overnight answer QUESTION CHOICE")


def _answer(
    ctx: typer.Context,
    question_id: Annotated[int, typer.Argument(metavar="QUESTION", parser=number, help="The question's number.")],
    choice: Annotated[str, typer.Argument(metavar="CHOICE", help="One of its choices.")],
) -> None:
    """Answer a flow's question; the flow goes on."""
    with place_of(ctx).open() as project:
        project.answer(question_id, choice)
        say(f"question {question_id} is answered: {choice}")
        if not project.is_worked_on:
            say("  overnight run --until-idle     let the flow go on")
