"""How long a killed project needs until it works again: from the start of the next process to its first run.

A process works on a queue and is killed with SIGKILL in the middle; the same program is started again, and the first
function of a run that it begins notes the time. Starting Python and importing everything count.

Run by engine.py; as a program: engine_resume.py FOLDER URL.
"""

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import overnight

QUEUE = 500
MARKS = "marks.txt"


def mark(folder: str) -> None:
    """Note the process and the time, then take a moment."""
    with (Path(folder) / MARKS).open("a") as file:
        file.write(f"{os.getpid()} {time.monotonic()}\n")
    time.sleep(0.02)


def work(folder: str, url: str) -> None:
    """Open the project and work on its queue; the first process fills it."""
    overrides = {"engine.max_concurrent": 4} | ({"engine.database": url} if url else {})
    with overnight.Project.create(folder, overrides=overrides) as project:
        project.add_task(overnight.Task(task_id="mark", action=mark, executor="thread", max_concurrent=None))
        if not (Path(folder) / MARKS).exists():
            for _ in range(QUEUE):
                project.submit("mark", {"folder": folder})
        project.run()


def marks(folder: Path, pid: int) -> list[float]:
    """Return the times that a process has noted."""
    path = folder / MARKS
    lines = path.read_text().splitlines() if path.exists() else []
    return [float(at) for number, at in map(str.split, lines) if int(number) == pid]


def resume_ms(place: Path, url: str | None, kills: int) -> list[float]:
    """Return the milliseconds from each start after a SIGKILL to the first run of the new process."""
    seen = []
    with tempfile.TemporaryDirectory(dir=place) as name:
        folder = Path(name)
        for turn in range(kills + 1):
            began = time.monotonic()
            process = subprocess.Popen([sys.executable, __file__, name, url or ""])
            while len(noted := marks(folder, process.pid)) < 5:
                time.sleep(0.002)
            if turn:
                seen.append(1000 * (noted[0] - began))
            process.send_signal(signal.SIGKILL)
            process.wait()
    return seen


if __name__ == "__main__":
    work(*sys.argv[1:])
