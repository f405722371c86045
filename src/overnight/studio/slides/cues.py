"""Slides from what a script says shall be shown, as it stands in a cue such as `[show diagram: a -> b -> c]`. Pure."""

import re
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise

from overnight.base.errors import UserMistake
from overnight.studio.slides.slide import Bar, Edge, Kind, Slide

_MOST = 1e15
_NUMBER = re.compile(r"[-+]?\d[\d,]*(?:\.\d+)?|[-+]?\.\d+")


def slide_of(
    show: str,
    content: str,
    *,
    title: str = "",
    quotes: Mapping[str, tuple[str, str]],
    source: str = "",
    footer: str = "",
) -> Slide:
    r"""Return the slide of a cue.

    | show     | content                                                                     |
    |----------|-----------------------------------------------------------------------------|
    | title    | `text`, or `text | a line below it`                                         |
    | diagram  | `a -> b -> c`, more chains after `;`, the last arrow's label after `: `; or bars: `a = 3 ; b = 40 %` |
    | code     | `language | line \n line`                                                   |
    | table    | `a | b ; 1 | 2`: rows after `;`, the first is the head                      |
    | citation | the id of one of `quotes`, which are (text, source) by id                   |

    `title` stands above it, unless it has one of its own; `source` and `footer` stand below.

    Raises:
        UserMistake: that cannot be shown; the message says why.
    """
    makers = {"title": _title, "diagram": _diagram, "code": _code, "table": _table}
    if not content.strip():
        raise UserMistake(f"[show {show}: ] says nothing to show")
    if show == "citation":
        if content.strip() not in quotes:
            raise UserMistake(f"[show citation: {content.strip()}]: there is no citation of that id")
        text, origin = quotes[content.strip()]
        return Slide(kind=Kind.CITATION, title=title, text=text, source=origin, footer=footer)
    if show not in makers:
        raise UserMistake(f"[show {show}: ...]: there are title, diagram, code, table and citation")
    slide = makers[show](content.strip())
    return replace(slide, title=slide.title or title, source=source, footer=footer)


def _title(content: str) -> Slide:
    title, _, text = (part.strip() for part in content.partition("|"))
    if not title:
        raise UserMistake(f"[show title: {content}]: there is no title before the mark")
    return Slide(kind=Kind.TITLE, title=title, text=text)


def _code(content: str) -> Slide:
    language, bar, code = content.partition("|")
    if not bar:
        language, code = "", content
    if not code.replace("\\n", "").strip():
        raise UserMistake(f"[show code: {content}]: there is no code in it")
    lines = code.replace("\\n", "\n").split("\n")
    # `| a \n b`: the blanks around the mark are not the code's, those at the begin of a line after the first blank are.
    lines = [line.rstrip() for line in lines]
    lines = [line[1:] if line.startswith(" ") else line for line in lines]
    return Slide(kind=Kind.CODE, language=language.strip().lower(), code="\n".join(lines).strip("\n"))


def _table(content: str) -> Slide:
    rows = [tuple(cell.strip() for cell in row.split("|")) for row in content.split(";") if row.strip()]
    if not any(cell for row in rows for cell in row):
        raise UserMistake(f"[show table: {content}]: there is nothing beside the marks")
    width = max(map(len, rows))
    filled = tuple(row + ("",) * (width - len(row)) for row in rows)
    return Slide(kind=Kind.TABLE, rows=filled)


def _diagram(content: str) -> Slide:
    chains = [chain.strip() for chain in content.split(";") if chain.strip()]
    if "->" not in content and chains and all("=" in chain for chain in chains):
        return Slide(kind=Kind.BARS, bars=tuple(map(_bar, chains)))
    nodes, edges = dict[str, None](), list[Edge]()
    for chain in chains:
        *others, last = chain.split("->")
        last, _, label = last.partition(": ") if others else (last, "", "")
        stops = [stop.strip() for stop in (*others, last) if stop.strip()]
        nodes.update(dict.fromkeys(stops))
        for number, (a, b) in enumerate(pairwise(stops), start=2):
            edges += [Edge(begin=a, end=b, label=label.strip() if number == len(stops) else "")] if a != b else []
    if not nodes:
        raise UserMistake(f"[show diagram: {content}]: there is nothing beside the arrows")
    return Slide(kind=Kind.DIAGRAM, nodes=tuple(nodes), edges=tuple(dict.fromkeys(edges)))


def _bar(chain: str) -> Bar:
    label, _, shown = (part.strip() for part in chain.rpartition("="))
    number = _NUMBER.search(shown)
    if number is None:
        raise UserMistake(f"[show diagram: {chain}]: {shown!r} is not a number")
    value = float(number.group().replace(",", ""))
    if not 0 <= value <= _MOST:
        raise UserMistake(f"[show diagram: {chain}]: a bar is 0 to {_MOST:g} long")
    return Bar(label=label, value=value, shown=shown)
