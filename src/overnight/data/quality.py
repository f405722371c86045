"""How good a record is, from 0 to 10, as a sum of terms that a person can take apart. Pure.

Each category has its terms; each term has a formula, the fields that it needs, and the most that it can give (its
reach). A term whose fields the source does not have at all is left out, and the sum is rescaled to 10 by what the
others can reach. Where the source has a field and this record does not, the term gives 0. Nothing is given for free:
every term looks at a field. Recency counts from the instant that the source stands for (`as_of`).

Popularity enters by its logarithm (base 10), because views and likes are spread over many powers of ten.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from overnight.base.errors import PermanentError
from overnight.data.records import body_of, number_in, value_of

Record = Mapping[str, Any]  # Any: a cell holds whatever JSON holds

BEST = 10.0

CONFLICT = re.compile(
    r"\b(against|argu(e|es|ing|ments?)|battl(e|es|ing)|betray(s|ed|al)?|blackmail(s|ed)?|chas(e|es|ed|ing)"
    r"|confront(s|ed|ation)?|conspir\w+|crimes?|cursed?|danger(s|ous)?|deadly|deaths?|enem(y|ies)|escap(e|es|ed|ing)"
    r"|fights?|fighting|fought|kill(s|ed|ers?|ing)?|lies|lost|murder(s|ed|ers?|ous)?|must|rac(e|es|ing)|revenge"
    r"|rival(s|ry)?|secrets?|steal(s|ing)?|stolen|struggl(e|es|ing)|surviv(e|es|al|ors?)|threat(s|en|ens|ened)?"
    r"|trap(s|ped)?|versus|wars?)\b",
    re.IGNORECASE,
)
"""Words that a premise with a conflict can hardly do without."""
_SAID = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_ROLE = re.compile(r"\b(act as|you are|your (task|role|job)|i want you to|imagine)\b", re.IGNORECASE)
_FORM = re.compile(r"\b(format|table|list|json|markdown|steps?|bullet|words|sentences|reply|output|example)\b", re.I)
_SLOT = re.compile(r"(\[[^\]\n]{2,40}\]|\{[^}\n]{1,40}\}|<[^>\n]{2,40}>|\$\{)")


@dataclass(frozen=True, kw_only=True)
class Sight:
    """A record as a term sees it."""

    record: Record
    as_of: datetime

    def number(self, name: str) -> float:
        """Return the number in that field, also where a source gives it as text; 0 where this record has none."""
        return number_in(value_of(self.record, name)) or 0.0

    def has(self, name: str, *, number: bool) -> bool:
        """Tell whether this record has the field, and a number in it if it must be one."""
        value = value_of(self.record, name)
        return number_in(value) is not None if number else value is not None

    def age_days(self) -> float:
        """Return the days from publication to `as_of`, at least 0."""
        published = datetime.fromisoformat(str(self.record["published_at"]))
        return max(0.0, (self.as_of - published).total_seconds() / 86_400)

    def text(self) -> str:
        """Return the title and what the record says at length."""
        return body_of(self.record) or str(self.record["title"])


@dataclass(frozen=True, kw_only=True)
class Term:
    """A part of a category's quality: its formula for a person and for the program.

    `needs` are fields that the source must have, all of them; with `any_of`, one is enough.
    """

    name: str
    formula: str
    reach: float
    needs: tuple[str, ...]
    value: Callable[[Sight], float]
    any_of: bool = False
    numbers: bool = True
    """Whether the fields must hold numbers."""

    def applies(self, fields: frozenset[str]) -> bool:
        """Tell whether a source with these fields can have this term."""
        return (any if self.any_of else all)(name in fields for name in self.needs)


@dataclass(frozen=True, kw_only=True)
class Part:
    """What one term gave to one record. `value` None: left out, because the source lacks the field."""

    name: str
    formula: str
    reach: float
    needs: tuple[str, ...]
    value: float | None
    missing: bool = False
    """True where the source has the field and this record does not."""


@dataclass(frozen=True, kw_only=True)
class Quality:
    """A record's quality, 0 to 10, and how it came about; None where no term applies."""

    quality: float | None
    parts: tuple[Part, ...]
    value: float
    """The sum of what the terms gave."""
    reach: float
    """What they could have given together: the scale is 10 / reach."""


Scorer = Callable[[Record, datetime, frozenset[str]], Quality]
"""From a record, its source's `as_of` and its source's fields to its quality."""


