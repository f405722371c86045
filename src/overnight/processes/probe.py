"""Finds out what this machine lets children do. Each answer comes from trying, not from a version number.

That a sandbox works does not mean that anybody is in it: so far no task asks for one.
"""

import os
import resource
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from overnight.processes import linux
from overnight.processes.sandbox import Sandbox
from overnight.processes.spawn import ROOT, scrubbed, spawn

SandboxLevel = Literal["namespaces", "limits"]

_TRY = """
import pathlib, socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 1).close()
    sys.exit(3)
except OSError:
    pass
try:
    (pathlib.Path(sys.argv[2]) / "written").write_text("x")
    sys.exit(4)
except OSError:
    pass
sys.exit(5 if (pathlib.Path(sys.argv[2]) / "secret").exists() else 0)
"""

_UNSHARE = """
import sys
sys.path.append(sys.argv[1])
from overnight.processes import linux
linux.unshare(int(sys.argv[2]))
"""

_ORPHAN = """
import os, sys, time
keeper = os.getppid()
news, report = os.pipe()
if os.fork() == 0:
    middle = os.getpid()
    if os.fork() == 0:
        while os.getppid() == middle:
            time.sleep(0.001)
        os.write(report, str(os.getppid()).encode())
    os._exit(0)
os.wait()
sys.exit(int(os.read(news, 20)) != keeper)
"""


@dataclass(frozen=True, kw_only=True)
class ProcessFacts:
    """What the kernel offers for children. Namespaces: whether this user gets one of that kind of its own."""

    pidfd: bool
    subreaper: bool
    user_namespace: bool
    net_namespace: bool
    mount_namespace: bool
    cgroup_v2_writable: bool
    open_files: int
    sandbox: SandboxLevel


def process_facts(env: Mapping[str, str]) -> ProcessFacts:
    """Try everything out; takes about half a second. `env` is the environment that children would get."""
    return ProcessFacts(
        pidfd=_has_pidfd(),
        subreaper=_has_subreaper(env),
        user_namespace=_can_unshare(env, linux.CLONE_NEWUSER),
        net_namespace=_can_unshare(env, linux.CLONE_NEWUSER | linux.CLONE_NEWNET),
        mount_namespace=_can_unshare(env, linux.CLONE_NEWUSER | linux.CLONE_NEWNS),
        cgroup_v2_writable=_own_cgroup_is_writable(),
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        sandbox=sandbox_level(env),
    )


def sandbox_level(env: Mapping[str, str]) -> SandboxLevel:
    """Start a child in the sandbox that tries to reach a server of this process and a hidden folder.

    Returns "namespaces" when it could do neither, "limits" when the kernel does not shut it in.
    """
    with tempfile.TemporaryDirectory() as hidden, socket.create_server(("127.0.0.1", 0)) as server:
        (Path(hidden) / "secret").write_text("x")
        argv = [sys.executable, "-I", "-S", "-c", _TRY, str(server.getsockname()[1]), hidden]
        child = spawn(argv, env=scrubbed(env), cwd="/", sandbox=Sandbox(hidden=(hidden,)))
        child.go()
        child.wait()
    return "namespaces" if child.sandboxed and child.exit == {"code": 0} else "limits"


def _can_unshare(env: Mapping[str, str], flags: int) -> bool:
    return _succeeds(env, _UNSHARE, ROOT, str(flags))


def _has_subreaper(env: Mapping[str, str]) -> bool:
    """Start a child that makes an orphan; the orphan must end up below the child's keeper."""
    return _succeeds(env, _ORPHAN)


def _succeeds(env: Mapping[str, str], program: str, *arguments: str) -> bool:
    child = spawn([sys.executable, "-I", "-S", "-c", program, *arguments], env=scrubbed(env), cwd="/")
    child.go()
    child.wait()
    return child.exit == {"code": 0}


def _has_pidfd() -> bool:
    if not hasattr(os, "pidfd_open"):
        return False
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def _own_cgroup_is_writable() -> bool:
    """Tell whether this process may make a cgroup (version 2) below its own."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError:
        return False
    own = next((line[3:] for line in lines if line.startswith("0::")), None)
    root = next((fields[1] for fields in mounts if fields[2] == "cgroup2"), None)
    if own is None or root is None:
        return False
    trial = Path(root) / own.lstrip("/") / f"overnight-trial-{os.getpid()}"
    try:
        trial.mkdir()
        trial.rmdir()
    except OSError:
        return False
    return True
