"""Looks at one service: its processes, their memory, and whether it has something to do."""

from dataclasses import dataclass
from pathlib import Path

from overnight.base.clock import Clock
from overnight.base.errors import ConfigError, TransientError, one_line
from overnight.base.resource_settings import ServiceSettings
from overnight.processes.memory import TreeMemory
from overnight.processes.table import cpu_s
from overnight.resources.probes.activity import Activity, activity
from overnight.resources.probes.call import parsed
from overnight.resources.probes.paths import parts
from overnight.resources.probes.processes import Processes, Root
from overnight.resources.probes.prometheus import BUILT_IN

BUSY_CORES = 0.05
"""From this use of the processor a service that does not tell its requests counts as working on one."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One look at a service."""

    at_s: float
    """When, on the clock that only moves forward."""
    used_bytes: int | None
    """Memory of its processes, 0 where it does not run; None where that could not be measured."""
    active: float | None = None
    """Requests that run or wait; None where that could not be told."""
    served: float | None = None
    """A number that another one follows whenever it has served something; None where it has none."""
    roots: tuple[Root, ...] = ()
    """The topmost of its processes, by pid and start; none where it does not run."""
    pids: tuple[int, ...] = ()
    """All of them."""
    problem: str | None = None
    """What was wrong, on one line."""


class ServiceProbe:
    """Looks at one service, again and again. One thread's.

    A look takes 2 s at the most from when the service has taken the connection; each address of a name gets as long
    to do so.
    """

    def __init__(self, name: str, settings: ServiceSettings, clock: Clock, folder: Path) -> None:
        """Raises ConfigError where the settings do not go together. `folder`: what `pid_file` is relative to."""
        check(name, settings)
        self.name = name
        self.settings = settings
        self._clock = clock
        self._folder = folder
        self._memory = TreeMemory(clock)
        self._before: tuple[float, float, frozenset[int]] | None = None

    def look(self, processes: Processes) -> Sample:
        """Return how the service is now, its processes taken from `processes`. Never raises for what it does."""
        at_s = self._clock.monotonic()
        try:
            roots = self._find(processes)
        except (OSError, ValueError) as error:
            return Sample(at_s=at_s, used_bytes=None, problem=f"{self.name}: {one_line(error)}")
        tree = processes.tree(roots)
        told, problem = Activity(), None
        try:
            told = activity(self.settings)
            there = told != Activity()
        except TransientError as error:
            problem = f"{self.name}: {error}"
            there = not isinstance(error.__cause__, ConnectionRefusedError)
        if not roots:
            return self._absent(at_s, there)
        used = self._memory.used_bytes(tree)
        if used <= 0:  # it ended meanwhile, or its memory is nobody's to look at
            return Sample(at_s=at_s, used_bytes=None, problem=f"{self.name}: its memory cannot be read")
        by_processor = self.settings.kind == "ollama" and told.active is None and problem is None
        return Sample(
            at_s=at_s,
            used_bytes=used,
            active=self._by_processor(at_s, tree) if by_processor else told.active,
            served=told.served,
            roots=roots,
            pids=tuple(tree),
            problem=problem,
        )

    def _find(self, processes: Processes) -> tuple[Root, ...]:
        if self.settings.pid_file is None:
            return processes.with_words(self.settings.words)
        return processes.in_file(self._folder / self.settings.pid_file, self.settings.words)

    def _absent(self, at_s: float, there: bool) -> Sample:
        where = "pid_file" if self.settings.pid_file else "words"
        # Where somebody is at its address, it runs, and what it holds was not seen.
        known = None if there else 0
        told = "somebody is at its address, so it runs unseen" if there else "it does not run"
        problem = f"{self.name}: `{where}` finds no process; {told}"
        return Sample(at_s=at_s, used_bytes=known, problem=problem)

    def _by_processor(self, at_s: float, tree: list[int]) -> float | None:
        """Return 1 while the processes work, else 0; None at the first look, and after processes came or went."""
        used_s, pids = sum(map(cpu_s, tree)), frozenset(tree)
        before, self._before = self._before, (at_s, used_s, pids)
        if before is None or before[2] != pids or at_s <= before[0]:
            return None
        return float((used_s - before[1]) / (at_s - before[0]) >= BUSY_CORES)


def check(name: str, settings: ServiceSettings) -> None:
    """Refuse a service that could not be looked at as it is described.

    Raises:
        ConfigError: one line says what is missing or does not go together.
    """
    at = f"services.{name}"
    s = settings
    mistakes = {
        f'{at}: say how its processes are found: words = ["vllm serve"], or pid_file = "FILE"': (
            not any(s.words) and s.pid_file is None
        ),
        f"{at}: kind = {s.kind!r} needs `url`, the address that it answers at": s.kind is not None and s.url is None,
        f"{at}: `active_url` and `active_path` go together": (s.active_url is None) != (s.active_path is None),
        f"{at}: `metrics_url` needs `metrics`, the names of the numbers to add up": (
            s.metrics_url is not None and not s.metrics and s.kind not in BUILT_IN
        ),
        f"{at}: `metrics` needs `metrics_url`": bool(s.metrics) and s.metrics_url is None and s.url is None,
        f"{at}: `wake` needs `release`": s.wake.url is not None and s.release.url is None,
    }
    for mistake, made in mistakes.items():
        if made:
            raise ConfigError(mistake)
    if s.active_path is not None:
        try:
            parts(s.active_path)
        except ValueError as error:
            raise ConfigError(f"{at}.active_path: {error}") from error
    urls = {"url": s.url, "active_url": s.active_url, "metrics_url": s.metrics_url}
    for key, url in {**urls, "release.url": s.release.url, "wake.url": s.wake.url}.items():
        if url is not None:
            parsed(url, f"{at}.{key}")
