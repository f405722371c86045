"""How long to wait before the next try. Pure."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential waits: `base_s * factor ** (try - 1)`, at most `cap_s`, spread by `jitter` (a share of the wait)."""

    base_s: float = 60.0
    factor: float = 2.0
    cap_s: float = 3600.0
    jitter: float = 0.0

    def wait_s(self, failures: int, random: "Random | None" = None) -> float:
        """Return the seconds to wait after the given number of failures (1 = the first).

        Raises:
            ValueError: `failures` is below 1.
        """
        if failures < 1:
            raise ValueError(f"failures counts from 1, got {failures}")
        # factor ** 1000 overflows: past the cap the exponent no longer matters.
        wait = min(self.cap_s, self.base_s * self.factor ** min(failures - 1, 64))
        if self.jitter and random is not None:
            wait *= 1 + self.jitter * (2 * random.random() - 1)
        return wait
