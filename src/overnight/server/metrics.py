"""What the daemon measures, in the text format of Prometheus."""

import os
from collections.abc import Iterator
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from overnight.processes.table import memory_bytes, pids_below
from overnight.telemetry.measures import Histogram

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

ENDS = ("completed", "failed", "cancelled", "retrying", "lost", "blocked", "missed")
"""Events that are counted one by one; see docs/reference/metrics.md."""


def registry_of(daemon: "Daemon") -> CollectorRegistry:
    """Return a registry of its own, so that nothing of other libraries is shown."""
    registry = CollectorRegistry()
    registry.register(_Collector(daemon))
    return registry


class _Collector(Collector):
    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon

    def collect(self) -> Iterator[Metric]:
        """Yield every metric as it stands."""
        yield from self._gauges()
        measures = self._daemon.project.database.measures
        events = CounterMetricFamily("overnight_events", "What happened to runs and tasks.", labels=["event"])
        for name in ENDS:
            events.add_metric([name], measures.events[name])
        yield events
        yield _histogram("overnight_start_lag_seconds", "From due to the first start of a run.", measures.start_lag_s)
        yield _histogram("overnight_commit_seconds", "From begin to commit of a transaction.", measures.commit_s)
        yield _histogram("overnight_commit_changes", "Changes that a transaction joined.", measures.commit_changes)

    def _gauges(self) -> Iterator[Metric]:
        vitals, queue = self._daemon.vitals(), self._daemon.queue
        runs = GaugeMetricFamily("overnight_runs", "Unfinished runs, by what they wait for.", labels=["state"])
        for state in ("ready", "later", "waiting", "held", "active"):
            runs.add_metric([state], getattr(queue, state))
        yield runs
        yield from self._counts()
        healthy = self._daemon.health()["status"] == "healthy"
        plain = {
            "overnight_healthy": ("1 while nothing is wrong.", float(healthy)),
            "overnight_uptime_seconds": ("Since the start of the daemon.", vitals.uptime_s),
            "overnight_queue_age_seconds": ("Age of the oldest ready run.", queue.age_s(vitals.at_us)),
            "overnight_decision_age_seconds": ("Age of the last scheduling decision.", vitals.decided_s_ago),
            "overnight_writer_waiting": ("Changes that wait for the database.", float(vitals.writer_waiting)),
            "overnight_disk_free_bytes": ("Free disk at the project.", vitals.disk_free_bytes),
            "overnight_memory_bytes": ("Memory of the daemon and its children.", _memory()),
        }
        for name, (text, value) in plain.items():
            if value is not None:
                yield GaugeMetricFamily(name, text, value=value)

    def _counts(self) -> Iterator[Metric]:
        files = self._daemon.files
        counted = GaugeMetricFamily("overnight_counted", "What tasks have counted.", labels=["name"])
        for name, value in files.doings.counted.items():
            counted.add_metric([name], value)
        yield counted
        reached = GaugeMetricFamily("overnight_produced", "Of a target, until now.", labels=["name", "period"])
        wanted = GaugeMetricFamily("overnight_target", "What is aimed at.", labels=["name", "period", "level"])
        for one in files.produced:
            if not one.over:
                reached.add_metric([one.name, one.period], one.count)
                for place, level in enumerate(one.levels):
                    wanted.add_metric([one.name, one.period, str(place)], level)
        yield reached
        yield wanted


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(str, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(
        name, text, buckets=[(bound, float(n)) for bound, n in buckets], sum_value=histogram.sum
    )


def _memory() -> float:
    return float(memory_bytes([os.getpid(), *pids_below(os.getpid())]))
