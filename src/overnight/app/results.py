"""What a training of a fleet found out, as Python objects."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from overnight.base.errors import NotMeasured

Json = dict[str, Any]  # Any: whatever JSON holds


@dataclass(frozen=True)
class AgentResult:
    """One agent of a training.

    `status` is "trained", "failed", "skipped", "configured" or "not configured". `quality` (0 to 10), `metric`,
    `improvement` (in %) and `interval` are those of `reports.nightly.agent_line`; None where they were not measured.
    `state` tells how its state was kept: "saved", "handed back", or "state not kept". `line` is all of it.
    """

    name: str
    line: Json
    _load: Callable[[], Any] = field(repr=False)

    @property
    def status(self) -> str:
        """Whether it was trained."""
        return str(self.line["status"])

    @property
    def error(self) -> str | None:
        """Why it was not trained, in one line."""
        return self.line["error"] or self.line.get("reason") if self.status != "trained" else None

    @property
    def quality(self) -> float | None:
        """The quality of the version that serves."""
        return self.line["quality"]  # type: ignore[no-any-return]  # JSON

    @property
    def metric(self) -> float | None:
        """The metric of the version that serves."""
        return self.line["metric"]  # type: ignore[no-any-return]  # JSON

    @property
    def improvement(self) -> float | None:
        """The candidate against what it was compared with, in % of the span from the baseline to the best value."""
        return self.line["improvement"]  # type: ignore[no-any-return]  # JSON

    @property
    def interval(self) -> list[float | None] | None:
        """The interval of the improvement."""
        return self.line["interval"]  # type: ignore[no-any-return]  # JSON

    @property
    def time_ms(self) -> float | None:
        """How long the training took."""
        return self.line["time_ms"]  # type: ignore[no-any-return]  # JSON

    @property
    def data_count(self) -> int | None:
        """Records that it was trained on."""
        return self.line["data_count"]  # type: ignore[no-any-return]  # JSON

    @property
    def state(self) -> str | None:
        """How its state was kept; None where it was not trained."""
        return (self.line.get("state") or "state not kept") if self.status == "trained" else None

    @cached_property
    def agent(self) -> Any:  # Any: the caller's own class
        """The trained object: the version that this training made, whether it serves or not.

        Raises:
            NotMeasured: it was not trained, or its state was not kept.
        """
        if self.status != "trained":
            raise NotMeasured(f"agent {self.name!r} was not trained: {self.error}")
        return self._load()


@dataclass(frozen=True)
class TrainingResult:
    """What a training of the fleet found out; the same figures as `holistic_training_result.json`."""

    result: Json = field(repr=False)
    agents: Mapping[str, AgentResult]

    @property
    def status(self) -> str:
        """ "success" if every agent was trained, "partial" if some were, "failed" if none was."""
        return str(self.result["status"])

    @property
    def total_time_seconds(self) -> float:
        """How long it took."""
        return float(self.result["total_time_seconds"])

    @property
    def total_time_minutes(self) -> float:
        """The same in minutes."""
        return float(self.result["total_time_minutes"])

    @property
    def phases(self) -> Json:
        """Status, seconds and details of each phase."""
        return self.result["phases"]  # type: ignore[no-any-return]  # JSON

    @property
    def agents_trained(self) -> int:
        """How many agents were trained."""
        return int(self.result["agents_trained"])

    @property
    def overall_quality(self) -> float | None:
        """The weighted mean of the agents' qualities."""
        return self.result["overall_quality"]  # type: ignore[no-any-return]  # JSON

    @property
    def system_quality_delta(self) -> float | None:
        """The weighted mean of what accepted versions gained, in %."""
        return self.result["system_quality_delta"]  # type: ignore[no-any-return]  # JSON

    @property
    def timestamp(self) -> str:
        """When it began, in ISO 8601."""
        return str(self.result["timestamp"])

    @property
    def next_scheduled(self) -> str | None:
        """When the next one begins by its schedule."""
        return self.result["next_scheduled"]  # type: ignore[no-any-return]  # JSON

    @property
    def report(self) -> str | None:
        """The path of the daily report."""
        return self.result["report"]  # type: ignore[no-any-return]  # JSON

    def to_json(self) -> Json:
        """Return the figures as the result file holds them."""
        return self.result