def log_share(value: float, factor: float, most: float) -> float:
    """Return min(most, log10(value) * factor); 0 for values up to 1."""
    return min(most, math.log10(value) * factor) if value > 1 else 0.0


def _log(field: str, factor: float, most: float, *, plus_one: bool = False, called: str = "") -> Term:
    called = called or field
    inside = f"1 + {called}" if plus_one else called
    shift = 1.0 if plus_one else 0.0
    return Term(
        name=called,
        formula=f"min({most:g}, log10({inside}) x {factor:g})",
        reach=most,
        needs=(field,),
        value=lambda sight: log_share(sight.number(field) + shift, factor, most),
    )


def _recency(steps: tuple[tuple[float, float], ...], rest: float) -> Term:
    shown = ", ".join(f"up to {days:g} days {points:g}" for days, points in steps)

    def value(sight: Sight) -> float:
        age = sight.age_days()
        return next((points for days, points in steps if age <= days), rest)

    return Term(
        name="recency",
        formula=f"{shown}, else {rest:g}",
        reach=max(points for _, points in steps),
        needs=("published_at",),
        value=value,
        numbers=False,
    )


def _presence(field: str) -> Term:
    formula = f"1 if {field} is known"
    return Term(name=field, formula=formula, reach=1.0, needs=(field,), value=lambda sight: 1.0, numbers=False)


def _share(name: str, formula: str, most: float, needs: tuple[str, ...], value: Callable[[Sight], float]) -> Term:
    return Term(
        name=name, formula=formula, reach=most, needs=needs, value=lambda sight: min(most, max(0.0, value(sight)))
    )


def _likes_per_stream(sight: Sight) -> float:
    streams = sight.number("views")
    return 100 * sight.number("likes") / streams if streams else 0.0


def _discussed(sight: Sight) -> float:
    return log_share(sight.number("likes"), 0.5, 4.0) + log_share(sight.number("comments"), 0.25, 4.0)


def _conflict(sight: Sight) -> float:
    said = str(value_of(sight.record, "conflict")).strip().lower()
    named = CONFLICT.search(sight.text()) is not None
    return 3.0 if _SAID.get(said, named) else 1.0


def _attention(sight: Sight) -> float:
    return 2.0 if sight.number("likes") > 1000 or sight.number("views") > 100_000 else 1.0


def _instruction(sight: Sight) -> float:
    text = sight.text()
    return float(bool(_ROLE.search(text))) + float(bool(_FORM.search(text))) + float(bool(_SLOT.search(text)))


TERMS: Mapping[str, tuple[Term, ...]] = {
    "trend": (
        _log("views", 0.5, 2, plus_one=True),
        _log("likes", 0.5, 2, plus_one=True),
        _log("comments", 0.5, 1, plus_one=True),
        _recency(((7, 3), (14, 2), (30, 1)), 0.5),
        Term(
            name="attention",
            formula="2 if likes > 1,000 or views > 100,000, else 1",
            reach=2.0,
            needs=("likes", "views"),
            value=_attention,
            any_of=True,
        ),
    ),
    "audio": (
        _log("views", 0.5, 3, called="streams"),
        _log("likes", 0.5, 1),
        _presence("bpm"),
        _presence("energy"),
        _presence("danceability"),
        _share("likes per stream", "min(2, 100 x likes / streams)", 2, ("likes", "views"), _likes_per_stream),
        _recency(((7, 1.0), (30, 0.7)), 0.3),
    ),
    "creator": (
        _log("followers", 0.5, 4),
        _share(
            "engagement rate",
            "min(3, 30 x engagement_rate)",
            3,
            ("engagement_rate",),
            lambda sight: 30 * sight.number("engagement_rate"),
        ),
    ),
    "screenplay": (
        Term(
            name="discussed",
            formula="min(4, log10(upvotes) / 2 + log10(comments) / 4)",
            reach=4.0,
            needs=("likes", "comments"),
            value=lambda sight: min(4.0, _discussed(sight)),
            any_of=True,
        ),
        Term(
            name="conflict",
            formula="3 if `conflict` is true or, where it is not given, the text names a conflict; else 1",
            reach=3.0,
            needs=("conflict", "text", "summary", "description"),
            value=_conflict,
            any_of=True,
            numbers=False,
        ),
    ),
    "sound": (_log("likes", 0.5, 4, called="upvotes"), _log("comments", 0.5, 3)),
    "distribution": (
        _log("views", 0.5, 4),
        _log("shares", 1 / 1.5, 3),
        _share("click-through rate", "min(2, 20 x ctr)", 2, ("ctr",), lambda sight: 20 * sight.number("ctr")),
    ),
    "prompt": (
        Term(
            name="instruction",
            formula="1 each for a role, a form of the answer, and a slot to fill in",
            reach=3.0,
            needs=("text", "summary", "description"),
            value=_instruction,
            any_of=True,
            numbers=False,
        ),
        Term(
            name="length",
            formula="min(2, words / 30)",
            reach=2.0,
            needs=("text", "summary", "description"),
            value=lambda sight: min(2.0, len(sight.text().split()) / 30),
            any_of=True,
            numbers=False,
        ),
        _log("likes", 1.0, 3, plus_one=True, called="votes"),
        _recency(((30, 2.0), (180, 1.0)), 0.5),
    ),
}
"""The built-in categories. `streams` are views; `upvotes` and `votes` are likes."""


