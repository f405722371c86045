"""`overnight models`: versions of models, where they came from, which served; tags, archives, what may go."""

from collections.abc import Mapping
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overnight.base.zones import zone_of
from overnight.cli.place import place_of
from overnight.cli.printing import amount, compact, moment, print_json, print_table, say, short_moment
from overnight.registry.versions import size_of

if TYPE_CHECKING:
    from overnight.app.models import Model
    from overnight.registry.versions import Version

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelArgument = Annotated[str, typer.Argument(metavar="MODEL", help="A model_type or an agent's name.")]
_WHICH = "A number (v1.2.3), a tag, champion, previous or newest."
VersionArgument = Annotated[str, typer.Argument(metavar="VERSION", help=_WHICH)]
FirstArgument = Annotated[str, typer.Argument(metavar="A", help=_WHICH)]
SecondArgument = Annotated[str, typer.Argument(metavar="B", help=_WHICH)]
SHOWN_DIGITS = 12
"""Digits of a digest that people see."""
NOT_RECORDED = "not recorded"


def add_to(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(
        no_args_is_help=True,
        epilog="Example: overnight models show nlu champion",
        help="Versions of models: look, compare, tag, carry.",
    )
    group.command("list", epilog="Example: overnight models list nlu")(_list)
    group.command("show", epilog="Example: overnight models show nlu v1.0.1")(_show)
    group.command("diff", epilog="Example: overnight models diff nlu previous champion")(_diff)
    group.command("history", epilog="Example: overnight models history nlu")(_history)
    group.command("tag", epilog="Example: overnight models tag nlu v1.0.1 stable")(_tag)
    group.command("export", epilog="Example: overnight models export nlu champion nlu.tar")(_export)
    group.command("import", epilog="Example: overnight models import nlu.tar")(_import)
    group.command("gc", epilog="Example: overnight models gc --dry-run")(_gc)
    app.add_typer(group, name="models")


def _list(
    ctx: typer.Context,
    model: Annotated[
        str | None, typer.Argument(metavar="[MODEL]", help="Its versions; without it, all models.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the models, or the versions of one, newest first."""
    from overnight.app.models import model_json

    with place_of(ctx).open() as project:
        found = project.models() if model is None else [project.model(model)]
        zone = zone_of(project.config)
    if as_json:
        told = [model_json(one) for one in found]
        print_json(told if model is None else told[0])
        return
    if model is not None:
        columns = ("VERSION", "CREATED", "SERVES", "MEASURED", "VERDICT", "TAGS")
        print_table(columns, [_version_row(one, found[0], zone) for one in found[0].versions])
    elif not found:
        say("no versions yet; `overnight jobs submit TYPE --data FILE` and `overnight train` make some")
    else:
        rows = [
            (
                one.model_type,
                one.serving or "-",
                one.versions[0].number,
                str(len(one.versions)),
                ", ".join(f"{tag}={number}" for tag, number in one.tags.items()),
            )
            for one in found
        ]
        print_table(("MODEL", "SERVES", "NEWEST", "VERSIONS", "TAGS"), rows)


def _version_row(version: "Version", model: "Model", zone: tzinfo) -> tuple[str, ...]:
    gone = " (artifact removed)" if version.removed_us is not None else ""
    return (
        version.number,
        short_moment(version.created_us, zone),
        "serves" if version.number == model.serving else "",
        _measured(version),
        str(version.verdict.get("decision") or "not compared"),
        ", ".join(tag for tag, number in model.tags.items() if number == version.number) + gone,
    )


def _measured(version: "Version") -> str:
    """Return the version's own figure on its held-out part, with its name."""
    name, metrics = version.metrics.get("metric"), version.metrics
    own = metrics["figures"].get("val_metric") if "figures" in metrics else None
    value = metrics.get("measured", {}).get("candidate", {}).get("value", own)
    return f"{name} {value:.4g}" if name and isinstance(value, int | float) else "not measured"


def _show(
    ctx: typer.Context,
    model: ModelArgument,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help=f"{_WHICH} Without it, the champion, or the newest.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show all that is known of a version.

    Also which run, job, snapshot and commit it can be traced to.
    """
    from overnight.app.models import version_json

    with place_of(ctx).open() as project:
        about = project.model(model)
        found = project.model_version(model, version or ("champion" if about.serving else "newest"))
        zone = zone_of(project.config)
    told = version_json(found, about)
    if as_json:
        print_json({"model_type": model, **told})
        return
    say(f"{model} {found.number}", style="bold")
    facts = {
        "created": moment(found.created_us, zone),
        "serves": "yes" if told["serves"] else "no",
        "tags": ", ".join(told["tags"]) or "-",
        "parent": told["parent"] or "-",
        "trained by": _trained_by(told),
        "snapshot": told["snapshot"],
        "code": _code(told["code"]),
        **{f"signature {name}": _text(value) for name, value in told["signature"].items()},
        **{f"metric {name}": _text(value) for name, value in told["metrics"].items()},
        **{f"verdict {name}": _text(value) for name, value in told["verdict"].items()},
        "origin": "-" if told["origin"] is None else compact(told["origin"]),
    }
    width = max(map(len, facts))
    for name, value in facts.items():
        say(f"  {name:<{width}}  {value}")
    if told["artifact_removed"] is not None:
        say(f"  its artifact was removed {moment(found.removed_us, zone)} (registry.keep)", style="yellow")
    rows = [
        (about["sha256"], about.get("format") or NOT_RECORDED, amount(about["size"]), name)
        for name, about in told["files"].items()
    ]
    if rows:
        print_table(("SHA-256", "FORMAT", "SIZE", "FILE"), rows)


def _trained_by(told: Mapping[str, Any]) -> str:  # Any: JSON
    if told["run_id"] is None:
        return "another project; it was imported"
    run = f"run {told['run_id']} (overnight runs show {told['run_id']})"
    return run if told["job_id"] is None else f"{run}, job {told['job_id']}"


def _code(code: Mapping[str, Any]) -> str:  # Any: JSON
    if not code:
        return NOT_RECORDED
    commit = code.get("commit")
    changed = ", with changes that were not committed" if code.get("changed") else ""
    project = f"commit {commit}{changed}" if commit else "no commit"
    return f"overnight {code.get('overnight')}; the project: {project}"


def _text(value: Any) -> str:  # Any: JSON
    return "-" if value is None else value if isinstance(value, str) else compact(value)


def _diff(ctx: typer.Context, model: ModelArgument, a: FirstArgument, b: SecondArgument, as_json: Json = False) -> None:
    """Show what differs between two versions.

    That is signature and settings, metrics, verdicts with their intervals, code, files.
    """
    from overnight.app.models import DIFFERENT, diff

    with place_of(ctx).open() as project:
        found = diff(project.model_version(model, a), project.model_version(model, b))
    if as_json:
        print_json({"model_type": model, **found})
        return
    rows = [] if found["snapshot"] is None else [("snapshot", *(one[:SHOWN_DIGITS] for one in found["snapshot"]))]
    rows += [(f"{part} {key}", _text(was), _text(now)) for part in DIFFERENT for key, (was, now) in found[part].items()]
    rows += [(f"file {name}", *_presence(kind)) for kind, names in found["files"].items() for name in names]
    if rows:
        print_table(("WHAT", found["a"], found["b"]), rows, fold=True)
    else:
        say(f"{model} {found['a']} and {found['b']} do not differ")


def _presence(kind: str) -> tuple[str, str]:
    return {"added": ("-", "there"), "removed": ("there", "-"), "changed": ("there", "other content")}[kind]


def _history(ctx: typer.Context, model: ModelArgument, as_json: Json = False) -> None:
    """Show what has served since when, by whom and why."""
    from overnight.app.models import service_json

    with place_of(ctx).open() as project:
        found, zone = project.model(model), zone_of(project.config)
    if as_json:
        print_json([service_json(one) for one in found.history])
    elif not found.history:
        say(f"no version of {model} has served yet")
    else:
        rows = [
            (one.number, short_moment(one.since_us, zone), one.by or NOT_RECORDED, one.why) for one in found.history
        ]
        print_table(("VERSION", "SINCE", "BY", "WHY"), rows, fold=True)


def _tag(
    ctx: typer.Context,
    model: ModelArgument,
    version: VersionArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The tag.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Move it from the version that has it.")] = False,
    remove: Annotated[bool, typer.Option("--remove", help="Take it away instead.")] = False,
    as_json: Json = False,
) -> None:
    """Give a version a tag.

    It is found by it and keeps its artifact; one version of a model has it.
    """
    from overnight.app import models
    from overnight.base.settings import user

    with place_of(ctx).open() as project:
        if remove:
            found = models.untag(project, model, version, name)
        else:
            found = models.tag(project, model, version, name, by=f"overnight models tag by {user()}", force=force)
        tags = [tag for tag, number in project.model(model).tags.items() if number == found.number]
    if as_json:
        print_json({"model_type": model, "version": found.number, "tags": tags})
    else:
        say(f"{model} {found.number}: {'tagged ' + ', '.join(tags) if tags else 'no tags'}")


def _export(
    ctx: typer.Context,
    model: ModelArgument,
    version: VersionArgument,
    target: Annotated[Path, typer.Argument(metavar="TARGET", help="A new folder, or a new file that ends in .tar.")],
    as_json: Json = False,
) -> None:
    """Write a version into a folder or a tar file.

    Its files are verified before; all that is known of it goes with them.
    """
    with place_of(ctx).open() as project:
        found = project.export_model(model, version, target)
    size = size_of(found.manifest)
    if as_json:
        print_json({"model_type": model, "version": found.number, "files": len(found.manifest), "bytes": size})
    else:
        say(f"{model} {found.number}: {len(found.manifest)} files, {amount(size)}, in {target}")


def _import(
    ctx: typer.Context,
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="What `export` has written.")],
    name: Annotated[
        str | None, typer.Option("--as", metavar="MODEL", help="Take it in as a version of this model.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Take in a version of another project.

    Each file is verified. It serves nobody until somebody deploys it.
    """
    from overnight.app import carrying
    from overnight.base.settings import user

    with place_of(ctx).open() as project:
        found = carrying.import_version(project, source, by=f"overnight models import by {user()}", name=name)
    if as_json:
        print_json({"model_type": found.model, "version": found.number})
    else:
        say(f"{found.model} {found.number}: {len(found.manifest)} files; it does not serve")


def _gc(
    ctx: typer.Context,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", help="Only its versions.")] = None,
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Only this one, though it is among the newest.")
    ] = None,
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the artifacts of old versions.

    The daemon does so every hour. What serves, what served before it, what is tagged or being rolled out, and the
    newest (registry.keep) stay. What is known of a version always stays.
    """
    from overnight.app import collecting

    with place_of(ctx).open() as project:
        found = collecting.collect(project, model, version, dry_run=dry_run)
    if as_json:
        gone = [{"model_type": one.model, "version": one.number} for one in found.versions]
        print_json({"dry_run": dry_run, "versions": gone, "bytes": found.bytes})
        return
    for one in found.versions:
        say(f"{one.model} {one.number}: its artifact {'would go' if dry_run else 'is removed'}")
    if dry_run:
        say(f"{len(found.versions)} artifacts, {amount(found.bytes)} that nobody else needs")
    else:
        say(f"{len(found.versions)} artifacts, {amount(found.bytes)} set free (files younger than 1 h go later)")
