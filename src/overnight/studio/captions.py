"""Cuts words into captions, writes and reads SRT and WebVTT, and measures how far captions are off the words. Pure.

The bounds are those that broadcasters agree on: two lines of 42 characters, one to seven seconds, 20 characters a
second (Netflix, Timed Text Style Guide, English; EBU-TT-D leaves them to the broadcaster).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from statistics import median

from overnight.studio.sentences import in_pieces, sentence_end
from overnight.studio.speech.ports import Word

MOST_LINES = 2
MOST_CHARS = 42
"""Of a line."""
LEAST_S, MOST_S = 1.0, 7.0
MOST_CHARS_PER_S = 20.0
_BREATH_S = 0.3
"""Silence after which another caption begins, where the one before has been seen for long enough."""
_LINGER_S = 0.5
"""How long a caption stays after its last word, where nothing follows."""
_SRT_TIME = r"(?:(\d+):)?(\d{1,2}):(\d{2})[,.](\d{3})"
_TIMES = re.compile(rf"\s*{_SRT_TIME}\s*-->\s*{_SRT_TIME}")
_TAG = re.compile(r"</?[a-zA-Z][^>]*>")
_PLAIN = re.compile(r"[^\w]+")
_MOST_COMPARED = 4_000
"""How many words are compared at once: the time that it takes grows with their square."""


@dataclass(frozen=True, kw_only=True)
class Caption:
    """What is shown between two instants: one or two lines."""

    begin_s: float
    end_s: float
    lines: tuple[str, ...]

    @property
    def text(self) -> str:
        """The lines as one."""
        return " ".join(self.lines)

    @property
    def chars_per_s(self) -> float:
        """How fast it has to be read."""
        return len(self.text) / (self.end_s - self.begin_s)


@dataclass(frozen=True, kw_only=True)
class Lateness:
    """How far captions are off the words that they show.

    `median_s` and `worst_s` are of their beginnings, positive where they come late; None where they share no words with
    what is said. `missing` is the share of the words (0 to 1) that no caption shows.
    """

    median_s: float | None
    worst_s: float | None
    missing: float


def cut(words: Sequence[Word]) -> list[Caption]:
    """Return captions for words in their order: each begins with its first word, and none overlaps the next.

    A caption ends with a sentence or before a silence where it can. It stays for a second at least and may stay longer
    than it is said, until the next one begins, so that it can be read at 20 characters a second; only where the voice
    itself is faster, it cannot.
    """
    groups = _groups([part for word in words for part in _short(word)])
    captions: list[Caption] = []
    for place, group in enumerate(groups):
        text = " ".join(word.text for word in group)
        begin_s, said_s = group[0].begin_s, group[-1].end_s
        wanted_s = max(said_s + _LINGER_S, begin_s + LEAST_S, begin_s + len(text) / MOST_CHARS_PER_S)
        next_s = groups[place + 1][0].begin_s if place + 1 < len(groups) else wanted_s
        end_s = max(min(wanted_s, next_s, begin_s + MOST_S), begin_s)
        captions.append(Caption(begin_s=begin_s, end_s=end_s, lines=_lines(text)))
    return [one for one in captions if _ms(one.end_s) > _ms(one.begin_s)]


def srt(captions: Sequence[Caption]) -> str:
    """Return the captions as a SubRip file."""
    blocks = (
        f"{number}\n{_clock(one.begin_s, ',')} --> {_clock(one.end_s, ',')}\n" + "\n".join(one.lines)
        for number, one in enumerate(captions, 1)
    )
    return "".join(f"{block}\n\n" for block in blocks)


def vtt(captions: Sequence[Caption]) -> str:
    """Return the captions as a WebVTT file."""
    blocks = (
        f"{_clock(one.begin_s, '.')} --> {_clock(one.end_s, '.')}\n" + "\n".join(map(_escaped, one.lines))
        for one in captions
    )
    return "WEBVTT\n\n" + "".join(f"{block}\n\n" for block in blocks)


def read(text: str) -> list[Caption]:
    """Return the captions of a SubRip or WebVTT file; blocks without times or without text are passed over."""
    web = text.lstrip("\ufeff").startswith("WEBVTT")
    captions: list[Caption] = []
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n").replace("\r", "\n")):
        lines = block.strip("\n").split("\n")
        at = next((place for place, line in enumerate(lines) if _TIMES.match(line)), None)
        shown = [] if at is None else [_TAG.sub("", line).strip() for line in lines[at + 1 :]]
        if at is None or not any(shown):
            continue
        found = _TIMES.match(lines[at])
        assert found is not None, "it was found by this"
        begin_s, end_s = _seconds(found.groups()[:4]), _seconds(found.groups()[4:])
        if end_s > begin_s:
            kept = tuple(_unescaped(line) if web else line for line in shown if line)
            captions.append(Caption(begin_s=begin_s, end_s=end_s, lines=kept))
    return captions


def late_by(captions: Sequence[Caption], words: Sequence[Word]) -> Lateness:
    """Return how far captions are off the words.

    Words are matched by their letters, in their order. A caption counts by its first word that is found.
    """
    said = [(plain, word.begin_s) for word in words for plain in _plain(word.text)]
    shown = [(plain, place) for place, one in enumerate(captions) for plain in _plain(one.text)]
    firsts: dict[int, tuple[int, float]] = {}
    matched = 0
    for at_shown, at_said in _matches([one for one, _ in shown], [one for one, _ in said]):
        matched += 1
        firsts.setdefault(shown[at_shown][1], (at_shown, said[at_said][1]))
    begins = {place: at for at, (_, place) in reversed(list(enumerate(shown)))}
    late = [captions[place].begin_s - at_s for place, (at, at_s) in firsts.items() if at == begins[place]]
    return Lateness(
        median_s=median(late) if late else None,
        worst_s=max(late, key=abs) if late else None,
        missing=1 - matched / len(said) if said else 0.0,
    )


def _short(word: Word) -> list[Word]:
    """Return the parts of a word that fit a line, each with its share of the time."""
    parts = in_pieces(word.text, MOST_CHARS)
    each = (word.end_s - word.begin_s) / max(len(parts), 1)
    return [
        Word(text=part, begin_s=word.begin_s + place * each, end_s=word.begin_s + (place + 1) * each)
        for place, part in enumerate(parts)
    ]


def _groups(words: list[Word]) -> list[list[Word]]:
    """Return the words of each caption: whole sentences and what lies between breaths, in equal parts if too long."""
    runs: list[list[Word]] = []
    for word in words:
        if runs and not _is_over(runs[-1], word):
            runs[-1].append(word)
        else:
            runs.append([word])
    return [group for run in runs for group in _equal(run)]


def _is_over(run: list[Word], word: Word) -> bool:
    """Tell whether a sentence, or a breath, parts a word from those before, which have been seen for long enough."""
    ends = sentence_end(f"{run[-1].text} X") == len(run[-1].text)
    breath = word.begin_s - run[-1].end_s >= _BREATH_S
    return (ends or breath) and word.begin_s - run[0].begin_s >= LEAST_S


def _equal(run: list[Word]) -> list[list[Word]]:
    """Return a run in as few parts as fit, all about as long."""
    parts = _filled(run, MOST_LINES * MOST_CHARS)
    total = len(" ".join(word.text for word in run))
    widths = range(total // len(parts), MOST_LINES * MOST_CHARS + 1)
    return next(tried for most in widths if len(tried := _filled(run, most)) == len(parts))


def _filled(run: list[Word], most: int) -> list[list[Word]]:
    """Return a run in parts of at most so many characters, that fit the lines and the time."""
    parts: list[list[Word]] = []
    for word in run:
        text = " ".join([*(one.text for one in parts[-1]), word.text]) if parts else ""
        if parts and len(text) <= most and _fits(text) and word.end_s - parts[-1][0].begin_s <= MOST_S:
            parts[-1].append(word)
        else:
            parts.append([word])
    return parts


def _fits(text: str) -> bool:
    return len(_wrapped(text)) <= MOST_LINES


def _wrapped(text: str) -> list[str]:
    lines: list[str] = []
    for word in text.split():
        if lines and len(lines[-1]) + 1 + len(word) <= MOST_CHARS:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _lines(text: str) -> tuple[str, ...]:
    """Return one line, or two that are as equal as they can be, the longer one below."""
    if len(text) <= MOST_CHARS:
        return (text,)
    ways = [(text[:at], text[at + 1 :]) for at, letter in enumerate(text) if letter == " "]
    fitting = [way for way in ways if max(map(len, way)) <= MOST_CHARS]
    return min(fitting, key=lambda way: abs(len(way[0]) - len(way[1]) + 0.5))


def _matches(shown: list[str], said: list[str]) -> list[tuple[int, int]]:
    """Return pairs of places at which both lists have the same word, in order.

    Long lists are compared piece by piece; a piece begins where the one before was last alike.
    """
    found: list[tuple[int, int]] = []
    at_shown = at_said = 0
    while at_shown < len(shown) and at_said < len(said):
        these, those = shown[at_shown : at_shown + _MOST_COMPARED], said[at_said : at_said + _MOST_COMPARED]
        blocks = SequenceMatcher(None, these, those, autojunk=False).get_matching_blocks()
        pairs = [(at_shown + a + k, at_said + b + k) for a, b, size in blocks for k in range(size)]
        found += pairs
        at_shown, at_said = (pairs[-1][0] + 1, pairs[-1][1] + 1) if pairs else (len(shown), len(said))
    return found


def _plain(text: str) -> list[str]:
    return [plain for one in text.split() if (plain := _PLAIN.sub("", one).casefold())]


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _clock(seconds: float, point: str) -> str:
    whole, ms = divmod(_ms(seconds), 1000)
    return f"{whole // 3600:02}:{whole // 60 % 60:02}:{whole % 60:02}{point}{ms:03}"


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, whole, ms = (int(part or 0) for part in parts)
    return hours * 3600 + minutes * 60 + whole + ms / 1000


def _escaped(line: str) -> str:
    return line.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _unescaped(line: str) -> str:
    return line.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
