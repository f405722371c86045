"""Regular expressions for a description, with texts that they must match and texts that they must not.

A cell is a family of expressions (`FAMILIES`, which kinds of parts they are made from) and how many parts they have; a
number draws the parts. Each part brings its own words for the description, and makes texts that it matches and texts
that it does not. The skeleton is that of the expression: how it is described counts for nothing.

A draft is accepted where Python's `re` matches all of the first and none of the second, over those that the task shows
and over some that it does not. Nothing that could backtrack for ever is run: an expression whose repeats hold other
repeats is refused as it is written, texts are short, and in the main thread of its process a check that takes a tenth
of a second of the processor is stopped.

Consistency is how firmly the shown texts pin the expression down: the share of its parts for which at least one text
that must not match is wrong in just that part. Coherence is 1 for a description of up to 25 words and falls to 0 at
100. Groundedness is not measured: every fixed text of an expression stands in its description.
"""

import json
import re
import signal
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from random import Random
from types import FrameType
from typing import NamedTuple

from overnight.campaigns.generators.drawing import absent_or_copied, drawn, ease, source_of
from overnight.campaigns.generators.regex_parts import (
    Piece,
    choice_of,
    list_of,
    look_of,
    maybe_of,
    number_of,
    quoted_of,
    range_of,
    run_of,
    sign_of,
    text_of,
)
from overnight.campaigns.generators.regex_text import LONGEST, endless, skeleton
from overnight.campaigns.ports import COHERENCE, CONSISTENCY, Checked, Draft, Message

Maker = Callable[[Random], Piece]

FAMILIES: Mapping[str, Sequence[Maker]] = {
    "codes": (text_of, run_of, run_of, sign_of),
    "numbers": (number_of, sign_of, range_of, choice_of, text_of),
    "times": (range_of, range_of, sign_of, choice_of, maybe_of),
    "lists": (list_of, sign_of, text_of, run_of),
    "choices": (choice_of, choice_of, sign_of, run_of),
    "optional": (maybe_of, maybe_of, run_of, range_of),
    "quoted": (quoted_of, sign_of, text_of, run_of, number_of),
    "rules": (look_of, run_of, maybe_of, list_of),
    "mixed": (run_of, choice_of, range_of, number_of, maybe_of, list_of, text_of),
    "everything": (look_of, quoted_of, list_of, maybe_of, number_of, choice_of, range_of, run_of),
}
SIZES = (2, 3, 4, 5, 6)

_ASK = "Write a regular expression for Python's `re.fullmatch`. Answer with the expression alone, on one line."
_SHOWN = 5
_EACH = 8
"""Texts of a kind: shown are the first of them, all are checked."""
_TRIES = 8
_MOST_CPU_S = 0.1
_LONGEST_TEXT = 120
_EASY_WORDS, _HARD_WORDS = 25, 100


class _Texts(NamedTuple):
    good: list[str]
    bad: list[str]
    places: list[int]
    """In which part each of the bad ones is wrong."""


class RegexTasks:
    """A `Generator` of regular expressions."""

    name = "regex_tasks"
    version = 1
    at_once = 1

    def cells(self) -> Sequence[str]:
        """Return each family with each number of parts."""
        return [f"{family}/{size}" for family in FAMILIES for size in SIZES]

    def count(self, cell: str) -> None:
        """Return None: there is always one more to draw."""

    def draft(self, cell: str, number: int) -> Draft | None:
        """Return the expression of that number; None where no texts were found that show what it means."""
        family, _, size = cell.partition("/")
        random = drawn(self.name, self.version, cell, number)
        for _ in range(_TRIES):
            pieces = _pieces(random, FAMILIES[family], int(size))
            pattern = "".join(piece.pattern for piece in pieces)
            if (texts := _texts(random, pieces, re.compile(pattern))) is not None:
                return self._draft(family, pieces, pattern, texts)
        return None

    def _draft(self, family: str, pieces: Sequence[Piece], pattern: str, texts: _Texts) -> Draft:
        shown = sorted(set(texts.places[:_SHOWN]))
        return Draft(
            messages=[
                Message(role="user", content=f"{_ASK}\n\n{_described(pieces)}\n\n{_listed(texts)}"),
                Message(role="assistant", content=pattern),
            ],
            skeleton=skeleton(pattern),
            source=source_of(self.name, self.version, f"family {family}"),
            facts={"match": texts.good, "refuse": texts.bad, "pinned": len(shown) / len(pieces)},
        )

    def check(self, draft: Draft) -> Checked:
        """Match all texts with the answer."""
        good, bad, pinned = (draft.facts.get(key) for key in ("match", "refuse", "pinned"))
        known = isinstance(good, Sequence) and isinstance(bad, Sequence) and isinstance(pinned, float)
        if not known or len(draft.messages) < 2:
            return Checked(fault="not an expression of this generator")
        task, answer = draft.messages[-2].content, draft.messages[-1].content.strip()
        if fault := _misshapen(task, answer):
            return Checked(fault=fault)
        try:
            with _at_most(_MOST_CPU_S):
                wrong = _wrong(answer, good or (), bad or ())
        except re.error as error:
            return Checked(fault="no regular expression", detail=str(error))
        except TimeoutError:
            return Checked(fault="the expression takes too long")
        if wrong is not None:
            return Checked(fault="the wrong answer", detail=wrong)
        coherence = ease(task.split("\n\n")[1], easy=_EASY_WORDS, hard=_HARD_WORDS)
        return Checked(terms={CONSISTENCY: min(1.0, max(0.0, float(pinned or 0))), COHERENCE: coherence})


