"""SIGKILL while a language model is asked with 50 requests in flight: no sample is lost or made twice, and hardly one
request is paid twice.

A child process makes samples and writes each down in a line of a file; the server counts what it has answered. The
child is killed three times at random instants, and started again.
"""

import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from llm_model import model
from llm_server import LlmServer
from overnight.campaigns.ports import Origin
from overnight.llm.replay import Replay

pytestmark = pytest.mark.chaos

IN_FLIGHT, KILLS = 50, 3
ANSWERS_AFTER_S = 0.03
TOPICS = [f"topic {place}" for place in range(10)]
CHILD = """
import os, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from overnight.campaigns.generators.llm import LlmTasks
from overnight.campaigns.generators.llm_settings import LlmSettings
from overnight.campaigns.ports import Origin

url, replay, records, count, in_flight = sys.argv[1:]
topics = [f"topic {place}" for place in range(10)]
settings = LlmSettings(base_url=url, model="m", topics=topics, check="none", most_in_flight=int(in_flight))
done = {line.split()[0] for line in Path(records).read_text().splitlines()} if Path(records).exists() else set()
file, lock = os.open(records, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644), threading.Lock()

with LlmTasks(settings, Path(replay)) as tasks, ThreadPoolExecutor(int(in_flight)) as pool:
    def make(origin):
        checked = tasks.check(tasks.draft(origin.cell, origin.number))
        with lock:
            os.write(file, f"{origin.sample_id} {checked.fault}\\n".encode())

    todo = [
        Origin(domain="code", generator="llm/1", cell=cell, number=number)
        for number in range(int(count) // 10) for cell in tasks.cells()
    ]
    for _ in pool.map(make, [origin for origin in todo if origin.sample_id not in done]):
        pass
"""


def start(folder: Path, server: LlmServer, count: int) -> "subprocess.Popen[bytes]":
    words = [server.url, str(folder / "replay.db"), str(folder / "records"), str(count), str(IN_FLIGHT)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *words])


class Samples:
    """A child that makes samples in a folder, and what became of them."""

    def __init__(self, folder: Path, server: LlmServer, count: int) -> None:
        self.folder, self.server, self.count = folder, server, count
        self.kills = 0

    def start(self) -> "subprocess.Popen[bytes]":
        words = [self.server.url, str(self.folder / "replay.db"), str(self.folder / "records")]
        return subprocess.Popen([sys.executable, "-c", CHILD, *words, str(self.count), str(IN_FLIGHT)])

    def kill(self, child: "subprocess.Popen[bytes]") -> None:
        assert child.poll() is None
        child.kill()
        child.wait()
        self.kills += 1

    def finish(self) -> None:
        self.server.wait_for(lambda one: one.in_flight == 0)
        assert self.start().wait(300) == 0

    def check(self) -> int:
        """Compare the records with what was asked for; return how many requests were paid twice."""
        lines = [line.split(" ", 1) for line in (self.folder / "records").read_text().splitlines()]
        numbers = range(self.count // len(TOPICS))
        origins = [Origin(domain="code", generator="llm/1", cell=topic, number=n) for n in numbers for topic in TOPICS]
        assert Counter(sample for sample, _ in lines) == Counter(origin.sample_id for origin in origins)
        assert {fault for _, fault in lines} == {"None"}
        answered = self.server.answered
        twice = answered.total() - len(answered)
        print(f"{self.count} samples, {answered.total()} answers, {twice} of them twice, {self.kills} kills")
        with Replay(self.folder / "replay.db") as replay:
            purse = replay.purse()
        # All that was read is settled with what the server told of it; what was in flight at a kill counts as spent.
        assert purse.spent.tokens == 15 * len(answered)
        assert twice == 0 or purse.held.tokens > 0
        return twice


def test_killed_at_random_instants_nothing_is_lost_or_doubled_and_hardly_anything_paid_twice(
    tmp_path, chance, long_form
):
    def slow(body, before):
        server.closing.wait(ANSWERS_AFTER_S)
        return model(body, before)

    with LlmServer(slow) as server:
        samples = Samples(tmp_path, server, 2000 if long_form else 600)
        # Each sample takes two requests: it is made, and it is judged.
        for answers in sorted(chance.sample(range(20, int(1.7 * samples.count)), KILLS)):
            child = samples.start()
            server.wait_for(lambda one, answers=answers: one.answered.total() >= answers)
            threading.Event().wait(chance.uniform(0, ANSWERS_AFTER_S))
            samples.kill(child)
        samples.finish()
        assert samples.check() <= IN_FLIGHT * KILLS


def test_killed_with_fifty_in_flight_exactly_those_are_paid_twice(tmp_path):
    frozen, passes = threading.Event(), threading.Semaphore(0)

    def plan(body, before):
        if frozen.is_set():
            passes.acquire(timeout=60)
        return model(body, before)

    with LlmServer(plan) as server:
        samples = Samples(tmp_path, server, 300)
        child = samples.start()
        server.wait_for(lambda one: one.answered.total() >= 200)
        frozen.set()
        with server.came:
            # Each answer lets the child send more at once, where it does not send as many yet as it may.
            while not server.came.wait_for(lambda: server.in_flight == IN_FLIGHT, 0.1):
                passes.release()
        samples.kill(child)
        frozen.clear()  # and the answers go to nobody
        passes.release(IN_FLIGHT)
        samples.finish()
        assert samples.check() == IN_FLIGHT
