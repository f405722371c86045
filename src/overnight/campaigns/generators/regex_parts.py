"""The parts that regular expressions are put together from: each can say what it matches, and make such texts. Pure.

A part makes texts that it matches, and texts that it mostly does not; whoever uses the latter looks whether that is so.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

Make = Callable[["Random"], str]


@dataclass(frozen=True)
class Piece:
    """A piece of an expression, the same in words, and texts that it matches (`good`) and mostly does not (`bad`).

    One that `looks` matches no text of its own: it says something of the whole text, and has to stand at its beginning.
    """

    pattern: str
    said: str
    good: Make
    bad: Make
    looks: bool = False


SETS: Mapping[str, tuple[str, str, str]] = {
    "[0-9]": ("digit", "0123456789", "AxZ-"),
    "[A-Z]": ("capital letter", "ABCDEFGHKLMNPRSTUVWXYZ", "abz5"),
    "[a-z]": ("lower-case letter", "abcdefghiklmnoprstuvwxyz", "ABZ7"),
    "[A-Za-z]": ("letter", "ABCDEXYZabcdexyz", "05-_"),
    "[A-Z0-9]": ("capital letter or digit", "ABCXYZ0123456789", "abx-"),
    "[0-9a-f]": ("hexadecimal digit in lower case", "0123456789abcdef", "ghxAF"),
    "[aeiou]": ("lower-case vowel", "aeiou", "bcdA1"),
    "[a-z_]": ("lower-case letter or underscore", "abcdefxyz_", "AB5-"),
    "[01]": ("0 or 1", "01", "2a"),
    "[^,; ]": ("character other than a comma, a semicolon or a space", "abcXYZ0189.-", ",; "),
}
"""What a set is called, characters of it, and characters that are not."""

RANGES: Mapping[str, tuple[str, Sequence[str], Sequence[str]]] = {
    "month": (r"(?:0[1-9]|1[0-2])", [f"{n:02}" for n in range(1, 13)], ["00", "13", "5", "20"]),
    "day of a month": (r"(?:0[1-9]|[12][0-9]|3[01])", [f"{n:02}" for n in range(1, 32)], ["00", "32", "7", "41"]),
    "hour": (r"(?:[01][0-9]|2[0-3])", [f"{n:02}" for n in range(24)], ["24", "30", "8", "99"]),
    "minute": (r"[0-5][0-9]", [f"{n:02}" for n in range(60)], ["60", "75", "5", "123"]),
    "year from 1900 to 2099": (r"(?:19|20)[0-9]{2}", [f"{n}" for n in range(1900, 2100, 7)], ["1899", "2100", "99"]),
    "number from 0 to 255": (
        r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])",
        [f"{n}" for n in (0, 7, 10, 64, 99, 100, 127, 192, 199, 200, 249, 250, 255)],
        ["256", "300", "999", "007"],
    ),
    "number from 0 to 100": (r"(?:100|[1-9]?[0-9])", [f"{n}" for n in range(101)], ["101", "250", "05"]),
    "number from 1 to 12": (r"(?:[1-9]|1[0-2])", [f"{n}" for n in range(1, 13)], ["0", "13", "05"]),
}

WORDS = (
    "red, blue, green / GET, PUT, POST, HEAD / jpg, png, gif, svg / Mon, Tue, Wed, Thu, Fri / INFO, WARN, ERROR / "
    "north, south, east, west / EUR, USD, GBP / alpha, beta, rc / left, right / yes, no / tcp, udp, sctp / kg, lb"
)
PREFIXES = ("INV", "ORD", "REF", "id", "v", "TKT", "no", "SKU", "lot", "A", "item", "ref")
SIGNS: Mapping[str, str] = {
    "-": "a hyphen",
    "/": "a slash",
    ".": "a dot",
    ":": "a colon",
    "_": "an underscore",
    "#": "a number sign",
    "@": "an at sign",
    "+": "a plus sign",
    "~": "a tilde",
    ",": "a comma",
    "=": "an equals sign",
    "|": "a vertical bar",
}


def text_of(random: "Random") -> Piece:
    """Return a fixed word."""
    word = random.choice(PREFIXES)
    other = random.choice([one for one in PREFIXES if one != word])
    return Piece(
        re.escape(word), f"the text '{word}'", lambda _: word, lambda chance: chance.choice((other, word[1:], ""))
    )


def sign_of(random: "Random") -> Piece:
    """Return a sign that separates."""
    sign, said = random.choice(list(SIGNS.items()))
    others = [one for one in SIGNS if one != sign]
    return Piece(
        _escaped(sign), said, lambda _: sign, lambda chance: chance.choice(["", sign * 2, chance.choice(others)])
    )


def run_of(random: "Random") -> Piece:
    """Return some characters of a set."""
    pattern, (said, inside, outside) = random.choice(list(SETS.items()))
    low = random.randrange(1, 5)
    high = low + random.choice((0, 0, 1, 2, 3))

    def good(chance: "Random") -> str:
        return "".join(chance.choices(inside, k=chance.randint(low, high)))

    def bad(chance: "Random") -> str:
        text = good(chance)
        at = chance.randrange(len(text))
        wrong = text[:at] + chance.choice(outside) + text[at + 1 :]
        return chance.choice((wrong, text[: low - 1], "".join(chance.choices(inside, k=high + 1))))

    if low == high:
        return Piece(pattern + (f"{{{low}}}" if low > 1 else ""), _counted(low, said), good, bad)
    return Piece(f"{pattern}{{{low},{high}}}", f"{low} to {high} {_many(said)}", good, bad)


def choice_of(random: "Random") -> Piece:
    """Return one of some words."""
    words = random.choice([part.strip().split(", ") for part in WORDS.split("/")])
    some = random.sample(words, random.randrange(2, len(words) + 1))
    others = [word for word in words if word not in some] + [some[0].swapcase(), some[0][:-1], some[0] + some[-1]]
    said = f"one of {', '.join(repr(word) for word in some)}"
    if random.random() < 0.2:
        said, pattern = f"{said}, in upper or lower case", f"(?i:{'|'.join(some)})"
        return Piece(
            pattern, said, lambda chance: _any_case(chance, some), lambda chance: chance.choice(["x", some[0][1:]])
        )
    return Piece(
        f"(?:{'|'.join(some)})", said, lambda chance: chance.choice(some), lambda chance: chance.choice(others)
    )


def range_of(random: "Random") -> Piece:
    """Return a number within bounds."""
    said, (pattern, inside, outside) = random.choice(list(RANGES.items()))
    digits = " with two digits" if inside[0][0] == "0" and len(inside[0]) == 2 else " without leading zeros"
    name = f"a {said}" if "year" in said else f"{'an' if said == 'hour' else 'a'} {said}{digits}"
    if said in ("month", "day of a month") or (said in ("hour", "minute")):
        name = f"{'an' if said == 'hour' else 'a'} {said} ({inside[0]} to {inside[-1]})"
    return Piece(pattern, name, lambda chance: chance.choice(inside), lambda chance: chance.choice(outside))


def number_of(random: "Random") -> Piece:
    """Return a number, perhaps with a sign and decimals."""
    digits, decimals = random.randrange(1, 5), random.randrange(0, 4)
    signed, always = random.random() < 0.4, random.random() < 0.4
    fraction = rf"\.[0-9]{{{decimals}}}" if decimals > 1 else r"\.[0-9]"
    tail = "" if not decimals else fraction if always else f"(?:{fraction})?"
    said = f"a number of up to {digits + 1} digits without leading zeros"
    said = f"{said}, perhaps with a minus sign before it" if signed else said
    if decimals:
        said += f", followed by a dot and {_counted(decimals, 'digit')}" + ("" if always else ", or by neither")

    def good(chance: "Random") -> str:
        whole = str(chance.randrange(10 ** chance.randrange(1, digits + 2)))
        minus = "-" if signed and chance.random() < 0.5 else ""
        part = "." + "".join(chance.choices("0123456789", k=decimals)) if decimals else ""
        return minus + whole + (part if always or chance.random() < 0.5 else "")

    def bad(chance: "Random") -> str:
        text = good(chance)
        return chance.choice((f"0{text}", f"{text}.", f"--{text}", f"{text}.1234", text.replace(".", ","), "1" * 9))

    return Piece(f"{'-?' * signed}(?:0|[1-9][0-9]{{0,{digits}}}){tail}", said, good, bad)


def quoted_of(random: "Random") -> Piece:
    """Return a text in quotes of one of two kinds, the same at both ends."""
    low = random.randrange(1, 4)
    high = low + random.randrange(1, 5)
    said = f"{low} to {high} lower-case letters in single or in double quotes, the same at both ends"

    def good(chance: "Random") -> str:
        quote = chance.choice("'\"")
        return quote + "".join(chance.choices("abcdefxyz", k=chance.randint(low, high))) + quote

    def bad(chance: "Random") -> str:
        text = good(chance)
        other = "'" if text[0] == '"' else '"'
        return chance.choice((text[:-1] + other, text[1:], text[:-1], text[0] * 2))

    return Piece(rf"(?P<quote>['\"])[a-z]{{{low},{high}}}(?P=quote)", said, good, bad)


def maybe_of(random: "Random") -> Piece:
    """Return a piece that may be missing, often with a sign before it."""
    inner = random.choice((run_of, choice_of, range_of, text_of))(random)
    sign = sign_of(random) if random.random() < 0.6 else None
    pattern, said = inner.pattern, inner.said
    if sign:
        pattern, said = sign.pattern + pattern, f"{sign.said} and {said}"

    def full(chance: "Random") -> str:
        return (sign.good(chance) if sign else "") + inner.good(chance)

    def bad(chance: "Random") -> str:
        return chance.choice((full(chance) * 2, (sign.good(chance) if sign else "") + inner.bad(chance)))

    return Piece(
        f"(?:{pattern})?", f"optionally {said}", lambda chance: full(chance) if chance.random() < 0.5 else "", bad
    )


def list_of(random: "Random") -> Piece:
    """Return several pieces with a sign between them."""
    inner, sign = random.choice((run_of, choice_of, range_of))(random), sign_of(random)
    low = random.randrange(1, 4)
    high = low + random.randrange(0, 4)
    if high == 1:
        high = 2
    rest = "" if low == high == 2 else f"{{{low - 1}}}" if low == high else f"{{{low - 1},{high - 1}}}"
    count = f"{low}" if low == high else f"{low} to {high}"

    def joined(chance: "Random", count: int) -> str:
        return sign.good(chance).join(inner.good(chance) for _ in range(count))

    def bad(chance: "Random") -> str:
        text = joined(chance, chance.randint(low, high))
        few = joined(chance, low - 1)
        return chance.choice((text + sign.good(chance), joined(chance, high + 1), few, text + inner.bad(chance)))

    return Piece(
        f"{inner.pattern}(?:{sign.pattern}{inner.pattern}){rest}",
        f"{count} times {inner.said}, with {sign.said} between them",
        lambda chance: joined(chance, chance.randint(low, high)),
        bad,
    )


def look_of(random: "Random") -> Piece:
    """Return what holds for the whole text."""
    low = random.randrange(3, 9)
    high = low + random.randrange(4, 20)
    word = random.choice(("00", "xx", "--", "__", "ab", "11"))
    pattern, said = random.choice(
        (
            (r"(?=.*[0-9])", "there is at least one digit"),
            (r"(?=.*[A-Z])", "there is at least one capital letter"),
            (r"(?=.*[0-9].*[0-9])", "there are at least two digits"),
            (rf"(?=.{{{low},{high}}}\Z)", f"there are {low} to {high} characters"),
            (rf"(?!.*{word})", f"'{word}' occurs nowhere"),
            (r"(?!.*([0-9a-z])\1)", "no digit or lower-case letter occurs twice in a row"),
            (r"(?!0)", "the first character is not 0"),
            (r"(?!.*[aeiou]\Z)", "the last character is no lower-case vowel"),
        )
    )
    return Piece(pattern, f"in the whole text {said}", lambda _: "", lambda _: "", looks=True)


def _counted(count: int, said: str) -> str:
    return (
        f"{'an' if said[0] in 'aeiou' else 'a'} {said}".replace("a 0 or 1", "0 or 1")
        if count == 1
        else f"{count} {_many(said)}"
    )


def _many(said: str) -> str:
    if said == "0 or 1":
        return "characters 0 or 1"
    first, _, rest = said.partition(" or ")
    if said.startswith("character other"):
        return f"characters{said.removeprefix('character')}"
    if said.startswith("hexadecimal digit"):
        return f"hexadecimal digits{said.removeprefix('hexadecimal digit')}"
    return f"{first}s or {rest}s" if rest else f"{first}s"


def _any_case(chance: "Random", words: Sequence[str]) -> str:
    return chance.choice((str.upper, str.lower, str.title))(chance.choice(words))


def _escaped(sign: str) -> str:
    """Return a sign as a person would write it: escaped only where it must be."""
    return f"\\{sign}" if sign in ".+|" else sign
