"""Takes the marks of Markdown for links, code and stress out of a text, as CommonMark reads them. Pure.

One thing is stricter than CommonMark: stress neither opens right behind a letter or digit nor closes right before one.
So "5*6*7" and "x**2 + y**2" stay what they are, as a calculation is more frequent than half a word in italics. Each
text is gone through a fixed number of times, however many marks it has that belong to none.
"""

import re

_ESCAPED = re.compile(r"\\([!-/:-@\[-`{-~])")
_TICKS = re.compile(r"(`+)")
_LINK = re.compile(r"!?\[([^\[\]]*+)\]\((?:[^()]++|\([^()]*+\))*+\)")
_LINKS_INSIDE = 2
"""A picture can stand for the text of a link, and nothing can stand for the text of a picture."""
_STRESS = re.compile(r"\*+|_+")
_HELD = re.compile("\ue000([0-9]+)\ue001")
_HOLDERS = {0xE000: None, 0xE001: None}


def plain(text: str) -> str:
    """Return a text without the marks of Markdown for links, stress and code, on one line."""
    held: list[str] = []

    def hold(literal: str) -> str:
        held.append(literal)
        return f"\ue000{len(held) - 1}\ue001"

    text = "".join(
        hold(piece) if code else _ESCAPED.sub(lambda found: hold(found[1]), piece)
        for code, piece in _code_apart(text.translate(_HOLDERS))
    )
    for _ in range(_LINKS_INSIDE):
        text = _LINK.sub(r"\1", text)
    text = _HELD.sub(lambda found: held[int(found[1])], _without_stress(text))
    return " ".join(text.split())


def _code_apart(text: str) -> list[tuple[bool, str]]:
    """Return the pieces of a text, and whether each is code: what stands between two equally long runs of ticks."""
    pieces = _TICKS.split(text)
    closing: dict[int, int] = {}
    nearest: dict[str, int] = {}
    for place in range(len(pieces) - 2, 0, -2):
        if pieces[place] in nearest:
            closing[place] = nearest[pieces[place]]
        nearest[pieces[place]] = place
    found, place = [], 0
    while place < len(pieces):
        if place in closing:
            found.append((True, "".join(pieces[place + 1 : closing[place]])))
            place = closing[place] + 1
        else:
            found.append((False, pieces[place]))
            place += 1
    return found


class _Run:
    """A run of stars or underscores: `left` of its signs stand for themselves, as far as is known."""

    def __init__(self, found: re.Match[str], text: str) -> None:
        before, after = text[max(0, found.start() - 1) : found.start()], text[found.end() : found.end() + 1]
        self.sign, self.left = found[0][0], len(found[0])
        self.opens = bool(after.strip()) and not before.isalnum()
        self.closes = bool(before.strip()) and not after.isalnum()


class _Waiting:
    """The runs that have opened a stress and wait for what closes it."""

    def __init__(self) -> None:
        self._runs: list[_Run] = []
        self._count = {"*": 0, "_": 0}

    def open(self, run: _Run) -> None:
        """Have a run wait."""
        self._runs.append(run)
        self._count[run.sign] += 1

    def close(self, run: _Run) -> None:
        """Take out the signs that a run closes, and let go of the runs that stand in between: they belong to none."""
        while run.left and self._count[run.sign]:
            opener = self._runs[-1]
            if opener.sign == run.sign:
                taken = min(opener.left, run.left)
                opener.left -= taken
                run.left -= taken
            if opener.left == 0 or opener.sign != run.sign:
                self._runs.pop()
                self._count[opener.sign] -= 1


def _without_stress(text: str) -> str:
    """Return the text without those runs that open and close a stress; the others are part of what is said."""
    matches = list(_STRESS.finditer(text))
    runs = [_Run(found, text) for found in matches]
    waiting = _Waiting()
    for run in runs:
        if run.closes:
            waiting.close(run)
        if run.opens and run.left:
            waiting.open(run)
    said, end = [], 0
    for run, found in zip(runs, matches, strict=True):
        said += [text[end : found.start()], run.sign * run.left]
        end = found.end()
    return "".join([*said, text[end:]])
