"""How fast records become clean data, beside what else does it.

    python benchmarks/data.py [--quick] [--json] [--only near_duplicates|pipeline]

`pipeline`: 100,000 rows of category trend (quick: 10,000), each with a text of 10 to 20 words, become records and pass
through format, equal records, quality, near duplicates, rank and limit. One in a hundred is malformed, one in fifty has
an id that was there before, a tenth are near copies. `raw_json_s` is what it takes to write and read the rows as JSON.

`near_duplicates`: 1,000,000 texts of 10 to 20 words (quick: 100,000), drawn from a seed; words come up as often as in a
language (Zipf). A tenth are copies of an earlier text with one or two letters changed, or a word before or behind it.
Copies are planted pairs if their similarity (Jaccard, counted exactly) reaches the threshold. `recall` is the share of
these that end in one cluster, `precision` the share of the texts in a cluster that come from the text it begins with.

Beside ours stands datasketch, with as many MinHash values in the same bands, and all else ours: folding, shingles,
exact verification, clusters. Each side runs in a process of its own; `peak_mb` is that process's, of which
`texts_mb` was there before it began. Without datasketch (`make bench` installs it) its figure says so.
"""

import argparse
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import NamedTuple

from rig import machine, show

from overnight.data.judge import Answer, Rules, judge
from overnight.data.quality import scorer_of
from overnight.data.records import Origin
from overnight.text.duplicates import bands_for, near_duplicates
from overnight.text.normalise import fold
from overnight.text.shingles import jaccard, shingles

THRESHOLD = 0.85
SYLLABLES = ("ka", "lo", "mi", "ra", "ten", "sol", "vir", "una", "der", "gos", "pel", "ist", "mar", "con", "fa", "bri")
Side = Callable[[Sequence[str]], list[int]]


class Planted(NamedTuple):
    """Texts, the number of the text that each was made from (its own, where it is no copy), and the planted pairs."""

    texts: list[str]
    families: list[int]
    pairs: list[tuple[int, int]]


def planted(count: int, seed: int = 0) -> Planted:
    random = Random(seed)
    made = {"".join(random.choices(SYLLABLES, k=random.choice((1, 2, 2, 3, 3, 4)))) for _ in range(30_000)}
    words = sorted(made, key=lambda word: (len(word), word))
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    found = Planted([], [], [])
    for number in range(count):
        if number and random.random() < 0.1:
            origin = random.randrange(number)
            text = changed(found.texts[origin], random, words)
            if jaccard(shingles(fold(text)), shingles(fold(found.texts[origin]))) >= THRESHOLD:
                found.pairs.append((origin, number))
            found.families.append(found.families[origin])
        else:
            text = " ".join(random.choices(words, cum_weights=weights, k=random.randint(10, 20))).capitalize() + "."
            found.families.append(number)
        found.texts.append(text)
    return found


def changed(text: str, random: Random, words: Sequence[str]) -> str:
    way = random.randrange(4)
    if way == 0:
        return f"{random.choice(words)} {text}"
    if way == 1:
        return f"{text} {random.choice(words)}"
    for _ in range(way - 1):
        place = random.randrange(len(text))
        text = text[:place] + random.choice("aeiou") + text[place + 1 :]
    return text


def ours(texts: Sequence[str]) -> list[int]:
    return near_duplicates(texts, threshold=THRESHOLD)


def datasketch(texts: Sequence[str]) -> list[int]:
    """The same clusters by datasketch's MinHash and MinHashLSH, used as its documentation says for many texts."""
    from datasketch import MinHash, MinHashLSH

    bands = bands_for(THRESHOLD)
    index = MinHashLSH(num_perm=bands.values, params=(bands.count, bands.rows))
    found: list[int] = []
    known: dict[str, int] = {}
    folded: list[str] = []

    def tokens() -> Iterator[list[bytes]]:
        for text in known:
            yield [number.to_bytes(8, "little") for number in shingles(text)]

    for number, text in enumerate(map(fold, texts)):
        found.append(known.setdefault(text, number))
        folded.append(text)
    towards = list(range(len(texts)))
    for number, sketch in zip(known.values(), MinHash.generator(tokens(), num_perm=bands.values), strict=True):
        for other in index.query(sketch):
            first, second = sorted((first_of(towards, number), first_of(towards, other)))
            if first != second and jaccard(shingles(folded[number]), shingles(folded[other])) >= THRESHOLD:
                towards[second] = first
        index.insert(number, sketch, check_duplication=False)
    return [first_of(towards, number) for number in found]


def first_of(towards: list[int], number: int) -> int:
    while towards[number] != number:
        towards[number] = number = towards[towards[number]]
    return number


