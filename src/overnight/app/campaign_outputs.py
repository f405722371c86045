"""What comes of a campaign: its data sets, its report, and the samples that a person leafs through."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import fields
from pathlib import Path
from typing import Any

from overnight.app.project import Project
from overnight.base.errors import UnknownName, UserMistake
from overnight.base.files import replace_file
from overnight.campaigns import ledger, reading, record
from overnight.campaigns.figures import by_chance
from overnight.campaigns.gate import Check, Decision, Estimate, Verdict
from overnight.campaigns.generators.loading import LLM, REPLAY
from overnight.campaigns.orders import Campaign
from overnight.campaigns.record import Stand
from overnight.flows.campaign import export as campaign_export
from overnight.flows.campaign.export import Output
from overnight.flows.campaign.then import DATASETS
from overnight.reports import campaign as report
from overnight.reports import campaign_page
from overnight.reports.campaign import CampaignReport, Forced, Spending

Json = dict[str, Any]
BY_CHANCE = "by chance, computed"
"""What coverage by random choice is called: it is expected from what was accepted of each cell, and not measured."""


def folder_of(project: Project, name: str) -> Path:
    """Return where the data sets of a campaign are."""
    return project.state_dir / "campaigns" / name / DATASETS


def export(
    project: Project, name: str, outputs: Sequence[Output], *, form: str = campaign_export.FORMAT, seed: int = 1
) -> list[Json]:
    """Write data sets of the accepted samples and return their manifests; see `flows.campaign.export.export`."""
    return campaign_export.export(project.database, name, outputs, form=form, seed=seed)


def stand_of(project: Project, name: str) -> Stand:
    """Return the campaign as the database has it.

    Raises:
        UnknownName: it was never begun.
    """
    with project.database.read() as connection:
        stand = record.find(connection, name)
    if stand is None:
        raise UnknownName(f"campaign {name!r} was never begun: `overnight campaign auto {name}` begins it")
    return stand


def report_of(project: Project, name: str, wishes: Mapping[str, Any]) -> CampaignReport:
    """Return what the report of a campaign tells. `wishes` are the settings that its newest run had of its own."""
    stand = stand_of(project, name)
    plan, _, _ = project.campaigns.plan(name, wishes)
    if plan.external is not None:
        raise UserMistake(
            f"a program of its own makes the samples of {name!r}; `overnight campaign status` says what it told"
        )
    now_us = project.clock.now_us()
    with project.database.read() as connection:
        figures = reading.figures_of(
            connection,
            stand.campaign_id,
            target=plan.target,
            allocations={one.name: one.target for one in plan.domains},
            now_us=now_us,
        )
        verdict = record.verdict_of(connection, stand.campaign_id)
        launches = record.launches_of(connection, stand.campaign_id)
        registered = reading.registered(connection, stand.campaign_id)
        cells = [(one.domain, one.judged, one.accepted) for one in ledger.counts(connection, stand.campaign_id)]
    ended = stand.phase is not None and stand.phase.ended
    return CampaignReport(
        name=name,
        phase="never begun" if stand.phase is None else str(stand.phase).replace("_", " "),
        at_us=now_us,
        figures=figures,
        started_us=stand.created_us,
        ended_us=figures.last_us if ended else None,
        registered=registered,
        verdicts=[] if verdict is None else [_verdict(verdict)],
        forced=[Forced(user=one.by, reason=one.forced, at_us=one.at_us) for one in launches if one.forced is not None],
        spending=_spending(plan),
        curves={BY_CHANCE: by_chance(cells)} if plan.active and cells else {},
        nothing_is_bought=plan.external is None and not any(one.generator == LLM for one in plan.domains),
    )


def _spending(plan: Campaign) -> Spending | None:
    """Return what the language models of a campaign have cost; None where nobody has measured it."""
    path = Path(plan.folder) / REPLAY
    if not path.exists():
        return None
    from overnight.llm.replay import Replay

    with closing(Replay(path)) as replay:
        spent = replay.purse().spent
    return Spending(tokens=spent.tokens, usd=spent.usd)


def _verdict(told: Mapping[str, Any]) -> Verdict:
    estimate = told["quality"]
    return Verdict(
        decision=Decision(told["decision"]),
        version=told["version"],
        checks=tuple(Check(**{item.name: one[item.name] for item in fields(Check)}) for one in told["checks"]),
        quality=None if estimate is None else Estimate(**estimate),
    )


def write_report(project: Project, name: str, wishes: Mapping[str, Any]) -> tuple[str, Path]:
    """Write the report beside the campaign's files, as text and as a page; return the text and where the page is."""
    told = report_of(project, name, wishes)
    folder = project.state_dir / "campaigns" / name
    text = report.text(told)
    replace_file(folder / "report.txt", text)
    replace_file(folder / "report.html", campaign_page.html(told))
    return text, folder / "report.html"
