"""Reading over HTTP, politely: slowly enough for the host, patient with what may go away, deaf to what is not allowed.

Variables of the environment set no proxy: what is asked depends on the project's settings alone, and behind a proxy
nobody could check the address that answers.
"""

import base64
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from overnight.base.backoff import Backoff
from overnight.base.clock import US, Clock, from_datetime
from overnight.base.config import shown
from overnight.base.errors import ConfigError, MissingExtra, PermanentError, TransientError, UserMistake
from overnight.data.templates import HEADER_VALUE, checked_headers
from overnight.data.wire import PORTS, Deadline, Reply, fetch

if TYPE_CHECKING:
    import ssl

    from httpx import URL

MAX_REDIRECTS = 5
MAX_RETRY_AFTER_S = 60.0
"""The longest wait that a server may ask for before the next try."""
BACKOFF = Backoff(base_s=0.5, cap_s=30.0)
LONGEST_SHOWN = 300
"""Characters of an address that a message shows at the most."""

_REDIRECTS = {301, 302, 303, 307, 308}
_TRANSIENT = {408, 425, 429}


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What was read: status 200 with the body, or 304, which means not modified, without one."""

    status: int
    body: bytes
    url: str
    """The address that answered in the end, without a user's name and password."""
    etag: str | None
    last_modified: str | None
    content_type: str | None


class Web:
    """A polite HTTP client. Safe to call from any thread: the threads share one rate limit for each host.

    `pause` waits for so many seconds.
    """

    def __init__(self, clock: Clock, *, private_addresses: bool, pause: Callable[[float], None] = time.sleep) -> None:
        self._clock = clock
        self._private_addresses = private_addresses
        self._pause = pause
        self._pace = _Pace(clock, pause)

    def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str],
        etag: str | None,
        last_modified: str | None,
        timeout_s: float,
        max_retries: int,
        per_second: float,
        max_bytes: int,
    ) -> Answer:
        """Read the address; a request and its redirects have `timeout_s` seconds together, waits for the rate aside.

        `headers`, and a name and password in the address, go to the origin of `url` only, whatever it redirects to.
        `etag` and `last_modified`, of an earlier answer, ask for a new one only if it differs.

        Raises:
            UserMistake: the address or a header is none that can be asked for, or leads to this machine or its private
                networks, which the settings forbid.
            TransientError: no usable answer after all tries; it may go away by itself.
            PermanentError: the server refuses, or answers with something that cannot be read.
            MissingExtra: the extra `data` is not installed.
        """
        address = parse_address(url, "url")
        ask = _Ask(
            url=address.copy_with(userinfo=b""),
            headers={**_login(address), **checked_headers(headers, "headers")},
            etag=etag,
            last_modified=last_modified,
            timeout_s=timeout_s,
            per_second=per_second,
            max_bytes=max_bytes,
        )
        tries = 1
        while True:
            try:
                return self._follow(ask)
            except TransientError as error:
                self._pause(_wait_s(error, tries, max_retries))
            except PermanentError as error:
                raise PermanentError(f"{error} ({_tries(tries)})") from error
            tries += 1

    def _follow(self, ask: "_Ask") -> Answer:
        """Ask once, wherever it leads."""
        url = ask.url
        until = self._clock.monotonic() + ask.timeout_s
        for _ in range(MAX_REDIRECTS + 1):
            until += self._pace.wait(url.host, ask.per_second)
            try:
                reply = self._hop(ask, url, until)
                if reply.status not in _REDIRECTS:
                    return _judged(ask, url, reply, self._clock)
                url = _target(url, reply.headers.get("location", ""))
            except _Refused:
                raise
            except (TransientError, PermanentError, UserMistake) as error:
                raise type(error)(f"{displayed(url)}: {error}") from error
        raise PermanentError(f"{displayed(ask.url)}: redirects more than {MAX_REDIRECTS} times")

    def _hop(self, ask: "_Ask", url: "URL", until: float) -> Reply:
        return fetch(
            url,
            ask.headers_for(url),
            deadline=Deadline(clock=self._clock, until_s=until),
            max_bytes=ask.max_bytes,
            private_addresses=self._private_addresses,
            context=self._tls if url.scheme == "https" else None,
        )

    @cached_property
    def _tls(self) -> "ssl.SSLContext":
        import httpx

        context = httpx.create_ssl_context(trust_env=False)
        # A company's own authority is among the machine's certificates, not among the library's.
        context.load_default_certs()
        return context


class _Refused(TransientError):
    """The server answered that it cannot answer now, and perhaps when it can."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, kw_only=True)
class _Ask:
    """What is asked for, with the address that no redirect changes."""

    url: "URL"
    headers: Mapping[str, str]
    etag: str | None
    last_modified: str | None
    timeout_s: float
    per_second: float
    max_bytes: int

    def headers_for(self, url: "URL") -> list[tuple[str, str]]:
        """Return the headers for one hop: the project's own ones only where the first address leads."""
        own = {"accept": "*/*", "user-agent": "overnight"}
        if origin(url) == origin(self.url):
            own |= {name.lower(): value for name, value in self.headers.items()}
        own |= {"accept-encoding": "gzip, deflate", "connection": "close"}
        # Validators that cannot be sent are left out: then all is read again.
        asked = {"if-none-match": self.etag, "if-modified-since": self.last_modified}
        own |= {name: value for name, value in asked.items() if value and HEADER_VALUE.fullmatch(value)}
        return list(own.items())


