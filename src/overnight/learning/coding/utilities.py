"""Functions that are given to be tested or described: what each takes and raises, and how it can be wrong. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from overnight.learning.makers import Draw


@dataclass(frozen=True, kw_only=True)
class Utility:
    """A function: its source with a docstring, and changes (old text, new text) each of which makes it wrong."""

    name: str
    parameters: tuple[str, ...]
    errors: tuple[str, ...]
    head: str
    said: str
    body: str
    faults: tuple[tuple[str, str], ...]

    @property
    def source(self) -> str:
        """The function with its docstring."""
        return f'{self.head}\n    """{self.said}"""\n{self.body}'

    @property
    def bare(self) -> str:
        """The function without it."""
        return f"{self.head}\n{self.body}"


def _clamp(draw: Draw) -> Utility:
    least, most = draw.whole("least", -20, 0), draw.whole("most", 50, 90)
    return Utility(
        name="clamp",
        parameters=("value", "least", "most"),
        errors=("ValueError",),
        head=f"def clamp(value: int, least: int = {least}, most: int = {most}) -> int:",
        said="Return the value, or the nearer limit where it is outside; ValueError where least is above most.",
        body="""    if least > most:
        raise ValueError("least is above most")
    if value < least:
        return least
    return most if value > most else value
""",
        faults=(
            ("if least > most:", "if least >= most:"),
            ("        return least", "        return value"),
            ("return most if value > most else value", "return value"),
        ),
    )


def _chunks(draw: Draw) -> Utility:
    size = draw.whole("size", 2, 9)
    return Utility(
        name="chunks",
        parameters=("items", "size"),
        errors=("ValueError",),
        head=f"def chunks(items: list[int], size: int = {size}) -> list[list[int]]:",
        said="Return the items in lists of that size, the last one shorter; ValueError for a size below 1.",
        body="""    if size < 1:
        raise ValueError("size is below 1")
    return [items[start : start + size] for start in range(0, len(items), size)]
""",
        faults=(
            ("if size < 1:", "if size < 0:"),
            ("range(0, len(items), size)", "range(0, len(items) - size + 1, size)"),
            ("items[start : start + size]", "items[start : start + size - 1]"),
        ),
    )


def _slug(draw: Draw) -> Utility:
    join, most = draw.one("join", ("-", "_", "+")), draw.whole("longest", 10, 30)
    return Utility(
        name="slug",
        parameters=("text",),
        errors=(),
        head="def slug(text: str) -> str:",
        said=f"Return its words in small letters, joined by {join!r}, without other characters; at most {most} long.",
        body=f"""    words = "".join(one.lower() if one.isalnum() else " " for one in text).split()
    return "{join}".join(words)[:{most}]
""",
        faults=(
            ("one.lower() if", "one if"),
            (f"[:{most}]", f"[:{most + 1}]"),
            (f'"{join}".join', '" ".join'),
        ),
    )


def _median(draw: Draw) -> Utility:
    default = draw.whole("default", -9, 9)
    return Utility(
        name="median",
        parameters=("values",),
        errors=("ValueError",),
        head="def median(values: list[float]) -> float:",
        said="Return the middle value, or the mean of the two middle ones; ValueError for none.",
        body=f"""    if not values:
        raise ValueError("no values, not even {default}")
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
""",
        faults=(
            ("ordered = sorted(values)", "ordered = list(values)"),
            ("/ 2\n", "/ 3\n"),
            ("if len(ordered) % 2:", "if len(ordered) % 2 == 0:"),
        ),
    )


def _roman(draw: Draw) -> Utility:
    most = draw.one("most", ("1999", "2999", "3999"))
    return Utility(
        name="roman",
        parameters=("number",),
        errors=("ValueError",),
        head="def roman(number: int) -> str:",
        said=f"Return the number in Roman digits; ValueError for one that is not from 1 to {most}.",
        body=f"""    if not 1 <= number <= {most}:
        raise ValueError("out of range")
    pairs = [(1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL")]
    pairs += [(10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I")]
    found = ""
    for value, digits in pairs:
        found += digits * (number // value)
        number %= value
    return found
""",
        faults=(
            (f"<= {most}", f"< {most}"),
            ('(9, "IX"), ', ""),
            ("1 <= number", "0 <= number"),
        ),
    )


UTILITIES: Mapping[str, Callable[[Draw], Utility]] = {
    "clamp": _clamp,
    "chunks": _chunks,
    "slug": _slug,
    "median": _median,
    "roman": _roman,
}
