"""Budgets are never overrun, an endpoint's limit is never exceeded, and a request is the same one for ever."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from overnight.base.errors import BudgetSpent, UserMistake
from overnight.llm.budget import NANO, Amount, Budget, Price, Purse
from overnight.llm.pacing import Pace, retry_after_s
from overnight.llm.requests import Malformed, Request, Said, parsed

FIELDS = {"question": "text", "grade": "score"}


def request(**more) -> Request:
    told = {
        "model": "m",
        "messages": [Said(role="user", content="Ask me äöü.")],
        "fields": FIELDS,
        "max_tokens": 50,
        "temperature": 0.7,
        "seed": 3,
    }
    return Request(**(told | more))


class Spending(RuleBasedStateMachine):
    """Requests that begin and end in any order; none uses more than was held back for it."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(tokens=1000, usd=0.002)
        self.price = Price(in_usd=1.5, out_usd=2.5)
        self.purse = Purse()
        self.open: list[Amount] = []

    @rule(tokens_in=st.integers(0, 400), tokens_out=st.integers(0, 400))
    def begins(self, tokens_in: int, tokens_out: int) -> None:
        most = self.price.of(tokens_in, tokens_out)
        before = self.purse.spent + self.purse.held + most
        fits = before.tokens <= 1000 and before.nano_usd <= 2_000_000
        try:
            self.purse = self.purse.reserve(most, self.budget)
        except BudgetSpent:
            assert not fits
        else:
            assert fits
            self.open.append(most)

    @precondition(lambda self: self.open)
    @rule(data=st.data(), share=st.floats(0, 1))
    def ends(self, data: st.DataObject, share: float) -> None:
        most = self.open.pop(data.draw(st.integers(0, len(self.open) - 1)))
        used = Amount(tokens=int(most.tokens * share), nano_usd=int(most.nano_usd * share))
        self.purse = self.purse.settle(most, used)

    @precondition(lambda self: self.open)
    @rule()
    def is_refused(self) -> None:
        self.purse = self.purse.release(self.open.pop())

    @invariant()
    def nothing_is_overrun_and_what_is_held_is_open(self) -> None:
        together = self.purse.spent + self.purse.held
        assert together.tokens <= 1000 and together.nano_usd <= 2_000_000
        assert self.purse.held == sum(self.open, Amount())


TestSpending = Spending.TestCase


@dataclass
class Flight:
    began_s: float


