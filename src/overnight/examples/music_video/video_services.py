"""Services that make videos of a prompt: each is asked once, waited for, and its video fetched.

5a speaks Runway's protocol (docs.dev.runwayml.com: /v1/text_to_video, /v1/tasks/ID), 5b that of Veo in Google's
Gemini API (ai.google.dev/gemini-api/docs/video: models/MODEL:predictLongRunning, operations). What was ordered stands
in order.json before it is waited for, so that an agent that is killed meanwhile goes on waiting for it and does not pay
twice. An order whose answer was lost on the way is not placed again by itself, as the service may have taken it: the
error says so. Only an agent that is killed in the very moment of ordering cannot know of its order.
"""

import json
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin

import httpx
from brief import SERVICES
from treatment import prompt

from overnight import ActContext, TransientError
from overnight.base.clock import SystemClock
from overnight.base.errors import ConfigError, NotJson, NotMeasured, OvernightError, PermanentError, one_line, said_by
from overnight.base.files import write_json
from overnight.base.hiding import Hiding
from overnight.studio.ffmpeg import made_whole
from overnight.studio.probe import probe

Json = dict[str, Any]
ORDER, VIDEO = "order.json", "video.mp4"
ANSWER_S, MOST_BYTES, MOST_MOVES = 60.0, 2_000_000_000, 5
MOST_ANSWER = 1_000_000
"""Bytes of the longest answer in JSON."""
MOST_SAID = 300
"""Characters of the longest text of a service that an error repeats, and of the longest name of an order."""
MOST_TRIES = 5
"""How often a finished video is fetched before another try of the agent is to do it."""
BUSY = (408, 409, 425, 429, 500, 502, 503, 504)
NOT_ORDERED = (408, 425, 429, 503)
"""An order that is answered so was not taken, and may be placed again."""
NOT_THERE = (401, 403, 404, 410)
"""So a host answers for a video whose address is too old: a fresh one is asked for."""
UNFIT = (KeyError, IndexError, TypeError, ValueError, AttributeError, OverflowError)


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
    named: str
    """What the name of an order is called where the service answers with it."""
    most_letters: int | None = None
    """The longest prompt that the service takes."""

    def act(self, item: Json, ctx: ActContext) -> Json:
        """Return where the video is that the service has made of the brief.

        Raises:
            NotMeasured: another service of the production has made the video already.
            TransientError: it does not answer, is busy, or is not done in time; what was ordered is waited for again.
            ConfigError: it does not take the key, or a setting is wrong.
            PermanentError: it refuses or fails, or nobody knows whether it has taken the order.
        """
        key = _usable(ctx.key or "")
        try:
            return self._act(item, ctx, key)
        except OvernightError as error:
            error.args = (hidden(str(error), key),)
            raise error from None

    def _act(self, item: Json, ctx: ActContext, key: str) -> Json:
        settings = self._settings(ctx.settings)
        _not_made_yet(item, ctx.folder)
        asked = fitting(item, self.most_letters)
        with httpx.Client(timeout=ANSWER_S) as client:
            line = _Line(client, settings["url"], self.headers(key), key)
            order = self._ordered(line, asked, settings, ctx.folder)
            self._wait_for(line, order, _Wait(ctx, settings), ctx)
        media = probe(ctx.folder / VIDEO)
        return {"path": str(ctx.folder / VIDEO), "prompt": asked, "order": order, "duration_s": media.duration_s}

    def _settings(self, given: Mapping[str, Any]) -> Json:
        """Return the settings; ConfigError where one is unknown or wrong."""
        own = {name: getattr(self, name) for name in ("url", "model", "ratio", "seconds")}
        settings = {**own, "poll_s": 5.0, "timeout_s": 1800.0, **given}
        for name, value in settings.items():
            if name not in FIT:
                raise ConfigError(f"settings: there is no {name!r}; known are {', '.join(FIT)}")
            if not FIT[name][0](value):
                raise ConfigError(f"settings.{name} must be {FIT[name][1]}")
        return settings

    def _ordered(self, line: "_Line", asked: str, settings: Json, folder: Path) -> str:
        """Return the name of the order: the one that an earlier try has placed for the same, else of a new one.

        Raises:
            TransientError, ConfigError: as `_Line.order`. PermanentError: as there, or the order's name is not known.
        """
        same = {"prompt": asked, "service": type(self).__name__, "url": settings["url"]}
        if (kept := _kept(folder / ORDER, same)) is not None:
            return kept
        order = line.order(*self.wanted(asked, settings)).get(self.named)
        if not isinstance(order, str) or not 0 < len(order) <= MOST_SAID:
            raise line.in_doubt(f"answered something else than was expected: no {self.named!r} of an order")
        try:
            write_json(folder / ORDER, {"order": order, **same})
        except (OSError, ValueError, NotJson) as error:
            raise line.in_doubt(f"order {order} cannot be kept in {ORDER}: {error}") from None
        return order

    def _wait_for(self, line: "_Line", order: str, wait: "_Wait", ctx: ActContext) -> None:
        """Write the video into the folder once it is made; what may go away by itself is waited for as well.

        Raises:
            TransientError: it is not done in time, somebody asked to stop, or the video cannot be fetched now.
            ConfigError: the key is not taken. PermanentError: the service fails, or refuses.
        """
        url, tries = None, 0
        while True:
            met: OvernightError | None = None
            try:
                url = url or self._look(line, order, ctx)
                if url is not None:
                    tries += 1
                    line.fetch(url, ctx.folder / VIDEO, wait)
                    return
            except TransientError as error:
                met = error
            except _NotThere as gone:
                url, met = None, gone.error
            if met is not None and tries >= MOST_TRIES:
                raise met
            if why := wait.over():
                last = f" (last: {met})" if met is not None else ""
                raise TransientError(f"{line.host}: order {order} {why}; another try goes on waiting for it{last}")
            wait.pause()

    def _look(self, line: "_Line", order: str, ctx: ActContext) -> str | None:
        """Return where the video of an order is, None while it is being made.

        Raises:
            TransientError, ConfigError: as `_Line.look`. PermanentError: as there, or the order has failed.
        """
        answer = line.look(self.place(order))
        try:
            made = self.made(answer)
            percent = round(100 * made.share)
        except UNFIT as error:
            raise PermanentError(line.said(f"answered something else than was expected: {error!r}")) from None
        if made.failed is not None:
            (ctx.folder / ORDER).unlink(missing_ok=True)
            raise PermanentError(f"{line.host} could not make the video: {line.cut(made.failed)}")
        if made.url is None:
            ctx.progress(percent, 100, order=order)
        return made.url

    @abstractmethod
    def headers(self, key: str) -> Mapping[str, str]:
        """Return the headers that carry the key."""

    @abstractmethod
    def wanted(self, asked: str, settings: Json) -> tuple[str, Json]:
        """Return where a video is ordered, and the order."""

    @abstractmethod
    def place(self, order: str) -> str:
        """Return where it is told how an order stands."""

    @abstractmethod
    def made(self, answer: Json) -> Made:
        """Return how an order stands; raises one of UNFIT where the answer does not say it."""


