"""How fast samples of Python are made and verified, how many there are, and how much they differ.

    python benchmarks/generators.py [--quick] [--json] [--only python_bugs|python_predict|python_doc]

Functions are those of the standard library and of the distributions below that are installed. Two processes share the
numbers of all cells: every twentieth number, spread evenly (quick: every two hundredth). `accepted` were drafted and
passed their check, `no_sample` are numbers without a sample (no mutant was noticed, or the docstring is out of date).
`acceptable` counts at most five accepted samples a skeleton. Multiply by twenty for what there is about in all.

`samples_per_core_s` is accepted samples a second of processor time, of the processes and of all that ran in their
sandboxed children; reading the source files is counted in `read_cpu_s` instead, once for each process. `goal` is what a
campaign of 34,500 samples in half an hour asks of these generators. `peak_mb` is the largest of the processes and of
their children, added up.
"""

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rig import load, machine, show

from overnight.campaigns.generators.python.workshop import Workshop
from overnight.campaigns.generators.python_bugs import PythonBugs
from overnight.campaigns.generators.python_doc import PythonDoc
from overnight.campaigns.generators.python_predict import PythonPredict

GENERATORS = {one.name: one for one in (PythonBugs, PythonPredict, PythonDoc)}
DISTRIBUTIONS = (
    "fonttools",
    "graphql-core",
    "icalendar",
    "more-itertools",
    "music21",
    "narwhals",
    "numpy",
    "packaging",
    "pandas",
    "scikit-learn",
    "scipy",
    "setuptools",
    "shapely",
    "sortedcontainers",
)
WORKERS = 2
GOAL = 10.0
MOST_OF_A_SKELETON = 5


def installed() -> list[str]:
    found = []
    for name in DISTRIBUTIONS:
        try:
            version(name)
        except PackageNotFoundError:
            continue
        found.append(name)
    return found


def cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def peak_mb() -> float:
    """Return the most memory that this process and its largest child have used (10^6 bytes; Linux counts in KiB)."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_maxrss for one in used) * 1024 / 1e6


def work(name: str, share: int, every: int) -> dict[str, object]:
    """Make and check one process's share of the samples, in the process that calls this."""
    counts: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    skeletons: Counter[str] = Counter()
    terms: dict[str, list[float]] = {}
    workshop = Workshop(installed())
    generator = GENERATORS[name](workshop)
    began, began_cpu_s = time.perf_counter(), cpu_s()
    numbers = [(cell, number) for cell in generator.cells() for number in range(generator.count(cell))]
    read_s, read_cpu_s = time.perf_counter() - began, cpu_s() - began_cpu_s
    for cell, number in numbers[share * every :: WORKERS * every]:
        draft = generator.draft(cell, number)
        counts["tried"] += 1
        if draft is None:
            counts["no_sample"] += 1
            continue
        check = generator.check(draft)
        if check.fault is not None:
            faults[check.fault] += 1
            continue
        counts["accepted"] += 1
        skeletons[draft.skeleton] += 1
        for term, value in check.terms.items():
            terms.setdefault(term, []).append(value)
    seconds = time.perf_counter() - began - read_s
    workshop.close()
    return {
        "cells": len(generator.cells()),
        "numbers": len(numbers),
        "counts": counts,
        "faults": faults,
        "skeletons": skeletons,
        "terms": terms,
        "seconds": seconds,
        "read_cpu_s": read_cpu_s,
        "cpu_s": cpu_s() - began_cpu_s - read_cpu_s,
        "peak_mb": peak_mb(),
        "left_out": getattr(generator, "left_out", {}),
        "refused": getattr(generator, "refused", Counter()),
    }


def measure(name: str, every: int) -> dict[str, object]:
    with ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn")) as processes:
        parts = list(processes.map(work, [name] * WORKERS, range(WORKERS), [every] * WORKERS))
    counts, skeletons, faults = (
        sum((part[key] for part in parts), Counter()) for key in ("counts", "skeletons", "faults")
    )
    accepted, spent_s = counts["accepted"], sum(part["cpu_s"] for part in parts)
    figures: dict[str, object] = {
        "cells": parts[0]["cells"],
        "numbers": parts[0]["numbers"],
        "tried": counts["tried"],
        "no_sample": counts["no_sample"],
        "accepted": accepted,
        "skeletons": len(skeletons),
        "acceptable": sum(min(MOST_OF_A_SKELETON, count) for count in skeletons.values()),
        "samples_per_core_s": accepted / spent_s,
        "samples_per_s": accepted / max(part["seconds"] for part in parts),
        "cpu_s": spent_s,
        "read_cpu_s": sum(part["read_cpu_s"] for part in parts),
        "peak_mb": sum(part["peak_mb"] for part in parts),
        "faults": dict(faults),
        "refused": dict(sum((part["refused"] for part in parts), Counter())),
        "left_out": {module: why for part in parts for module, why in part["left_out"].items()},
    }
    for term in sorted({term for part in parts for term in part["terms"]}):
        values = sorted(value for part in parts for value in part["terms"].get(term, []))
        figures[term] = {
            "mean": sum(values) / len(values),
            "tenth": values[len(values) // 10],
            "abstains": accepted - len(values),
        }
    figures["goal"] = GOAL
    figures["missed"] = ["samples_per_core_s"] if figures["samples_per_core_s"] < GOAL else []
    return figures


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the numbers: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", choices=sorted(GENERATORS), help="one generator only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, dict[str, object]] = {"machine": machine(Path(folder))}
    result["machine"]["distributions"] = ", ".join(f"{name} {version(name)}" for name in installed())
    for name in GENERATORS:
        if options.only in (None, name):
            result[name] = measure(name, 200 if options.quick else 20)
    result["machine"]["load_1min_at_end"] = load()
    show(result, as_json=options.json)
    return int(any(section.get("missed") for section in result.values()))


if __name__ == "__main__":
    sys.exit(main())
