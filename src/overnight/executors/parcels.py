"""What goes to a child and back beside the order and the result: objects that are not JSON, and are never on disk.

A parcel is what `pickle` makes of an object. It travels through the socket between this process and its child, within
one run; nothing of it is stored, so that a run that another process takes over has none.
"""

import base64
import io
import pickle
import threading
from typing import Any

from overnight.base.errors import PermanentError, UserMistake, one_line

MOST_BYTES = 40_000_000
"""The largest parcel that comes back."""


class Parcels:
    """The parcels of one project in this process: one to each run of a task, and one from each run. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._outgoing: dict[str, str] = {}
        self._returned: dict[int, str] = {}

    def give(self, task_id: str, content: Any) -> None:  # Any: whatever can be pickled
        """Hand the object to every run of the task from now on.

        Raises:
            UserMistake: it cannot be transferred to another process.
        """
        text = pack(content)
        with self._lock:
            self._outgoing[task_id] = text

    def outgoing(self, task_id: str) -> str | None:
        """Return what runs of the task are given, in text."""
        with self._lock:
            return self._outgoing.get(task_id)

    def copy_of(self, task_id: str) -> Any:  # Any: see `give`
        """Return a copy of what runs of the task are given, as it was handed over."""
        with self._lock:
            text = self._outgoing[task_id]
        return unpack(text)

    def keep(self, run_id: int, text: str) -> None:
        """Keep what a run has given back."""
        with self._lock:
            self._returned[run_id] = text

    def take(self, run_id: int) -> Any:  # Any: see `give`
        """Return what the run has given back; None where it gave nothing."""
        with self._lock:
            text = self._returned.pop(run_id, None)
        return None if text is None else unpack(text)


def pack(content: Any) -> str:
    """Return the object as text.

    Raises:
        UserMistake: it cannot be transferred to another process.
    """
    try:
        return base64.b64encode(pickle.dumps(content)).decode("ascii")
    except Exception as error:
        raise UserMistake(
            f"an instance of {type(content).__name__} cannot be handed to another process: {one_line(error)}; "
            "define its class in a module, and let it hold nothing but data"
        ) from error


class _Unpickler(pickle.Unpickler):  # what it reads comes from our own child or host, through a private socket
    """Finds what a child calls `__mp_main__`, the program that made it, under the name that it has here."""

    def find_class(self, module: str, name: str) -> Any:
        return super().find_class("__main__" if module == "__mp_main__" else module, name)


def of_main(text: str) -> bool:
    """Tell whether a parcel holds something that the main program defines."""
    return b"__main__" in base64.b64decode(text)


def unpack(text: str) -> Any:
    """Return the object that `pack` made the text of; only for text of a process that this one has started itself.

    Raises:
        PermanentError: its class is not known here.
    """
    try:
        return _Unpickler(io.BytesIO(base64.b64decode(text))).load()
    except Exception as error:
        raise PermanentError(f"what was handed over cannot be unpacked: {one_line(error)}") from error
