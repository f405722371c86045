"""The report of a data campaign as one HTML page, with plots and samples that unfold. Pure."""

from collections.abc import Iterator
from html import escape

from overnight.campaigns.figures import Decile, Domain, Figures, Sample
from overnight.campaigns.gate import Verdict
from overnight.reports.boxes import shown, shown_lines
from overnight.reports.campaign import (
    NOTHING_REFUSED,
    CampaignReport,
    compared,
    forced_line,
    gate_lines,
    heading,
    judged_by,
    reasons_of,
    share,
    shortened,
    summary,
    term_lines,
    times,
    when,
)
from overnight.reports.markup import page, table
from overnight.reports.nightly import NOT_MEASURED
from overnight.reports.plots import COLOURS, REFUSED, curves, histogram, legend

SHOWN_CHARACTERS = 4_000
"""Of a message of a sample."""
_FAULTY = "#e3c1bd"
_STYLE = """
.APPROVED, .met { color: #11734b } .REJECTED, .unmet { color: #a3302a } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem }
.forced { background: #fbeceb; border-left: 4px solid #a3302a; padding: .5rem .8rem; margin: 1rem 0 }
.forced p { margin: .2rem 0 } svg { max-width: 100%; height: auto } .met, .unmet { white-space: nowrap }
.bar { display: flex; height: .9rem; min-width: 7rem; margin-top: .3rem; background: #f1f4f7 }
.spot { display: inline-block; width: .8rem; height: .8rem; margin: 0 .35rem 0 .9rem; vertical-align: -.1rem }
details { border: 1px solid #e6ebf0; border-radius: .4rem; margin: .4rem 0; padding: .3rem .7rem }
summary { cursor: pointer; overflow-wrap: anywhere } td { max-width: 40rem; overflow-wrap: break-word }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: #f6f8fa; padding: .5rem .7rem; margin: .2rem 0 .6rem }
"""


def html(report: CampaignReport) -> str:
    """Return the page; it needs nothing else, and runs nothing."""
    figures = report.figures
    parts = [
        f"<h1>Campaign {_safe(report.name)}</h1>",
        f"<p>{when(report.at_us)}: <b>{_safe(report.phase)}</b>, {times(report)}</p>",
        *_forced(report),
        table(("", ""), [(label, _safe(told)) for label, told in summary(report) if label != "FORCED"]),
        '<h2>Quality and coverage</h2><div class="charts">',
        _figure("Quality of the candidates judged", _histogram(figures)),
        _figure("Coverage", _curves(report)),
        "</div>",
        "<h2>Acceptance by domain</h2>",
        legend([(COLOURS[0], "accepted"), (REFUSED, "refused without a fault"), (_FAULTY, "with a fault")]),
        table(_DOMAINS, [_domain(one) for one in figures.domains], frozenset(range(1, 7))),
        "<h2>Rejection reasons</h2>",
        _reasons(figures),
        "<h2>Pilot gate</h2>",
        _listed(gate_lines(report)),
        *(part for verdict in report.verdicts for part in _verdict(report, verdict)),
        "<h2>Terms of the quality, over the pilot</h2>",
        _listed(term_lines(figures)),
        "<h2>Samples of each decile of quality</h2>",
        *(part for decile in figures.deciles for part in _decile(decile)),
        *([] if figures.deciles else [f"<p>{NOT_MEASURED}</p>"]),
    ]
    return page(f"Campaign {shown(report.name)}, {when(report.at_us)}", parts, style=_STYLE)


def _safe(told: str) -> str:
    return escape(shown(told))


def _block(told: str) -> str:
    return escape("\n".join(shown_lines(shortened(told, SHOWN_CHARACTERS))))


def _listed(lines: list[str]) -> str:
    return f"<ul>{''.join(f'<li>{_safe(line)}</li>' for line in lines)}</ul>"


