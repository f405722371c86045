"""A model server that is hungry for memory: what it holds is allocated for real.

python generator.py PORT

POST /generate {"mb", "seconds"}   holds so much memory for as long as the request takes
POST /load     {"mb"}              holds so much until it is released
POST /release                      lets go of what was loaded
GET  /health                       {"status", "running", "loaded_mb"}
"""

import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Lock

lock, running, loaded = Lock(), [0], []


def allocated(mb: float) -> bytearray:
    """Return memory of which every page is written: nothing that the kernel could leave out."""
    piece = bytearray(int(mb * 1e6))
    for place in range(0, len(piece), 4096):
        piece[place] = 1
    return piece


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        with lock:
            held = sum(map(len, loaded)) / 1e6
            self.tell({"status": "ok", "running": running[0], "loaded_mb": held, "pid": os.getpid()})

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        wish = json.loads(content) if content else {}
        if self.path == "/generate":
            with lock:
                running[0] += 1
            begun = time.monotonic()
            piece = allocated(wish.get("mb", 50))
            Event().wait(wish.get("seconds", 1))
            with lock:
                running[0] -= 1
            self.tell({"mb": len(piece) / 1e6, "seconds": time.monotonic() - begun})
            return
        with lock:
            if self.path == "/load":
                loaded.append(allocated(wish["mb"]))
            elif self.path == "/release":
                loaded.clear()
            self.tell({"loaded_mb": sum(map(len, loaded)) / 1e6})

    def tell(self, body: dict) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, form: str, *args: object) -> None:
        pass


def main() -> None:
    port = int(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    print(f"answers on port {port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
