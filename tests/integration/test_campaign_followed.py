"""Generators that Overnight does not know are followed by their logs: real processes, and each wait ends."""

import json
import re
import signal
import subprocess
import sys
import threading
from contextlib import closing, contextmanager

import pytest

from daemons import wait_for
from overnight.base.clock import SystemClock
from overnight.campaigns.logs.counting import Counts, take
from overnight.campaigns.logs.patterns import Patterns
from overnight.campaigns.logs.reading import LogTail
from overnight.campaigns.logs.watching import Patience, Seen, Standing, watch
from overnight.campaigns.pidfile import alive, claim
from overnight.processes.table import started_of
from overnight.reports.campaign_files import pilot_status

GENERATOR = """
import logging, sys, time
from logging.handlers import RotatingFileHandler

path, mode = sys.argv[1:]
# So small that the log is put aside many times.
handler = RotatingFileHandler(path, maxBytes=4000, backupCount=1000)
handler.setFormatter(logging.Formatter("%(asctime)s [generator] %(levelname)s: %(message)s"))
log = logging.getLogger()
log.addHandler(handler)
log.setLevel(logging.INFO)
log.info("no sample was accepted yet")

def samples(domain, count, of=38):
    for number in range(1, count + 1):
        word = "rejected: too short" if number % 10 == 0 else "accepted"
        log.info("sample %s-%d %s (quality: 0.%d)", domain, number, word, 70 + number % 20)
        log.info("[%s] %d/%d", domain, number, of)

if mode == "complete":
    for domain in ("python", "sql", "regex", "text", "math"):
        samples(domain, 38)
elif mode == "one domain":
    samples("python", 38)
elif mode == "error":
    samples("python", 5)
    raise SystemExit(3)
elif mode in ("stall", "chatter", "wait"):
    samples("python", 5)
    while True:
        time.sleep(0.01)
        if mode == "chatter":
            log.info("no answer from the model, trying again")
elif mode == "loop":
    while True:
        samples("python", 38)
        time.sleep(0.05)
"""
DOMAINS = ("python", "sql", "regex", "text", "math")
ENOUGH = Patience(start_s=60, stall_s=60, finish_s=60)
SHORT = Patience(start_s=0.2, stall_s=0.3, finish_s=0.2)


