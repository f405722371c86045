"""One GET over one connection, over before one instant.

h11 reads the protocol and zlib unpacks; the socket is ours, for what a whole client does not promise. Its time-outs
start anew with each read, so that a server may drip for ever; it looks a name up again after the check, so that another
address may answer; it stops at the length that the server gave, so that a lie stays unseen; and it logs addresses with
the secrets in them.
"""

import ipaddress
import socket
import ssl
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from overnight.base.clock import Clock
from overnight.base.errors import PermanentError, TransientError, UserMistake

if TYPE_CHECKING:
    import h11
    from httpx import URL

CHUNK = 65_536
"""Bytes that are read at once, and that the head of an answer may have."""
LINGER_S = 0.1
"""How long the end of the connection is waited for after a whole answer: what comes then was not announced."""
PORTS = {"http": 80, "https": 443}

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_Endpoint = tuple[int, tuple[Any, ...]]  # Any: the parts of an address differ by family


@dataclass(frozen=True, kw_only=True)
class Deadline:
    """The instant, on the monotonic clock, at which an exchange must be over."""

    clock: Clock
    until_s: float

    def left_s(self) -> float:
        """Return the seconds that are left.

        Raises:
            TimeoutError: there are none.
        """
        left = self.until_s - self.clock.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What a server answered: names of headers in small letters; the body, unpacked, only with status 200."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


def fetch(
    url: "URL",
    headers: Sequence[tuple[str, str]],
    *,
    deadline: Deadline,
    max_bytes: int,
    private_addresses: bool,
    context: ssl.SSLContext | None,
) -> Reply:
    """Ask for the address once and read the answer to its end.

    `context` is what https needs. Only the look-up of the host's name can outlast the deadline: the system offers no
    way to cut it short. Messages do not repeat the address.

    Raises:
        TransientError: no connection, no whole answer in time, or an answer that contradicts itself.
        PermanentError: an untrusted certificate, an unknown packing, or more than `max_bytes` bytes when unpacked.
        UserMistake: the host has an address that is not public, and `private_addresses` is False.
    """
    import h11

    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=CHUNK)
    lines = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers]
    request = h11.Request(method="GET", target=url.raw_path, headers=[(b"host", url.netloc), *lines])
    with _faults(), closing(_connect(url, deadline, private_addresses, context)) as wire:
        wire.settimeout(deadline.left_s())
        wire.sendall((connection.send(request) or b"") + (connection.send(h11.EndOfMessage()) or b""))
        return _read(wire, connection, deadline, max_bytes)


def is_public(address: _Address) -> bool:
    """Return whether the address belongs to a machine of the public internet, also where it wraps an IPv4 address."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


@contextmanager
def _faults() -> Iterator[None]:
    """Say in our words what went wrong; the libraries' messages may repeat what was sent."""
    import h11

    try:
        yield
    except h11.RemoteProtocolError as error:
        raise TransientError("the answer breaks off or is no HTTP") from error
    except TimeoutError as error:
        raise TransientError("no whole answer in time") from error
    except ssl.SSLCertVerificationError as error:
        raise PermanentError(f"the certificate is not trusted: {error.verify_message}") from error
    except OSError as error:
        raise TransientError(f"no connection: {error.strerror or type(error).__name__}") from error


def _connect(url: "URL", deadline: Deadline, private_addresses: bool, context: ssl.SSLContext | None) -> socket.socket:
    endpoints = _endpoints(url)
    if not private_addresses:
        _refuse_private(endpoints)
    wire = _first_open(endpoints, deadline)
    if context is None:
        return wire
    try:
        wire.settimeout(deadline.left_s())
        return context.wrap_socket(wire, server_hostname=url.raw_host.decode("ascii"))
    except BaseException:
        wire.close()
        raise


def _endpoints(url: "URL") -> list[_Endpoint]:
    found = socket.getaddrinfo(url.raw_host, url.port or PORTS[url.scheme], type=socket.SOCK_STREAM)
    return [(family, address) for family, _, _, _, address in found]


def _refuse_private(endpoints: Sequence[_Endpoint]) -> None:
    for _, address in endpoints:
        if not is_public(ipaddress.ip_address(address[0])):
            raise UserMistake(
                f"{address[0]} is no address of the public internet, and data.private_addresses is 'forbid'; "
                "'allow' reads from this machine and its networks"
            )


