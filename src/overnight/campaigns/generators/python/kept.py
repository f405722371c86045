"""What was found out about functions and modules, kept for whoever makes samples of them next.

A file that the processes of a campaign share: what one has found, no other has to. It can be deleted at any time, and
where it cannot be used, all is found out again.
"""

import hashlib
import json
import sqlite3
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

_BUSY_S = 5.0
_TABLE = "CREATE TABLE IF NOT EXISTS kept (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"


class Kept:
    """Values by what they follow from. Used by one thread; without a path, nothing is kept."""

    def __init__(self, path: Path | None) -> None:
        self._connection: sqlite3.Connection | None = None
        if path is not None:
            with suppress(sqlite3.Error, OSError):
                self._open(path)

    def _open(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            # What a power cut takes is found out again.
            connection.execute("PRAGMA synchronous = OFF")
            connection.execute(_TABLE)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection

    def get(self, *told: str) -> Any:  # Any: JSON
        """Return the value; None where nothing is kept of what was told."""
        if self._connection is not None:
            with suppress(sqlite3.Error, ValueError):
                query = "SELECT value FROM kept WHERE key = ?"
                row = self._connection.execute(query, (_key(told),)).fetchone()
                return None if row is None else json.loads(row[0])
        return None

    def put(self, value: Any, *told: str) -> None:  # Any: JSON
        """Keep a value by all that it follows from."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.execute("INSERT OR REPLACE INTO kept VALUES (?, ?)", (_key(told), json.dumps(value)))

    def close(self) -> None:
        """Close the file."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _key(told: Sequence[str]) -> str:
    return hashlib.blake2b(json.dumps([sys.version, *told]).encode(), digest_size=16).hexdigest()
