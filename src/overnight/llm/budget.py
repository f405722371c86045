"""What requests may cost, in tokens and in money, decided before each one is sent. Pure.

Money is counted in whole billionths of a US dollar (nano-USD), so that sums are exact: a price in USD for a million
tokens is a thousand times as many nano-USD for one.
"""

import math
from dataclasses import dataclass

from overnight.base.errors import BudgetSpent, UserMistake

NANO = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class Amount:
    """Tokens in and out together, and what they cost."""

    tokens: int = 0
    nano_usd: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        return Amount(tokens=self.tokens + other.tokens, nano_usd=self.nano_usd + other.nano_usd)

    def __sub__(self, other: "Amount") -> "Amount":
        return Amount(tokens=self.tokens - other.tokens, nano_usd=self.nano_usd - other.nano_usd)

    @property
    def usd(self) -> float:
        """Return the money in US dollars."""
        return self.nano_usd / NANO


NOTHING = Amount()


@dataclass(frozen=True, kw_only=True)
class Price:
    """US dollars for a million tokens of the prompt, and of the answer."""

    in_usd: float = 0.0
    out_usd: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no price.

        Raises:
            UserMistake: it is negative or not finite.
        """
        for name, value in (("price_in_usd", self.in_usd), ("price_out_usd", self.out_usd)):
            if not (math.isfinite(value) and value >= 0):
                raise UserMistake(f"{name}: {value!r} is not 0 or greater (US dollars for a million tokens)")

    def of(self, tokens_in: int, tokens_out: int) -> Amount:
        """Return what so many tokens come to; part of a nano-USD counts as a whole one."""
        cost = math.ceil(tokens_in * self.in_usd * 1000) + math.ceil(tokens_out * self.out_usd * 1000)
        return Amount(tokens=tokens_in + tokens_out, nano_usd=cost)


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What may be spent in all; None is no limit."""

    tokens: int | None = None
    usd: float | None = None

    def __post_init__(self) -> None:
        """Refuse what nothing fits into.

        Raises:
            UserMistake: it is not above 0, or not finite.
        """
        for name, value in (("budget_tokens", self.tokens), ("budget_usd", self.usd)):
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UserMistake(f"{name}: {value!r} is not greater than 0; leave it out for no limit")


@dataclass(frozen=True, kw_only=True)
class Purse:
    """What was spent, and what is held back for requests whose end is not known.

    What is held back counts as spent: for a request that was in flight when its process died, that is so for ever.
    """

    spent: Amount = NOTHING
    held: Amount = NOTHING

    def reserve(self, most: Amount, budget: Budget) -> "Purse":
        """Return the purse with a request's upper bound held back.

        Raises:
            BudgetSpent: it does not fit into what is left.
        """
        after = self.spent + self.held + most
        if budget.tokens is not None and after.tokens > budget.tokens:
            raise BudgetSpent(
                f"{self.spent.tokens:,} of {budget.tokens:,} tokens are spent and {self.held.tokens:,} held back: a "
                f"request of up to {most.tokens:,} more is not sent; raise budget_tokens to go on"
            )
        if budget.usd is not None and after.nano_usd > int(budget.usd * NANO):
            raise BudgetSpent(
                f"{self.spent.usd:.4f} of {budget.usd:.4f} USD are spent and {self.held.usd:.4f} held back: a request "
                f"of up to {most.usd:.4f} USD more is not sent; raise budget_usd to go on"
            )
        return Purse(spent=self.spent, held=self.held + most)

    def settle(self, most: Amount, used: Amount) -> "Purse":
        """Return the purse after an answer: what was held back for it is free, what it used is spent."""
        return Purse(spent=self.spent + used, held=self.held - most)

    def release(self, most: Amount) -> "Purse":
        """Return the purse after a request that nobody charges for."""
        return Purse(spent=self.spent, held=self.held - most)
