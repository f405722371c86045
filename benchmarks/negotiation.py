"""Measure the memory policy on real serving memory: training hours beside services, and how often memory runs out.

    python benchmarks/negotiation.py [--series FILE.csv.gz] [--quick] [--json] [--half fit] [--caution 0.5 1 2]

The file has the columns series, minute, used_gib: by default traces/serving_gpu_memory_gib.csv.gz below the folder that
OVERNIGHT_TEST_DATA names, without it series that are generated here (and the output says so). The first half of the
series, in the order of their names, fitted the numbers in `overnight.resources.forecast.Rules`; the other half is
reported.

Read as follows. One configuration is a size (8, 12, 16, 20, 24 GiB) and a duration (30, 120 min): one such job arrives
every 15 min, and those that have arrived wait in one queue, in their order. Jobs run beside each other where they fit,
on a device of 48 GiB that one service shares with them. Each configuration meets each series once. Every second, what
is known up to that second decides. A job that yields stops training at once, holds its memory for 10 s (30 s beside),
and goes back into the queue at its old place with what it still has to do. Memory runs out in a second in which service
and jobs use more than 48 GiB: the newest jobs are killed until it fits, each loses its work since its last checkpoint
(every 10 min of work, and when a yield is complete) and waits again. What trains at the end of the series counts.

    overnight    the functions that the daemon uses: forecast.Series, forecast.outlook_bytes, sharing.decide
    one look     a job starts where it fits beside what the service uses in that second, and never yields
    worst case   a job starts where it fits beside the highest use of the whole series, known beforehand
    clairvoyant  knows the series: starts in the first second from which a job can stay for longer than its yield takes,
                 and yields so that it has gone just in time

Within a minute the series is linear. In the step form all of the change comes in one random second of that minute.

The forecast is made for every second. `decide` compares it with two bounds: with what the jobs hold (who yields) and
with what the next one needs (who starts). Both change only with an arrival, an end or an own decision; so `decide` is
asked at those, and in the next second in which a forecast crosses a bound. Between them its answer is "nothing". A test
compares that with asking every second.
"""

import argparse
import csv
import gzip
import heapq
import json
import math
import os
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random

import numpy as np
from rig import load, machine

from overnight.resources.forecast import RULES, Rules, Series, outlook_bytes
from overnight.resources.policy import Running, Service, Situation, Waiting
from overnight.resources.sharing import decide

GIB = 2**30
CAPACITY = 48 * GIB
SIZES_GIB = (8, 12, 16, 20, 24)
DURATIONS_S = (1800, 7200)
ARRIVAL_S = 900
CHECKPOINT_S = 600
HOLD_S = 10
LONG_HOLD_S = 30
SHARE_AIM = 0.90
Array = np.ndarray


# -- series


def read(path: Path) -> dict[str, list[float]]:
    found: dict[str, list[float]] = defaultdict(list)
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            found[row["series"]].append(float(row["used_gib"]))
    return dict(sorted(found.items(), key=lambda item: (len(item[0]), item[0])))


def generated(count: int = 8, minutes: int = 1440, seed: int = 1) -> dict[str, list[float]]:
    """Series like the real ones: a plateau that is kept for minutes, restless times, and rare high jumps in these."""
    random = Random(seed)
    found = {}
    for number in range(count):
        plateau, values, restless = random.choice((22.0, 24.3, 30.5)), [], False
        used = plateau
        for _ in range(minutes):
            restless = random.random() < (0.9 if restless else 0.06)
            if restless and random.random() < 0.01:
                used = min(47.0, used + random.uniform(8, 20))
            elif restless:
                used = max(8.0, plateau + random.gauss(-3, 3))
            elif abs(used - plateau) > 1 and random.random() < 0.3:
                used = plateau
            values.append(round(used, 3))
        found[f"generated {number}"] = values
    return found


def linear(minutes: list[float]) -> Array:
    """Bytes in every second."""
    seconds = np.arange(60 * (len(minutes) - 1) + 1)
    return np.rint(np.interp(seconds, 60 * np.arange(len(minutes)), minutes) * GIB).astype(np.int64)