class Runway(VideoService):
    """Runway, or who speaks its protocol."""

    url, model, ratio, seconds = "https://api.dev.runwayml.com", "veo3.1_fast", "1280:720", 8
    named, most_letters = "id", 1000

    def headers(self, key: str) -> Mapping[str, str]:
        """Return the headers that carry the key."""
        return {"Authorization": f"Bearer {key}", "X-Runway-Version": "2024-11-06"}

    def wanted(self, asked: str, settings: Json) -> tuple[str, Json]:
        """Return where a video is ordered, and the order."""
        body = {"model": settings["model"], "promptText": asked, "ratio": settings["ratio"]}
        return "/v1/text_to_video", {**body, "duration": settings["seconds"]}

    def place(self, order: str) -> str:
        """Return where it is told how an order stands."""
        return f"/v1/tasks/{quote(order, safe='')}"

    def made(self, answer: Json) -> Made:
        """Return how an order stands; raises one of UNFIT where the answer does not say it."""
        if answer["status"] in ("FAILED", "CANCELLED"):
            return Made(failed=str(answer.get("failure") or answer["status"].lower()))
        if answer["status"] == "SUCCEEDED":
            return Made(url=_text(answer["output"][0]))
        return Made(share=float(answer.get("progress") or 0.0))


class Veo(VideoService):
    """Veo in Google's Gemini API, or who speaks its protocol."""

    url, model, ratio, seconds = "https://generativelanguage.googleapis.com", "veo-3.1-fast-generate-preview", "16:9", 8
    named = "name"

    def headers(self, key: str) -> Mapping[str, str]:
        """Return the headers that carry the key."""
        return {"x-goog-api-key": key}

    def wanted(self, asked: str, settings: Json) -> tuple[str, Json]:
        """Return where a video is ordered, and the order."""
        wanted = {"aspectRatio": settings["ratio"], "durationSeconds": settings["seconds"]}
        path = f"/v1beta/models/{quote(settings['model'], safe='')}:predictLongRunning"
        return path, {"instances": [{"prompt": asked}], "parameters": wanted}

    def place(self, order: str) -> str:
        """Return where it is told how an order stands."""
        return f"/v1beta/{quote(order)}"

    def made(self, answer: Json) -> Made:
        """Return how an order stands; raises one of UNFIT where the answer does not say it."""
        if error := answer.get("error"):
            return Made(failed=error if isinstance(error, str) else str(error.get("message", "no reason given")))
        if not answer.get("done"):
            return Made()
        made = answer["response"]["generateVideoResponse"]
        if not made.get("generatedSamples"):
            return Made(failed="; ".join(made.get("raiMediaFilteredReasons", ())) or "it made no video")
        return Made(url=_text(made["generatedSamples"][0]["video"]["uri"]))


