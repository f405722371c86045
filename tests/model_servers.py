"""Servers on loopback that speak as model servers do, and processes that hold memory.

The payloads have the shapes that the projects document; none of the projects' own code is run here.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from loopback import Loopback

VLLM = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{{engine="0",model_name="Qwen/Qwen3-8B"}} {running}
# HELP vllm:num_requests_waiting Number of requests waiting to be processed.
# TYPE vllm:num_requests_waiting gauge
vllm:num_requests_waiting{{engine="0",model_name="Qwen/Qwen3-8B"}} {waiting}
# HELP vllm:request_success_total Count of successfully processed requests.
# TYPE vllm:request_success_total counter
vllm:request_success_total{{engine="0",finished_reason="stop",model_name="Qwen/Qwen3-8B"}} {served}
vllm:request_success_total{{engine="0",finished_reason="length",model_name="Qwen/Qwen3-8B"}} 2.0
"""
TGI = """\
# TYPE tgi_request_count counter
tgi_request_count {served}

# TYPE tgi_batch_current_size gauge
tgi_batch_current_size {running}

# TYPE tgi_queue_size gauge
tgi_queue_size {waiting}
"""
LLAMA = """\
# HELP llamacpp:n_decode_total Total number of llama_decode() calls
# TYPE llamacpp:n_decode_total counter
llamacpp:n_decode_total {served}
# HELP llamacpp:requests_processing Number of requests processing
# TYPE llamacpp:requests_processing gauge
llamacpp:requests_processing {running}
# HELP llamacpp:requests_deferred Number of requests deferred
# TYPE llamacpp:requests_deferred gauge
llamacpp:requests_deferred {waiting}
"""


class ModelServer(Loopback):
    """Answers until the `with` block ends; keeps what it was asked as (method, path, JSON body)."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, Any]] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                body = json.loads(text) if text else None
                server.asked.append((self.command, self.path, body))
                status, answer = server.answer(self.command, url.path, parse_qs(url.query), body)
                content = answer.encode() if isinstance(answer, str) else json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_PUT = do_GET  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        super().__init__(Handler)
        self._server.daemon_threads = False

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        """Return the status and the answer."""
        return 200, {}

    def changes(self) -> list[tuple[str, str, Any]]:
        """Return what it was asked to do."""
        return [asked for asked in self.asked if asked[0] != "GET"]


class MetricsServer(ModelServer):
    """Tells its requests in a text, by the names of one project."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.running = self.waiting = self.served = 0.0

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        if path != "/metrics":
            return 404, {"detail": "Not Found"}
        return 200, self.text.format(running=self.running, waiting=self.waiting, served=self.served)


class VllmServer(MetricsServer):
    """vLLM in its development mode, with its sleep mode."""

    def __init__(self) -> None:
        super().__init__(VLLM)
        self.asleep = False

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        match method, path:
            case "GET", "/is_sleeping":
                return 200, {"is_sleeping": self.asleep}
            case "POST", "/sleep":
                assert query["level"] == ["1"]
                self.asleep = True
                return 200, ""
            case "POST", "/wake_up":
                self.asleep = False
                return 200, ""
        return super().answer(method, path, query, body)


class OllamaServer(ModelServer):
    """Ollama with models, each with the instant at which it is unloaded."""

    def __init__(self, **models: str) -> None:
        super().__init__()
        self.models = models
        self.broken: set[str] = set()

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        match method, path:
            case "GET", "/api/ps":
                return 200, {"models": [self._told(name, until) for name, until in self.models.items()]}
            case "POST", "/api/generate":
                name = body["model"]
                if name in self.broken:
                    return 500, {"error": "model requires more system memory"}
                if body.get("keep_alive") == 0:
                    self.models.pop(name, None)
                else:
                    pinned = body.get("keep_alive") == -1
                    self.models[name] = "2318-02-11T02:30:55.4Z" if pinned else "2026-01-01T00:05:00Z"
                reason = "unload" if body.get("keep_alive") == 0 else "load"
                return 200, {"model": name, "response": "", "done": True, "done_reason": reason}
        return 404, "404 page not found"

    @staticmethod
    def _told(name: str, until: str) -> dict[str, Any]:
        details = {"format": "gguf", "family": "gemma3", "parameter_size": "4.3B", "quantization_level": "Q4_K_M"}
        sizes = {"size": 6591830464, "size_vram": 5333539264, "context_length": 4096}
        return {"name": name, "model": name, "digest": "c6eb", "details": details, "expires_at": until, **sizes}


HOLD = """
import os, sys, threading
mine, child = int(sys.argv[1]) * 10**6, int(sys.argv[2]) * 10**6
held = bytearray(os.urandom(4096)) * (mine // 4096)
tell, told = os.pipe(), os.pipe()
if child and os.fork() == 0:
    more = bytearray(os.urandom(4096)) * (child // 4096)
    os.write(tell[1], b"x")
    os.close(told[1])
    os.read(told[0], 1)
    os._exit(0)
if child:
    os.read(tell[0], 1)
print("ready", flush=True)
while line := sys.stdin.readline():
    held += bytearray(os.urandom(4096)) * (int(line) * 10**6 // 4096)
    print("ready", flush=True)
"""
SPIN = """
import sys, threading
def spin():
    while True: pass
threading.Thread(target=spin, daemon=True).start()
print("ready", flush=True)
sys.stdin.readline()
"""


@contextmanager
def process(*words: str, mb: int = 20, child_mb: int = 0, program: str = HOLD) -> Iterator[subprocess.Popen[str]]:
    """Run a process with these words on its command line, that holds memory, and a child of it that holds more.

    By each number that it reads it holds so many megabytes more, and says "ready".
    """
    command = [sys.executable, "-I", "-S", "-c", program, str(mb), str(child_mb), *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        try:
            assert running.stdout.readline() == "ready\n"
            yield running
        finally:
            running.kill()
