"""A server on loopback that makes videos as Runway and Veo do, as far as an order, its state and its file go."""

import json
import re
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

from loopback import Loopback

KEY = "key-secret"
RATIO = re.compile(r"\d+:\d+")


class VideoServer(Loopback):
    """Serves until the `with` block ends. An order is done when it was looked at `looks` times."""

    def __init__(self, content: bytes, looks: int = 2) -> None:
        self.content, self.looks = content, looks
        self.orders: list[dict] = []
        self.looked: list[str] = []
        self.told: list[tuple[str, bool]] = []
        """What was fetched, and whether the key came with it."""
        self.faults: dict[str, Callable[[], tuple[int, object]]] = {}
        """What is answered in the place of the truth, by what is asked: order, look or file."""
        super().__init__(Answerer)

    @property
    def elsewhere(self) -> str:
        """The same server as another host."""
        return f"http://localhost:{self.port}"


def is_runway(body: dict) -> bool:
    kinds = {"model": str, "promptText": str, "ratio": str, "duration": int}
    return (
        {name: type(value) for name, value in body.items()} == kinds
        and 0 < len(body["promptText"]) <= 1000
        and RATIO.fullmatch(body["ratio"]) is not None
    )


def is_veo(body: dict) -> bool:
    [one], wanted = body["instances"], body["parameters"]
    return (
        {name: type(value) for name, value in one.items()} == {"prompt": str}
        and {name: type(value) for name, value in wanted.items()} == {"aspectRatio": str, "durationSeconds": int}
        and RATIO.fullmatch(wanted["aspectRatio"]) is not None
    )


class Answerer(BaseHTTPRequestHandler):
    timeout = 10

    def log_message(self, *_):
        pass

    @property
    def service(self) -> VideoServer:
        return self.server.owner

    def say(self, status: int, value: object, **headers: str) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def fault(self, what: str) -> bool:
        if what not in self.service.faults:
            return False
        self.say(*self.service.faults[what]())
        return True

    def refused(self) -> bool:
        """Answer who does not show the right key in the right place."""
        if self.path.startswith("/v1/"):
            if self.headers["Authorization"] == f"Bearer {KEY}" and self.headers["X-Runway-Version"] == "2024-11-06":
                return False
            self.say(401, {"error": f"no such key: {self.headers['Authorization']}"})
            return True
        if self.headers["x-goog-api-key"] == KEY:
            return False
        self.say(403, {"error": {"message": f"bad {self.headers['x-goog-api-key']}"}})
        return True

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.service.orders.append(body)
        if self.fault("order") or self.refused():
            return
        if self.path == "/v1/text_to_video":
            fits, answer = is_runway(body), {"id": "task-1"}
        elif self.path == "/v1beta/models/veo-3.1-fast-generate-preview:predictLongRunning":
            fits, answer = is_veo(body), {"name": "models/veo-3.1-fast-generate-preview/operations/op-1"}
        else:
            self.say(404, {"error": "no such path"})
            return
        self.say(200 if fits else 400, answer if fits else {"error": "no such order"})

    def do_GET(self):
        service = self.service
        with_key = KEY in str(self.headers)
        if self.path in ("/clip", "/file"):
            service.told.append((f"{self.headers['Host'].partition(':')[0]}{self.path}", with_key))
            if not self.fault("file") and not (self.path == "/file" and self.refused()):
                if self.path == "/file":
                    self.say(302, b"", Location=f"{service.elsewhere}/clip")
                else:
                    self.say(200, service.content)
            return
        service.looked.append(self.path)
        if self.fault("look") or self.refused():
            return
        done = len(service.looked) >= service.looks
        if self.path == "/v1/tasks/task-1":
            state = {"status": "SUCCEEDED", "output": [f"{service.elsewhere}/clip"]} if done else {"status": "RUNNING"}
            self.say(200, {"id": "task-1", "progress": 0.5, **state})
        elif self.path.endswith("/operations/op-1"):
            made = {"generatedSamples": [{"video": {"uri": f"{service.url}/file"}}]}
            self.say(200, {"done": True, "response": {"generateVideoResponse": made}} if done else {"name": "op-1"})
        else:
            self.say(404, {"error": "no such path"})
