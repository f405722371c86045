"""Records from feeds: RSS, Atom and RDF, over HTTP or from a file's bytes.

No parser sees a document with a declaration: entities could make a small document unpack to a huge one, or read files.
feedparser is given the text from the first element on, in UTF-8, so that it decodes, declares and loads nothing itself.
"""

import codecs
import re
from calendar import timegm
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import BytesIO
from itertools import islice
from typing import Any
from urllib.parse import urljoin
from xml.parsers import expat

from overnight.base.config import SourceSettings
from overnight.base.errors import MissingExtra, PermanentError, one_line
from overnight.data.sources.asking import Asking, key_of, validators_of
from overnight.data.sources.cells import checked
from overnight.data.sources.hiding import hiding_of
from overnight.data.sources.reading import Found, Known, Page, Row
from overnight.data.web import Web

LONGEST_MENDED = 500_000
"""Bytes up to which the entries of a malformed feed are looked for."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16's, which it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_UNMARKED = (
    (re.compile(rb"[\s<]\0\0\0"), "utf-32-le"),
    (re.compile(rb"\0\0\0[\s<]"), "utf-32-be"),
    (re.compile(rb"[\s<]\0"), "utf-16-le"),
    (re.compile(rb"\0[\s<]"), "utf-16-be"),
)
_CHARSET = re.compile(r"charset\s*=\s*[\"']?([\w.:-]+)", re.I)
_DECLARED = re.compile(rb"\s*<\?xml[^>]{0,200}?\sencoding\s*=\s*[\"']([\w.:-]+)", re.I)
# What can write "<" and "!" in another way than ASCII (EBCDIC, UTF-7) is not among them, nor is what is slow to decode.
_ENCODINGS = re.compile(
    r"utf-8|ascii|iso8859-\d+|cp125\d|koi8-[rtu]|gb2312|gbk|gb18030|big5|euc_jp|euc_kr|shift_jis|cp932"
)


def pages(
    name: str,
    settings: SourceSettings,
    *,
    region: str | None,
    variables: Mapping[str, str],
    web: Web,
    known: Mapping[str, Known],
) -> Iterator[Page]:
    """Yield the feed's one page; `known` holds it by its key if it was read before.

    Raises:
        ConfigError: the settings cannot be used.
        UserMistake, TransientError, PermanentError: what `Web.get` raises.
        PermanentError: the answer is no feed, or declares entities.
        MissingExtra: the extra `data` is not installed.
    """
    asking = Asking(name, settings, region=region, variables=variables, web=web)
    key = key_of(asking.first)
    answer = asking.get(asking.first, known.get(key))
    found = None
    if answer.status != 304:
        found = entries(
            answer.body,
            where=f"sources.{name}",
            max_rows=settings.max_rows,
            # An entry's address is made with it, and is kept.
            address=hiding_of(name, settings, variables).text(answer.url),
            content_type=answer.content_type,
        )
    yield Page(key=key, validators=validators_of(answer), found=found)


def entries(
    content: bytes, *, where: str, max_rows: int, address: str | None = None, content_type: str | None = None
) -> list[Found]:
    """Return the entries of a feed; what could be read of a malformed one is kept, and the last line says what broke.

    Of more than `max_rows` entries, only one more is given: a long feed is not read further.

    A row has id, title, source_url, published_at (ISO 8601, UTC), summary, authors and tags. `where` begins the
    messages; an entry's relative address counts from `address`. Texts may hold HTML, as they came.

    Raises:
        PermanentError: it is no feed, has no entries, or has a document type or entity declaration.
        MissingExtra: the extra `data` is not installed.
    """
    try:
        import feedparser
    except ImportError as error:
        raise MissingExtra("reading feeds needs the extra 'data': pip install 'overnight[data]'") from error
    text, damage = _decoded(content, content_type or "", where)
    document = _from_first_element(text, where).encode()
    if len(document) > LONGEST_MENDED:
        document = _shortened(document, max_rows + 1, where)
    try:
        parsed = feedparser.parse(
            BytesIO(document),
            response_headers={"content-type": "application/xml; charset=utf-8"},
            # Both take hours for a text made to slow them; texts stay as they came, like those of other sources.
            sanitize_html=False,
            resolve_relative_uris=False,
        )
    except Exception as error:  # a number that is no character ends its mending with whatever Python says of it
        raise PermanentError(f"{where}: the feed is malformed: {one_line(error)}") from error
    if not parsed.entries and (parsed.bozo or not parsed.version):
        reason = f": {one_line(parsed.bozo_exception)}" if parsed.bozo else ""
        raise PermanentError(f"{where}: this is no RSS or Atom feed{reason}")
    if not parsed.entries:
        raise PermanentError(f"{where}: found no records: the feed has no entries")
    first = islice(parsed.entries, max_rows + 1)
    found = [checked(f"entry {index}", _row(entry, address)) for index, entry in enumerate(first, 1)]
    if parsed.bozo:
        damage = f"malformed, so that entries may be missing: {one_line(parsed.bozo_exception)}"
    return [*found, Found("the feed", None, damage)] if damage else found


def _decoded(content: bytes, content_type: str, where: str) -> tuple[str, str | None]:
    """Return the document's text, and what is wrong with its bytes if anything is."""
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return _text(content, encoding)
    for start, encoding in _UNMARKED:
        if start.match(content):
            return _text(content, encoding)
    named = _CHARSET.search(content_type)
    declared = _DECLARED.match(content)
    name = named[1] if named else declared[1].decode("ascii") if declared else "utf-8"
    try:
        encoding = codecs.lookup(name).name
    except LookupError:
        encoding = ""
    if not _ENCODINGS.fullmatch(encoding):
        raise PermanentError(f"{where}: the feed is written in {name[:40]!r}, which is not read; UTF-8 always is")
    return _text(content, encoding)


