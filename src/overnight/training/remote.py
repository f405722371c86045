"""A training on the host of a pool, driven from here: `python -m overnight.training.remote FOLDER TOKEN`.

A command run. It brings the machine up where the pool says how, starts `training.remote_child` there over ssh, sends
what the job reads, prints the progress as JSON lines, takes each checkpoint as it is made, and at the end the model.
The last line is the result, as a training here returns it, or the error. On SIGTERM the host writes a checkpoint, which
is taken too.
"""

import json
import os
import queue
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO

from overnight.base.argv import filled
from overnight.base.clock import SystemClock
from overnight.base.errors import OvernightError, PermanentError, TransientError, UserMistake, family_of, said_by
from overnight.base.files import sync_folder
from overnight.base.settings import environment
from overnight.processes.call import CallFailed, call
from overnight.processes.spawn import Child, spawn
from overnight.training.checkpoints import Checkpoints
from overnight.training.experiences import paths_in
from overnight.training.freight import Broken, Message, Receiver, Sender, digest_of, inside
from overnight.training.model_job import EPOCHS, EXPERIENCES, MODEL
from overnight.training.remote_child import JOB, program_version

ORDER = "remote.json"
"""In the job's folder: what is trained, and where; the fields of an `Order`."""
ARRIVED = ".arrived"
"""In the job's folder: what came from the host and is not in its place yet."""
_ASK_AGAIN_S = 2.0
_LOOK_EVERY_S = 0.2
_SSH_FAILED = 255
_LEAVE_S = 2.0
_TAIL = 4000
# OpenSSH keeps to this: without it, a stop that reaches the whole tree would cut the line before the checkpoint came.
_DEAF = ("sh", "-c", "trap '' TERM; exec \"$@\"", "sh")


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is trained where. Commands are lists of words; seconds and USD an hour."""

    job: Mapping[str, Any]  # Any: JSON, the fields of a `model_job.Job`
    memory_gb: float
    name: str
    """Of the machine and of the job's folder there: the same for all tries of a job, and no other job's."""
    pool: str
    ssh: Sequence[str]
    python: str
    folder: str
    up: Sequence[str]
    ready: Sequence[str]
    timeout_s: float
    silence_s: float
    max_hours: float | None
    price_per_hour: float | None
    """None where the price is not known, or is paid for the machine and not for the training."""


def words(template: Sequence[str], *, name: str, job_id: str, max_hours: float | None) -> list[str]:
    """Return a command of a pool with {name}, {job_id} and {max_hours} put in."""
    hours = "" if max_hours is None else f"{max_hours:g}"
    return filled(template, {"name": name, "job_id": job_id, "max_hours": hours})


def main() -> None:
    """Drive the training of the job in this folder; the exit code is 0 where its model is there."""
    folder, token = Path(sys.argv[1]), int(sys.argv[2])
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    order = Order(**json.loads((folder / ORDER).read_text()))
    drive = Drive(order=order, folder=folder, token=token, asked=stop.is_set)
    clock = SystemClock()
    began_s = clock.monotonic()
    try:
        said: Message = drive.perform()
    except (OvernightError, OSError) as error:
        said = {"error": {"family": family_of(error), "type": type(error).__name__, "message": said_by(error)}}
    usage = dict(drive.usage)
    if order.price_per_hour is not None:
        usage["cost"] = order.price_per_hour * (clock.monotonic() - began_s) / 3600
    _print({**said, **({"usage": usage} if usage else {})})
    sys.exit(1 if "error" in said else 0)


def _print(message: Message) -> None:
    sys.stdout.write(f"{json.dumps(message)}\n")
    sys.stdout.flush()


@dataclass(kw_only=True)
class Drive:
    """One try."""

    order: Order
    folder: Path
    token: int
    asked: Callable[[], bool]
    usage: Message = field(default_factory=dict)
    """What the host says that it took."""

    def perform(self) -> Message:
        """Train, and return what was measured.

        Raises:
            UserMistake: the host's Overnight is not this one, or the job reads what cannot be sent.
            TransientError: the machine did not come up, or the connection was lost; the next try goes on from the
                newest checkpoint.
            OvernightError: the training's own failure.
        """
        job = self.order.job
        checkpoints = Checkpoints(folder=self.folder, token=self.token, keep=job["keep_checkpoints"])
        checkpoints.take()
        self._bring_up()
        self._say("connecting")
        with _Connection(self.order, self._command(self.order.ssh), self.folder / ARRIVED, self.asked) as line:
            try:
                answer = self._train(line, checkpoints)
            except Broken as error:
                raise line.lost() from error
            self._take_model(answer["model"], checkpoints)
            with suppress(Broken):
                line.sender.tell({"done": True})
        return {**answer["result"], "pool": self.order.pool}

    def _train(self, line: "_Connection", checkpoints: Checkpoints) -> Message:
        _check_version(self.order, line.hello())
        self._send(line)
        answer = self._follow(line, checkpoints)
        self.usage = answer.get("usage", {})
        if "error" in answer:
            raise _error_of(answer["error"])
        return answer

    def _say(self, step: str) -> None:
        epochs = self.order.job["epochs"]
        _print({"progress": {"done": 0, "total": epochs, "phase": "preparing", "total_epochs": epochs, "step": step}})

    def _command(self, template: Sequence[str]) -> list[str]:
        order = self.order
        return words(template, name=order.name, job_id=str(order.job["job_id"]), max_hours=order.max_hours)

    def _bring_up(self) -> None:
        clock, order, env = SystemClock(), self.order, environment()
        if order.up:
            self._say("bringing the machine up")
            sys.stdout.write(call(self._command(order.up), env=env, timeout_s=order.timeout_s, asked=self.asked) + "\n")
        if not order.ready:
            return
        self._say("waiting until the machine is ready")
        until = clock.monotonic() + order.timeout_s
        while True:
            left_s = until - clock.monotonic()
            try:
                call(self._command(order.ready), env=env, timeout_s=max(1.0, left_s), asked=self.asked)
                return
            except CallFailed as error:
                if self.asked() or left_s <= _ASK_AGAIN_S:
                    raise TransientError(
                        f"pool {order.pool!r} is not ready after {order.timeout_s:g} s: {error}"
                    ) from error
            threading.Event().wait(_ASK_AGAIN_S)

    def _send(self, line: "_Connection") -> None:
        cargo = self._cargo()
        line.sender.tell(
            {
                "root": f"{self.order.folder}/{self.order.name}",
                "job": dict(self.order.job),
                "token": self.token,
                "memory_gb": self.order.memory_gb,
                "files": [[name, digest_of(path)] for name, path in cargo.items()],
            }
        )
        answer = line.next_of("want")
        for name in answer["want"]:
            line.sender.ship(name, cargo[name])

    def _cargo(self) -> dict[str, Path]:
        """Return what the job reads there, by its name there: the project's modules and files, data, checkpoints."""
        here = Path()
        cargo = {path.as_posix(): path for path in modules_below(here)}
        with (self.folder / EXPERIENCES).open("rb") as lines:
            for name in {name for one in lines for name in paths_in(json.loads(one))}:
                cargo[Path(name).as_posix()] = _sendable(name)
        own = [self.folder / EXPERIENCES, *(path for path in self.folder.glob("epoch_*") if path.suffix != ".tmp")]
        own += [path for path in (self.folder / "program").rglob("*") if path.is_file()]
        return cargo | {f"{JOB}/{path.relative_to(self.folder).as_posix()}": path for path in own}

    def _follow(self, line: "_Connection", checkpoints: Checkpoints) -> Message:
        """Pass on the progress and take what comes, until the training there has ended; return what came of it."""
        while True:
            message = line.next()
            if "progress" in message:
                _print(message)
            elif "file" in message:
                self._put(str(message["file"]), checkpoints)
            elif "result" in message or "error" in message:
                return message

    def _put(self, name: str, checkpoints: Checkpoints) -> None:
        arrived = self.folder / ARRIVED
        if name.startswith("epoch_") and name.endswith(".json") and (arrived / name).with_suffix(".npz").exists():
            checkpoints.adopt(name.removesuffix(".json"), arrived)
        elif name == EPOCHS or name.startswith("program/"):
            with checkpoints.alone():
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                (arrived / name).replace(self.folder / name)

    def _take_model(self, names: Sequence[str], checkpoints: Checkpoints) -> None:
        made = self.folder / ARRIVED / MODEL
        lacking = [name for name in names if not inside(self.folder / ARRIVED, name).is_file()]
        if lacking or not names:
            raise TransientError(f"the model did not arrive: {', '.join(lacking) or 'it has no files'}")
        with checkpoints.alone():
            shutil.rmtree(self.folder / MODEL, ignore_errors=True)
            made.rename(self.folder / MODEL)
            sync_folder(self.folder)


