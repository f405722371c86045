"""What all benchmark scripts share: which machine this is, how busy it is, and what a commit costs on its disk."""

import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path


def processor() -> str:
    """Return the name of the processor, as far as the system tells."""
    try:
        with Path("/proc/cpuinfo").open() as file:
            return next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def fsync_ms(folder: Path, count: int = 200) -> float:
    """Return the median milliseconds of one fdatasync of 4 KiB in this folder."""
    seen = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(count):
            file.write(b"x" * 4096)
            file.flush()
            before = time.perf_counter()
            os.fdatasync(file.fileno())
            seen.append(1000 * (time.perf_counter() - before))
    return statistics.median(seen)


def load() -> float:
    """Return how many programs wanted to run at once in the last minute."""
    return round(os.getloadavg()[0], 2)


def machine(folder: Path) -> dict[str, object]:
    """Return what the figures were measured on."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "system": platform.platform(),
        "load_1min": load(),
        "fsync_ms": round(fsync_ms(folder), 3),
    }


def percentile(values: list[float], share: float) -> float:
    """Return the value below which `share` of the values lie (nearest rank)."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def show(result: Mapping[str, Mapping[str, object]], *, as_json: bool) -> None:
    """Print the figures of each section, for programs or for people."""
    if as_json:
        print(json.dumps(result, indent=2))
    else:
        for name, section in result.items():
            print("\n".join([f"{name}:", *_lines(section)]))


def _lines(figures: Mapping[str, object], indent: str = "  ") -> Iterator[str]:
    for key, value in figures.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from _lines(value, indent + "  ")
        else:
            text = f"{value:,.3f}" if isinstance(value, float) else str(value)
            if isinstance(value, int) and not isinstance(value, bool):
                text = f"{value:,}"
            yield f"{indent + key:<30}{text:>18}"
