"""Reads documents of a knowledge base: Markdown, HTML and PDF become sections of paragraphs, lists, tables and code.

A section is what stands below one heading, up to the next heading of any level; what stands before the first one, or
right below the document's title, is its lead. A fenced block `diagram` of Markdown holds `a -> b -> c`.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from html.parser import HTMLParser
from pathlib import Path

from inline_marks import plain
from prose import is_latin

from overnight.base.errors import MissingExtra, said_by

MOST_BYTES = 20_000_000
"""Of one file."""
MOST_SAID = 2_000_000
"""Characters that one document may say: about a thousand pages, and more than any video is made of."""
MOST_UNENDED = 1000
"""Tags of a page that may begin and not end."""
_HEADING = re.compile(r"(#{1,6})\s+(.*)$")
_HEADING_END = re.compile(r"\s#+$")
_ITEM = re.compile(r"\s*(?:[-*+]|\d+[.)])\s+(.*)$")
_INTERRUPTS = re.compile(r"\s*(?:[-*+]|1[.)])\s+\S")
"""What begins a list right below a paragraph. Another number does not: a line may begin with "23." by chance."""
_RULE = re.compile(r"\s*+\|?+\s*+:?-{2,}+:?\s*+(?:\|\s*+:?-{2,}+:?\s*+)*+\|?\s*+$")
_FENCE = re.compile(r"\s*(```+|~~~+)\s*([\w+-]*)")


class Kind(StrEnum):
    """What a block of a section is."""

    TEXT = "text"
    ITEM = "item"
    TABLE = "table"
    CODE = "code"
    DIAGRAM = "diagram"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A paragraph or an item of a list (`text`), a table (`rows`), or code and diagrams (`text` as it is written)."""

    kind: Kind
    text: str = ""
    rows: tuple[tuple[str, ...], ...] = ()
    language: str = ""


@dataclass(frozen=True, kw_only=True)
class Section:
    """What stands below a heading; the heading of the lead is empty."""

    heading: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, kw_only=True)
class Document:
    """A document: its title, and its sections in order. `url` is where a person finds it, if that is known."""

    title: str
    sections: tuple[Section, ...]
    url: str | None = None


class Unreadable(ValueError):
    """A file holds nothing that can be used; the message says why."""


