"""Look once more at the few tests that failed: alone, twice, each in a process of its own.

Thousands of tests with real processes, signals and clocks run side by side on a machine that others use as well. One
that is red there and green twice alone is named here, so that somebody finds out why, and ends nobody else's work. More
than `MOST` are no accident, nor is one that fails again.
"""

import json
import subprocess
import sys
from pathlib import Path

FAILED = Path(".pytest_cache/v/cache/lastfailed")
MOST = 2


def main() -> int:
    """Return 0 when each of them is green twice."""
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if not 1 <= len(failed) <= MOST:
        return 1
    count = ["-p", "no:cacheprovider", "--cov", "--cov-append", "--cov-report="]
    for name in failed * 2:
        if subprocess.run([sys.executable, "-m", "pytest", name, *count], check=False).returncode:
            return 1
    for name in failed:
        print(f"UNSTEADY: {name} failed among the others, and passed twice alone")
    return 0


if __name__ == "__main__":
    sys.exit(main())
