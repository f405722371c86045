"""Since when a service has nothing to do, by looks at it. Pure."""

from dataclasses import dataclass

UNSEEN_S = 5.0
"""What comes and goes within this time may be missed at a service that does not count what it has served."""


@dataclass(frozen=True, kw_only=True)
class Idleness:
    """What the looks at one service have told. Seconds are those of the looks."""

    since_s: float | None = None
    """The first of the looks since which none found work, failed, or came too late; None while it is busy."""
    at_s: float | None = None
    """The newest look."""
    served: float | None = None
    """What the service counted then."""

    @property
    def for_s(self) -> float:
        """Return for how long it has been idle; 0 while it is busy."""
        return 0.0 if self.since_s is None or self.at_s is None else self.at_s - self.since_s

    def after(self, *, at_s: float, active: float | None, served: float | None, idle_s: float) -> "Idleness":
        """Return what is known after another look.

        `active` is the number of requests that run or wait; None, and it counts as busy, where it could not be told.
        Requests between two looks show in `served`, a count of them all. Looks that are more than `idle_s` apart say
        nothing about the time between; those at a service without such a count, more than `UNSEEN_S`.
        """
        since_s = self.since_s
        apart_s = idle_s if served is not None else min(idle_s, UNSEEN_S)
        if active != 0:
            since_s = None
        elif since_s is None or self.at_s is None or served != self.served or at_s - self.at_s > apart_s:
            since_s = at_s
        return Idleness(since_s=since_s, at_s=at_s, served=served)
