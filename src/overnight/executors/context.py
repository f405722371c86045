"""The `ctx` of a task's function, the same in every executor."""

import math
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

from overnight.base.clock import Clock
from overnight.base.errors import UserMistake
from overnight.base.ports import StopReason
from overnight.base.refs import WorkOrder
from overnight.executors.parcels import MOST_BYTES, pack, unpack

_JOIN_S = 0.1


class Context:
    """Implements base/ports.RunContext. `send` gets figures, at most ten times a second.

    `look` says whether somebody asked the run to stop. It is asked only while nobody is known to have done so.
    """

    def __init__(
        self,
        order: WorkOrder,
        *,
        clock: Clock,
        send: Callable[[dict[str, Any]], None],
        look: Callable[[], bool] | None = None,
        parcel: str | None = None,
    ) -> None:
        self.run_id = order.run_id
        self.task_id = order.task_id
        self.attempt = order.attempt
        self.token = order.token
        self.scheduled = None if order.scheduled is None else datetime.fromisoformat(order.scheduled)
        self.counts: dict[str, float] = {}
        self.reason: StopReason | None = None
        self._clock = clock
        self._send = send
        self._look = look
        self._parcel = parcel
        self.returned: str | None = None
        self._asked = False
        self._next_send = 0.0
        self._pending: dict[str, Any] | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def progress(self, done: float, total: float | None = None, **figures: float | str) -> None:
        """Tell how far the work is; calls within 0.1 s are joined, the last wins."""
        values: dict[str, Any] = {"done": done, **({"total": total} if total is not None else {}), **figures}
        with self._lock:
            now = self._clock.monotonic()
            if now < self._next_send:
                self._pending = values
                if self._timer is None:
                    timer = threading.Timer(self._next_send - now, self._flush)
                    timer.daemon = True
                    timer.start()  # first: one that could not start must not be waited for
                    self._timer = timer
                return
            self._next_send = now + _JOIN_S
            self._send(values)

    def count(self, name: str, number: float = 1) -> None:
        """Count something that the project produces; it counts once the run has completed.

        Raises:
            UserMistake: the name is not one of letters, digits and _, or the number is not finite.
        """
        if not isinstance(name, str) or not name.isidentifier() or not name.isascii():
            raise UserMistake(f"ctx.count: {name!r} is not a name (letters, digits and _), such as 'videos_produced'")
        if type(number) not in (int, float) or not math.isfinite(number):
            raise UserMistake(f"ctx.count: {name}: {number!r} is not a finite number")
        with self._lock:
            self.counts[name] = self.counts.get(name, 0) + number

    @property
    def cancelled(self) -> bool:
        """True once somebody asked this run to stop."""
        if not self._asked and self._look is not None:
            self._asked = self._look()
        return self._asked or self.reason is not None

    def received(self) -> Any:  # Any: whatever was handed over
        """Return the object that the host handed over beside the order; None where it did not."""
        return None if self._parcel is None else unpack(self._parcel)

    def hand_back(self, content: Any) -> None:  # Any: whatever can be pickled
        """Give the host an object beside the result.

        Raises:
            UserMistake: it cannot be transferred, or is too large.
        """
        text = pack(content)
        if len(text) > MOST_BYTES:
            raise UserMistake(f"{type(content).__name__} takes {len(text) / 1e6:.0f} MB, too much to be handed back")
        self.returned = text

    def finish(self) -> None:
        """Send what is still held back; nothing is sent after this."""
        timer = self._timer
        if timer is not None:
            timer.cancel()
            if timer is not threading.current_thread():
                timer.join()
        self._flush()

    def _flush(self) -> None:
        with self._lock:
            self._timer = None
            if self._pending is not None:
                values, self._pending = self._pending, None
                self._next_send = self._clock.monotonic() + _JOIN_S
                self._send(values)