def _misshapen(task: str, answer: str) -> str | None:
    if fault := absent_or_copied(task, answer):
        return fault
    if len(answer) > LONGEST or "\n" in answer:
        return "the answer is no single line"
    return "the expression may backtrack for ever" if endless(answer) else None


def _wrong(pattern: str, good: Sequence[str], bad: Sequence[str]) -> str | None:
    """Return what a text shows to be wrong with the expression.

    Raises:
        re.error: it is none.
    """
    with warnings.catch_warnings():
        # A set that may mean something else one day.
        warnings.simplefilter("ignore")
        try:
            matches = re.compile(pattern).fullmatch
        except (OverflowError, RecursionError) as error:
            raise re.error(str(error)) from error
    for text in good:
        if not matches(text):
            return f"does not match {text!r}"
    for text in bad:
        if matches(text):
            return f"matches {text!r}"
    return None


@contextmanager
def _at_most(cpu_s: float) -> Iterator[None]:
    """Stop what is done within the block after this time of the processor; only the main thread can be stopped.

    Raises:
        TimeoutError: it was stopped.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, cpu_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def _pieces(random: Random, makers: Sequence[Maker], size: int) -> list[Piece]:
    """Return the parts of an expression: what looks at the whole text first, and quotes at most once."""
    pieces: list[Piece] = []
    while len(pieces) < size:
        piece = random.choice(makers)(random)
        alike = piece.looks and any(other.looks for other in pieces)
        if not alike and not ("?P<" in piece.pattern and any("?P<" in other.pattern for other in pieces)):
            pieces.append(piece)
    return sorted(pieces, key=lambda piece: not piece.looks)


def _texts(random: Random, pieces: Sequence[Piece], pattern: re.Pattern[str]) -> _Texts | None:
    """Return texts that match and texts that do not, each wrong in one part; None where there are not enough."""
    found = _Texts([], [], [])
    for turn in range(3 * _EACH):
        parts = [piece.good(random) for piece in pieces]
        text = "".join(parts)
        if pattern.fullmatch(text):
            if len(found.good) < _EACH and text not in found.good:
                found.good.append(text)
        elif len(found.bad) < _EACH and text not in found.bad:
            # All parts are right, so that it is what looks at the whole that is not.
            found.bad.append(text)
            found.places.append(0)
        place = (turn + random.randrange(2)) % len(pieces)
        parts[place] = pieces[place].bad(random)
        wrong = "".join(parts)
        if len(found.bad) < _EACH and wrong not in found.bad and not pattern.fullmatch(wrong):
            found.bad.append(wrong)
            found.places.append(place)
        if len(found.good) == len(found.bad) == _EACH:
            break
    enough = len(found.good) >= _SHOWN and len(found.bad) >= _SHOWN
    return found if enough and max(map(len, [*found.good, *found.bad])) <= _LONGEST_TEXT else None


def _described(pieces: Sequence[Piece]) -> str:
    parts = [piece.said for piece in pieces if not piece.looks]
    looks = [piece.said for piece in pieces if piece.looks]
    text = f"The text consists of: {'; then '.join(parts)}."
    return " ".join([text, *(f"Moreover, {said}." for said in looks)])


def _listed(texts: _Texts) -> str:
    good = "\n".join(json.dumps(text) for text in texts.good[:_SHOWN])
    bad = "\n".join(json.dumps(text) for text in texts.bad[:_SHOWN])
    return f"It must match:\n{good}\n\nIt must not match:\n{bad}"
