"""The tables of `overnight.toml` about what a project is to produce; see `base.config`."""

from dataclasses import dataclass

from overnight.base.table import Table


@dataclass(frozen=True, kw_only=True)
class TargetSettings(Table):
    """`[targets.NAME]`: how much tasks are to count of NAME (`ctx.count`), in the project's time zone.

    Each list rises: the least, below which an alert is sent when the time is over, then what is aimed at.
    """

    day: tuple[float, ...] = ()
    """In a day, such as [3, 6, 12]."""

    month: tuple[float, ...] = ()
    """In a calendar month."""

    year: tuple[float, ...] = ()
    """In a calendar year."""
