"""A child in namespaces of its own: no network, no sight of the hidden folders, no rights to win back.

Where the kernel allows it (user, network and mount namespaces), the child cannot reach any address, not even loopback
of this machine, nor an abstract Unix socket, unless it is given the network; the hidden folders are empty and read-
only; it has no capabilities and gains none. Where it does not, the child has its limits and a scrubbed environment
only; `probe.sandbox_level` tries it out.

Not protected: files outside the hidden folders (what the user may write, the child may write), Unix sockets that are
files there (a Docker socket, say), other processes of the same user (signals, /proc), and the kernel itself.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from overnight.processes import linux

NONE_HERE = "runs in namespaces only, and this kernel gives this user none"
_LAST_CAPABILITY = 63


@dataclass(frozen=True, kw_only=True)
class Sandbox:
    """What the child sees, as absolute folders.

    The `hidden` ones are covered. `visible` ones become read-only; those and the `writable` ones inside hidden folders
    are put back: the interpreter and the project often live in the home folder. With `network`, it reaches what this
    process reaches. A `required` one is entered, or there is no child.
    """

    hidden: tuple[str, ...] = ()
    visible: tuple[str, ...] = ()
    writable: tuple[str, ...] = ()
    network: bool = False
    required: bool = False


def from_told(told: Mapping[str, Any]) -> Sandbox:  # Any: JSON
    """Return the sandbox of which `asdict` has told as JSON."""
    values: dict[str, Any] = {name: tuple(one) if isinstance(one, list) else one for name, one in told.items()}
    return Sandbox(**values)


def enter(sandbox: Sandbox) -> bool:
    """Move this single-threaded process into the sandbox; False when the kernel allows no namespaces.

    Raises:
        OSError: namespaces are there, but a folder could not be covered or put back: better no child than a leak; or
            the kernel allows none, and the sandbox is required.
    """
    user, group = os.getuid(), os.getgid()
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS | (0 if sandbox.network else linux.CLONE_NEWNET))
        _map_ids(user, group)
    except OSError as error:
        if sandbox.required:
            raise OSError(f"it {NONE_HERE}") from error
        return False
    _cover(sandbox)
    for capability in range(_LAST_CAPABILITY + 1):
        try:
            linux.prctl(linux.PR_CAPBSET_DROP, capability)
        except OSError:
            break  # the kernel knows no more
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    return True


def _map_ids(user: int, group: int) -> None:
    # The kernel wants setgroups denied before a group may be mapped without privilege.
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        Path(f"/proc/self/{name}").write_text(text)


def _cover(sandbox: Sandbox) -> None:
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    kept = [(Path(name), os.open(name, os.O_PATH), False) for name in sandbox.visible]
    kept += [(Path(name), os.open(name, os.O_PATH), True) for name in sandbox.writable]
    hidden = sorted({Path(name).resolve() for name in sandbox.hidden if Path(name).is_dir()})
    for folder in hidden:
        linux.mount("tmpfs", str(folder), "tmpfs", linux.MS_NOSUID | linux.MS_NODEV, "size=1m,mode=755")
    for folder, handle, writable in kept:
        # Nobody would look into a mount upon the root, and who stands below one gets no further namespaces.
        covered = any(folder.is_relative_to(cover) for cover in hidden)
        if folder != Path("/") and (covered or not writable):
            _put_back(folder, handle, writable)
        os.close(handle)
    for folder in hidden:
        _make_read_only(str(folder))
    # Last: what is put back out of a read-only mount is read-only.
    if "/" in sandbox.visible:
        _make_read_only("/")


def _put_back(folder: Path, handle: int, writable: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    linux.mount(f"/proc/self/fd/{handle}", str(folder), None, linux.MS_BIND | linux.MS_REC)
    if not writable:
        _make_read_only(str(folder))


def _make_read_only(folder: str) -> None:
    # Flags that were set outside are locked in here: leaving one out is refused. The statvfs bits are the mount bits.
    flags = os.statvfs(folder).f_flag & (linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
    linux.mount("none", folder, None, linux.MS_REMOUNT | linux.MS_BIND | linux.MS_RDONLY | flags)
