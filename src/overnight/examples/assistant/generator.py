"""A model server that is hungry for memory: what it holds is allocated for real.

python generator.py PORT

POST /generate {"mb", "seconds"}   holds so much memory for as long as the request takes
POST /load     {"mb"}              holds so much until it is released
POST /release                      lets go of what was loaded
GET  /health                       {"status", "running", "loaded_mb"}
"""

import os
import time
from threading import Event, Lock

from answering import Answering, serve

lock, running, loaded = Lock(), [0], []


def allocated(mb: float) -> bytearray:
    """Return memory of which every page is written: nothing that the kernel could leave out."""
    piece = bytearray(int(mb * 1e6))
    for place in range(0, len(piece), 4096):
        piece[place] = 1
    return piece


class Handler(Answering):
    def do_GET(self) -> None:
        with lock:
            held = sum(map(len, loaded)) / 1e6
            self.tell(200, {"status": "ok", "running": running[0], "loaded_mb": held, "pid": os.getpid()})

    def do_POST(self) -> None:
        wish = self.sent() or {}
        if self.path == "/generate":
            with lock:
                running[0] += 1
            begun = time.monotonic()
            piece = allocated(wish.get("mb", 50))
            Event().wait(wish.get("seconds", 1))
            with lock:
                running[0] -= 1
            self.tell(200, {"mb": len(piece) / 1e6, "seconds": time.monotonic() - begun})
            return
        with lock:
            if self.path == "/load":
                loaded.append(allocated(wish["mb"]))
            elif self.path == "/release":
                loaded.clear()
            self.tell(200, {"loaded_mb": sum(map(len, loaded)) / 1e6})


if __name__ == "__main__":
    serve(Handler)
