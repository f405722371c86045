"""Looks at whether a service works: by an address, a port, or a program."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from overnight.base.config import shown
from overnight.base.errors import TransientError, one_line
from overnight.base.resource_settings import HealthSettings
from overnight.processes.call import CallFailed
from overnight.processes.call import call as call_program
from overnight.resources.probes.call import asked, is_success
from overnight.resources.probes.paths import value_at

LOCAL = "127.0.0.1"
ANY_SUCCESS = 200
"""The status that is looked for unless another is set: whoever asks for it is content with any 2xx."""


@dataclass(frozen=True, kw_only=True)
class Health:
    """Whether a service works, what was wrong, and whether anybody is at its address."""

    healthy: bool
    problem: str | None = None
    answered: bool = False


def looked_at(settings: HealthSettings) -> bool:
    """Tell whether its health can be looked at."""
    return settings.url is not None or settings.port is not None or bool(settings.command)


def port_of(settings: HealthSettings) -> int | None:
    """Return the port of this machine that the service is to have; None where it is not known."""
    if settings.port is not None:
        return int(settings.port)
    if settings.url is None:
        return None
    parts = urlsplit(settings.url)
    return parts.port if parts.hostname in (LOCAL, "localhost", "::1") else None


def look(settings: HealthSettings, argv: tuple[str, ...], cwd: str, env: Mapping[str, str]) -> Health:
    """Look at it now; raises nothing. `argv` is the program that is asked, where one is."""
    try:
        if settings.url is not None:
            return _at_address(settings, settings.url)
        if settings.port is not None:
            return _at_port(int(settings.port), settings.timeout_s)
        return _by_program(argv, cwd, env, settings.timeout_s)
    except Exception as error:  # noqa: BLE001  # whatever a service answers, a look must not end the one who looks
        return Health(healthy=False, problem=one_line(error) or type(error).__name__)


def _at_address(settings: HealthSettings, url: str) -> Health:
    try:
        status, content = asked("GET", url, timeout_s=settings.timeout_s)
    except TransientError as error:
        there = not isinstance(error.__cause__, ConnectionRefusedError)
        return Health(healthy=False, problem=str(error), answered=there)
    if status != settings.status and not (settings.status == ANY_SUCCESS and is_success(status)):
        return Health(healthy=False, problem=f"{shown('url', url)}: answered {status}", answered=True)
    if settings.path is None:
        return Health(healthy=True, answered=True)
    problem = _in_answer(content, settings.path, settings.equals)
    return Health(healthy=problem is None, problem=problem and f"{shown('url', url)}: {problem}", answered=True)


def _in_answer(content: bytes, path: str, equals: object) -> str | None:
    try:
        found: Any = value_at(json.loads(content), path)  # Any: JSON
    except (ValueError, RecursionError) as error:
        return one_line(error)
    if equals is None:
        return f"the answer has no {path}" if found is None else None
    if found == equals and isinstance(found, bool) == isinstance(equals, bool):
        return None
    return f"{path} is {json.dumps(found)[:100]}, and not {json.dumps(equals)}"


def _at_port(port: int, timeout_s: float) -> Health:
    try:
        with socket.create_connection((LOCAL, port), timeout=timeout_s):
            return Health(healthy=True, answered=True)
    except OSError as error:
        return Health(healthy=False, problem=f"port {port}: {error.strerror or error}")


def _by_program(argv: tuple[str, ...], cwd: str, env: Mapping[str, str], timeout_s: float) -> Health:
    try:
        call_program(argv, env=env, cwd=cwd, timeout_s=timeout_s)
    except CallFailed as error:
        return Health(healthy=False, problem=str(error))
    return Health(healthy=True, answered=True)
