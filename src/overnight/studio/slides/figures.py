"""Slides of figures: code, tables, diagrams and bars."""

import math
from collections.abc import Sequence
from dataclasses import replace

from overnight.studio.slides import diagram as plan
from overnight.studio.slides.canvas import Canvas, Look
from overnight.studio.slides.code import coloured, fit_rows
from overnight.studio.slides.colours import rgb
from overnight.studio.slides.fonts import BOLD, MEDIUM, REGULAR
from overnight.studio.slides.furniture import FLOOR, MARGIN, head
from overnight.studio.slides.layout import Fitted, Room, height
from overnight.studio.slides.slide import Slide

_CODE_LEADING = 1.42
_CODE_SIZES = (44.0, 22.0)
_TABLE_SIZES = tuple(range(42, 22, -2))
_GAP, _LABELLED = 110.0, 180.0
"""What lies between two columns of a diagram, without and with labels at its arrows."""
_MOST_NODES, _MOST_BARS, _MOST_ROWS, _MOST_COLUMNS = 16, 14, 16, 12
"""What is more than that cannot be read any longer: it is left out, and told as overflow."""


def code(canvas: Canvas, slide: Slide, _shown: int) -> None:
    """Draw code upon a dark panel, with the numbers of its lines."""
    top = head(canvas, slide.title)
    left, right, pad = MARGIN, canvas.width - MARGIN, 44.0
    cell, gutter = _cell(canvas), 100.0
    room = FLOOR - top - 2 * pad - 30
    quiet = Look(colour=rgb(canvas.theme.code["comment"]), role="code")
    lines = coloured(canvas.drawable([slide.code], quiet)[0], slide.language)
    rows, size, lost = fit_rows(
        lines, right - left - 2 * pad - gutter, room, _CODE_SIZES, cell=cell, leading=_CODE_LEADING
    )
    canvas.overflow += [lost] if lost else []
    high = len(rows) * size * _CODE_LEADING + 2 * pad + 30
    y = top + max(0.0, (FLOOR - top - high) * 0.3)
    canvas.shape((left, y, right, y + high), rgb(canvas.theme.code_panel), radius=24)
    for number, dot in enumerate(("accent", "second", "line")):
        canvas.shape((left + 34 + number * 32, y + 26, left + 52 + number * 32, y + 44), canvas.colour(dot), radius=9)
    name = canvas.fitted([slide.language], Room(width=600, height=40, largest=22, smallest=22, lines=1), quiet)
    canvas.lines(name.texts[0], (right - 36, y + 20), name.size, 1.3, quiet, align=1.0)
    y += pad + 30
    for row in rows:
        if row.number is not None:
            canvas.lines([str(row.number)], (left + pad + 48, y), size, _CODE_LEADING, quiet, align=1.0)
        _row(canvas, row.pieces, (left + pad + gutter, y), size, cell * size)
        y += size * _CODE_LEADING


def _cell(canvas: Canvas) -> float:
    """Return how wide a letter of code is as a share of the size: that of the widest where the font is no fixed one."""
    look = Look(colour=(0, 0, 0), weight=REGULAR, role="code")
    return canvas.length("M" if canvas.fonts.even_code else "W", 100, look) / 100


def _row(canvas: Canvas, pieces: Sequence[tuple[str, str]], at: tuple[float, float], size: float, wide: float) -> None:
    x, y = at
    for text, role in pieces:
        look = Look(colour=rgb(canvas.theme.code[role]), weight=MEDIUM, role="code")
        lead = len(text) - len(text.lstrip(" "))
        if canvas.fonts.even_code:
            canvas.line(text.strip(" "), (x + lead * wide, y), size, _CODE_LEADING, look)
        else:
            for number, letter in enumerate(text):
                canvas.line(letter, (x + number * wide, y), size, _CODE_LEADING, look)
        x += len(text) * wide


