"""Runs code from elsewhere with tests of it, in a forked copy of the secluded child (`child`).

It runs in process namespaces of its own too, in which it sees no other process, so that it can send no signal to any;
when the first process in there ends, the kernel ends all others, whatever they have done to hide. Who wrote the code
can make it say that it passed its tests, since both run in one interpreter; who only made a mistake can not.
"""

import json
import os
import signal
import sys
import types
from collections.abc import Mapping
from typing import Any

from overnight.campaigns.generators.python import trial
from overnight.processes import linux

NOT_SHUT_IN = "cannot be shut in"
FAILS, RAISES = "its tests fail", "it raises an error"
_DETAIL = 400
_ENDS = {
    signal.SIGPROF: "takes too long",
    signal.SIGXCPU: "takes too long",
    signal.SIGKILL: "takes too long",
    signal.SIGXFSZ: "touches files",
}


def end_of(number: int) -> str:
    """Return the fault of what was ended by a signal."""
    return _ENDS.get(signal.Signals(number), "crashes the interpreter")


def run(order: Mapping[str, Any]) -> dict[str, Any]:
    """Run a program (`bench.Program`) and return what came of it. The process is of no use afterwards."""
    taken = trial.taken_bytes()  # in there it cannot be asked
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWPID | linux.CLONE_NEWNS)
    except OSError as error:
        return {"fault": NOT_SHUT_IN, "detail": str(error)}
    news, report = os.pipe()
    first = os.fork()
    if first == 0:
        os.close(news)
        _be_first(order, taken, report)
    os.close(report)
    with os.fdopen(news, "rb") as file:
        told = file.read()
    os.waitpid(first, 0)
    lines = told.splitlines()
    answer: dict[str, Any] = json.loads(lines[0]) if lines else {"fault": "ends the interpreter"}
    return answer


def _be_first(order: Mapping[str, Any], taken: int, report: int) -> None:
    """Be the first process in there: the kernel heeds no limit of that one, so the code runs in the second."""
    try:
        # Nothing of what other processes show there is the code's business.
        linux.mount("tmpfs", "/proc", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=4k,mode=555")
        pid = os.fork()
        if pid == 0:
            _be_program(order, taken, report)
        _, status = os.waitpid(pid, 0)
        if os.WIFSIGNALED(status):
            _tell(report, {"fault": end_of(os.WTERMSIG(status))})
    except OSError as error:
        _tell(report, {"fault": NOT_SHUT_IN, "detail": str(error)})
    finally:
        os._exit(0)


def _be_program(order: Mapping[str, Any], taken: int, report: int) -> None:
    try:
        _tell(report, _outcome(order, taken))
    finally:
        os._exit(0)


def _tell(report: int, answer: Mapping[str, Any]) -> None:
    os.write(report, json.dumps(answer).encode() + b"\n")


def _outcome(order: Mapping[str, Any], taken: int) -> dict[str, Any]:
    guard = trial.Guard(strict=True)
    names: dict[str, Any] = {"__name__": "answer"}
    sys.modules["answer"] = module = types.ModuleType("answer")  # dataclasses and pickle look there
    module.__dict__.update(names)
    stage = RAISES
    try:
        parts = [compile(order[part], f"<{part}>", "exec", dont_inherit=True) for part in ("code", "tests")]
        trial.tighten(order["cpu_s"], taken)
        sys.addaudithook(guard)
        exec(parts[0], module.__dict__)  # noqa: S102 -- what this is for
        stage = FAILS
        exec(parts[1], module.__dict__)  # noqa: S102
        for test in [value for name, value in module.__dict__.items() if name.startswith("test") and callable(value)]:
            test()
    except trial.Refused:
        pass
    except SystemExit:
        return {"fault": guard.broken or "ends the interpreter"}
    except MemoryError:
        return {"fault": guard.broken or "needs too much memory"}
    except BaseException as error:  # noqa: BLE001 -- whatever the code raises is told, and ends it
        return {"fault": guard.broken or stage, "detail": _said(error)}
    return {"fault": guard.broken}


def _said(error: BaseException) -> str:
    try:
        return f"{type(error).__name__}: {error}"[:_DETAIL].encode(errors="backslashreplace").decode()
    except Exception:  # noqa: BLE001 -- the code has broken even that
        return type(error).__name__
