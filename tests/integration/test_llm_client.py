"""The client of language models against a real server on loopback that speaks the protocol, and breaks it."""

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from daemons import wait_for
from llm_server import LlmServer, Reply, in_turn, refuses, says
from overnight.base.backoff import Backoff
from overnight.base.clock import SystemClock
from overnight.base.errors import (
    BudgetSpent,
    ConfigError,
    DatabaseBroken,
    EndpointAway,
    MissingExtra,
    ModelFailed,
    NewerDatabase,
    UserMistake,
)
from overnight.llm.budget import Amount, Budget, Price
from overnight.llm.client import FORM_TRIES, TRIES, Client, Found
from overnight.llm.pacing import Pace
from overnight.llm.replay import _TABLES, VERSION, Answer, Replay
from overnight.llm.requests import Request, Said
from overnight.llm.wire import Endpoint
from overnight.testing.clock import FakeClock

AT_ONCE = Backoff(base_s=0.001, cap_s=0.002)
GOOD = says(text="well")


def request(number: int = 0, **more) -> Request:
    told = {
        "model": "m",
        "messages": [Said(role="user", content=f"Say something. {number}")],
        "fields": {"text": "text"},
        "max_tokens": 50,
        "temperature": 0.7,
        "seed": 1000 * number,
    }
    return Request(**(told | more))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replay.db"


@contextmanager
def client_of(path: Path, url: str, *, stream=False, timeout_s=20.0, api_key=None, **more):
    endpoint = Endpoint(base_url=url, stream=stream, timeout_s=timeout_s, api_key=api_key)
    more = {"waits": AT_ONCE, **more}
    with Replay(path) as replay, Client(endpoint, replay, clock=SystemClock(), **more) as client:
        yield client


def spent(path: Path) -> Amount:
    with Replay(path) as replay:
        purse = replay.purse()
    return purse.spent + purse.held


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_is_paid_once_also_by_the_next_process(path, stream):
    with LlmServer(in_turn(GOOD)) as server:
        with client_of(path, server.url, stream=stream) as client:
            answers = [client.ask(request()) for _ in range(2)]
            assert answers == [Found(fields={"text": "well"}, paid=paid) for paid in (True, False)]
        with client_of(path, server.url, stream=stream) as client:
            assert not client.ask(request()).paid
        assert len(server.asked) == 1
    assert spent(path) == Amount(tokens=15)


def test_the_same_at_the_same_time_is_asked_once(path):
    with LlmServer(in_turn(GOOD)) as server, client_of(path, server.url) as client, ThreadPoolExecutor(8) as pool:
        assert [one.paid for one in pool.map(client.ask, [request()] * 8)].count(True) == 1
        assert len(server.asked) == 1


def test_the_form_is_asked_for_less_strictly_where_an_endpoint_does_not_know_the_stricter_way(path):
    def plan(body, before):
        form = (body.get("response_format") or {}).get("type")
        return refuses(400, f"response_format {form} is not supported") if form else GOOD

    with LlmServer(plan) as server, client_of(path, server.url) as client:
        assert client.ask(request()).fields == {"text": "well"}
        client.ask(request(1))
        ways = [(body.get("response_format") or {}).get("type") for body in server.asked]
        assert ways == ["json_schema", "json_object", None, None]
    assert spent(path) == Amount(tokens=30)


def test_the_newer_name_of_the_limit_is_used_where_it_is_asked_for(path):
    def plan(body, before):
        return refuses(400, "use 'max_completion_tokens' instead") if "max_tokens" in body else GOOD

    with LlmServer(plan) as server, client_of(path, server.url) as client:
        assert client.ask(request()).fields == {"text": "well"}
        assert server.asked[-1]["max_completion_tokens"] == 50


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "trouble",
    [
        refuses(429),
        refuses(500),
        refuses(503),
        Reply(content="{}", cut=True),
        Reply(raw=b"{nonsense"),
        Reply(raw=b'{"choices": []}'),
        Reply(raw=b'{"error": {"message": "overloaded"}}'),
        Reply(raw=b'data: {"choices": [{"delta": {"content": "{"}}]}\n\n'),
    ],
    ids=["429", "500", "503", "cut", "no_json", "no_choice", "error_in_200", "stream_ends"],
)
def test_what_may_pass_is_sent_again(path, trouble, stream):
    with LlmServer(in_turn(trouble, trouble, GOOD)) as server, client_of(path, server.url, stream=stream) as client:
        assert client.ask(request()).fields == {"text": "well"}
        assert len(server.asked) == 3


