"""The web client is patient, polite and careful, on a real server that is not."""

import gzip
import socket
import threading
import time
import tracemalloc
import zlib
from email.utils import format_datetime

import pytest

from overnight.base.clock import SystemClock, to_datetime
from overnight.base.errors import PermanentError, TransientError
from overnight.data.web import Web
from overnight.testing.clock import FakeClock
from web_server import (
    CERTIFICATE,
    WebServer,
    after,
    answers,
    bomb,
    drips,
    get,
    hangs,
    head,
    in_turn,
    redirects,
    refusal,
    sends,
    unless_known,
)

OK = head(200, {"Content-Length": 5})


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def pauses():
    return []


@pytest.fixture
def web(clock, pauses):
    def pause(seconds):
        pauses.append(seconds)
        clock.advance(seconds)

    return Web(clock, private_addresses=True, pause=pause)


# -- answers


def test_an_answer_comes_with_what_it_may_be_asked_by_again(server, web):
    server.routes["/a"] = answers(b"body", ETag='"1"', Last_Modified="yesterday", Content_Type="text/plain")
    answer = get(web, server.url("/a?x=1#part"))
    assert (answer.status, answer.body, answer.url) == (200, b"body", server.url("/a?x=1"))
    assert (answer.etag, answer.last_modified, answer.content_type) == ('"1"', "yesterday", "text/plain")


@pytest.mark.parametrize("known", [{"etag": '"1"'}, {"last_modified": "Mon, 01 Jun 2026 00:00:00 GMT"}])
def test_what_has_not_changed_is_not_sent_again(server, web, known):
    server.routes["/a"] = unless_known(answers(b"body"), **known)
    answer = get(web, server.url("/a"), **known)
    assert (answer.status, answer.body) == (304, b"")
    assert {name: getattr(answer, name) for name in known} == known


def test_a_validator_that_cannot_be_sent_is_left_out(server, web):
    server.routes["/a"] = answers(b"body")
    assert get(web, server.url("/a"), etag='"1"\r\nx: y').status == 200
    assert "if-none-match" not in server.asked[0].headers


def test_not_modified_without_being_asked_is_an_error(server, web):
    server.routes["/a"] = sends(head(304, {}))
    assert "304 Not Modified" in refusal(PermanentError, web, server.url("/a"))


@pytest.mark.parametrize("packing", ["gzip", "x-gzip", "deflate", "bare deflate", "two parts", "identity"])
def test_packed_answers_are_unpacked(server, web, packing):
    plain = b"some text " * 1000
    bare = zlib.compressobj(wbits=-15)
    packed = {
        "gzip": gzip.compress(plain),
        "x-gzip": gzip.compress(plain),
        "deflate": zlib.compress(plain),
        "bare deflate": bare.compress(plain) + bare.flush(),
        "two parts": gzip.compress(plain[:10]) + gzip.compress(plain[10:]),
        "identity": plain,
    }[packing]
    name = {"bare deflate": "deflate", "two parts": "gzip"}.get(packing, packing)
    whole = head(200, {"Content-Length": len(packed), "Content-Encoding": name}) + packed
    server.routes["/a"] = sends(*(whole[at : at + 7] for at in range(0, len(whole), 7)))
    assert get(web, server.url("/a")).body == plain
    assert server.asked[0].headers["accept-encoding"] == "gzip, deflate"


def test_an_answer_over_https_is_read(tmp_path, monkeypatch, web):
    (tmp_path / "cert.pem").write_text(CERTIFICATE)
    with WebServer(certificate=tmp_path / "cert.pem") as server:
        server.routes["/a"] = answers(b"body")
        server.routes["/down"] = redirects("http://localhost/a")
        message = refusal(PermanentError, web, server.url("/a"), max_retries=3)
        assert "the certificate is not trusted" in message
        assert "(1 try)" in message

        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
        trusting = Web(FakeClock(), private_addresses=True)
        assert get(trusting, server.url("/a")).body == b"body"
        assert get(trusting, server.url("/a", "localhost")).body == b"body"
        assert "redirects from https down to http://localhost/a" in refusal(
            PermanentError, trusting, server.url("/down")
        )


# -- errors and tries


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 599])
def test_what_may_go_away_is_tried_again_after_ever_longer_waits(server, web, pauses, status):
    server.routes["/a"] = in_turn(*[answers(status=status)] * 3, answers(b"body"))
    assert get(web, server.url("/a"), max_retries=3).body == b"body"
    assert pauses == [0.5, 1.0, 2.0]


def test_after_the_last_try_the_error_names_status_address_and_tries(server, web):
    server.routes["/a"] = answers(status=503)
    url = server.url("/a")
    assert refusal(TransientError, web, url, max_retries=2) == f"{url}: 503 Service Unavailable (3 tries)"
    assert len(server.asked) == 3


