"""Plots as SVG inside a page: a histogram of qualities, and curves of coverage. Pure."""

from collections.abc import Mapping, Sequence
from html import escape

Point = tuple[int, int]

_WIDTH, _HEIGHT = 530, 240
_LEFT, _BELOW, _ABOVE, _RIGHT = 52, 36, 12, 16
COLOURS = ("#1f6f9f", "#c46a1b", "#5b8c5a", "#7a4f9a")
REFUSED = "#b9c6d1"
"""The colour of what was refused; what was accepted has the first of COLOURS."""


def histogram(judged: Sequence[int], accepted: Sequence[int]) -> str:
    """Return bars over 0 to 1, as many as there are counts: of what was judged, in front of it what was accepted."""
    top = _round_up(max(judged))
    wide = (_WIDTH - _LEFT - _RIGHT) / len(judged)

    def bar(place: int, count: int, colour: str) -> str:
        y = _y(count, top)
        return (
            f'<rect x="{_LEFT + place * wide + 1:.1f}" y="{y:.1f}" width="{wide - 2:.1f}" '
            f'height="{_y(0, top) - y:.1f}" fill="{colour}"><title>{_bin(place, len(judged))}: {judged[place]:,} '
            f"judged, {accepted[place]:,} accepted</title></rect>"
        )

    bars = [bar(place, count, REFUSED) for place, count in enumerate(judged) if count]
    bars += [bar(place, count, COLOURS[0]) for place, count in enumerate(accepted) if count]
    return _plot("quality", "candidates", top, [(x, f"{x:g}") for x in (0, 0.25, 0.5, 0.75, 1)], "".join(bars))


def curves(named: Mapping[str, Sequence[Point]]) -> str:
    """Return a line for each: cells by candidates judged, both from 0 on."""
    right = max(points[-1][0] for points in named.values()) or 1
    top = _round_up(max(cells for points in named.values() for _, cells in points))
    lines = []
    for place, (name, points) in enumerate(named.items()):
        colour = COLOURS[place % len(COLOURS)]
        path = " ".join(f"{_x(total / right):.1f},{_y(cells, top):.1f}" for total, cells in points)
        x, y = _LEFT + 150, _HEIGHT - _BELOW - 14 - 18 * (len(named) - 1 - place)
        lines.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
            f'<line x1="{x}" x2="{x + 22}" y1="{y - 4}" y2="{y - 4}" stroke="{colour}" stroke-width="3"/>'
            f'<text x="{x + 28}" y="{y}" font-size="12">{escape(name)}: {points[-1][1]:,} cells</text>'
        )
    marks = [(part, f"{round(part * right):,}") for part in (0, 0.5, 1)]
    return _plot("candidates judged", "cells with an accepted sample", top, marks, "".join(lines))


def legend(entries: Sequence[tuple[str, str]]) -> str:
    """Return what the colours mean: colours, each with its name."""
    spots = (f'<span class="spot" style="background:{colour}"></span>{escape(name)} ' for colour, name in entries)
    return f'<p class="note">{"".join(spots)}</p>'


def _bin(place: int, count: int) -> str:
    return f"{place / count:.2f} to {(place + 1) / count:.2f}"


def _plot(across: str, up: str, top: int, marks: Sequence[tuple[float, str]], inside: str) -> str:
    """Return the axes with what stands inside; `marks` are of the axis across, from 0 to 1."""
    levels = "".join(
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{_y(level, top):.1f}" y2="{_y(level, top):.1f}" '
        f'stroke="#e6ebf0"/><text x="{_LEFT - 6}" y="{_y(level, top) + 4:.1f}" text-anchor="end">{level:,}</text>'
        for level in dict.fromkeys((0, top // 2, top))
    )
    below = "".join(
        f'<text x="{_x(part):.1f}" y="{_HEIGHT - _BELOW + 15}" text-anchor="'
        f'{"middle" if part < 1 else "end"}">{label}</text>'
        for part, label in marks
    )
    name = f'<text x="{_x(0.5):.1f}" y="{_HEIGHT - 4}" text-anchor="middle">{across}</text>'
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" width="{_WIDTH}" height="{_HEIGHT}" role="img" '
        f'aria-label="{up} by {across}" font-size="11" fill="#5b6b7a">{levels}{below}{name}{inside}</svg>'
    )


def _x(part: float) -> float:
    return _LEFT + (_WIDTH - _LEFT - _RIGHT) * part


def _y(value: float, top: int) -> float:
    return _HEIGHT - _BELOW - (_HEIGHT - _BELOW - _ABOVE) * value / top


def _round_up(value: int) -> int:
    """Return the next even number with one or two digits and zeros behind them; at least 2."""
    step = 2 * int("1" + "0" * max(0, len(str(value)) - 2))
    return max(2, -(-value // step) * step)
