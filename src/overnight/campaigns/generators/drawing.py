"""What generators share that draw their samples: the draw of a number, what it comes from, and plain judgements."""

import hashlib
import json
from random import Random

from overnight.campaigns.ports import DRAWN


def drawn(generator: str, version: int, cell: str, number: int) -> Random:
    """Return the numbers that a sample is drawn with: the same ones for the same sample, in any process."""
    seed = json.dumps([generator, version, cell, number]).encode()
    return Random(int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest()))  # noqa: S311 -- no secret


def source_of(generator: str, version: int, what: str) -> dict[str, str]:
    """Return the source of what is drawn here and comes from nobody else: no text that samples could have in common."""
    name = f"overnight {generator}, {what}"
    return {"name": name, "licence": "Apache-2.0", "version": str(version), DRAWN: "yes"}


def absent_or_copied(task: str, answer: str) -> str | None:
    """Return the fault of an answer that is none, or stands in its task or holds it."""
    if not answer:
        return "no answer"
    return "the answer is copied from the task" if answer in task or task in answer else None


def ease(text: str, *, easy: int, hard: int) -> float:
    """Return how easily a text is read: 1 up to so many words, falling to 0 at `hard`."""
    return min(1.0, max(0.0, (hard - len(text.split())) / (hard - easy)))