def test_an_endpoint_is_left_alone_for_as_long_as_it_asks(path):
    plan = in_turn(refuses(429, Retry_After="1"), GOOD)
    clock = SystemClock()
    with LlmServer(plan) as server, client_of(path, server.url) as client:
        before = clock.monotonic()
        client.ask(request())
        assert clock.monotonic() - before >= 1.0
        assert len(server.asked) == 2


def test_while_an_endpoint_wants_to_be_left_alone_no_other_request_is_sent(path):
    clock = SystemClock()
    plan = in_turn(refuses(429, Retry_After="0.7"), GOOD)
    with LlmServer(plan) as server, client_of(path, server.url) as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.ask, request())
        wait_for(lambda: client.pace.not_before_s is not None)
        until_s = client.pace.not_before_s
        client.ask(request(1))
        assert clock.monotonic() >= until_s
        assert first.result(20).paid


def test_an_endpoint_that_asks_for_hours_is_not_waited_for(path):
    with LlmServer(in_turn(refuses(429, Retry_After="7200"))) as server, client_of(path, server.url) as client:
        with pytest.raises(EndpointAway, match="left alone for 7200 s"):
            client.ask(request())
        assert len(server.asked) == 1


def test_an_overload_halves_what_is_in_flight(path):
    with LlmServer(in_turn(refuses(429), GOOD)) as server, client_of(path, server.url, most_in_flight=8) as client:
        client.ask(request())
        assert client.pace.limit == pytest.approx(Pace(most=8).limit / 2)


def test_no_more_are_in_flight_than_is_allowed_and_many_are(path):
    arrived = threading.Barrier(5)

    def plan(body, before):
        arrived.wait(20)  # passes only where five are in flight at once
        return GOOD

    with LlmServer(plan) as server, client_of(path, server.url, most_in_flight=5) as client:
        client._pace = Pace(most=5, limit=5)
        with ThreadPoolExecutor(20) as pool:
            assert all(one.paid for one in pool.map(client.ask, map(request, range(20))))
        assert server.most_in_flight == 5
        assert (client.pace.in_flight, client.pace.limit) == (0, 5)


@pytest.mark.parametrize("reply", [Reply(hangs=True), Reply(drips=True)], ids=["silent", "drips"])
@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_that_does_not_come_in_time_counts_as_spent_in_full(path, reply, stream):
    with LlmServer(in_turn(reply, GOOD)) as server, client_of(path, server.url, stream=stream, timeout_s=0.3) as client:
        client.ask(request())
        assert client.pace.limit == 2
    asked = request()
    assert spent(path).tokens == asked.most_tokens_in + asked.max_tokens + 15


def test_an_endpoint_that_is_not_there_costs_nothing(path):
    with LlmServer(in_turn(GOOD)) as server:
        url = server.url
    with (
        client_of(path, url) as client,
        pytest.raises(EndpointAway, match=f"failed {TRIES} times in a row: ConnectError"),
    ):
        client.ask(request())
    assert spent(path) == Amount()


def test_a_status_says_whether_a_request_was_paid(path):
    asked = request()
    most = asked.most_tokens_in + asked.max_tokens
    with LlmServer(in_turn(refuses(500), refuses(504), GOOD)) as server, client_of(path, server.url) as client:
        client.ask(asked)
    assert spent(path).tokens == most + 15, "a gateway that lost its patience tells nothing of what is behind it"
    with closing(sqlite3.connect(path)) as connection:
        states = [state for (state,) in connection.execute("SELECT state FROM calls ORDER BY call_id")]
    assert states == ["refused", "lost", "answered"]


def test_answers_without_the_form_are_paid_kept_and_not_asked_for_again(path):
    with LlmServer(in_turn(Reply(content="I would rather not"))) as server:
        for _ in range(2):
            with (
                client_of(path, server.url) as client,
                pytest.raises(ModelFailed, match=r"3 answers without the form.*not JSON"),
            ):
                client.ask(request())
        assert len(server.asked) == FORM_TRIES
        assert len({body["seed"] for body in server.asked}) == FORM_TRIES
    assert spent(path) == Amount(tokens=15 * FORM_TRIES)


def test_the_second_answer_may_have_the_form(path):
    plan = in_turn(Reply(content='{"text": "we', finish="length"), GOOD)
    with LlmServer(plan) as server, client_of(path, server.url) as client:
        assert client.ask(request()).fields == {"text": "well"}
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("status", "kind", "why"),
    [
        (401, ConfigError, "does not take the key; api_key_env"),
        (403, ConfigError, "does not allow it"),
        (404, ConfigError, "knows no such model or address"),
        (400, ModelFailed, "refuses the request: HTTP 400.*too long"),
        (422, ModelFailed, "refuses the request"),
    ],
)
def test_what_will_not_pass_is_not_sent_again_and_costs_nothing(path, status, kind, why):
    with LlmServer(in_turn(refuses(status, "the prompt is too long"))) as server, client_of(path, server.url) as client:
        with pytest.raises(kind, match=why):
            client.ask(request())
        assert len(server.asked) == 1
    assert spent(path) == Amount()


