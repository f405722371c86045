"""Loading many modules at once."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def loading() -> Iterator[None]:
    """Rest the garbage collector within the block, in which modules are loaded.

    Hardly anything of a module is garbage, and looking for it while hundreds are loaded takes a sixth of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
