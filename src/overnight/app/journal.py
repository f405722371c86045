"""`master_orchestrator.log`: what a daemon did, a line for each event, in logfmt."""

import logging
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from overnight.base.instants import US, to_datetime
from overnight.base.service_settings import LogSettings

FILE = Path("data") / "logs" / "master_orchestrator.log"
"""Below the state folder."""

_QUIET = {"progress", "step", "woken", "held", "released"}
_WARNINGS = {
    "retrying", "missed", "lost", "paused", "blocked", "cancelled", "pool_down_failed", "pool_hours_over",
}  # fmt: skip
_log = logging.getLogger("overnight")


class Journal:
    """Writes lines into the log file, which is put aside when it gets long. Close it when done."""

    def __init__(self, state_dir: Path, settings: LogSettings, zone: tzinfo) -> None:
        self.path = state_dir / FILE
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._handler = RotatingFileHandler(
            self.path, maxBytes=int(settings.max_mb * 1e6), backupCount=settings.keep, encoding="utf-8"
        )
        self._handler.setFormatter(_Line(zone))
        self._before = (_log.level, _log.propagate)
        _log.addHandler(self._handler)
        _log.propagate = False
        self.set_level(settings.level)

    def set_level(self, level: str) -> None:
        """Write nothing that is less important."""
        _log.setLevel(level)

    def tell(self, events: Sequence[Mapping[str, Any]]) -> None:  # Any: see db.stream.Event
        """Write down what happened to runs and tasks."""
        for event in events:
            name = str(event["event"])
            level = logging.DEBUG if name in _QUIET else logging.WARNING if name in _WARNINGS else logging.INFO
            _log.log(logging.ERROR if name == "failed" else level, "%s", logfmt(event))

    def close(self) -> None:
        """Write no more."""
        _log.removeHandler(self._handler)
        self._handler.close()
        _log.level, _log.propagate = self._before


class _Line(logging.Formatter):
    def __init__(self, zone: tzinfo) -> None:
        super().__init__()
        self._zone = zone

    def format(self, record: logging.LogRecord) -> str:
        at = to_datetime(int(record.created * US)).astimezone(self._zone)
        text = record.getMessage()
        line = f"{at.isoformat(timespec='milliseconds')} {record.levelname:<7} {text}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


def logfmt(values: Mapping[str, Any]) -> str:  # Any: JSON
    """Return "task=hello run=3 event=completed": values with spaces, quotes or `=` in them are quoted as JSON is."""
    from overnight.base.files import to_json

    return " ".join(f"{name}={_plain(value) or to_json(value)}" for name, value in values.items() if value is not None)


def _plain(value: object) -> str | None:
    text = str(value)
    simple = isinstance(value, str | int | float) and text.isprintable() and not set(text) & set(' "=\\')
    return text if simple and text else None
