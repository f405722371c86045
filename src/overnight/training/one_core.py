"""Linear algebra on one core: others work here too, and the order of a sum decides its last digit."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING

from overnight.base.settings import environment, libraries_told

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

_THREADS = "OMP_NUM_THREADS"
_ONE = dict.fromkeys((_THREADS, "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
"""What OpenMP, OpenBLAS and MKL read as they are loaded."""


@contextmanager
def one_core() -> Iterator[None]:
    """Keep linear algebra to one core, in the libraries that are loaded by now and in those that are loaded inside.

    Nothing is loaded for it: scikit-learn takes a second of a core, which a trainer without it does not pay. Afterwards
    all is as it was; a library that came inside has as many threads as it would have had.

    Raises:
        ImportError: threadpoolctl is not installed, which scikit-learn brings.
    """
    told = environment().get(_THREADS, "")
    loaded = _libraries(len(sys.modules))
    try:
        with libraries_told(_ONE), loaded.limit(limits=1):
            yield
    finally:
        known = {library.filepath for library in loaded.lib_controllers}
        for library in _libraries(len(sys.modules)).lib_controllers:
            if library.filepath not in known:
                library.set_num_threads(int(told) if told.isdigit() else os.cpu_count() or 1)


@lru_cache(maxsize=1)
def _libraries(modules: int) -> "ThreadpoolController":
    """Return the libraries that are loaded; looking takes 4 ms, so it is done again only when Python has more modules.

    A prediction for one item would otherwise take longer to be limited than to be made.
    """
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
