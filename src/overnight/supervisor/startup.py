"""Which services may start now, and how the project stands with all of them. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from overnight.base.resource_settings import ServiceSettings
from overnight.supervisor.policy import State, Status


class Mode(StrEnum):
    """How a project stands with its services."""

    STARTING = "starting"
    FULL = "full"
    DEGRADED = "degraded"
    FAILED = "failed"
    DOWN = "down"


@dataclass(frozen=True, kw_only=True)
class Turn:
    """Whether a service may start; `lost` names what it needs and what will not come."""

    ready: bool
    lost: str | None = None


def turn_of(name: str, services: Mapping[str, ServiceSettings], states: Mapping[str, State]) -> Turn:
    """Return whether it is a service's turn: all of the phases before are settled, and what it comes after is up."""
    mine = services[name]
    for other in mine.after:
        if states[other].status in (Status.DOWN, Status.GIVEN_UP):
            return Turn(ready=False, lost=other)
    before = [other for other, one in services.items() if one.phase < mine.phase]
    for other in before:
        if services[other].required and not states[other].worked and states[other].status is Status.GIVEN_UP:
            return Turn(ready=False, lost=other)
    settled = all(states[other].status.settled or states[other].worked for other in before)
    return Turn(ready=settled and all(states[other].status is Status.UP for other in mine.after))


def mode_of(services: Mapping[str, ServiceSettings], states: Mapping[str, State]) -> Mode:
    """Return how the project stands: FAILED where a required service has never worked, and will not."""
    if any(one.required and _lost(states[name]) and not states[name].worked for name, one in services.items()):
        return Mode.FAILED
    if any(not states[name].status.settled and not states[name].worked for name in services):
        return Mode.STARTING
    missing = any(states[name].status is not Status.UP for name in services)
    return Mode.DEGRADED if missing else Mode.FULL


def _lost(state: State) -> bool:
    return state.status in (Status.DOWN, Status.GIVEN_UP)
