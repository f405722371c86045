"""What a campaign is, as its processes hand it on: frozen, and JSON-able."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from overnight.campaigns.intake import Terms

Phase = Literal["pilot", "full"]
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Domain:
    """A kind of samples: who makes them, with which settings, how many of the target they are, what they must reach.

    `generator` is the name of a built-in one, or the project's own as "module:Class". `quality_threshold` is the one
    that its pilot has to reach beside that of the whole.
    """

    name: str
    generator: str
    target: int
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON of the generator
    terms: Terms = field(default_factory=Terms)
    quality_threshold: float | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Domain":
        """Return what `asdict` was given."""
        return cls(**{**values, "terms": Terms(**values["terms"])})


@dataclass(frozen=True, kw_only=True)
class External:
    """A generator that is a program of its own: its two commands, ready to be run, and how they are followed.

    `log` is the path of the file that they write, None for what they print. Times are in seconds. `patterns` are those
    of `logs.patterns.Patterns` that are others than there.
    """

    pilot: Sequence[str]
    full: Sequence[str]
    log: str | None = None
    poll_pilot_s: float = 10.0
    poll_full_s: float = 60.0
    start_s: float = 300.0
    stall_s: float = 1800.0
    patterns: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def command(self, phase: Phase) -> list[str]:
        """Return program and arguments of a phase."""
        return list(self.pilot if phase == "pilot" else self.full)

    def poll_s(self, phase: Phase) -> float:
        """Return the seconds from one look at the log to the next."""
        return self.poll_pilot_s if phase == "pilot" else self.poll_full_s


@dataclass(frozen=True, kw_only=True)
class Campaign:
    """A whole campaign. `folder` holds its files; `most` candidates are judged at the most.

    `packages` are distributions whose functions join those of the standard library; `active` asks for candidates where
    the most is missing, else by chance; `evaluation` are files of what models are measured on; `then` says what follows
    (the fields of `ThenSettings`). One with an `external` generator has no domains.
    """

    name: str
    folder: str
    project: str
    domains: Sequence[Domain]
    target: int
    pilot_size: int
    most: int
    workers: int
    seed: int = 1
    active: bool = True
    packages: Sequence[str] = ()
    evaluation: Sequence[str] = ()
    then: Mapping[str, Any] = field(default_factory=dict)  # Any: JSON
    auto_launch: bool = True
    external: External | None = None

    def size(self, phase: Phase) -> int:
        """Return how many samples a phase is to have: candidates of the pilot, accepted ones of the whole."""
        return self.pilot_size if phase == "pilot" else self.target

    def without(self, constant: Sequence[str]) -> "Campaign":
        """Return the campaign where these terms of the quality carry no weight; where none were left, all do."""
        domains = []
        for domain in self.domains:
            weights = {name: 0.0 if name in constant else one for name, one in domain.terms.weights.items()}
            terms = replace(domain.terms, weights=weights) if any(weights.values()) else domain.terms
            domains.append(replace(domain, terms=terms))
        return replace(self, domains=domains)

    def to_dict(self) -> Json:
        """Return it as JSON-able values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Campaign":
        """Return what `to_dict` was given."""
        external = values.get("external")
        domains = [Domain.from_dict(one) for one in values["domains"]]
        return cls(**{**values, "domains": domains, "external": None if external is None else External(**external)})
