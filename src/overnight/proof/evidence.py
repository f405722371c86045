"""What two versions answered about the same held-out items: all that the gate needs, and all that is kept."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any, Self

from overnight.proof.bootstrap import Draws
from overnight.proof.forms import GateSpec
from overnight.proof.gate import Verdict
from overnight.proof.metrics import judge_answers, metric_named


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """The answers of two versions, item by item.

    `metric` is one of `proof.metrics`, `title` what a person calls it. `ids` name the items (or what several make
    together). `groups` name what belongs together, `segments` (None: no one) the parts of the items in none of which
    the candidate may be worse, `truths` the right answers; None where there are none. `bounds` are those of scores.
    """

    metric: str
    title: str
    ids: Sequence[str]
    candidate: Sequence[Any]  # Any: numbers, labels or scores, as the metric takes them
    against: Sequence[Any]
    truths: Sequence[Any] | None = None
    groups: Sequence[str] | None = None
    segments: Sequence[str | None] | None = None
    bounds: tuple[float, float] | None = None

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the evidence whose fields came as JSON."""
        bounds = values.get("bounds")
        return cls(**{**values, "bounds": None if bounds is None else (bounds[0], bounds[1])})

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON-able values."""
        return asdict(self)

    @property
    def held_out_id(self) -> str:
        """What this set of held-out items is called, whatever was answered: a hash of their ids."""
        return sha256("\n".join(sorted(self.ids)).encode("utf-8", "surrogatepass")).hexdigest()

    def judged(self, spec: GateSpec, random: Draws) -> Verdict:
        """Return what the gate says.

        Raises:
            NotMeasured, UserMistake: see `proof.metrics.judge_answers`.
        """
        return judge_answers(
            metric_named(self.metric),
            self.truths,
            self.candidate,
            self.against,
            random=random,
            groups=self.groups,
            segments=self.segments,
            spec=spec if self.bounds is None else replace(spec, bounds=self.bounds),
        )
