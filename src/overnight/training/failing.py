"""What failures of a training mean."""

from collections.abc import Iterator
from contextlib import contextmanager

from overnight.base.errors import OvernightError, PermanentError, said_by


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
