"""A folder behind ssh. Each step is one call of the client, with a line for a POSIX shell there.

What is sent is added to what has arrived, and the shell there compares the whole with its SHA-256: where a connection
breaks, what arrived is no more than the first part of a file, and stays one. Names come on standard input, so that no
shell reads them; the folder is the only word of a person in the line, and is quoted. Where a list ends too early,
nothing that follows from it is done.
"""

import io
import re
import shlex
from collections.abc import Callable, Iterable, Sequence
from typing import BinaryIO

from overnight.base.errors import OvernightError, TransientError, UserMistake
from overnight.base.settings import environment
from overnight.data.datasets import MANIFEST
from overnight.data.shipment import Found, Item, Stock, no_room, not_allowed, part_of, shown
from overnight.processes.feed import Ended, feed

SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=30", "-o", "ServerAliveInterval=15")
"""The client: it asks nobody for a password, and a connection on which nothing comes any more ends within a minute."""

_ADDRESS = re.compile(
    r"ssh://(?P<login>([A-Za-z0-9_][A-Za-z0-9_.+-]*@)?([A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+\]))"
    r"(:(?P<port>[0-9]{1,5}))?(?P<folder>/.*[^/].*)"
)
_LIFE = "overnight is here"
# Ways to end that no program of such a line has of its own.
_MANGLED, _NO_DIGESTS, _IN_THE_WAY, _FAILED, _CUT_SHORT = 71, 72, 73, 74, 75
_SSH_FAILED = 255
_NO_LOGIN = ("Permission denied", "Host key verification failed")
_FULL = ("No space left", "quota exceeded", "File too large", "File size limit")
_BLOCKED = ("File exists", "Not a directory", "Is a directory")
_DENIED = ("Permission denied", "Operation not permitted", "Read-only file system")

# One line each, without quotes and marks that other login shells take for something else.
_BEGIN = (
    f"LC_ALL=C; export LC_ALL; echo {_LIFE}; "
    'case $1 in "~/"*) d=$HOME/${1#"~/"} ;; *) d=$1 ;; esac; '
    "if command -v sha256sum >/dev/null; then s() { sha256sum | cut -c 1-64; }; "
    "elif command -v shasum >/dev/null; then s() { shasum -a 256 | cut -c 1-64; }; "
    f"else exit {_NO_DIGESTS}; fi; "
    f'mkdir -p "$d" && cd "$d" || exit {_FAILED}; '
)
# Name, temporary name and SHA-256 of each come in, a line each; a line for each goes out, and then two files, each with
# its size before it.
_LOOK = (
    "while IFS= read -r n && IFS= read -r p && IFS= read -r w; do "
    f'if [ -d "./$n" ]; then echo "a folder, $n" >&2; exit {_IN_THE_WAY}; fi; '
    "o=none; "
    'if [ -e "./$n" ]; then o=other; if [ "$(s < "./$n")" = "$w" ]; then o=whole; rm -f "./$p"; fi; fi; '
    'if [ -f "./$p" ]; then echo $o $(wc -c < "./$p") $(s < "./$p"); else echo $o; fi; '
    "done; "
    'for m in "$2" "$3"; do '
    f'if [ -e "./$m" ]; then echo $(wc -c < "./$m"); cat "./$m" || exit {_FAILED}; else echo none; fi; '
    "done"
)
_TAKE = (
    f'case $2 in */*) mkdir -p "./${{2%/*}}" || exit {_FAILED} ;; esac; '
    'if [ "$3" = 0 ]; then rm -f "./$2"; fi; '
    f'cat >> "./$2" || exit {_FAILED}; '
    f'[ "$(s < "./$2")" = "$4" ] || exit {_MANGLED}'
)
# Temporary name and name of each come in, a line each, and then an empty line.
_SETTLE = (
    "f() { sync -f . 2>/dev/null || sync; }; "
    f"IFS= read -r p || exit {_CUT_SHORT}; f; "
    f'if [ -e "./$2" ]; then mv -f "./$2" "./$4" || exit {_FAILED}; fi; '
    'while [ -n "$p" ]; do '
    f'IFS= read -r n || exit {_CUT_SHORT}; mv -f "./$p" "./$n" || exit {_FAILED}; '
    f"IFS= read -r p || exit {_CUT_SHORT}; done; "
    f'f; mv -f "./$3" "./$2" || exit {_FAILED}; rm -f "./$4"; f'
)


class Host:
    """Implements shipment.Place for "ssh://[USER@]HOST[:PORT]/FOLDER"."""

    def __init__(self, target: str, ssh: Sequence[str]) -> None:
        """Look at the address, and not yet at what is there.

        Raises:
            UserMistake: it is none.
        """
        self.shown = shown(target)
        parts = _ADDRESS.fullmatch(target)
        if parts is None or not target.isprintable():
            raise UserMistake(f'{self.shown}: is not "ssh://[USER@]HOST[:PORT]/FOLDER" (a password has no place in it)')
        port = ["-p", parts["port"]] if parts["port"] else []
        self._ssh = [*ssh, *port, parts["login"].replace("[", "").replace("]", "")]
        self._folder = parts["folder"].removeprefix("/") if parts["folder"].startswith("/~/") else parts["folder"]

    def look(self, items: Sequence[Item]) -> Stock:
        """Return what stands there."""
        asked = "".join(f"{item.name}\n{item.part}\n{item.sha256}\n" for item in items)
        output = io.BytesIO(self._done(_LOOK, MANIFEST, part_of(MANIFEST), pieces=[asked.encode()]))
        found = [_found(*output.readline().decode().split()) for _ in items]
        return Stock(found=found, manifest=_content(output), coming=_content(output))

    def send(self, item: Item, offset: int, sent: Callable[[int], None]) -> bool:
        """Add the rest of the item to its temporary file, and have the whole compared there."""
        ended = self._call(_TAKE, item.part, str(offset), item.sha256, pieces=item.pieces(offset, sent))
        if ended.code not in (0, _MANGLED):
            raise self._failure(ended)
        return ended.code == 0

    def settle(self, items: Sequence[Item], manifest: Item) -> None:
        """Give the items their names, and at last the manifest."""
        names = "".join(f"{item.part}\n{item.name}\n" for item in items)
        self._done(_SETTLE, MANIFEST, manifest.part, part_of(f"{MANIFEST}.old"), pieces=[f"{names}\n".encode()])

    def _done(self, line: str, *words: str, pieces: Iterable[bytes]) -> bytes:
        """Return what the line printed there."""
        ended = self._call(line, *words, pieces=pieces)
        if ended.code != 0:
            raise self._failure(ended)
        return _heard(ended) or b""

    def _call(self, line: str, *words: str, pieces: Iterable[bytes]) -> Ended:
        command = shlex.join(["sh", "-c", _BEGIN + line, "sh", self._folder, *words])
        ended = feed([*self._ssh, command], pieces, env=environment())
        if _heard(ended) is None:
            raise self._unreached(ended)
        return ended

    def _unreached(self, ended: Ended) -> OvernightError:
        said = ended.said or ended.how
        if not ended.started:
            return UserMistake(f"{self.shown}: the ssh client {said}")
        if any(words in ended.said for words in _NO_LOGIN):
            return UserMistake(f"{self.shown}: no login there: {said}")
        if ended.code in (_SSH_FAILED, None):
            return TransientError(f"{self.shown}: cannot be reached: {said}")
        return UserMistake(f"{self.shown}: no POSIX shell answers there: {said}")

    def _failure(self, ended: Ended) -> OvernightError:
        said = ended.said or ended.how
        if any(words in said for words in _FULL):
            return no_room(self.shown, said)
        if any(words in said for words in _DENIED):
            return not_allowed(self.shown, said)
        if ended.code == _NO_DIGESTS:
            return UserMistake(f"{self.shown}: neither sha256sum nor shasum is there: install one of them")
        if ended.code == _IN_THE_WAY or any(words in said for words in _BLOCKED):
            return UserMistake(f"{self.shown}: something else is in the way ({said}): deliver to another folder")
        if ended.code == _FAILED:
            return TransientError(f"{self.shown}: it failed there: {said}")
        return self._lost(said)

    def _lost(self, said: str) -> TransientError:
        return TransientError(f"{self.shown}: the connection was lost: {said}; what has arrived stays there")


def _heard(ended: Ended) -> bytes | None:
    """Return what the shell there printed, without what a login prints before; None where it did not begin."""
    _, life, output = ended.output.partition(f"{_LIFE}\n".encode())
    return output if life else None


def _content(output: BinaryIO) -> bytes | None:
    """Read a file after its size."""
    size = output.readline().strip()
    return None if size == b"none" else output.read(int(size))


def _found(what: str, part_bytes: str = "0", part_sha256: str = "") -> Found:
    return Found(whole=what == "whole", other=what == "other", part_bytes=int(part_bytes), part_sha256=part_sha256)
