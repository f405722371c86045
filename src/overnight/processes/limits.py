"""What a child may use, as far as the kernel enforces it by itself.

Memory is not here: address space is a bad stand-in for it (a program may map much and touch little), so the resident
memory of the whole tree is measured from outside instead.
"""

import os
import resource
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits of one child and all that it starts. None means as its parent. By default there are no core files."""

    core_bytes: int | None = 0
    file_bytes: int | None = None
    open_files: int | None = None
    nice: int = 0


def allow_open_files(count: int) -> None:
    """Let this process have so many open files, as far as the system allows it; children inherit that."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count if hard == resource.RLIM_INFINITY else min(count, hard)
    if soft != resource.RLIM_INFINITY and wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def apply_limits(limits: Limits) -> None:
    """Set the limits for this process; they can be tightened later and never loosened.

    Raises:
        OSError: the kernel refuses a value.
    """
    wanted = (
        (resource.RLIMIT_CORE, limits.core_bytes),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
        (resource.RLIMIT_NOFILE, limits.open_files),
    )
    for kind, value in wanted:
        if value is not None:
            hard = resource.getrlimit(kind)[1]
            allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
            resource.setrlimit(kind, (allowed, allowed))
    if limits.nice:
        os.nice(limits.nice)
