"""How much of what a project is to produce there is, in days, months and years. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from overnight.base.errors import ConfigError
from overnight.base.target_settings import TargetSettings

PERIODS = {"day": "today", "month": "this month", "year": "this year"}
"""Each with what it is called while it goes on."""


@dataclass(frozen=True, kw_only=True)
class Produced:
    """What was counted in a day ("2026-11-28"), month ("2026-11") or year; `levels` rise, the first is the least."""

    name: str
    period: str
    label: str
    count: float
    levels: Sequence[float]
    over: bool

    @property
    def short(self) -> bool:
        """True once it is over with less than the least."""
        return self.over and self.count < self.levels[0]


def labels(today: date) -> Iterator[tuple[str, str, bool]]:
    """Yield period and label of what goes on and of what was over last; a day's label begins with its month's."""
    yesterday = today - timedelta(days=1)
    last_month = today.replace(day=1) - timedelta(days=1)
    for period, now, before in (
        ("day", today.isoformat(), yesterday.isoformat()),
        ("month", f"{today:%Y-%m}", f"{last_month:%Y-%m}"),
        ("year", f"{today:%Y}", f"{today.year - 1:04}"),
    ):
        yield period, now, False
        yield period, before, True


def produced(
    targets: Mapping[str, Mapping[str, Sequence[float]]],
    by_day: Iterable[tuple[str, str, float]],
    today: date,
    since: date,
) -> list[Produced]:
    """Return what there is of each target. `by_day` holds name, day (ISO 8601) and count.

    What was over last is there if it began after `since`: before that, nobody could have worked on all of it.
    """
    days = list(by_day)
    return [
        Produced(
            name=name,
            period=period,
            label=label,
            count=sum(count for counted, day, count in days if counted == name and day.startswith(label)),
            levels=levels,
            over=over,
        )
        for name, wanted in targets.items()
        for period, label, over in labels(today)
        if (levels := wanted.get(period, ())) and (not over or label >= _first_whole(since, period))
    ]


def _first_whole(since: date, period: str) -> str:
    """Return the label of the first day, month or year that began after the project did."""
    if period == "day":
        return (since + timedelta(days=1)).isoformat()
    if period == "month":
        return f"{since.replace(day=1) + timedelta(days=32):%Y-%m}"
    return f"{since.year + 1:04}"


def target_line(one: Produced) -> str:
    """Return it as a person reads it."""
    when = one.label if one.over else PERIODS[one.period]
    return f"{one.name} {when}: {one.count:g} of {' / '.join(f'{level:g}' for level in one.levels)}"


def check_targets(targets: Mapping[str, TargetSettings]) -> None:
    """See that the targets can be used.

    Raises:
        ConfigError: one cannot; the message names it.
    """
    for name, target in targets.items():
        levels = {period: getattr(target, period) for period in PERIODS}
        if not any(levels.values()):
            raise ConfigError(f"targets.{name}: give {', '.join(PERIODS)}, or several, such as day = [3, 6, 12]")
        for period, given in levels.items():
            if list(given) != sorted(set(given)) or any(level <= 0 for level in given):
                raise ConfigError(f"targets.{name}.{period}: {list(given)!r} does not rise from above 0, as [3, 6, 12]")