def fitting(item: Json, most: int | None) -> str:
    """Return what is asked for in at most so many characters: the refiner's part is shortened, never the brief's.

    Raises:
        PermanentError: what is said of the brief is too long by itself.
    """
    whole = prompt(item)
    if most is None or len(whole) <= most:
        return whole
    about = prompt({name: value for name, value in item.items() if name != "prompt_refiner"})
    if len(about) > most:
        raise PermanentError(f"the brief takes {len(about)} characters, and the service {most}: nothing was ordered")
    words = whole.removesuffix(about)[: max(0, most - len(about) - 1)]
    return f"{(words.rpartition(' ')[0] or words).rstrip()} {about}".strip()


def hidden(text: str, key: str) -> str:
    """Return a text on one line, with asterisks for the key in any form that it may have there."""
    return Hiding([key], shortest=1).text(one_line(text))


class _Wait:
    """How long an order is waited for, and whether somebody asked to stop."""

    def __init__(self, ctx: ActContext, settings: Json) -> None:
        self._ctx, self._clock, self._waiting = ctx, SystemClock(), threading.Event()
        self._poll_s, self._timeout_s = settings["poll_s"], settings["timeout_s"]
        self._until_s = self._clock.monotonic() + self._timeout_s

    def over(self) -> str | None:
        """Return why it is not waited for any longer."""
        if self._ctx.cancelled:
            return "was asked to stop"
        late = self._clock.monotonic() >= self._until_s
        return f"was not done within {self._timeout_s:g} s" if late else None

    def pause(self) -> None:
        """Wait until the next look is due, or the time is over."""
        until_s = min(self._clock.monotonic() + self._poll_s, self._until_s)
        while (left_s := until_s - self._clock.monotonic()) > 0 and not self._ctx.cancelled:
            self._waiting.wait(min(left_s, 1.0))


class _NotThere(Exception):
    """A video is not at its address (any more); `error` is what is said when no fresh one helps."""

    def __init__(self, error: OvernightError) -> None:
        super().__init__(str(error))
        self.error = error


class _Line:
    """Asks a service; no message holds its key, and no other host is told it."""

    def __init__(self, client: httpx.Client, url: str, headers: Mapping[str, str], key: str) -> None:
        self._url, self._headers, self._key = url.rstrip("/"), headers, key
        self._home = _address(url)
        self.host, self._client = self._home.host, client

    def order(self, path: str, body: Json) -> Json:
        """Return the JSON object that an order is answered with.

        Raises:
            TransientError: nothing was ordered, and another try may do it. ConfigError: the key is not taken.
            PermanentError: the order is refused, or nobody knows whether it was taken.
        """
        try:
            return self._told("POST", path, NOT_ORDERED, json=body)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise TransientError(self.said(said_by(error))) from None
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise self.in_doubt(said_by(error)) from None

    def look(self, path: str) -> Json:
        """Return the JSON object that stands at a path.

        Raises:
            TransientError: the service does not answer with one now. ConfigError: the key is not taken.
            PermanentError: the service refuses.
        """
        try:
            return self._told("GET", path, BUSY)
        except (httpx.HTTPError, ValueError, RecursionError) as error:
            raise TransientError(self.said(said_by(error))) from None

    def fetch(self, url: str, path: Path, wait: _Wait) -> None:
        """Write what is at an address into a file; another host than the service's own is not told the key.

        Raises:
            _NotThere: it is not there. TransientError: not now, or the wait is over. PermanentError: it cannot be had.
        """
        try:
            for _ in range(MOST_MOVES):
                at = _address(url)
                headers = dict(self._headers) if _origin(at) == _origin(self._home) else {}
                with self._client.stream("GET", at, headers=headers) as answer:
                    if not answer.has_redirect_location:
                        self._write(answer, path, wait, keyed=bool(headers))
                        return
                    url = urljoin(url, answer.headers["location"])
        except httpx.HTTPError as error:
            raise TransientError(self.said(said_by(error))) from None
        except ValueError as error:
            raise PermanentError(self.said(f"the video has no address: {error}")) from None
        raise PermanentError(self.said("sends from one address to another"))

    def said(self, text: str) -> str:
        """Return a text on one line, behind the host and without the key."""
        return f"{self.host}: {self.cut(text)}"

    def cut(self, text: str) -> str:
        """Return the beginning of a text on one line, without the key."""
        return hidden(text, self._key)[:MOST_SAID]

    def in_doubt(self, text: str) -> PermanentError:
        """Return the error for an order of which nobody knows whether it was taken."""
        return PermanentError(f"{self.said(text)}; it may have been ordered: look at the service before you try again")

    def _told(self, method: str, path: str, busy: Collection[int], **body: Json) -> Json:
        """Return the JSON object that the service answers; ValueError where it answers none."""
        with self._client.stream(method, f"{self._url}{path}", headers=dict(self._headers), **body) as answer:
            self._refused(answer, busy, keyed=True)
            content = _beginning(answer)
        if len(content) > MOST_ANSWER:
            raise ValueError(f"answered more than {MOST_ANSWER // 10**6} MB")
        found = json.loads(content)
        if not isinstance(found, dict):
            raise ValueError("did not answer with a JSON object")
        return found

    def _write(self, answer: httpx.Response, path: Path, wait: _Wait, *, keyed: bool) -> None:
        try:
            self._refused(answer, BUSY, keyed=keyed)
        except OvernightError as error:
            raise (_NotThere(error) if answer.status_code in NOT_THERE else error) from None
        with made_whole(path) as made, made.open("wb") as file:
            for piece in answer.iter_bytes():
                if why := wait.over():
                    raise TransientError(self.said(f"the fetching of the video {why}"))
                if file.tell() + len(piece) > MOST_BYTES:
                    raise PermanentError(self.said(f"sends more than {MOST_BYTES // 10**6} MB"))
                file.write(piece)

    def _refused(self, answer: httpx.Response, busy: Collection[int], *, keyed: bool) -> None:
        if answer.is_success:
            return
        status = answer.status_code
        why = f"answered {status}: {_beginning(answer).decode(errors='replace')}"
        if status in (401, 403) and keyed:
            raise ConfigError(f"{self.said(why)}; does the variable of its `key` hold the right one?")
        if status in busy:
            raise TransientError(self.said(why))
        if answer.request.method == "POST" and answer.is_server_error:
            raise self.in_doubt(why)
        raise PermanentError(self.said(why))