class Flying(RuleBasedStateMachine):
    """An endpoint that answers, refuses and fails in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.pace = Pace(most=12)
        self.flights: list[Flight] = []
        self.silent_until_s = 0.0

    @rule(seconds=st.floats(0, 5))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule()
    def one_begins(self) -> None:
        begun = self.pace.begins(self.now_s)
        may = len(self.flights) < int(self.pace.limit) and self.now_s >= self.silent_until_s
        assert (begun is not None) == may
        if begun is not None:
            self.pace = begun
            self.flights.append(Flight(self.now_s))

    @precondition(lambda self: self.flights)
    @rule()
    def one_is_answered(self) -> None:
        self.flights.pop()
        before = self.pace.limit
        self.pace = self.pace.succeeded()
        assert before <= self.pace.limit <= before + 1

    @precondition(lambda self: self.flights)
    @rule(data=st.data(), wait_s=st.sampled_from([0.0, 2.0]))
    def one_is_too_many(self, data: st.DataObject, wait_s: float) -> None:
        flight = self.flights.pop(data.draw(st.integers(0, len(self.flights) - 1)))
        before = self.pace
        self.pace = before.overloaded(self.now_s, began_s=flight.began_s, wait_s=wait_s)
        self.silent_until_s = max(self.silent_until_s, self.now_s + wait_s if wait_s else 0.0)
        cut = before.cut_s is None or flight.began_s >= before.cut_s
        assert self.pace.limit == (max(1.0, before.limit / 2) if cut else before.limit)

    @precondition(lambda self: self.flights)
    @rule()
    def one_fails(self) -> None:
        self.flights.pop()
        self.pace = self.pace.failed()

    @invariant()
    def the_limit_keeps_its_range_and_the_count_is_right(self) -> None:
        assert 1 <= self.pace.limit <= 12
        assert self.pace.in_flight == len(self.flights)


TestFlying = Flying.TestCase


def test_the_limit_grows_by_one_with_each_answer_until_an_overload_and_by_one_a_round_after():
    pace = Pace(most=100)
    for _ in range(4):
        while (begun := pace.begins(0.0)) is not None:
            pace = begun
        for _ in range(pace.in_flight):
            pace = pace.succeeded()
    first = pace.limit
    assert first > 7
    pace = pace.begins(0.0).overloaded(1.0, began_s=1.0)
    assert pace.limit == first / 2
    while (begun := pace.begins(1.0)) is not None:
        pace = begun
    grown = pace.succeeded()
    assert grown.limit == pytest.approx(pace.limit + 1 / pace.limit)


def test_a_limit_that_is_not_reached_does_not_grow():
    assert Pace(most=10).begins(0.0).succeeded().limit == 4


def test_what_was_in_flight_at_one_overload_halves_once():
    pace = Pace(most=10, limit=8)
    for _ in range(8):
        pace = pace.begins(1.0)
    for _ in range(8):
        pace = pace.overloaded(2.0, began_s=1.0)
    assert (pace.limit, pace.in_flight) == (4, 0)


@pytest.mark.parametrize(
    ("told", "seconds"),
    [
        ("7", 7.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 40.0),
        ("Thu, 01 Jan 1970 00:00:10 GMT", 0.0),
        ("soon", None),
        ("inf", None),
        ("nan", None),
        (None, None),
    ],
)
def test_a_retry_after_is_read_as_seconds_or_as_a_date(told, seconds):
    assert retry_after_s(told, 60_000_000) == seconds


def test_prices_are_exact_and_round_up():
    assert Price(in_usd=0.15, out_usd=0.6).of(1000, 500) == Amount(tokens=1500, nano_usd=150_000 + 300_000)
    assert Price(in_usd=0.0001).of(1, 0).nano_usd == 1
    assert Amount(nano_usd=NANO // 2).usd == 0.5


def test_a_spent_budget_says_of_what_and_what_to_do():
    purse = Purse(spent=Amount(tokens=900, nano_usd=NANO), held=Amount(tokens=50))
    with pytest.raises(
        BudgetSpent, match=r"900 of 1,000 tokens are spent and 50 held back.*up to 51.*raise budget_tokens"
    ):
        purse.reserve(Amount(tokens=51), Budget(tokens=1000))
    with pytest.raises(BudgetSpent, match=r"1\.0000 of 1\.5000 USD are spent.*raise budget_usd"):
        purse.reserve(Amount(nano_usd=NANO), Budget(usd=1.5))


@pytest.mark.parametrize("wrong", [{"tokens": 0}, {"usd": -1.0}, {"usd": float("nan")}, {"usd": float("inf")}])
def test_a_budget_that_is_none_is_refused(wrong):
    with pytest.raises(UserMistake, match="is not greater than 0"):
        Budget(**wrong)


def test_a_price_that_is_none_is_refused():
    with pytest.raises(UserMistake, match="price_out_usd"):
        Price(out_usd=float("nan"))


def test_a_request_has_the_key_of_all_that_shapes_its_answer():
    assert request().key == request().key
    other = [
        request(model="n"),
        request(messages=[Said(role="system", content="Ask me äöü.")]),
        request(fields={"question": "text"}),
        request(max_tokens=51),
        request(temperature=0.8),
        request(seed=4),
    ]
    assert len({one.key for one in [request(), *other]}) == 7


@given(st.text(max_size=200), st.text(max_size=50))
def test_a_prompt_has_no_more_tokens_than_bytes(content, more):
    short, long = (request(messages=[Said(role="user", content=text)]) for text in (content, content + more))
    assert long.most_tokens_in - short.most_tokens_in == len(more.encode())
    sent = short.body(way="json_schema", limit_name="max_tokens", stream=False)
    assert short.most_tokens_in > len(sent["messages"][0]["content"].encode())


def test_the_form_is_asked_for_in_words_where_it_cannot_be_enforced():
    bodies = [
        request().body(way=way, limit_name="max_tokens", stream=False) for way in ("json_schema", "json_object", "none")
    ]
    assert [body.get("response_format", {}).get("type") for body in bodies] == ["json_schema", "json_object", None]
    assert ['"grade" (a number from 0 to 1)' in body["messages"][-1]["content"] for body in bodies] == [
        False,
        True,
        True,
    ]


@pytest.mark.parametrize(
    "content", ['{"question": "Why?", "grade": 1}', '```json\n{"question": "Why?", "grade": 1}\n```\n']
)
def test_an_answer_is_read(content):
    assert parsed(content, FIELDS) == {"question": "Why?", "grade": 1}


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('{"question": "Wh', "not JSON"),
        ("[1]", "not a JSON object"),
        ('{"question": "Why?"}', "its keys are question, and not grade, question"),
        ('{"question": "Why?", "grade": 1, "more": 2}', "its keys are"),
        ('{"question": 5, "grade": 1}', "question is not a text"),
        ('{"question": " ", "grade": 1}', "question is not a text"),
        ('{"question": "a\\u0000b", "grade": 1}', "NUL"),
        ('{"question": "a\\ud800b", "grade": 1}', "surrogate"),
        ('{"question": "Why?", "grade": true}', "not a number from 0 to 1"),
        ('{"question": "Why?", "grade": "1"}', "not a number from 0 to 1"),
        ('{"question": "Why?", "grade": 1.01}', "not a number from 0 to 1"),
        ('{"question": "Why?", "grade": NaN}', "not a number from 0 to 1"),
    ],
)
def test_what_is_not_of_the_form_is_malformed(content, why):
    with pytest.raises(Malformed, match=why):
        parsed(content, FIELDS)
