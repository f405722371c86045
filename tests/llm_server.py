"""A server on loopback that speaks as OpenAI-compatible endpoints do, and fails in the ways in which they fail.

It counts what it has answered, by what was asked: an answer counts once it is about to be written, because from then on
a provider charges for it.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What becomes of a request. `raw` is sent in the place of a body; `hangs` says nothing until the server closes."""

    content: str | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    usage: tuple[int, int] | None = (10, 5)
    finish: str = "stop"
    raw: bytes | None = None
    hangs: bool = False
    cut: bool = False
    """Hang up in the middle of the answer."""
    drips: bool = False
    """Send a space every 10 ms, for ever."""


Plan = Callable[[Json, int], Reply]
"""Of the request, and how often the same one came before."""


def says(**fields: object) -> Reply:
    return Reply(content=json.dumps(fields))


def refuses(status: int, message: str = "no", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status=status, headers=named, raw=json.dumps({"error": {"message": message}}).encode())


def in_turn(*replies: Reply) -> Plan:
    """Answer the tries, whatever they ask, one after the other; the last reply stays."""
    left = list(replies)
    return lambda body, before: left.pop(0) if len(left) > 1 else left[0]


def asked_of(body: Json) -> str:
    """Return what tells one request from another, however its form was asked for."""
    return json.dumps([body["model"], body["messages"], body["seed"]])


class LlmServer:
    """Answers until the `with` block ends."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.asked: list[Json] = []
        self.keys: list[str | None] = []
        self.answered: Counter[str] = Counter()
        self.most_in_flight = 0
        self.came = threading.Condition()
        self.in_flight = 0
        self._before: Counter[str] = Counter()
        self.closing = threading.Event()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> "LlmServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, condition: Callable[["LlmServer"], bool], timeout_s: float = 60.0) -> None:
        """Wait until the condition holds; it is looked at whenever something was asked or answered."""
        with self.came:
            assert self.came.wait_for(lambda: condition(self), timeout_s), "the server was not asked in time"

    def reply(self, body: Json, key: str | None) -> Reply:
        with self.came:
            asked = asked_of(body)
            before = self._before[asked]
            self._before[asked] += 1
            self.asked.append(body)
            self.keys.append(key)
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            self.came.notify_all()
        try:
            found = self.plan(body, before)
            if found.hangs:
                self.closing.wait(60)
            return found
        finally:
            with self.came:
                self.in_flight -= 1
                if found.status == 200 and not found.hangs:
                    self.answered[asked] += 1
                self.came.notify_all()


class _Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128

    def __init__(self, llm: LlmServer) -> None:
        self.llm = llm
        self._open: set[Any] = set()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End the connections that clients keep open, so that the threads that serve them end."""
        for request in list(self._open):
            with suppress(OSError):
                request.shutdown(2)

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing of clients that die."""


class _Handler(BaseHTTPRequestHandler):
    server: "_Server"
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/chat/completions":
            return self._write(404, {}, b'{"error": {"message": "Not Found"}}')
        reply = self.server.llm.reply(body, self.headers.get("Authorization"))
        if reply.hangs or reply.drips:
            self.close_connection = True
            return self._drip() if reply.drips else None
        return self._answer(body, reply)

    def _answer(self, body: Json, reply: Reply) -> None:
        content = reply.raw if reply.raw is not None else _told(body, reply)
        if reply.cut:
            content = content[: len(content) // 2]
            self.close_connection = True
        streamed = bool(body.get("stream")) and reply.raw is None
        kind = "text/event-stream" if streamed else "application/json"
        self._write(reply.status, {"Content-Type": kind, **reply.headers}, content, cut=reply.cut)

    def _write(self, status: int, headers: Mapping[str, str], content: bytes, *, cut: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content) * (2 if cut else 1)))
        # In one packet: the second of two would wait for the first to be acknowledged.
        self._headers_buffer.append(b"\r\n" + content)
        self.flush_headers()

    def _drip(self) -> None:
        self.send_response_only(200)
        self.send_header("Content-Length", "1000000")
        self.end_headers()
        while not self.server.llm.closing.wait(0.01):
            self.wfile.write(b" ")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _told(body: Json, reply: Reply) -> bytes:
    usage = reply.usage and {
        "prompt_tokens": reply.usage[0],
        "completion_tokens": reply.usage[1],
        "total_tokens": sum(reply.usage),
    }
    if not body.get("stream"):
        message = {"role": "assistant", "content": reply.content}
        choice = {"index": 0, "message": message, "finish_reason": reply.finish}
        return json.dumps({"id": "x", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()
    text = reply.content or ""
    pieces = [text[place : place + 7] for place in range(0, len(text), 7)]
    events: list[Json] = [{"choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}}]}]
    events += [{"choices": [{"index": 0, "delta": {"content": piece}}]} for piece in pieces]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": reply.finish}]})
    if usage and (body.get("stream_options") or {}).get("include_usage"):
        events.append({"choices": [], "usage": usage})
    return b"".join(f"data: {json.dumps(event)}\n\n".encode() for event in events) + b"data: [DONE]\n\n"
