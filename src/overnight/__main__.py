"""`python -m overnight`, and the command `overnight`."""

import sys


def main() -> int:
    """Run the command line and return its exit code."""
    from overnight.cli.app import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