def _error_of(told: Mapping[str, Any]) -> OvernightError:  # Any: JSON
    """Return the failure of a training elsewhere, of the same family."""
    kinds: dict[str, type[OvernightError]] = {"user": UserMistake, "permanent": PermanentError}
    return kinds.get(str(told.get("family")), TransientError)(str(told.get("message")))


def modules_below(folder: Path) -> list[Path]:
    """Return the Python files of a project, without those of its hidden folders and virtual environments."""
    found: list[Path] = []
    waiting = [folder]
    while waiting:
        for path in sorted(waiting.pop().iterdir()):
            if path.is_symlink() or path.name.startswith(".") or path.name == "__pycache__":
                continue
            if path.is_dir() and not (path / "pyvenv.cfg").exists():
                waiting.append(path)
            elif path.suffix == ".py":
                found.append(path)
    return found


def _sendable(name: str) -> Path:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts:
        raise UserMistake(
            f"the experiences name {name!r}: a pool gets only files below the project's folder, by such names"
        )
    if not path.is_file():
        raise UserMistake(f"the experiences name {name!r}, which is not there")
    return path


def _check_version(order: Order, hello: Message) -> None:
    there, here = hello.get("version"), program_version()
    if there != here:
        raise UserMistake(
            f"pool {order.pool!r} has overnight {there}, and this is {here}; "
            f"run there: {order.python} -m pip install overnight=={here}"
        )


