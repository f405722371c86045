"""Whether what a model answers is an answer, what kind it is, and whether it is the right one. Pure."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

Json = Any  # Any: JSON, or what should have been

CONFIDENCE = "confidence"
"""What an answer says beside the answer itself."""
_DEPTH = 32
_SHOWN = 60
_NULL = "null"
MOST_NAMES = 500
"""Names of one object; where there are more, they are data, of which any may come."""


def fault(outputs: Json, count: int) -> str | None:
    """Return why these are not the answers to so many inputs, in one line; None where they are."""
    if not isinstance(outputs, list) or len(outputs) != count:
        return f"{count} inputs got {len(outputs) if isinstance(outputs, list) else type(outputs).__name__} as answers"
    return next((f"answer {place}: {why}" for place, one in enumerate(outputs) if (why := _fault(one))), None)


def _fault(value: Json, depth: int = 0) -> str | None:
    if depth > _DEPTH:
        return "nested too deeply"
    match value:
        case None | bool() | str() | int():
            return None
        case float():
            return None if math.isfinite(value) else f"{value!r} is not a finite number"
        case list():
            return next((why for one in value if (why := _fault(one, depth + 1))), None)
        case dict() if all(isinstance(name, str) for name in value):
            return next((f"{name}: {why}" for name, one in value.items() if (why := _fault(one, depth + 1))), None)
        case _:
            return f"{repr(value)[:_SHOWN]} is not JSON"


def kind_of(output: Json) -> str:
    """Return what kind of answer that is, such as "number" or "{confidence: number, intent: text}".

    A list is one of whatever its first item is.
    """
    match output:
        case None:
            return _NULL
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "text"
        case Mapping():
            return f"{{{', '.join(f'{name}: {kind_of(output[name])}' for name in sorted(output))}}}"
        case _:
            return f"[{kind_of(output[0]) if output else ''}]"


@dataclass(frozen=True, kw_only=True)
class Kinds:
    """The kinds of all answers that were seen at one place; null, and an empty list, are of every kind."""

    plain: frozenset[str] = frozenset()
    """Such as "number"."""
    fields: "Mapping[str, Kinds] | None" = None
    """Of objects, by name; None: there was none. `always` are the names that each of them had."""
    always: frozenset[str] = frozenset()
    items: "Kinds | None" = None
    """Of the first items of lists; None: there was none."""

    def with_(self, output: Json) -> "Kinds":
        """Return the kinds with those of a further answer."""
        match output:
            case None:
                return self
            case Mapping():
                known = self.fields or {}
                more = {name: known.get(name, Kinds()).with_(value) for name, value in output.items()}
                always = set(output) if self.fields is None else self.always & set(output)
                fields = known if len(known) > MOST_NAMES else {**known, **more}
                return replace(self, fields=fields, always=frozenset(always))
            case list():
                items = self.items or Kinds()
                return replace(self, items=items.with_(output[0]) if output else items)
            case _:
                return replace(self, plain=self.plain | {kind_of(output)})

    def fit(self, output: Json) -> bool:
        """Tell whether an answer is of a kind that was seen: no new name, and none missing that was always there."""
        if output is None or self == Kinds():
            return True
        match output:
            case Mapping():
                fields = self.fields
                if fields is None or not self.always <= set(output):
                    return False
                if not set(output) <= set(fields):
                    return len(fields) > MOST_NAMES
                return all(fields[name].fit(value) for name, value in output.items())
            case list():
                return self.items is not None and (not output or self.items.fit(output[0]))
            case _:
                return kind_of(output) in self.plain

    def __str__(self) -> str:
        """As `kind_of` says it; a name that is not always there has a question mark."""
        told = sorted(self.plain)
        if self.fields is not None:
            fields = sorted(self.fields.items())
            names = (f"{name}{'' if name in self.always else '?'}: {kinds}" for name, kinds in fields)
            told.append(f"{{{', '.join(names)}}}")
        if self.items is not None:
            told.append(f"[{self.items}]")
        return " or ".join(told) or _NULL


def same_schema(number: str, other: str) -> bool:
    """Tell whether two versions are said to answer the same kind of thing: their first number is the same."""
    return number.split(".", 1)[0] == other.split(".", 1)[0]


def answer_in(output: Json) -> Json:
    """Return the answer in an output: what stands beside the confidence, where that is one thing."""
    if isinstance(output, Mapping) and CONFIDENCE in output and len(output) == 2:
        return next(value for name, value in output.items() if name != CONFIDENCE)
    return output


def confidence_in(output: Json) -> float | None:
    """Return how sure the model was, 0 to 1; None where it does not say."""
    sure = output.get(CONFIDENCE) if isinstance(output, Mapping) else None
    number = isinstance(sure, int | float) and not isinstance(sure, bool) and 0 <= sure <= 1
    return float(sure) if number and sure is not None else None


def score(output: Json, expected: Json) -> float | None:
    """Return 1 where the answer is the expected one and 0 where it is another; None for numbers.

    How far a number may be off is not known here.
    """
    if any(isinstance(one, float) for one in (answer_in(output), expected)):
        return None
    return float(expected in (output, answer_in(output)))


def disagreements(outputs: Sequence[Json], others: Sequence[Json]) -> int:
    """Return how many answers differ, whatever their confidence."""
    return sum(answer_in(one) != answer_in(other) for one, other in zip(outputs, others, strict=True))
