"""How each kind of source is asked: over HTTP page by page, anything on this machine as one page."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from overnight.base.config import SourceSettings
from overnight.base.errors import PermanentError
from overnight.data.sources import api, feed, local
from overnight.data.sources.place import locate
from overnight.data.sources.reading import Found, Known, Page, Validators
from overnight.data.web import Web

TELL_EVERY = 500
"""Rows between two tidings of progress."""

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
        """Yield the pages of a source for a region ("" for none).

        Raises:
            OvernightError, OSError: the source cannot be read as a whole; the message says why.
        """
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
        for one in self._rows(name, source):
            found.append(one)
            if len(found) % TELL_EVERY == 0:
                told(TELL_EVERY)
        told(len(found) % TELL_EVERY)
        return Page(key=key, validators=stamp or Validators(), found=found)

    def _rows(self, name: str, source: SourceSettings) -> Iterator[Found]:
        if source.kind == "feed" and source.path is not None:
            return iter(feed.entries(self._content(name, source, source.path), where=f"sources.{name}"))
        return local.read_local(name, source, self.project_dir, variables=self.variables)

    def _content(self, name: str, source: SourceSettings, path: str) -> bytes:
        file = locate(name, path, self.project_dir)
        with file.open("rb") as opened:
            content = opened.read(int(source.max_mb * 1e6) + 1)
        if len(content) > source.max_mb * 1e6:
            raise PermanentError(f"sources.{name}.path: {path} is longer than max_mb = {source.max_mb:g} allows")
        return content
