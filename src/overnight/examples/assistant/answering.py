"""How the assistant and the model server answer: JSON over HTTP, on a port of this machine."""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Answering(BaseHTTPRequestHandler):
    """What both have in common; each adds its pages."""

    protocol_version = "HTTP/1.1"

    def sent(self) -> object:
        """Return the JSON that was sent; None where nothing was, or something else."""
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        try:
            return json.loads(content)
        except ValueError:
            return None

    def tell(self, code: int, body: dict) -> None:
        content = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, form: str, *args: object) -> None:
        pass


def serve(handler: type[Answering]) -> None:
    """Answer on the port that the command line names, until the process is ended."""
    port = int(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    server.daemon_threads = True
    print(f"answers on port {port}", flush=True)
    server.serve_forever()
