"""What once left a worker asleep, slow or misled: lost rings, clocks that jump, full tasks, odd figures and names."""

import json
import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, timedelta
from random import Random

import pytest
import sqlalchemy as sa

from overnight.app.project import Project
from overnight.base.errors import CommitInDoubt, UserMistake
from overnight.base.instants import US, to_datetime
from overnight.base.points import Point
from overnight.base.refs import Outcome
from overnight.cli.describe import facts
from overnight.engine import scheduler, store
from overnight.engine.claim import Claimant, claim
from overnight.engine.model import Needs, Priority, State
from overnight.engine.queue import Busy, Capacity
from overnight.engine.submit import Request, submit
from overnight.engine.worker import HEARD_EVERY_S, LONGEST_SLEEP_S
from overnight.testing.bench import Bench


@pytest.fixture
def bench(tmp_path, database_url):
    with Bench(tmp_path, database_url) as opened:
        yield opened


def fill(bench, requests):
    return bench.project.database.writer.do(lambda tx: submit(tx, requests))


class Undo(Exception):
    """Rolls a transaction back."""


def claimed(bench, *, slots, busy=(), cpus=4.0, before=lambda tx: None, after=lambda tx: None):
    """Return the runs that a claim takes now, and take it back."""
    worker_id = bench.runtime.worker._looks.worker_id
    claimant = Claimant(worker_id=worker_id, capacity=Capacity(slots=slots, cpus=cpus), busy=busy)
    taken = []

    def change(tx):
        before(tx)
        taken[:], _ = claim(tx, bench.project.book, claimant)
        after(tx)
        raise Undo

    with pytest.raises(Undo):
        bench.project.database.writer.do(change)
    return taken


def test_figures_of_a_task_cannot_pass_for_another_event(bench):
    def work(ctx):
        ctx.progress(1, 2, run="no run", task="no task", event="completed")

    bench.add("task", work)
    run_id = bench.project.submit("task")
    bench.work()
    [event] = [event for event in bench.tell() if event["event"] == "progress"]
    figures = {"done": 1, "total": 2, "run": "no run", "task": "no task", "event": "completed"}
    assert event == {"run": run_id, "task": "task", "event": "progress", "figures": figures}


def test_a_run_whose_submitter_died_before_it_rang_is_found_by_the_idle_worker(bench):
    bench.add("task")
    bench.work()
    with Project.create(bench.folder, overrides={"engine.database": bench.url}, clock=bench.clock) as other:
        other.add_task(bench.project.book.get("task").task)
        run_id = other.submit("task")
    assert not bench.step(), "nobody rang"
    assert bench.runtime.worker.sleep_s() <= LONGEST_SLEEP_S
    bench.clock.advance(LONGEST_SLEEP_S)
    while bench.step():
        pass
    assert bench.state(run_id) is State.COMPLETED


def test_an_idle_worker_takes_no_turn_before_its_time(bench):
    bench.add("task")
    bench.work()
    bench.clock.advance(LONGEST_SLEEP_S - 0.001)
    assert not bench.step()


def test_a_civil_clock_that_is_set_forward_makes_what_is_due_start_at_the_next_step(bench):
    bench.add("task")
    run_id = bench.project.submit("task", due=to_datetime(bench.clock.now_us()) + timedelta(hours=1))
    bench.work()
    assert bench.runtime.worker.sleep_s() <= LONGEST_SLEEP_S, "the jump is noticed within this time"
    bench.clock.jump(3600)
    assert bench.step()
    bench.step()
    assert bench.state(run_id) is State.COMPLETED


def test_a_cron_line_that_many_tasks_share_is_asked_once_at_a_start(bench, monkeypatch):
    for number in range(20):
        bench.add(f"daily-{number}", schedule=f"30 {number % 2 + 1} * * *", timezone="Europe/Berlin")
    bench.work()
    asked = []
    following = scheduler.next_after
    monkeypatch.setattr(scheduler, "next_after", lambda *given: [asked.append(given), following(*given)][1])
    bench.crash()
    bench.work()
    assert len(asked) == 2


def test_a_civil_clock_that_is_set_back_makes_nothing_start_early(bench):
    bench.add("task")
    run_id = bench.project.submit("task", due=to_datetime(bench.clock.now_us()) + timedelta(seconds=60))
    bench.work()
    bench.clock.jump(-3600)
    bench.after(60)
    assert bench.state(run_id) is State.PENDING
    bench.after(3600)
    assert bench.state(run_id) is State.COMPLETED


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_a_claim_costs_does_not_grow_with_the_queue_of_a_full_task(bench):
    bench.add("full")
    bench.add("other")

    def cost():
        steps = 0

        def count():
            nonlocal steps
            steps += 1

        def watch(tx, handler):
            tx.connection.connection.driver_connection.set_progress_handler(handler, 10)

        taken = claimed(bench, slots=3, before=lambda tx: watch(tx, count), after=lambda tx: watch(tx, None))
        assert [run.task_id for run in taken] == ["full", "other"]
        return steps

    fill(bench, [Request(task_id="full") for _ in range(200)])
    fill(bench, [Request(task_id="other", priority=Priority.LOW)])
    few = cost()
    fill(bench, [Request(task_id="full") for _ in range(5_000)])
    assert cost() < 1.2 * few


