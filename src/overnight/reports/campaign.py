"""The report of a data campaign as text, and what its page says too. Pure."""

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from overnight.base.instants import to_datetime
from overnight.campaigns.figures import BINS, RECENT_S, Domain, Figures, Point, Registered, Sample, needed_for
from overnight.campaigns.gate import NOT_PLANTED, Specification, Verdict
from overnight.campaigns.quality import WEIGHTS
from overnight.reports.boxes import WIDTH, fit, indented, row, rule, shown, shown_lines, span
from overnight.reports.nightly import NOT_MEASURED

NOTHING_BOUGHT = "costs nothing: nothing is bought"
NOTHING_REFUSED = "nothing was refused"
MOST_REASONS = 12
"""Of a domain; the rest are added up."""
SHOWN_CHARACTERS = 400
"""Of a message of a sample."""
LEGEND = "of judged, no fault: accepted of all candidates judged, and of those in which the check found no fault."
COVERED = (0.5, 0.75, 0.9, 0.99)
"""Parts of the cells."""
THIS = "this campaign"
_BAR = 30


@dataclass(frozen=True, kw_only=True)
class Forced:
    """A launch that the gate had not approved, or had refused: by whom, and why."""

    user: str
    reason: str
    at_us: int


@dataclass(frozen=True, kw_only=True)
class Spending:
    """What a campaign has cost; None is what was not measured."""

    requests: int | None = None
    tokens: int | None = None
    usd: float | None = None


@dataclass(frozen=True, kw_only=True)
class CampaignReport:
    """All that is told of a campaign at the instant `at_us`.

    `registered` and `verdicts` are oldest first. `spending` is None where it was not measured; `nothing_is_bought` says
    that there is nothing to be measured. `curves` are coverages of others to compare with, by what they are called.
    """

    name: str
    phase: str
    at_us: int
    figures: Figures
    started_us: int | None = None
    ended_us: int | None = None
    registered: Sequence[Registered] = ()
    verdicts: Sequence[Verdict] = ()
    forced: Sequence[Forced] = ()
    spending: Spending | None = None
    nothing_is_bought: bool = False
    curves: Mapping[str, Sequence[Point]] = field(default_factory=dict)


def text(report: CampaignReport) -> str:
    """Return the report as text."""
    lines = [
        rule("┌", "┐"),
        row(shown(f"Campaign {report.name}: {report.phase}")),
        row(f"{when(report.at_us)}, {times(report)}"),
        rule("├", "┤"),
        *(row(f"{label:<12}{said}") for label, said in summary(report)),
        rule("├", "┤"),
        *_domains(report.figures),
        rule("└", "┘"),
        *textwrap.wrap(LEGEND, WIDTH),
        *_section("Launched against the gate", [forced_line(one) for one in report.forced]),
        *_section("Pilot gate", [*gate_lines(report), *_verdicts(report)]),
        *_section("Terms of the quality, over the pilot", term_lines(report.figures)),
        *_raw("Quality of the candidates judged (█ accepted, ░ refused)", _histogram(report.figures)),
        *_section("Rejection reasons, of the candidates judged", _reasons(report.figures)),
        *_raw("Coverage: candidates judged until so many of the cells had an accepted sample", _coverage(report)),
        *_samples(report.figures),
    ]
    return "\n".join(lines) + "\n"


def when(at_us: int) -> str:
    """Return the instant for a person."""
    return f"{to_datetime(at_us):%Y-%m-%d %H:%M} UTC"


def times(report: CampaignReport) -> str:
    """Return since when the campaign runs, and whether it has ended."""
    if report.started_us is None:
        return "not started"
    ended = "" if report.ended_us is None else f", ended {when(report.ended_us)}"
    return f"started {when(report.started_us)}{ended}"


def share(part: int, whole: int) -> str:
    """Return it in percent; where there is nothing to divide by, nothing was measured."""
    return NOT_MEASURED if not whole else f"{100 * part / whole:.1f} %"


