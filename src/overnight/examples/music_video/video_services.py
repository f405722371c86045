"""Services that make videos of a prompt: each is asked once, waited for, and its video fetched.

5a speaks Runway's protocol (docs.dev.runwayml.com: /v1/text_to_video, /v1/tasks/ID), 5b that of Veo in Google's
Gemini API (ai.google.dev/gemini-api/docs/video: models/MODEL:predictLongRunning, operations). What was ordered stands
in order.json before it is waited for, so that an agent that is killed meanwhile goes on waiting for it and does not pay
twice. An order whose answer was lost on the way is placed again.
"""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from treatment import prompt

from overnight import ActContext, TransientError
from overnight.base.clock import SystemClock
from overnight.base.errors import ConfigError, PermanentError, one_line
from overnight.base.files import write_json
from overnight.base.hiding import HIDDEN
from overnight.studio.ffmpeg import made_whole
from overnight.studio.probe import probe

Json = dict[str, Any]
ORDER, VIDEO = "order.json", "video.mp4"
ANSWER_S, MOST_BYTES, MOST_MOVES = 60.0, 2_000_000_000, 5
BUSY = (408, 409, 425, 429, 500, 502, 503, 504)


@dataclass(frozen=True, kw_only=True)
class Made:
    """How an order stands: where its video is once it is done, why there is none, or how far it is (0 to 1)."""

    url: str | None = None
    failed: str | None = None
    share: float = 0.0


class VideoService(ABC):
    """Settings: `url`, `model`, `ratio`, `seconds`, `poll_s` (5) and `timeout_s` (1800) of the whole order."""

    url: str
    model: str
    ratio: str
    seconds: int

    def act(self, item: Json, ctx: ActContext) -> Json:
        """Return where the video is that the service has made of the brief.

        Raises:
            TransientError: it does not answer, or is busy.
            ConfigError: it does not take the key, or a setting is wrong. PermanentError: it refuses, or fails.
        """
        known = {"url": self.url, "model": self.model, "ratio": self.ratio, "seconds": self.seconds}
        settings = {**known, "poll_s": 5.0, "timeout_s": 1800.0, **ctx.settings}
        wrong = sorted({*ctx.settings} - {*known, "poll_s", "timeout_s"})
        if wrong:
            raise ConfigError(f"settings: there is no {wrong[0]!r}; known are {', '.join(settings)}")
        asked = prompt(item)
        with _Line(str(settings["url"]), self.headers(ctx.key or ""), ctx.key or "") as line:
            try:
                order = self._ordered(line, asked, settings, ctx.folder)
                url = self._waited_for(line, order, settings, ctx)
            except (KeyError, IndexError, TypeError) as error:
                raise PermanentError(f"{line.host}: answered something else than was expected: {error!r}") from error
            line.fetch(url, ctx.folder / VIDEO)
        media = probe(ctx.folder / VIDEO)
        return {"path": str(ctx.folder / VIDEO), "prompt": asked, "order": order, "duration_s": media.duration_s}

    def _ordered(self, line: "_Line", asked: str, settings: Json, folder: Path) -> str:
        """Return the name of the order: the one that was placed by an earlier try, else of a new one."""
        try:
            return str(json.loads((folder / ORDER).read_text())["order"])
        except FileNotFoundError:
            order = self.order(line, asked, settings)
        write_json(folder / ORDER, {"order": order, "prompt": asked})
        return order

    def _waited_for(self, line: "_Line", order: str, settings: Json, ctx: ActContext) -> str:
        clock, waiting = SystemClock(), threading.Event()
        until_s = clock.monotonic() + settings["timeout_s"]
        while True:
            made = self.look(line, order)
            if made.failed is not None:
                (ctx.folder / ORDER).unlink()
                raise PermanentError(f"{line.host} could not make the video: {made.failed}")
            if made.url is not None:
                return made.url
            ctx.progress(round(100 * made.share), 100, order=order)
            if ctx.cancelled or clock.monotonic() > until_s:
                why = "was asked to stop" if ctx.cancelled else f"was not done within {settings['timeout_s']:g} s"
                raise TransientError(f"{line.host}: order {order} {why}; another try goes on waiting for it")
            waiting.wait(settings["poll_s"])

    @abstractmethod
    def headers(self, key: str) -> Mapping[str, str]:
        """Return the headers that carry the key."""

    @abstractmethod
    def order(self, line: "_Line", asked: str, settings: Json) -> str:
        """Order a video, and return the name of the order."""

    @abstractmethod
    def look(self, line: "_Line", order: str) -> Made:
        """Return how an order stands."""


