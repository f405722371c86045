"""Where a coding agent works and its work is looked at: folders in a sandbox, of which nothing is left afterwards.

The agent sees the system, Python with its libraries, what the settings make visible, and its workspace, which alone
(with a home folder) it can write to. Checks run what it has written; they see the same, have no network, and work in a
folder of their own. Without namespaces nothing is run.
"""

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from overnight.base.argv import filled
from overnight.base.clock import Clock
from overnight.learning.checks import Judged, ProgramCheck, unmeasured
from overnight.learning.executed import CannotExecute
from overnight.processes.call import started
from overnight.processes.limits import Limits
from overnight.processes.sandbox import Sandbox
from overnight.processes.views import walled

FILE_BYTES = 100_000_000
"""Of the largest file that an agent or a check may write."""
ANSWER_BYTES = 1_000_000
"""Of the largest file that is taken for an answer."""
COST = "usd"
"""The group of a pattern in which an agent says what it has cost."""
_KEPT = 65_536
"""Of what a program prints, the end."""
_GRACE_S = 2.0
_ENV = {
    "PATH": os.pathsep.join((str(Path(sys.executable).parent), "/usr/local/bin", "/usr/bin", "/bin")),
    "LANG": "C.UTF-8",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONHASHSEED": "0",
    # What a check says must not depend on which plug-ins happen to be installed; and they take seconds to load.
    "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
}
_NAMES = "/etc/resolv.conf"
"""Where the addresses of the name servers stand; often a link to where a sandbox does not look."""


@dataclass(frozen=True, kw_only=True)
class AgentCommand:
    """How the agent is called: `argv` with {prompt}, {workspace}, {model} and {temperature}, and what it gets.

    `environment` are variables with their values, `visible` folders that it may read, `cost` finds, in the group
    `usd`, what it says to have cost.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    visible: tuple[str, ...] = ()
    network: bool = False
    timeout_s: float = 600.0
    cost: str | None = None


@dataclass(frozen=True, kw_only=True)
class Called:
    """What came of a call: how the program ended, as in `Child.exit`, or None where it took too long."""

    exit: Mapping[str, int] | None
    printed: str
    time_s: float
    peak_bytes: int | None

    @property
    def succeeded(self) -> bool:
        """Whether it ended by itself, with code 0."""
        return self.exit == {"code": 0}


class Desk:
    """A folder with a workspace and a home. Used by one thread; whoever made the folder does away with it."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._work, self._home, self._clock = folder / "work", folder / "home", clock
        for one in (self._work, self._home):
            one.mkdir(parents=True)

    def lay_out(self, *files: Mapping[str, str]) -> None:
        """Put files into the workspace; later ones stand in for earlier ones."""
        for some in files:
            for name, content in some.items():
                path = self._work / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, encoding="utf-8", errors="surrogatepass", newline="")

    def ask(self, agent: AgentCommand, values: Mapping[str, str]) -> Called:
        """Call the agent with what its words name.

        Raises:
            CannotExecute: it cannot be started, or there are no namespaces here.
        """
        visible = [*agent.visible, *([str(Path(_NAMES).resolve().parent)] if agent.network else [])]
        view = walled(visible=visible, writable=(str(self._work), str(self._home)), network=agent.network)
        argv = filled(agent.argv, {**values, "workspace": str(self._work), "python": sys.executable})
        told = {"OVERNIGHT_MODEL": values["model"], "OVERNIGHT_TEMPERATURE": values["temperature"]}
        return self._call(argv, {**told, **agent.environment}, view.sandbox, agent.timeout_s)

    def look(self, check: ProgramCheck) -> tuple[Judged, str]:
        """Run a check; return what it says, and the end of what it printed.

        Raises:
            CannotExecute: it cannot be started, or there are no namespaces here.
        """
        view = walled(writable=(str(self._work), str(self._home)))
        argv = filled(check.command, {"python": sys.executable})
        called = self._call(argv, {}, view.sandbox, check.timeout_s)
        if called.exit is None:
            return unmeasured(f"it took longer than {check.timeout_s:g} s"), called.printed
        code = called.exit.get("code", -called.exit.get("signal", 0))
        return check.judge(code, called.printed), called.printed

    def answer(self, name: str) -> tuple[str | None, str | None]:
        """Return the text of a file that the agent has left, or None and why there is none.

        A link, or anything else that is no file of the workspace itself, is no answer, wherever it leads.
        """
        at, mode = self._work, stat.S_IFDIR
        for part in Path(name).parts:
            at = at / part
            try:
                mode = at.lstat().st_mode
            except OSError:
                return None, f"{name} is missing"
            if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
                return None, f"{name} is a link, or no file of the workspace, and is refused"
        if not stat.S_ISREG(mode):
            return None, f"{name} is no file"
        if at.stat().st_size > ANSWER_BYTES:
            return None, f"{name} has {at.stat().st_size:,} bytes; {ANSWER_BYTES:,} at the most"
        try:
            return at.read_bytes().decode(), None
        except (OSError, UnicodeDecodeError):
            return None, f"{name} is no text"

    def _call(self, argv: Sequence[str], further: Mapping[str, str], sandbox: Sandbox, timeout_s: float) -> Called:
        began_s, tail, late = self._clock.monotonic(), b"", False
        shut_in, limits = replace(sandbox, required=True), Limits(file_bytes=FILE_BYTES)
        env = {**_ENV, "HOME": str(self._home), "TMPDIR": str(self._home), **further}
        with started(argv, env=env, cwd=str(self._work), limits=limits, sandbox=shut_in) as (child, pieces):
            for piece in pieces:
                tail = (tail + piece)[-_KEPT:]
                if not late and self._clock.monotonic() >= began_s + timeout_s:
                    late = True
                    child.end(_GRACE_S)
        if child.error is not None:
            raise CannotExecute(f"{argv[0]!r} could not be started: {child.error}")
        return Called(
            exit=None if late else (child.exit or {"signal": 9}),
            printed=tail.decode(errors="replace"),
            time_s=self._clock.monotonic() - began_s,
            peak_bytes=child.peak_bytes,
        )
