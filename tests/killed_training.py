"""What tests of resumed trainings share: who looks on, who asks for a stop, and a child that is killed."""

import signal
import subprocess
import sys
from pathlib import Path

from overnight.training.run import Watch

TESTS = Path(__file__).parent


def watching(asked=lambda: False, told=None):
    told = [] if told is None else told
    return Watch(
        tell=told.append,
        epoch_done=lambda _: None,
        saved=lambda *_: None,
        asked=asked,
        now_s=iter(range(10**6)).__next__,
    )


def after(number):
    """Ask for a stop after so many batches."""
    left = iter([False] * number + [True])
    return lambda: next(left)


# The program of a child that kills itself: at the n-th call of a function that a checkpoint makes on its way to disk.
KILLED = """
import importlib, os, pathlib, signal, sys
sys.path.insert(0, {tests!r})
from killed_training import watching
from overnight.training.checkpoints import Checkpoints
from overnight.training.run import train
folder, place, number = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
module = importlib.import_module(sys.argv[4])
trainer = module.prepared()
calls = 0
def deadly(function, before):
    def call(*given, **more):
        global calls
        calls += 1
        if calls == number and before:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = function(*given, **more)
        if calls == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer
    return call
if place == "half written":
    real = os.fdopen
    class Half:
        def __init__(self, file): self.file = file
        def __enter__(self): return self
        def __exit__(self, *error): self.file.close()
        def write(self, data):
            global calls
            calls += 1
            if calls == number:
                self.file.write(data[: len(data) // 2]); self.file.flush(); os.kill(os.getpid(), signal.SIGKILL)
            return self.file.write(data)
        def flush(self): self.file.flush()
        def fileno(self): return self.file.fileno()
    os.fdopen = lambda *given, **more: Half(real(*given, **more))
elif place == "written, not forced to disk":
    os.fsync = deadly(os.fsync, True)
elif place == "between write and rename":
    pathlib.Path.replace = deadly(pathlib.Path.replace, True)
elif place == "renamed":
    pathlib.Path.replace = deadly(pathlib.Path.replace, False)
elif place == "removing":
    pathlib.Path.unlink = deadly(pathlib.Path.unlink, False)
elif place == "in a batch":
    type(trainer).train_batch = deadly(type(trainer).train_batch, False)
train(trainer, module.PLAN, Checkpoints(folder=folder, token=1, keep=1), watching())
"""


def train_and_be_killed(folder, place, number, *, module):
    """Train what the module's `prepared()` returns by its `PLAN` in a child, and see it die at that instant.

    `place` is one of those in the program, and `number` how often that was passed.
    """
    child = [sys.executable, "-c", KILLED.format(tests=str(TESTS)), str(folder), place, str(number), module]
    ended = subprocess.run(child, capture_output=True, text=True, timeout=120)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