class Runway(VideoService):
    """Runway, or who speaks its protocol."""

    url, model, ratio, seconds = "https://api.dev.runwayml.com", "veo3.1_fast", "1280:720", 8

    def headers(self, key: str) -> Mapping[str, str]:
        """Return the headers that carry the key."""
        return {"Authorization": f"Bearer {key}", "X-Runway-Version": "2024-11-06"}

    def order(self, line: "_Line", asked: str, settings: Json) -> str:
        """Order a video, and return the name of the order."""
        body = {"model": settings["model"], "promptText": asked[:1000], "ratio": settings["ratio"]}
        return str(line.ask("POST", "/v1/text_to_video", {**body, "duration": settings["seconds"]})["id"])

    def look(self, line: "_Line", order: str) -> Made:
        """Return how an order stands."""
        task = line.ask("GET", f"/v1/tasks/{order}")
        if task["status"] in ("FAILED", "CANCELLED"):
            return Made(failed=str(task.get("failure") or task["status"].lower()))
        done = task["status"] == "SUCCEEDED"
        return Made(url=str(task["output"][0]) if done else None, share=float(task.get("progress") or 0.0))


class Veo(VideoService):
    """Veo in Google's Gemini API, or who speaks its protocol."""

    url, model, ratio, seconds = "https://generativelanguage.googleapis.com", "veo-3.1-fast-generate-preview", "16:9", 8

    def headers(self, key: str) -> Mapping[str, str]:
        """Return the headers that carry the key."""
        return {"x-goog-api-key": key}

    def order(self, line: "_Line", asked: str, settings: Json) -> str:
        """Order a video, and return the name of the order."""
        wanted = {"aspectRatio": settings["ratio"], "durationSeconds": settings["seconds"]}
        body = {"instances": [{"prompt": asked}], "parameters": wanted}
        return str(line.ask("POST", f"/v1beta/models/{settings['model']}:predictLongRunning", body)["name"])

    def look(self, line: "_Line", order: str) -> Made:
        """Return how an order stands."""
        operation = line.ask("GET", f"/v1beta/{order}")
        if operation.get("error"):
            return Made(failed=str(operation["error"].get("message", "no reason given")))
        if not operation.get("done"):
            return Made()
        made = operation["response"]["generateVideoResponse"]
        if not made.get("generatedSamples"):
            return Made(failed="; ".join(made.get("raiMediaFilteredReasons", ())) or "it made no video")
        return Made(url=str(made["generatedSamples"][0]["video"]["uri"]))


class _Line:
    """Asks a service; no message holds its key, and no other host is told it."""

    def __init__(self, url: str, headers: Mapping[str, str], key: str) -> None:
        self._url, self._headers, self._key = url.rstrip("/"), headers, key
        self.host = httpx.URL(url).host or url
        self._client = httpx.Client(timeout=ANSWER_S)

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def ask(self, method: str, path: str, body: Json | None = None) -> Json:
        """Return the JSON object that the service answers."""
        try:
            answer = self._client.request(method, f"{self._url}{path}", json=body, headers=dict(self._headers))
            self._refused(answer)
            found = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            raise TransientError(self._hidden(f"{type(error).__name__}: {error}")) from None
        if not isinstance(found, dict):
            raise PermanentError(self._hidden("did not answer with a JSON object"))
        return found

    def fetch(self, url: str, path: Path) -> None:
        """Write what is at an address into a file; another host than the service's own is not told the key."""
        try:
            for _ in range(MOST_MOVES):
                headers = dict(self._headers) if httpx.URL(url).host == self.host else {}
                with self._client.stream("GET", url, headers=headers) as answer:
                    if not answer.has_redirect_location:
                        self._write(answer, path)
                        return
                    url = urljoin(url, answer.headers["location"])
        except httpx.HTTPError as error:
            raise TransientError(self._hidden(f"{type(error).__name__}: {error}")) from None
        raise PermanentError(self._hidden("sends from one address to another"))

    def _write(self, answer: httpx.Response, path: Path) -> None:
        if answer.is_error:
            answer.read()
        self._refused(answer)
        with made_whole(path) as made, made.open("wb") as file:
            for piece in answer.iter_bytes():
                if file.tell() + len(piece) > MOST_BYTES:
                    raise PermanentError(self._hidden(f"sends more than {MOST_BYTES // 10**6} MB"))
                file.write(piece)

    def _refused(self, answer: httpx.Response) -> None:
        if answer.is_success:
            return
        why = self._hidden(f"answered {answer.status_code}: {answer.text[:300]}")
        if answer.status_code in (401, 403):
            raise ConfigError(f"{why}; does the variable of its `key` hold the right one?")
        raise (TransientError if answer.status_code in BUSY else PermanentError)(why)

    def _hidden(self, text: str) -> str:
        line = f"{self.host}: {one_line(text)}"
        return line.replace(self._key, HIDDEN) if self._key else line
