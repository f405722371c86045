"""The form of a text in which two texts that a person would call the same are equal."""

import re
from functools import cache
from unicodedata import category, normalize

# Typed in many ways (straight, grave, acute, curly, modifier letter, full width) and left out as often. They are
# dropped, not made a space, so that "don't" and "dont" are the same.
_APOSTROPHES = "'`\u00b4\u2018\u2019\u02bc\uff07"
_PUNCTUATION, _SEPARATOR, _CONTROL, _INVISIBLE = "P", "Z", "Cc", "Cf"
_NOT_WORD = re.compile(r"[^\w ]|_")
UNSPACED = "\u0e00-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\U00020000-\U0003ffff"
"""What puts no space between words, within the brackets of a pattern: Thai to Myanmar, Khmer, Japanese, Chinese."""
_SPACE_INSIDE = re.compile(f"(?<=[{UNSPACED}]) (?=[{UNSPACED}])")


def fold(text: str) -> str:
    """Return the text without what does not make it another text; "" where nothing but punctuation stands in it.

    Compatibility forms (NFKC), case, apostrophes, invisible characters, and every run of punctuation and white space
    are folded; between two characters of a script without spaces, that run is left out. Kept are letters with their
    accents, digits, and symbols such as "+", "€" or an emoji: they carry meaning. Folding twice changes nothing.
    """
    if text.isascii():
        # As bytes, which are translated some ten times faster than characters.
        return " ".join(text.encode().translate(*_ascii()).decode().split())
    # Twice, because folding the case may undo the normal form, and a dropped character may have kept two apart.
    for _ in range(2):
        text = normalize("NFKC", _NOT_WORD.sub(_folded, text)).casefold()
    text = " ".join(_NOT_WORD.sub(_folded, normalize("NFKC", text)).split())
    return _SPACE_INSIDE.sub("", text)


def _folded(found: re.Match[str]) -> str:
    return _instead(found[0])


@cache
def _instead(character: str) -> str:
    """Return what stands for a character that is no letter, digit or blank."""
    kind = category(character)
    # Variation selectors choose between looks of the character before them.
    if character in _APOSTROPHES or kind == _INVISIBLE or "\ufe00" <= character <= "\ufe0f":
        return ""
    return " " if kind == _CONTROL or kind[0] in (_PUNCTUATION, _SEPARATOR) else character


@cache
def _ascii() -> tuple[bytes, bytes]:
    """Return the same folding for ASCII: a table of what stands for each byte, and the bytes that are left out."""
    known = map(chr, range(128))
    folded = {one: one.lower() if one.isalnum() else _instead(one) for one in known}
    table = "".join(instead or " " for instead in folded.values()).encode().ljust(256)
    return table, "".join(one for one, instead in folded.items() if not instead).encode()