def read_document(path: Path) -> Document:
    """Return what a file says.

    Raises:
        Unreadable: it is no text in UTF-8, is too large, or `check` refuses what it says.
        MissingExtra: it is a PDF, and pypdf is not installed.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {said_by(error)}") from None
    if len(content) > MOST_BYTES:
        raise Unreadable(f"is larger than {MOST_BYTES // 10**6} MB")
    if path.suffix.lower() == ".pdf":
        document = _pdf(path)
    else:
        try:
            text = content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Unreadable(f"is not UTF-8 (byte {error.start}); save it as UTF-8") from None
        document = READERS[path.suffix.lower()](text)
    check(document)
    return document if document.title else replace(document, title=path.stem.replace("-", " ").replace("_", " "))


def check(document: Document) -> None:
    """Refuse a document that no script can be made of.

    Raises:
        Unreadable: it holds no text, too much of it, or is written in other letters than those of English.
    """
    blocks = [block for section in document.sections for block in section.blocks]
    said = [text for block in blocks for text in (block.text.strip(), *(cell for row in block.rows for cell in row))]
    if not any(said):
        raise Unreadable("holds no text")
    if sum(map(len, said)) > MOST_SAID:
        raise Unreadable(f"says more than {MOST_SAID:,} characters; cut it into several documents")
    if not is_latin(" ".join(said)):
        raise Unreadable("is not written in Latin letters, and scripts are made of English documents only")


def markdown(text: str) -> Document:
    """Return what a Markdown text says; a front matter in `---` is left out."""
    lines = re.sub(r"\A---\n.*?\n---\n", "", text.replace("\r\n", "\n"), flags=re.DOTALL).split("\n")
    return _sections(_markdown_blocks(lines))


def html(text: str) -> Document:
    """Return what an HTML page says; scripts, styles and navigation are left out.

    Raises:
        Unreadable: a great many tags or comments begin and do not end.
    """
    # The parser of the standard library looks for the end of each of them through all of the rest.
    unended = max(piece.count("<") for piece in text.split(">"))
    unended = max(unended, text.count("<!--") - text.count("-->"))
    if unended > MOST_UNENDED:
        raise Unreadable(f"is no HTML page: {unended:,} tags or comments begin and do not end")
    reader = _Html()
    reader.feed(text)
    reader.close()
    reader.finish()
    document = _sections(iter(reader.found))
    return document if document.title else replace(document, title=reader.title)


def _sections(parts: Iterator["Block | tuple[int, str]"]) -> Document:
    """Return the document that headings (level, text) and blocks make; the first heading of level 1 is its title."""
    title, heading, blocks, sections = "", "", list[Block](), list[Section]()
    for part in parts:
        if isinstance(part, Block):
            blocks.append(part)
            continue
        level, text = part
        if level == 1 and not title and not sections:
            title = text
            continue
        if blocks:
            sections.append(Section(heading=heading, blocks=tuple(blocks)))
        heading, blocks = text, []
    if blocks:
        sections.append(Section(heading=heading, blocks=tuple(blocks)))
    return Document(title=title, sections=tuple(sections))


def _markdown_blocks(lines: list[str]) -> Iterator[Block | tuple[int, str]]:
    place = 0
    while place < len(lines):
        line = lines[place]
        fence, heading, item = _FENCE.match(line), _HEADING.match(line), _ITEM.match(line)
        if fence:
            end = _after(lines, place + 1, lambda one, mark=fence[1]: one.strip().startswith(mark))
            yield _code("\n".join(lines[place + 1 : end]), fence[2].lower())
            place = end + 1
        elif heading:
            yield len(heading[1]), plain(_HEADING_END.sub("", heading[2].strip()))
            place += 1
        elif "|" in line and place + 1 < len(lines) and _RULE.match(lines[place + 1]):
            end = _after(lines, place + 2, lambda one: "|" not in one)
            rows = [_cells(one) for one in (line, *lines[place + 2 : end])]
            yield Block(kind=Kind.TABLE, rows=tuple(rows))
            place = end
        elif line.strip():
            end = _after(lines, place + 1, _begins_anew if item else _interrupts)
            words = [item[1] if item else line, *lines[place + 1 : end]]
            yield Block(kind=Kind.ITEM if item else Kind.TEXT, text=plain(" ".join(words)))
            place = end
        else:
            place += 1


def _begins_anew(line: str) -> bool:
    return not line.strip() or any(pattern.match(line) for pattern in (_FENCE, _HEADING, _ITEM))


def _interrupts(line: str) -> bool:
    return not line.strip() or any(pattern.match(line) for pattern in (_FENCE, _HEADING, _INTERRUPTS))


def _after(lines: list[str], begin: int, ends: Callable[[str], bool]) -> int:
    """Return the place of the first line from `begin` on that ends a block, or the number of lines."""
    return next((place for place in range(begin, len(lines)) if ends(lines[place])), len(lines))


def _code(text: str, language: str) -> Block:
    return Block(kind=Kind.DIAGRAM if language == "diagram" else Kind.CODE, text=text, language=language)


def _cells(line: str) -> tuple[str, ...]:
    return tuple(plain(cell) for cell in line.strip().strip("|").split("|"))


class _Html(HTMLParser):
    """Collects headings and blocks in `found`; `title` is what the head of the page gives as one.

    Of a header only the headings are kept: what else stands in one is mostly a menu.
    """

    _SKIPPED = ("script", "style", "nav", "footer", "template", "svg")
    _COUNTED = (*_SKIPPED, "header", "title")
    _OWN: Mapping[str, Kind] = {"p": Kind.TEXT, "li": Kind.ITEM, "pre": Kind.CODE, "blockquote": Kind.TEXT}
    _BLOCK = re.compile(
        "address|article|aside|blockquote|body|d[dlt]|details|div|fieldset|figcaption|figure|form|h[1-6]|header|hr|li|"
        "main|ol|p|pre|section|summary|ul"
    )
    _LEVEL = re.compile("h[1-6]")

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[Block | tuple[int, str]] = []
        self._pieces, self._titled = list[str](), list[str]()
        self._kind, self._in_heading, self._in_cell = Kind.TEXT, False, False
        self._open = dict.fromkeys(self._COUNTED, 0)
        self._rows: list[list[str]] | None = None

    @property
    def title(self) -> str:
        """The title in the head of the page."""
        return " ".join("".join(self._titled).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin what the tag begins."""
        del attrs
        if tag in self._open:
            self._open[tag] += 1
        if self._skips():
            return
        if tag == "table":
            self.end()
            self._rows = []
        elif tag in ("tr", "td", "th") and self._rows is not None:
            self._end_cell()
            self._rows += [[]] if tag == "tr" or not self._rows else []
            self._in_cell = tag != "tr"
        elif tag == "br":
            self._pieces.append("\n")
        elif self._BLOCK.fullmatch(tag):
            self._part()
            self._kind = self._OWN.get(tag, Kind.TEXT)
            self._in_heading = bool(self._LEVEL.fullmatch(tag))

    def handle_endtag(self, tag: str) -> None:
        """End what the tag ends."""
        if tag in self._open:
            self._open[tag] = max(0, self._open[tag] - 1)
        if self._skips():
            return
        if self._LEVEL.fullmatch(tag):
            self._end_heading(int(tag[1]))
        elif tag in ("tr", "td", "th"):
            self._end_cell()
        elif tag == "table":
            self._end_table()
        elif self._BLOCK.fullmatch(tag):
            self._part()

    def handle_data(self, data: str) -> None:
        """Take text."""
        if self._skips():
            return
        if self._open["title"]:
            self._titled.append(data)
        elif self._in_heading or not self._open["header"]:
            self._pieces.append(data)

    def finish(self) -> None:
        """End what the page has left open."""
        self._end_cell()
        self._end_table()
        self.end()

    def end(self) -> None:
        """End the block that is open."""
        text = "".join(self._pieces).strip("\n") if self._kind is Kind.CODE else self._line()
        if text:
            self.found.append(Block(kind=self._kind, text=text))
        self._pieces, self._kind, self._in_heading = [], Kind.TEXT, False

    def _skips(self) -> bool:
        return any(self._open[tag] for tag in self._SKIPPED)

    def _line(self) -> str:
        return " ".join("".join(self._pieces).split())

    def _part(self) -> None:
        """Keep what comes apart from what was said: a block of its own, or a blank within the cell of a table."""
        if self._rows is None:
            self.end()
        else:
            self._pieces.append(" ")

    def _end_heading(self, level: int) -> None:
        text, self._pieces, self._in_heading = self._line(), [], False
        if text:
            self.found.append((level, text))

    def _end_cell(self) -> None:
        """End the cell that is open; text of a table that stands in no cell is none of its figures."""
        if self._rows is not None:
            if self._in_cell:
                self._rows[-1].append(self._line())
            self._pieces, self._in_cell = [], False

    def _end_table(self) -> None:
        self._end_cell()
        rows = tuple(tuple(row) for row in self._rows or () if row)
        self._rows = None
        if rows:
            self.found.append(Block(kind=Kind.TABLE, rows=rows))


