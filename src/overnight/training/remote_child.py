"""A training on the host of a pool: takes a job from its standard input, trains it, and sends back what it makes.

Started over ssh by `training.remote`. The connection is the job's life: where it ends, the training writes a
checkpoint here and stops, so that nothing trains on for nobody; the next connection goes on from there. What trainers
print goes to standard error, and so into the log of the run at home.
"""

import fcntl
import os
import platform
import resource
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Any

from overnight.base.clock import SystemClock
from overnight.base.errors import OvernightError, PermanentError, TransientError, family_of, said_by
from overnight.base.ids import RunId, TaskId, Token
from overnight.base.jobs import TRAINING
from overnight.processes import table
from overnight.processes.memory import TreeMemory
from overnight.training.freight import Broken, Message, Receiver, Sender, digest_of, inside
from overnight.training.model_job import EPOCHS, MODEL, train_model

JOB = ".job"
"""Where the job's folder lies there: beside it the project's own modules and files, as at home."""
GB = 1e9
BEAT_S = 2.0
"""Between two words that this process lives."""
_SEND_EVERY_S = 0.1
_LOOK_EVERY_S = 0.5
_EPOCHS_EVERY_S = 5.0
_WAIT_FOR_OTHER_S = 30.0
_WAIT_FOR_DONE_S = 60.0


def main() -> None:
    """Serve one connection."""
    # What anybody prints must not get between the messages.
    pipe = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    sender = Sender(pipe)
    with suppress(Broken):
        sender.tell({"hello": {"version": program_version(), "python": platform.python_version()}})
        _beat(sender)
        _serve(sys.stdin.buffer, sender)


def program_version() -> str:
    """Return the version of this program, which both ends must have."""
    return str(import_module("overnight").__version__)


def _beat(sender: Sender) -> None:
    def go() -> None:
        pause = threading.Event()
        with suppress(Broken):
            while not pause.wait(BEAT_S):
                sender.tell({"alive": True})

    threading.Thread(target=go, name="beat", daemon=True).start()


