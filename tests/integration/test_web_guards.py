"""What the web client never asks, never sends and never says: private addresses, odd headers, secrets."""

import contextlib
import ipaddress
import logging
import socket

import pytest

from overnight.base.clock import SystemClock
from overnight.base.errors import ConfigError, PermanentError, TransientError, UserMistake
from overnight.data import wire
from overnight.data.web import Web
from overnight.testing.clock import FakeClock
from web_server import answers, get, head, redirects, refusal, sends


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def web(clock):
    return Web(clock, private_addresses=True, pause=clock.advance)


PUBLIC = "93.184.216.34 2606:2800:220:1::1 64:ff9b::5db8:d822"
PRIVATE = (
    "127.0.0.1 10.1.2.3 192.168.0.1 172.16.0.1 169.254.169.254 100.64.0.1 0.0.0.0 224.0.0.1 255.255.255.255 ::1 :: "
    "fe80::1 fd00::1 ff02::1 ::ffff:127.0.0.1 ::127.0.0.1 2002:7f00:1:: 64:ff9b::7f00:1"
)


@pytest.mark.parametrize("address", [*PUBLIC.split(), *PRIVATE.split()])
def test_which_addresses_are_public(address):
    assert wire.is_public(ipaddress.ip_address(address)) is (address in PUBLIC.split())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "2130706433", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_asked_where_that_is_forbidden(server, clock, host):
    server.routes["/a"] = answers(b"body")
    careful = Web(clock, private_addresses=False)
    message = refusal(UserMistake, careful, server.url("/a", host), max_retries=3)
    assert "is no address of the public internet, and data.private_addresses is 'forbid'" in message
    assert server.asked == []


def test_a_redirect_to_a_private_address_is_refused(server, clock, monkeypatch):
    monkeypatch.setattr(wire, "is_public", lambda address: str(address) == "127.0.0.1")
    server.routes["/a"] = redirects("http://169.254.169.254/latest")
    message = refusal(UserMistake, Web(clock, private_addresses=False), server.url("/a"), max_retries=3)
    assert message.startswith("http://169.254.169.254/latest: 169.254.169.254 is no address of the public")


def test_one_private_address_of_several_is_enough_to_refuse(clock, monkeypatch):
    found = [(socket.AF_INET, 1, 6, "", (address, 80)) for address in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert "10.0.0.1 is no address" in refusal(UserMistake, Web(clock, private_addresses=False), "http://films.test/")


def test_what_was_checked_is_what_is_connected_to(server, web, monkeypatch):
    looked_up = []

    def once(host, port, **_):
        assert not looked_up, "a second look-up may give another address than the first"
        looked_up.append(host)
        return [(socket.AF_INET, 1, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", once)
    server.routes["/a"] = answers(b"body")
    assert get(web, server.url("/a", "films.test")).body == b"body"
    assert looked_up == [b"films.test"]
    assert server.asked[0].headers["host"] == f"films.test:{server.port}"


def test_an_address_that_does_not_answer_leaves_time_for_the_next(server, monkeypatch):
    with socket.socket() as silent, contextlib.ExitStack() as stack:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        for _ in range(3):  # as many as make the system leave further ones waiting
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        found = [(socket.AF_INET, 1, 6, "", at) for at in (silent.getsockname(), ("127.0.0.1", server.port))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        server.routes["/a"] = answers(b"body")
        web = Web(SystemClock(), private_addresses=True)
        assert get(web, server.url("/a"), timeout_s=0.5).body == b"body"


@pytest.mark.parametrize(
    "url", ["ftp://h/x", "file:///etc/passwd", "/x", "", "http://", "http://h:99999/", "http://h:0/", "http://[::"]
)
def test_what_is_no_web_address_is_a_mistake(web, url):
    assert "http://HOST/PATH or https://HOST/PATH is needed" in refusal(ConfigError, web, url)


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Key": "s3cret\n"}, "the value of 'Key' cannot be sent"),
        ({"Key": "s3cret\r\nX: y"}, "the value of 'Key' cannot be sent"),
        ({"Key": "s3cret€"}, "the value of 'Key' cannot be sent"),
        ({"A key": "s3cret"}, "'A key' is no name of a header"),
        ({"Host": "s3cret"}, "'Host' cannot be set: Overnight sends its own"),
        ({"transfer-encoding": "s3cret"}, "'transfer-encoding' cannot be set"),
    ],
)
def test_headers_that_cannot_be_sent_are_a_mistake_and_not_repeated(server, web, headers, says):
    message = refusal(ConfigError, web, server.url("/a"), headers=headers)
    assert says in message
    assert "s3cret" not in message
    assert server.asked == []


def test_no_secret_is_in_a_message_or_a_log(server, web, caplog):
    caplog.set_level(logging.DEBUG)
    place = "?q=films&api_key=s3cret&token=s3cret"
    server.routes["/gone"] = answers(status=410)
    server.routes["/busy"] = answers(status=503)
    server.routes["/cut"] = sends(head(200, {"Content-Length": 5}))
    server.routes["/on"] = redirects(server.url(f"/gone{place}").replace("://", "://me:s3cret@"))
    server.routes["/off"] = redirects(f"ftp://me:s3cret@h/{place}")
    messages = []
    for path, kind in [
        ("/gone", PermanentError),
        ("/busy", TransientError),
        ("/cut", TransientError),
        ("/on", PermanentError),
        ("/off", PermanentError),
    ]:
        url = server.url(path + place).replace("://", "://s3cret:s3cret@")
        messages.append(refusal(kind, web, url, headers={"X-Key": "s3cret"}, max_retries=1))
    messages.append(refusal(ConfigError, web, f"http://me:s3cret/x@h/{place}"))
    assert all("q=films" in message for message in messages[:3])
    for path in ("/none/" + "x" * 9000, "/none?x=" + "x" * 290 + "&key=s3cret"):
        assert len(refusal(PermanentError, web, server.url(path))) < 400
    assert "s3cret" not in " ".join(messages) + caplog.text


@pytest.mark.parametrize("place", ["/none?a=", "/none/"])
def test_a_long_address_is_not_cut_in_the_middle_of_what_may_be_a_secret(server, web, place):
    # Cut anywhere, it would leave a part that nobody knows to be one.
    message = refusal(PermanentError, web, server.url(place + "s3cret" * 100))
    assert message == f"{server.url('/none?' if '?' in place else '/')}...: 404 Not Found (1 try)"
