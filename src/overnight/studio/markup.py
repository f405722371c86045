"""Reads narration: text with markers for the voice, and cues for what is shown meanwhile. Pure.

Markers stand in square brackets: `[enthusiastic]`, `[cautionary]`, `[explanatory]`, `[emphasize]`, `[plain]`,
`[pause]` or `[pause 1.5]` (seconds). Cues do too: `[show title: ...]`, `[show diagram: a -> b]`,
`[show code: python | line 1 \\n line 2]`, `[show table: a | b ; 1 | 2]`, `[show citation: id]`. A cue may hold brackets
that are closed in it. An empty line ends a paragraph.
"""

import re
from dataclasses import dataclass, field
from enum import StrEnum

from overnight.studio.sentences import sentence_end

PAUSE_S = 0.7
"""How long `[pause]` is."""
PARAGRAPH_S = 0.5
"""The pause between two paragraphs."""
LONGEST_PAUSE_S = 10.0


class Manner(StrEnum):
    """How something is said."""

    PLAIN = "plain"
    ENTHUSIASTIC = "enthusiastic"
    CAUTIONARY = "cautionary"
    EXPLANATORY = "explanatory"
    EMPHASIZE = "emphasize"


class Show(StrEnum):
    """What kind of thing is shown."""

    TITLE = "title"
    DIAGRAM = "diagram"
    CODE = "code"
    TABLE = "table"
    CITATION = "citation"


@dataclass(frozen=True, kw_only=True)
class Said:
    """Text that is spoken in one manner; its white space is single spaces."""

    text: str
    manner: Manner = Manner.PLAIN


@dataclass(frozen=True, kw_only=True)
class Pause:
    """Silence."""

    seconds: float


@dataclass(frozen=True, kw_only=True)
class Cue:
    """Something that is shown from here on; `content` is as it was written, `\\n` included."""

    show: Show
    content: str


Piece = Said | Pause | Cue


@dataclass(frozen=True, kw_only=True)
class Narration:
    """The pieces in their order, and what could not be read, each problem in one line."""

    pieces: tuple[Piece, ...]
    problems: tuple[str, ...] = ()


_PARAGRAPHS = re.compile(r"\n[ \t]*\n\s*")
_PAUSE = re.compile(r"pause(?:\s+(?P<seconds>\S+?)\s*s?)?", re.I)
_SHOW = re.compile(r"show\b\s*(?P<kind>[^:]*?)\s*(?::(?P<content>.*))?", re.I | re.S)
_SHOWN = 40


def parse(text: str) -> Narration:
    """Return what a text means. What looks like a marker and is none is a problem, and is not spoken.

    A manner holds until the next one, or the end of its paragraph; EMPHASIZE until the end of its sentence, after
    which the manner before it goes on. Paragraphs are parted by a pause.
    """
    reader = _Reader()
    for paragraph in _PARAGRAPHS.split(text.replace("\r\n", "\n").strip()):
        reader.paragraph(paragraph)
    return Narration(pieces=tuple(reader.pieces), problems=tuple(reader.problems))


def spoken(pieces: tuple[Piece, ...]) -> str:
    """Return the words that are said, as one text."""
    return " ".join(piece.text for piece in pieces if isinstance(piece, Said))


@dataclass(kw_only=True)
class _Reader:
    pieces: list[Piece] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    manner: Manner = Manner.PLAIN
    after: Manner = Manner.PLAIN
    """What goes on when an emphasis ends."""
    begin: int = 0
    """How many pieces come before the paragraph."""

    def paragraph(self, text: str) -> None:
        self.manner = self.after = Manner.PLAIN
        self.begin = len(self.pieces)
        rest = text
        while (begin := rest.find("[")) >= 0:
            self._say(rest[:begin])
            end = _closing(rest, begin)
            if end is None:
                self.problems.append(f"a bracket is never closed: {_short(rest[begin:])!r}")
                rest = rest[begin + 1 :]
            else:
                self._marker(rest[begin + 1 : end].strip())
                rest = rest[end + 1 :]
        self._say(rest)
        self._part()

    def _part(self) -> None:
        """Put a pause before the paragraph, where it says something and something was said before it."""
        earlier, news = self.pieces[: self.begin], self.pieces[self.begin :]
        if any(isinstance(one, Said) for one in news) and any(isinstance(one, Said) for one in earlier):
            self.pieces.insert(self.begin, Pause(seconds=PARAGRAPH_S))

    def _say(self, text: str) -> None:
        rest = text
        while self.manner is Manner.EMPHASIZE and (end := sentence_end(rest)) is not None:
            self._add(rest[:end])
            self.manner = self.after
            rest = rest[end:]
        self._add(rest)

    def _add(self, text: str) -> None:
        words = " ".join(text.split())
        if not words:
            return
        last = self.pieces[-1] if len(self.pieces) > self.begin else None
        if isinstance(last, Said) and last.manner is self.manner:
            glue = "" if words[0] in ".,;:!?)" else " "
            self.pieces[-1] = Said(text=f"{last.text}{glue}{words}", manner=self.manner)
        else:
            self.pieces.append(Said(text=words, manner=self.manner))

    def _marker(self, inside: str) -> None:
        if inside.lower() in set(Manner):
            self._turn(Manner(inside.lower()))
        elif found := _PAUSE.fullmatch(inside):
            self._pause(inside, found["seconds"])
        elif found := _SHOW.fullmatch(inside):
            self._show(inside, found["kind"].lower(), (found["content"] or "").strip())
        else:
            known = ", ".join([*Manner, "pause", "show"])
            self.problems.append(f"[{_short(inside)}]: no such marker; known are {known}")

    def _turn(self, manner: Manner) -> None:
        if manner is Manner.EMPHASIZE:
            self.after = self.after if self.manner is Manner.EMPHASIZE else self.manner
        self.manner = manner

    def _pause(self, inside: str, seconds: str | None) -> None:
        try:
            long_s = PAUSE_S if seconds is None else float(seconds)
        except ValueError:
            long_s = 0.0
        if 0.0 < long_s <= LONGEST_PAUSE_S:
            self.pieces.append(Pause(seconds=long_s))
        else:
            self.problems.append(f"[{_short(inside)}]: a pause lasts up to {LONGEST_PAUSE_S:g} seconds")

    def _show(self, inside: str, kind: str, content: str) -> None:
        if kind not in set(Show):
            self.problems.append(f"[{_short(inside)}]: can show {', '.join(Show)}")
        elif not content:
            self.problems.append(f"[{_short(inside)}]: shows nothing; write [show {kind}: WHAT]")
        else:
            self.pieces.append(Cue(show=Show(kind), content=content))


def _closing(text: str, begin: int) -> int | None:
    """Return where the bracket that opens at `begin` closes."""
    depth = 0
    for place in range(begin, len(text)):
        depth += {"[": 1, "]": -1}.get(text[place], 0)
        if depth == 0:
            return place
    return None


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN else f"{line[: _SHOWN - 3]}..."