def _serve(source: Any, sender: Sender) -> None:  # Any: a binary file
    first = Receiver(source, lambda name: Path(os.devnull)).next()
    if first is None:
        return
    root = Path(first["root"]).expanduser().resolve()
    root.mkdir(parents=True, exist_ok=True)
    receiver = Receiver(source, lambda name: inside(root, name))
    try:
        with _alone(root):
            _take_in(receiver, sender, root, first["files"])
            training = _Training(first, root, receiver, sender)
            answer = training.perform()
            sender.tell(answer)
            if "result" in answer and training.arrived():
                # Nothing here is needed any longer.
                shutil.rmtree(root, ignore_errors=True)
    except Broken:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, it is told at home
        sender.tell({"error": _told(error)})


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let one process train this job here. One whose connection broke writes its place down and leaves first."""
    clock = SystemClock()
    until = clock.monotonic() + _WAIT_FOR_OTHER_S
    with (root / ".lock").open("a") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if clock.monotonic() >= until:
                    raise TransientError("an earlier try of this job still trains there") from None
                threading.Event().wait(0.1)
        yield


def _take_in(receiver: Receiver, sender: Sender, root: Path, files: list[list[Any]]) -> None:
    """Take the files of the job that are not here yet."""
    lacking = [name for name, digest in files if not _is(inside(root, name), digest)]
    sender.tell({"want": lacking})
    while lacking:
        message = receiver.next()
        if message is None:
            raise Broken("the connection ended before all files were here")
        if "file" in message:
            lacking.remove(message["file"])


def _is(path: Path, digest: str) -> bool:
    return path.is_file() and digest_of(path) == digest


def _told(error: BaseException) -> Message:
    return {"family": family_of(error), "type": type(error).__name__, "message": said_by(error)}


class _Context:
    """Implements base/ports.RunContext over the connection."""

    attempt = 1
    scheduled: datetime | None = None

    def __init__(self, token: int, sender: Sender) -> None:
        self.run_id, self.task_id, self.token = RunId(0), TaskId(TRAINING), Token(token)
        self.counts: dict[str, float] = {}
        self.stop = threading.Event()
        self._sender = sender
        self._clock = SystemClock()
        self._next_s = 0.0

    def progress(self, done: float, total: float | None = None, **figures: float | str) -> None:
        """Tell how far the work is, at most ten times a second."""
        now = self._clock.monotonic()
        if now >= self._next_s:
            self._next_s = now + _SEND_EVERY_S
            # Nobody there: the connection's end has asked for a stop already.
            with suppress(Broken):
                self._sender.tell({"progress": {"done": done, "total": total, **figures}})

    def count(self, name: str, number: float = 1) -> None:
        """Count nothing: a training produces a model."""

    @property
    def cancelled(self) -> bool:
        """True once the training is to stop."""
        return self.stop.is_set()


class _Training:
    """One training: works in this thread, while another one listens and one sends what is new."""

    def __init__(self, order: Message, root: Path, receiver: Receiver, sender: Sender) -> None:
        self._order, self._root, self._folder = order, root, root / JOB
        self._receiver, self._sender = receiver, sender
        self._context = _Context(order["token"], sender)
        self._sent = {name.removeprefix(f"{JOB}/") for name, _ in order["files"]}
        self._stamps: dict[str, tuple[int, int]] = {}
        self._epochs_at = 0.0
        self._over = threading.Event()
        self._peak = 0
        self._memory = TreeMemory(SystemClock())
        self._heard_all, self._arrived = threading.Event(), False

    def perform(self) -> Message:
        """Train; return what came of it, once all files of it are sent."""
        os.chdir(self._root)
        sys.path.insert(0, str(self._root))
        threading.Thread(target=self._listen, name="listen", daemon=True).start()
        watch = threading.Thread(target=self._watch, name="watch", daemon=True)
        watch.start()
        try:
            result = train_model(self._context, **{**self._order["job"], "folder": str(self._folder)})
            answer: Message = {"result": result}
        except OvernightError as error:
            answer = {"error": _told(error)}
        except Exception as error:  # noqa: BLE001  # told at home
            answer = {"error": _told(error)}
        finally:
            self._over.set()
            watch.join()
        self._send_new(last=True)
        if "result" in answer:
            answer["model"] = self._send_model()
        return {**answer, "usage": self._usage()}

    def arrived(self) -> bool:
        """Wait until home has the model; False where it does not say so."""
        self._heard_all.wait(_WAIT_FOR_DONE_S)
        return self._arrived

    def _listen(self) -> None:
        """Hear that the training is to stop, or that its model has arrived."""
        with suppress(Broken, OSError):
            while (message := self._receiver.next()) is not None:
                if message.get("stop"):
                    self._context.stop.set()
                if message.get("done"):
                    self._arrived = True
                    break
        self._heard_all.set()
        # Nobody reads what is printed any more, and a print that fails would end the training before its checkpoint.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for standard in (1, 2):
            os.dup2(nowhere, standard)
        self._context.stop.set()

    def _watch(self) -> None:
        """Send checkpoints as they are made, and end this process when it takes more memory than it may."""
        with suppress(Broken):
            while not self._over.wait(_LOOK_EVERY_S):
                self._send_new()
                self._measure()

    def _measure(self) -> None:
        allowed = self._order["memory_gb"]
        pids = [os.getpid(), *table.pids_below(os.getpid())]
        self._peak = used = self._memory.most_bytes(pids, allowed * GB)
        if allowed and used > allowed * GB:
            why = f"took {used / GB:.2f} GB of memory, more than memory_gb = {allowed:g}, and was stopped"
            self._sender.tell({"error": _told(PermanentError(why)), "usage": {"peak_memory_gb": used / GB}})
            os._exit(1)

    def _usage(self) -> Message:
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
        return {"cpu_s": _cpu_s(), "peak_memory_gb": max(self._peak, own) / GB}

    def _send_new(self, *, last: bool = False) -> None:
        """Send the checkpoints that home does not have, and the figures of the epochs now and then."""
        for path in sorted(self._folder.glob("epoch_*.json")):
            if path.name not in self._sent:
                # Its arrays go first, as they are written first; one that was removed meanwhile is not needed.
                with suppress(FileNotFoundError):
                    self._sender.ship(f"{path.stem}.npz", path.with_suffix(".npz"))
                    self._sender.ship(path.name, path)
                    self._sent.add(path.name)
        self._send_program_files(last=last)
        now = SystemClock().monotonic()
        if last or now >= self._epochs_at:
            self._epochs_at = now + _EPOCHS_EVERY_S
            with suppress(FileNotFoundError):
                self._sender.ship(EPOCHS, self._folder / EPOCHS)

    def _send_program_files(self, *, last: bool) -> None:
        """Send what a program of its own keeps its place in, once it has not changed between two looks."""
        for path in sorted((self._folder / "program").rglob("*")):
            with suppress(FileNotFoundError):
                name, about = path.relative_to(self._folder).as_posix(), path.stat()
                stamp = (about.st_mtime_ns, about.st_size)
                if path.is_file() and f"{name} {stamp}" not in self._sent:
                    if last or self._stamps.get(name) == stamp:
                        self._sender.ship(name, path)
                        self._sent.add(f"{name} {stamp}")
                    self._stamps[name] = stamp

    def _send_model(self) -> list[str]:
        """Send the model and return the names of its files."""
        paths = sorted(path for path in (self._folder / MODEL).rglob("*") if path.is_file())
        names = [path.relative_to(self._folder).as_posix() for path in paths]
        for name, path in zip(names, paths, strict=True):
            self._sender.ship(name, path)
        return names


def _cpu_s() -> float:
    own, waited = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + waited.ru_utime + waited.ru_stime


if __name__ == "__main__":
    main()
