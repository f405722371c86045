"""The services that a project's settings describe, with what the environment says."""

from collections.abc import Sequence

from overnight.base.config import Config
from overnight.base.errors import UnknownName
from overnight.base.resource_settings import ServiceSettings
from overnight.base.settings import environment
from overnight.base.vocabulary import suggestion
from overnight.resources.probes.call import parsed
from overnight.supervisor import spec


def services_of(config: Config) -> dict[str, ServiceSettings]:
    """Return all services, with the variables of the environment put in.

    Raises:
        ConfigError: one names a variable that there is not.
    """
    return spec.spelled_out(config.services, environment())


def started_of(config: Config, only: Sequence[str] = ()) -> dict[str, ServiceSettings]:
    """Return the services that are started here; each of `only` is one of them.

    Raises:
        ConfigError: one cannot be started as it is described, or an address is none.
        UnknownName: there is none of a name in `only`.
    """
    found = spec.started(services_of(config))
    for name, one in found.items():
        addresses = {f"links.{link}": url for link, url in one.links.items()}
        if one.health.url is not None:
            addresses["health.url"] = one.health.url
        for key, url in addresses.items():
            parsed(url, f"services.{name}.{key}")
    for name in only:
        if name not in found:
            raise UnknownName(f"there is no service {name!r} that is started here{suggestion(name, found)}")
    return found
