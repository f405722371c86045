"""The program ffmpeg: where it is, and how it is run.

It is under the GPL, so it only ever runs as a process of its own. It comes with the package imageio-ffmpeg.
"""

import errno
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import NoReturn

from overnight.base.clock import SystemClock
from overnight.base.errors import ConfigError, MissingExtra
from overnight.base.settings import environment
from overnight.processes.call import started
from overnight.processes.spawn import scrubbed
from overnight.studio.errors import Died, FfmpegFailed, NoRoom, Stopped, TooSlow, Unreadable

VARIABLE = "OVERNIGHT_FFMPEG"
"""The variable that names another program than the one that comes with the extra."""
MISSING = (
    "there is no ffmpeg: pip install 'overnight[studio]' brings one, or OVERNIGHT_FFMPEG names another; "
    "without it narration is still spoken, and slides are still drawn"
)
_QUIET = ("-hide_banner", "-nostdin", "-nostats", "-y", "-progress", "pipe:1")
_PROGRESS = re.compile(r"(frame|fps|stream_\w+|bitrate|total_size|out_time\w*|\w+_frames|speed|progress|elapsed)=")
_DONE = re.compile(r"out_time_us=(\d+)")
_FULL = re.compile(r"No space left on device|Disk quota exceeded|File too large")
_UNREADABLE = re.compile(r"Error opening input file (.+?)\.?$", re.M)
_UNREADABLE_WHY = re.compile(r"Error opening input(?: files)?: (.+)")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_SAID_BYTES = 4_000_000
_GRACE_S = 2.0
_TAIL = 300


def program(variables: Mapping[str, str] | None = None) -> Path:
    """Return the path of ffmpeg: what OVERNIGHT_FFMPEG names, else imageio-ffmpeg's, else the one on PATH.

    `variables` stand for the environment.

    Raises:
        MissingExtra: there is none; the message says what to install and what still works.
        ConfigError: OVERNIGHT_FFMPEG names no program.
    """
    known = environment() if variables is None else variables
    if named := known.get(VARIABLE):
        found = shutil.which(named, path=known.get("PATH"))
        if found is None:
            raise ConfigError(f"{VARIABLE}: {named!r} is no program")
        return Path(found)
    found = _packaged() or shutil.which("ffmpeg", path=known.get("PATH", ""))
    if found is None:
        raise MissingExtra(MISSING)
    return Path(found)


def run(
    args: Sequence[str | Path],
    *,
    cwd: Path | str = ".",
    timeout_s: float = 600.0,
    cancelled: Callable[[], bool] = lambda: False,
    progress: Callable[[float], None] = lambda done_s: None,
    ffmpeg: Path | None = None,
) -> str:
    """Run ffmpeg with the arguments and return what it said, at most its last 4 MB; nothing of it is left then.

    `progress` is told how many seconds of the output are done, `cancelled` is asked about ten times a second. The last
    argument is taken for the output. What it has begun to write stays behind where this raises: see `made_whole`.

    Raises:
        MissingExtra: there is no ffmpeg.
        Unreadable: an input is not there, or is no media file.
        NoRoom: the disk is full.
        Stopped: `cancelled` said so.
        TooSlow: it took longer than `timeout_s`.
        Died: somebody has killed it.
        FfmpegFailed: anything else; the message is what it said last.
    """
    argv = [str(ffmpeg or program()), *_QUIET, *map(str, args)]
    clock, heard = SystemClock(), _Heard(progress)
    until, ended = clock.monotonic() + timeout_s, ""
    with started(argv, env=scrubbed(environment()), cwd=str(cwd)) as (child, pieces):
        for piece in pieces:
            heard.take(piece)
            if not ended and (ended := _end_of(cancelled(), clock.monotonic() >= until)):
                child.end(_GRACE_S)
    output = str(args[-1])
    said = heard.all()
    if ended == "stopped":
        raise Stopped(f"{output}: was asked to stop")
    if ended == "late":
        raise TooSlow(f"{output}: ffmpeg took longer than {timeout_s:g} s")
    if _FULL.search(said) or "SIGXFSZ" in child.describe_exit():
        raise full(output)
    if child.killed:
        raise Died(f"{output}: ffmpeg {child.describe_exit()}")
    if child.exit != {"code": 0}:
        _explain(said, output, child.describe_exit())
    return said


@contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """Give a new file of the same ending beside `path` to write to; after the block it stands in its place.

    Where the block raises, the old file stays as it was and the new one is gone.

    Raises:
        NoRoom: the disk is full.
        OSError: it cannot be written, and the error names it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    made = None
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}.", suffix=path.suffix)
        os.close(handle)
        made = Path(name)
        yield made
        made.chmod(0o644)
        with made.open("rb") as file:
            os.fsync(file.fileno())
        made.replace(path)
    except BaseException as error:
        if made is not None:
            made.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _NO_ROOM:
            raise full(path) from error
        raise


def full(path: Path | str) -> NoRoom:
    """Return the error of a disk that was full when `path` was written."""
    return NoRoom(f"{path}: the disk is full; make room, then do it again")


def _packaged() -> str | None:
    """Return imageio-ffmpeg's program without importing the package, which would start it to see whether it works."""
    spec = find_spec("imageio_ffmpeg")
    folders = (spec.submodule_search_locations or []) if spec else []
    found = (one for folder in folders for one in sorted(Path(folder, "binaries").glob("ffmpeg-*")))
    return next((str(one) for one in found if os.access(one, os.X_OK)), None)


def _end_of(stopped: bool, late: bool) -> str:
    return "stopped" if stopped else "late" if late else ""


def _explain(said: str, output: str, how: str) -> NoReturn:
    if found := _UNREADABLE.search(said):
        why = _UNREADABLE_WHY.findall(said)
        raise Unreadable(f"{found[1]}: cannot be read: {why[0] if why else 'not a media file'}")
    tail = " ".join(said.split())[-_TAIL:]
    raise FfmpegFailed(f"{output}: ffmpeg {how}{f': {tail}' if tail else ''}")


class _Heard:
    """What ffmpeg says, its lines about progress taken out."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self._progress, self._rest, self._lines, self._size = progress, b"", list[str](), 0

    def take(self, piece: bytes) -> None:
        *lines, self._rest = (self._rest + piece).split(b"\n")
        for line in lines:
            self._keep(line.decode(errors="replace").rstrip())

    def all(self) -> str:
        self.take(b"\n")
        return "\n".join(self._lines)

    def _keep(self, line: str) -> None:
        if done := _DONE.match(line):
            self._progress(int(done[1]) / 1e6)
        if not line or _PROGRESS.match(line):
            return
        self._lines.append(line)
        self._size += len(line) + 1
        while self._size > _SAID_BYTES:
            self._size -= len(self._lines.pop(0)) + 1
