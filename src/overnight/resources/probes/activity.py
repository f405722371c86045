"""Asks a service how much it has to do."""

import math
from dataclasses import dataclass
from datetime import datetime

from overnight.base.config import shown
from overnight.base.errors import TransientError
from overnight.base.resource_settings import ServiceSettings
from overnight.resources.probes.call import call, call_json
from overnight.resources.probes.paths import number_at
from overnight.resources.probes.prometheus import BUILT_IN, Names, totals


@dataclass(frozen=True, kw_only=True)
class Activity:
    """`active`: the requests that run or wait. `served`: a number that another one follows whenever something was
    served. None where the service does not tell.
    """

    active: float | None = None
    served: float | None = None


def activity(settings: ServiceSettings) -> Activity:
    """Return what the service tells; nothing where it has no address to ask.

    Raises:
        TransientError: it does not answer, or not with what should be there.
    """
    if settings.active_url is not None and settings.active_path is not None:
        document = call_json("GET", settings.active_url)
        try:
            return Activity(active=_count(number_at(document, settings.active_path)))
        except ValueError as error:
            raise TransientError(f"{shown('url', settings.active_url)}: {error}") from error
    names = Names(active=settings.metrics) if settings.metrics else BUILT_IN.get(settings.kind or "")
    if names is not None:
        return _metrics(settings.metrics_url or below(settings, "/metrics"), names)
    if settings.kind == "ollama":
        # Each request that ends moves the instant at which its model is unloaded; those that run are not told.
        return Activity(served=sum(until.timestamp() for until in ollama_models(settings).values()))
    return Activity()


def ollama_models(settings: ServiceSettings) -> dict[str, datetime]:
    """Return the models that Ollama has loaded, and until when, as `GET /api/ps` tells
    (https://docs.ollama.com/api/ps).

    Raises:
        TransientError: it does not answer, or not with a list of models.
    """
    url = below(settings, "/api/ps")
    found = call_json("GET", url)
    try:
        models = {str(model["name"]): datetime.fromisoformat(model["expires_at"]) for model in found["models"] or []}
    except (LookupError, TypeError, ValueError):
        models = {"": datetime.min}
    if any(not name or until.tzinfo is None for name, until in models.items()):
        raise TransientError(f"{shown('url', url)}: did not answer as Ollama does")
    return models


def below(settings: ServiceSettings, path: str) -> str:
    """Return an address below that of the service."""
    return f"{(settings.url or '').rstrip('/')}{path}"


def _metrics(url: str, names: Names) -> Activity:
    try:
        # Half a letter of somebody's label is no reason to know nothing.
        found = totals(call("GET", url).decode(errors="replace"))
        counts = [_count(found[name] if not names.lazy else found.get(name, 0.0)) for name in names.active]
    except KeyError as error:
        raise TransientError(f"{shown('url', url)}: there is no {error.args[0]}") from error
    except ValueError as error:
        raise TransientError(f"{shown('url', url)}: {error}") from error
    served = None if names.served is None else found.get(names.served)
    return Activity(active=sum(counts), served=served)


def _count(value: float) -> float:
    if not math.isfinite(value) or value < 0:
        raise ValueError(f"{value} is no number of requests")
    return value
