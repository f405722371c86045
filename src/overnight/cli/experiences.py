"""`overnight experiences`: what has come in to be trained on, and what was refused."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from overnight.base.errors import UnfitExperiences, UserMistake
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, print_table, say


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight experiences list",
        help="Experiences to train on: list what there is, add some.",
    )
    group.command("list", epilog="Example: overnight experiences list --json")(_list)
    group.command("add", epilog="Example: overnight experiences add experiences_intent_20261126.json")(_add)
    app.add_typer(group, name="experiences")


def _list(
    ctx: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what has come in.

    Of each model type: what is unused, too poor and used, and why no job took it yet. Then the files that were refused.
    """
    from overnight.app.intake import folder_of
    from overnight.app.triggers import verdict_on
    from overnight.data.inbox import refused, waiting

    with place_of(ctx).open() as project:
        found = [(one, verdict_on(project, one.model_type).why) for one in project.experience_buffer()]
        folder = folder_of(project.config)
    failed, left = refused(folder), waiting(folder)
    if as_json:
        print_json(
            {
                "model_types": [{**vars(one), "training": why} for one, why in found],
                "waiting": left.batches,
                "not_read": left.others,
                "failed": [vars(one) for one in failed],
            }
        )
        return
    if not found:
        say(f"no experiences yet; send some to POST /api/experiences, or put files into {folder}")
    else:
        rows = [(one.model_type, str(one.unused), str(one.below), str(one.used), why) for one, why in found]
        print_table(("MODEL TYPE", "UNUSED", "TOO POOR", "USED", "TRAINING"), rows)
    for one in failed:
        say(f"failed/{one.name}: {one.reason}")
    if left.batches:
        say(f"{len(left.batches)} files wait to be read")
    if left.others:
        note(f"not read, because they are not called experiences_TYPE_STAMP.json: {', '.join(left.others)}")


def _add(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A batch, as the watched folder takes it.")],
) -> None:
    """Take a batch from a file, which stays where it is."""
    from overnight.app.intake import add
    from overnight.data.batches import batch_of

    with place_of(ctx).open() as project:
        try:
            added = add(project, batch_of(_json_in(file), named=False))
        except UnfitExperiences as error:
            for detail in error.details:
                note(detail)
            raise
    say(f"batch {added.batch_id}: {added.accepted} new, {added.duplicates} there before; buffer: {added.buffer_size}")
    if added.job_id is not None:
        say(f"job {added.job_id} was submitted: overnight jobs watch {added.job_id}")


def _json_in(file: Path) -> Any:  # Any: JSON
    try:
        return json.loads(file.read_bytes())
    except OSError as error:
        raise UserMistake(f"{file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserMistake(f"{file} is not JSON: {error}") from error
