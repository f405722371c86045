"""Recorded requests, asked again of two versions: the first stage of a rollout, in which no user takes part. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from overnight.serving.answers import disagreements, score


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """A request that was served. `known`: what is right for it, `expected`, was told since."""

    request_id: str
    input: Any  # Any: as the model_type has it
    expected: Any = None
    known: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a version made of a request: an `output` if `ok`, else what kept it from one.

    `hard`: the version neither loads nor answers properly, and need not be asked again.
    """

    ok: bool
    output: Any = None
    ms: float | None = None
    timed_out: bool = False
    invalid: bool = False
    hard: bool = False
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class Side:
    """What came of a request on one side of a pair; the same as of a request that is served. `hard`: see `Answer`."""

    ok: bool
    timed_out: bool
    invalid: bool
    ms: float | None
    score: float | None
    error: str | None
    hard: bool


@dataclass(frozen=True, kw_only=True)
class Pair:
    """One request through both versions. `agree`: both answered, and the same; None where one of them did not."""

    request_id: str
    champion: Side
    candidate: Side
    agree: bool | None


Predict = Callable[[Any], Answer]
"""Asks a version for one input, and measures; raises nothing for what the version does wrong."""
Score = Callable[[Any, Any], float | None]
"""Returns how good (output, expected) is, 0 to 1; None: not known."""


def replay(requests: Iterable[Recorded], champion: Predict, candidate: Predict, *, scored: Score = score) -> list[Pair]:
    """Return the pairs, in the order of the requests; it ends with the first hard failure of the candidate.

    Which version is asked first changes from request to request, so that what the first one warms up favours none.
    """
    pairs: list[Pair] = []
    for place, request in enumerate(requests):
        if place % 2:
            other = candidate(request.input)
            one = champion(request.input)
        else:
            one = champion(request.input)
            other = candidate(request.input)
        pairs.append(_pair(request, one, other, scored))
        if other.hard:
            break
    return pairs


def answers(
    requests: Iterable[Recorded], version: Predict, *, stop: Callable[[], bool] = lambda: False
) -> list[Answer]:
    """Return what one version makes of the requests, until `stop` says so, or it has failed for good."""
    found: list[Answer] = []
    for request in requests:
        if stop() or (found and found[-1].hard):
            break
        found.append(version(request.input))
    return found


def paired(
    requests: Sequence[Recorded], champion: Sequence[Answer], candidate: Sequence[Answer], *, scored: Score = score
) -> list[Pair]:
    """Return the pairs of answers that two versions gave one after the other, as far as both were asked."""
    asked = zip(requests, champion, candidate, strict=False)
    return [_pair(request, one, other, scored) for request, one, other in asked]


def _pair(request: Recorded, champion: Answer, candidate: Answer, scored: Score) -> Pair:
    both = champion.ok and candidate.ok
    return Pair(
        request_id=request.request_id,
        champion=_side(request, champion, scored),
        candidate=_side(request, candidate, scored),
        agree=not disagreements([champion.output], [candidate.output]) if both else None,
    )


def _side(request: Recorded, answer: Answer, scored: Score) -> Side:
    return Side(
        ok=answer.ok,
        timed_out=answer.timed_out,
        invalid=answer.invalid,
        ms=answer.ms,
        score=scored(answer.output, request.expected) if answer.ok and request.known else None,
        error=answer.error,
        hard=answer.hard,
    )
