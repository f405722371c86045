"""Rows of a CSV file, or of a TSV file by its name: a header row, then one record after the other.

What separates the cells of a CSV file is the first of comma, semicolon, tab and bar that stands in its header outside
of quotes: the spreadsheets of half of the world write semicolons.

Every cell stays text, exactly as it stands there; an empty one is None. A title such as "1984" or "Infinity" is thus
never harmed, and who needs a number makes one of the text.

A record with the wrong number of columns or a quote out of place costs that record only. A cell in quotes may hold line
breaks, so that a quote that is never closed could swallow the rest of the file: lines are joined up to a bound, and
where the quotes do not come out even, only the first line is set aside and reading goes on with the next.
"""

import re
from collections import deque
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path

from overnight.base.errors import ConfigError
from overnight.data.sources.lines import Line, Malformed, lines, opened, packed_name, text_of
from overnight.data.sources.reading import Found

DELIMITERS = (b",", b";", b"\t", b"|")
"""What may separate cells, the most common first."""
MOST_LINES = 1000
"""Lines that the cells of one record may go on for."""
MOST_BYTES = 2**20
"""Bytes of the longest record of several lines."""

Cells = list[str | None]


def rows(file: Path, max_mb: float) -> Iterator[Found]:
    """Yield the rows of a file of at most `max_mb` megabytes (10^6 bytes), unpacked.

    Raises:
        ConfigError: the file cannot be read, is longer, or has no usable header.
    """
    with opened(file, max_mb) as stream:
        source = lines(stream)
        first = list(islice((line for line in source if line.content != b""), 1))
        syntax = _Syntax(b"\t" if _is_tsv(file) else _delimiter(first))
        records = _records(chain(first, source), syntax)
        header = _header(next(records, None), syntax)
        for record in records:
            where = f"line {record.number}"
            try:
                cells = syntax.cells(record)
                if len(cells) != len(header):
                    raise Malformed(f"{len(cells)} columns where the header has {len(header)}")
            except Malformed as error:
                yield Found(where, None, str(error))
            else:
                yield Found(where, dict(zip(header, cells, strict=True)))


def _is_tsv(file: Path) -> bool:
    return Path(file.stem if packed_name(file) else file.name).suffix.lower() == ".tsv"


def _delimiter(first: list[Line]) -> bytes:
    bare = re.sub(rb'"[^"]*"?', b"", first[0].content or b"") if first else b""
    return next((delimiter for delimiter in DELIMITERS if delimiter in bare), DELIMITERS[0])


def _header(record: Line | None, syntax: "_Syntax") -> list[str]:
    if record is None:
        raise ConfigError("the file is empty; the first line has to name the columns")
    try:
        names = [(cell or "").strip() for cell in syntax.cells(record)]
    except Malformed as error:
        raise ConfigError(f"line {record.number}, which has to name the columns: {error}") from error
    for number, name in enumerate(names, 1):
        if not name:
            raise ConfigError(f"line {record.number}, which has to name the columns: column {number} has no name")
        if name in names[: number - 1]:
            raise ConfigError(f"line {record.number}, which has to name the columns: {name!r} stands there twice")
    return names


class _Syntax:
    """RFC 4180 with one delimiter: what a record is, and what its cells are."""

    def __init__(self, delimiter: bytes) -> None:
        self._delimiter = delimiter.decode()
        sign = re.escape(delimiter)
        bare, quoted = b'[^"\n%b]*+' % sign, b'"[^"]*+(?:""[^"]*+)*+'
        # Possessive throughout: no input makes them try twice.
        self._whole = re.compile(b'(?:%b"|%b)(?:%b(?:%b"|%b))*+' % (quoted, bare, sign, quoted, bare))
        self._open = re.compile(b'(?:(?:%b"|%b)%b)*+%b' % (quoted, bare, sign, quoted))
        self._cells = re.compile('%s(?:"([^"]*+(?:""[^"]*+)*+)"|([^"%s]*+))' % ((sign.decode(),) * 2))

    def is_whole(self, content: bytes) -> bool:
        """Return whether this is a record with all of its quotes in place."""
        return self._whole.fullmatch(content) is not None

    def is_open(self, content: bytes) -> bool:
        """Return whether this is the start of a record that ends inside quotes."""
        return content.count(b'"') % 2 == 1 and self._open.fullmatch(content) is not None

    def cells(self, record: Line) -> Cells:
        """Return the cells of a record.

        Raises:
            Malformed: it is none.
        """
        if record.content is None:
            raise Malformed(record.reason)
        if b'"' not in record.content:
            bare = text_of(record.content).split(self._delimiter)
            cells: Cells = [cell or None for cell in bare]
        elif self.is_whole(record.content):
            pairs = self._cells.findall(self._delimiter + text_of(record.content))
            bare = [unquoted for _, unquoted in pairs]
            cells = [quoted.replace('""', '"') or unquoted or None for quoted, unquoted in pairs]
        else:
            raise Malformed("a quote out of place")
        if b"\r" in record.content and any("\r" in cell for cell in bare):
            raise Malformed("a carriage return outside of quotes; lines end with LF or CR LF")
        return cells


def _records(source: Iterator[Line], syntax: _Syntax) -> Iterator[Line]:
    """Yield the lines of `source`, those of one record as one with the number of the first; empty ones are left out."""
    ahead: deque[Line] = deque()
    while (line := ahead.popleft() if ahead else next(source, None)) is not None:
        if line.content and syntax.is_open(line.content):
            joined = _joined(line, ahead, source, syntax)
            yield line._replace(content=joined, reason="unclosed quote" if joined is None else None)
        elif line.content != b"":
            yield line


def _joined(first: Line, ahead: deque[Line], source: Iterator[Line], syntax: _Syntax) -> bytes | None:
    """Return the record whose quotes close on a later line, and take its lines; None, taking none, if they do not.

    Lines that were looked at for nothing stay in `ahead`.
    """
    assert first.content is not None, "it ends inside quotes"
    parts, size = [first.content], len(first.content)
    for index in range(MOST_LINES - 1):
        if index == len(ahead):
            following = next(source, None)
            if following is None:
                return None
            ahead.append(following)
        content = ahead[index].content
        size += len(content or b"") + 1
        if content is None or size > MOST_BYTES:
            return None
        parts.append(content)
        # An even number of quotes leaves a record open: each pair is one quote of the text, or ends and starts a cell.
        if content.count(b'"') % 2:
            record = b"\n".join(parts)
            if not syntax.is_whole(record):
                return None
            for _ in range(index + 1):
                ahead.popleft()
            return record
    return None
