"""The file that names the process of a campaign."""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from overnight.base.errors import UserMistake
from overnight.campaigns.pidfile import Owner, alive, claim, owner_of, release
from overnight.processes.table import started_of

MINE = (os.getpid(), started_of(os.getpid()))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "campaigns" / "code" / "campaign.pid"


@pytest.fixture
def other():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process.pid, started_of(process.pid)
    process.kill()
    process.communicate()


def test_a_claim_names_a_process_for_us_and_for_others(path):
    assert claim(path, *MINE, name="code") is None
    first, second, rest = path.read_text().split("\n")
    assert (first, float(second), rest) == (str(os.getpid()), MINE[1], "")
    assert alive(path) == Owner(pid=MINE[0], started=MINE[1])
    assert claim(path, *MINE, name="code") is None, "it is its own"


def test_one_that_works_keeps_others_out_and_is_named(path, other):
    claim(path, *other, name="code")
    with pytest.raises(UserMistake) as caught:
        claim(path, *MINE, name="code")
    assert re.fullmatch(
        rf"Campaign already running: process {other[0]} since \d{{4}}-\d\d-\d\dT[\d:.]+\+00:00; "
        r"stop it with `overnight campaign stop code`",
        str(caught.value),
    )
    assert owner_of(path) == Owner(pid=other[0], started=other[1])
    assert release(path, *MINE) is False
    assert path.exists()


def test_the_file_of_one_that_is_gone_is_replaced_and_that_is_said(path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    claim(path, process.pid, started_of(process.pid), name="code")
    process.kill()
    process.communicate()
    assert alive(path) is None
    said = claim(path, *MINE, name="code")
    assert said == f"campaign.pid was left by process {process.pid}, which is gone; it was replaced"
    assert alive(path).pid == os.getpid()


def test_one_that_has_died_and_was_not_collected_is_gone(path):
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    claim(path, process.pid, started_of(process.pid), name="code")
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert alive(path) is None
    process.communicate()


def test_another_process_that_has_got_the_same_pid_is_no_reason_to_wait(path, other):
    claim(path, other[0], other[1] - 1, name="code")
    assert alive(path) is None
    assert "is gone" in claim(path, *MINE, name="code")


def test_a_file_that_another_program_has_written_counts_by_its_pid(path, other):
    path.parent.mkdir(parents=True)
    for text in (f"{other[0]}\n", f"{other[0]}", f"{other[0]}\nsince Monday\n"):
        path.write_text(text)
        assert alive(path) == Owner(pid=other[0], started=None)
        with pytest.raises(UserMistake, match=f"process {other[0]}"):
            claim(path, *MINE, name="code")
    path.write_text(f"{2**22 + 1}\n")
    assert alive(path) is None


@pytest.mark.parametrize("text", ["", "\n", "x\n1\n", "-1\n", "0\n", "9" * 30, "\u0661\n"])
def test_a_file_that_names_nobody_is_replaced(path, text):
    path.parent.mkdir(parents=True)
    path.write_text(text)
    assert owner_of(path) is None
    assert claim(path, *MINE, name="code") == "campaign.pid named no process; it was replaced"


def test_only_who_is_named_takes_the_file_away(path):
    assert release(path, *MINE) is False, "there is not even a folder"
    claim(path, *MINE, name="code")
    assert release(path, MINE[0], MINE[1] - 1) is False
    assert release(path, *MINE) is True
    assert not path.exists()
    assert release(path, *MINE) is False
    assert list(path.parent.iterdir()) == []


def test_of_several_that_claim_at_once_one_does(path):
    children = [subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) for _ in range(4)]
    together = Barrier(len(children))

    def attempt(child):
        started = started_of(child.pid)
        together.wait()
        try:
            claim(path, child.pid, started, name="code")
            return child.pid
        except UserMistake:
            return None

    try:
        with ThreadPoolExecutor(len(children)) as threads:
            for _ in range(20):
                won = [pid for pid in threads.map(attempt, children) if pid is not None]
                assert won == [owner_of(path).pid]
                path.unlink()
    finally:
        for child in children:
            child.kill()
            child.communicate()