def _forced(report: CampaignReport) -> Iterator[str]:
    if report.forced:
        lines = "".join(f"<p>{_safe(forced_line(one))}</p>" for one in report.forced)
        yield f'<div class="forced"><b>Launched against the gate</b>{lines}</div>'


def _figure(title: str, inside: str) -> str:
    return f"<figure><figcaption>{title}</figcaption>{inside}</figure>"


def _histogram(figures: Figures) -> str:
    if not any(figures.judged_by_quality):
        return NOT_MEASURED
    without = [f'<p class="note">without a quality: {figures.unmeasured:,}</p>'] if figures.unmeasured else []
    colours = legend([(COLOURS[0], "accepted"), (REFUSED, "refused")])
    return "".join([histogram(figures.judged_by_quality, figures.accepted_by_quality), colours, *without])


def _curves(report: CampaignReport) -> str:
    if not report.figures.judged:
        return NOT_MEASURED
    return curves({shown(name): points for name, points in compared(report) if points})


_DOMAINS = ("domain", "accepted", "of", "judged", "of judged", "of those without a fault", "skeletons", "")


def _domain(one: Domain) -> tuple[str, ...]:
    refused = one.without_a_fault - one.accepted
    parts = ((one.accepted, COLOURS[0]), (refused, REFUSED), (one.judged - one.without_a_fault, _FAULTY))
    return (
        _safe(one.name),
        f"{one.accepted:,}",
        "-" if one.allocation is None else f"{one.allocation:,}",
        f"{one.judged:,}",
        share(one.accepted, one.judged),
        share(one.accepted, one.without_a_fault),
        f"{one.skeletons:,}",
        _bar([(count / one.judged, colour) for count, colour in parts] if one.judged else []),
    )


def _bar(parts: list[tuple[float, str]]) -> str:
    made = (f'<span style="width:{100 * part:.2f}%;background:{colour}"></span>' for part, colour in parts)
    return f'<div class="bar">{"".join(made)}</div>'


def _reasons(figures: Figures) -> str:
    most = max((count for one in figures.domains for count in one.reasons.values()), default=0)
    if not most:
        return f"<p>{NOTHING_REFUSED if figures.judged else NOT_MEASURED}</p>"
    # The others of a domain together may be more than its commonest one.
    rows = [
        (
            "" if place else _safe(one.name),
            _safe(reason),
            f"{count:,}",
            share(count, one.judged),
            _bar([(min(1.0, count / most), REFUSED)]),
        )
        for one in figures.domains
        for place, (reason, count) in enumerate(reasons_of(one))
    ]
    return table(("domain", "reason", "refused", "of judged", ""), rows, frozenset({2, 3}))


def _verdict(report: CampaignReport, verdict: Verdict) -> Iterator[str]:
    yield f'<h3><span class="{verdict.decision}">{verdict.decision}</span> {_safe(judged_by(report, verdict))}</h3>'
    words = {True: '<span class="met">met</span>', False: '<span class="unmet">not met</span>'}
    not_checked = '<span class="unmet">not checked</span>'
    checked = [(words[check.met], _safe(check.seen)) for check in verdict.checks]
    yield table(("", ""), checked + [(not_checked, _safe(one)) for one in verdict.unchecked])


def _decile(decile: Decile) -> Iterator[str]:
    yield f"<h3>Decile {decile.number}: quality {decile.least:.3f} to {decile.most:.3f}</h3>"
    for sample in decile.samples:
        yield f"<details><summary>{_safe(heading(sample))}</summary>{_sample(sample)}</details>"


def _sample(sample: Sample) -> str:
    source = ", ".join(f"{name} {value}" for name, value in sample.source.items())
    terms = ", ".join(f"{name} {value:.3g}" for name, value in sample.terms.items())
    messages = (f"<b>{_safe(one.role)}</b><pre>{_block(one.content)}</pre>" for one in sample.messages)
    return f'<p class="note">{_safe(f"{sample.sample_id}; {terms}; source: {source}")}</p>{"".join(messages)}'