def table(canvas: Canvas, slide: Slide, shown: int) -> None:
    """Draw a table; of the rows below its head, the first so many."""
    top = head(canvas, slide.title)
    canvas.overflow += [" | ".join(row[_MOST_COLUMNS:]) for row in slide.rows if row[_MOST_COLUMNS:]]
    rows = [row[:_MOST_COLUMNS] for row in slide.rows]
    if not rows:
        return
    width, pad = canvas.width - 2 * MARGIN, 30.0
    plain, bold = Look(colour=canvas.colour("text")), Look(colour=canvas.colour("on_second"), weight=BOLD)
    size, widths, cells = _cells(canvas, rows[:_MOST_ROWS], width, FLOOR - top, pad)
    leading, gap = 1.25, size * 0.9
    heights = [max(map(len, row)) * size * leading + gap for row in cells]
    y = top + max(0.0, (FLOOR - top - sum(heights)) * 0.3)
    bottom = y + sum(heights)
    canvas.shape((MARGIN, y, MARGIN + width, bottom), canvas.colour("panel"), radius=20)
    for number, (row, high) in enumerate(zip(cells, heights, strict=True)):
        look = plain
        if number == 0:
            look = bold
            canvas.shape((MARGIN, y, MARGIN + width, y + high), canvas.colour("second"), radius=20)
            if len(cells) > 1:
                canvas.shape((MARGIN, y + high - 20, MARGIN + width, y + high), canvas.colour("second"))
        elif number > 1:
            canvas.shape((MARGIN + pad, y - 1, MARGIN + width - pad, y + 1), canvas.colour("line"))
        x = MARGIN
        for column, (lines, wide) in enumerate(zip(row, widths, strict=True)):
            if number <= shown:
                align = 1.0 if _figures(rows, column) else 0.0
                canvas.lines(lines, (x + pad + align * (wide - 2 * pad), y + gap / 2), size, leading, look, align=align)
            x += wide
        y += high
    canvas.overflow += [" | ".join(row) for row in rows[len(cells) :]]


def _figures(rows: Sequence[Sequence[str]], column: int) -> bool:
    """Tell whether a column holds numbers, which stand at its right."""
    cells = [row[column] for row in rows[1:] if row[column]]
    return bool(cells) and all(cell.lstrip("+-\u2212€$£")[:1].isdigit() and len(cell) < 14 for cell in cells)


def _cells(
    canvas: Canvas, rows: Sequence[Sequence[str]], width: float, room: float, pad: float
) -> tuple[float, list[float], list[list[tuple[str, ...]]]]:
    """Return the size, the widths of the columns, and the lines of each cell of the rows that have room."""
    look = Look(colour=canvas.colour("text"), weight=BOLD)
    rows = [canvas.drawable(row, look) for row in rows]
    for size in _TABLE_SIZES:
        widths, whole = _widths(canvas, rows, width, size, pad)
        one = Room(width=0, height=size * 1.25 * 3.01, largest=size, smallest=size, leading=1.25, lines=3)
        fitted = [
            [
                canvas.fit([cell], replace(one, width=wide - 2 * pad), look)
                for cell, wide in zip(row, widths, strict=True)
            ]
            for row in rows
        ]
        kept, high = list[list[Fitted]](), 0.0
        for row in fitted:
            high += max(len(cell.texts[0]) for cell in row) * size * 1.25 + size * 0.9
            if high <= room:
                kept.append(row)
        whole = whole and not any(cell.lost for row in fitted for cell in row)
        if (whole and len(kept) == len(rows)) or size == _TABLE_SIZES[-1]:
            break
    canvas.overflow += [text for row in kept for cell in row for text in cell.lost]
    return size, widths, [[cell.texts[0] for cell in row] for row in kept]


