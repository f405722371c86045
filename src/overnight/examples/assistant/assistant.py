"""The assistant: an HTTP service that asks the models which the project serves, and tells what was right.

    python assistant.py PORT

    POST /ask      {"user", "text"}              which intent a text has       (model nlu)
    POST /speaker  {"user", "enrol", "test"}     whether it is the same voice  (model voice)
    POST /digit    {"user", "rows"}              which digit an image shows    (model vision)
    POST /similar  {"user", "a", "b"}            how alike two texts are       (model embedding)
    POST /feedback {"request", "expected"}       what would have been right: an experience to learn from
    GET  /health, /links/training, /links/experiences, /links/predictions

It needs nothing but Python and answering.py. While the daemon is away, it asks again for as long as a user is likely
to wait.
"""

import json
import os
import time
import urllib.error
import urllib.request
import uuid
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from threading import Event, Lock

from answering import Answering, serve

OVERNIGHT = os.environ.get("OVERNIGHT_URL", "http://127.0.0.1:8090")
PROJECT = Path(os.environ.get("OVERNIGHT_PROJECT", "."))
PATIENCE_S = float(os.environ.get("ASSISTANT_PATIENCE_S", "30"))
REMEMBERED = 10_000
MODELS = {"/ask": "nlu", "/speaker": "voice", "/digit": "vision", "/similar": "embedding"}
BY_FILE = ("voice", "vision")
"""Experiences of these models are put into the watched folder; the others are sent."""
LEARNS = ("nlu", "vision", "embedding")
"""What a speaker said is no experience: who spoke is known from the enrolment."""


class Wrong(Exception):
    """What was asked cannot be answered; the message says why."""


class Assistant:
    """Asks the models, and remembers what it was asked until somebody says what would have been right."""

    def __init__(self) -> None:
        self._asked: OrderedDict[str, dict] = OrderedDict()
        self._lock = Lock()

    def answer(self, path: str, wish: dict) -> dict:
        """Return the answer of a model, with the version that gave it and a name for the request."""
        model, given = MODELS[path], input_of(path, wish)
        found = call("POST", f"/api/models/{model}/predict", {"input": given, "key": str(wish.get("user", ""))})
        request, output = uuid.uuid4().hex, found["outputs"][0]
        with self._lock:
            self._asked[request] = {"model": model, "input": given, "output": output}
            while len(self._asked) > REMEMBERED:
                self._asked.popitem(last=False)
        return {"request": request, "output": output, "version": found["model_version"]}

    def learn(self, wish: dict) -> dict:
        """Make an experience of a request whose right answer is known now."""
        with self._lock:
            asked = self._asked.pop(str(wish.get("request")), None)
        if asked is None:
            raise Wrong("there is no such request, or it was told already")
        model = asked["model"]
        if model not in LEARNS:
            raise Wrong(f"{model} does not learn from what it serves")
        experience = experience_of(asked, wish.get("expected"))
        batch = {"batch_id": uuid.uuid4().hex, "model_type": model, "experiences": [experience]}
        if model in BY_FILE:
            put(batch)
        else:
            call("POST", "/api/experiences", batch)
        return {"model": model, "success": experience["success"]}


def input_of(path: str, wish: dict) -> object:
    """Return what a model is asked, from what the assistant was."""
    try:
        if path == "/ask":
            return wish["text"]
        if path == "/digit":
            return {"rows": wish["rows"]}
        return {name: wish[name] for name in (("enrol", "test") if path == "/speaker" else ("a", "b"))}
    except KeyError as error:
        raise Wrong(f"{error.args[0]!r} is missing") from None


def experience_of(asked: dict, expected: object) -> dict:
    """Return the experience: whether the answer was right, and how sure the model was."""
    output = asked["output"]
    told = output.get("intent", output.get("label")) if isinstance(output, dict) else output
    right = abs(told - expected) < 0.2 if isinstance(told, float) and isinstance(expected, float) else told == expected
    sure = output.get("confidence", 1.0) if isinstance(output, dict) else 1.0
    return {
        "type": "assistant",
        "input": asked["input"],
        "expected_output": expected,
        "actual_output": told,
        "success": right,
        "confidence": sure,
    }


def put(batch: dict) -> None:
    """Put a batch into the watched folder, whole or not at all."""
    folder = PROJECT / ".overnight" / "experiences"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"experiences_{batch['model_type']}_{batch['batch_id']}.json"
    hidden = folder / f".{name}"
    hidden.write_text(json.dumps(batch))
    hidden.rename(folder / name)


def call(method: str, path: str, body: dict | None = None) -> dict:
    """Ask the daemon; while it is away or busy, again, until a user would have gone."""
    until, wait_s = time.monotonic() + PATIENCE_S, 0.05
    while True:
        try:
            return once(method, path, body)
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")
            if error.code not in (429, 503):
                raise Wrong(f"{path}: {error.code}: {told}") from None
        except OSError as error:
            told = str(error)
        if time.monotonic() > until:
            raise Wrong(f"{path}: {told}")
        Event().wait(wait_s)
        wait_s = min(1.0, 2 * wait_s)


def once(method: str, path: str, body: dict | None) -> dict:
    """Ask the daemon once. Where it answers stands in daemon.json: one that began anew may have another port."""
    url = OVERNIGHT
    about = PROJECT / ".overnight" / "daemon.json"
    if about.exists():
        with suppress(OSError, ValueError):
            url = json.loads(about.read_text())["url"]
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, content, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        return json.loads(answer.read())


def try_link(name: str) -> dict:
    """Reach for what the assistant needs, now."""
    if name == "training":
        return {"jobs": len(call("GET", "/api/training/jobs?limit=1")["jobs"])}
    if name == "experiences":
        folder = PROJECT / ".overnight" / "experiences"
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{uuid.uuid4().hex}"
        probe.write_text("")
        probe.unlink()
        return {"folder": str(folder)}
    if name == "predictions":
        serving = {one["model_type"] for one in call("GET", "/api/models")["models"] if one["serving"]}
        missing = sorted(set(MODELS.values()) - serving)
        if missing:
            raise Wrong(f"no version serves of {', '.join(missing)}; `python first_models.py` trains the first ones")
        return {"models": sorted(serving)}
    raise Wrong(f"there is no link {name!r}")


class Handler(Answering):
    assistant = Assistant()

    def do_GET(self) -> None:
        if self.path == "/health":
            self.tell(200, {"status": "ok", "pid": os.getpid()})
        elif self.path.startswith("/links/"):
            self.work(lambda: try_link(self.path.removeprefix("/links/")))
        else:
            self.tell(404, {"error": "there is no such page"})

    def do_POST(self) -> None:
        wish = self.sent()
        if not isinstance(wish, dict):
            self.tell(400, {"error": "the body is not a JSON object"})
        elif self.path == "/feedback":
            self.work(lambda: self.assistant.learn(wish))
        elif self.path in MODELS:
            self.work(lambda: self.assistant.answer(self.path, wish))
        else:
            self.tell(404, {"error": "there is no such page"})

    def work(self, do) -> None:
        try:
            self.tell(200, do())
        except Wrong as error:
            self.tell(502, {"error": str(error)})


if __name__ == "__main__":
    serve(Handler)