def _pdf(path: Path) -> Document:
    """Return what a PDF says, a section for each page."""
    try:
        import pypdf
    except ImportError:
        raise MissingExtra("is a PDF, and pypdf is not installed: pip install pypdf") from None
    try:
        reader = pypdf.PdfReader(path)
        pages = [page.extract_text() or "" for page in reader.pages]
        title = str(reader.metadata.get("/Title") or "").strip() if reader.metadata else ""
    except Exception as error:  # noqa: BLE001 -- a damaged file can break the library anywhere
        raise Unreadable(f"is no PDF that can be read: {said_by(error)}") from None
    if not any(page.strip() for page in pages):
        raise Unreadable("holds no text, perhaps only pictures of it; run a text recognition over it first")
    sections = [
        Section(heading=f"Page {number}", blocks=tuple(_paragraphs(page)))
        for number, page in enumerate(pages, 1)
        if page.strip()
    ]
    return Document(title=title, sections=tuple(sections))


def _paragraphs(text: str) -> Iterator[Block]:
    for paragraph in re.split(r"\n\s*\n", text):
        joined = " ".join(re.sub(r"(\w)-\n(\w)", r"\1\2", paragraph).split())
        if joined:
            yield Block(kind=Kind.TEXT, text=joined)


READERS: Mapping[str, Callable[[str], Document]] = {
    ".md": markdown,
    ".markdown": markdown,
    ".html": html,
    ".htm": html,
}
SUFFIXES = (*READERS, ".pdf")