def steps(minutes: list[float], seed: str) -> Array:
    random = Random(seed)
    used = np.repeat(np.array(minutes) * GIB, 60)[: 60 * (len(minutes) - 1) + 1]
    for minute in range(len(minutes) - 1):
        used[60 * minute + random.randrange(1, 60) : 60 * (minute + 1)] = minutes[minute + 1] * GIB
    return np.rint(used).astype(np.int64)


# -- one series in one form, and when it crosses a bound


class Track:
    """What a service uses in every second."""

    def __init__(self, used: Array) -> None:
        self.used = used
        self.length = len(used)
        self.above = cache(lambda bound: self.next_of(self.used > bound))

    def next_of(self, is_so: Array) -> Array:
        """For every second the first one from it on in which something is so; the length where there is none."""
        places = np.where(is_so, np.arange(self.length), self.length)
        return np.append(np.minimum.accumulate(places[::-1])[::-1], self.length)


def outlooks(used: Array, hold_s: float, rules: Rules) -> tuple[Array, Array]:
    """What the daemon's functions expect in every second."""
    series = Series(rules)
    soon, start = [], []
    for second, value in enumerate(used.tolist()):
        series.add(float(second), value)
        near, settled = outlook_bytes(series, now_s=float(second), yield_s=hold_s)
        soon.append(near)
        start.append(settled)
    return np.array(soon), np.array(start)


# -- the simulation of one configuration


@dataclass
class Job:
    order: int
    left_s: int
    started_s: int = -1
    gone_s: int = -1
    """When it has gone, if it yields."""


@dataclass
class State:
    size: int
    running: list[Job] = field(default_factory=list)
    """Those that have memory, in the order of their starts."""
    queue: list[tuple[int, Job]] = field(default_factory=list)

    @property
    def staying(self) -> list[Job]:
        return [job for job in self.running if job.gone_s < 0]


class Policy:
    """Says how many of the first in the queue start, and which jobs yield; and when to ask it again."""

    def ask(self, second: int, state: State) -> tuple[int, list[Job]]:
        raise NotImplementedError

    def again(self, second: int, state: State) -> int:
        """The next second in which the answer can change by itself."""
        return second + 1


