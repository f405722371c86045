"""`overnight campaign monitor`: programs that Overnight did not start are followed to their end."""

import json
import os
import pty
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from daemons import wait_for
from overnight.campaigns.pidfile import claim
from overnight.processes.table import started_of

GENERATOR = Path(__file__).parents[1] / "external_generator.py"
TOTAL = 40


@pytest.fixture
def folder(tmp_path):
    write(tmp_path)
    return tmp_path


def write(folder, **settings):
    values = {"poll_pilot_s": 0.05, "poll_full_s": 0.05, "start_s": 30, "stall_s": 30, **settings}
    text = "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())
    (folder / "overnight.toml").write_text(f"[campaigns.code]\n{text}")


@contextmanager
def generator(folder, how):
    words = [sys.executable, str(GENERATOR), how, str(TOTAL), "own.log"]
    with subprocess.Popen(words, cwd=folder) as child:
        try:
            yield child
        finally:
            child.kill()


def words_of(folder, *options):
    where = ["--project", str(folder), "campaign", "monitor", "code", "--log", str(folder / "own.log")]
    return [sys.executable, "-m", "overnight", *where, "--total", str(TOTAL), *options]


def monitor(folder, *options):
    return subprocess.run(words_of(folder, *options), capture_output=True, text=True, timeout=60, cwd=folder)


def status(folder, name="pilot_monitor_status.json"):
    return json.loads((folder / ".overnight" / "campaigns" / "code" / name).read_text())


def made(folder):
    return lambda: (folder / f"made-code-{TOTAL}").exists() and (folder / f"made-code-{TOTAL}").read_text() == "5"


def test_a_pilot_is_followed_to_its_end_with_a_line_for_each_look(folder):
    with generator(folder, "good") as child:
        done = monitor(folder, "--pid", str(child.pid))
    assert done.returncode == 0, done.stderr
    assert done.stdout == "campaign code: complete, made 40 of 40 (100.0%), quality 0.900, accepted 90.0%\n"
    assert done.stderr.splitlines()[-1] == "made 40 of 40 (100.0%), quality 0.900, accepted 90.0%"
    found = status(folder)
    assert (found["progress"], found["total"], found["is_complete"]) == (TOTAL, TOTAL, True)


def test_a_whole_campaign_is_followed_as_json(folder):
    with generator(folder, "domains") as child:
        done = monitor(folder, "--full", "--json")
        child.wait()
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["ended"], found["why"], found["progress"], found["percentage"]) == ("complete", None, TOTAL, 100.0)
    assert done.stderr == ""
    kept = status(folder, "campaign_monitor_status.json")
    assert kept == {key: found[key] for key in kept} and kept["is_running"] is None


def test_one_that_fails_is_told_with_its_reason_and_last_lines(folder):
    with generator(folder, "fails") as child:
        done = monitor(folder, "--pid", str(child.pid))
    assert done.returncode == 1
    assert "the generator ended before it was done, at 5 of 40" in done.stdout
    assert done.stdout.splitlines()[-1] == "  | OSError: no room is left"
    assert status(folder)["is_complete"] is False


def test_one_that_never_begins_is_given_up(folder):
    write(folder, start_s=0.2)
    done = monitor(folder)
    assert (done.returncode, done.stdout.splitlines()) == (
        1,
        [
            "campaign code: failed, made not measured, quality not measured, accepted not measured",
            "  the generator never started: no process and nothing in its log for 0.2 s",
        ],
    )


def test_who_interrupts_it_goes_on_where_it_was_and_the_generator_works_on(folder):
    with generator(folder, "waits") as child:
        wait_for(made(folder))
        words = words_of(folder, "--pid", str(child.pid))
        with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as one:
            wait_for(lambda: "made 5 of 40" in one.stderr.readline())
            one.send_signal(signal.SIGINT)
            assert one.wait(60) == 130
            assert "the same command goes on where it was" in one.stderr.read()
        assert child.poll() is None
        # What was read is kept elsewhere: it is not read once more.
        log = folder / "own.log"
        log.write_text(log.read_text().replace("quality: 0.90", "quality: 0.10", 1))
        with log.open("a") as file:
            file.writelines(f"sample {number} (quality: 0.8)\n[code] {number}/{TOTAL}\n" for number in range(6, 41))
    done = monitor(folder)
    assert done.returncode == 0
    assert status(folder)["quality_scores"] == [0.9] * 5 + [0.8] * 35


def test_on_a_terminal_there_is_one_live_line(folder):
    with generator(folder, "good") as child:
        child.wait()
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words_of(folder), stderr=theirs, stdout=subprocess.PIPE, env={**os.environ, "TERM": "xterm"}
    ) as one:
        os.close(theirs)
        assert one.wait(60) == 0
    shown = os.read(ours, 65536).decode()
    os.close(ours)
    assert "made 40 of 40 (100.0%), quality 0.900" in shown
    assert "\x1b[2K" in shown, "the line is taken away"


def test_what_a_campaign_follows_itself_is_not_followed_twice(folder):
    campaign = folder / ".overnight" / "campaigns" / "code"
    claim(campaign / "orchestrator.pid", os.getpid(), started_of(os.getpid()), name="code")
    done = monitor(folder)
    assert done.returncode == 2
    assert f"Campaign already running: process {os.getpid()} follows it; stop it with" in done.stderr
