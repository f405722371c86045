"""What many tests cost: Holm's rule for a set of them, LORD++ for a stream. Pure."""

from collections.abc import Callable, Iterable, Sequence

DECAY = 2.5
"""How fast the level falls while nothing is found: as t ** -DECAY."""
_WHOLE = 1.341487257250917
"""The sum of t ** -2.5 over t = 1, 2, ...: Riemann's zeta function at 2.5."""


def holm(names: Iterable[str], significant: Callable[[str, float], bool], *, alpha: float) -> tuple[str, ...]:
    """Return the names whose test is significant, with a chance of at most `alpha` of even one false one among them.

    `significant(name, level)` tells whether the test of that name is significant at a level; it must stay so at every
    higher one. Holm (1979, Scandinavian Journal of Statistics 6:65): those that pass at alpha / m leave, and with them
    gone the others are asked again. It holds however the tests depend on each other. The order of the names is kept.
    """
    ordered = list(dict.fromkeys(names))
    waiting = list(ordered)
    while waiting:
        level = alpha / len(waiting)
        left = [name for name in waiting if not significant(name, level)]
        if len(left) == len(waiting):
            break
        waiting = left
    return tuple(name for name in ordered if name not in waiting)


def lord(found: Sequence[bool], *, alpha: float) -> float:
    """Return the level of the next test in a stream; `found` says which of the earlier ones were significant.

    LORD++ (Ramdas, Yang, Wainwright and Jordan 2017, NeurIPS, "Online control of the false discovery rate with decaying
    memory", section 3.1) with all of alpha as the first wealth: at any time the expected share of false ones among
    those found is at most `alpha`, where the tests are independent. The first test gets 75 % of alpha; what is found
    second and later pays for further tests.
    """
    place = len(found) + 1
    findings = [at for at, one in enumerate(found, start=1) if one]
    return alpha * (_share(place) + sum(_share(place - at) for at in findings[1:]))


def _share(place: int) -> float:
    return float(place**-DECAY) / _WHOLE