def _first_open(endpoints: Sequence[_Endpoint], deadline: Deadline) -> socket.socket:
    """Connect to the first of the addresses, which were checked, that answers; each gets a share of the time."""
    fault: OSError = OSError("the host has no address")
    for index, (family, address) in enumerate(endpoints):
        wire = socket.socket(family, socket.SOCK_STREAM)
        try:
            wire.settimeout(deadline.left_s() / (len(endpoints) - index))
            wire.connect(address)
        except OSError as error:
            wire.close()
            fault = error
        else:
            return wire
    raise fault


def _read(wire: socket.socket, connection: "h11.Connection", deadline: Deadline, max_bytes: int) -> Reply:
    import h11

    reply, body = None, None
    for event in _events(wire, connection, deadline):
        if isinstance(event, h11.Response):
            reply = Reply(status=event.status_code, headers=_headers(event))
            if reply.status != HTTPStatus.OK:
                return reply
            body = _Body(reply.headers.get("content-encoding", ""), max_bytes)
        elif isinstance(event, h11.Data):
            assert body is not None, "h11 gives the head before the body"
            body.add(bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            break
    assert reply is not None and body is not None, "h11 raises where an answer has no head or no end"
    if connection.trailing_data[0] or _more_comes(wire, deadline):
        raise TransientError("the answer is longer than the length that it gives")
    return Reply(status=reply.status, headers=reply.headers, body=body.whole())


def _headers(head: "h11.Response") -> dict[str, str]:
    """Return the headers; several of one name are joined, as HTTP says."""
    headers: dict[str, str] = {}
    for name, value in head.headers:
        key, text = name.decode("ascii"), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


def _events(wire: socket.socket, connection: "h11.Connection", deadline: Deadline) -> Iterator["h11.Event"]:
    import h11

    while True:
        event = connection.next_event()
        if isinstance(event, h11.Event):
            yield event
        else:
            wire.settimeout(deadline.left_s())
            connection.receive_data(wire.recv(CHUNK))


def _more_comes(wire: socket.socket, deadline: Deadline) -> bool:
    try:
        wire.settimeout(min(LINGER_S, deadline.left_s()))
        return bool(wire.recv(1))
    except OSError:
        return False


class _Body:
    """Collects a body, unpacked piece by piece, and never holds more than one byte above the limit."""

    def __init__(self, packing: str, max_bytes: int) -> None:
        packing = packing.strip().lower()
        if packing not in ("", "identity", *_WINDOW_BITS):
            raise PermanentError(f"the answer is packed as {packing[:40]!r}; only gzip and deflate can be read")
        self._bits = _WINDOW_BITS.get(packing)
        self._max_bytes = max_bytes
        self._content = bytearray()
        self._unpacker: Any = None  # Any: zlib does not name the type of what it unpacks with

    def add(self, data: bytes) -> None:
        """Take the next piece as it came over the wire."""
        if self._bits is None:
            self._keep(data)
            return
        try:
            while data:
                data = self._unpack(data, self._bits)
        except zlib.error as error:
            raise TransientError("the packed body is damaged") from error

    def whole(self) -> bytes:
        """Return the body, after the last piece."""
        if self._bits is not None and (self._unpacker is None or not self._unpacker.eof):
            raise TransientError("the packed body ends early")
        return bytes(self._content)

    def _unpack(self, data: bytes, bits: int) -> bytes:
        """Unpack up to the end of the piece, or of one of several packed parts; return the rest."""
        if self._unpacker is None or self._unpacker.eof:
            # "deflate" should have zlib's head, which no block without it begins with; some servers leave it out.
            bare = bits == _WINDOW_BITS["deflate"] and data[0] & 0x0F != 8
            self._unpacker = zlib.decompressobj(-bits if bare else bits)
        self._keep(self._unpacker.decompress(data, self._max_bytes - len(self._content) + 1))
        rest: bytes = self._unpacker.unused_data
        return rest

    def _keep(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > self._max_bytes:
            raise PermanentError(
                f"the answer is longer, unpacked, than the {self._max_bytes:,} bytes that max_mb leaves for it"
            )
