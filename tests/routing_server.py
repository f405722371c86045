"""A server that answers routers as a daemon does, and can be made to misbehave."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class RoutingServer:
    """Tells splits and takes batches, each `batch_id` once; `taken` holds the outcomes.

    `trouble` are answers to the next batches instead: a code, "drop" (nothing is taken, the connection is closed), or
    "lose" (the batch is taken, and the connection closed without an answer).
    """

    def __init__(self, splits=(), etag='"1"', port=0):
        self.splits, self.etag = list(splits), etag
        self.routed = []
        self.asked, self.batches, self.taken, self.trouble = [], [], [], []
        self._known = set()
        self._begin(port)

    def _begin(self, port):
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.asked.append(self.headers.get("If-None-Match"))
                outer.routed += parse_qs(urlsplit(self.path).query).get("routed", [])
                if self.headers.get("If-None-Match") == outer.etag:
                    self._answer(304, b"")
                else:
                    self._answer(200, json.dumps({"splits": outer.splits, "etag": outer.etag}).encode())

            def do_POST(self):
                batch = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.batches.append(batch)
                trouble = outer.trouble.pop(0) if outer.trouble else None
                if isinstance(trouble, int):
                    self._answer(trouble, b'{"error": "as it was told"}')
                    return
                if trouble == "drop":
                    return
                duplicate = batch["batch_id"] in outer._known
                if not duplicate:
                    outer._known.add(batch["batch_id"])
                    outer.taken += batch["outcomes"]
                if trouble == "lose":
                    return
                accepted = 0 if duplicate else len(batch["outcomes"])
                told = {"accepted": accepted, "duplicate": duplicate, "etag": outer.etag}
                self._answer(200, json.dumps(told).encode())

            def _answer(self, code, content):
                self.send_response(code)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def stop(self):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def start(self):
        self._begin(self.port)
