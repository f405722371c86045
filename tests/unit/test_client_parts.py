"""The pure parts of the client: when it stops to ask, and how it reads a stream."""

import re
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from overnight.client.breaker import FAILURES, OPEN_S, Breaker
from overnight.client.sse import Message, Parser


class Asking(RuleBasedStateMachine):
    """A breaker beside a plain account of what has happened."""

    def __init__(self):
        super().__init__()
        self.breaker, self.now, self.in_a_row, self.last_failure = Breaker(), 0.0, 0, 0.0

    @rule(seconds=st.floats(0, 2 * OPEN_S))
    def time_goes_on(self, seconds):
        self.now += seconds

    @rule(works=st.booleans())
    def ask(self, works):
        shut = self.in_a_row >= FAILURES and self.now < self.last_failure + OPEN_S
        asked = self.breaker.asks(self.now)
        assert (asked is None) == shut == (self.breaker.left_s(self.now) > 0)
        if asked is None:
            return
        if self.in_a_row >= FAILURES:
            assert asked.asks(self.now) is None, "half open, one at a time"
        self.breaker = asked.succeeded() if works else asked.failed(self.now)
        self.in_a_row = 0 if works else self.in_a_row + 1
        self.last_failure = self.last_failure if works else self.now

    @invariant()
    def closed_while_there_are_few_failures(self):
        assert (self.breaker.open_until_s is None) == (self.in_a_row < FAILURES)


TestAsking = Asking.TestCase


def test_a_stream_is_read_as_the_standard_says():
    # The examples of section 9.2.6, in one stream.
    content = (
        b"\xef\xbb\xbf: test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
        b"data: YHOO\ndata: +2\ndata: 10\n\nevent: add\nid: 7\ndata: 73857293\n\ndata\n\ndata\ndata\n\ndata:\n"
    )
    assert Parser().feed(content) == [
        Message("message", "first event", "1"),
        Message("message", "second event", ""),
        Message("message", " third event", ""),
        Message("message", "YHOO\n+2\n10", ""),
        Message("add", "73857293", "7"),
        Message("message", "", "7"),
        Message("message", "\n", "7"),
    ]


def test_what_means_nothing_does_nothing():
    parser = Parser("5")
    assert parser.feed(b"id: a\0b\nretry: soon\nretry: 250\nstrange: 1\ndata: x\n\n") == [Message("message", "x", "5")]
    assert (parser.last_id, parser.retry_s) == ("5", 0.25)


def test_an_id_without_data_counts_for_the_next_connection():
    parser = Parser()
    assert parser.feed(b"id: 9\n\n: heartbeat\n\n") == []
    assert parser.last_id == "9"


@given(
    st.lists(
        st.tuples(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(min_size=1, max_size=9), st.integers(0, 99)),
        max_size=4,
    ),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.data(),
)
def test_events_survive_any_line_end_and_any_cut(events, end, data):
    sent, wanted = "", []
    for name, text, number in events:
        lines = re.split(r"\r\n|\n|\r", text)
        sent += "".join(
            f"{line}{end}" for line in (f"event: {name}", f"id: {number}", *(f"data: {x}" for x in lines), "")
        )
        wanted.append(Message(name, "\n".join(lines), str(number)))
    content = (sent + f": end{end}").encode(errors="replace")
    wanted = [Message(one.name, one.data.encode(errors="replace").decode(), one.last_id) for one in wanted]
    parser, found = Parser(), []
    cuts = sorted(data.draw(st.sets(st.integers(0, len(content)), max_size=5)))
    for start, stop in pairwise([0, *cuts, len(content)]):
        found += parser.feed(content[start:stop])
    assert found == wanted
