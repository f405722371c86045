"""Which cell of a row becomes which field of a record: column names, or JMESPath expressions for nested rows."""

from collections.abc import Callable, Mapping
from typing import Any

from overnight.data.records import Unusable
from overnight.data.sources.expressions import DoesNotFit, Expression

Row = Mapping[str, Any]  # Any: a cell holds whatever JSON holds
Pick = Callable[[Row], Any]  # Any: as above


def picker(source: str, fields: Mapping[str, str]) -> Callable[[Row], Row]:
    """Return what takes the cells out of a row by the mapping `sources.NAME.fields`; without one, the row as it is.

    An expression that is the name of a column means that column; "a.b" means the cell b of the object in a.

    What is returned raises:
        ConfigError: an expression is not JMESPath; the message names it.
        MissingExtra: it needs the library, and that is not installed.
        Unusable: an expression does not fit what is in this row.
    """
    if not fields:
        return lambda row: row
    picks = {name: _pick(f"sources.{source}.fields.{name}", expression) for name, expression in fields.items()}

    def cells(row: Row) -> Row:
        return {name: pick(row) for name, pick in picks.items()}

    return cells


def _pick(key: str, expression: str) -> Pick:
    words = expression.split(".")
    if all(word.isidentifier() for word in words):
        # By far the most common, and twenty times as fast as an expression.
        return lambda row: row[expression] if expression in row else _walk(row, words)
    compiled: Expression | None = None

    def pick(row: Row) -> Any:
        nonlocal compiled
        if expression in row:
            return row[expression]
        compiled = compiled or Expression(key, expression)
        try:
            return compiled.search(row)
        except DoesNotFit as error:
            raise Unusable(f"{key}: {expression!r} does not fit: {error}") from error

    return pick


def _walk(row: Any, words: list[str]) -> Any:
    for word in words:
        if not isinstance(row, Mapping):
            return None
        row = row.get(word)
    return row
