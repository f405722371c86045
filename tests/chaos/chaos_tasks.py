"""What the tasks of the chaos tests do: every piece of work leaves a line on disk."""

import subprocess
import sys
import time
from pathlib import Path

from overnight.testing.chaos import append_line

# Ignores the polite request to end, and would stay for a long time.
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"
DONE = "done.txt"


def note(folder, text):
    append_line(Path(folder) / DONE, text)


def work(folder, seconds):
    """A child that starts a stubborn process of its own."""
    helper = subprocess.Popen([sys.executable, "-S", "-c", STUBBORN], stdout=subprocess.PIPE)
    helper.stdout.readline()
    time.sleep(seconds)
    helper.kill()
    helper.wait()
    helper.stdout.close()
    return "worked"


def small(folder, line):
    note(folder, line)


def three_steps(flow, folder):
    def one(name):
        note(folder, f"{flow.run_id} {name}")
        while Path(folder, f"hold {name}").exists():
            time.sleep(0.01)
        return name

    first = flow.step("first", one, "first")
    child = flow.start("work", {"folder": folder, "seconds": 0.05})
    [ended] = flow.wait(child)
    second = flow.step("second", one, "second")
    third = flow.step("third", one, "third")
    return [first, second, third, ended.value()]
