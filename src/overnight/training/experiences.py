"""Experiences as a training sees them: named by what they hold, told apart, and parted for measuring. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from overnight.base.errors import NotJson, UserMistake
from overnight.proof.splits import position

Item = Mapping[str, Any]  # Any: an experience's own JSON

MOST_SHOWN = 3


def identified(experiences: Iterable[Any]) -> list[tuple[int, Item]]:  # Any: whatever was sent
    """Return the experiences, each with its place and an `id`, the SHA-256 of what it holds; equal ones are one.

    Raises:
        UserMistake: one is no object, or holds something else than JSON; the message says which.
    """
    found: dict[str, tuple[int, Item]] = {}
    for place, one in enumerate(experiences):
        if not isinstance(one, Mapping):
            raise UserMistake(
                f"experiences[{place}]: {type(one).__name__} is not an object with input, expected_output"
            )
        content = {name: value for name, value in one.items() if name != "id"}
        try:
            text = json.dumps(content, sort_keys=True, allow_nan=False, separators=(",", ":"))
        except (TypeError, ValueError, RecursionError) as error:
            raise NotJson(f"experiences[{place}] is not JSON: {error}") from error
        name = sha256(text.encode()).hexdigest()
        found.setdefault(name, (place, {"id": name, **content}))
    return list(found.values())


def parted(items: Sequence[Item], *, share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Return the items to train on and those to measure with, both sorted by id.

    An item's side follows from its group (`metadata.group`: a speaker, a document; its id without one) and the seed, so
    that it stays there as others join, and no group is on both sides.
    """
    training: list[Item] = []
    validation: list[Item] = []
    for item in sorted(items, key=lambda one: str(one["id"])):
        side = validation if position(group_of(item), salt=str(seed), purpose="validation") < share else training
        side.append(item)
    return training, validation


def group_of(item: Item) -> str:
    """Return what must not be on both sides of a split: the item's group, or itself."""
    metadata = item.get("metadata")
    group = metadata.get("group") if isinstance(metadata, Mapping) else None
    return str(item["id"] if group is None else group)


def complaint(wrong: Sequence[tuple[int, str]], count: int) -> str:
    """Return in one line which of `count` experiences cannot be used; `wrong` has places and reasons."""
    shown = "; ".join(f"experiences[{place}]: {why}" for place, why in wrong[:MOST_SHOWN])
    more = len(wrong) - MOST_SHOWN
    return f"{len(wrong)} of {count} experiences cannot be used: {shown}{f'; and {more} more' if more > 0 else ''}"
