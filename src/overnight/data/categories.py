"""Which categories a project's sources give. Loaded with every project, so it imports little."""

from overnight.base.config import Config, SourceSettings
from overnight.base.errors import ConfigError


def categories(config: Config) -> list[str]:
    """Return the categories that sources give, by name."""
    return sorted({source.category or name for name, source in config.sources.items()})


def sources_of(config: Config, category: str) -> dict[str, SourceSettings]:
    """Return the sources of a category, by name.

    Raises:
        ConfigError: it has none.
    """
    found = {name: one for name, one in config.sources.items() if (one.category or name) == category}
    if not found:
        known = ", ".join(categories(config)) or "none"
        raise ConfigError(f"no source has the category {category!r} (categories: {known})")
    return found
