r"""Writes a draft down as narration: with markers for the voice and cues for what is shown. Pure.

A cue ends at the bracket that balances its first one, so code may hold brackets in pairs; what does not balance, or
holds the marks that separate cells and lines, is not shown.
"""

import re
from collections.abc import Iterator

from angles import Role
from composing import Draft, Part
from documents import Block, Kind
from prose import words
from style_guide import StyleGuide

MOST_LINES = 17
"""Of a program on a slide; blank lines part it into pieces, and the last ones that do not fit are left out."""
MOST_ROWS = 8
MANNERS = {
    Role.HOW: "[explanatory] ",
    Role.EXAMPLE: "[explanatory] ",
    Role.CODE: "[explanatory] ",
    Role.COST: "[explanatory] ",
    Role.MISTAKES: "[cautionary] ",
}


def narration(draft: Draft, guide: StyleGuide) -> str:
    """Return the whole script, a paragraph for each part."""
    pause = f"[pause {guide.pause_s:g}]"
    paragraphs = [
        f"[show title: {_title(draft.title)}]\n[enthusiastic] {safe(draft.hook)} {pause}",
        f"[explanatory] {safe(draft.intro)} {pause}",
        *(f"{_part(part)} {pause}" for part in draft.parts),
        f"[show title: In short]\n{safe(draft.summary)} {pause}",
        f"[enthusiastic] {safe(draft.cta)}",
    ]
    return "\n\n".join(paragraphs)


def safe(text: str) -> str:
    """Return a text that holds no marker: its square brackets become round ones."""
    return text.replace("[", "(").replace("]", ")")


def _part(part: Part) -> str:
    manner = MANNERS.get(part.role, "")
    shown = list(cues(part.passage.blocks))
    said = [safe(sentence) for sentence in part.sentences]
    strong = _strongest(said, part.role)
    if strong is not None:
        said[strong] = f"[emphasize] {said[strong]}"
    # The source stands there while the last sentence is said, and a second picture comes in the middle.
    said.insert(len(said) - 1, f"[show citation: {part.passage.passage_id}]")
    if len(shown) > 1:
        said.insert(len(said) // 2, shown[1])
    lines = [f"[show title: {_title(part.title)}]", safe(part.transition), *shown[:1], manner + " ".join(said)]
    return "\n".join(line for line in lines if line)


def _title(text: str) -> str:
    return safe(text).replace("|", "/")


def _strongest(said: list[str], role: Role) -> int | None:
    """Return the sentence to stress: the one with the most figures of a cost, and the result of an example."""
    figures = [sum(word[0].isdigit() for word in words(sentence)) for sentence in said]
    places = {Role.COST: range(1, len(said)), Role.EXAMPLE: range(len(said) - 1, len(said))}.get(role, range(0))
    best = max(places, key=lambda place: figures[place], default=None)
    return best if best is not None and figures[best] else None


def cues(blocks: tuple[Block, ...]) -> Iterator[str]:
    """Return a cue for each table, program and diagram that can be shown."""
    for block in blocks:
        content = _shown(block)
        if content and _balanced(content):
            yield f"[show {block.kind}: {content}]"


def _shown(block: Block) -> str:
    if block.kind is Kind.DIAGRAM:
        return " ; ".join(line.strip() for line in block.text.splitlines() if "->" in line)
    if block.kind is Kind.TABLE:
        rows = [" | ".join(cell.replace(";", ",") or " " for cell in row) for row in block.rows[: MOST_ROWS + 1]]
        return " ; ".join(rows)
    if block.kind is Kind.CODE and "\\n" not in block.text:
        lines = _lines(block.text)
        return f"{block.language or 'text'} | " + r" \n ".join(lines) if lines else ""
    return ""


def _lines(code: str) -> list[str]:
    """Return the first lines of a program, up to a blank line where not all of them fit."""
    lines = re.sub(r"\n\s*\n\s*\n", "\n\n", code.strip("\n")).split("\n")
    if len(lines) <= MOST_LINES:
        return lines
    blanks = [place for place, line in enumerate(lines[: MOST_LINES + 1]) if not line.strip()]
    whole = [place for place in blanks if place and not lines[place + 1].startswith((" ", "\t"))]
    return lines[: whole[-1]] if whole else lines[:MOST_LINES]


def _balanced(content: str) -> bool:
    depth = 0
    for sign in content:
        depth += (sign == "[") - (sign == "]")
        if depth < 0:
            return False
    return depth == 0
