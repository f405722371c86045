"""What it costs to start: CPU time of `import overnight` and of `overnight --help`, beside a bare Python.

`import overnight` loads nothing before a name is used, so what the first use of `Project` and the opening of a project
that exists cost is measured beside it; for these there is no aim.

The CPU time (user + system) of a whole child process as the kernel counted it, median of several runs; the first one
of each kind, which may compile, is not counted. CPU time, unlike wall time, hardly depends on what else runs.

    .venv/bin/python benchmarks/start.py [--quick] [--json]
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile

from rig import processor

AIM_MS = {"import overnight": 100.0, "overnight --help": 300.0}


def commands(folder: str) -> dict[str, list[str]]:
    """Return what is measured; the last opens the project in `folder`, which its first call makes."""
    opening = f"import overnight; overnight.Project.create({folder!r}).close()"
    return {
        "python": [sys.executable, "-c", "pass"],
        "import overnight": [sys.executable, "-c", "import overnight"],
        "overnight --help": [sys.executable, "-m", "overnight", "--help"],
        "overnight.Project": [sys.executable, "-c", "import overnight; overnight.Project"],
        "open a project": [sys.executable, "-c", opening],
    }


def cpu_ms(command: list[str]) -> float:
    """Run the command and return the CPU milliseconds that it and its children used."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        sys.exit(f"{' '.join(command)} ended with {child.returncode}")
    return 1000 * (usage.ru_utime + usage.ru_stime)


def measure(runs: int) -> dict[str, float]:
    """Return the median CPU time of each command in milliseconds; the commands take turns."""
    with tempfile.TemporaryDirectory() as folder:
        measured = commands(folder)
        for command in measured.values():
            cpu_ms(command)
        seen: dict[str, list[float]] = {name: [] for name in measured}
        for _ in range(runs):
            for name, command in measured.items():
                seen[name].append(cpu_ms(command))
    return {name: statistics.median(values) for name, values in seen.items()}


def main() -> int:
    """Measure, print, and return 1 when an aim is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 runs instead of 15")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    runs = 3 if options.quick else 15
    total_ms = measure(runs)
    over_python_ms = {name: value - total_ms["python"] for name, value in total_ms.items() if name != "python"}
    result = {
        "cpu_ms": total_ms,
        "over_python_ms": over_python_ms,
        "aim_ms": AIM_MS,
        "runs": runs,
        "python": platform.python_version(),
        "system": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        print(f"Python {result['python']}, {result['system']}, {result['processor']}, {result['cores']} cores,")
        print(f"load {result['load']:.1f}, median of {runs} runs, CPU time")
        print(f"{'bare python':<20}{total_ms['python']:8.1f} ms")
        for name, value in over_python_ms.items():
            aim = f"; aim {AIM_MS[name]:.0f} ms" if name in AIM_MS else ""
            print(f"{name:<20}{value:8.1f} ms over that{aim}")
    return int(any(over_python_ms[name] > aim for name, aim in AIM_MS.items()))


if __name__ == "__main__":
    sys.exit(main())
