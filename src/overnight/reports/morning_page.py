"""The morning report as one HTML page without any script or address. Pure."""

from collections.abc import Sequence
from html import escape
from typing import Any

from overnight.reports.markup import page, table
from overnight.reports.morning import cost_lines, moment, planned_lines, ran_line

Json = dict[str, Any]  # Any: whatever JSON holds
_WIDTH, _HEIGHT, _EDGE = 320, 96, 18
_STYLE = "ul { margin: .3rem 0; padding-left: 1.2rem } .needs li { color: #a3302a } .better li { color: #11734b }"


def morning_page(facts: Json) -> str:
    """Return the page; `facts` are those of `app.morning.facts_of`."""
    when = f"{moment(facts['from'])} to {moment(facts['to'])} UTC"
    parts = [
        f"<h1>Morning report of {escape(facts['project'])}</h1><p>{when}</p>",
        *_listed("Needs a person", "needs", [f"{one['what']} &rarr; {one['do']}" for one in _safe(facts["needs"])]),
        *_listed("Got better", "better", [f"<b>{one['what']}</b>: {one['why']}" for one in _safe(facts["better"])]),
        *_listed(
            "Refused or taken back", "", [f"<b>{one['what']}</b>: {one['why']}" for one in _safe(facts["refused"])]
        ),
        *_listed("Ran", "", [escape(ran_line(one)) for one in facts["ran"]]),
        *(_listed("Targets", "", [escape(line) for line in facts["targets"]]) if facts["targets"] else []),
        "<h2>Cost</h2>",
        table(("", ""), [(escape(name), escape(value)) for name, value in cost_lines(facts["cost"])]),
        *_listed("Planned", "", [escape(line) for line in planned_lines(facts)]),
        '<h2>Last 30 days</h2><div class="charts">',
        *(_chart(name, values, facts["days"]) for name, values in facts["trends"].items()),
        "</div>",
    ]
    return page(f"{facts['project']}: morning report of {facts['to'][:10]}", parts, style=_STYLE)


def _safe(found: Sequence[Json]) -> list[dict[str, str]]:
    return [{key: escape(str(value)) for key, value in one.items()} for one in found]


def _listed(title: str, kind: str, found: Sequence[str]) -> list[str]:
    items = "".join(f"<li>{one}</li>" for one in found) or '<li class="note">nothing</li>'
    return [f"<h2>{title}</h2>", f'<ul class="{kind if found else ""}">{items}</ul>']


def _chart(name: str, values: Sequence[float | None], days: Sequence[str]) -> str:
    known = [value for value in values if value is not None]
    top = max(known, default=0.0) or 1.0
    wide = (_WIDTH - 2 * _EDGE) / len(values)
    bars = "".join(
        f'<rect x="{_EDGE + place * wide:.1f}" y="{_HEIGHT - _EDGE - (_HEIGHT - 2 * _EDGE) * value / top:.1f}" '
        f'width="{wide - 1:.1f}" height="{max(1.0, (_HEIGHT - 2 * _EDGE) * value / top):.1f}" fill="#1f6f9f">'
        f"<title>{days[place]}: {value:.4g}</title></rect>"
        for place, value in enumerate(values)
        if value is not None
    )
    newest = "not measured" if not known else f"newest {known[-1]:.3g}, highest {max(known):.3g}"
    axis = (
        f'<text x="{_EDGE}" y="{_HEIGHT - 3}" font-size="10" fill="#5b6b7a">{days[0]}</text>'
        f'<text x="{_WIDTH - _EDGE}" y="{_HEIGHT - 3}" font-size="10" fill="#5b6b7a" text-anchor="end">'
        f"{days[-1]}</text>"
    )
    return (
        f'<figure><figcaption>{escape(name)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" '
        f'height="{_HEIGHT}" role="img" aria-label="{escape(name)} by day">{bars}{axis}</svg>'
        f'<p class="note">{newest}</p></figure>'
    )