class _Pace:
    """Keeps requests to one host apart, whoever asks."""

    def __init__(self, clock: Clock, pause: Callable[[float], None]) -> None:
        self._clock = clock
        self._pause = pause
        self._guard = threading.Lock()
        self._turns: dict[str, _Turn] = {}

    def wait(self, host: str, per_second: float) -> float:
        """Wait for this thread's turn at the host; return the seconds that it took."""
        with self._guard:
            turn = self._turns.setdefault(host, _Turn())
        began = self._clock.monotonic()
        # Waiting inside the lock keeps the distance even where a thread oversleeps.
        with turn.lock:
            if turn.last_s is not None:
                left = turn.last_s + 1 / per_second - self._clock.monotonic()
                if left > 0:
                    self._pause(left)
            turn.last_s = self._clock.monotonic()
        return turn.last_s - began


class _Turn:
    """When a host was asked last, on the monotonic clock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.last_s: float | None = None


def parse_address(text: str, where: str) -> "URL":
    """Return the address, normalised, without its fragment. `where` is the key of the setting.

    Raises:
        ConfigError: it cannot be read, or is not http or https; one that cannot be read is not repeated, for the
            secrets that may be in it.
        MissingExtra: the extra `data` is not installed.
    """
    try:
        import httpx
    except ImportError as error:
        raise MissingExtra("reading over HTTP needs the extra 'data': pip install 'overnight[data]'") from error
    try:
        url = httpx.URL(text).copy_with(fragment=None)
    except (httpx.InvalidURL, ValueError):
        raise ConfigError(f"{where}: this is no address; http://HOST/PATH or https://HOST/PATH is needed") from None
    if not is_web(url):
        raise ConfigError(
            f"{where}: {displayed(url)!r} is not allowed; http://HOST/PATH or https://HOST/PATH is needed"
        )
    return url


def is_web(url: "URL") -> bool:
    """Return whether the address, as it stands, can be asked over HTTP."""
    return url.scheme in PORTS and bool(url.host) and (url.port is None or 0 < url.port < 65_536)


def origin(url: "URL") -> tuple[str, str, int]:
    """Return scheme, host and port: who is asked."""
    return url.scheme, url.host, url.port or PORTS[url.scheme]


def displayed(url: "URL") -> str:
    """Return the address as it may be shown: on one line, of bounded length, without credentials.

    What is too long is left out as a whole, the query or the path: of a secret cut in two nobody would see one.
    """
    text = str(shown("url", str(url.copy_with(userinfo=b""))))
    place = text.partition("?")[0]
    if len(text) <= LONGEST_SHOWN:
        return text
    return f"{place}?..." if len(place) <= LONGEST_SHOWN else f"{url.scheme}://{url.netloc.decode('ascii')}/..."


def _login(url: "URL") -> dict[str, str]:
    if not url.userinfo:
        return {}
    name, _, password = url.userinfo.partition(b":")
    both = unquote_to_bytes(name) + b":" + unquote_to_bytes(password)
    return {"authorization": f"Basic {base64.b64encode(both).decode()}"}


def _judged(ask: _Ask, url: "URL", reply: Reply, clock: Clock) -> Answer:
    """Return the answer.

    Raises:
        TransientError: the server says that it may answer later.
        PermanentError: it says anything else than 200, or 304 where that was asked for.
    """
    unchanged = reply.status == HTTPStatus.NOT_MODIFIED and bool(ask.etag or ask.last_modified)
    if reply.status == HTTPStatus.OK or unchanged:
        return Answer(
            status=reply.status,
            body=reply.body,
            url=str(url),
            etag=reply.headers.get("etag", ask.etag if unchanged else None),
            last_modified=reply.headers.get("last-modified", ask.last_modified if unchanged else None),
            content_type=reply.headers.get("content-type"),
        )
    says = _named(reply.status)
    if reply.status in _TRANSIENT or reply.status >= 500:
        raise _Refused(f"{displayed(url)}: {says}", _retry_after_s(reply.headers.get("retry-after", ""), clock))
    raise PermanentError(says)


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _retry_after_s(text: str, clock: Clock) -> float:
    """Return the seconds that the header asks for, or 0: what cannot be read asks for nothing."""
    text = text.strip()
    if re.fullmatch(r"[0-9]+", text):
        return float(text)
    try:
        at = parsedate_to_datetime(text)
        # "-0000" says UTC without saying where the sender is.
        at = at if at.tzinfo else at.replace(tzinfo=UTC)
        return (from_datetime(at) - clock.now_us()) / US
    except (ValueError, OverflowError):
        return 0.0


def _wait_s(error: TransientError, tries: int, max_retries: int) -> float:
    """Return how long to wait before the next try.

    Raises:
        TransientError: there is none, or the server asks for too long a wait.
    """
    asked = error.retry_after_s if isinstance(error, _Refused) else 0.0
    if tries > max_retries:
        raise TransientError(f"{error} ({_tries(tries)})") from error
    if asked > MAX_RETRY_AFTER_S:
        raise TransientError(
            f"{error}; it asks for a wait of {asked:.0f} s, more than {MAX_RETRY_AFTER_S:.0f} s ({_tries(tries)})"
        ) from error
    return max(BACKOFF.wait_s(tries), asked)


def _tries(count: int) -> str:
    return "1 try" if count == 1 else f"{count} tries"


def _target(url: "URL", location: str) -> "URL":
    """Return where a redirect leads; a name and password in it are left out.

    Raises:
        PermanentError: nowhere that may be asked.
    """
    import httpx

    try:
        target = url.join(location).copy_with(userinfo=b"", fragment=None)
    except (httpx.InvalidURL, ValueError):
        raise PermanentError("redirects to something that is no address") from None
    if not location:
        raise PermanentError("redirects without saying where")
    if not is_web(target):
        raise PermanentError(f"redirects to {displayed(target)}, which is no address of the web")
    if url.scheme == "https" and target.scheme != "https":
        raise PermanentError(f"redirects from https down to {displayed(target)}, which anybody on the way can read")
    return target