def _beginning(answer: httpx.Response) -> bytes:
    """Return what is answered, or of a longer answer a little more than may be read."""
    content = bytearray()
    for piece in answer.iter_bytes():
        content += piece
        if len(content) > MOST_ANSWER:
            break
    return bytes(content)


def _usable(key: str) -> str:
    if not key:
        raise ConfigError("the service wants a key, and the variable of `key` holds none")
    if not all("!" <= letter <= "~" for letter in key):
        raise ConfigError("the variable of `key` holds characters that are in no key: white space, or not of ASCII")
    return key


def _not_made_yet(item: Json, folder: Path) -> None:
    for name in SERVICES:
        made = item.get(name)
        path = made.get("path") if isinstance(made, dict) else None
        if path and path != str(folder / VIDEO):
            raise NotMeasured(f"{name} has made the video already: nothing was ordered")


def _kept(path: Path, same: Json) -> str | None:
    """Return the name of the order that was placed for the same."""
    try:
        kept = json.loads(path.read_bytes())
        return _text(kept["order"]) if kept == {"order": kept["order"], **same} else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None


def _address(text: str) -> httpx.URL:
    """Return an address of the web; ValueError where it is none."""
    try:
        url = httpx.URL(text)
        is_fit = url.scheme in ("http", "https") and bool(url.host) and (url.port is None or 0 < url.port < 1 << 16)
    except httpx.InvalidURL as error:
        raise ValueError(str(error)) from None
    if not is_fit:
        raise ValueError("it is no address of http:// or https://")
    return url


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port


def _is_service(value: object) -> bool:
    """Return whether a service may be told the key at an address."""
    try:
        url = _address(_text(value))
        bare = not (url.userinfo or url.query or url.fragment)
        return bare and (url.scheme == "https" or url.host == "localhost" or ip_address(url.host).is_loopback)
    except (TypeError, ValueError):
        return False


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _is_number(value: object, least: float, most: float) -> bool:
    return type(value) in (int, float) and least <= value <= most


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in the place of a text")
    return value


FIT: dict[str, tuple[Callable[[Any], bool], str]] = {
    "url": (_is_service, "an address of https://, or of http:// on this machine, without a name, query or fragment"),
    "model": (_is_text, "a text"),
    "ratio": (_is_text, "a text"),
    "seconds": (lambda value: isinstance(value, int) and _is_number(value, 1, 60), "a whole number from 1 to 60"),
    "poll_s": (lambda value: _is_number(value, 0.01, 600), "a number from 0.01 to 600"),
    "timeout_s": (lambda value: _is_number(value, 0, 3500) and value > 0, "a number above 0 and at most 3500"),
}
"""What each setting must be; an act itself ends after 3600 s."""
