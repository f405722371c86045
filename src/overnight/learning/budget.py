"""How much is executed within a budget of time. Pure.

Learning takes at most half of a budget, so that something is left to show that a candidate is better; without a budget,
all is executed that was asked for, and candidate and default are compared once. With one, they are compared again on
further exercises as long as that cannot be told and time is left. Each time counts half as much as the time before, so
that a candidate that does not deserve it is accepted with a chance of at most `alpha` in all of them.
"""

from dataclasses import dataclass

LEARNING = 0.5
"""The share of a budget that learning may take."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """Seconds on the clock; None for as many as it takes."""

    total_s: float | None

    def learns_again(self, *, used_s: float, last_s: float) -> bool:
        """Tell whether another iteration, which will take as long as the last one, is begun."""
        return self.total_s is None or used_s + last_s <= LEARNING * self.total_s

    def fitting(self, count: int, *, used_s: float, each_s: float) -> int:
        """Return how many of so many exercises can be compared in the time that is left; each takes `each_s`."""
        if self.total_s is None or each_s <= 0:
            return count
        return max(0, min(count, int((self.total_s - used_s) / each_s)))

    def looks_again(self, *, used_s: float) -> bool:
        """Tell whether candidate and default may be compared once more."""
        return self.total_s is not None and used_s < self.total_s

    def used_up(self, *, used_s: float) -> str:
        """Return why nothing was compared."""
        spent = f"{used_s:.0f} s of {self.total_s:g} s"
        return f"the budget was used up by learning ({spent}); a larger --budget compares them"

    def alpha_of(self, look: int, alpha: float) -> float:
        """Return the level of a look (1, 2, ...): all of alpha where there is but one, or else 1/2, 1/4, ... of it."""
        return alpha if self.total_s is None else alpha / 2**look
