"""Experiences as a training sees them: named by what they hold, told apart, and parted for measuring. Pure."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from overnight.base.errors import NotJson, UserMistake
from overnight.proof.splits import position

Item = Mapping[str, Any]  # Any: an experience's own JSON

MOST_SHOWN = 3

# One encoder for all calls: json.dumps would make a new one each time. What goes round in a circle is a RecursionError.
_canonical = json.JSONEncoder(sort_keys=True, allow_nan=False, check_circular=False, separators=(",", ":")).encode


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
        try:
            name, _ = named(one)
        except NotJson as error:
            raise NotJson(f"experiences[{place}] {error}") from error
        found.setdefault(name, (place, {"id": "", **one} | {"id": name}))
    return list(found.values())


def named(experience: Item) -> tuple[str, str]:
    """Return what an experience is called, the SHA-256 of what it holds beside an `id`, and that as JSON in ASCII.

    Raises:
        NotJson: it holds something else than JSON.
    """
    content = {key: value for key, value in experience.items() if key != "id"} if "id" in experience else experience
    try:
        text = _canonical(content)
        if "\\ud" in text:
            # Half of a surrogate pair is no text, and no snapshot could hold it.
            json.dumps(content, ensure_ascii=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise NotJson(f"is not JSON: {error}") from error
    return sha256(text.encode()).hexdigest(), text


@dataclass(frozen=True, kw_only=True)
class Parting:
    """How a training parted its experiences: `share` of the positions by `seed` are measured with."""

    share: float
    seed: int

    def holds_out(self, item: Item) -> bool:
        """Tell whether an item's place is on the side that is never trained on."""
        return position(group_of(item), salt=str(self.seed), purpose="validation") < self.share


def unseen(items: Sequence[Item], mine: Parting, theirs: Parting | None, trained_on: Sequence[Item]) -> list[Item]:
    """Return the items that neither of two versions was trained on, sorted by id.

    `items` are those of the version that was parted by `mine`, `trained_on` those of the other one. Where nobody knows
    how these were parted (`theirs` None), all of them count as seen, and so does whatever is of one group with them.
    """
    seen = {group_of(item) for item in trained_on if theirs is None or not theirs.holds_out(item)}
    held_out = (item for item in items if mine.holds_out(item) and group_of(item) not in seen)
    return sorted(held_out, key=lambda item: str(item["id"]))


def parted(items: Sequence[Item], *, share: float, seed: int) -> tuple[list[Item], list[Item]]:
    """Return the items to train on and those to measure with, both sorted by id.

    An item's side follows from its group (`metadata.group`: a speaker, a document; its id without one) and the seed, so
    that it stays there as others join, and no group is on both sides.
    """
    parting = Parting(share=share, seed=seed)
    training: list[Item] = []
    validation: list[Item] = []
    for item in sorted(items, key=lambda one: str(one["id"])):
        (validation if parting.holds_out(item) else training).append(item)
    return training, validation


def group_of(item: Item) -> str:
    """Return what must not be on both sides of a split: the item's group, or itself."""
    metadata = item.get("metadata")
    group = metadata.get("group") if isinstance(metadata, Mapping) else None
    return str(item["id"] if group is None else group)


def paths_in(item: Item) -> list[str]:
    """Return the names of the files that an experience reads: whatever stands under `path` in it."""
    found: list[str] = []
    waiting: list[Any] = [item.get("input"), item.get("expected_output")]
    while waiting:
        one = waiting.pop()
        if isinstance(one, Mapping):
            if isinstance(one.get("path"), str):
                found.append(one["path"])
            waiting += one.values()
        elif isinstance(one, list | tuple):
            waiting += one
    return found


def complaint(wrong: Sequence[tuple[int, str]], count: int) -> str:
    """Return in one line which of `count` experiences cannot be used; `wrong` has places and reasons."""
    shown = "; ".join(f"experiences[{place}]: {why}" for place, why in wrong[:MOST_SHOWN])
    more = len(wrong) - MOST_SHOWN
    return f"{len(wrong)} of {count} experiences cannot be used: {shown}{f'; and {more} more' if more > 0 else ''}"
