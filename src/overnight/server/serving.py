"""Serves the HTTP application in a thread of its own."""

import socket
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from overnight.base.errors import UserMistake
from overnight.processes.limits import allow_open_files

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

HOST = "127.0.0.1"
_BACKLOG = 1024
SPARE_FILES = 512
"""Open files of the daemon beside its connections."""
_BEGIN_S = 20.0


def serve(daemon: "Daemon") -> tuple[str, Callable[[], None]]:
    """Begin to answer and return the address and what ends that.

    Raises:
        UserMistake: the port is taken.
    """
    bound = _bind(daemon.project.config.server.port)
    # Only now, as it takes a moment: the engine works already.
    import uvicorn

    from overnight.server.app import build

    # A stream is an open file, and many systems begin with 1,024.
    allow_open_files(daemon.project.config.server.connections + SPARE_FILES)
    app, streams = build(daemon)
    config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=2)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([bound],), name="overnight-http", daemon=True)
    thread.start()

    def end() -> None:
        streams.close()
        server.should_exit = True
        thread.join(_BEGIN_S)
        bound.close()

    return f"http://{HOST}:{bound.getsockname()[1]}", end


def _bind(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    # A port that a daemon before has just given up is free again.
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((HOST, port))
        bound.listen(_BACKLOG)
    except OSError as error:
        bound.close()
        raise UserMistake(
            f"server.port: {HOST}:{port} cannot be used ({error.strerror}); set another one in overnight.toml, "
            "or 0 for any that is free"
        ) from error
    return bound
