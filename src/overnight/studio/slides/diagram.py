"""Where the boxes of a diagram stand, and how its arrows run. Pure.

Boxes stand in columns by their rank, which is the longest way to them along the arrows (the layering of Sugiyama,
Tagawa and Toda 1981, without its other steps). A long chain runs to and fro in rows instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from overnight.studio.slides.slide import Edge

_ROW = 4
"""A chain of more boxes than that is broken into rows."""
_POINTS = 24


@dataclass(frozen=True, kw_only=True)
class Grid:
    """The cell of each node as (column, row), from 0; a row may lie between two, so that columns are centred."""

    columns: int
    rows: int
    cells: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Rect:
    """A rectangle: its left upper corner and its size."""

    x: float
    y: float
    w: float
    h: float

    @property
    def middle(self) -> tuple[float, float]:
        """The point in its middle."""
        return self.x + self.w / 2, self.y + self.h / 2


def grid(nodes: Sequence[str], edges: Sequence[Edge]) -> Grid:
    """Return a cell for each node. Arrows that lead back to where a way came from do not count for the rank."""
    nodes = tuple(dict.fromkeys(nodes))
    if _chain(nodes, edges) and len(nodes) > _ROW:
        rows = -(-len(nodes) // _ROW)
        columns = -(-len(nodes) // rows)
        return Grid(columns=columns, rows=rows, cells={node: _snake(n, columns) for n, node in enumerate(nodes)})
    ranks = _ranks(nodes, edges)
    layers: dict[int, list[str]] = {}
    for node in nodes:
        layers.setdefault(ranks[node], []).append(node)
    rows = max(map(len, layers.values()), default=0)
    cells = {
        node: (float(rank), number + (rows - len(layer)) / 2)
        for rank, layer in layers.items()
        for number, node in enumerate(layer)
    }
    return Grid(columns=len(layers), rows=rows, cells=cells)


def route(begin: Rect, end: Rect, pitch: float, *, back: bool) -> list[tuple[float, float]]:
    """Return the points of an arrow between two boxes: straight, as a curve to the next column, or as an arch.

    An arch over what lies between leads forward, one below it leads back, where there is a way forth between the two as
    well (`back`). `pitch` is how far columns are apart.
    """
    (x1, y1), (x2, y2) = begin.middle, end.middle
    if abs(x1 - x2) < begin.w / 2:
        down = y2 > y1
        return [(x1, begin.y + begin.h if down else begin.y), (x2, end.y if down else end.y + end.h)]
    forward = x2 > x1
    if abs(x2 - x1) < pitch * 1.5 and not back:
        here = (begin.x + begin.w, y1) if forward else (begin.x, y1)
        there = (end.x, y2) if forward else (end.x + end.w, y2)
        if y1 == y2:
            return [here, there]
        bend = (here[0] + there[0]) / 2
        return _curve(here, (bend, y1), (bend, y2), there)
    lift = (-0.75 if forward else 0.75) * min(begin.h, 150.0)
    here = (x1, begin.y if forward else begin.y + begin.h)
    there = (x2, end.y if forward else end.y + end.h)
    return _curve(here, (x1, here[1] + lift), (x2, there[1] + lift), there)


def head(points: Sequence[tuple[float, float]], size: float) -> list[tuple[float, float]]:
    """Return the triangle at the end of an arrow."""
    (x1, y1), (x2, y2) = points[-2], points[-1]
    far = ((x2 - x1) ** 2 + (y2 - y1) ** 2) ** 0.5 or 1.0
    dx, dy = (x2 - x1) / far * size, (y2 - y1) / far * size
    return [(x2, y2), (x2 - dx - dy * 0.55, y2 - dy + dx * 0.55), (x2 - dx + dy * 0.55, y2 - dy - dx * 0.55)]


def _chain(nodes: Sequence[str], edges: Sequence[Edge]) -> bool:
    return [(edge.begin, edge.end) for edge in edges] == list(pairwise(nodes))


def _snake(number: int, columns: int) -> tuple[float, float]:
    row, column = divmod(number, columns)
    return float(columns - 1 - column if row % 2 else column), float(row)


def _ranks(nodes: Sequence[str], edges: Sequence[Edge]) -> dict[str, int]:
    ways: dict[str, list[str]] = {node: [] for node in nodes}
    for edge in edges:
        if not _reaches(edge.end, edge.begin, ways):
            ways[edge.begin].append(edge.end)
    ranks = dict.fromkeys(nodes, 0)
    for _ in nodes:
        for node in nodes:
            for after in ways[node]:
                ranks[after] = max(ranks[after], ranks[node] + 1)
    return ranks


def _reaches(begin: str, end: str, ways: Mapping[str, Sequence[str]]) -> bool:
    seen, waiting = set[str](), [begin]
    while waiting:
        node = waiting.pop()
        if node == end:
            return True
        if node not in seen:
            seen.add(node)
            waiting += ways[node]
    return False


def _curve(
    begin: tuple[float, float], pull: tuple[float, float], draw: tuple[float, float], end: tuple[float, float]
) -> list[tuple[float, float]]:
    """Return the points of a cubic Bezier curve."""
    points = []
    for number in range(_POINTS + 1):
        t = number / _POINTS
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        points.append(
            (
                a * begin[0] + b * pull[0] + c * draw[0] + d * end[0],
                a * begin[1] + b * pull[1] + c * draw[1] + d * end[1],
            )
        )
    return points
