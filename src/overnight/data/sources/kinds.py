"""Which settings go with which kind of source: what cannot work is refused when the project starts."""

from dataclasses import dataclass, fields

from overnight.base.config import SourceKind, SourceSettings
from overnight.base.errors import ConfigError

EVERY = ("category", "fields", "platform", "as_of")
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


def check(name: str, settings: SourceSettings) -> None:
    """Make sure that the settings of source `name` fit its kind and each other.

    A setting that has its default value counts as not set.

    Raises:
        ConfigError: one is missing, is not used by this kind of source, or does not go with another one.
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
    for region in settings.regions:
        if settings.regions.count(region) > 1:
            raise ConfigError(f"sources.{name}.regions: {region!r} stands there twice")
