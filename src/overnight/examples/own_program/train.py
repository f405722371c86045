"""A training program that knows nothing of Overnight: it learns to turn one thermometer's reading into another's.

A line by stochastic gradient descent, in plain Python. After each epoch it writes down where it is, and on SIGTERM it
leaves after the epoch under way; with --resume it goes on from there.
"""

import argparse
import json
import random
import signal
import sys
from pathlib import Path

RATE = 0.05
SCALE = 100.0


def main() -> None:
    """Train, print a line for each epoch, write the model."""
    options = arguments()
    rows, held_out = points(options.data), points(options.validation)
    place = options.checkpoints / "place.json"
    start, slope, offset = 0, 0.0, 0.0
    if options.resume and place.exists():
        start, slope, offset = json.loads(place.read_text())
    leaving = []
    signal.signal(signal.SIGTERM, lambda *_: leaving.append(True))
    for epoch in range(start + 1, options.epochs + 1):
        random.Random(options.seed + epoch).shuffle(rows)
        loss = 0.0
        for x, y in rows:
            miss = slope * x + offset - y
            loss += miss * miss / len(rows)
            slope, offset = slope - RATE * miss * x, offset - RATE * miss
        misses = [abs(slope * x + offset - y) for x, y in held_out]
        error = sum(miss * miss for miss in misses) / max(1, len(misses))
        close = sum(miss * SCALE < 1 for miss in misses) / max(1, len(misses))
        print(f"epoch {epoch}: loss {loss:.6f}, held out {error:.6f}, within a degree {close:.3f}", flush=True)
        replace(place, [epoch, slope, offset])
        if leaving:
            sys.exit(75)
    replace(options.model / "line.json", {"slope": slope, "offset": offset * SCALE})


def arguments() -> argparse.Namespace:
    """Return what the program was called with."""
    parser = argparse.ArgumentParser()
    for name in ("data", "validation", "checkpoints", "model"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true")
    return parser.parse_args()


def points(path: Path) -> list[tuple[float, float]]:
    """Return (reading, wanted reading) of each line, both as shares of 100 degrees."""
    rows = (json.loads(line) for line in path.read_text().splitlines())
    return [(row["input"] / SCALE, row["expected_output"] / SCALE) for row in rows]


def replace(path: Path, value: object) -> None:
    """Write JSON so that the file is the old one or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(".new")
    new.write_text(json.dumps(value))
    new.replace(path)


if __name__ == "__main__":
    main()