def peak_mb() -> float:
    """Return the most memory that this process has used so far, in megabytes (10^6 bytes; Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


def side(work: Side, count: int) -> dict[str, object]:
    """Run one side on planted texts, in the process that calls this."""
    case = planted(count)
    before_mb = peak_mb()
    work(case.texts[:1000])
    began, cpu_began = time.perf_counter(), time.process_time()
    found = work(case.texts)
    seconds, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    joined = [(number, first) for number, first in enumerate(found) if first != number]
    right = sum(case.families[number] == case.families[first] for number, first in joined)
    return {
        "seconds": seconds,
        "texts_per_s": count / seconds,
        "cpu_s": cpu_s,
        "peak_mb": peak_mb(),
        "texts_mb": before_mb,
        "planted_pairs": len(case.pairs),
        "recall": sum(found[left] == found[right] for left, right in case.pairs) / len(case.pairs),
        "joined": len(joined),
        "precision": right / len(joined),
    }


def near_duplicate_figures(quick: bool) -> dict[str, object]:
    count = 100_000 if quick else 1_000_000
    bands = bands_for(THRESHOLD)
    figures: dict[str, object] = {
        "texts": count,
        "threshold": THRESHOLD,
        "minhash_values": bands.values,
        "bands": bands.count,
    }
    for work in (ours, datasketch):
        if work is datasketch and find_spec("datasketch") is None:
            figures["datasketch"] = "not installed"
            continue
        # A process of its own, started afresh: memory that one side left behind must not count for the other.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            figures[work.__name__] = process.submit(side, work, count).result()
    if isinstance(theirs := figures["datasketch"], dict):
        figures["times_datasketch"] = theirs["seconds"] / figures["ours"]["seconds"]  # type: ignore[index]
    return figures


AS_OF = datetime(2026, 11, 26, tzinfo=UTC)
AIMS = {"seconds": 20.0, "peak_mb": 1_500.0}


def rows_of(count: int, seed: int = 0) -> list[tuple[str, dict[str, object]]]:
    """Return rows as a source gives them, with their places."""
    random = Random(seed)
    rows = []
    for number, text in enumerate(planted(count, seed).texts):
        views = int(10 ** random.uniform(0, 7))
        row = {
            "id": f"r{number if random.random() > 0.02 else random.randrange(number + 1)}",
            "title": " ".join(text.split()[:5]),
            "text": text,
            "views": views if random.random() > 0.01 else "many",
            "likes": int(views * random.uniform(0, 0.1)),
            "comments": int(views * random.uniform(0, 0.01)),
            "published_at": (AS_OF - timedelta(days=random.expovariate(1 / 30))).isoformat(),
            "source_url": f"https://example.org/{number}",
        }
        rows.append((f"line {number + 2}", row))
    return rows


def pass_through(count: int) -> dict[str, object]:
    """Judge the rows, in the process that calls this."""
    rows = rows_of(count)
    before_mb = peak_mb()
    began = time.perf_counter()
    json.loads(json.dumps(rows))
    raw_s = time.perf_counter() - began
    origin = Origin(source="made", platform="made", harvested_at=AS_OF.isoformat())
    rules = Rules(limit=500, threshold=6.5, minimum=20, near_duplicates=THRESHOLD)
    scorer = scorer_of("trend")
    began, cpu_began = time.perf_counter(), time.process_time()
    judged = judge([Answer(origin=origin, as_of=AS_OF, rows=rows)], rules, scorer, similar)
    seconds = time.perf_counter() - began
    return {
        "rows": count,
        "seconds": seconds,
        "rows_per_s": count / seconds,
        "cpu_s": time.process_time() - cpu_began,
        "raw_json_s": raw_s,
        "peak_mb": peak_mb(),
        "rows_mb": before_mb,
        "kept": len(judged.kept),
        "set_aside": dict(judged.statistics["set_aside"]),
    }


def similar(texts: Sequence[str], threshold: float) -> list[int]:
    return near_duplicates(texts, threshold=threshold)


def pipeline_figures(quick: bool) -> dict[str, object]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        figures = process.submit(pass_through, 10_000 if quick else 100_000).result()
    figures["missed"] = [name for name, aim in AIMS.items() if figures[name] > aim]
    return figures


SECTIONS: dict[str, Callable[[bool], dict[str, object]]] = {
    "near_duplicates": near_duplicate_figures,
    "pipeline": pipeline_figures,
}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the texts: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--only", choices=sorted(SECTIONS), help="one section only")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result: dict[str, dict[str, object]] = {"machine": machine(Path(folder))}
    for name, figures in SECTIONS.items():
        if options.only in (None, name):
            result[name] = figures(options.quick)
    show(result, as_json=options.json)
    return int(any(section.get("missed") for section in result.values()))


if __name__ == "__main__":
    sys.exit(main())
