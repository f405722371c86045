"""Batches of experiences as programs send them: their files' names, their shape, and what quality each has. Pure."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion

MOST = 100_000
"""Experiences of one batch: it is one transaction, for which all other work waits a moment."""
MOST_BYTES = 64_000_000
"""Of one batch as JSON."""
_FILE = re.compile(r"experiences_.+_[^_]+\.json", re.S)
_KEYS = ("batch_id", "model_type", "experiences", "created_at")
_ID_LENGTH = 200
_SHOWN = 80
_INSTANT = "no instant: neither ISO 8601, such as 2026-11-26T12:00:00Z, nor seconds since 1970"

Item = Mapping[str, Any]  # Any: an experience's own JSON


@dataclass(frozen=True, kw_only=True)
class Batch:
    """What is sent together: all of it is taken, or nothing. The experiences have not been looked at."""

    model_type: str
    experiences: Sequence[Any]  # Any: whatever was sent
    batch_id: str | None = None


def is_batch_file(name: str) -> bool:
    """Tell whether a file of that name is to be read: `experiences_TYPE_STAMP.json`, with any text for the two."""
    return _FILE.fullmatch(name) is not None


def batch_of(value: Any, *, named: bool) -> Batch:  # Any: whatever was sent
    """Return the batch that a JSON value holds; with `named` it must have a `batch_id`.

    Raises:
        UserMistake: it is no batch; the message names the key.
    """
    if not isinstance(value, Mapping):
        raise UserMistake(f"{type(value).__name__} is not an object with model_type and experiences")
    for key in value:
        if key not in _KEYS:
            raise UserMistake(f"{_shown(key)} is no key of a batch{suggestion(str(key), _KEYS)}")
    batch_id, model_type, experiences = (value.get(key) for key in _KEYS[:3])
    if batch_id is None and named:
        raise UserMistake("batch_id: missing")
    if not isinstance(model_type, str):
        raise UserMistake(
            f"model_type: {_shown(model_type)} is not text" if "model_type" in value else "model_type: missing"
        )
    if value.get("created_at") is not None and not _is_instant(value["created_at"]):
        raise UserMistake(f"created_at: {_shown(value['created_at'])} is {_INSTANT}")
    if not isinstance(experiences, list):
        raise UserMistake("experiences: not a list" if "experiences" in value else "experiences: missing")
    return checked(Batch(model_type=model_type, experiences=experiences, batch_id=batch_id))


def checked(batch: Batch) -> Batch:
    """Return the batch, whose id and size are within bounds.

    Raises:
        UserMistake: they are not.
    """
    name = batch.batch_id
    if name is not None and not (isinstance(name, str) and 0 < len(name) <= _ID_LENGTH and name.isprintable()):
        raise UserMistake(f"batch_id: {_shown(name)} is not text of 1 to {_ID_LENGTH} printable characters")
    if not 0 < len(batch.experiences) <= MOST:
        raise UserMistake(f"experiences: {len(batch.experiences):,} in one batch; 1 to {MOST:,} can be taken")
    return batch


def shortcoming(item: Any) -> str | None:  # Any: whatever was sent
    """Return what an experience lacks, whatever it is about, in one line that names the field; None if nothing."""
    if not isinstance(item, Mapping):
        return f"{type(item).__name__} is not an object"
    for key in ("type", "input", "expected_output", "success", "confidence"):
        if key not in item:
            return f"{key}: missing"
    if not isinstance(item["type"], str):
        return f"type: {_shown(item['type'])} is not text"
    if not isinstance(item["success"], bool):
        return f"success: {_shown(item['success'])} is not true or false"
    if not _is_share(item["confidence"]):
        return f"confidence: {_shown(item['confidence'])} is not a number from 0 to 1"
    return _shortcoming_beside(item.get("metadata"), item.get("timestamp"))


def _shortcoming_beside(metadata: Any, timestamp: Any) -> str | None:  # Any: whatever was sent
    if metadata is not None and not isinstance(metadata, Mapping):
        return f"metadata: {_shown(metadata)} is not an object"
    if metadata and metadata.get("quality") is not None and not _is_share(metadata["quality"]):
        return f"metadata.quality: {_shown(metadata['quality'])} is not a number from 0 to 1"
    if timestamp is not None and not _is_instant(timestamp):
        return f"timestamp: {_shown(timestamp)} is {_INSTANT}"
    return None


def _shown(value: Any) -> str:  # Any: whatever was sent
    return repr(value)[:_SHOWN]


def quality_0_1(item: Item) -> float:
    """Return how far the `expected_output` of an experience without shortcoming can be trusted, from 0 to 1.

    `metadata.quality` says it, where it is given. Otherwise it is `confidence` where the answer was right (`success`).
    Where it was wrong, how sure the model was says nothing about what is right: a correction counts as 1, and an
    `expected_output` that is the very answer that failed as 0.
    """
    metadata = item.get("metadata")
    if metadata and metadata.get("quality") is not None:
        return float(metadata["quality"])
    if item["success"]:
        return float(item["confidence"])
    return 0.0 if "actual_output" in item and item["actual_output"] == item["expected_output"] else 1.0


def _is_share(value: Any) -> bool:  # Any: whatever was sent
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _is_instant(value: Any) -> bool:  # Any: whatever was sent
    if isinstance(value, int | float):
        return not isinstance(value, bool)
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return False
    return True