@contextmanager
def generator(log, mode):
    child = subprocess.Popen([sys.executable, "-c", GENERATOR, str(log), mode], stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


class Monitor:
    """What a monitor does, made of the parts; `stored` is what another one has left."""

    def __init__(self, log, child=None, patience=ENOUGH, expected=DOMAINS, stored=None):
        place, counts = stored or (None, None)
        self.tail = LogTail(log, place)
        self.counts = Counts.from_dict(counts) if counts else Counts()
        self.child, self.clock, self.pause = child, SystemClock(), threading.Event()
        self.watch = watch(patience, 190, self.clock.monotonic(), expected)

    def look(self):
        code = self.child.poll() if self.child else None
        living = None if self.child is None else code is None
        lines = self.tail.read()
        if living is False and not self.tail.behind:
            lines += self.tail.rest()
        for line in lines:
            self.counts = take(self.counts, line, Patterns())
        seen = Seen(
            now_s=self.clock.monotonic(), counts=self.counts, lines=lines, behind=self.tail.behind, alive=living,
            exit_code=code,
        )  # fmt: skip
        self.watch, finding = self.watch.look(seen)
        return finding

    def follow(self):
        with closing(self.tail):
            while (finding := self.look()).standing is Standing.GOES_ON:
                if not self.tail.behind:
                    self.pause.wait(0.02)
            return finding

    def stored(self):
        return json.loads(json.dumps([self.tail.state(), self.counts.to_dict()]))


@pytest.fixture
def log(tmp_path):
    return tmp_path / "pilot_campaign.log"


def begun(log, text):
    """Wait until the generator has said it."""
    wait_for(lambda: any(text in path.read_text() for path in log.parent.glob(f"{log.name}*")))


def test_a_generator_is_followed_to_its_end_through_all_files_of_its_log(log):
    with generator(log, "complete") as child:
        monitor = Monitor(log, child)
        assert monitor.follow().standing is Standing.COMPLETE
    assert len(list(log.parent.glob(f"{log.name}.*"))) > 5
    status = pilot_status(
        monitor.counts, total=190, complete=True, quality_threshold=0.75, updated_us=None, now_us=0
    )  # fmt: skip
    assert (status["progress"], status["accepted"], status["rejected"]) == (190, 175, 15)
    assert status["acceptance_rate"] == pytest.approx(175 / 190)
    assert len(status["quality_scores"]) == 190
    assert status["quality_pass"] is True


def test_a_monitor_that_begins_again_goes_on_where_it_was(log):
    with generator(log, "complete") as child:
        first = Monitor(log, child)
        with closing(first.tail):
            wait_for(lambda: first.look() and (first.counts.done or 0) > 20)
            stored = first.stored()
        child.wait()
        second = Monitor(log, child, stored=stored)
        assert second.follow().standing is Standing.COMPLETE
    assert (second.counts.done, second.counts.accepted, second.counts.rejected) == (190, 175, 15)


def test_one_that_was_not_started_by_us_is_followed_by_its_log_alone(log):
    with generator(log, "complete"):
        monitor = Monitor(log)
        assert monitor.follow().standing is Standing.COMPLETE


def test_the_end_of_the_first_of_five_domains_is_not_the_end(log):
    with generator(log, "one domain") as child:
        finding = Monitor(log, child).follow()
    assert finding.reason.startswith("the generator exited with code 0 before it was done, at 38 of 190 (sql not begun")


def test_an_error_ends_the_wait_with_its_code_and_the_last_lines(log):
    with generator(log, "error") as child:
        monitor = Monitor(log, child)
        assert monitor.follow().reason.startswith("the generator exited with code 3, at 5 of 190")
    assert monitor.tail.tail[-1].endswith("[python] 5/38")


def test_a_kill_ends_the_wait(log):
    with generator(log, "wait") as child:
        claim(log.with_name("campaign.pid"), child.pid, started_of(child.pid), name="code")
        begun(log, "[python] 5/38")
        monitor = Monitor(log, child)
        with closing(monitor.tail):
            wait_for(lambda: monitor.look().standing is Standing.GOES_ON and monitor.counts.done == 5)
            child.send_signal(signal.SIGKILL)
            finding = wait_for(lambda: (found := monitor.look()).standing is Standing.FAILED and found)
        assert finding.reason.startswith("the generator was killed by signal 9, at 5 of 190")
        assert alive(log.with_name("campaign.pid")) is None


def test_a_stall_ends_the_wait(log):
    with generator(log, "stall") as child:
        begun(log, "[python] 5/38")
        finding = Monitor(log, child, SHORT).follow()
        assert child.poll() is None
    assert "the generator stalled: no further sample in" in finding.reason
    assert "printed no lines, at 5 of 190 (python 5 of 38, " in finding.reason


def test_the_same_line_again_and_again_is_no_progress(log):
    with generator(log, "chatter") as child:
        begun(log, "[python] 5/38")
        monitor = Monitor(log, child, SHORT)
        finding = monitor.follow()
    assert "the generator loops: no further sample in" in finding.reason
    assert "no answer from the model" in monitor.tail.tail[-1]


def test_a_generator_that_begins_anew_for_ever_ends_the_wait(log):
    with generator(log, "loop") as child:
        finding = Monitor(log, child).follow()
    # On a busy machine it has done so more often before anybody looks.
    assert re.match(r"the generator loops: it began anew ([4-9]|\d\d) times, at ", finding.reason)


def test_one_that_never_starts_ends_the_wait(log):
    finding = Monitor(log, patience=SHORT).follow()
    assert finding.reason == "the generator never started: no process and nothing in its log for 0.2 s"
