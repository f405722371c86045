"""What waits in a library, and cannot be given a time limit there, is interrupted from outside."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer


@contextmanager
def interrupted_after(timeout_s: float, interrupt: Callable[[], object]) -> Iterator[None]:
    """Call `interrupt` where the block takes longer; after the block it is not called any more, and has returned."""
    timer = Timer(timeout_s, interrupt)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        # One that has just gone off must not meet what is closed by then.
        timer.join()
