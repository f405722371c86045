"""Where sentences end, and texts cut at such places. Pure."""

import re

_END = re.compile(r"[.!?\u2026]+[\"'\u2019\u201d)\]]*(?=\s|$)")
_NO_END = {"e.g.", "i.e.", "cf.", "vs.", "dr.", "mr.", "mrs.", "ms.", "prof.", "st.", "fig.", "no.", "approx."}
_INITIALS = re.compile(r"(?:[A-Za-z]\.)+")


def sentence_end(text: str) -> int | None:
    """Return the place after the first sentence of the text; None where no sentence ends in it.

    A full stop after an abbreviation or initials ends none where the text goes on.
    """
    for found in _END.finditer(text):
        before = text[: found.end()].rsplit(maxsplit=1)[-1].lstrip("\"'(\u2018\u201c[")
        going_on = bool(text[found.end() :].strip())
        if not (going_on and (before.lower() in _NO_END or _INITIALS.fullmatch(before))):
            return found.end()
    return None


def sentences(text: str) -> list[str]:
    """Return the sentences of a text, each without space around it."""
    found: list[str] = []
    rest = text.strip()
    while rest:
        end = sentence_end(rest) or len(rest)
        found.append(rest[:end].strip())
        rest = rest[end:].strip()
    return found


def in_pieces(text: str, most: int) -> list[str]:
    """Return the text in pieces of at most `most` characters, of whole sentences where that is possible.

    Longer sentences are cut between words, and longer words anywhere. White space becomes single spaces.
    """
    pieces: list[str] = []
    for sentence in sentences(" ".join(text.split())):
        parts = [sentence] if len(sentence) <= most else _packed(_short_words(sentence, most), most)
        for part in parts:
            if pieces and len(pieces[-1]) + 1 + len(part) <= most:
                pieces[-1] += f" {part}"
            else:
                pieces.append(part)
    return pieces


def _short_words(sentence: str, most: int) -> list[str]:
    return [word[at : at + most] for word in sentence.split() for at in range(0, len(word), most)]


def _packed(words: list[str], most: int) -> list[str]:
    lines: list[str] = []
    for word in words:
        if lines and len(lines[-1]) + 1 + len(word) <= most:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines
