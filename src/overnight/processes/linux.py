"""The system calls that Python 3.11 does not offer, through ctypes. On other systems than Linux they raise OSError."""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
PR_CAPBSET_DROP = 24
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38

CLONE_NEWNS = 0x0002_0000
CLONE_NEWUSER = 0x1000_0000
CLONE_NEWPID = 0x2000_0000
CLONE_NEWNET = 0x4000_0000

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x1, 0x2, 0x4, 0x8
MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 0x20, 0x1000, 0x4000, 0x40000


def prctl(option: int, value: int = 0) -> None:
    """Change an attribute of this process; see prctl(2).

    Raises:
        OSError: the kernel does not know the option or does not allow it.
    """
    _call("prctl", option, value, 0, 0, 0)


def unshare(flags: int) -> None:
    """Move this process into namespaces of its own; see unshare(2).

    Raises:
        OSError: the kernel does not allow it.
    """
    _call("unshare", flags)


def mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    """Mount something; see mount(2).

    Raises:
        OSError: it cannot be mounted; the error names the target.
    """
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    _call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3], about=target)


def _call(name: str, *arguments: object, about: str | None = None) -> None:
    if sys.platform != "linux":
        raise OSError(0, f"{name} is there on Linux only")
    library = ctypes.CDLL(None, use_errno=True)
    if getattr(library, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}", about)
