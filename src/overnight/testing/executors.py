"""The conformance suite of the executor protocol.

In a pytest file, subclass `ExecutorConformance` and write `build` and, where orders look different, `order`.
"""

import errno
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from overnight.base.ids import RunId, TaskId, Token
from overnight.base.ports import Channel, Executor
from overnight.base.refs import Outcome, WorkOrder
from overnight.executors.inside import BEAT_EVERY_S
from overnight.processes import table
from overnight.testing import behaviours

_PATIENCE_S = 30.0
_numbers = count(1)


class RecordingChannel:
    """A channel that remembers everything, and waits for it on request."""

    def __init__(self) -> None:
        self.news: list[tuple[str, RunId, Any]] = []
        self._changed = threading.Condition()

    def child_started(self, order: WorkOrder, pid: int, started: float) -> None:
        """Record a child."""
        assert table.same_process(pid, started), "a child is recorded while it lives"
        self._note("child", order, (pid, started))

    def progress(self, order: WorkOrder, figures: dict[str, Any]) -> None:
        """Record progress."""
        self._note("progress", order, figures)

    def heartbeat(self, order: WorkOrder) -> None:
        """Record a sign of life."""
        self._note("heartbeat", order, None)

    def done(self, order: WorkOrder, outcome: Outcome) -> None:
        """Record the end."""
        self._note("done", order, outcome)

    def of(self, kind: str, order: WorkOrder) -> list[Any]:
        """Return what came of that kind for the order."""
        with self._changed:
            return [value for what, run_id, value in self.news if (what, run_id) == (kind, order.run_id)]

    def wait(self, kind: str, order: WorkOrder, count: int = 1) -> Any:
        """Wait until there are so many news of that kind for the order, and return the value of the first."""
        with self._changed:
            there = self._changed.wait_for(lambda: len(self.of(kind, order)) >= count, _PATIENCE_S)
            assert there, f"no {kind!r} for run {order.run_id} within {_PATIENCE_S} s; there is {self.news}"
            return self.of(kind, order)[0]

    def outcome(self, order: WorkOrder) -> Outcome:
        """Wait for the end of the attempt."""
        outcome: Outcome = self.wait("done", order)
        return outcome

    def _note(self, kind: str, order: WorkOrder, value: Any) -> None:
        with self._changed:
            self.news.append((kind, order.run_id, value))
            self._changed.notify_all()


def new_order(folder: Path, **values: Any) -> WorkOrder:
    """Return an order of a new run whose log is in `folder`."""
    number = next(_numbers)
    order = WorkOrder(
        run_id=RunId(number),
        token=Token(1),
        task_id=TaskId("task"),
        attempt=1,
        executor="process",
        args={},
        project_dir=str(folder),
        log_path=str(folder / "logs" / f"{number}.log"),
    )
    return replace(order, **values)