def test_a_budget_is_a_hard_stop_before_a_request_is_sent(path):
    most = request().most_tokens_in + 50
    with LlmServer(in_turn(GOOD)) as server:
        with client_of(path, server.url, budget=Budget(tokens=most + 15)) as client:
            client.ask(request())
            client.ask(request(1))
            with pytest.raises(BudgetSpent, match="30 of"):
                client.ask(request(2))
            assert client.pace.in_flight == 0
        with client_of(path, server.url, budget=Budget(tokens=most + 15)) as client:
            assert not client.ask(request(1)).paid
            with pytest.raises(BudgetSpent):
                client.ask(request(2))
        with client_of(path, server.url, budget=Budget(tokens=most + 30)) as client:
            assert client.ask(request(2)).paid
        assert len(server.asked) == 3


def test_money_is_counted_and_threads_do_not_overrun_it(path):
    price, one = Price(in_usd=2.0, out_usd=10.0), 10 * 2000 + 5 * 10_000
    most = price.of(request().most_tokens_in, 50)
    budget = Budget(usd=(most.nano_usd + 20 * one) / 1e9)
    with LlmServer(in_turn(GOOD)) as server, client_of(path, server.url, budget=budget, prices={"m": price}) as client:

        def ask(number):
            try:
                return client.ask(request(number % 10, seed=number * 100)).paid
            except BudgetSpent:
                return False

        with ThreadPoolExecutor(16) as pool:
            paid = list(pool.map(ask, range(60))).count(True)
        assert 1 <= paid <= 21
        assert paid == len(server.asked)
    assert spent(path) == Amount(tokens=15 * paid, nano_usd=one * paid)
    assert spent(path).usd <= budget.usd


def test_an_answer_that_does_not_tell_its_tokens_costs_the_most(path):
    with (
        LlmServer(in_turn(Reply(content='{"text": "well"}', usage=None))) as server,
        client_of(path, server.url) as client,
    ):
        client.ask(request())
    assert spent(path).tokens == request().most_tokens_in + 50


def test_what_was_in_flight_when_a_process_died_counts_as_spent_and_is_sent_again(path):
    most = Amount(tokens=request().most_tokens_in + 50)
    with Replay(path) as replay:
        replay.begin(request().key, most, Budget())  # and the process is gone
    with LlmServer(in_turn(GOOD)) as server:
        with (
            client_of(path, server.url, budget=Budget(tokens=2 * most.tokens - 1)) as client,
            pytest.raises(BudgetSpent),
        ):
            client.ask(request())
        with client_of(path, server.url) as client:
            assert client.ask(request()).paid
    assert spent(path) == most + Amount(tokens=15)


def test_the_key_is_sent_and_stands_nowhere(path, caplog):
    plan = in_turn(refuses(500, "wrong key very-secret-key"))
    caplog.set_level("DEBUG")
    with LlmServer(plan) as server, client_of(path, server.url, api_key="very-secret-key") as client:
        with pytest.raises(EndpointAway) as caught:
            client.ask(request())
        assert server.keys[0] == "Bearer very-secret-key"
        assert "very-secret-key" not in repr(client._endpoint) + str(caught.value) + repr(caught.value.__cause__)
    assert "very-secret-key" not in caplog.text
    assert all(b"very-secret-key" not in file.read_bytes() for file in path.parent.iterdir())


