"""A host behind ssh, in this machine: a small server that runs commands in folders of their own, and its client.

`ssh(HOST)` is the command line of the client. What it starts is a child of the server, with a clean environment, so
that a signal to the client's tree does not reach it, and the end of the client closes its input, as sshd does. A host
is there while its folder is: `cloud` has scripts that make and remove one, and write down what they did.
"""

import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

SRC = str(Path(__file__).parents[1] / "src")

# stdin and stdout go over one socket, stderr over a second; the third takes the command and gives the exit code.
CLIENT = """
import os, socket, sys, threading
server, log, host, *words = sys.argv[1:]
def copy(read, write):
    try:
        while piece := read():
            write(piece)
    except OSError:
        pass
lines = []
for _ in range(3):
    line = socket.socket(socket.AF_UNIX)
    line.connect(server)
    lines.append(line)
key = str(os.getpid())
for number, line in enumerate(lines):
    line.sendall(("\\0".join([key, str(number), host, " ".join(words)]) + "\\n").encode())
    line.recv(1)
with open(log, "a") as file:
    file.write(key + "\\n")
both, errors, last = lines
def give():
    copy(lambda: os.read(0, 65536), both.sendall)
    try:
        both.shutdown(socket.SHUT_WR)
    except OSError:
        pass
def all_of(fd):
    def write(piece):
        while piece:
            piece = piece[os.write(fd, piece):]
    return write
threading.Thread(target=give, daemon=True).start()
ways = (both, 1), (errors, 2)
rest = [threading.Thread(target=copy, args=(lambda s=s: s.recv(65536), all_of(fd))) for s, fd in ways]
for one in rest:
    one.start()
for one in rest:
    one.join()
code = last.recv(100)
os._exit(int(code or 255))
"""


class FarHost:
    """The server. `homes` holds a folder for each host that is there."""

    def __init__(self, folder: Path) -> None:
        self.homes = folder / "homes"
        self.homes.mkdir(parents=True)
        self.log, self.clients = folder / "cloud.log", folder / "clients.log"
        self.log.touch()
        self.clients.touch()
        (folder / "client.py").write_text(CLIENT)
        # As on a host without the extra `ml`: what the small trainer does not need would take most of the time.
        (folder / "sitecustomize.py").write_text("import sys\nsys.modules['scipy'] = sys.modules['sklearn'] = None\n")
        self.python_path = f"{folder}:{SRC}"
        self._client = str(folder / "client.py")
        # A path of a test may be longer than the name of a socket may be.
        self._short = tempfile.mkdtemp(prefix="far")
        self._path = str(Path(self._short) / "ssh")
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.bind(self._path)
        self._socket.listen(64)
        self._lines: dict[str, dict[int, socket.socket]] = {}
        self._children: list[tuple[str, subprocess.Popen[bytes]]] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=one, daemon=True) for one in (self._accept, self._look)]
        for one in self._threads:
            one.start()

    def close(self) -> None:
        self._over.set()
        with socket.socket(socket.AF_UNIX) as last:
            last.connect(self._path)
        for one in self._threads:
            one.join()
        self._socket.close()
        for _, child in self._children:
            kill(child)
        shutil.rmtree(self._short)

    def ssh(self, host: str) -> list[str]:
        return [sys.executable, "-I", "-S", self._client, self._path, str(self.clients), host]

    def add(self, host: str) -> Path:
        (self.homes / host).mkdir()
        return self.homes / host

    def drop(self, signal_=signal.SIGKILL) -> None:
        """End (or freeze) the newest client, as a network that goes away does."""
        os.kill(int(self.clients.read_text().split()[-1]), signal_)

    def trainers(self) -> int:
        """How many commands run there."""
        return sum(child.poll() is None for _, child in self._children)

    def cloud(self, *, late_s: float = 0.0) -> dict[str, list[str]]:
        """The commands of a cloud whose machines are the hosts; what they do is in `log`."""
        pause = f"sleep {late_s}; " if late_s else ""
        home, log = shlex.quote(str(self.homes)), shlex.quote(str(self.log))
        return {
            "up": ["sh", "-c", f'echo "up $0" >> {log}; mkdir -p {home}/"$0"; {pause}true', "{name}"],
            "ready": ["sh", "-c", f'test -d {home}/"$0"', "{name}"],
            "down": ["sh", "-c", f'rm -rf {home}/"$0"; echo "down $0" >> {log}', "{name}"],
        }

    def machines(self) -> list[str]:
        return [path.name for path in self.homes.iterdir()]

    def told(self) -> list[str]:
        return [line.split()[0] for line in self.log.read_text().splitlines()]

    def _accept(self) -> None:
        while not self._over.is_set():
            line, _ = self._socket.accept()
            if self._over.is_set():
                line.close()
                return
            text = b""
            while not text.endswith(b"\n"):
                text += line.recv(1)
            key, number, host, command = text.decode()[:-1].split("\0")
            line.sendall(b".")
            lines = self._lines.setdefault(key, {})
            lines[int(number)] = line
            if len(lines) == 3:
                self._begin(host, command, self._lines.pop(key))

    def _begin(self, host: str, command: str, lines: dict[int, socket.socket]) -> None:
        both, errors, last = lines[0], lines[1], lines[2]
        home = self.homes / host
        if not home.is_dir():
            errors.sendall(f"ssh: connect to host {host}: Connection refused\n".encode())
            last.sendall(b"255")
        else:
            env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": self.python_path}
            child = subprocess.Popen(
                ["sh", "-c", command], cwd=home, env=env, stdin=both, stdout=both, stderr=errors, start_new_session=True
            )
            self._children.append((host, child))
            threading.Thread(target=self._wait, args=(child, last), daemon=True).start()
            last = None
        for line in (both, errors, last):
            if line is not None:
                line.close()

    def _wait(self, child: "subprocess.Popen[bytes]", last: socket.socket) -> None:
        code = child.wait()
        with last, suppress(OSError):
            last.sendall(str(code % 256).encode())

    def _look(self) -> None:
        """End what runs on hosts that are gone."""
        while not self._over.wait(0.05):
            for host, child in list(self._children):
                if child.poll() is None and not (self.homes / host).is_dir():
                    kill(child)


def kill(child: "subprocess.Popen[bytes]") -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
