"""What the ledger of a campaign costs: samples judged, compared with all that are there, and written to disk.

    python benchmarks/campaigns.py [--quick] [--json]

34,500 samples (quick: 5,000) from the source code of Python's standard library: each is a run of 12 lines as the task
and the next 6 as the answer, a tenth of them copies of earlier ones with a word changed. They come in batches of 50, as
from children that make them; each batch is judged (terms, exact and near duplicates at 0.88) and inserted in a
transaction of its own, synchronous to disk, into a new project on SQLite. `judge_s` and `write_s` are the
parts. Aim: 12 s for 34,500.
"""

import argparse
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from rig import machine, show

from overnight import Project
from overnight.campaigns import ledger
from overnight.campaigns.intake import Candidate, Intake, Terms
from overnight.campaigns.ports import Checked, Draft, Message, Origin

AIM_S = 12.0
FULL, QUICK, BATCH = 34_500, 5_000, 50


def texts(count: int) -> Iterator[tuple[str, str]]:
    """Yield tasks and answers, the same ones each time."""
    draw, before = Random(1), [("", "")]
    library = Path(sysconfig.get_path("stdlib"))
    for path in sorted(library.glob("*.py")) + sorted(library.glob("*/*.py")):
        lines = path.read_text(errors="replace").splitlines()
        for start in range(0, len(lines) - 18, 4):
            task, answer = "\n".join(lines[start : start + 12]), "\n".join(lines[start + 12 : start + 18])
            if draw.random() < 0.1:
                task, answer = draw.choice(before)
                task = task.replace("self", "this", 1)
            if len(before) < count:
                before.append((task, answer))
            yield task, answer


def candidates(count: int) -> Iterator[Candidate]:
    checked = Checked(terms={"consistency": 1.0, "groundedness": 0.9})
    for number, (task, answer) in enumerate(islice(texts(count), count)):
        messages = (Message(role="user", content=task), Message(role="assistant", content=answer))
        yield Candidate(
            origin=Origin(domain="code", generator="benchmark/1", cell=str(number % 50), number=number),
            draft=Draft(messages=messages, skeleton=answer, source={"name": "python", "licence": "PSF-2.0"}),
            checked=checked,
        )


def measure(count: int, folder: Path) -> dict[str, Any]:
    (folder / "overnight.toml").write_text("")
    intake, made = Intake(Terms()), candidates(count)
    judge_s = write_s = 0.0
    samples = 0
    with Project.open(folder) as project:
        do = project.database.writer.do
        campaign = do(lambda tx: ledger.campaign_of(tx, "benchmark"))
        while batch := list(islice(made, BATCH)):
            began = time.perf_counter()
            judged = intake.judge(batch)
            halfway = time.perf_counter()
            do(lambda tx, judged=judged: ledger.take(tx, campaign, [ledger.row_of(one, pilot=False) for one in judged]))
            judge_s, write_s = judge_s + halfway - began, write_s + time.perf_counter() - halfway
            samples += len(batch)
        with project.database.read() as connection:
            counts = ledger.counts(connection, campaign)
    total_s = judge_s + write_s
    return {
        "samples": samples,
        "accepted": sum(count.accepted for count in counts),
        "total_s": round(total_s, 2),
        "judge_s": round(judge_s, 2),
        "write_s": round(write_s, 2),
        "per_s": round(samples / total_s),
        "for_34500_s": round(total_s * FULL / samples, 2),
        "aim_s": AIM_S,
        "aim_met": total_s * FULL / samples <= AIM_S,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        found = {"machine": machine(Path(folder)), "ledger": measure(QUICK if asked.quick else FULL, Path(folder))}
    show(found, as_json=asked.json)
    return 0 if found["ledger"]["aim_met"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