def _widths(
    canvas: Canvas, rows: Sequence[Sequence[str]], width: float, size: float, pad: float
) -> tuple[list[float], bool]:
    """Return the widths of the columns, and whether each holds its longest word."""
    look, columns = Look(colour=canvas.colour("text"), weight=BOLD), list(zip(*rows, strict=True))
    full = [max(canvas.length(cell, size, look) for cell in column) + 2 * pad + 2 for column in columns]
    if sum(full) <= width:
        return [wide + (width - sum(full)) / len(full) for wide in full], True
    words = [[word for cell in column for word in cell.split()] for column in columns]
    least = [max((canvas.length(word, size, look) for word in column), default=0.0) + 2 * pad + 2 for column in words]
    if sum(least) > width:
        return [width / len(least)] * len(least), False
    over = [wide - low for wide, low in zip(full, least, strict=True)]
    return [low + (width - sum(least)) * more / sum(over) for low, more in zip(least, over, strict=True)], True


def bars(canvas: Canvas, slide: Slide, shown: int) -> None:
    """Draw bars from the left, the first so many; their lengths are to the scale of the longest of all."""
    top = head(canvas, slide.title)
    width = canvas.width - 2 * MARGIN
    look, strong = Look(colour=canvas.colour("text"), weight=REGULAR), Look(colour=canvas.colour("text"), weight=BOLD)
    seen = slide.bars[:_MOST_BARS]
    canvas.overflow += [f"{bar.label}: {bar.shown}" for bar in slide.bars[_MOST_BARS:]]
    if not seen:
        return
    count = len(seen)
    pitch = min(130.0, (FLOOR - top) / count)
    labels = Room(
        width=width * 0.28,
        height=pitch,
        largest=min(42.0, pitch * 0.5),
        smallest=min(22.0, pitch * 0.4),
        leading=1.15,
        lines=2,
    )
    fitted = [canvas.fitted([bar.label], labels, look) for bar in seen]
    size = min(one.size for one in fitted)
    beside = replace(labels, largest=size, smallest=min(size, labels.smallest), lines=1)
    values = canvas.fitted_each([bar.shown for bar in seen], beside, strong)
    left = MARGIN + labels.width + 36
    shown_at = max(canvas.length(line, values.size, strong) for lines in values.texts for line in (*lines, "")) + 30
    room = width - labels.width - 36 - shown_at
    longest = max(bar.value for bar in seen) or 1.0
    y = top + max(0.0, (FLOOR - top - pitch * count) * 0.35)
    canvas.shape((left - 3, y, left, y + pitch * count), canvas.colour("line"))
    for number, (bar, label) in enumerate(zip(seen[:shown], fitted, strict=False)):
        high = height(label.texts, labels, label.size)
        canvas.lines(label.texts[0], (left - 36, y + (pitch - high) / 2), label.size, 1.15, look, align=1.0)
        end = left + max(6.0, room * bar.value / longest)
        colour = canvas.colour("accent" if number == min(shown, count) - 1 else "second")
        canvas.shape((left, y + pitch * 0.2, end, y + pitch * 0.8), colour, radius=min(10.0, (end - left) / 2))
        canvas.lines(values.texts[number], (end + 20, y + pitch / 2 - values.size * 0.65), values.size, 1.3, strong)
        y += pitch


