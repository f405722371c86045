"""The daily report as one HTML page without any script or address, with a chart of each agent's quality. Pure."""

from collections.abc import Sequence
from html import escape
from typing import Any

from overnight.reports.daily import LEGEND, about, summary
from overnight.reports.history import recommendations
from overnight.reports.markup import page, table
from overnight.reports.nightly import NOT_MEASURED

Json = dict[str, Any]  # Any: whatever JSON holds

NIGHTS = 30
"""Nights that a chart shows at the most."""
_WIDTH, _HEIGHT, _EDGE = 320, 110, 26


def daily_page(result: Json, before: Sequence[Json], project: str) -> str:
    """Return the page of a night; `before` are the results of the nights before it, oldest first."""
    when = f"{result['timestamp'][:16].replace('T', ' ')} UTC"
    nights = [*before, result][-NIGHTS:]
    parts = [
        f"<h1>Nightly training of {escape(project)}</h1>",
        f'<p>{when}, run {result["run"]}: <b class="{escape(result["status"])}">{escape(result["status"])}</b></p>',
        table(("", ""), [(label, escape(text)) for label, text in summary(result, before)]),
        *_recommended(result),
        "<h2>Agents</h2>",
        _agents(result),
        f'<p class="note">{escape(LEGEND)}</p>',
        "<h2>Quality by night</h2>",
        '<div class="charts">',
        *(_figure(name, nights) for name, agent in result["agents"].items() if agent["status"] == "trained"),
        "</div>",
        "<h2>Phases</h2>",
        _phases(result),
    ]
    return page(f"{project}: nightly training of {when}", parts)


def _recommended(result: Json) -> list[str]:
    found = recommendations(result)
    if not found:
        return []
    return ["<h2>What to do next</h2><ul>", *(f"<li>{escape(one)}</li>" for one in found), "</ul>"]


def _agents(result: Json) -> str:
    head = ("agent", "serves", "quality", "metric", "", "change", "decision", "records", "time", "why")
    rows = [_agent(name, agent) for name, agent in result["agents"].items()]
    return table(head, rows, frozenset({2, 3, 5, 7, 8}))


def _agent(name: str, agent: Json) -> tuple[str, ...]:
    if agent["status"] != "trained":
        why = f"failed: {agent['error']}" if agent["status"] == "failed" else about(agent)
        status = f'<span class="{agent["status"]}">{agent["status"]}</span>'
        return (escape(name), *[""] * 5, status, "", "", escape(why))
    decision = agent["decision"] or "not compared"
    interval = agent["interval"]
    change = "" if agent["improvement"] is None else f"{agent['improvement']:+.1f} %"
    if change and interval[0] is not None:
        change += f'<br><span class="note">{interval[0]:+.1f} to {interval[1]:+.1f}</span>'
    return (
        escape(name),
        escape(agent["serving"] or "none"),
        NOT_MEASURED if agent["quality"] is None else f"{agent['quality']:.2f}",
        "" if agent["metric"] is None else f"{agent['metric']:.3f}",
        escape(agent["metric_name"] or ""),
        change,
        f'<span class="{escape(decision)}">{escape(decision)}</span>',
        str(agent["data_count"]),
        "" if agent["time_ms"] is None else f"{agent['time_ms'] / 1000:.1f} s",
        escape(agent["reason"]),
    )


def _phases(result: Json) -> str:
    rows = [
        (
            escape(name),
            f'<span class="{escape(phase["status"])}">{escape(phase["status"])}</span>',
            f"{phase['seconds']:.1f} s",
            escape(phase.get("overrun") or ""),
        )
        for name, phase in result["phases"].items()
    ]
    return table(("phase", "status", "time", ""), rows, frozenset({2}))


def _figure(name: str, nights: Sequence[Json]) -> str:
    points = [
        (place, quality)
        for place, night in enumerate(nights)
        if (quality := night["agents"].get(name, {}).get("quality")) is not None
    ]
    if not points:
        return f"<figure><figcaption>{escape(name)}</figcaption>{NOT_MEASURED}</figure>"
    return f"<figure><figcaption>{escape(name)}</figcaption>{_chart(points, len(nights))}</figure>"


def _chart(points: Sequence[tuple[int, float]], nights: int) -> str:
    """Return an SVG of qualities, 0 to 10, by night."""

    def at(place: int, quality: float) -> tuple[float, float]:
        x = _EDGE + (_WIDTH - 2 * _EDGE) * (place / (nights - 1) if nights > 1 else 0.5)
        return x, _HEIGHT - _EDGE / 2 - (_HEIGHT - _EDGE) * quality / 10

    spots = [at(*point) for point in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in spots)
    lines = "".join(_level(at(0, level)[1], level) for level in (0, 5, 10))
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="#1f6f9f"/>' for x, y in spots)
    x, y = spots[-1]
    last = f'<text x="{x:.1f}" y="{y - 8:.1f}" text-anchor="middle" font-size="12">{points[-1][1]:.2f}</text>'
    return (
        f'<svg width="{_WIDTH}" height="{_HEIGHT}" role="img" aria-label="quality by night">{lines}'
        f'<polyline points="{path}" fill="none" stroke="#1f6f9f" stroke-width="2"/>{dots}{last}</svg>'
    )


def _level(y: float, level: int) -> str:
    return (
        f'<line x1="{_EDGE}" x2="{_WIDTH - _EDGE}" y1="{y:.1f}" y2="{y:.1f}" stroke="#e6ebf0"/>'
        f'<text x="{_EDGE - 6}" y="{y + 4:.1f}" text-anchor="end" font-size="11" fill="#5b6b7a">{level}</text>'
    )