def test_of_a_full_task_no_run_is_read(bench, monkeypatch):
    bench.add("full", max_concurrent=2)
    bench.add("other")
    fill(bench, [Request(task_id="full") for _ in range(300)] + [Request(task_id="other") for _ in range(300)])
    read = []
    monkeypatch.setattr(store, "to_run", lambda row, old=store.to_run: read.append(row) or old(row))
    assert [run.task_id for run in claimed(bench, slots=5, busy=[Busy(task_id="full")])] == ["full", "other"]
    assert len(read) <= 5 + 1, "the first five of the queue, and the head of the other task"


def expected(book, rows, slots, busy):
    """Return the runs that start where only tasks' limits and slots count: the whole queue, one by one."""
    started, counts = [], Counter(run.task_id for run in busy)
    for _rank, run_id, task_id in sorted(rows):
        entry = book.find(task_id)
        if entry is None or len(started) >= slots - len(busy):
            continue
        most = entry.task.max_concurrent
        if most is None or counts[task_id] < most:
            counts[task_id] += 1
            started.append(run_id)
    return started


def test_whatever_waits_the_first_runs_that_may_start_are_claimed_in_the_order_of_the_queue(bench):
    limits = {"a": 1, "b": 1, "c": 2, "d": 3, "e": None, "z": 1}
    for task_id, most in limits.items():
        bench.add(task_id, max_concurrent=most)
    bench.runtime.worker.wake()
    database = bench.project.database
    random = Random(11)
    for _ in range(25):
        with database.engine.begin() as connection:
            connection.execute(sa.text("DELETE FROM runs"))
        names = random.sample([*limits, "gone"], random.randint(1, 7))
        sizes = random.choices((1, 3, 90), k=len(names))
        requests = [
            Request(task_id=name, priority=random.choice(list(Priority)))
            for name, size in zip(names, sizes, strict=True)
            for _ in range(size)
        ]
        random.shuffle(requests)
        fill(bench, requests)
        busy = [Busy(task_id=name) for name in random.sample(list(limits), random.randint(0, 3))]
        with database.read() as connection:
            rows = [tuple(row) for row in connection.execute(sa.text("SELECT rank, run_id, task_id FROM runs"))]
        slots = random.randint(1, 12)
        taken = claimed(bench, slots=slots, busy=busy)
        assert [run.run_id for run in taken] == expected(bench.project.book, rows, slots, busy)


def test_more_tasks_than_a_look_takes_in_wait_for_cores_and_the_one_behind_them_is_found(bench):
    for number in range(80):
        bench.add(f"wide{number}", needs=Needs(cpus=2), max_concurrent=None)
    bench.add("slim", priority=Priority.LOW)
    fill(bench, [Request(task_id=f"wide{number}") for number in range(80) for _ in range(2)])
    fill(bench, [Request(task_id="slim", priority=Priority.LOW)])
    busy = [Busy(task_id="x", needs=Needs(cpus=3))]
    assert [run.task_id for run in claimed(bench, slots=9, busy=busy)] == ["slim"]


class Held:
    """An executor that works until it is stopped, and notes from which thread that came."""

    def __init__(self):
        self.started = threading.Event()
        self.stopped_from = []

    def start(self, order, channel):
        self.order, self.channel = order, channel
        self.started.set()

    def stop(self, order, reason, grace_s):
        self.stopped_from.append(threading.current_thread())
        self.channel.done(order, Outcome(kind="cancelled"))


@pytest.fixture
def held(bench):
    """A run that is being worked on."""
    bench.add("task")
    bench.project.submit("task")
    executor = Held()
    bench.runtime.worker._executors = {"inline": executor}
    bench.work()
    assert executor.started.is_set()
    return executor


def test_that_a_child_lives_is_written_every_few_seconds_and_never_for_a_short_run(bench, held):
    run_id, began_us = held.order.run_id, bench.clock.now_us()

    def beats(count):
        for _ in range(count):
            bench.clock.advance(1)
            held.channel.heartbeat(held.order)
            bench.step()
        heard_us = bench.get(run_id).heard_us
        return None if heard_us is None else (heard_us - began_us) / US

    assert beats(int(HEARD_EVERY_S) - 1) is None
    assert beats(1) == HEARD_EVERY_S
    assert beats(int(HEARD_EVERY_S) - 1) == HEARD_EVERY_S
    assert beats(1) == 2 * HEARD_EVERY_S
    bench.clock.advance(7)
    assert dict(facts(bench.get(run_id), UTC, bench.clock.now_us()))["last heard from"] == "7 s ago"
    held.channel.done(held.order, Outcome(kind="succeeded"))
    bench.work()
    assert bench.get(run_id).heard_us is None


