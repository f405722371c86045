"""The queue's decision on a real cluster's jobs: arrivals, sizes and durations as they were."""

import csv
import heapq
from pathlib import Path

import pytest

from overnight.base.ids import RunId
from overnight.engine.model import Needs
from overnight.engine.queue import Busy, Candidate, Capacity, choose

# Thousands of decisions by lines that the tests of the queue cover.
pytestmark = pytest.mark.no_cover

CORES = 64.0


def jobs_of(trace: Path) -> list[tuple[int, int, float]]:
    """Return (arrival, duration, cores) of each job; instants in ms, the trace's own unit."""
    with trace.open() as file:
        rows = list(csv.DictReader(file))
    return sorted((int(row["submit_time"]), int(row["duration"]), float(row["num_gpu"])) for row in rows)


def candidate(number: int, job: tuple[int, int, float]) -> Candidate:
    _, duration, cores = job
    return Candidate(
        run_id=RunId(number), task_id="job", needs=Needs(cpus=cores), limit_us=duration, max_concurrent=None
    )


def completion_times(jobs: list[tuple[int, int, float]], *, backfill: bool) -> tuple[float, dict[int, int]]:
    """Return the mean time from arrival to end, and when each job started; in plain first come first served order the
    first job that does not fit stops all behind it."""
    waiting: list[int] = []
    running: list[tuple[int, int]] = []
    started: dict[int, int] = {}
    arrivals = list(enumerate(jobs))[::-1]
    total, now = 0.0, 0
    while arrivals or waiting or running:
        if arrivals and (not running or arrivals[-1][1][0] <= running[0][0]):
            number, (now, _, _) = arrivals.pop()
            waiting.append(number)
        else:
            now = running[0][0]
            total += now - jobs[heapq.heappop(running)[1]][0]
        while waiting:
            held = [Busy(task_id="job", needs=Needs(cpus=jobs[n][2]), ends_us=end) for end, n in running]
            looked_at = waiting if backfill else waiting[:1]
            choice = choose([candidate(n, jobs[n]) for n in looked_at], held, Capacity(slots=10_000, cpus=CORES), now)
            for started_now in choice.start:
                waiting.remove(started_now)
                started[started_now] = now
                heapq.heappush(running, (now + jobs[started_now][1], started_now))
            assert sum(jobs[n][2] for _, n in running) <= CORES
            if backfill or not choice.start:
                break
    return total / len(jobs), started


@pytest.mark.needs_data
@pytest.mark.parametrize("trace", ["philly_vc_trace1.csv", "philly_vc_trace3.csv"])
def test_backfill_starts_every_job_and_shortens_the_mean_completion_time(test_data, trace):
    jobs = jobs_of(test_data / "traces" / trace)[:600]
    in_order, _ = completion_times(jobs, backfill=False)
    with_backfill, started = completion_times(jobs, backfill=True)
    assert len(started) == len(jobs)
    assert all(start >= jobs[number][0] for number, start in started.items())
    assert with_backfill < in_order
    print(f"{trace}: mean completion {in_order / 1000:,.0f} s in order, {with_backfill / 1000:,.0f} s with backfill")
