"""Notices at once, and without asking the database, that another worker of this host has died.

The kernel frees a worker's lock file the moment the worker is gone, but tells nobody: so somebody has to look.
"""

from pathlib import Path

from overnight.engine.recovery import WorkerRef, is_present, lives_here


class Neighbours:
    """The other workers of this host that have been seen to live. Used by one thread at a time.

    They are known from the folders that hold their lock files, and from the database whenever it is asked who lives.
    """

    def __init__(self, own: Path) -> None:
        """`own` is the lock file of the worker that looks."""
        self._own = own
        self._living: set[Path] = set()

    def lives(self, worker: WorkerRef) -> bool:
        """Tell whether a worker of this host lives, and keep an eye on it if it does."""
        living = lives_here(worker)
        if living:
            self._living.add(Path(worker.lock_path))
        return living

    def anyone_gone(self) -> bool:
        """Look, and tell whether somebody is gone who lived at the look before."""
        folders = {self._own.parent, *(path.parent for path in self._living)}
        known = self._living.union(*(folder.glob("*.lock") for folder in folders)) - {self._own}
        living = {path for path in known if is_present(path)}
        gone = bool(self._living - living)
        self._living = living
        return gone