def computed_from(category: str, target: str) -> frozenset[str]:
    """Return the fields that a target is computed from: those of its category's terms, for the built-in quality."""
    if target != "quality_score":
        return frozenset()
    return frozenset(name for term in TERMS.get(category, ()) for name in term.needs)


NEEDS = frozenset(name for terms in TERMS.values() for term in terms for name in term.needs)
"""The fields that some term looks at."""


def scorer_of(category: str) -> Scorer | None:
    """Return the category's built-in scorer; None where it has none, and quality is not measured."""
    terms = TERMS.get(category)
    if terms is None:
        return None
    return lambda record, as_of, fields: measure(terms, record, as_of, fields)


def measure(terms: tuple[Term, ...], record: Record, as_of: datetime, fields: frozenset[str]) -> Quality:
    """Return the record's quality by these terms; `fields` are those that its source has."""
    sight = Sight(record=record, as_of=as_of)
    return total(tuple(_part(term, sight, fields) for term in terms))


def _part(term: Term, sight: Sight, fields: frozenset[str]) -> Part:
    value: float | None = None
    missing = False
    if term.applies(fields):
        missing = not (any if term.any_of else all)(sight.has(name, number=term.numbers) for name in term.needs)
        value = 0.0 if missing else term.value(sight)
    return Part(name=term.name, formula=term.formula, reach=term.reach, needs=term.needs, value=value, missing=missing)


def total(parts: tuple[Part, ...]) -> Quality:
    """Return the quality that the parts make: 10 x what they gave / what they could have given."""
    value = math.fsum(part.value for part in parts if part.value is not None)
    reach = math.fsum(part.reach for part in parts if part.value is not None)
    quality = min(BEST, max(0.0, BEST * value / reach)) if reach else None
    return Quality(quality=quality, parts=parts, value=value, reach=reach)


def own_scorer(name: str, score: Callable[[dict[str, Any], datetime], Any]) -> Scorer:  # Any: a project's own answer
    """Return a project's own function as a scorer; `name` is its place in the settings, for messages.

    The function takes the record and its source's `as_of`, and returns for each of its terms a pair of numbers, what
    it gives and the most that it can give, or None where it does not apply.

    Its errors pass through. The scorer raises:
        PermanentError: the function answers anything else; the message names the record and the term.
    """

    def scorer(record: Record, as_of: datetime, fields: frozenset[str]) -> Quality:
        answer = score(dict(record), as_of)
        if not isinstance(answer, Mapping):
            raise PermanentError(f"{name}: record {record['id']!r}: must return a dict of terms, not {answer!r:.80}")
        return total(tuple(_own_part(name, record, term, given) for term, given in answer.items()))

    return scorer


def _own_part(name: str, record: Record, term: object, given: object) -> Part:
    if given is None:
        return Part(name=str(term), formula="the project's own", reach=0.0, needs=(), value=None)
    pair = tuple(given) if isinstance(given, tuple | list) else ()
    numbers = [float(one) for one in pair if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(pair) != 2 or len(numbers) != 2 or not 0 <= numbers[0] <= numbers[1] < math.inf or numbers[1] == 0:
        raise PermanentError(
            f"{name}: record {record['id']!r}: term {term!r} is {given!r:.80}; allowed are None and (value, reach) "
            "with 0 <= value <= reach and reach above 0"
        )
    return Part(name=str(term), formula="the project's own", reach=numbers[1], needs=(), value=numbers[0])
