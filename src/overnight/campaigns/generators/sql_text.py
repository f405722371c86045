"""What a query looks like: its words, its skeleton, and small changes that make it another query. Pure."""

import re
from collections.abc import Iterator

_WORD = re.compile(r"'(?:[^']|'')*'|\d+(?:\.\d+)?|[A-Za-z_][A-Za-z_0-9]*|<=|>=|<>|\|\||\S")
_NAMED = re.compile(r"[a-z_][a-z_0-9]*\Z")
_FUNCTIONS = frozenset({"strftime", "julianday", "date", "length", "substr", "upper", "lower", "abs"})

_INSTEAD = {
    "<=": ">",
    ">=": "<",
    "<": ">=",
    ">": "<=",
    "DESC": "ASC",
    "SUM": "AVG",
    "AVG": "MAX",
    "MIN": "MAX",
    "MAX": "MIN",
    "UNION": "EXCEPT",
    "EXCEPT": "INTERSECT",
    "INTERSECT": "UNION",
    "OR": "AND",
    "NOT": "",
    "DISTINCT": "",
    "LEFT": "",
    "RANK": "ROW_NUMBER",
    "DENSE_RANK": "ROW_NUMBER",
    "LAG": "LEAD",
    "LEAD": "LAG",
}
"""Small slips of somebody who writes a query, less those that would join every row with every other."""


def words(sql: str) -> list[str]:
    """Return the tokens of a query: literals, numbers, words and signs."""
    return _WORD.findall(sql)


def skeleton(sql: str) -> str:
    """Return the query with names as `x`, texts as `s` and numbers as `0`.

    A list of the same things counts as one of them, so that a query of three columns has the skeleton of one of two.
    """
    parts = [_part(word) for word in words(sql)]
    text = re.sub(r"x \. x", "x", " ".join(parts))
    text = re.sub(r"x AS x", "x", text)
    return re.sub(r"\b([xs0])(?: , \1\b)+", r"\1", text)


def _part(word: str) -> str:
    if word[0] == "'":
        return "s"
    if word[0].isdigit():
        return "0"
    return "x" if _NAMED.match(word) and word not in _FUNCTIONS else word


def slips(sql: str) -> Iterator[str]:
    """Yield the query with one small change at a time, from its beginning to its end."""
    found = list(_WORD.finditer(sql))
    between = False
    for at, match in enumerate(found):
        word, after = match[0], found[at + 1][0] if at + 1 < len(found) else ""
        changed = _INSTEAD.get(word)
        if word == "BETWEEN":
            between = True
        elif word == "AND":
            changed, between = None if between else "OR", False
        elif word == "=" and (after[0] == "'" or after[0].isdigit()):
            changed = "<>"
        elif word[0].isdigit() and found[at - 1][0] in ("LIMIT", "OFFSET", "<=", ">=", "<", ">", "="):
            changed = f"{float(word) + 1:g}"
        if changed is not None:
            yield sql[: match.start()] + changed + sql[match.end() :]
