"""What stands in settings for variables of the environment: "${NAME}", or "${NAME:-usual}". Pure."""

import re
from collections.abc import Mapping

from overnight.base.errors import ConfigError

_PLACE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")


def names_in(text: str, where: str) -> list[str]:
    """Return the names of the variables that `put_in` would put in; `where` is the key of the setting.

    Raises:
        ConfigError: a "${" is not closed, or names no variable; the text is not repeated, for the secrets in it.
    """
    places = _PLACE.findall(text)
    if text.count("${") != len(places):
        raise ConfigError(f'{where}: has a "${{" that names no variable; "${{NAME}}" or "${{NAME:-usual}}" is meant')
    return [name for name, _ in places]


def put_in(text: str, variables: Mapping[str, str], where: str) -> str:
    """Return the text with the variables put in; `where` is the key of the setting. What is put in is not looked at.

    What is usual is taken also where the variable is empty.

    Raises:
        ConfigError: there is no such variable and nothing usual, or a "${" that names none.
    """
    names_in(text, where)

    def value(place: re.Match[str]) -> str:
        found = variables.get(place[1])
        if not found and place[2] is not None:
            return place[2]
        if found is None:
            raise ConfigError(f"{where}: the environment has no variable {place[1]!r}; set it, or take it out")
        return found

    return _PLACE.sub(value, text)


def plain(text: str, instead: str) -> str:
    """Return the text with `instead` in the place of each variable."""
    return _PLACE.sub(instead, text)
