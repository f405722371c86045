"""Which judged samples are accepted, one after the other: what is wrong, not good enough, or there already is not.

The order is: whether it is text and short enough, what the check found, what the sample is worth, whether the very text
is there, whether its skeleton has enough samples, whether it stands in what models are measured on, whether a text is
there that is nearly the same. What was measured is kept for all.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from overnight.campaigns.ports import Checked, Draft, Origin
from overnight.campaigns.quality import WEIGHTS, quality, terms_of
from overnight.text.near import NearIndex
from overnight.text.normalise import fold

NOT_TEXT, TOO_LONG = "not text", "too long"
MOST_CHARACTERS = 100_000
"""Of a sample's messages together; no model learns from longer ones, and a poisoned source may give any."""
KEPT_CHARACTERS = 10_000
"""Of each message of one that was refused for what it is."""
MOST_OF_A_REASON = 200
"""Characters; the database counts by reasons, and PostgreSQL's indexes take no long ones."""
UNMEASURED, TOO_LOW = "unmeasured", "quality too low"
SAME, NEAR, FULL, CONTAMINATED = "same text", "near duplicate", "skeleton is full", "in an evaluation set"
REPLACED = "its generator was replaced"
"""Of what was accepted in a pilot that was not approved, once another version of the generator makes the samples."""


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What a domain's samples have to reach: weights of the terms, the least quality, how near another one may be.

    `per_skeleton` is how many samples of one skeleton are accepted at the most.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: WEIGHTS)
    accept_from: float = 0.5
    near: float = 0.88
    per_skeleton: int = 5


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A sample that its generator has made and checked."""

    origin: Origin
    draft: Draft
    checked: Checked


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A candidate with what became of it; `reason` is None for one that is accepted."""

    candidate: Candidate
    reason: str | None
    detail: str | None
    quality: float | None
    terms: Mapping[str, float]
    skeleton: str
    digest: str


class Intake:
    """Judges the samples of a domain in the order in which they come. What was accepted before is told by `remember`.

    Used by one thread at a time.
    """

    def __init__(
        self,
        asked: Terms,
        *,
        digests: set[str] | None = None,
        contaminated: Callable[[str], str | None] = lambda text: None,
    ) -> None:
        """`contaminated` tells where a text stands in something that models are measured on; None where nowhere.

        `digests` are those of the texts that are accepted; the domains of a campaign share them, and add to them.
        """
        self._asked = asked
        self._contaminated = contaminated
        self._near = NearIndex(asked.near)
        self._digests = set[str]() if digests is None else digests
        self._skeletons = Counter[str]()

    def remember(self, accepted: Iterable[tuple[str, str]]) -> None:
        """Take the texts and skeletons (see `skeleton_of`) of samples that were accepted before."""
        texts = []
        for text, skeleton in accepted:
            texts.append(text)
            self._digests.add(digest_of(text))
            self._skeletons[skeleton] += 1
        self._near.take(texts)

    def judge(self, candidates: Sequence[Candidate]) -> list[Judged]:
        """Return what becomes of each, in their order.

        Raises:
            ValueError: a check is at fault; see `quality.terms_of`.
        """
        texts = [text_of(candidate.draft) for candidate in candidates]
        folded = [fold(text) for text in texts]
        # Of what is refused for its length, as much as is needed to have some.
        keys = self._near.keys_of([text[:MOST_CHARACTERS] for text in folded])
        return [self._judge(*one) for one in zip(candidates, texts, folded, keys, strict=True)]

    def _judge(self, candidate: Candidate, text: str, folded: str, keys: Sequence[int]) -> Judged:
        skeleton = skeleton_of(candidate.draft)
        terms = terms_of(candidate.checked, 1.0 / (1 + self._skeletons[skeleton]))
        fault, detail = _fault(candidate.checked, text)
        worth = 0.0 if fault is not None else quality(terms, self._asked.weights)
        digest = _digest(folded or text)
        if fault is None:
            fault, detail = next(self._wrong(worth, text, digest, skeleton), (None, None))
        if fault is None and self._near.take_folded(folded, keys) is not None:
            fault = NEAR
        if fault is None:
            self._digests.add(digest)
            self._skeletons[skeleton] += 1
        return Judged(
            candidate=candidate,
            reason=fault,
            detail=detail,
            quality=worth,
            terms=terms,
            skeleton=skeleton,
            digest=digest,
        )

    def _wrong(self, worth: float | None, text: str, digest: str, skeleton: str) -> Iterator[tuple[str, str | None]]:
        """Yield what keeps a sample without a fault from being accepted, in order; texts nearly the same come after."""
        if worth is None:
            yield UNMEASURED, None
        elif worth < self._asked.accept_from:
            yield TOO_LOW, f"{worth:.3f}, from {self._asked.accept_from:g} on it is accepted"
        if digest in self._digests:
            yield SAME, None
        if self._skeletons[skeleton] >= self._asked.per_skeleton:
            yield FULL, f"{self._asked.per_skeleton} samples of it are accepted"
        where = self._contaminated(text)
        if where:
            yield CONTAMINATED, where


def _fault(checked: Checked, text: str) -> tuple[str | None, str | None]:
    """Return what is wrong with a sample, whatever else there is, and in detail."""
    if len(text) > MOST_CHARACTERS:
        return TOO_LONG, f"{len(text):,} characters; {MOST_CHARACTERS:,} at the most"
    if escaped(text) != text:
        return NOT_TEXT, None
    return (None if checked.fault is None else _reason(checked.fault)), checked.detail


def _reason(fault: str) -> str:
    return fault if len(fault) <= MOST_OF_A_REASON else f"{fault[: MOST_OF_A_REASON - 1]}…"


def text_of(draft: Draft) -> str:
    """Return what a sample says, without what is the same in all of a domain: its system messages."""
    return _said((message.role, message.content) for message in draft.messages)


def stored_text_of(body: str) -> str:
    """Return the text of a sample whose body (see `body_of`) was stored."""
    return _said((message["role"], message["content"]) for message in json.loads(body)["messages"])


def _said(messages: Iterable[tuple[str, str]]) -> str:
    return "\n\n".join(content for role, content in messages if role != "system")


def digest_of(text: str) -> str:
    """Return what texts have in common that a person would call the same: 32 hexadecimal digits."""
    return _digest(fold(text) or text)


def _digest(folded: str) -> str:
    return hashlib.blake2b(folded.encode(errors="surrogatepass"), digest_size=16).hexdigest()


def skeleton_of(draft: Draft) -> str:
    """Return what stands for a draft's skeleton: 16 hexadecimal digits."""
    return hashlib.blake2b(draft.skeleton.encode(errors="surrogatepass"), digest_size=8).hexdigest()


def escaped(text: str) -> str:
    """Return it with what no database takes written out: NUL, and halves of a surrogate pair."""
    return text.replace("\x00", "\\x00").encode(errors="backslashreplace").decode()


def body_of(judged: Judged) -> str:
    """Return messages and source of a sample as JSON; of one that is no text, or too long, as much as can be kept."""
    draft = judged.candidate.draft
    messages = [{"role": one.role, "content": one.content} for one in draft.messages]
    if judged.reason in (NOT_TEXT, TOO_LONG):
        messages = [{**one, "content": escaped(one["content"][:KEPT_CHARACTERS])} for one in messages]
    told: dict[str, Any] = {"messages": messages, "source": dict(draft.source)}
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))
