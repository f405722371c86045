"""Takes up a changed configuration while the daemon works, whole or not at all."""

import logging
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from overnight.app.journal import logfmt
from overnight.app.project import Project
from overnight.base.config import Config
from overnight.base.errors import said_by
from overnight.base.files import Stamp, stamp_of
from overnight.base.settings import FILE

NEEDS_RESTART = (
    "engine.database",
    "engine.max_concurrent",
    "resources.",
    "server.port",
    "services.",
    "telemetry.otlp_endpoint",
)
"""Settings that a daemon reads once; all below those that end with a dot."""
_log = logging.getLogger("overnight.reload")


class Reloader:
    """Reads configuration and module of the project again when their files change, or when somebody asks."""

    def __init__(self, project: Project, taken_up: Callable[[Config], None], told: Callable[[], None]) -> None:
        """`taken_up` gets the new configuration, `told` is called after each try, whatever came of it."""
        self._project = project
        self._taken_up = taken_up
        self._told = told
        self._at_start = _values(project.config)
        self._asked = threading.Event()
        self._known: tuple[int, Config | None] = (0, None)
        self._watched: set[Path] = set()
        self._seen = self._look()
        self.number = 0
        """How many tries there were."""
        self.error: str | None = None
        """Why the last one was refused."""
        self.needs_restart: tuple[str, ...] = ()
        """Changed settings that take effect with the next `overnight up`."""

    def ask(self) -> None:
        """Have the configuration read again soon; a signal handler may call it."""
        self._asked.set()

    def work(self) -> None:
        """Reload if it is wanted."""
        seen = self._look()
        changed = any(seen.get(path, stamp) != stamp for path, stamp in self._seen.items())
        if not changed and not self._asked.is_set():
            # A module that was loaded since is no change.
            self._seen = seen
            return
        self._asked.clear()
        try:
            self._project.reload()
        except (Exception, SystemExit) as error:  # noqa: BLE001  # the project's module may raise anything
            self.error = said_by(error)
            _log.error("event=reload_refused %s", logfmt({"error": self.error}))
        else:
            after = _values(self._project.config)
            self.error = None
            self.needs_restart = needing_restart(self._at_start, after)
            self._taken_up(self._project.config)
            restart = ",".join(self.needs_restart) or None
            tasks = sum(1 for _ in self._project.book)
            _log.info("event=reloaded %s", logfmt({"tasks": tasks, "needs_restart": restart}))
        # What was loaded may be other files than before, and one that changed meanwhile is looked at again.
        self._seen = {**self._look(), **seen}
        self.number += 1
        self._told()

    def _files(self) -> set[Path]:
        """Return the files to look at; which modules are the project's is found anew only when others are loaded."""
        known = (len(sys.modules), self._project.config)
        if self._known[0] != known[0] or self._known[1] is not known[1]:
            self._known, self._watched = known, _files(self._project)
        return self._watched

    def _look(self) -> dict[Path, Stamp | None]:
        return {path: stamp_of(path) for path in self._files()}


def needing_restart(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:  # Any: settings
    """Return the keys that take effect with the next start; of a service that is new or gone, its table alone."""
    tables = [{_service_of(key) for key in values} for values in (before, after)]
    found = []
    for key in sorted({*before, *after}):
        if key.startswith(NEEDS_RESTART) and before.get(key) != after.get(key):
            service = _service_of(key)
            whole = service is not None and any(service not in known for known in tables)
            found.append(str(service) if whole else key)
    return tuple(dict.fromkeys(found))


def _service_of(key: str) -> str | None:
    return ".".join(key.split(".")[:2]) if key.startswith("services.") else None


def _values(config: Config) -> dict[str, Any]:  # Any: settings
    return {item.key: item.value for item in config.origins()}


def _files(project: Project) -> set[Path]:
    """Return the files that the project's configuration and its loaded modules came from."""
    folder = project.folder
    named = {folder / FILE, *(folder / origin for origin in project.config.set_by.values() if origin.endswith(".toml"))}
    modules = (Path(getattr(module, "__file__", None) or "/") for module in list(sys.modules.values()))
    own = {path for path in modules if path.is_relative_to(folder) and "site-packages" not in path.parts}
    return named | own
