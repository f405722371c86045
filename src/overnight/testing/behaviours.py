"""What the functions and commands of the executors' conformance suite do."""

import sys
import time

from overnight.base.ports import RunContext

_PATIENCE_S = 30.0
_STEP_S = 0.005


def succeed(number: int = 1) -> dict[str, int]:
    """Return the argument."""
    print(f"printed {number}")  # noqa: T201 - output is what is tested
    return {"number": number}


def fail() -> None:
    """Raise with a message of two lines."""
    raise RuntimeError("went\nwrong")


def report(ctx: RunContext) -> None:
    """Report progress."""
    ctx.progress(3, 7)


def wait_for_stop(ctx: RunContext) -> str:
    """Say that it runs, and go on until somebody asks it to stop."""
    ctx.progress(0)
    for _ in range(int(_PATIENCE_S / _STEP_S)):
        if ctx.cancelled:
            return "stopped"
        time.sleep(_STEP_S)
    return "nobody stopped it"


def command(name: str, number: int = 1) -> list[str]:
    """Return the argument list of a command that does the same as the function `name`."""
    programs = {
        "succeed": f"print('printed {number}'); print('{{\"number\": {number}}}')",
        "fail": "import sys; sys.exit('went\\nwrong')",
        "report": 'print(\'{"progress": {"done": 3, "total": 7}}\')',
        "wait_for_stop": 'import time; print(\'{"progress": {"done": 0}}\', flush=True); time.sleep(30)',
    }
    return [sys.executable, "-I", "-S", "-c", programs[name]]
