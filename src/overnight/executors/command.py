"""Runs programs: an argument list, no shell, each in a child of its own."""

import os
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, get_args

from overnight.base.clock import Clock
from overnight.base.errors import InvalidTask
from overnight.base.files import to_json
from overnight.base.refs import ErrorRef, Family, Outcome, Usage, WorkOrder
from overnight.executors.children import Attempt, ChildExecutor, child_lost, env_of, not_started
from overnight.processes.capture import LineTap
from overnight.processes.spawn import Child, spawn

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")
_TAIL_LINES = 3
_TAIL_CHARACTERS = 400
_USED = frozenset(item.name for item in fields(Usage))


class CommandExecutor(ChildExecutor):
    """Implements base/ports.Executor for orders with an `argv`; its `{name}`s are filled from the order's arguments.

    Exit code 0 is success; the result is the last line on standard output if that is a JSON object, else
    `{"exit_code": 0}`. A program that fails may say why in such a line, `{"error": {"family", "type", "message"}}`, and
    one that works elsewhere what was used there, `{"usage": {"cpu_s", "peak_memory_gb", "gpu_s", "cost"}}`. A JSON line
    on standard output with the key "progress" is reported as progress. When an attempt
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
            return spawn(
                argv, env=env_of(order, self._env), cwd=order.project_dir, stdout=outputs[0], stderr=outputs[1]
            )
        finally:
            for output in outputs:
                os.close(output)

    def _opened(self, attempt: Attempt, child: Child) -> None:
        child.go()

    def _ask_to_stop(self, attempt: Attempt, child: Child, grace_s: float) -> None:
        child.end(grace_s)

    def _conclude(self, attempt: Attempt, child: Child) -> Outcome:
        said = None if attempt.tap is None else attempt.tap.last_object()
        used = self._usage(attempt, child.cpu_s, child.peak_bytes)
        return replace(_verdict(attempt, child, said), usage=_used_elsewhere(said or {}) or used)


def fill(order: WorkOrder) -> list[str]:
    """Return the order's argument list with every `{name}` replaced by the argument of that name.

    Text goes in as it is, anything else as JSON. Each item stays one argument, whatever it contains. `{run_id}` and
    `{token}` are the run's own, unless an argument has that name.

    Raises:
        InvalidTask: there is no argument of that name, or no program to run.
    """
    if not order.argv:
        raise InvalidTask(f"task {order.task_id!r} has an empty argv; it needs at least the program to run")

    values = {"run_id": order.run_id, "token": order.token, **order.args}

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            known = ", ".join(sorted(order.args)) or "none"
            raise InvalidTask(f"argv names {{{name}}}, but there is no such argument (there are: {known})")
        return _as_text(values[name])

    return [_PLACEHOLDER.sub(value, item) for item in order.argv]


def _as_text(value: Any) -> str:
    """Return one argument as a program gets it; `value` is any JSON."""
    return value if isinstance(value, str) else to_json(value)


def _verdict(attempt: Attempt, child: Child, said: dict[str, Any] | None) -> Outcome:  # Any: JSON
    program = attempt.order.argv[0]
    if child.error is not None:
        return not_started(f"{program!r} {child.describe_exit()}")
    if child.exit is None:
        return child_lost(f"{program!r} {child.describe_exit()}")
    if child.exit == {"code": 0}:
        return Outcome(kind="succeeded", result=to_json({"exit_code": 0} if said is None else said))
    error = _error((said or {}).get("error"))
    if error is not None:
        return Outcome(kind="failed", error=error)
    message = f"{program!r} {child.describe_exit()}{_last_lines(attempt.tail)}"
    return Outcome(kind="failed", error=ErrorRef(family="transient", type="CommandFailed", message=message))


def _error(said: Any) -> ErrorRef | None:  # Any: whatever the program has printed
    """Return what a program said about its failure; None where it is not of that shape."""
    if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in ("type", "message")):
        return None
    if said.get("family") not in get_args(Family):
        return None
    return ErrorRef(family=said["family"], type=said["type"], message=" ".join(said["message"].split()))


def _used_elsewhere(said: Mapping[str, Any]) -> Usage | None:  # Any: as above
    """Return what a program said that its work took; None where it is not of that shape."""
    used = said.get("usage")
    if not isinstance(used, dict) or not used or not used.keys() <= _USED:
        return None
    if not all(value is None or (type(value) in (int, float) and value >= 0) for value in used.values()):
        return None
    return Usage(**used)


def _last_lines(tail: bytes) -> str:
    lines = [line.strip() for line in tail.decode(errors="replace").splitlines() if line.strip()]
    text = " | ".join(lines[-_TAIL_LINES:])[-_TAIL_CHARACTERS:]
    return f": {text}" if text else ""
