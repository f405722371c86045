"""One request over HTTP, through the client of the library openai, which is kept open. No retries, no money."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from overnight.base.clock import Clock
from overnight.base.errors import MissingExtra, UserMistake, one_line
from overnight.llm.replay import Answer

if TYPE_CHECKING:
    import openai

MOST_BYTES = 16 * 1024 * 1024
"""Of an answer; no model says as much, and a broken server may send for ever."""
_SAID = 400
_NOT_SENT = ("ConnectError", "ConnectTimeout", "PoolTimeout")
"""What the transport below openai raises before a request is on its way."""
_NO_KEY = "none"
"""The library wants one, and would take another endpoint's from the environment."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """Where a language model answers. `base_url` ends before `/chat/completions`, such as "http://localhost:8000/v1".

    An answer must be there within `timeout_s`. With `stream` it comes in pieces, for proxies that cut what is silent.
    """

    base_url: str
    api_key: str | None = field(default=None, repr=False)
    timeout_s: float = 120.0
    stream: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no address.

        Raises:
            UserMistake: the address or the time cannot be used.
        """
        try:
            parts = urlsplit(self.base_url)
            fine = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
        except ValueError:
            fine = False
        if not fine:
            raise UserMistake("base_url: it is not an address such as http://localhost:8000/v1")
        if parts.username is not None or parts.password is not None or parts.query:
            raise UserMistake("base_url: leave out what is secret; the key is named by api_key_env")
        if not 0 < self.timeout_s <= 86_400:
            raise UserMistake(f"timeout_s: {self.timeout_s!r} is not from above 0 to 86400")


class Trouble(Exception):
    """There is no answer. `status` is the code of HTTP, where there was one; `sent`: it may have been worked on.

    `retry_after` is the header of that name. The message says what happened, in one line, without the key.
    """

    def __init__(
        self, said: str, *, status: int | None = None, retry_after: str | None = None, sent: bool = True
    ) -> None:
        super().__init__(said)
        self.status, self.retry_after, self.sent = status, retry_after, sent
        self.late = False


class Garbled(Exception):
    """There is an answer, and it is not what the protocol says. Its tokens are unknown."""


class Wire:
    """Asks an endpoint. Safe to use from any thread; close it."""

    def __init__(self, endpoint: Endpoint, clock: Clock) -> None:
        """Open no connection yet.

        Raises:
            MissingExtra: openai is not installed.
        """
        try:
            import openai
        except ImportError:
            raise MissingExtra("language models need the extra `llm`: pip install 'overnight[llm]'") from None
        self._endpoint, self._now_s = endpoint, clock.monotonic
        self._openai = openai
        self._client: openai.OpenAI = openai.OpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key or _NO_KEY,
            timeout=endpoint.timeout_s,
            max_retries=0,
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def send(self, body: Mapping[str, Any]) -> Answer:  # Any: JSON
        """Send one request to `/chat/completions` and return the answer.

        Raises:
            Trouble: there is none.
            Garbled: there is one that cannot be read.
        """
        until_s = self._now_s() + self._endpoint.timeout_s
        try:
            with self._client.chat.completions.with_streaming_response.create(**body) as response:
                pieces = self._timely(response.iter_bytes(), until_s)
                return _streamed(pieces) if body.get("stream") else _whole(pieces)
        except Garbled:
            raise
        except self._openai.APIStatusError as error:
            raise self._status(error) from None
        except self._openai.APIConnectionError as error:
            raise self._cut(error, error.__cause__ or error) from None
        except Exception as error:
            # While an answer is read, errors are the transport's own, which is another library from openai 3 on.
            if type(error).__module__.partition(".")[0] not in ("httpx", "httpx2", "httpcore", "httpcore2"):
                raise
            raise self._cut(error, error) from None

    def _timely(self, pieces: Iterator[bytes], until_s: float) -> Iterator[bytes]:
        """Yield the pieces, as long as they come in time and are not too many."""
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > MOST_BYTES:
                raise Garbled(f"it is longer than {MOST_BYTES:,} bytes")
            if self._now_s() > until_s:
                raise self._late()
            yield piece

    def _late(self) -> Trouble:
        trouble = Trouble(f"there was no answer within {self._endpoint.timeout_s:g} s")
        trouble.late = True
        return trouble

    def _cut(self, error: BaseException, cause: BaseException) -> Trouble:
        name = type(cause).__name__
        if "Timeout" in name and name not in _NOT_SENT:
            return self._late()
        return Trouble(self._said(f"{name}: {cause or error}"), sent=name not in _NOT_SENT)

    def _status(self, error: "openai.APIStatusError") -> Trouble:
        said = self._said(f"HTTP {error.status_code}: {error.message}")
        return Trouble(said, status=error.status_code, retry_after=error.response.headers.get("retry-after"))

    def _said(self, text: str) -> str:
        key = self._endpoint.api_key
        return one_line(text.replace(key, "***") if key else text)[:_SAID]


def _whole(pieces: Iterator[bytes]) -> Answer:
    told = _object(b"".join(pieces))
    try:
        choice = told["choices"][0]
        content, finish = choice["message"].get("content"), choice.get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Garbled("there is no choice in it") from None
    return _answer(content if content is not None else "", finish, told.get("usage"))


def _streamed(pieces: Iterator[bytes]) -> Answer:
    """Return what the events of a stream come to (`data: JSON`, the last one `data: [DONE]`)."""
    content, finish, usage, ended = [], None, None, False
    for data in _events(pieces):
        if data == b"[DONE]":
            ended = True
            break
        told = _object(data)
        usage = told.get("usage") or usage
        try:
            for choice in told.get("choices") or ():
                content.append(choice["delta"].get("content") or "")
                finish = choice.get("finish_reason") or finish
        except (KeyError, TypeError, AttributeError):
            raise Garbled("an event of the stream is no piece of an answer") from None
    if not ended and finish is None:
        raise Garbled("the stream was cut off")
    if not all(isinstance(piece, str) for piece in content):
        raise Garbled("the answer is no text")
    return _answer("".join(content), finish, usage)


def _events(pieces: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line[5:].strip() for line in lines if line.startswith(b"data:"))
    if rest.startswith(b"data:"):
        yield rest[5:].strip()


def _object(text: bytes) -> dict[str, Any]:  # Any: JSON
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise Garbled("it is not JSON") from None
    if not isinstance(told, dict):
        raise Garbled("it is not a JSON object")
    if "error" in told and "choices" not in told:
        raise Garbled(f"it tells of an error: {str(told['error'])[:200]}")
    return told


def _answer(content: Any, finish: Any, usage: Any) -> Answer:  # Any: JSON
    if not isinstance(content, str):
        raise Garbled("the answer is no text")
    counts = usage if isinstance(usage, dict) else {}
    tokens = [_count(counts.get(name)) for name in ("prompt_tokens", "completion_tokens")]
    return Answer(
        content=content,
        finish=finish if isinstance(finish, str) else None,
        tokens_in=tokens[0] if tokens[1] is not None else None,
        tokens_out=tokens[1] if tokens[0] is not None else None,
    )


def _count(value: Any) -> int | None:  # Any: JSON
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**12 else None
