"""A real daemon of a temporary project, started and stopped by the command line, as a user does."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from overnight.app.launch import DAEMON_LOCK
from overnight.app.lock import is_held

PATIENCE_S = 60.0


class Daemon:
    """A project folder and its daemon."""

    def __init__(self, folder: Path, toml: str = "", module: str = "") -> None:
        self.folder = folder
        self.state = folder / ".overnight"
        folder.mkdir(parents=True, exist_ok=True)
        # A test may open the project too, and others of its process have a module of this name.
        sys.modules.pop("work", None)
        self.write(toml, module)

    def write(self, toml: str, module: str | None = None) -> None:
        head = '[server]\nport = 0\n[project]\nname = "test"\n'
        if module or (self.folder / "work.py").exists():
            head += 'module = "work"\n'
        if module:
            (self.folder / "work.py").write_text(module)
        (self.folder / "overnight.toml").write_text(head + toml)

    def run(self, *arguments: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "overnight", "--project", str(self.folder), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env={**os.environ, "COLUMNS": "200", "PYTHONDONTWRITEBYTECODE": "1"},
        )

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, (arguments, done.stdout, done.stderr)
        return done.stdout

    def up(self, *options: str) -> str:
        return self.ok("up", *options)

    def end(self) -> None:
        if is_held(self.state / DAEMON_LOCK):
            self.run("down", "--force")

    @property
    def about(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.state / "daemon.json").read_text())
        return found

    def get(self, path: str, headers: dict[str, str] | None = None) -> tuple[int, str]:
        request = urllib.request.Request(self.about["url"] + path, headers=headers or {})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/health")[1])
        return found

    def causes(self) -> list[str]:
        return [problem["cause"] for problem in self.health()["problems"]]

    def log(self) -> str:
        return (self.state / "data" / "logs" / "master_orchestrator.log").read_text()

    def kill(self) -> None:
        """Kill it, and wait until the kernel has taken back what it held: its lock and its port."""
        os.kill(self.about["pid"], signal.SIGKILL)
        wait_for(lambda: not is_held(self.state / DAEMON_LOCK))


def wait_for(what: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """Return what the function returns once that is true."""
    until = time.monotonic() + patience_s
    while not (found := what()):
        assert time.monotonic() < until, f"not within {patience_s:g} s"
        time.sleep(0.05)
    return found
