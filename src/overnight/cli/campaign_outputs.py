"""`overnight campaign export`, `report` and `inspect`: what came of a campaign."""

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from overnight.base.errors import UserMistake
from overnight.cli.campaign_options import Name
from overnight.cli.place import place_of
from overnight.cli.printing import console, print_json, say

if TYPE_CHECKING:
    from overnight.flows.campaign.export import Output


def add_to(group: typer.Typer) -> None:
    """Add the commands to the group of campaigns."""
    group.command("export", epilog="Example: overnight campaign export code --output code_24k=python_bugs")(_export)
    group.command("report", epilog="Example: overnight campaign report code --open")(_report)
    group.command("inspect", epilog="Example: overnight campaign inspect code --reason refused")(_inspect)


def _export(
    ctx: typer.Context,
    name: Name = None,
    *,
    form: Annotated[
        str,
        typer.Option("--format", metavar="FORMAT", help="chatml, qwen, llama3, alpaca, sharegpt or openai."),
    ] = "chatml",
    output: Annotated[
        list[str] | None,
        typer.Option(
            "--output",
            metavar="DIR | NAME=DOMAIN,...",
            help="A folder for all samples, or a name below datasets/ for those of some domains; may be repeated.",
        ),
    ] = None,
    output_name: Annotated[
        str | None, typer.Option("--output-name", metavar="NAME", help="Name below datasets/, where no --output is.")
    ] = None,
    seed: Annotated[int, typer.Option(metavar="N", help="What the parts are drawn from.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print the manifests as JSON.")] = False,
) -> None:
    """Write the accepted samples as data sets for fine-tuning.

    Each folder has train, val and test (80, 10 and 10 percent; what is of one text, or alike, stays together)
    as JSON lines and as Parquet, a card and a manifest with hashes.
    """
    from overnight.app import campaign_outputs, campaigns
    from overnight.flows.campaign.export import Output

    with place_of(ctx).open() as project:
        found = campaigns.name_of(project, name)
        folder = campaign_outputs.folder_of(project, found)
        plain = folder / (output_name or f"full_campaign_{campaigns.status(project, found)['target']}")
        outputs = [_output(text, folder) for text in output or ()] or [Output(folder=plain)]
        manifests = campaign_outputs.export(project, found, outputs, form=form, seed=seed)
    if as_json:
        print_json(manifests)
        return
    for one in manifests:
        rows = ", ".join(f"{count:,} {part}" for part, count in one["rows"].items())
        say(f"{one['folder']}: {rows} ({one['format']})")
        for reason, count in one["left_out"].items():
            say(f"  left out: {count:,}, {reason}")


def _output(text: str, folder: Path) -> "Output":
    from overnight.flows.campaign.export import Output

    name, given, domains = text.partition("=")
    if not given:
        return Output(folder=Path(text))
    named = tuple(domain.strip() for domain in domains.split(",") if domain.strip())
    if not name or "/" in name or name.startswith(".") or not named:
        raise UserMistake(f"--output: {text!r} is neither a folder nor NAME=DOMAIN,DOMAIN")
    return Output(folder=folder / name, domains=named)


def _report(
    ctx: typer.Context,
    name: Name = None,
    *,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Show the report of a campaign, and write it as a page too.

    Text and page are written beside the campaign's files.
    """
    import webbrowser

    from overnight.app import campaign_outputs, campaigns

    with place_of(ctx).open() as project:
        found = campaigns.name_of(project, name)
        text, page = campaign_outputs.write_report(project, found, campaigns.last_wish(project, found)["settings"])
    if not open_page:
        say(text.rstrip("\n"))
        say(f"\npage: {page}")
    elif not webbrowser.open(page.resolve().as_uri()):
        say(page.resolve().as_uri())


def _inspect(
    ctx: typer.Context,
    name: Name = None,
    *,
    domain: Annotated[str | None, typer.Option(metavar="DOMAIN", help="Samples of this domain alone.")] = None,
    reason: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Those alone that are accepted, refused, or were refused for this reason."),
    ] = None,
) -> None:
    """Leaf through the samples, accepted and refused ones.

    Without a terminal, the first page is printed.
    """
    from overnight.app import campaign_outputs, campaigns
    from overnight.campaigns import reading
    from overnight.campaigns.figures import Sample
    from overnight.cli.campaign_view import Pages, browse, keys

    with place_of(ctx).open() as project:
        stand = campaign_outputs.stand_of(project, campaigns.name_of(project, name))
        with project.database.read() as connection:
            domains, reasons = reading.choices(connection, stand.campaign_id)

        def read(*, domain: str | None, reason: str | None, after: str | None, limit: int) -> list[Sample]:
            with project.database.read() as connection:
                of_page = partial(reading.samples_page, connection, stand.campaign_id)
                return of_page(domain=domain, reason=reason, after=after, limit=limit)

        with keys() as read_key:
            browse(
                Pages(read=read, domains=domains, reasons=reasons), console(), read_key, domain=domain, reason=reason
            )
