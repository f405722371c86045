"""The numbers of a text, as numbers: in digits or in words, with thousands separators, units and percentages. Pure.

"1,024", "1 024" and "one thousand and twenty-four" are the same number, "20 %" is 0.2, and "1.5 minutes" is 90 seconds.
Versions, dates and times of day ("3.11.2", "2026-07-04", "12:30") count as they are written. Digits inside of a word or
a label ("SHA-256", "log2") belong to a name. The word "one" is left out, as it stands for things more often than for 1.
"""

import math
import re
from dataclasses import dataclass

_SMALL = re.findall(
    r"\w+",
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen""",
)
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: value for value, word in enumerate(_SMALL)} | {word: 20 + 10 * i for i, word in enumerate(_TENS)}
_SCALES = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ALONE = {
    "half": 0.5,
    "dozen": 12.0,
    "twice": 2.0,
    "double": 2.0,
    "doubles": 2.0,
    "doubled": 2.0,
    "doubling": 2.0,
    "triple": 3.0,
    "triples": 3.0,
}

_UNITS: dict[str, tuple[str, float]] = {}
for _names, _kind, _factor in (
    ("ns nanosecond nanoseconds", "time", 1e-9),
    ("us µs μs microsecond microseconds", "time", 1e-6),
    ("ms millisecond milliseconds", "time", 1e-3),
    ("s sec second seconds", "time", 1.0),
    ("min minute minutes", "time", 60.0),
    ("h hour hours", "time", 3600.0),
    ("day days", "time", 86400.0),
    ("week weeks", "time", 604800.0),
    ("year years", "year", 1.0),
    ("bit bits", "data", 0.125),
    ("byte bytes B", "data", 1.0),
    ("kB KB kilobyte kilobytes", "data", 1e3),
    ("MB megabyte megabytes", "data", 1e6),
    ("GB gigabyte gigabytes", "data", 1e9),
    ("TB terabyte terabytes", "data", 1e12),
    ("KiB", "data", 2.0**10),
    ("MiB", "data", 2.0**20),
    ("GiB", "data", 2.0**30),
    ("mm millimetre millimetres millimeter millimeters", "length", 1e-3),
    ("cm centimetre centimetres centimeter centimeters", "length", 1e-2),
    ("m metre metres meter meters", "length", 1.0),
    ("km kilometre kilometres kilometer kilometers", "length", 1e3),
    ("g gram grams", "mass", 1e-3),
    ("kg kilogram kilograms", "mass", 1.0),
    ("Hz hertz", "frequency", 1.0),
    ("kHz kilohertz", "frequency", 1e3),
    ("MHz megahertz", "frequency", 1e6),
    ("GHz gigahertz", "frequency", 1e9),
    ("°C", "temperature", 1.0),
):
    _UNITS.update(dict.fromkeys(_names.split(), (_kind, _factor)))

_DIGITS = r"\d{1,3}(?:[,'\u2019\u00a0\u202f\u2009 ]\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+"
_WORD = "|".join(sorted([*_WORDS, *_SCALES, *_ALONE], key=len, reverse=True))
_UNIT = "|".join(sorted(map(re.escape, _UNITS), key=len, reverse=True))
_NUMBER = re.compile(
    rf"""
    (?P<literal>(?<![\w.])\d+(?:[.:/-]\d+){{2,}}(?!\w)|(?<![\w.:])\d{{1,2}}:\d{{2}}(?!\w))
    | (?:(?<![\w.^)])(?P<minus>[-\u2212]))?(?<![A-Za-z_])(?<![A-Za-z]-)(?<!\d)
      (?P<digits>{_DIGITS})(?:/(?P<over>[1-9]\d*))?(?!\d)
      (?:[ \u00a0-]?(?P<scales>(?:hundred|thousand|million|billion|trillion)(?:\s+(?:thousand|million|billion))*)\b)?
    | \b(?P<words>(?:{_WORD})(?:(?:[\s-]+|\s+and\s+)(?:{_WORD}))*)\b
    """,
    re.VERBOSE | re.IGNORECASE,
)
_AFTER = re.compile(
    rf"[ \u00a0\u202f-]?(?:(?P<percent>%|per\s?cent\b|percentage\s+points?\b)|(?P<unit>{_UNIT})(?![\w'\u2019]))"
)
_TAIL = re.compile(r"(?:st|nd|rd|th)\b", re.IGNORECASE)
_ABOUT = re.compile(
    r"\b(?:about|around|roughly|nearly|almost|approximately|some|over|more\s+than|less\s+than|under)\s*$", re.IGNORECASE
)
NEAR = 0.05
"""How far a number that is said to be "about" so much may be from the true one, as a part of it."""


@dataclass(frozen=True, kw_only=True)
class Number:
    """A number as it stands in a text. `value` is in the base unit of its `kind`; None: it counts as it is written."""

    text: str
    value: float | None
    kind: str | None = None
    about: bool = False


def numbers(text: str) -> tuple[Number, ...]:
    """Return the numbers of a text, in their order."""
    found = []
    for match in _NUMBER.finditer(text):
        value = _value(match)
        if match["literal"]:
            found.append(Number(text=match[0], value=None))
        elif value is not None and not _names_a_thing(match, text):
            found.append(_with_unit(match, text, value))
    return tuple(found)


def same(said: Number, true: Number) -> bool:
    """Tell whether the number that is said is the true one; where either has no unit, the value alone counts."""
    if said.value is None or true.value is None:
        return said.text == true.text
    if said.kind is not None and true.kind is not None and said.kind != true.kind:
        return False
    if said.about and not true.about:
        return abs(said.value - true.value) <= NEAR * abs(true.value) + 1e-12
    return math.isclose(said.value, true.value, rel_tol=1e-12, abs_tol=1e-12)


def _value(match: re.Match[str]) -> float | None:
    if match["digits"]:
        value = float(re.sub(r"[^\d.]", "", match["digits"]))
        for word in (match["scales"] or "").lower().split():
            value *= _SCALES[word]
        return (-1 if match["minus"] else 1) * value / float(match["over"] or 1)
    return None if match["literal"] else _of_words(re.split(r"[\s-]+", match["words"].lower()))


def _of_words(words: list[str]) -> float | None:
    """Return what the words say: "two hundred and five thousand" is 205,000. "One" alone, or a scale alone, is none."""
    words = [word for word in words if word != "and"]
    if words == ["one"] or all(word in _SCALES for word in words):
        return None
    total, part = 0.0, 0.0
    for word in words:
        if word in _ALONE:
            part = part * _ALONE[word] if part else _ALONE[word]
        elif word == "hundred":
            part = (part or 1) * 100
        elif word in _SCALES:
            total, part = total + (part or 1) * _SCALES[word], 0.0
        else:
            part += _WORDS[word]
    return total + part


def _names_a_thing(match: re.Match[str], text: str) -> bool:
    """Tell whether letters follow at once, as in "3D" or "2nd": an ordinal is a number, the rest a name."""
    rest = text[match.end() :]
    return (
        bool(match["digits"]) and bool(re.match(r"[A-Za-z_]", rest)) and not (_TAIL.match(rest) or _AFTER.match(rest))
    )


def _with_unit(match: re.Match[str], text: str, value: float) -> Number:
    after, about = _AFTER.match(text, match.end()), bool(_ABOUT.search(text[: match.start()]))
    if after is None:
        return Number(text=match[0], value=value, about=about)
    whole = text[match.start() : after.end()]
    if after["percent"]:
        return Number(text=whole, value=value / 100, about=about)
    kind, factor = _UNITS[after["unit"]]
    return Number(text=whole, value=value * factor, kind=kind, about=about)