class _Connection:
    """ssh to the host, and the training behind it. What the host prints goes to standard error."""

    def __init__(self, order: Order, ssh: Sequence[str], arrived: Path, asked: Callable[[], bool]) -> None:
        self._order, self._asked, self._told = order, asked, False
        self._argv = [*_DEAF, *ssh, shlex.join([order.python, "-m", "overnight.training.remote_child"])]
        self._clock = SystemClock()
        self._messages: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._heard_s = self._clock.monotonic()
        self._greeted = self._silent = False
        self._over = threading.Event()
        self._tail = b""
        self._arrived = arrived
        shutil.rmtree(arrived, ignore_errors=True)
        arrived.mkdir(parents=True)

    def __enter__(self) -> "_Connection":
        pipes = [os.pipe() for _ in range(3)]
        (input_, to_host), (from_host, output), (said, errors) = pipes
        try:
            self._child = spawn(self._argv, env=environment(), stdin=input_, stdout=output, stderr=errors)
        except BaseException:
            for number in (to_host, from_host, said):
                os.close(number)
            raise
        finally:
            for number in (input_, output, errors):
                os.close(number)
        self._to_host = os.fdopen(to_host, "wb")
        self.sender = Sender(self._to_host)
        self._child.go()
        self._threads = [
            threading.Thread(target=self._read, args=(os.fdopen(from_host, "rb"),), name="read"),
            threading.Thread(target=self._overhear, args=(os.fdopen(said, "rb", buffering=0),), name="overhear"),
            threading.Thread(target=self._mind, args=(self._child,), name="mind"),
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._threads[2].join()
        # The end of its input tells the host that nobody waits for it.
        with suppress(OSError):
            self._to_host.close()
        self._child.end(_LEAVE_S)
        self._child.wait()
        for thread in self._threads:
            thread.join()

    def hello(self) -> Message:
        """Return the first word of the host.

        Raises:
            UserMistake: Overnight does not start there.
            TransientError: it cannot be reached.
        """
        return self.next_of("hello")["hello"]  # type: ignore[no-any-return]  # JSON

    def next_of(self, key: str) -> Message:
        """Return the next message that has the key; files and words of life before it are passed over."""
        while True:
            message = self.next()
            if key in message:
                return message
            if "error" in message:
                raise _error_of(message["error"])

    def next(self) -> Message:
        """Return the next message, and pass on a wish to stop."""
        while True:
            if self._asked() and not self._told:
                self._told = True
                if not self._greeted:
                    raise TransientError("the training was asked to stop before it began there")
                self.sender.tell({"stop": True})
            try:
                message = self._messages.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            if message is None:
                raise self.lost()
            self._greeted = True
            return message

    def lost(self) -> OvernightError:
        """Return why nothing comes any more, as the failure of this try."""
        self._over.set()
        self._threads[2].join()
        self._child.end(_LEAVE_S)
        self._child.wait()
        said = " ".join(self._tail.decode(errors="replace").split())[-400:]
        pool = self._order.pool
        if self._silent:
            return TransientError(
                f"pool {pool!r} said nothing for {self._order.silence_s:g} s (pools.{pool}.silence_s)"
            )
        if self._greeted:
            return TransientError(f"the connection to pool {pool!r} was lost: {said or self._child.describe_exit()}")
        if self._child.error is not None or self._child.exit in ({"code": _SSH_FAILED}, None):
            return TransientError(f"pool {pool!r} cannot be reached: {said or self._child.describe_exit()}")
        return UserMistake(
            f"overnight does not start on pool {pool!r}: {said or self._child.describe_exit()}; "
            f"run there: {self._order.python} -m pip install overnight=={program_version()}"
        )

    def _read(self, pipe: BufferedReader) -> None:
        """Read what the host sends until there is no more."""
        with pipe:
            receiver = Receiver(_Ear(pipe, self._hear), lambda name: inside(self._arrived, name))  # type: ignore[arg-type]
            try:
                while (message := receiver.next()) is not None:
                    if "alive" not in message:
                        self._messages.put(message)
            except (Broken, OSError, ValueError) as error:
                self._tail += f"\n{said_by(error)}".encode()
            self._messages.put(None)

    def _hear(self) -> None:
        self._heard_s = self._clock.monotonic()

    def _overhear(self, pipe: BinaryIO) -> None:
        """Pass on what the host prints."""
        with pipe:
            while piece := pipe.read(65_536):
                self._tail = (self._tail + piece)[-_TAIL:]
                os.write(2, piece)

    def _mind(self, child: Child) -> None:
        """Cut a line on which nothing comes any more: the network may have gone without a word."""
        while not self._over.wait(_LOOK_EVERY_S):
            if self._clock.monotonic() - self._heard_s > self._order.silence_s:
                self._silent = True
                child.end(0)
                return


class _Ear:
    """A pipe that tells whenever something came over it."""

    def __init__(self, pipe: BufferedReader, heard: Callable[[], None]) -> None:
        self._pipe, self._heard = pipe, heard

    def read(self, size: int) -> bytes:
        """Read up to so many bytes, as soon as there are some."""
        piece = self._pipe.read1(size)
        self._heard()
        return piece

    def readline(self, size: int) -> bytes:
        """Read a line."""
        line = self._pipe.readline(size)
        self._heard()
        return line


if __name__ == "__main__":
    main()
