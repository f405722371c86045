"""What the lines of a generator's log have told together. Pure.

Domains are counted apart, and what a line says without naming one is of all together. A smaller number than before is
of a line that came late, as those of several threads do; one that is far smaller says that the generator has begun
anew, and its count does so too.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from overnight.campaigns.logs.patterns import Patterns, Told

KEPT_SCORES = 10_000
"""Scores that are kept one by one; of further ones the sum is."""
MOST_DOMAINS = 1000
"""A pattern that finds more has found something else; what is told of further ones is left out."""
LATE = 10
"""By how much fewer a line may tell that comes late, or up to half of what was told before."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """How far a domain is, and how many of it were accepted and rejected so far; None where nothing has said so.

    `begun_anew` tells how often it has begun anew.
    """

    done: int | None = None
    total: int | None = None
    accepted: int | None = None
    rejected: int | None = None
    begun_anew: int = 0

    @property
    def complete(self) -> bool:
        """Return whether nothing is missing of what was announced."""
        return self.total is None or (self.done or 0) >= self.total


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What a log has told so far. `domains` are by name, "" is what was said of all together.

    `scores` are the first `KEPT_SCORES` qualities, from 0 to 1; None is one that was another number. `accepts` and
    `rejects` are how many lines told of one sample, `rate` the share that was accepted as the log told it last.
    """

    domains: Mapping[str, Tally] = field(default_factory=dict)
    scores: tuple[float | None, ...] = ()
    scored: int = 0
    score_sum: float = 0.0
    accepts: int = 0
    rejects: int = 0
    rate: float | None = None

    @property
    def done(self) -> int | None:
        """Return how many samples are made, of all domains; None where nothing has said so."""
        return self._of_all(
            [None if one.done is None else min(one.done, one.total or 0) for one in self._named], "done"
        )

    @property
    def announced(self) -> int | None:
        """Return how many samples all domains that were named are to have; None where nothing has said so."""
        return self._of_all([one.total for one in self._named], "total")

    @property
    def accepted(self) -> int | None:
        """Return how many samples were accepted; None where nothing has said so."""
        told = self._told("accepted")
        return (self.accepts or None) if told is None else told

    @property
    def rejected(self) -> int | None:
        """Return how many samples were rejected; None where nothing has said so."""
        told = self._told("rejected")
        return (self.rejects or None) if told is None else told

    @property
    def acceptance_rate(self) -> float | None:
        """Return the share of judged samples that was accepted, from 0 to 1; None where it follows from nothing."""
        accepted, rejected = self.accepted, self.rejected
        if accepted is None or rejected is None or accepted + rejected == 0:
            return self.rate
        return accepted / (accepted + rejected)

    @property
    def quality(self) -> float | None:
        """Return the mean of all scores; None where there is none, or one was no number from 0 to 1."""
        return self.score_sum / self.scored if self.scored and math.isfinite(self.score_sum) else None

    @property
    def judged(self) -> int:
        """Return how many samples there are by whatever has told of the most."""
        return max(self.done or 0, (self.accepted or 0) + (self.rejected or 0), self.scored)

    @property
    def qualities(self) -> list[float | None]:
        """Return a quality for each sample that there is; None for those of which it is not known."""
        return [*self.scores, *[None] * (self.judged - len(self.scores))]

    @property
    def begun_anew(self) -> int:
        """Return how often the domain has begun anew that did so most often."""
        return max((one.begun_anew for one in self.domains.values()), default=0)

    def complete(self, total: int, expected: tuple[str, ...] = ()) -> bool:
        """Return whether `total` samples are made and no domain that was named or `expected` lacks any."""
        there = all((one := self.domains.get(name)) is not None and one.done is not None for name in expected)
        return there and (self.done or 0) >= total and all(one.complete for one in self.domains.values())

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return everything as JSON."""
        finite = self.score_sum if math.isfinite(self.score_sum) else None
        domains = {name: asdict(one) for name, one in self.domains.items()}
        return {**vars(self), "domains": domains, "scores": list(self.scores), "score_sum": finite}

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> "Counts":  # Any: JSON
        """Return what `to_dict` told."""
        score_sum = math.nan if told["score_sum"] is None else told["score_sum"]
        domains = {name: Tally(**one) for name, one in told["domains"].items()}
        return cls(**{**told, "domains": domains, "scores": tuple(told["scores"]), "score_sum": score_sum})

    @property
    def _named(self) -> list[Tally]:
        return [one for name, one in self.domains.items() if name]

    def _of_all(self, named: list[int | None], what: str) -> int | None:
        """Return the sum over named domains, or what was said of all together where that is more."""
        overall: int | None = getattr(self.domains.get("", Tally()), what)
        known = [number for number in named if number is not None]
        found = [*([sum(known)] if known else []), *([] if overall is None else [overall])]
        return max(found, default=None)

    def _told(self, what: str) -> int | None:
        """Return what was said of all together, or else the sum over named domains."""
        overall: int | None = getattr(self.domains.get("", Tally()), what)
        known = [number for one in self._named if (number := getattr(one, what)) is not None]
        return sum(known) if overall is None and known else overall


def take(counts: Counts, line: str, patterns: Patterns) -> Counts:
    """Return the counts with what a line tells."""
    told = patterns.tell(line)
    if told is None:
        return counts
    changed: dict[str, Any] = {}  # Any: values of fields of several types
    if (told.done, told.accepted, told.rejected) != (None, None, None):
        changed["domains"] = _with_domain(counts.domains, told)
    if told.score is not None:
        changed |= _with_score(counts, told.score)
    if told.accepts:
        changed["accepts"] = counts.accepts + 1
    if told.rejects:
        changed["rejects"] = counts.rejects + 1
    if told.rate is not None and math.isfinite(told.rate):
        changed["rate"] = told.rate
    return replace(counts, **changed)


def _with_domain(domains: Mapping[str, Tally], told: Told) -> Mapping[str, Tally]:
    before = domains.get(told.domain, Tally())
    if told.domain not in domains and len(domains) >= MOST_DOMAINS:
        return domains
    accepted = before.accepted if told.accepted is None else told.accepted
    rejected = before.rejected if told.rejected is None else told.rejected
    after = replace(_further(before, told), accepted=accepted, rejected=rejected)
    return {**domains, told.domain: after}


def _further(before: Tally, told: Told) -> Tally:
    if told.done is None or told.total is None:
        return before
    if before.done is None or before.total != told.total:
        return replace(before, done=told.done, total=told.total)
    fewer = before.done - told.done
    if fewer > before.done / 2 and (fewer >= LATE or before.complete):
        return replace(before, done=told.done, begun_anew=before.begun_anew + 1)
    return replace(before, done=max(before.done, told.done))


def _with_score(counts: Counts, score: float) -> dict[str, Any]:  # Any: values of fields of several types
    kept = counts.scores
    if len(kept) < KEPT_SCORES:
        kept = (*kept, score if math.isfinite(score) else None)
    return {"scores": kept, "scored": counts.scored + 1, "score_sum": counts.score_sum + score}
