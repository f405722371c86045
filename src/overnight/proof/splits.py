"""Which items are held out, by hash or by time: never by chance, by order or by what else is there.

By hash: an item's position is a hash of its group (or of its id) between 0 and 1; it is held out when the position
lies below a threshold. The threshold is `share`, raised where that is needed to hold out `minimum` items, but never
above one half. It can only fall back to `share` as items join. So an item that was trained on is never held out later,
and an item below `share` is always held out; only an item that was held out to reach the minimum may return to the
training side.

By time: the newest items are held out, for data whose future is what counts. As items join, what was held out becomes
training data of a later split, so a comparison with an earlier version must be made on what is newer than both.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from overnight.base.errors import UserMistake

MOST_HELD_OUT = 0.5
"""The threshold never passes this, so that about half of the groups are left to train on."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """The ids of both sides, sorted, and the threshold that divides them."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    threshold: float


@dataclass(frozen=True, kw_only=True)
class TimeSplit:
    """The ids of both sides, sorted; what is held out lies at or after the instant `since`."""

    train: tuple[str, ...]
    held_out: tuple[str, ...]
    since: float


def position(key: str, *, salt: str, purpose: str = "held out") -> float:
    """Return a number in [0, 1) that depends on nothing but its arguments; other salts or purposes are independent."""
    # The lengths keep apart what would run together: salt "a" with key "bc", salt "ab" with key "c".
    text = f"{len(purpose)}:{len(salt)}:{purpose}{salt}{key}"
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    # 53 bits are what a float holds: 64 would round up to 1.0.
    return (int.from_bytes(digest, "big") >> 11) / 2**53


def choose_held_out(
    ids: Sequence[str], *, groups: Sequence[str] | None = None, share: float = 0.2, minimum: int = 0, salt: str = ""
) -> Split:
    """Divide items into training and held-out ones; items of one group (same place in `groups`) stay together.

    `share` is what is held out in the long run; `minimum` items are held out where that takes no more than half of the
    positions.

    Raises:
        UserMistake: an id occurs twice, `groups` has another length, `share` is not above 0 and at most 0.5, or
            `minimum` is negative.
    """
    keys = ids if groups is None else groups
    _check(ids, keys, share, minimum)
    places = sorted((position(key, salt=salt), name) for key, name in zip(keys, ids, strict=True))
    threshold = _threshold([place for place, _ in places], share, minimum)
    return Split(
        train=tuple(sorted(name for place, name in places if place >= threshold)),
        held_out=tuple(sorted(name for place, name in places if place < threshold)),
        threshold=threshold,
    )


def hold_out_newest(
    ids: Sequence[str],
    instants: Sequence[float],
    *,
    groups: Sequence[str] | None = None,
    share: float = 0.2,
    minimum: int = 0,
) -> TimeSplit:
    """Hold out the newest items: `share` of them, or `minimum` if that is more, but never more than half.

    Items of one instant stay on one side, and so do items of one group, which counts as new as its newest item: nothing
    in the training part is newer than `since`, and no group is on both sides.

    Raises:
        UserMistake: see `choose_held_out`; or so many items share the newest instant, or its groups, that more than
            half would be held out.
    """
    keys = ids if groups is None else groups
    _check(ids, keys, share, minimum)
    if len(instants) != len(ids):
        raise UserMistake(f"instants must give one instant for each of the {len(ids)} ids, got {len(instants)}")
    newest: dict[str, float] = {}
    for key, at in zip(keys, instants, strict=True):
        newest[key] = max(at, newest.get(key, at))
    wanted = min(max(math.ceil(share * len(ids)), minimum), math.floor(MOST_HELD_OUT * len(ids)))
    since, held = math.inf, 0
    for at, count in sorted(Counter(newest[key] for key in keys).items(), reverse=True):
        if held >= wanted or held + count > MOST_HELD_OUT * len(ids):
            break
        since, held = at, held + count
    if held == 0 and ids:
        raise UserMistake(
            "more than half of the items are of one instant, or in groups with it: hold out by hash instead"
        )
    sides = {name: newest[key] >= since for name, key in zip(ids, keys, strict=True)}
    return TimeSplit(
        train=tuple(sorted(name for name, held_out in sides.items() if not held_out)),
        held_out=tuple(sorted(name for name, held_out in sides.items() if held_out)),
        since=since,
    )


def _check(ids: Sequence[str], keys: Sequence[str], share: float, minimum: int) -> None:
    if len(keys) != len(ids):
        raise UserMistake(f"groups must name one group for each of the {len(ids)} ids, got {len(keys)}")
    if len(set(ids)) != len(ids):
        name, times = Counter(ids).most_common(1)[0]
        raise UserMistake(f"ids must be unique, got {name!r} {times} times")
    if not 0 < share <= MOST_HELD_OUT:
        raise UserMistake(f"share must be above 0 and at most {MOST_HELD_OUT}, got {share!r}")
    if minimum < 0:
        raise UserMistake(f"minimum must not be negative, got {minimum!r}")


def _threshold(places: Sequence[float], share: float, minimum: int) -> float:
    """Return the lowest threshold from `share` to one half with `minimum` of the sorted places below it."""
    if minimum == 0:
        return share
    needed = math.nextafter(places[minimum - 1], 1) if minimum <= len(places) else MOST_HELD_OUT
    return min(max(needed, share), MOST_HELD_OUT)


def fold_of(key: str, *, folds: int, salt: str = "") -> int:
    """Return the fold, 0 to `folds - 1`, of a group or an id: where its out-of-fold prediction comes from.

    A second model that learns from the first one's predictions must get, for each item, a prediction of a first model
    that was not trained on the item's fold. Folds are independent of what is held out.

    Raises:
        UserMistake: there are fewer than 2 folds.
    """
    if folds < 2:
        raise UserMistake(f"folds must be at least 2, got {folds!r}")
    return int(position(key, salt=salt, purpose="fold") * folds)
