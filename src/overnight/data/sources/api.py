"""Records from JSON over HTTP, page by page.

What leads on to the next page is kept with a page as it was given (an address, a token, a number), so that a page that
has not changed can be passed over without being read.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus, urlencode

from overnight.base.config import SourceSettings
from overnight.base.errors import PermanentError, one_line
from overnight.data.sources.asking import Asking, key_of, validators_of
from overnight.data.sources.cells import checked, fault_of
from overnight.data.sources.expressions import Expression
from overnight.data.sources.reading import Found, Known, Page, Validators
from overnight.data.web import Answer, Web, displayed, is_web, origin

if TYPE_CHECKING:
    from httpx import URL


def pages(
    name: str,
    settings: SourceSettings,
    *,
    region: str | None,
    variables: Mapping[str, str],
    web: Web,
    known: Mapping[str, Known],
) -> Iterator[Page]:
    """Yield the source's pages in their order, at most `max_pages`; `known` holds those that were read before, by key.

    Where there are more pages, the last one ends with a line that says so. Of a page of more than `max_rows` records
    only one more is given.

    Raises:
        ConfigError: an expression, the address or a variable cannot be used.
        UserMistake, TransientError, PermanentError: what `Web.get` raises.
        PermanentError: an answer is not what the settings say, there are no records on the first page, or the pages
            lead round in a circle.
        MissingExtra: the extra `data` is not installed.
    """
    asking = Asking(name, settings, region=region, variables=variables, web=web)
    reader = _Reader(name, settings)
    paging = _Paging(name, settings, asking.first)
    address, seen = paging.first(), set[str]()
    for number in range(1, settings.max_pages + 1):
        key = key_of(address)
        if key in seen:
            raise PermanentError(f"sources.{name}: page {number} is one that was read before: {displayed(address)}")
        seen.add(key)
        before, last = known.get(key), number == settings.max_pages
        if last and before is not None and before.next is not None:
            before = None  # what was kept of it does not say that it is the last one
        answer = asking.get(address, before)
        if answer.status == 304:
            assert before is not None, "it was asked whether it has changed"
            page = Page(key=key, validators=validators_of(answer), found=None, next=before.next)
        else:
            content = reader.content(answer, number)
            found = reader.found(content, number)
            lead = paging.lead(content, found, number)
            page = Page(key=key, validators=validators_of(answer), found=found, next=lead)
        yield _with_note(page, number) if last else page
        if page.next is None:
            return
        address = paging.address(page.next, answer)


def _with_note(page: Page, number: int) -> Page:
    """Return the last page that may be read; it says so if another one follows."""
    if page.next is None or page.found is None:
        return page
    note = Found(f"page {number + 1}", None, f"not read: max_pages = {number}")
    return replace(page, validators=Validators(), found=[*page.found, note])


class _Reader:
    """Finds the records of an answer."""

    def __init__(self, name: str, settings: SourceSettings) -> None:
        self._key = f"sources.{name}"
        self._path = settings.records
        self._max_rows = settings.max_rows
        self._search = None if self._path is None else Expression(f"{self._key}.records", self._path)

    def content(self, answer: Answer, number: int) -> Any:  # Any: whatever JSON holds
        try:
            return json.loads(answer.body)
        except RecursionError:
            raise PermanentError(f"{self._key}: page {number} is nested too deeply") from None
        except ValueError as error:
            raise PermanentError(f"{self._key}: page {number} is not JSON: {one_line(error)}") from error

    def found(self, content: Any, number: int) -> list[Found]:  # Any: whatever JSON holds
        records = content if self._search is None else self._search.of(content, number)
        if not isinstance(records, list):
            gives = "the answer" if self._path is None else repr(self._path)
            raise PermanentError(
                f"{self._key}.records: {gives} is {_kind(records)} on page {number}; a list of records is needed"
            )
        if number == 1 and not records:
            raise PermanentError(f"{self._key}: found no records: the list is empty on page 1")
        first = islice(records, self._max_rows + 1)
        return [_found(f"page {number}, item {index}", item) for index, item in enumerate(first, 1)]


class _Paging:
    """How one page leads to the next: by a number, a token or an address. The lead is text, as it was given."""

    def __init__(self, name: str, settings: SourceSettings, start: "URL") -> None:
        self._key, self._settings, self._start = f"sources.{name}", settings, start
        self._next = None if settings.next is None else Expression(f"{self._key}.next", settings.next)
        self._parameter = settings.page_parameter or settings.next_parameter

    def first(self) -> "URL":
        """Return the address of the first page."""
        if self._settings.page_parameter is None:
            return self._start
        return _with_parameter(self._start, self._settings.page_parameter, str(self._settings.first_page))

    def lead(self, content: Any, found: list[Found], number: int) -> str | None:  # Any: whatever JSON holds
        """Return what leads on from this page, or None after the last."""
        if self._settings.page_parameter is not None:
            return str(self._settings.first_page + number) if found else None
        given = None if self._next is None else self._next.of(content, number)
        if given in (None, "", False):
            return None
        if isinstance(given, str):
            if reason := fault_of(given):
                raise PermanentError(f"{self._key}.next: {self._settings.next!r} is {reason}, on page {number}")
            return given
        if isinstance(given, int) and given is not True and self._parameter is not None:
            return str(given)
        raise PermanentError(
            f"{self._key}.next: {self._settings.next!r} is {_kind(given)} on page {number}; "
            f"{'text or a whole number' if self._parameter else 'an address'}, or nothing on the last page, is needed"
        )

    def address(self, lead: str, answer: Answer) -> "URL":
        """Return where the lead leads. The source's headers may hold secrets, so it stays at one origin."""
        if self._parameter is not None:
            return _with_parameter(self._start, self._parameter, lead)
        import httpx

        try:
            target = httpx.URL(answer.url).join(lead).copy_with(fragment=None)
        except (httpx.InvalidURL, ValueError):
            raise PermanentError(
                f"{self._key}.next: {self._settings.next!r} gives something that is no address"
            ) from None
        if not is_web(target) or origin(target) != origin(self._start):
            raise PermanentError(
                f"{self._key}.next: leads to {displayed(target)}, away from the origin of {displayed(self._start)}"
            )
        return target


def _with_parameter(url: "URL", name: str, value: str) -> "URL":
    """Return the address with the query parameter set; the rest of the query stays letter by letter."""
    parts = url.query.decode("ascii").split("&")
    others = [part for part in parts if part and unquote_plus(part.partition("=")[0]) != name]
    return url.copy_with(query="&".join([*others, urlencode({name: value})]).encode("ascii"))


def _found(where: str, item: Any) -> Found:  # Any: whatever JSON holds
    if isinstance(item, dict):
        return checked(where, item)
    return Found(where, None, f"{_kind(item)}, not an object")


def _kind(value: Any) -> str:  # Any: whatever JSON holds
    """Return what a person calls it."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case int() | float():
            return "a number"
        case str():
            return "text"
        case list():
            return "a list"
        case _:
            return "an object"
