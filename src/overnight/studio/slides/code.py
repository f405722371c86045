"""Code as coloured pieces, cut into the rows that have room. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

Piece = tuple[str, str]
"""Text, and the role of the token that it belongs to: a key of `Theme.code`."""

_ROLES = (
    ("Comment", "comment"),
    ("Literal.String", "string"),
    ("Literal.Number", "number"),
    ("Keyword", "keyword"),
    ("Operator.Word", "keyword"),
    ("Operator", "operator"),
    ("Name.Function", "name"),
    ("Name.Class", "name"),
    ("Name.Builtin", "name"),
    ("Name.Decorator", "keyword"),
)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of code: its number, or None where it goes on from the row before, and its pieces."""

    number: int | None
    pieces: tuple[Piece, ...]


def coloured(code: str, language: str) -> list[list[Piece]]:
    """Return the lines of the code in pieces. A language that is not known leaves it plain. Tabs become four spaces."""
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    code = code.expandtabs(4).rstrip()
    try:
        lexer = get_lexer_by_name(language or "text", stripnl=False)
    except ClassNotFound:
        return [[(line, "plain")] for line in code.split("\n")]
    lines: list[list[Piece]] = [[]]
    for token, text in lexer.get_tokens(code):
        role = next((role for name, role in _ROLES if str(token).startswith(f"Token.{name}")), "plain")
        first, *others = text.split("\n")
        lines[-1].append((first, role))
        lines += [[(other, role)] for other in others]
    return [[piece for piece in line if piece[0]] for line in lines[: code.count("\n") + 1]]


def rows(lines: Sequence[Sequence[Piece]], columns: int) -> list[Row]:
    """Return the lines, each broken into rows of at most so many letters."""
    result = []
    for number, line in enumerate(lines, start=1):
        pieces, left = list[Piece](), columns
        first = True
        for text, role in line:
            rest = text
            while rest:
                if left == 0:
                    result.append(Row(number=number if first else None, pieces=tuple(pieces)))
                    pieces, left, first = [], columns, False
                pieces.append((rest[:left], role))
                rest, left = rest[left:], left - len(pieces[-1][0])
        result.append(Row(number=number if first else None, pieces=tuple(pieces)))
    return result


def fit_rows(
    lines: Sequence[Sequence[Piece]],
    width: float,
    height: float,
    sizes: tuple[float, float],
    *,
    cell: float,
    leading: float,
) -> tuple[list[Row], float, str]:
    """Return the rows of code that have room, the size of the font, and the code that has no room.

    The largest size is taken at which no line must be broken and all have room; at the smallest, long lines are broken
    and the last rows left out. `sizes` are the largest and the smallest; a letter is `cell` times the size wide.
    """
    longest = max((sum(len(text) for text, _ in line) for line in lines), default=0)
    largest, smallest = sizes
    size = min(largest, width / cell / max(1, longest), height / leading / max(1, len(lines)))
    if size >= smallest:
        return rows(lines, max(1, longest)), size, ""
    everything = rows(lines, max(1, int(width / cell / smallest)))
    room = int(height / leading / smallest)
    lost = "\n".join("".join(text for text, _ in row.pieces) for row in everything[room:])
    return everything[:room], smallest, lost
