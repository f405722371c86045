"""The time zone of a project: that of its schedules, and of the times that people read."""

from datetime import tzinfo
from zoneinfo import ZoneInfo

from overnight.base.config import Config
from overnight.base.errors import ConfigError


def zone_of(config: Config) -> tzinfo:
    """Return the project's time zone.

    Raises:
        ConfigError: there is no zone of that name.
    """
    name = config.project.timezone
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ConfigError(f"project.timezone: {name!r} is not a time zone, such as 'Europe/Berlin'") from error
