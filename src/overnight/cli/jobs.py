"""`overnight jobs`: trainings of models, submitted, listed, watched, cancelled."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from overnight.base.errors import UserMistake
from overnight.base.jobs import DEFAULT_EPOCHS, DEFAULT_INTERVAL
from overnight.base.zones import zone_of
from overnight.cli.pairs import settings_of
from overnight.cli.place import place_of
from overnight.cli.printing import note, print_json, print_table, say, short_moment, span

if TYPE_CHECKING:
    from overnight.app.job_status import JobStatus
    from overnight.app.project import Project
    from overnight.base.refs import Bump

JobArgument = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight jobs submit nlu --data intents.jsonl --epochs 20",
        help="Trainings of models: submit, place, list, watch, cancel.",
    )
    group.command("submit", epilog="Example: overnight jobs submit nlu --data intents.jsonl --epochs 20")(_submit)
    group.command("place", epilog="Example: overnight jobs place nlu --data intents.jsonl --explain")(_place)
    group.command("list", epilog="Example: overnight jobs list --model-type nlu")(_list)
    group.command("watch", epilog="Example: overnight jobs watch nlu-1a2b3c4d")(_watch)
    group.command("cancel", epilog="Example: overnight jobs cancel nlu-1a2b3c4d")(_cancel)
    app.add_typer(group, name="jobs")


def _submit(
    ctx: typer.Context,
    model_type: Annotated[str, typer.Argument(metavar="TYPE", help="nlu, voice, vision, embedding or your own.")],
    *,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Experiences: JSON lines, or a JSON list; - for stdin. Without it, those of the buffer.",
        ),
    ] = None,
    snapshot: Annotated[
        str | None, typer.Option(metavar="ID", help="A snapshot that an earlier job was trained on, instead of --data.")
    ] = None,
    job_id: Annotated[
        str | None, typer.Option("--id", metavar="JOB", help="The job's id; the same id is one job.")
    ] = None,
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs to train.")] = DEFAULT_EPOCHS,
    priority: Annotated[
        str | None, typer.Option(metavar="P", help="CRITICAL, HIGH, NORMAL or LOW; without it, the model type's.")
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option(metavar="N", help="Epochs between checkpoints; 0 means none.")
    ] = DEFAULT_INTERVAL,
    memory_gb: Annotated[float | None, typer.Option(metavar="GB", help="Gigabytes of memory that it may take.")] = None,
    gpus: Annotated[int | None, typer.Option(metavar="N", help="GPUs that it needs.")] = None,
    gpu_memory_gb: Annotated[
        float | None, typer.Option(metavar="GB", help="Gigabytes of each GPU; without it, it has them for itself.")
    ] = None,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A setting of the trainer; may be repeated.")
    ] = None,
    bump: Annotated[
        str | None,
        typer.Option(metavar="PART", help="major, minor or patch of the version goes up; without it, as what changed."),
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(metavar="NAME", help="A strategy, or learned: whichever executes such trainings.")
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until it has ended.")] = False,
    as_json: Json = False,
) -> None:
    """Train a model.

    The daemon trains it; where none is up, this command does, and Ctrl-C leaves it in the queue, at its place.
    """
    from overnight.app import jobs
    from overnight.cli.job_view import see_through

    experiences = None if data is None else _experiences(data)
    with place_of(ctx).open() as project:
        status = jobs.submit_training(
            project,
            model_type,
            experiences,
            snapshot=snapshot,
            job_id=job_id,
            epochs=epochs,
            priority=priority,
            checkpoint_interval=checkpoint_every,
            memory_gb=memory_gb,
            gpus=gpus,
            gpu_memory_gb=gpu_memory_gb,
            settings=settings_of(setting, "learning_rate=0.01"),
            bump=cast("Bump | None", bump),
            strategy=strategy,
        )
        if not as_json:
            _say_submitted(project, status)
        ended, code = see_through(project, status.job_id, wait=wait, quiet=as_json)
        if as_json:
            print_json(job_json(ended))
    raise typer.Exit(code)


def _place(
    ctx: typer.Context,
    model_type: Annotated[str, typer.Argument(metavar="TYPE", help="nlu, voice, vision, embedding or your own.")],
    *,
    data: Annotated[
        Path, typer.Option("--data", metavar="FILE", help="Experiences: JSON lines, or a JSON list; - for stdin.")
    ],
    epochs: Annotated[int, typer.Option(metavar="N", help="Epochs to train.")] = DEFAULT_EPOCHS,
    memory_gb: Annotated[float | None, typer.Option(metavar="GB", help="Gigabytes of memory that it may take.")] = None,
    gpus: Annotated[int | None, typer.Option(metavar="N", help="GPUs that it needs.")] = None,
    gpu_memory_gb: Annotated[
        float | None, typer.Option(metavar="GB", help="Gigabytes of each GPU; without it, it has them for itself.")
    ] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Say what speaks for and against each place.")] = False,
    as_json: Json = False,
) -> None:
    """Say where such a job would train now.

    Nothing is submitted. Exit code 1 if no place can take it.
    """
    from dataclasses import asdict

    from overnight.app import jobs

    experiences = _experiences(data)
    with place_of(ctx).open() as project:
        placed = jobs.place_training(
            project,
            model_type,
            experiences,
            epochs=epochs,
            memory_gb=memory_gb,
            gpus=gpus,
            gpu_memory_gb=gpu_memory_gb,
        )
    if as_json:
        print_json(asdict(placed))
    else:
        say(f"{placed.pool or 'nowhere'}: {placed.reason}")
        for one in placed.considered if explain else ():
            say(f"  {one.name}: {'can take it' if one.fits else 'cannot take it'}")
            for reason in one.reasons:
                say(f"    {reason}")
    raise typer.Exit(0 if placed.pool is not None else 1)


def _say_submitted(project: "Project", status: "JobStatus") -> None:
    from overnight.app.job_status import expectation

    say(f"job {status.job_id}: {status.items} experiences, {status.total_epochs} epochs, priority {status.priority}")
    if status.placed is not None:
        say(f"  trains in {status.pool}: {status.placed}")
    if status.strategy is not None:
        say(f"  strategy {status.strategy}")
    found = expectation(project, status.job_id)
    for name, unit in (("seconds", "takes about"), ("memory_gb", "needs about")):
        if found[name] is not None:
            value, error = found[name]["value"], found[name]["error_share"]
            shown = span(value) if name == "seconds" else f"{value:.3g} GB of memory"
            say(f"  {unit} {shown} (earlier jobs were missed by {error:.0%})")


def _experiences(path: Path) -> list[Any]:
    """Return what is in the file: a JSON list, an object with `experiences`, or an object a line.

    Raises:
        UserMistake: it cannot be read, or is none of these; the message names the line.
    """
    name = "stdin" if str(path) == "-" else str(path)
    try:
        text = sys.stdin.read() if str(path) == "-" else path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise UserMistake(f"--data: {name} cannot be read: {reason}") from error
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return _lines(name, text)
    if isinstance(found, dict) and isinstance(found.get("experiences"), list):
        return list(found["experiences"])
    return list(found) if isinstance(found, list) else [found]


def _lines(name: str, text: str) -> list[Any]:
    found = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise UserMistake(f"--data: {name}, line {number} is not JSON: {error}") from error
    return found


def _list(
    ctx: typer.Context,
    model_type: Annotated[str | None, typer.Option(metavar="TYPE", help="Only jobs of this model type.")] = None,
    limit: Annotated[int, typer.Option(metavar="N", min=1, help="How many, the newest first.")] = 20,
    as_json: Json = False,
) -> None:
    """List the newest jobs, the newest first."""
    with place_of(ctx).open() as project:
        found = project.jobs(limit=limit, model_type=model_type)
        zone = zone_of(project.config)
    if as_json:
        print_json([job_json(status) for status in found])
        return
    if not found:
        say("no jobs" if model_type else "no jobs yet; `overnight jobs submit TYPE --data FILE` makes one")
        return
    rows = [
        (
            status.job_id,
            status.status,
            status.priority,
            status.pool,
            f"{status.epoch}/{status.total_epochs}",
            "" if status.loss is None else f"{status.loss:.4g}",
            "" if status.val_metric is None else f"{status.metric} {status.val_metric:.4g}",
            short_moment(round(status.submitted_at.timestamp() * 1e6), zone),
            status.error or status.waiting or status.model_version or "",
        )
        for status in found
    ]
    print_table(("JOB", "STATUS", "PRIORITY", "POOL", "EPOCH", "LOSS", "VALIDATION", "SUBMITTED", ""), rows)


def _watch(ctx: typer.Context, job_id: JobArgument) -> None:
    """Follow a job until it ends: bar, loss and chart.

    Exit code 0 if it completed. Ctrl-C ends the watching, not the job.
    """
    from overnight.cli.job_view import follow

    with place_of(ctx).open() as project:
        status = project.job(job_id)
        if not status.ended and not project.is_worked_on and not project.database.dialect.shared:
            note("nobody works on this project; `overnight up` or `overnight run` does")
        status = follow(project, job_id)
    raise typer.Exit(0 if status.status == "completed" else 1)


def _cancel(ctx: typer.Context, job_id: JobArgument) -> None:
    """End a job, queued or running; its checkpoints stay."""
    with place_of(ctx).open() as project:
        status = project.cancel_job(job_id)
    say(f"job {job_id} is {status.status}{'' if status.ended else ': its trainer was asked to stop'}")


def job_json(status: "JobStatus") -> dict[str, Any]:
    """Return the status as JSON-able values."""
    from dataclasses import asdict
    from datetime import datetime

    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(status).items()}
