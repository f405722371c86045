"""Whether services reach what they need of others: each is asked to try it, once all is up."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from overnight.base.errors import TransientError
from overnight.resources.probes.call import Refused, call

PATIENCE_S = 15.0
_AT_ONCE = 8
_SHOWN = 200


@dataclass(frozen=True, kw_only=True)
class Link:
    """What a service needs of others, and whether it reached that when it tried; `problem` is what was wrong."""

    service: str
    link: str
    ok: bool
    problem: str | None = None


def tried(wanted: Mapping[str, Mapping[str, str]]) -> list[Link]:
    """Ask each service to try each of its links (addresses, by name) now; return what came of it, in their order."""
    asked = [(service, link, url) for service, links in wanted.items() for link, url in links.items()]
    with ThreadPoolExecutor(_AT_ONCE, "overnight-links") as pool:
        return list(pool.map(lambda one: _try(*one), asked))


def _try(service: str, link: str, url: str) -> Link:
    try:
        call("GET", url, timeout_s=PATIENCE_S)
    except Refused as error:
        said = " ".join(error.content.decode(errors="replace").split())[:_SHOWN]
        return Link(service=service, link=link, ok=False, problem=f"{error}{f': {said}' if said else ''}")
    except TransientError as error:
        return Link(service=service, link=link, ok=False, problem=str(error))
    return Link(service=service, link=link, ok=True)
