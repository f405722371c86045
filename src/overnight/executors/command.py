"""Runs programs: an argument list, no shell, each in a child of its own."""

import os
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from overnight.base.clock import Clock
from overnight.base.errors import InvalidTask
from overnight.base.files import to_json
from overnight.base.refs import ErrorRef, Outcome, WorkOrder
from overnight.executors.children import Attempt, ChildExecutor, child_lost, not_started
from overnight.processes.capture import LineTap
from overnight.processes.spawn import Child, spawn

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TAIL_LINES = 3
_TAIL_CHARACTERS = 400


class CommandExecutor(ChildExecutor):
    """Implements base/ports.Executor for orders with an `argv`; its `{name}`s are filled from the order's arguments.

    Exit code 0 is success; the result is the last line on standard output if that is a JSON object, else
    `{"exit_code": 0}`. A JSON line on standard output with the key "progress" is reported as progress. When an attempt
    is stopped, its whole tree gets SIGTERM at once and SIGKILL after the grace time. `env` is what programs get; they
    run in the order's project folder. A program that is not ours says nothing of being alive.
    """

    def __init__(self, env: Mapping[str, str], *, clock: Clock | None = None) -> None:
        super().__init__("command", clock)
        self._env = dict(env)

    def _open(self, attempt: Attempt) -> Child:
        order = attempt.order
        argv = fill(order)
        attempt.tap = LineTap(lambda figures: attempt.channel.progress(order, figures))
        outputs = []
        for _ in ("stdout", "stderr"):
            stream, output = os.pipe()
            os.set_blocking(stream, False)
            attempt.streams.append(stream)
            outputs.append(output)
        attempt.tapped = attempt.streams[0]
        try:
            return spawn(argv, env=self._env, cwd=order.project_dir, stdout=outputs[0], stderr=outputs[1])
        finally:
            for output in outputs:
                os.close(output)

    def _opened(self, attempt: Attempt, child: Child) -> None:
        child.go()

    def _ask_to_stop(self, attempt: Attempt, child: Child, grace_s: float) -> None:
        child.end(grace_s)

    def _conclude(self, attempt: Attempt, child: Child) -> Outcome:
        return replace(_verdict(attempt, child), usage=self._usage(attempt, child.cpu_s, child.peak_bytes))


def fill(order: WorkOrder) -> list[str]:
    """Return the order's argument list with every `{name}` replaced by the argument of that name.

    Text goes in as it is, anything else as JSON. Each item stays one argument, whatever it contains.

    Raises:
        InvalidTask: there is no argument of that name, or no program to run.
    """
    if not order.argv:
        raise InvalidTask(f"task {order.task_id!r} has an empty argv; it needs at least the program to run")

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in order.args:
            known = ", ".join(sorted(order.args)) or "none"
            raise InvalidTask(f"argv names {{{name}}}, but there is no such argument (there are: {known})")
        return _as_text(order.args[name])

    return [_PLACEHOLDER.sub(value, item) for item in order.argv]


def _as_text(value: Any) -> str:
    """Return one argument as a program gets it; `value` is any JSON."""
    return value if isinstance(value, str) else to_json(value)


def _verdict(attempt: Attempt, child: Child) -> Outcome:
    program = attempt.order.argv[0]
    if child.error is not None:
        return not_started(f"{program!r} {child.describe_exit()}")
    if child.exit is None:
        return child_lost(f"{program!r} {child.describe_exit()}")
    if child.exit == {"code": 0}:
        result = attempt.tap.last_object() if attempt.tap is not None else None
        return Outcome(kind="succeeded", result=to_json(result if result is not None else {"exit_code": 0}))
    message = f"{program!r} {child.describe_exit()}{_last_lines(attempt.tail)}"
    return Outcome(kind="failed", error=ErrorRef(family="transient", type="CommandFailed", message=message))


def _last_lines(tail: bytes) -> str:
    lines = [line.strip() for line in tail.decode(errors="replace").splitlines() if line.strip()]
    text = " | ".join(lines[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]
    return f": {text}" if text else ""
