"""Which settings go with which kind of source: what cannot work is refused when the project starts."""

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, fields
from datetime import datetime

from overnight.base.config import SourceKind, SourceSettings
from overnight.base.errors import ConfigError, MissingExtra
from overnight.base.variables import names_in, plain
from overnight.data.sources.expressions import Expression
from overnight.data.templates import checked_headers

EVERY = ("max_rows", "category", "fields", "platform", "as_of")
"""What every kind of source may set."""
HTTP = ("headers", "regions", "timeout_s", "max_retries", "per_second", "max_mb")
"""What goes with an address that is asked over HTTP."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """The settings of one kind of source, beside those of every kind."""

    needs: tuple[str, ...] = ()
    one_of: tuple[str, ...] = ()
    """Exactly one of these is needed."""
    may: tuple[str, ...] = ()

    @property
    def allowed(self) -> tuple[str, ...]:
        """All that may be set, what is needed first."""
        return (*self.needs, *self.one_of, *self.may, *EVERY)


KEYS: dict[SourceKind, Keys] = {
    "csv": Keys(needs=("path",), may=("max_mb",)),
    "jsonl": Keys(needs=("path",), may=("max_mb",)),
    "parquet": Keys(needs=("path",)),
    "folder": Keys(needs=("path",), may=("pattern", "max_mb")),
    "json": Keys(
        needs=("url",),
        may=("records", "next", "next_parameter", "page_parameter", "first_page", "max_pages", *HTTP),
    ),
    "feed": Keys(one_of=("path", "url"), may=HTTP),
    "sql": Keys(needs=("query",), one_of=("path", "url"), may=("timeout_s",)),
}
FEED_FILE = Keys(needs=("path",), may=("max_mb",))
"""A feed that is read from a file asks nobody."""

TOGETHER = {"next_parameter": "next", "first_page": "page_parameter"}
"""Settings that mean nothing without another one."""

_DEFAULTS = SourceSettings(kind="csv")
_PATH = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
"""What is an expression without being compiled."""
_SIGNS = re.compile(r"[\[\]{}|@`]|\w\(")
"""What makes an expression of what could be a column's name; a column of such a name stands in double quotes."""


def check(name: str, settings: SourceSettings) -> None:
    """Make sure that the settings of source `name` fit its kind and each other.

    A setting that has its default value counts as not set.

    Raises:
        ConfigError: one is missing, is not used by this kind of source, does not go with another one, or cannot be what
            it is meant to be.
    """
    kind, keys = settings.kind, KEYS[settings.kind]
    given = [item.name for item in fields(settings) if item.name != "kind" and _is_given(settings, item.name)]
    for key in keys.needs:
        if key not in given:
            raise ConfigError(f"sources.{name}.{key}: missing; a source of kind {kind!r} needs it")
    if keys.one_of and sum(key in given for key in keys.one_of) != 1:
        raise ConfigError(f"sources.{name}: a source of kind {kind!r} needs {' or '.join(keys.one_of)}, and only one")
    from_file = kind == "feed" and "path" in given
    allowed = FEED_FILE.allowed if from_file else keys.allowed
    for key in given:
        if key not in allowed:
            raise ConfigError(
                f"sources.{name}.{key}: not used by a source of kind {kind!r}{' from a file' if from_file else ''}; "
                f"allowed are {', '.join(allowed)}"
            )
    _check_together(name, settings, given)
    _check_values(f"sources.{name}", settings)


def _is_given(settings: SourceSettings, key: str) -> bool:
    return getattr(settings, key) not in (getattr(_DEFAULTS, key), "")


def _check_together(name: str, settings: SourceSettings, given: list[str]) -> None:
    for key, other in TOGETHER.items():
        if key in given and other not in given:
            raise ConfigError(f"sources.{name}.{key}: means nothing without {other}")
    if settings.next and settings.page_parameter:
        raise ConfigError(f"sources.{name}: next and page_parameter are two ways to the next page; set one of them")
    asks = "{region}" in (settings.url or "")
    if settings.regions and not asks:
        raise ConfigError(f'sources.{name}.url: has no "{{region}}", so that all regions would be asked the same')
    if asks and not settings.regions and settings.kind != "sql":
        raise ConfigError(f'sources.{name}.regions: missing; the url has a "{{region}}"')
    for region, count in Counter(settings.regions).items():
        if count > 1:
            raise ConfigError(f"sources.{name}.regions: {region!r} stands there twice")


def _check_values(where: str, settings: SourceSettings) -> None:
    names_in(settings.url or "", f"{where}.url")
    for header, value in settings.headers.items():
        names_in(value, f"{where}.headers.{header}")
        # What a variable stands for is looked at when it is put in.
        checked_headers({header: plain(value, "x")}, f"{where}.headers")
    if settings.as_of is not None:
        try:
            datetime.fromisoformat(settings.as_of)
        except ValueError:
            raise ConfigError(
                f"{where}.as_of: {settings.as_of!r} is no instant in ISO 8601, such as 2026-01-31T06:00:00+00:00"
            ) from None
    for key, text in (("records", settings.records), ("next", settings.next)):
        if text and not _PATH.fullmatch(text):
            _check_expression(f"{where}.{key}", text)
    for field, text in settings.fields.items():
        if _SIGNS.search(text):
            _check_expression(f"{where}.fields.{field}", text)


def _check_expression(key: str, text: str) -> None:
    # A project of which this source is one of many starts without the library, and the harvest says what is missing.
    with suppress(MissingExtra):
        Expression(key, text)