def _no_more_threads(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _no_more_descriptors(*_: object) -> None:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class ExecutorConformance:
    """What every executor must do. Set `blocking` when `start` returns only at the end of the attempt."""

    blocking = False
    captures_output = True
    has_children = True
    has_heartbeat = False

    def build(self) -> Executor:
        """Return a new executor."""
        raise NotImplementedError

    def order(self, folder: Path, behaviour: str, **args: Any) -> WorkOrder:
        """Return an order for a function of `behaviours`."""
        return new_order(folder, target=f"{behaviours.__name__}:{behaviour}", args=args)

    @pytest.fixture
    def executor(self) -> Iterator[Executor]:
        """An executor, closed in the end."""
        executor = self.build()
        yield executor
        executor.close(1.0)

    @pytest.fixture
    def channel(self) -> RecordingChannel:
        """A channel that remembers."""
        return RecordingChannel()

    def begin(self, executor: Executor, order: WorkOrder, channel: Channel) -> None:
        """Start the order, in a thread if `start` blocks."""
        if self.blocking:
            threading.Thread(target=executor.start, args=(order, channel)).start()
        else:
            executor.start(order, channel)

    def test_success_brings_the_result_as_json(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        """Success brings the result as json."""
        order = self.order(tmp_path, "succeed", number=5)
        self.begin(executor, order, channel)
        outcome = channel.outcome(order)
        assert (outcome.kind, outcome.result, outcome.error) == ("succeeded", '{"number":5}', None)
        assert outcome.usage.cpu_s is not None
        assert 0 <= outcome.usage.cpu_s < _PATIENCE_S

    def test_failure_is_transient_and_says_why_in_one_line(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        """Failure is transient and says why in one line."""
        order = self.order(tmp_path, "fail")
        self.begin(executor, order, channel)
        outcome = channel.outcome(order)
        assert outcome.kind == "failed"
        assert outcome.result is None
        assert outcome.error is not None
        assert outcome.error.family == "transient"
        assert "went" in outcome.error.message
        assert "\n" not in outcome.error.message
        assert order.log_path is not None
        assert "wrong" in Path(order.log_path).read_text()

    def test_output_goes_to_the_log_of_its_own_run(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        """Output goes to the log of its own run."""
        if not self.captures_output:
            return
        orders = [self.order(tmp_path, "succeed", number=number) for number in range(6)]
        for order in orders:
            self.begin(executor, order, channel)
        for number, order in enumerate(orders):
            channel.outcome(order)
            assert order.log_path is not None
            assert Path(order.log_path).read_text().startswith(f"printed {number}\n")

    def test_progress_arrives_before_the_end(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        """Progress arrives before the end."""
        order = self.order(tmp_path, "report")
        self.begin(executor, order, channel)
        assert channel.outcome(order).kind == "succeeded"
        assert channel.of("progress", order) == [{"done": 3, "total": 7}]
        assert [kind for kind, run_id, _ in channel.news if run_id == order.run_id][-1] == "done"

    def test_every_order_ends_exactly_once(self, executor: Executor, channel: RecordingChannel, tmp_path: Path) -> None:
        """Every order ends exactly once."""
        orders = [self.order(tmp_path, "succeed", number=number) for number in range(12)]
        for order in orders:
            self.begin(executor, order, channel)
        for number, order in enumerate(orders):
            assert channel.outcome(order).result == f'{{"number":{number}}}'
        executor.close(1.0)
        assert sum(kind == "done" for kind, _, _ in channel.news) == len(orders)

    @pytest.mark.parametrize("reason", ["cancelled", "timed_out"])
    def test_stop_ends_the_attempt_and_the_outcome_says_why(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path, reason: Any
    ) -> None:
        """Stop ends the attempt and the outcome says why."""
        order = self.order(tmp_path, "wait_for_stop")
        self.begin(executor, order, channel)
        channel.wait("progress", order)
        executor.stop(order, reason, 5.0)
        executor.stop(order, "cancelled", 5.0)
        outcome = channel.outcome(order)
        assert (outcome.kind, outcome.result) == (reason, None)

    def test_stop_of_an_attempt_that_has_ended_changes_nothing(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        """Stop of an attempt that has ended changes nothing."""
        order = self.order(tmp_path, "succeed")
        self.begin(executor, order, channel)
        channel.outcome(order)
        executor.stop(order, "cancelled", 0.0)
        again = self.order(tmp_path, "succeed")
        self.begin(executor, again, channel)
        assert channel.outcome(again).kind == "succeeded"
        assert len(channel.of("done", order)) == 1

    def test_close_cancels_what_runs_and_takes_no_more(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        """Close cancels what runs and takes no more."""
        order, late = self.order(tmp_path, "wait_for_stop"), self.order(tmp_path, "succeed")
        self.begin(executor, order, channel)
        channel.wait("progress", order)
        executor.close(5.0)
        assert channel.outcome(order).kind == "cancelled"
        executor.start(late, channel)
        assert channel.outcome(late).kind == "cancelled"

    @pytest.mark.parametrize("warm", [False, True])
    @pytest.mark.parametrize("lacking", ["threads", "descriptors"])
    def test_a_machine_that_has_nothing_left_costs_the_attempt_and_not_the_executor(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path, lacking: str, warm: bool
    ) -> None:
        """A machine that has nothing left costs the attempt and not the executor."""
        before, order, after = (self.order(tmp_path, "succeed", number=number) for number in range(3))
        if warm:
            self.begin(executor, before, channel)
            channel.outcome(before)
        with pytest.MonkeyPatch.context() as machine:
            if lacking == "threads":
                machine.setattr(threading.Thread, "start", _no_more_threads)
            else:
                for module, name in ((os, "pipe"), (socket, "socketpair")):
                    machine.setattr(module, name, _no_more_descriptors)
            executor.start(order, channel)
            outcome = channel.outcome(order)
        # Those that need nothing new for this attempt succeed.
        if outcome.kind != "succeeded":
            assert outcome.error is not None
            assert (outcome.kind, outcome.error.family) == ("failed", "transient")
        self.begin(executor, after, channel)
        assert channel.outcome(after).kind == "succeeded"
        executor.close(1.0)
        assert len(channel.of("done", order)) == 1

    def test_the_child_of_a_long_run_says_that_it_lives_and_falls_silent_when_it_is_stopped(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        """The child of a long run says that it lives and falls silent when it is stopped."""
        if not self.has_heartbeat:
            return
        order = self.order(tmp_path, "wait_for_stop")
        self.begin(executor, order, channel)
        channel.wait("heartbeat", order)
        pid, _ = channel.of("child", order)[0]
        [child] = table.pids_below(pid)
        os.kill(child, signal.SIGSTOP)
        pause = threading.Event()
        while (entry := table.look(child)) is not None and entry.state != "T":
            pause.wait(0.005)
        pause.wait(0.2)  # what it said before is read by then
        heard = len(channel.of("heartbeat", order))
        pause.wait(2.5 * BEAT_EVERY_S)
        assert len(channel.of("heartbeat", order)) == heard
        os.kill(child, signal.SIGCONT)
        channel.wait("heartbeat", order, heard + 1)
        executor.stop(order, "cancelled", 5.0)
        assert channel.outcome(order).kind == "cancelled"

    def test_a_child_is_recorded_before_it_works_and_gone_after_close(
        self, executor: Executor, channel: RecordingChannel, tmp_path: Path
    ) -> None:
        """A child is recorded before it works and gone after close."""
        if not self.has_children:
            return
        order = self.order(tmp_path, "report")
        self.begin(executor, order, channel)
        channel.outcome(order)
        assert channel.news[0][0] == "child"
        executor.close(5.0)
        pid, started = channel.of("child", order)[0]
        assert not table.same_process(pid, started)
        assert table.look(pid) is None or table.started_of(pid) != started, "no zombie is left"
