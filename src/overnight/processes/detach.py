"""Starts a program that outlives this one: in a session of its own, without a terminal, its output in a file."""

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Detached:
    """A program that was started to go on alone."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self.pid = process.pid

    def exit_code(self) -> int | None:
        """Return how it has ended; None while it works."""
        return self._process.poll()

    def let_go(self) -> None:
        """Stop watching it: whoever becomes its parent collects it."""
        # Python warns of a child that nobody has waited for, and this one is to outlive us.
        self._process.returncode = 0


def start_detached(argv: Sequence[str], *, env: Mapping[str, str], cwd: Path, output: Path) -> Detached:
    """Start the program; what it prints replaces the file `output`.

    Raises:
        OSError: the program or the file cannot be opened.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
    try:
        process = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=handle,
            env=dict(env),
            cwd=cwd,
            start_new_session=True,
            close_fds=True,
        )
    finally:
        os.close(handle)
    return Detached(process)