@pytest.mark.parametrize("status", [204, 206, 400, 401, 403, 404, 410, 418])
def test_what_will_not_go_away_is_asked_once(server, web, status):
    server.routes["/a"] = answers(status=status)
    url = server.url("/a")
    assert refusal(PermanentError, web, url, max_retries=3).startswith(f"{url}: {status} ")
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("pieces", "says"),
    [
        ([head(200, {"Content-Length": 6}) + b"12345"], "the answer breaks off or is no HTTP"),
        ([OK + b"123456"], "the answer is longer than the length that it gives"),
        ([head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\n12345\r\n"], "the answer breaks off or is no HTTP"),
        ([head(200, {"Transfer-Encoding": "chunked"}) + b"5\r\n123"], "the answer breaks off or is no HTTP"),
        ([head(200, {"Content-Encoding": "gzip"}) + gzip.compress(b"x" * 99)[:-9]], "the packed body ends early"),
        ([head(200, {"Content-Encoding": "gzip", "Content-Length": 0})], "the packed body ends early"),
        ([head(200, {"Content-Encoding": "gzip"}) + b"no gzip at all"], "the packed body is damaged"),
        ([OK[:20]], "the answer breaks off or is no HTTP"),
        ([b"SSH-2.0-OpenSSH_9.9\r\n"], "the answer breaks off or is no HTTP"),
        ([b"HTTP/1.1 200 OK\r\nx: " + b"x" * 200_000], "the answer breaks off or is no HTTP"),
        ([], "the answer breaks off or is no HTTP"),
    ],
)
def test_a_false_answer_is_tried_again(server, web, pieces, says):
    server.routes["/a"] = in_turn(sends(*pieces), sends(*pieces), answers(b"body"))
    url = server.url("/a")
    assert refusal(TransientError, web, url, max_retries=1) == f"{url}: {says} (2 tries)"
    assert get(web, url).body == b"body"


def test_what_comes_late_and_unannounced_is_seen(server, web):
    def route(exchange):
        exchange.send(OK + b"12345")
        exchange.client_gone(0.03)
        exchange.send(b"6")

    server.routes["/a"] = route
    assert "longer than the length that it gives" in refusal(TransientError, web, server.url("/a"))


def test_nobody_there_is_tried_again(web, pauses):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    message = refusal(TransientError, web, f"http://127.0.0.1:{port}/", max_retries=1)
    assert message == f"http://127.0.0.1:{port}/: no connection: Connection refused (2 tries)"
    assert pauses == [0.5]


def test_a_name_that_does_not_exist_is_tried_again(web, monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    assert refusal(TransientError, web, "http://films.test/", max_retries=1) == (
        "http://films.test/: no connection: Name or service not known (2 tries)"
    )


def test_an_unknown_packing_is_no_matter_of_tries(server, web):
    server.routes["/a"] = answers(Content_Encoding="br")
    assert "is packed as 'br'; only gzip and deflate" in refusal(PermanentError, web, server.url("/a"), max_retries=3)


# -- waits


@pytest.mark.parametrize("zone", ["GMT", "-0000"])
def test_the_wait_that_the_server_asks_for_is_kept(server, web, clock, pauses, zone):
    date = format_datetime(to_datetime(clock.now_us() + 12_000_000), usegmt=True).replace("GMT", zone)
    server.routes["/a"] = in_turn(
        answers(status=429, Retry_After="7"), answers(status=503, Retry_After=date), answers(b"body")
    )
    get(web, server.url("/a"), max_retries=2)
    # The date was twelve seconds ahead when it was written, seven seconds of waiting ago.
    assert pauses == [7.0, 5.0]


@pytest.mark.parametrize("asked", ["61", "9" * 400, "Fri, 31 Dec 2100 23:59:59 GMT"])
def test_a_wait_that_is_too_long_ends_the_tries(server, web, pauses, asked):
    server.routes["/a"] = answers(status=429, Retry_After=asked)
    message = refusal(TransientError, web, server.url("/a"), max_retries=3)
    assert "429 Too Many Requests; it asks for a wait of " in message
    assert message.endswith(" s, more than 60 s (1 try)")
    assert pauses == []


@pytest.mark.parametrize(
    "asked", ["", "soon", "-5", "Mon, 99 Foo 2026", "Mon, 01 Jun 1970 00:00:00 +99999999999999999999", "²"]
)
def test_a_wait_that_cannot_be_read_asks_for_nothing(server, web, pauses, asked):
    answer = head(429, {"Content-Length": 0}).replace(b"\r\n\r\n", f"\r\nRetry-After: {asked}\r\n\r\n".encode())
    server.routes["/a"] = in_turn(sends(answer), answers(b"body"))
    get(web, server.url("/a"), max_retries=1)
    assert pauses == [0.5]


def test_eight_threads_share_one_rate_for_a_host(server, web, clock, pauses):
    server.routes["/a"] = answers(b"body")
    threads = [
        threading.Thread(target=get, args=(web, server.url("/a")), kwargs={"per_second": 10.0, "timeout_s": 60.0})
        for _ in range(8)
    ]
    began = clock.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.asked) == 8
    assert pauses == [pytest.approx(0.1, abs=1e-6)] * 7
    assert clock.monotonic() - began == pytest.approx(0.7)


def test_redirects_and_further_tries_are_requests_too(server, web, pauses):
    server.routes["/a"] = redirects("/b")
    server.routes["/b"] = in_turn(answers(status=500), answers(b"body"))
    for _ in range(2):
        get(web, server.url("/a"), max_retries=1, per_second=10.0)
    assert server.paths() == ["/a", "/b"] * 3
    assert pauses == pytest.approx([0.1, 0.5, 0.1, 0.1, 0.1])


def test_hosts_do_not_wait_for_each_other(server, web, pauses):
    server.routes["/a"] = answers(b"body")
    get(web, server.url("/a"), per_second=0.1)
    get(web, server.url("/a", "localhost"), per_second=0.1)
    assert pauses == []


@pytest.mark.parametrize(
    "route",
    [
        hangs,
        drips(b"H"),
        drips(b"HTTP/1.1 200 OK\r\nx: "),
        drips(head(200, {"Content-Length": 1_000_000})),
        drips(head(200, {"Transfer-Encoding": "chunked"}), b"1\r\nx\r\n"),
        drips(head(200, {})),
    ],
)
def test_no_server_holds_a_request_beyond_its_time(server, route):
    server.routes["/a"] = route
    web = Web(SystemClock(), private_addresses=True)
    began = time.monotonic()
    message = refusal(TransientError, web, server.url("/a"), timeout_s=0.2)
    assert message == f"{server.url('/a')}: no whole answer in time (1 try)"
    assert 0.19 < time.monotonic() - began < 5.0


def test_redirects_do_not_make_the_time_longer(server):
    for number in range(4):
        server.routes[f"/{number}"] = after(0.12, redirects(f"/{number + 1}"))
    web = Web(SystemClock(), private_addresses=True)
    assert "no whole answer in time" in refusal(TransientError, web, server.url("/0"), timeout_s=0.3)


def test_waiting_for_a_turn_takes_no_time_from_the_request(server):
    server.routes["/a"] = redirects("/b")
    server.routes["/b"] = answers(b"body")
    web = Web(SystemClock(), private_addresses=True)
    assert get(web, server.url("/a"), timeout_s=0.25, per_second=3.0).body == b"body"


# -- redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_to_the_end(server, web, status):
    server.routes["/a/b"] = redirects("../c?d=1", status)
    server.routes["/c"] = answers(b"body")
    answer = get(web, server.url("/a/b"))
    assert (answer.body, answer.url) == (b"body", server.url("/c?d=1"))


def test_a_circle_of_redirects_ends(server, web):
    server.routes["/a"] = redirects("/b")
    server.routes["/b"] = redirects("/a")
    assert "redirects more than 5 times" in refusal(PermanentError, web, server.url("/a"), max_retries=3)
    assert len(server.asked) == 6


def test_secrets_go_to_the_first_origin_only(server, web):
    url = server.url("/a").replace("://", "://me:pa%20ss@")
    server.routes["/a"] = redirects(server.url("/b", "localhost"))
    server.routes["/b"] = redirects(server.url("/c").replace("://", "://you:other@"))
    server.routes["/c"] = answers(b"body")
    answer = get(web, url, headers={"X-Secret": "s3cret"})
    assert [asked.headers.get("x-secret") for asked in server.asked] == ["s3cret", None, "s3cret"]
    basic = "Basic bWU6cGEgc3M="
    assert [asked.headers.get("authorization") for asked in server.asked] == [basic, None, basic]
    assert answer.url == server.url("/c")


@pytest.mark.parametrize(
    ("to", "says"),
    [
        ("file:///etc/passwd", "/etc/passwd, which is no address of the web"),
        ("ftp://127.0.0.1/", "which is no address of the web"),
        ("http://[::1", "redirects to something that is no address"),
        ("http://h:99999/", "which is no address of the web"),
        ("", "redirects without saying where"),
    ],
)
def test_redirects_that_lead_nowhere_are_refused(server, web, to, says):
    server.routes["/a"] = redirects(to)
    assert says in refusal(PermanentError, web, server.url("/a"), max_retries=3)


# -- size


@pytest.mark.parametrize("packed", [False, True])
def test_an_answer_above_the_limit_is_refused(server, web, packed):
    body = b"x" * 1001
    content = gzip.compress(body) if packed else body
    server.routes["/a"] = answers(content, **({"Content_Encoding": "gzip"} if packed else {}))
    assert "longer, unpacked, than the 1,000 bytes that max_mb leaves for it (1 try)" in refusal(
        PermanentError, web, server.url("/a"), max_bytes=1000, max_retries=3
    )
    assert get(web, server.url("/a"), max_bytes=1001).body == body


def test_a_gzip_bomb_is_not_unpacked(server, web):
    server.routes["/a"] = answers(bomb(10), Content_Encoding="gzip")
    get(web, server.url("/a"), max_bytes=100_000_000)
    tracemalloc.start()
    try:
        refusal(PermanentError, web, server.url("/a"), max_bytes=1_000_000)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4_000_000