def _text(content: bytes, encoding: str) -> tuple[str, str | None]:
    try:
        return content.decode(encoding), None
    except UnicodeDecodeError as error:
        damage = f"byte {error.start + 1} is not {encoding}; read as \N{REPLACEMENT CHARACTER}"
        return content.decode(encoding, "replace"), damage


def _from_first_element(text: str, where: str) -> str:
    """Return the text from its first element on: only before it could anything be declared."""
    at = text.find("<")
    while at >= 0:
        if text.startswith("<!--", at):
            end = text.find("-->", at + 4)
        elif text.startswith("<?", at):
            end = text.find("?>", at + 2)
        elif text.startswith("<!", at):
            raise PermanentError(f"{where}: the feed has a document type or entity declaration, which is not read")
        else:
            return text[at:]
        at = text.find("<", end) if end >= 0 else -1
    raise PermanentError(f"{where}: this is no RSS or Atom feed: there is no element in it")


class _Enough(Exception):
    """All of the entries that are wanted were passed."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


def _shortened(document: bytes, most: int, where: str) -> bytes:
    """Return a long document with its first `most` entries, its open elements closed.

    One that is malformed up to there is refused: mending takes time that grows with the square of the length.
    """
    parser, open_, seen = expat.ParserCreate(), list[str](), 0

    def start(name: str, _: object) -> None:
        nonlocal seen
        seen += name.rpartition(":")[2].lower() in ("item", "entry")
        if seen > most:
            raise _Enough(parser.CurrentByteIndex)
        open_.append(name)

    parser.StartElementHandler = start
    parser.EndElementHandler = lambda _: open_.pop()
    try:
        parser.Parse(document, True)
    except _Enough as enough:
        return document[: enough.at] + "".join(f"</{name}>" for name in reversed(open_)).encode()
    except expat.ExpatError as error:
        raise PermanentError(
            f"{where}: the feed is malformed ({one_line(error)}), and longer than the {LONGEST_MENDED:,} bytes up to "
            "which that is mended"
        ) from error
    return document


def _row(entry: Any, address: str | None) -> Row:  # Any: feedparser has no types
    link = entry.get("link")
    if link and address:
        # Without its query, which may hold a secret. The id stays as it was given: it must outlive a move.
        link = _absolute(address.partition("?")[0], link)
    # The plain `get` of a dict: feedparser's own would answer with another date, and warn of that.
    at = entry.get("published_parsed") or dict.get(entry, "updated_parsed")
    texts = [entry.get("summary"), *(part.get("value") for part in entry.get("content", ()))]
    return {
        "id": entry.get("id") or link,
        "title": entry.get("title"),
        "source_url": link,
        "published_at": _instant(at),
        "summary": next(filter(None, texts), None),
        "authors": [author["name"] for author in entry.get("authors", ()) if author.get("name")],
        "tags": [tag["term"] for tag in entry.get("tags", ()) if tag.get("term")],
    }


def _absolute(address: str, link: str) -> str:
    try:
        return urljoin(address, link)
    except ValueError:
        return link


def _instant(parts: Any) -> str | None:  # Any: feedparser has no types
    try:
        return datetime.fromtimestamp(timegm(parts), UTC).isoformat() if parts else None
    except (ValueError, OverflowError, OSError):
        return None