def test_what_comes_from_an_attempt_that_is_over_is_told_to_nobody(bench, held):
    worker = bench.runtime.worker
    for number in range(3):
        worker.progress(held.order, {"done": number})
    worker.progress(replace(held.order, token=held.order.token - 1), {"done": 99})
    worker.heartbeat(replace(held.order, run_id=held.order.run_id + 1))
    bench.step()
    assert bench.get(held.order.run_id).progress == '{"done":2}'
    assert [event["figures"] for event in bench.tell() if event["event"] == "progress"] == [{"done": 2}]


def test_an_executor_that_raises_costs_the_run_a_try_and_nobody_else_anything(bench):
    class Broken(Held):
        def start(self, order, channel):
            raise RuntimeError("can't start\nnew thread")

    bench.add("task", max_retries=1)
    bench.add("other", executor="thread")
    ids = [bench.project.submit(name) for name in ("task", "other")]
    bench.runtime.worker._executors = {**bench.runtime.worker._executors, "inline": Broken()}
    bench.work_until(lambda: bench.state(ids[1]) is State.COMPLETED)
    run = bench.get(ids[0])
    assert (run.state, run.error.type) == (State.RETRYING, "RuntimeError")
    assert run.error.message == "executor 'inline' could not start it: can't start new thread"


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_giving_back_is_a_message_on_which_the_loop_acts(bench):
    bench.add("task")
    run_id = bench.project.submit("task")
    worker, held = bench.runtime.worker, Held()
    worker._executors = {"inline": held}
    loop = threading.Thread(target=worker.run, daemon=True)
    loop.start()
    assert held.started.wait(20)
    worker.closing.set()
    worker.give_back()
    loop.join(20)
    assert not loop.is_alive()
    assert held.stopped_from == [loop]
    assert bench.state(run_id) is State.PENDING


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800b"])
def test_a_flow_with_a_text_that_no_database_takes_fails_with_one_line_that_names_it(bench, odd):
    called = []
    ways = {
        "name": lambda flow: flow.step(odd, lambda: called.append(1)),
        "question": lambda flow: flow.ask(odd, "really?"),
        "prompt": lambda flow: flow.ask("go", odd),
        "choices": lambda flow: flow.ask("go", "really?", ("yes", odd)),
        "start": lambda flow: flow.start("name", name=odd),
    }
    for task_id, fn in ways.items():
        bench.add(task_id, fn, flow=True)
    ids = {task_id: bench.project.submit(task_id) for task_id in ways}
    bench.work()
    for task_id, run_id in ids.items():
        run = bench.get(run_id)
        assert (run.state, run.error.family, run.error.type) == (State.FAILED, "user", "UserMistake"), task_id
        assert "cannot be stored; give text without NUL and lone surrogates" in run.error.message
        assert "\n" not in run.error.message
        json.dumps(run.error.message).encode()
    assert called == []
    assert bench.project.questions() == []


@pytest.mark.parametrize("odd", ["a\0b", "a\ud800b"])
def test_an_answer_from_a_name_that_no_database_takes_is_refused_and_the_question_stays_open(bench, odd):
    bench.add("flow", lambda flow: flow.ask("go", "really?"), flow=True)
    bench.project.submit("flow")
    bench.work()
    [question] = bench.project.questions()
    with pytest.raises(UserMistake, match=r"by: .* cannot be stored"):
        bench.project.answer(question.question_id, "yes", by=odd)
    with pytest.raises(UserMistake, match="is not one of the choices"):
        bench.project.answer(question.question_id, odd)
    assert bench.project.questions() == [question]


def test_a_worker_whose_every_commit_is_in_doubt_takes_a_rest_between_its_tries(bench):
    bench.add("task")
    run_id = bench.project.submit("task")
    tries = []

    def doubt():
        bench.hook.at[Point.WRITER_BEFORE_COMMIT] = doubt
        tries.append(bench.clock.monotonic())
        raise CommitInDoubt("the disk is faulty")

    assert bench.runtime.worker.idle
    bench.hook.at[Point.WRITER_BEFORE_COMMIT] = doubt
    bench.step()
    assert bench.runtime.worker.sleep_s() == 0.0, "a single doubt is looked into at once"
    bench.step()
    assert bench.runtime.worker.sleep_s() > 0.0
    assert len(tries) == 2
    del bench.hook.at[Point.WRITER_BEFORE_COMMIT]
    bench.after(1)
    assert bench.state(run_id) is State.COMPLETED
