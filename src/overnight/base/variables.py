"""What stands in settings for variables of the environment: "${NAME}", or "${NAME:-usual}". Pure."""

import re
from collections.abc import Mapping

from overnight.base.errors import ConfigError

_PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")


def put_in(text: str, variables: Mapping[str, str], where: str) -> str:
    """Return the text with the variables put in; `where` is the key of the setting. What is put in is not looked at.

    Raises:
        ConfigError: there is no such variable and nothing usual, or a "${" that names none.
    """
    if text.count("${") != len(_PLACE.findall(text)):
        raise ConfigError(f'{where}: has a "${{" that names no variable; "${{NAME}}" or "${{NAME:-usual}}" is meant')

    def value(place: re.Match[str]) -> str:
        found = variables.get(place[1]) or place[2]
        if found is None:
            raise ConfigError(f"{where}: the environment has no variable {place[1]!r}; set it, or take it out")
        return found

    return _PLACE.sub(value, text)
