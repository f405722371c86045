"""What failures of a training mean."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from errno import EDQUOT, EFBIG, ENOSPC
from pathlib import Path

from overnight.base.errors import OvernightError, PermanentError, TransientError, said_by

_NO_ROOM = (ENOSPC, EDQUOT, EFBIG)


@contextmanager
def final() -> Iterator[None]:
    """Make what is raised within the block final, because the same data and seed would raise it again.

    Our own errors keep their family, and what the machine does (files, memory) is worth another try.
    """
    try:
        yield
    except (OvernightError, OSError, MemoryError):
        raise
    except Exception as error:
        raise PermanentError(said_by(error)) from error


@contextmanager
def room_in(folder: Path) -> Iterator[None]:
    """Say of a file that found no room on its disk which one it was, and how much room there is in the folder.

    Raises:
        TransientError: the disk is full, or a quota or a limit on files is reached; a person can make room.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        name = "a file of the training" if error.filename is None else repr(str(error.filename))
        free_gb = shutil.disk_usage(folder).free / 1e9
        raise TransientError(
            f"{name} could not be written: {error.strerror}; {free_gb:.2f} GB are free on the disk of {folder}: "
            "make room there, or raise the limit; the checkpoints so far stay"
        ) from error
