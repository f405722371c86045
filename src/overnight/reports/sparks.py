"""Small charts in letters, one line each. Pure."""

from collections.abc import Sequence

_BARS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float | None], top: float | None = None, *, bottom: float = 0.0) -> str:
    """Return bars from `bottom` to `top` or the greatest value; where there is no figure stands a dot."""
    if top is None:
        top = max((value for value in values if value is not None), default=bottom)
    span = max(0.0, top - bottom) or 1.0
    return "".join("·" if one is None else _bar((one - bottom) / span) for one in values)


def course(values: Sequence[float], width: int) -> str:
    """Return bars from the lowest value to the highest; where there are more than `width`, the last of each group."""
    if len(values) > width:
        values = [values[(place + 1) * len(values) // width - 1] for place in range(width)]
    return spark(values, bottom=min(values, default=0.0))


def _bar(share: float) -> str:
    return _BARS[max(0, min(len(_BARS) - 1, int(len(_BARS) * share)))]
