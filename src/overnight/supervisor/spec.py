"""What the settings say of services, checked together. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar

from overnight.base.errors import ConfigError
from overnight.base.resource_settings import ServiceSettings
from overnight.base.variables import put_in
from overnight.base.vocabulary import suggestion

MOST_PORT = 65535
T = TypeVar("T")
Services = Mapping[str, ServiceSettings]


def spelled_out(services: Services, variables: Mapping[str, str]) -> dict[str, ServiceSettings]:
    """Return the services with the variables of the environment put into all of their texts; those that are not
    enabled as they are.

    Raises:
        ConfigError: a text names a variable that there is not, or a port is none.
    """
    return {
        name: one if one.command and not one.enabled else _spelled_out(one, variables, f"services.{name}")
        for name, one in services.items()
    }


def _spelled_out(one: ServiceSettings, variables: Mapping[str, str], at: str) -> ServiceSettings:
    found = _filled(one, variables, at)
    port = found.health.port
    if port is None:
        return found
    if not str(port).isdecimal() or not 0 < int(port) <= MOST_PORT:
        raise ConfigError(f"{at}.health.port: {port!r} is not a port from 1 to {MOST_PORT}")
    return replace(found, health=replace(found.health, port=int(port)))


def _filled(value: T, variables: Mapping[str, str], where: str) -> T:
    found: Any = value  # Any: of the same type again, whichever it is
    if isinstance(value, str):
        found = put_in(value, variables, where)
    elif is_dataclass(value) and not isinstance(value, type):
        names = [one.name for one in fields(value)]
        found = replace(value, **{name: _filled(getattr(value, name), variables, f"{where}.{name}") for name in names})
    elif isinstance(value, Mapping):
        found = {key: _filled(one, variables, f"{where}.{key}") for key, one in value.items()}
    elif isinstance(value, tuple | list):
        found = type(value)(_filled(one, variables, f"{where}[{place}]") for place, one in enumerate(value))
    return found  # type: ignore[no-any-return]


def started(services: Services) -> dict[str, ServiceSettings]:
    """Return the services that are started here.

    Raises:
        ConfigError: one cannot be started as it is described.
    """
    found = {name: one for name, one in services.items() if one.command and one.enabled}
    for name, one in services.items():
        _check(name, one, services)
    for name, one in found.items():
        for other in one.after:
            if other not in found:
                raise ConfigError(f"services.{name}.after: {other!r} is not started here")
            if found[other].phase > one.phase:
                raise ConfigError(f"services.{name}.after: {other!r} is of a later phase ({found[other].phase})")
        _check_no_circle(name, found)
    return found


def _check(name: str, one: ServiceSettings, services: Services) -> None:
    at, health = f"services.{name}", one.health
    if not name or not all(char.isalnum() or char in "_-." for char in name) or name.startswith("."):
        raise ConfigError(f"services: {name!r} is not a name (letters, digits and _ - .)")
    for other in one.after:
        if other not in services:
            raise ConfigError(f"{at}.after: there is no service {other!r}{suggestion(other, sorted(services))}")
    ways = [health.url is not None, health.port is not None, bool(health.command)]
    if sum(ways) > 1:
        raise ConfigError(f"{at}.health: give one of url, port and command")
    if health.path is not None and health.url is None:
        raise ConfigError(f"{at}.health: `path` needs `url`, whose answer it is in")
    if health.equals is not None and health.path is None:
        raise ConfigError(f"{at}.health: `equals` needs `path`, where that has to stand")
    if not one.command:
        given = [key for key in ("after", "links") if getattr(one, key)]
        if given:
            raise ConfigError(f"{at}.{given[0]}: it has no `command`, so that it is not started here")


def _check_no_circle(name: str, services: Services) -> None:
    if name in with_needed(services, services[name].after):
        raise ConfigError(f"services.{name}.after: it would come after itself")


def with_needed(services: Services, names: Iterable[str]) -> frozenset[str]:
    """Return the names, and those of all that they come after; what comes before one that is not there is not known."""
    found, waiting = set[str](), list(names)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += services[name].after if name in services else ()
    return frozenset(found)


def stopping_order(services: Services) -> list[list[str]]:
    """Return the names in groups that are stopped at the same time, those that others need last."""
    left, groups = dict(services), list[list[str]]()
    while left:
        needed = {other for one in left.values() for other in one.after}
        latest = max(one.phase for one in left.values())
        group = [name for name, one in left.items() if one.phase == latest and name not in needed]
        groups.append(sorted(group))
        left = {name: one for name, one in left.items() if name not in group}
    return groups
