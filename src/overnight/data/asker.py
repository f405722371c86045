"""How each kind of source is asked: over HTTP page by page, anything on this machine as one page."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from pathlib import Path

from overnight.base.config import SourceSettings, shown
from overnight.base.errors import OvernightError, PermanentError, one_line
from overnight.base.hiding import Hiding
from overnight.data.sources import api, feed, local
from overnight.data.sources.hiding import hiding_of
from overnight.data.sources.place import locate
from overnight.data.sources.reading import Found, Known, Page, Validators
from overnight.data.web import Web

TELL_EVERY = 500
"""Rows between two tidings of progress."""
LONGEST_SAID = 500
"""Characters of the longest message or reason that a source may give: they end in the harvest log."""

Told = Callable[[int], None]
"""Takes how many more rows were read."""


@dataclass(frozen=True, kw_only=True)
class Asker:
    """Asks the sources of one project. Safe to use from any thread."""

    project_dir: Path
    variables: Mapping[str, str]
    """The environment, for "${NAME}" in addresses and headers."""
    web: Web

    def __call__(
        self, name: str, source: SourceSettings, region: str, known: Mapping[str, Known], told: Told
    ) -> Iterator[Page]:
        """Yield the pages of a source for a region ("" for none), up to `max_rows` rows of them.

        Where there are more, the last line says so. No message, no reason and nothing that is kept to ask again holds
        what a variable of the environment put in; each is one line of at most `LONGEST_SAID` characters.

        Raises:
            OvernightError, OSError: the source cannot be read as a whole; the message says why.
        """
        hiding, limit = hiding_of(name, source, self.variables), _Limit(source)
        try:
            for page in self._pages(name, source, region, known, told):
                yield _without_secrets(limit.cut(page, known), hiding)
                if limit.is_reached:
                    return
        except (OvernightError, OSError) as error:
            said = _said(error, hiding)
            if said == str(error):
                raise
            raise type(error)(said) from None
        except Exception as error:
            raise PermanentError(_said(f"{type(error).__name__}: {error}", hiding)) from error

    def _pages(
        self, name: str, source: SourceSettings, region: str, known: Mapping[str, Known], told: Told
    ) -> Iterator[Page]:
        """Yield the pages; of one with more than `max_rows` rows, only one more."""
        if source.kind not in ("json", "feed") or source.url is None:
            yield self._local(name, source, known, told)
            return
        pages = api.pages if source.kind == "json" else feed.pages
        here = region or None
        for page in pages(name, source, region=here, variables=self.variables, web=self.web, known=known):
            told(len(page.found or ()))
            yield page

    def _local(self, name: str, source: SourceSettings, known: Mapping[str, Known], told: Told) -> Page:
        key = sha256(f"{source.kind} {source.path or source.url} {source.query}".encode()).hexdigest()
        stamp = local.stamp(name, source, self.project_dir)
        before = known.get(key)
        if stamp is not None and before is not None and before.validators == stamp:
            return Page(key=key, validators=stamp, found=None)
        found: list[Found] = []
        for one in islice(self._rows(name, source), source.max_rows + 1):
            found.append(one)
            if len(found) % TELL_EVERY == 0:
                told(TELL_EVERY)
        told(len(found) % TELL_EVERY)
        return Page(key=key, validators=stamp or Validators(), found=found)

    def _rows(self, name: str, source: SourceSettings) -> Iterator[Found]:
        if source.kind == "feed" and source.path is not None:
            content = self._content(name, source, source.path)
            return iter(feed.entries(content, where=f"sources.{name}", max_rows=source.max_rows))
        return local.read_local(name, source, self.project_dir, variables=self.variables)

    def _content(self, name: str, source: SourceSettings, path: str) -> bytes:
        file = locate(name, path, self.project_dir)
        with file.open("rb") as opened:
            content = opened.read(int(source.max_mb * 1e6) + 1)
        if len(content) > source.max_mb * 1e6:
            raise PermanentError(f"sources.{name}.path: {path} is longer than max_mb = {source.max_mb:g} allows")
        return content


class _Limit:
    """Counts the rows of all pages, and cuts the page with which they become more than `max_rows`."""

    def __init__(self, source: SourceSettings) -> None:
        self.is_reached = False
        self._source = source
        self._left = source.max_rows
        self._pages = 0

    def cut(self, page: Page, known: Mapping[str, Known]) -> Page:
        """Return the page, up to what may still be read; one that is cut has to be asked for anew the next time."""
        self._pages += 1
        found = page.found
        count = known[page.key].rows if found is None else len(found)
        if count <= self._left:
            self._left -= count
            return page
        self.is_reached = True
        beyond = f"page {self._pages}" if found is None else found[self._left].where
        note = Found(f"from {beyond} on", None, f"not read: max_rows = {self._source.max_rows}")
        # A file is known by both validators, and its time of change is what recency counts from.
        changed = page.validators.last_modified if self._source.url is None else None
        kept = [*(found or ())[: self._left], note]
        return replace(page, validators=Validators(last_modified=changed), found=kept, next=None)


def _without_secrets(page: Page, hiding: Hiding) -> Page:
    """Return the page with nothing in it that would store a secret: what leads on from it, and its reasons."""
    leads = (page.next, page.validators.etag, page.validators.last_modified)
    if any(text and shown("next", hiding.text(text)) != text for text in leads):
        page = replace(page, validators=Validators(), next=None)
    if page.found is None:
        return page
    found = [one if one.reason is None else one._replace(reason=_said(one.reason, hiding)) for one in page.found]
    return replace(page, found=found)


def _said(message: object, hiding: Hiding) -> str:
    """Return a message as it may be stored: hidden before it is cut, so that no half of a secret stays."""
    said = one_line(hiding.text(str(message)))
    return said if len(said) <= LONGEST_SAID else f"{said[: LONGEST_SAID - 3]}..."
