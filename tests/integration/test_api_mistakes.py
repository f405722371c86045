"""What a caller of the Python API gets wrong is one clear line, and nothing was done."""

import threading
import time
from datetime import datetime

import pytest

import overnight
from overnight.app.project import Project
from overnight.base.errors import UnknownName, UserMistake
from overnight.engine.model import Task


@pytest.fixture
def project(tmp_path):
    with Project.create(tmp_path) as project:
        project.add_task(Task(task_id="greet", action=print, executor="inline"))
        yield project


@pytest.mark.parametrize(
    ("call", "kind", "line"),
    [
        (
            lambda p: p.submit("greet", due="tomorrow"),
            UserMistake,
            "due: 'tomorrow' is not a datetime with a time zone",
        ),
        (lambda p: p.submit("greet", due=5), UserMistake, "due: 5 is not a datetime with a time zone"),
        (
            lambda p: p.submit("greet", due=datetime(2027, 1, 1)),
            UserMistake,
            "due: datetime.datetime(2027, 1, 1, 0, 0) is not a datetime with a time zone",
        ),
        (lambda p: p.submit("greet", "ab"), UserMistake, "args of 'greet': 'ab' is not a mapping of names to values"),
        (lambda p: p.submit("greet", [1]), UserMistake, "args of 'greet': [1] is not a mapping of names to values"),
        (lambda p: p.submit("greet", priority=5), UserMistake, "priority: 5 is not one of CRITICAL, HIGH"),
        (lambda p: p.cancel(2**70), UnknownName, f"there is no run {2**70}; `overnight runs list`"),
        (lambda p: p.cancel(-1), UnknownName, "there is no run -1;"),
        (lambda p: p.cancel("abc"), UnknownName, "there is no run abc;"),
        (lambda p: p.get(2**70), UnknownName, f"there is no run {2**70};"),
        (lambda p: p.wait(2**70), UnknownName, f"there is no run {2**70};"),
        (lambda p: p.fork(2**70), UnknownName, f"there is no run {2**70};"),
    ],
)
def test_a_wrong_value_is_one_clear_line(project, call, kind, line):
    with pytest.raises(kind) as caught:
        call(project)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)
    assert project.runs() == []


def test_needs_are_a_public_name():
    assert overnight.Needs(cpus=2).cpus == 2


def test_a_run_can_be_cancelled_while_after_names_no_task(project):
    run_id = project.submit("greet")
    project.add_task(Task(task_id="later", action=print, executor="inline", after=("nowhere",)))
    assert project.cancel(run_id).state == "CANCELLED"


def test_many_that_wait_at_the_same_time_share_one_bell(project, monkeypatch):
    run_id = project.submit("greet")
    bell, hung, ended = project.database.doorbell, [], []

    def listen(heard):
        hung.append(heard)
        time.sleep(0.02)  # long enough for the others to look whether there is a bell yet
        return lambda: ended.append(heard)

    monkeypatch.setattr(bell, "listen", listen)
    threads = [threading.Thread(target=project.wait, args=(run_id, 0.0)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    project.close()
    assert len(hung) == len(ended) == 1


def test_whoever_waits_notices_the_end_also_without_a_ring(project, tmp_path, monkeypatch):
    monkeypatch.setattr("overnight.app.waits.LOOK_EVERY_S", 0.01)
    run_id = project.submit("greet")
    with Project.open(tmp_path) as other:
        monkeypatch.setattr(other.database.doorbell, "listen", lambda heard: lambda: None)
        waiting = threading.Thread(target=other.wait, args=(run_id,), daemon=True)
        waiting.start()
        project.cancel(run_id)
        waiting.join(20)
        assert not waiting.is_alive()
