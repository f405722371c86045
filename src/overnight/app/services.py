"""The services of a project: which there are, who looks after them, and what is left of them where nobody does."""

import json
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.config import Config
from overnight.base.settings import environment
from overnight.supervisor import record, spec
from overnight.supervisor.described import started_of
from overnight.supervisor.policy import STUCK_S
from overnight.supervisor.record import FOLDER, Record
from overnight.supervisor.startup import Mode
from overnight.supervisor.watch import STATUS_FILE, Supervisor

if TYPE_CHECKING:
    from overnight.app.workplace import Workplace

_LOOK_S = 0.05


def supervisor_of(project: "Workplace", url: str, only: Sequence[str] | None) -> Supervisor:
    """Return who looks after the services; `url` is where the daemon answers, `only` those that begin (None: all).

    Those that one of `only` comes after begin too.
    """
    services = started_of(project.config, only or ())
    wanted = None if only is None else spec.with_needed(services, only)
    return Supervisor(
        services,
        project=project.folder,
        state_dir=project.state_dir,
        clock=project.clock,
        environment={**environment(), "OVERNIGHT_URL": url, "OVERNIGHT_PROJECT": str(project.folder)},
        only=wanted,
    )


def last_told(state_dir: Path) -> dict[str, Any]:  # Any: JSON
    """Return how the services stood when that was written down last; see `Supervisor.status`."""
    with suppress(OSError, ValueError):
        found: dict[str, Any] = json.loads((state_dir / STATUS_FILE).read_text())
        return found
    return {"mode": str(Mode.STARTING), "services": {}, "links": []}


def left(state_dir: Path) -> list[Record]:
    """Return the services that were started here and live."""
    return [one for one in record.all_of(state_dir / FOLDER) if one.alive]


def stop_left(state_dir: Path, config: Config | None, pause: Callable[[float], object] | None = None) -> list[str]:
    """Stop the services that a daemon which has ended has left, and return their names; at most a minute or so.

    Those that others need come last, where the settings (None: they cannot be read) still say which those are.
    """
    found = {one.name: one for one in left(state_dir)}
    known = {} if config is None else {name: one for name, one in config.services.items() if name in found}
    pause = pause or threading.Event().wait
    groups = [*spec.stopping_order(known), [name for name in found if name not in known]]
    for group in groups:
        for name in group:
            found[name].end()
        grace_s = max((known[name].grace_s if name in known else STUCK_S for name in group), default=0.0) + STUCK_S
        waited_s = 0.0
        while any(found[name].alive for name in group):
            pause(_LOOK_S)
            waited_s += _LOOK_S
            if waited_s > grace_s:
                for name in group:
                    found[name].kill()
        for name in group:
            record.forget(state_dir / FOLDER, name)
    return sorted(found)


def status_left(config: Config, state_dir: Path) -> dict[str, Any]:  # Any: JSON
    """Return how services stand where no daemon looks after them; as `Supervisor.status` does."""
    alive = {one.name: one for one in left(state_dir)}
    names = sorted({*alive, *(name for name, one in config.services.items() if one.command and one.enabled)})
    return {
        "mode": None,
        "services": {
            name: {
                "status": "left" if name in alive else "down",
                "pid": alive[name].keeper_pid if name in alive else None,
                "why": "no daemon looks after it" if name in alive else None,
            }
            for name in names
        },
        "links": [],
    }