def summary(report: CampaignReport) -> list[tuple[str, str]]:
    """Return the figures of the campaign as a whole, each with its name."""
    figures = report.figures
    skeletons = f"{figures.skeletons:,} among the accepted samples; the commonest has {figures.most_of_one:,}"
    found = [
        ("accepted", f"{figures.accepted:,} of {figures.target:,} ({share(figures.accepted, figures.target)})"),
        ("acceptance", f"{share(figures.accepted, figures.judged)} of {figures.judged:,} candidates judged"),
        ("", f"{share(figures.accepted, figures.without_a_fault)} of {figures.without_a_fault:,} without a fault"),
        ("skeletons", skeletons if figures.accepted else "none yet: nothing is accepted"),
        ("rate", f"{_rate(figures.rate)} accepted per second in the last {RECENT_S // 60} minutes"),
        ("", f"{_rate(figures.rate_in_all)} from the first batch to the last"),
        ("time left", _left(figures)),
        ("cost", cost(report)),
    ]
    if report.forced:
        found.insert(
            0, ("FORCED", f"by {', '.join(dict.fromkeys(shown(one.user) for one in report.forced))}; see below")
        )
    return found


def _rate(rate: float | None) -> str:
    return NOT_MEASURED if rate is None else f"{rate:.3g}" if rate < 100 else f"{rate:,.0f}"


def _left(figures: Figures) -> str:
    if figures.left_s is not None:
        return span(figures.left_s) if figures.left_s else "none: the target is reached"
    return NOT_MEASURED if figures.rate is None else "not known: nothing was accepted lately"


def cost(report: CampaignReport) -> str:
    """Return what was spent."""
    if report.nothing_is_bought:
        return NOTHING_BOUGHT
    spent = report.spending
    if spent is None:
        return NOT_MEASURED
    usd = NOT_MEASURED if spent.usd is None else f"{spent.usd:,.4g} USD"
    counted = [
        f"{name} {NOT_MEASURED}" if count is None else f"{count:,} {name}"
        for name, count in (("requests", spent.requests), ("tokens", spent.tokens))
    ]
    return f"{usd} ({', '.join(counted)})"


def forced_line(one: Forced) -> str:
    """Return who has launched the campaign against the gate, and why."""
    return f"forced by {one.user}, {when(one.at_us)}: {one.reason}"


def asked_for(specification: Specification) -> str:
    """Return what a pilot is asked for."""
    which = {"point": "estimate", "lower_bound": "lower bound", "upper_bound": "upper bound"}[specification.rule]
    domains = "".join(f", {name} {value:g}" for name, value in sorted(specification.domains.items()))
    return (
        f"quality {specification.quality_threshold:g} ({which}){domains}; at least {specification.min_samples} judged "
        f"samples of a pilot of {specification.pilot_size}" + ("" if specification.planted else f"; {NOT_PLANTED}")
    )


def gate_lines(report: CampaignReport) -> list[str]:
    """Return what the pilot was asked for, since when, and whether it was judged."""
    lines = [_registered(one, report.figures.first_us) for one in report.registered] or ["nothing is registered"]
    return lines if report.verdicts else [*lines, "no pilot was judged yet"]


def judged_by(report: CampaignReport, verdict: Verdict) -> str:
    """Return which version of the gate has said it, and whether that one holds."""
    holds = bool(report.registered) and report.registered[-1].specification.version == verdict.version
    return f"by version {verdict.version}{'' if holds else ', which does not hold any more'}"


def _verdicts(report: CampaignReport) -> Iterator[str]:
    for verdict in report.verdicts:
        yield f"{verdict.decision} {judged_by(report, verdict)}"
        yield from (f"  {'met' if check.met else 'NOT MET'}: {check.seen}" for check in verdict.checks)
        yield from (f"  NOT CHECKED: {one}" for one in verdict.unchecked)


def _registered(one: Registered, first_us: int | None) -> str:
    before = first_us is None or one.at_us <= first_us
    order = "before the first sample was judged" if before else "AFTER the first sample was judged"
    version, told = one.specification.version, asked_for(one.specification)
    return f"version {version}, registered {when(one.at_us)} by {one.by}, {order}: {told}"


def term_lines(figures: Figures) -> list[str]:
    """Return for each term of the quality whether it tells a sample from another."""
    lines = []
    for name in WEIGHTS:
        seen = figures.spreads.get(name)
        if seen is None:
            lines.append(f"{name}: {NOT_MEASURED}, carries no weight")
        elif seen.constant:
            lines.append(f"{name}: constant at {seen.least:.3g} ({seen.measured:,} measured), carries no weight")
        else:
            lines.append(f"{name}: {seen.least:.3g} to {seen.most:.3g} ({seen.measured:,} measured)")
    return lines


def reasons_of(domain: Domain) -> list[tuple[str, int]]:
    """Return the commonest reasons with their counts, and what the others are together."""
    found = list(domain.reasons.items())
    rest = found[MOST_REASONS:]
    return found[:MOST_REASONS] + ([(f"{len(rest)} other reasons", sum(count for _, count in rest))] if rest else [])