def test_without_a_key_that_of_another_endpoint_is_not_taken_from_the_environment(path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-you")
    with LlmServer(in_turn(GOOD)) as server, client_of(path, server.url) as client:
        client.ask(request())
        assert server.keys == ["Bearer none"]


def test_who_waits_when_the_client_is_closed_is_told(path):
    with LlmServer(in_turn(refuses(429, Retry_After="200"))) as server, client_of(path, server.url) as client:
        errors = []

        def ask():
            try:
                client.ask(request())
            except EndpointAway as error:
                errors.append(str(error))

        thread = threading.Thread(target=ask)
        thread.start()
        server.wait_for(lambda one: one.asked and not one.in_flight)
        client.close()
        thread.join(20)
        assert errors == ["the client is closed"]


@pytest.mark.parametrize(
    "url", ["localhost:8000", "ftp://h/v1", "http://", "http://user:pw@h/v1", "http://h/v1?key=pw", "http://h:x/v1"]
)
def test_what_is_no_address_is_refused_and_not_repeated(url):
    with pytest.raises(UserMistake, match="base_url") as caught:
        Endpoint(base_url=url)
    assert "pw" not in str(caught.value)


def test_a_time_that_is_none_is_refused():
    with pytest.raises(UserMistake, match="timeout_s: 0"):
        Endpoint(base_url="http://h/v1", timeout_s=0)


def test_money_without_prices_cannot_be_kept(path):
    with LlmServer(in_turn(GOOD)) as server, client_of(path, server.url, budget=Budget(usd=1.0)) as client:
        with pytest.raises(ConfigError, match="nothing says what 'm' costs"):
            client.ask(request())
        assert server.asked == []


def test_without_the_library_the_extra_is_named(path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "openai", None)
    with Replay(path) as replay, pytest.raises(MissingExtra, match=r"overnight\[llm\]"):
        Client(Endpoint(base_url="http://h/v1"), replay, clock=SystemClock())


# -- the file


def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    with pytest.raises(NewerDatabase):
        Replay(path)


def test_what_was_sent_in_a_span_of_time_is_told_and_without_an_answer_the_most_counts(path):
    clock = FakeClock()
    begin_us = clock.now_us()
    with Replay(path, clock) as replay:
        calls = []
        for key in "abc":
            calls.append(replay.begin(key, Amount(tokens=10, nano_usd=100), Budget()))
            clock.advance(60)
        replay.answered(calls[0], Answer(content="well"), Amount(tokens=3, nano_usd=30))
        replay.refused(calls[1])
        minute_us = 60_000_000
        assert replay.sent_between(begin_us, begin_us + minute_us) == Amount(tokens=3, nano_usd=30)
        assert replay.sent_between(begin_us + minute_us, begin_us + 2 * minute_us) == Amount()
        assert replay.sent_between(begin_us, begin_us + 3 * minute_us) == Amount(tokens=13, nano_usd=130)
        assert replay.sent_between(begin_us - minute_us, begin_us) == Amount()


def test_a_file_of_the_first_version_is_read_on_and_of_its_requests_nobody_knows_the_instant(path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(_TABLES.replace(",\n    sent_us INTEGER", ""))
        connection.execute("INSERT INTO calls VALUES (1, 'a', 'answered', 10, 100, 5, 50)")
        connection.execute("UPDATE purse SET spent_tokens = 5, spent_nano_usd = 50")
        connection.execute("PRAGMA user_version = 1")
        connection.commit()
    clock = FakeClock()
    with Replay(path, clock) as replay:
        replay.begin("b", Amount(tokens=7), Budget())
        assert replay.sent_between(0, clock.now_us() + 1) == Amount(tokens=7)
        assert replay.purse().spent == Amount(tokens=5, nano_usd=50)
    with Replay(path) as replay:
        assert replay.purse().held == Amount(tokens=7)


def test_what_is_written_down_is_on_disk(path):
    with Replay(path) as replay:
        told = [replay._connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert told == ["wal", 2]


def test_a_file_that_is_none_is_named(path):
    path.write_bytes(b"no database at all" * 100)
    with pytest.raises(DatabaseBroken, match=r"replay\.db cannot be used"):
        Replay(path)


def test_a_failed_write_fails_all_who_share_it_and_the_next_is_well(path):
    with Replay(path) as replay:
        call = replay.begin("a", Amount(tokens=1), Budget())
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("ALTER TABLE calls RENAME TO away")
            connection.commit()
            with pytest.raises(DatabaseBroken):
                replay.refused(call)
            connection.execute("ALTER TABLE away RENAME TO calls")
            connection.commit()
        assert replay.purse().held == Amount(tokens=1)
        replay.refused(call)
        assert replay.purse().held == Amount()


def test_threads_and_processes_that_share_a_file_see_what_the_others_spend(path):
    with Replay(path) as one, Replay(path) as other, ThreadPoolExecutor(8) as pool:

        def pay(number):
            replay = (one, other)[number % 2]
            call = replay.begin(str(number), Amount(tokens=3, nano_usd=7), Budget())
            replay.answered(call, Answer(content=str(number)), Amount(tokens=2, nano_usd=5))

        list(pool.map(pay, range(200)))
        assert one.purse() == other.purse()
        assert (one.purse().spent, one.purse().held) == (Amount(tokens=400, nano_usd=1000), Amount())
        assert [one.answer(str(number)) for number in (0, 199, 200)] == [
            Answer(content="0"),
            Answer(content="199"),
            None,
        ]
