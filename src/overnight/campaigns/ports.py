"""What makes samples, and what it hands over. Pure.

A generator makes a sample from a cell and a number and nothing else: the same two give the same sample, wherever its
version and its sources are the same, so that a campaign that was interrupted makes none twice.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Role = Literal["system", "user", "assistant"]

CONSISTENCY, GROUNDEDNESS, COHERENCE = "consistency", "groundedness", "coherence"
TERMS = (CONSISTENCY, GROUNDEDNESS, COHERENCE)
"""What a check says of a sample, each from 0 to 1; what it adds to the others (diversity) is known to the ledger."""


DRAWN = "drawn"
"""In a source: its samples are made by rules, and not from a text that they would share."""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a sample was made from. `generator` is its name and version, such as "python_bugs/1"."""

    domain: str
    generator: str
    cell: str
    number: int

    @property
    def sample_id(self) -> str:
        """Return the id of the sample that comes from it: 32 hexadecimal digits."""
        told = json.dumps([self.domain, self.generator, self.cell, self.number]).encode()
        return hashlib.blake2b(told, digest_size=16).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A sample that nobody has judged: a conversation that ends with the answer that is to be learnt.

    `skeleton` is its task and answer with literals and identifiers replaced: what differs in nothing else shares it.
    `source` names what it was made from, with `licence` and `version`; samples of one source must not be split between
    training and test, unless it says that they are `DRAWN`. `facts` are what its check needs.
    """

    messages: Sequence[Message]
    skeleton: str
    source: Mapping[str, str]
    facts: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a check says of a draft: `fault` is why it cannot be accepted, in a few words that many samples share.

    `terms` are those of `TERMS`; one that the check abstains from is left out, and is not counted as good.
    """

    terms: Mapping[str, float] = field(default_factory=dict)
    fault: str | None = None
    detail: str | None = None


class Generator(Protocol):
    """Makes and checks the samples of a domain, in a child process.

    `at_once` threads may call it at the same time: 1, but for one that waits for others most of the time.
    """

    name: str
    version: int
    at_once: int

    def cells(self) -> Sequence[str]:
        """Return the regions of its space in which it can make samples, always in the same order."""

    def count(self, cell: str) -> int | None:
        """Return how many numbers the cell has; None where they have no end."""

    def draft(self, cell: str, number: int) -> Draft | None:
        """Return the sample of that number (0, 1, 2, ...) in the cell; None where there is none of this number."""

    def check(self, draft: Draft) -> Checked:
        """Judge a draft, by executing it where that is possible: also one that somebody has damaged on purpose."""