class Overnight(Policy):
    def __init__(self, track: Track, hold_s: int, rules: Rules = RULES) -> None:
        self.track = track
        self.soon, self.start = outlooks(track.used, hold_s, rules)
        self.grown = cache(lambda bound: track.next_of(self.soon > bound))
        self.fallen = cache(lambda bound: track.next_of(self.start <= bound))

    def ask(self, second: int, state: State) -> tuple[int, list[Job]]:
        soon, start = int(self.soon[second]), int(self.start[second])
        service = Service(
            name="serving",
            used_bytes=int(self.track.used[second]),
            soon_bytes=soon,
            start_bytes=start,
            later_bytes=start,
        )
        running = [
            Running(name=f"{job.order}", reserved_bytes=state.size, order=place, yielding=job.gone_s >= 0)
            for place, job in enumerate(state.running)
        ]
        # More of them than the device could hold if it were empty have no influence.
        first = heapq.nsmallest(CAPACITY // state.size, state.queue)
        waiting = [Waiting(name=f"{job.order}", need_bytes=state.size, order=job.order) for _, job in first]
        decision = decide(
            Situation(capacity_bytes=CAPACITY, services=[service], running=running, waiting=waiting),
        ).machine
        return len(decision.starts), [job for job in state.running if f"{job.order}" in decision.yields]

    def again(self, second: int, state: State) -> int:
        nexts = [self.track.length]
        if staying := len(state.staying):
            nexts.append(int(self.grown(CAPACITY - staying * state.size)[second + 1]))
        if state.queue:
            nexts.append(int(self.fallen(CAPACITY - (len(state.running) + 1) * state.size)[second + 1]))
        return min(nexts)


class OneLook(Policy):
    def __init__(self, track: Track) -> None:
        self.track = track
        self.fallen = cache(lambda bound: track.next_of(track.used <= bound))

    def ask(self, second: int, state: State) -> tuple[int, list[Job]]:
        free = CAPACITY - int(self.track.used[second]) - len(state.running) * state.size
        return max(0, free // state.size), []

    def again(self, second: int, state: State) -> int:
        return int(self.fallen(CAPACITY - (len(state.running) + 1) * state.size)[second + 1])


class WorstCase(Policy):
    def __init__(self, track: Track) -> None:
        self.free, self.length = CAPACITY - int(track.used.max()), track.length

    def ask(self, second: int, state: State) -> tuple[int, list[Job]]:
        return max(0, self.free // state.size - len(state.running)), []

    def again(self, second: int, state: State) -> int:
        return self.length


class Clairvoyant(Policy):
    def __init__(self, track: Track, hold_s: int) -> None:
        self.track, self.hold_s = track, hold_s
        self.ends = cache(self._ends)
        self.starts = cache(lambda jobs_bytes: track.next_of(~self.ends(jobs_bytes)))
        self.stops = cache(lambda jobs_bytes: track.next_of(self.ends(jobs_bytes)))

    def _ends(self, jobs_bytes: int) -> Array:
        """Whether, with so much in jobs, memory runs out no later than a yield takes, or has."""
        above = self.track.above(CAPACITY - jobs_bytes)[:-1]
        return (above < self.track.length) & (above - np.arange(self.track.length) <= self.hold_s)

    def ask(self, second: int, state: State) -> tuple[int, list[Job]]:
        staying, yields = state.staying, []
        while staying and self.ends(len(staying) * state.size)[second]:
            yields.append(staying.pop())
        starts = 0
        if not yields:
            while (jobs := (len(state.running) + starts + 1) * state.size) <= CAPACITY and not self.ends(jobs)[second]:
                starts += 1
        return starts, yields

    def again(self, second: int, state: State) -> int:
        nexts = [self.track.length]
        if staying := len(state.staying):
            nexts.append(int(self.stops(staying * state.size)[second + 1]))
        if state.queue and (jobs := (len(state.running) + 1) * state.size) <= CAPACITY:
            nexts.append(int(self.starts(jobs)[second + 1]))
        return min(nexts)


@dataclass
class Figures:
    trained_s: int = 0
    lost_s: int = 0
    ooms: int = 0
    yields: int = 0
    starts: int = 0

    def add(self, other: "Figures") -> None:
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def told(self) -> dict[str, object]:
        hours = self.trained_s / 3600
        return {
            "hours": round(hours, 1),
            "ooms": self.ooms,
            "ooms_per_1000_job_hours": round(1000 * self.ooms / hours, 3) if hours else None,
            "lost_hours": round(self.lost_s / 3600, 2),
            "yields": self.yields,
            "starts": self.starts,
        }


class Simulation:
    def __init__(self, track: Track, policy: Policy, *, size: int, duration_s: int, hold_s: int) -> None:
        self.track, self.policy, self.duration_s, self.hold_s = track, policy, duration_s, hold_s
        self.state, self.figures, self.arrived = State(size=size), Figures(), 0

    def run(self, every_second: bool = False) -> Figures:
        second = 0
        while second < self.track.length:
            self._arrive(second)
            self._leave(second)
            self._run_out(second)
            self._obey(second)
            second = second + 1 if every_second else self._next(second)
        for job in self.state.staying:
            self.figures.trained_s += min(job.left_s, self.track.length - job.started_s)
        return self.figures

    def _arrive(self, second: int) -> None:
        while self.arrived * ARRIVAL_S <= second:
            self._wait(Job(order=self.arrived, left_s=self.duration_s))
            self.arrived += 1

    def _wait(self, job: Job) -> None:
        heapq.heappush(self.state.queue, (job.order, replace(job, started_s=-1, gone_s=-1)))

    def _leave(self, second: int) -> None:
        for job in list(self.state.running):
            if job.gone_s < 0 and job.started_s + job.left_s <= second:
                self.figures.trained_s += job.left_s
                self.state.running.remove(job)
            elif 0 <= job.gone_s <= second:
                self._credit(job, job.gone_s - self.hold_s - job.started_s)

    def _credit(self, job: Job, done_s: int) -> None:
        self.state.running.remove(job)
        self.figures.trained_s += done_s
        self._wait(replace(job, left_s=job.left_s - done_s))

    def _run_out(self, second: int) -> None:
        running, used = self.state.running, int(self.track.used[second])
        if not running or used + len(running) * self.state.size <= CAPACITY:
            return
        self.figures.ooms += 1
        while running and used + len(running) * self.state.size > CAPACITY:
            job = running[-1]
            done_s = (second if job.gone_s < 0 else job.gone_s - self.hold_s) - job.started_s
            kept_s = done_s - done_s % CHECKPOINT_S
            self.figures.lost_s += done_s - kept_s
            self._credit(job, kept_s)

    def _obey(self, second: int) -> None:
        starts, yields = self.policy.ask(second, self.state)
        for job in yields:
            job.gone_s = second + self.hold_s
            self.figures.yields += 1
        for _ in range(min(starts, len(self.state.queue))):
            _, job = heapq.heappop(self.state.queue)
            job.started_s = second
            self.state.running.append(job)
            self.figures.starts += 1

    def _next(self, second: int) -> int:
        state = self.state
        nexts = [self.arrived * ARRIVAL_S, self.policy.again(second, state)]
        nexts += [job.started_s + job.left_s if job.gone_s < 0 else job.gone_s for job in state.running]
        if state.running:
            nexts.append(int(self.track.above(CAPACITY - len(state.running) * state.size)[second + 1]))
        return min(nexts)


# -- all of it

Key = tuple[str, int]
Results = dict[Key, Figures]
"""By series and size in GiB; both durations together."""


def simulate(
    series: dict[str, Track], policy: Callable[[Track], Policy], hold_s: int, sizes: tuple[int, ...] = SIZES_GIB
) -> Results:
    results: Results = defaultdict(Figures)
    for name, track in series.items():
        made = policy(track)
        for size in sizes:
            for duration_s in DURATIONS_S:
                simulation = Simulation(track, made, size=size * GIB, duration_s=duration_s, hold_s=hold_s)
                results[name, size].add(simulation.run())
    return results


def total(results: Results, size: int | None = None) -> Figures:
    figures = Figures()
    for (_, of), part in results.items():
        if size in (None, of):
            figures.add(part)
    return figures


def shares(results: Results, clairvoyant: Results, size: int) -> list[float]:
    """For each series in which there was anything to get."""
    pairs = [(part, clairvoyant[key]) for key, part in results.items() if key[1] == size]
    return [part.trained_s / best.trained_s for part, best in pairs if best.trained_s]


def told(results: Results, clairvoyant: Results) -> dict[str, object]:
    by_size = {}
    for size in sorted({size for _, size in results}):
        of = shares(results, clairvoyant, size)
        by_size[f"{size} GiB"] = {
            **total(results, size).told(),
            "share_of_clairvoyant": _share(total(results, size), total(clairvoyant, size)),
            "mean_series": round(statistics.fmean(of), 4) if of else None,
            "worst_series": round(min(of), 4) if of else None,
        }
    return {
        **total(results).told(),
        "share_of_clairvoyant": _share(total(results), total(clairvoyant)),
        "by_size": by_size,
    }


def _share(part: Figures, best: Figures) -> float | None:
    return round(part.trained_s / best.trained_s, 4) if best.trained_s else None


def compare(series: dict[str, Track], hold_s: int, rules: Rules, peers: bool = True) -> dict[str, dict]:
    clairvoyant = simulate(series, lambda track: Clairvoyant(track, hold_s), hold_s)
    policies: dict[str, Callable[[Track], Policy]] = {"overnight": lambda track: Overnight(track, hold_s, rules)}
    if peers:
        policies |= {"one_look": OneLook, "worst_case": WorstCase}
    found = {name: told(simulate(series, policy, hold_s), clairvoyant) for name, policy in policies.items()}
    return {**found, "clairvoyant": told(clairvoyant, clairvoyant)}


def curve(series: dict[str, Track], cautions: list[float]) -> list[dict[str, object]]:
    """The share that is got against how often memory runs out, as the forecast is made more careful."""
    clairvoyant = simulate(series, lambda track: Clairvoyant(track, HOLD_S), HOLD_S)
    rows = []
    for caution in cautions:
        rules = replace(RULES, caution=caution)
        results = simulate(series, lambda track, rules=rules: Overnight(track, HOLD_S, rules), HOLD_S)
        of = told(results, clairvoyant)
        rows.append({"caution": caution, **{name: value for name, value in of.items() if name != "by_size"}})
    return rows


def chosen(given: str | None, half: str, quick: bool) -> tuple[str, dict[str, list[float]]]:
    data = os.environ.get("OVERNIGHT_TEST_DATA")
    path = Path(given) if given else Path(data or "", "traces", "serving_gpu_memory_gib.csv.gz")
    real = bool(given or data) and path.is_file()
    if given and not real:
        sys.exit(f"{given} is not a file")
    series = read(path) if real else generated()
    names = list(series)
    middle = math.ceil(len(names) / 2)
    names = names[:middle] if half == "fit" else names[middle:]
    if quick:
        names = names[:2]
    source = f"{path.name}, the half that " if real else "GENERATED series (no real ones given), the half that "
    return source + ("fitted" if half == "fit" else "is reported"), {name: series[name] for name in names}


def measure(series: dict[str, list[float]]) -> dict[str, object]:
    straight = {name: Track(linear(minutes)) for name, minutes in series.items()}
    stepped = {name: Track(steps(minutes, name)) for name, minutes in series.items()}
    found = compare(straight, HOLD_S, RULES)
    return {
        **found,
        f"yield_takes_{LONG_HOLD_S}_s": compare(straight, LONG_HOLD_S, RULES, peers=False),
        "step_form": compare(stepped, HOLD_S, RULES),
    }


def show(figures: dict) -> None:
    for name in ("machine", "series", "rules", "took_s"):
        print(f"{name:12} {figures[name]}")
    parts = {"linear, yield takes 10 s": figures}
    parts |= {name: figures[name] for name in (f"yield_takes_{LONG_HOLD_S}_s", "step_form") if name in figures}
    for title, part in parts.items():
        if "overnight" not in part:
            continue
        print(f"\n{title:44} share  mean series  worst   hours   OOMs  per 1,000 h  yields")
        for name in ("overnight", "one_look", "worst_case", "clairvoyant"):
            if name in part:
                _show_row(name, part[name])
                for size, row in part[name]["by_size"].items():
                    _show_row(f"  {size}", row)
    for row in figures.get("curve", []):
        print(", ".join(f"{key} {value}" for key, value in row.items()))
    if "missed" in figures:
        print(f"\naim: no OOM at >= {SHARE_AIM:.0%} of the clairvoyant's hours:", figures["missed"] or "MET")


def _show_row(name: str, row: dict) -> None:
    mean, worst = (f"{row[key]:.3f}" if row.get(key) is not None else "" for key in ("mean_series", "worst_series"))
    share = "" if row["share_of_clairvoyant"] is None else f"{row['share_of_clairvoyant']:.3f}"
    per = "" if row["ooms_per_1000_job_hours"] is None else f"{row['ooms_per_1000_job_hours']:.2f}"
    print(
        f"{name:44} {share:5}  {mean:>11}  {worst:>5} {row['hours']:7.1f} {row['ooms']:6} {per:>12} {row['yields']:7}"
    )


def missed(overnight: dict) -> list[str]:
    found = ["overnight.ooms"] if overnight["ooms"] else []
    share = overnight["share_of_clairvoyant"]
    return found + (["overnight.share_of_clairvoyant"] if share is None or share < SHARE_AIM else [])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--series", help="a file of series (gzip, CSV: series, minute, used_gib)")
    parser.add_argument("--quick", action="store_true", help="two series: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--half", choices=("fit", "report"), default="report", help="which half of the series")
    parser.add_argument("--caution", type=float, nargs="+", help="only the share against OOMs, at these cautions")
    arguments = parser.parse_args()
    source, series = chosen(arguments.series, arguments.half, arguments.quick)
    before = time.perf_counter()
    figures: dict[str, object] = {
        "machine": machine(Path.cwd()),
        "series": f"{len(series)} of {source}",
        "rules": vars(RULES),
    }
    if arguments.caution:
        straight = {name: Track(linear(minutes)) for name, minutes in series.items()}
        figures["curve"] = curve(straight, arguments.caution)
    else:
        figures |= measure(series)
        if "GENERATED" not in source:
            figures["missed"] = missed(figures["overnight"])
    figures["took_s"] = round(time.perf_counter() - before, 1)
    figures["machine"]["load_1min_at_end"] = load()
    if arguments.json:
        json.dump(figures, sys.stdout, indent=2)
        print()
    else:
        show(figures)
    return 1 if figures.get("missed") else 0


if __name__ == "__main__":
    sys.exit(main())
