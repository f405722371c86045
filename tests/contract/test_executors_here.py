"""Attempts in this process: threads, the calling thread, and the context that all executors share."""

import json
import threading
from pathlib import Path

import pytest

from overnight.base.errors import Parking, PermanentError, UserMistake
from overnight.base.refs import Outcome
from overnight.executors.calling import call, takes_ctx
from overnight.executors.context import Context
from overnight.executors.inline import InlineExecutor
from overnight.executors.thread import ThreadExecutor
from overnight.testing.executors import RecordingChannel, new_order


class ManualClock:
    """Time that stands until it is moved."""

    def __init__(self):
        self.now = 100.0

    def now_us(self):
        return int(self.now * 1e6)

    def monotonic(self):
        return self.now


def perform(fn, folder, **args):
    logged = []
    outcome = call(new_order(folder, target="m:f", args=args), fn, None, logged.append)
    return outcome, "".join(logged)


def raising(error):
    def fn():
        raise error

    return fn


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("error", "family", "says"),
    [
        (ValueError("a\nb"), "transient", "a b"),
        (PermanentError("never"), "permanent", "never"),
        (UserMistake("you"), "user", "you"),
        (SystemExit(0), "transient", "the function called sys.exit(0)"),
        (KeyboardInterrupt(), "transient", "KeyboardInterrupt"),
        (GeneratorExit(), "transient", "GeneratorExit"),
        (Unprintable(), "transient", "Unprintable"),
        (ValueError("x" * 10_000), "transient", "x" * 500),
    ],
)
def test_whatever_a_function_raises_is_a_failed_attempt(tmp_path, error, family, says):
    outcome, logged = perform(raising(error), tmp_path)
    assert (outcome.kind, outcome.error.family, outcome.error.message) == ("failed", family, says)
    assert type(error).__name__ in logged


def test_parking_is_no_failure(tmp_path):
    outcome, logged = perform(raising(Parking({"run": 3})), tmp_path)
    assert outcome == Outcome(kind="parked", waiting_for={"run": 3})
    assert logged == ""


def test_parking_passes_a_flows_own_except_exception():
    assert not issubclass(Parking, Exception)


def test_arguments_that_do_not_fit_are_a_user_mistake_and_a_type_error_inside_is_not(tmp_path):
    assert perform(lambda a: a, tmp_path, b=1)[0].error.family == "user"
    assert perform(lambda: len(3), tmp_path)[0].error.family == "transient"


def test_what_is_wrong_with_arguments_is_told_with_those_that_there_are(tmp_path):
    def weigh(ctx, apples, pears=0):
        return apples + pears

    outcome, _ = perform(weigh, tmp_path, aples=1)
    assert outcome.error.message.endswith(
        "cannot be called so: got an unexpected keyword argument 'aples'; its arguments are apples, pears"
    )
    assert perform(lambda: 1, tmp_path, a=1)[0].error.message.endswith("; it has no arguments")


def test_the_context_is_given_to_those_who_ask():
    class Callable:
        __hash__ = None

        def __call__(self, ctx):
            return ctx

    assert takes_ctx(lambda ctx: ctx)
    assert takes_ctx(Callable())
    assert not takes_ctx(lambda context: context)
    assert not takes_ctx(dict)


def test_threads_grow_to_the_size_and_not_beyond(tmp_path):
    before = set(threading.enumerate())
    release, running, channel = threading.Event(), threading.Semaphore(0), RecordingChannel()

    def work():
        running.release()
        assert release.wait(30)

    executor = ThreadExecutor(lambda order: work, 3)
    orders = [new_order(tmp_path) for _ in range(5)]
    for order in orders:
        executor.start(order, channel)
    assert all(running.acquire(timeout=30) for _ in range(3))
    assert not running.acquire(timeout=0.05)
    new = set(threading.enumerate()) - before
    assert sum(thread.name.startswith("overnight-thread") for thread in new) == 3
    release.set()
    assert all(channel.outcome(order).kind == "succeeded" for order in orders)
    executor.close(5.0)
    assert not any(thread.is_alive() for thread in new)


def test_an_attempt_that_is_stopped_in_the_queue_is_never_called(tmp_path):
    release, channel, called = threading.Event(), RecordingChannel(), []

    def work(n):
        called.append(n)
        assert release.wait(30)

    executor = ThreadExecutor(lambda order: work, 1)
    first, second = new_order(tmp_path, args={"n": 1}), new_order(tmp_path, args={"n": 2})
    executor.start(first, channel)
    executor.start(second, channel)
    executor.stop(second, "cancelled", 1.0)
    release.set()
    assert channel.outcome(second).kind == "cancelled"
    executor.close(5.0)
    assert called == [1]


def test_a_thread_that_does_not_listen_is_left_behind_by_close(tmp_path):
    release, running, channel = threading.Event(), threading.Event(), RecordingChannel()

    def work():
        running.set()
        assert release.wait(30)

    executor = ThreadExecutor(lambda order: work, 1)
    order = new_order(tmp_path)
    executor.start(order, channel)
    assert running.wait(30)
    executor.close(0.05)
    assert channel.of("done", order) == []
    release.set()
    assert channel.outcome(order).kind == "cancelled"


def test_a_function_can_start_the_next_attempt_from_done(tmp_path):
    executor, results = ThreadExecutor(lambda order: lambda n: n, 1), []
    ended = threading.Event()

    class Chain(RecordingChannel):
        def done(self, order, outcome):
            results.append(json.loads(outcome.result))
            if len(results) < 5:
                executor.start(new_order(tmp_path, args={"n": len(results)}), self)
            else:
                ended.set()

    executor.start(new_order(tmp_path, args={"n": 0}), Chain())
    assert ended.wait(30)
    executor.close(5.0)
    assert results == [0, 1, 2, 3, 4]


def test_inline_returns_when_the_attempt_has_ended(tmp_path):
    channel, order = RecordingChannel(), new_order(tmp_path)
    InlineExecutor(lambda order: threading.get_ident).start(order, channel)
    assert channel.of("done", order)[0].result == str(threading.get_ident())


def test_a_log_that_cannot_be_written_does_not_change_the_outcome(tmp_path):
    channel, order = RecordingChannel(), new_order(tmp_path, log_path="/dev/full")
    InlineExecutor(lambda order: raising(ValueError("x"))).start(order, channel)
    assert channel.outcome(order).error.type == "ValueError"


def context(folder, sent, clock):
    order = new_order(Path(folder))
    return Context(order, clock=clock, send=sent.append)


def test_progress_within_a_tenth_of_a_second_is_joined_and_the_last_wins(tmp_path):
    sent, clock = [], ManualClock()
    ctx = context(tmp_path, sent, clock)
    ctx.progress(1, 10, loss=0.5)
    ctx.progress(2)
    ctx.progress(3)
    assert sent == [{"done": 1, "total": 10, "loss": 0.5}]
    ctx.finish()
    assert sent[1:] == [{"done": 3}]
    clock.now += 1
    ctx.progress(4)
    assert sent[2:] == [{"done": 4}]
