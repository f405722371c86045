"""Work in a thread of its own, from `start` to `stop`."""

import threading
from abc import ABC, abstractmethod


class Background(ABC):
    """Subclasses say in `_go` what is done; it returns soon after `_ended` is set."""

    def __init__(self, name: str) -> None:
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after what is under way."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    @abstractmethod
    def _go(self) -> None:
        """Work until `_ended` is set."""
