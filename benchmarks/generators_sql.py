"""What questions in SQL and regular expressions cost: samples a second of one core, and how many forms they have.

    python benchmarks/generators_sql.py [--quick] [--json]

Each sample is drawn and checked as in a campaign: SQL by SQLite and DuckDB over the same rows, expressions by `re` over
texts of both kinds. The second of processor time is what counts, as other programs on the machine do not change it by
much; beside it stands what running the same queries costs without us (each once on SQLite and once on DuckDB), and the
same expressions (each compiled once). A skeleton is a query or an expression with its names, texts and numbers
replaced; of one skeleton at most 5 samples are counted as usable.
"""

import argparse
import re
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from rig import machine, show

from overnight.campaigns.generators.regex_tasks import RegexTasks
from overnight.campaigns.generators.sql_engines import Databases
from overnight.campaigns.generators.sql_rows import filled
from overnight.campaigns.generators.sql_schemas import schemas
from overnight.campaigns.generators.sql_tasks import SqlTasks
from overnight.campaigns.ports import Draft, Generator

SAMPLES = {"sql_tasks": 12_000, "regex_tasks": 12_000}
AIMS = {"sql_tasks": 1_500, "regex_tasks": 1_500}
"""Skeletons of the accepted samples."""
A_SKELETON = 5


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(generator: Generator, count: int) -> tuple[dict[str, object], list[Draft]]:
    """Draw and check this many samples, from all cells in turn; return the accepted ones too."""
    cells = generator.cells()
    for cell in cells:  # rows and engines are made once
        generator.check(generator.draft(cell, count))
    faults: Counter[str] = Counter()
    skeletons: Counter[str] = Counter()
    accepted: list[Draft] = []
    began, cpu_began = time.perf_counter(), time.process_time()
    for number in range(count):
        draft = generator.draft(cells[number % len(cells)], number // len(cells))
        fault = "none found" if draft is None else generator.check(draft).fault
        if draft is None or fault:
            faults[str(fault)] += 1
            continue
        skeletons[draft.skeleton] += 1
        accepted.append(draft)
    cpu_s, seconds = time.process_time() - cpu_began, time.perf_counter() - began
    figures: dict[str, object] = {
        "drafts": count,
        "accepted": len(accepted),
        "accepted_per_cpu_s": len(accepted) / cpu_s,
        "accepted_per_s": len(accepted) / seconds,
        "skeletons": len(skeletons),
        "usable": sum(min(A_SKELETON, held) for held in skeletons.values()),
        "refused": dict(faults),
        "peak_mb": peak_mb(),
    }
    return figures, accepted


def raw_sql(drafts: list[Draft]) -> float:
    """Return the queries a second of processor time that both engines answer, one after the other."""
    databases = {name: Databases(filled(schema, 0)) for name, schema in schemas().items()}
    for at in databases.values():
        at.duckdb("SELECT 1")
    began = time.process_time()
    for draft in drafts:
        at = databases[draft.facts["schema"]]
        at.sqlite(draft.facts["sql"])
        at.duckdb(draft.facts["sql"])
    return len(drafts) / (time.process_time() - began)


def raw_regex(drafts: list[Draft]) -> float:
    """Return the expressions a second of processor time that are compiled."""
    re.purge()
    began = time.process_time()
    for draft in drafts:
        re.compile(draft.messages[-1].content)
    return len(drafts) / (time.process_time() - began)


def figures(quick: bool) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for generator, raw in ((RegexTasks(), raw_regex), (SqlTasks(), raw_sql)):
        count = SAMPLES[generator.name] // (10 if quick else 1)
        told, accepted = measure(generator, count)
        told["raw_per_cpu_s"] = raw(accepted[:2000])
        told["share_of_raw"] = told["accepted_per_cpu_s"] / told["raw_per_cpu_s"]  # type: ignore[operator]
        told["missed"] = ["skeletons"] if told["skeletons"] < AIMS[generator.name] and not quick else []  # type: ignore[operator]
        found[generator.name] = told
    return found


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the samples: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, dict[str, object]] = {"machine": machine(Path(folder))}
    result |= figures(options.quick)
    show(result, as_json=options.json)
    return int(any(section.get("missed") for section in result.values()))


if __name__ == "__main__":
    sys.exit(main())
