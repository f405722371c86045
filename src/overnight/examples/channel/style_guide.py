"""The rules of CHANNEL_STYLE_GUIDE.md that agents follow: its one block of TOML. The text around it is for people."""

import re
import tomllib
from dataclasses import dataclass, fields
from pathlib import Path
from string import Formatter
from typing import Any

from overnight.base.errors import UserMistake
from overnight.base.files import text_of

FILE = "CHANNEL_STYLE_GUIDE.md"
_BLOCK = re.compile(r"^```toml\n(.*?)^```", re.DOTALL | re.MULTILINE)
_RANGES = {
    "words_per_minute": (80, 250),
    "minutes": (0.5, 60),
    "shortest_minutes": (0.5, 60),
    "longest_minutes": (0.5, 60),
    "hook_words": (5, 80),
    "summary_points": (1, 5),
    "max_sentence_words": (10, 60),
    "lowest_reading_ease": (0, 100),
    "pause_s": (0, 5),
}


@dataclass(frozen=True, kw_only=True)
class StyleGuide:
    """The rules; the file says what each is for. `sections` is the fewest and the most."""

    words_per_minute: int
    minutes: float
    shortest_minutes: float
    longest_minutes: float
    hook_words: int
    sections: tuple[int, int]
    summary_points: int
    max_sentence_words: int
    lowest_reading_ease: float
    pause_s: float
    title_template: str
    call_to_action: str

    def words(self, minutes: float) -> int:
        """Return how many words are spoken in so many minutes."""
        return round(minutes * self.words_per_minute)


def load(root: Path | None = None) -> StyleGuide:
    """Return the rules of a project's style guide.

    Raises:
        UserMistake: the file cannot be read, or `parse` refuses it.
    """
    return parse(text_of((root or Path()) / FILE))


def parse(text: str) -> StyleGuide:
    """Return the rules that a style guide holds.

    Raises:
        UserMistake: there is not one block of TOML, or a rule is missing, unknown, or not what it may be.
    """
    blocks = _BLOCK.findall(text)
    if len(blocks) != 1:
        raise UserMistake(f"{FILE}: {len(blocks)} blocks that begin with ```toml; one holds the rules")
    try:
        told = tomllib.loads(blocks[0])
    except tomllib.TOMLDecodeError as error:
        raise UserMistake(f"{FILE}: its rules are not TOML: {error}") from None
    known = {field.name for field in fields(StyleGuide)}
    if set(told) != known:
        missing, unknown = ", ".join(sorted(known - set(told))), ", ".join(sorted(set(told) - known))
        raise UserMistake(f"{FILE}: missing rules: {missing or 'none'}; unknown rules: {unknown or 'none'}")
    for name, value in told.items():
        _check(name, value)
    guide = StyleGuide(**{**told, "sections": tuple(told["sections"])})
    if not guide.shortest_minutes <= guide.minutes <= guide.longest_minutes:
        raise UserMistake(f"{FILE}: minutes: {guide.minutes} is not from shortest_minutes to longest_minutes")
    return guide


def _check(name: str, value: Any) -> None:  # Any: TOML
    if name in _RANGES:
        low, high = _RANGES[name]
        whole = isinstance(low, int) and name not in ("lowest_reading_ease", "pause_s")
        right = (
            isinstance(value, int if whole else int | float) and not isinstance(value, bool) and low <= value <= high
        )
        allowed = f"a {'whole number' if whole else 'number'} from {low} to {high}"
    elif name == "sections":
        right = isinstance(value, list) and len(value) == 2 and all(type(one) is int for one in value)
        right = right and 1 <= value[0] <= value[1] <= 8
        allowed = "two whole numbers from 1 to 8, the fewest and the most"
    elif name == "title_template":
        right = isinstance(value, str) and "topic" in _placeholders(value) <= {"topic", "angle"}
        allowed = "a text with {topic}, and perhaps {angle}"
    else:
        right, allowed = isinstance(value, str) and bool(value.strip()), "a text"
    if not right:
        raise UserMistake(f"{FILE}: {name}: {value!r} is not {allowed}")


def _placeholders(template: str) -> set[str]:
    """Return what a template names in braces, with all that `str.format` would do to it; {""} where it is none."""
    try:
        parts = list(Formatter().parse(template))
    except ValueError:
        return {""}
    return {f"{name}{how or ''}{form}" for _, name, form, how in parts if name is not None}
