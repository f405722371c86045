"""Whether a sample stands in what models are measured on: by its words, and by the syntax trees of its code.

A sample may have been made from what an evaluation set was made from. Words in a row find that also where it is set
otherwise (`text.passages`), trees also where the names are others (`text.syntax`). Neither finds what was told anew in
other words.
"""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from overnight.base.errors import UserMistake
from overnight.text.passages import RUN, SHORT, SHORTEST, Passages
from overnight.text.syntax import shapes_in

JSON_LINES, TEXT, CODE = ".jsonl", ".txt", ".py"


class Contamination:
    """The texts of evaluation sets. Asked with a text, it returns where that stands, or None. Used by one thread."""

    def __init__(self, texts: Iterable[tuple[str, str]], ngram: int = RUN) -> None:
        """`texts` are pairs: where a text stands, for a person, and the text; `ngram` words in a row count as the same.

        Raises:
            UserMistake: there is nothing that a sample could be compared with, or `ngram` is below 8.
        """
        if ngram < SHORT:
            raise UserMistake(f"ngram: {ngram} words in a row come up by chance; give {SHORT} or more")
        self._where: list[str] = []
        self._shapes: dict[int, int] = {}
        self._passages = Passages(self._noted(texts), ngram)
        if not self._passages.count and not self._shapes:
            raise UserMistake(
                f"the evaluation sets hold no text of {SHORTEST} words or more: give them, or leave them out"
            )

    def __call__(self, text: str) -> str | None:
        """Return where the text, or a part of it, stands, and what is the same; None where it stands nowhere."""
        found = self._passages.first_in(text)
        if found is not None:
            return f"{self._where[found.number]}: {found.words} words in a row"
        number = next((self._shapes[shape] for shape in shapes_in(text) if shape in self._shapes), None)
        return None if number is None else f"{self._where[number]}: code that differs in its names only"

    def _noted(self, texts: Iterable[tuple[str, str]]) -> Iterator[str]:
        for number, (where, text) in enumerate(texts):
            self._where.append(where)
            for shape in shapes_in(text):
                self._shapes.setdefault(shape, number)
            yield text


def evaluation_texts(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the texts of an evaluation set, each with where it stands: every text in the rows of a .jsonl file, at any
    depth; the paragraphs of a .txt file; a .py file as one.

    Raises:
        UserMistake: it cannot be read, is another kind of file, or holds no text.
    """
    readers = {JSON_LINES: _rows, TEXT: _paragraphs, CODE: _whole}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise UserMistake(f"{path}: the end of an evaluation set's name must be one of {', '.join(readers)}")
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UserMistake(f"{path}: the evaluation set cannot be read: {error}") from error
    empty = True
    for where, text in reader(path.name, content):
        if text.strip():
            empty = False
            yield where, text
    if empty:
        raise UserMistake(f"{path}: the evaluation set holds no text")


def _rows(name: str, content: str) -> Iterator[tuple[str, str]]:
    # Not `splitlines`: JSON may hold other ends of lines, such as U+2028.
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            try:
                row = json.loads(line)
            except (ValueError, RecursionError):
                raise UserMistake(f"{name}, line {number}: is no JSON") from None
            yield from ((f"{name}, line {number}", text) for text in _texts(row))


def _whole(name: str, content: str) -> Iterator[tuple[str, str]]:
    yield name, content


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)


def _paragraphs(name: str, content: str) -> Iterator[tuple[str, str]]:
    lines: list[str] = []
    for number, line in enumerate([*content.split("\n"), ""], 1):
        if line.strip():
            lines.append(line)
        elif lines:
            yield f"{name}, line {number - len(lines)}", "\n".join(lines)
            lines = []
