"""Asks a language model: within budgets, as fast as its endpoint allows, and never twice for what it has answered.

What fails in a way that may pass is sent again after a wait; each try takes its own place in flight and its own part
of the budget. What was refused costs nothing; of what was lost nobody knows whether it was worked on, so it counts as
spent in full, and so does an answer that does not tell its tokens.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from overnight.base.backoff import Backoff
from overnight.base.clock import Clock
from overnight.base.errors import ConfigError, EndpointAway, ModelFailed
from overnight.llm.budget import Amount, Budget, Price
from overnight.llm.pacing import Pace, retry_after_s
from overnight.llm.replay import Answer, Call, Replay
from overnight.llm.requests import WAYS, Malformed, Request, Way, parsed
from overnight.llm.wire import Endpoint, Garbled, Trouble, Wire

TRIES = 6
"""Of a request that fails in a way that may pass."""
FORM_TRIES = 3
"""Of a request whose answer has not the form that was asked for; each is paid."""
LONGEST_WAIT_S = 300.0
"""An endpoint that wants to be left alone for longer is not waited for."""
WAITS = Backoff(base_s=1.0, cap_s=60.0, jitter=0.5)
_BUSY = (429, 503, 529)
_MAY_PASS = (408, 409, 425, *_BUSY, 500, 502, 504, 520, 522, 524)
_PERHAPS_PAID = (408, 502, 504, 520, 524)
"""Something between the endpoint and here has lost the answer, or its patience."""
_OURS = {
    401: "does not take the key; api_key_env names the variable that holds it",
    403: "does not allow it with this key",
    404: "knows no such model or address; see base_url and model",
}
_ABOUT_FORM = ("response_format", "json_schema", "json_object", "structured output", "guided", "grammar")


@dataclass(frozen=True, kw_only=True)
class Found:
    """The fields of an answer; `paid` tells whether it was asked for now, and not read from an earlier time."""

    fields: dict[str, Any]  # Any: texts and numbers
    paid: bool


@dataclass(frozen=True, kw_only=True)
class _Habits:
    """What an endpoint was found to understand."""

    way: Way = WAYS[0]
    limit_name: str = "max_tokens"


class Client:
    """Safe to use from any thread, each of which waits for its own answer; close it to stop those that wait.

    The replay file stays the caller's to close.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        replay: Replay,
        *,
        clock: Clock,
        budget: Budget | None = None,
        prices: Mapping[str, Price] | None = None,
        most_in_flight: int = 8,
        waits: Backoff = WAITS,
    ) -> None:
        """Open no connection yet. `prices` are those of the models that cost something.

        Raises:
            MissingExtra: openai is not installed.
        """
        self._budget, self._prices = budget or Budget(), dict(prices or {})
        self._endpoint, self._replay, self._clock, self._waits = endpoint, replay, clock, waits
        self._wire = Wire(endpoint, clock)
        self._habits = _Habits()
        self._lock = threading.Lock()
        # One for each thing that is waited for, so that an answer wakes no more threads than it has places for.
        self._room, self._news, self._closing = (threading.Condition(self._lock) for _ in range(3))
        self._pace = Pace(most=most_in_flight)
        self._asked = set[str]()
        self._closed = False
        self._random = Random()  # noqa: S311 -- spreads waits

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; whoever waits for a place or for the next try is told that it is over."""
        with self._lock:
            self._closed = True
            for waited_for in (self._room, self._closing):
                waited_for.notify_all()
        self._wire.close()

    @property
    def pace(self) -> Pace:
        """How the endpoint stands now."""
        return self._pace

    def ask(self, request: Request) -> Found:
        """Return the fields of the answer; the request is repeated with another seed where they are not there.

        Raises:
            BudgetSpent: what is left of the budget does not suffice; nothing was sent.
            EndpointAway: the endpoint does not answer, or wants to be left alone for long.
            ModelFailed: the endpoint refuses the request, or its answers have not the form that was asked for.
            ConfigError: key, model or address are wrong.
        """
        why = None
        for place in range(FORM_TRIES):
            answer, paid = self._once(replace(request, seed=request.seed + place))
            try:
                return Found(fields=parsed(answer.content, request.fields), paid=paid)
            except Malformed as error:
                why = f"{error}{' (it was cut off by max_tokens)' if answer.finish == 'length' else ''}"
        raise ModelFailed(f"{request.model} gave {FORM_TRIES} answers without the form that was asked for: {why}")

    def _once(self, request: Request) -> tuple[Answer, bool]:
        """Return the answer to it, and whether it was sent. Who asks the same at the same time waits for one answer."""
        key = request.key
        with self._alone(key):
            answer = self._replay.answer(key)
            return (answer, False) if answer is not None else (self._paid(request, key), True)

    @contextmanager
    def _alone(self, key: str) -> Iterator[None]:
        with self._lock:
            while key in self._asked:
                self._news.wait()
            self._asked.add(key)
        try:
            yield
        finally:
            with self._lock:
                self._asked.discard(key)
                self._news.notify_all()

    def _paid(self, request: Request, key: str) -> Answer:
        """Send it until there is an answer; the answer is written down."""
        if self._budget.usd is not None and request.model not in self._prices:
            raise ConfigError(f"budget_usd: nothing says what {request.model!r} costs")
        price = self._prices.get(request.model, Price())
        most = price.of(request.most_tokens_in, request.max_tokens)
        failures = 0
        while True:
            habits = self._habits
            began_s = self._take_place()
            after: Callable[[Pace], Pace] = Pace.failed
            wait_s = 0.0
            try:
                call = self._replay.begin(key, most, self._budget)
                answer = self._sent(request, habits, call, price)
                after = Pace.succeeded
                return answer
            except Garbled as error:
                failures += 1
                trouble = Trouble(f"the answer cannot be read: {error}")
            except Trouble as error:
                trouble = error
                if self._adapts(habits, error):
                    continue
                failures += 1
                wait_s, after = self._heard(error, began_s)
            finally:
                self._leave_place(after)
            self._stop_if_hopeless(trouble, failures, wait_s)
            self._pause(max(wait_s, self._waits.wait_s(failures, self._random)))

    def _sent(self, request: Request, habits: _Habits, call: Call, price: Price) -> Answer:
        """Send it once and write down what it cost.

        Raises:
            Trouble: there is no answer.
            Garbled: there is one that cannot be read.
        """
        body = request.body(way=habits.way, limit_name=habits.limit_name, stream=self._endpoint.stream)
        try:
            answer = self._wire.send(body)
        except Garbled:
            self._replay.lost(call)
            raise
        except Trouble as trouble:
            known = trouble.status is not None and trouble.status not in _PERHAPS_PAID
            (self._replay.refused if known or not trouble.sent else self._replay.lost)(call)
            raise
        self._replay.answered(call, answer, _cost(answer, call.most, price))
        return answer

    def _adapts(self, habits: _Habits, trouble: Trouble) -> bool:
        """Tell whether the endpoint has refused how it was asked, and there is another way to ask."""
        said = str(trouble).lower()
        if trouble.status not in (400, 404, 422, 501):
            return False
        if "max_completion_tokens" in said and habits.limit_name == "max_tokens":
            better = replace(habits, limit_name="max_completion_tokens")
        elif habits.way != WAYS[-1] and any(word in said for word in _ABOUT_FORM):
            better = replace(habits, way=WAYS[WAYS.index(habits.way) + 1])
        else:
            return False
        if self._habits == habits:  # another thread may have learnt more since
            self._habits = better
        return True

    def _heard(self, trouble: Trouble, began_s: float) -> tuple[float, Callable[[Pace], Pace]]:
        """Return how long the endpoint wants to be left alone, and what that does to the pace."""
        if trouble.status not in _BUSY and not trouble.late:
            return 0.0, Pace.failed
        wait_s = retry_after_s(trouble.retry_after, self._clock.now_us()) or 0.0
        now_s, kept_s = self._clock.monotonic(), min(wait_s, LONGEST_WAIT_S)
        return wait_s, lambda pace: pace.overloaded(now_s, began_s=began_s, wait_s=kept_s)

    def _stop_if_hopeless(self, trouble: Trouble, failures: int, wait_s: float) -> None:
        status = trouble.status
        if status in _OURS:
            raise ConfigError(f"the endpoint {_OURS[status]}: {trouble}")
        if status is not None and status not in _MAY_PASS:
            raise ModelFailed(f"the endpoint refuses the request: {trouble}")
        if wait_s > LONGEST_WAIT_S:
            raise EndpointAway(f"the endpoint wants to be left alone for {wait_s:.0f} s: {trouble}")
        if failures >= TRIES:
            raise EndpointAway(f"the endpoint failed {failures} times in a row: {trouble}")

    def _take_place(self) -> float:
        """Wait for a place in flight; return the instant at which it was taken, in monotonic seconds."""
        with self._lock:
            while True:
                self._stop_if_closed()
                now_s = self._clock.monotonic()
                begun = self._pace.begins(now_s)
                if begun is not None:
                    self._pace = begun
                    return now_s
                self._room.wait(self._pace.left_s(now_s) or None)

    def _leave_place(self, after: Callable[[Pace], Pace]) -> None:
        with self._lock:
            self._pace = after(self._pace)
            self._room.notify(max(0, int(self._pace.limit) - self._pace.in_flight))

    def _pause(self, seconds: float) -> None:
        until_s = self._clock.monotonic() + seconds
        with self._lock:
            while (left_s := until_s - self._clock.monotonic()) > 0:
                self._stop_if_closed()
                self._closing.wait(left_s)

    def _stop_if_closed(self) -> None:
        if self._closed:
            raise EndpointAway("the client is closed")


def _cost(answer: Answer, most: Amount, price: Price) -> Amount:
    if answer.tokens_in is None or answer.tokens_out is None:
        return most
    return price.of(answer.tokens_in, answer.tokens_out)
