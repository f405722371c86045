"""A small server that a project may have as a service, and that does wrong what it is told to.

small_service.py PORT [--ignore-term] [--daemonise] [--shout]
It is asked: /health, /say/STATUS, /hang, /grow, /mend, /exit/CODE.
"""

import json
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

status, held = {"status": "ok", "looks": 0}, []
hanging, mended = threading.Event(), threading.Event()


class Answers(BaseHTTPRequestHandler):
    def do_GET(self):
        status["looks"] += self.path == "/health"
        if self.path == "/hang":
            hanging.set()
        elif self.path == "/health" and hanging.is_set():
            threading.Event().wait(60)
        elif self.path.startswith("/say/"):
            status["status"] = self.path.removeprefix("/say/")
        elif self.path == "/mend":
            mended.set()
        elif self.path == "/grow":
            held.append(bytearray(os.urandom(1000) * 200_000))
        elif self.path.startswith("/exit/"):
            os._exit(int(self.path.removeprefix("/exit/")))
        body = json.dumps({**status, "pid": os.getpid(), "url": os.environ.get("OVERNIGHT_URL")}).encode()
        code = 500 if self.path == "/link/broken" and not mended.is_set() else 200
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        print("asked for", self.path, flush=True)


def main():
    port, flags = int(sys.argv[1]), sys.argv[2:]
    if "--ignore-term" in flags:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "--daemonise" in flags:
        if os.fork():
            os._exit(0)
        os.setsid()
    if "--shout" in flags:
        for number in range(20_000):
            print("line", number, "x" * 80)
    print("serves", port, flush=True)
    ThreadingHTTPServer(("127.0.0.1", port), Answers).serve_forever()


main()