def diagram(canvas: Canvas, slide: Slide, shown: int) -> None:
    """Draw boxes and arrows; the first so many boxes, and the arrows between them."""
    top = head(canvas, slide.title)
    nodes = slide.nodes[:_MOST_NODES]
    canvas.overflow += slide.nodes[_MOST_NODES:]
    edges = [edge for edge in slide.edges if edge.begin in nodes and edge.end in nodes]
    if not nodes:
        return
    rects, gap, room = _rects(canvas, plan.grid(nodes, edges), top, labelled=any(edge.label for edge in edges))
    look = Look(colour=canvas.colour("text"), weight=MEDIUM)
    fitted = canvas.fitted_each(nodes, room, look)
    seen = nodes[:shown]
    ways = {(edge.begin, edge.end) for edge in edges}
    routes = list[tuple[str, list[tuple[float, float]]]]()
    for edge in edges:
        if edge.begin in seen and edge.end in seen:
            back = (edge.end, edge.begin) in ways and rects[edge.begin].x > rects[edge.end].x
            pitch = rects[edge.begin].w + gap
            routes.append((edge.label, plan.route(rects[edge.begin], rects[edge.end], pitch, back=back)))
            _arrow(canvas, routes[-1][1])
    for number, (node, lines) in enumerate(zip(seen, fitted.texts, strict=False)):
        rect, now = rects[node], number == len(seen) - 1
        corners = (rect.x, rect.y, rect.x + rect.w, rect.y + rect.h)
        canvas.shape(corners, canvas.colour("panel"), radius=22)
        canvas.shape(corners, canvas.colour("accent" if now else "second"), radius=22, edge=6.0 if now else 4.0)
        y = rect.middle[1] - height([lines], room, fitted.size) / 2
        canvas.lines(lines, (rect.middle[0], y), fitted.size, room.leading, look, align=0.5)
    for label, points in routes:
        _label(canvas, label, points, gap - 20)


def _rects(canvas: Canvas, grid: plan.Grid, top: float, *, labelled: bool) -> tuple[dict[str, plan.Rect], float, Room]:
    """Return where the boxes stand, what lies between two columns, and the room for text in each box."""
    width = canvas.width - 2 * MARGIN
    gap = min(_LABELLED if labelled else _GAP, width / grid.columns * 0.4)
    wide = min(420.0, (width - gap * (grid.columns - 1)) / grid.columns)
    down = min(110.0, (FLOOR - top) / grid.rows * 0.4)
    high = min(200.0, (FLOOR - top - down * (grid.rows - 1)) / grid.rows)
    left = MARGIN + (width - wide * grid.columns - gap * (grid.columns - 1)) / 2
    upper = top + (FLOOR - top - high * grid.rows - down * (grid.rows - 1)) * 0.42
    rects = {
        node: plan.Rect(x=left + column * (wide + gap), y=upper + row * (high + down), w=wide, h=high)
        for node, (column, row) in grid.cells.items()
    }
    return rects, gap, Room(width=wide - 44, height=high - 24, largest=46, smallest=24, leading=1.2, lines=4)


def _arrow(canvas: Canvas, points: Sequence[tuple[float, float]]) -> None:
    tip = plan.head(points, 26)
    base = ((tip[1][0] + tip[2][0]) / 2, (tip[1][1] + tip[2][1]) / 2)
    far = [point for point in points if math.dist(point, points[-1]) > 26]
    canvas.path([*(far or points[:1]), base], canvas.colour("muted"), 5)
    canvas.polygon(tip, canvas.colour("muted"))


def _label(canvas: Canvas, label: str, points: Sequence[tuple[float, float]], wide: float) -> None:
    """Write beside an arrow what it means, on a ground of its own that hides whatever else runs there."""
    look = Look(colour=canvas.colour("accent"), weight=MEDIUM)
    room = Room(width=wide, height=70, largest=28, smallest=20, leading=1.15, lines=2)
    fitted = canvas.fitted([label], room, look)
    if not fitted.texts[0]:
        return
    high = height(fitted.texts, room, fitted.size)
    (x1, y1), (x2, y2) = points[(len(points) - 1) // 3], points[-1 - (len(points) - 1) // 3]
    x, y = (x1 + x2) / 2, min(points[len(points) // 2][1], (y1 + y2) / 2) - high - 12
    if abs(y2 - y1) > 0.25 * abs(x2 - x1):
        y = (y1 + y2 - high) / 2  # a steep arrow would run through its label: that stands upon the arrow
    half = max(canvas.length(line, fitted.size, look) for line in fitted.texts[0]) / 2 + 12
    canvas.shape((x - half, y - 6, x + half, y + high + 6), canvas.colour("background"), radius=10)
    canvas.lines(fitted.texts[0], (x, y), fitted.size, room.leading, look, align=0.5)