def compared(report: CampaignReport) -> Iterator[tuple[str, Sequence[Point]]]:
    """Yield the coverage of this campaign and those of the others, each with its name."""
    yield THIS, report.figures.coverage
    yield from report.curves.items()


def shortened(said: str, most: int) -> str:
    """Return its beginning, and how long it is where that is not all."""
    return said if len(said) <= most else f"{said[:most]}… ({len(said):,} characters in all)"


def _section(title: str, said: Sequence[str]) -> list[str]:
    return _raw(title, [line for one in said for line in indented(shown(one))])


def _raw(title: str, lines: Sequence[str]) -> list[str]:
    return ["", f"{title}:", *lines] if lines else []


def _domains(figures: Figures) -> list[str]:
    head = _columns("domain", "accepted", "of", "judged", "of judged", "no fault", "skeletons")
    return [
        head,
        *(
            _columns(
                shown(one.name),
                f"{one.accepted:,}",
                "-" if one.allocation is None else f"{one.allocation:,}",
                f"{one.judged:,}",
                _brief_share(one.accepted, one.judged),
                _brief_share(one.accepted, one.without_a_fault),
                f"{one.skeletons:,}",
            )
            for one in figures.domains
        ),
    ]


def _brief_share(part: int, whole: int) -> str:
    return share(part, whole) if whole else "-"


def _columns(*cells: str) -> str:
    name, *numbers = cells
    widths = (9, 8, 8, 10, 9, 10)
    return row(fit(name, 20) + "".join(f"{cell:>{width}}" for cell, width in zip(numbers, widths, strict=True)))


def _histogram(figures: Figures) -> list[str]:
    most = max(figures.judged_by_quality)
    if not most:
        return [f"  {NOT_MEASURED}"]
    lines = []
    for place, (judged, accepted) in enumerate(
        zip(figures.judged_by_quality, figures.accepted_by_quality, strict=True)
    ):
        length = -(-_BAR * judged // most)
        full = round(length * accepted / judged) if judged else 0
        bar = "█" * full + "░" * (length - full)
        lines.append(
            f"  {place / BINS:.2f}-{(place + 1) / BINS:.2f}  {bar:<{_BAR}} {judged:>7,} judged {accepted:>7,} accepted"
        )
    return [*lines, *([f"  without a quality: {figures.unmeasured:,}"] if figures.unmeasured else [])]


def _reasons(figures: Figures) -> list[str]:
    lines = [
        f"{one.name}: {reason}: {count:,} ({share(count, one.judged)})"
        for one in figures.domains
        for reason, count in reasons_of(one)
    ]
    return lines or [NOTHING_REFUSED if figures.judged else NOT_MEASURED]


def _coverage(report: CampaignReport) -> list[str]:
    """Return how many candidates each curve needs for parts of the cells that have an accepted sample by now."""
    if not report.figures.judged:
        return [f"  {NOT_MEASURED}"]
    cells = report.figures.coverage[-1][1]
    lines = [f"  {f'{cells:,} cells':<26}" + "".join(f"{part:>12.0%}" for part in COVERED)]
    for name, points in compared(report):
        needed = [needed_for(points, part * cells) if cells else None for part in COVERED]
        told = ("           -" if count is None else f"{count:>12,}" for count in needed)
        lines.append(f"  {fit(shown(name), 26)}" + "".join(told))
    return lines


def _samples(figures: Figures) -> list[str]:
    lines = []
    for decile in figures.deciles:
        lines += [
            "",
            f"Decile {decile.number} of the accepted samples, quality {decile.least:.3f} to {decile.most:.3f}:",
        ]
        for sample in decile.samples:
            lines += [f"  {'─' * (WIDTH - 2)}", *_sample(sample)]
    return lines


def _sample(sample: Sample) -> Iterator[str]:
    yield f"  {shown(heading(sample))}"
    for message in sample.messages:
        if message.role != "system":
            told = shown_lines(shortened(message.content, SHOWN_CHARACTERS))
            heads = [shown(message.role), *[""] * (len(told) - 1)]
            yield from (f"  {head:<9} {line}".rstrip() for head, line in zip(heads, told, strict=True))


def heading(sample: Sample) -> str:
    """Return in one line which sample it is."""
    quality = NOT_MEASURED if sample.quality is None else f"{sample.quality:.3f}"
    return f"{sample.domain}, {sample.cell}, number {sample.number}: quality {quality}"
