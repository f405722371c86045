"""Which categories a project's sources give. Loaded with every project, so it imports little."""

from overnight.base.config import Config, SourceSettings
from overnight.base.errors import ConfigError


def category_of(name: str, source: SourceSettings) -> str:
    """Return the category that the records of source `name` belong to."""
    return source.category or name


def categories(config: Config) -> list[str]:
    """Return the categories that sources give, by name."""
    return sorted({category_of(name, source) for name, source in config.sources.items()})


def sources_of(config: Config, category: str) -> dict[str, SourceSettings]:
    """Return the sources of a category, by name.

    Raises:
        ConfigError: it has none.
    """
    found = {name: one for name, one in config.sources.items() if category_of(name, one) == category}
    if not found:
        known = ", ".join(categories(config)) or "none"
        raise ConfigError(f"no source has the category {category!r} (categories: {known})")
    return found
