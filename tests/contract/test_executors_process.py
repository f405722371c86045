"""Warm children and the tasks that try to get away from them."""

import errno
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

import overnight
from overnight.executors import process
from overnight.executors.process import ProcessExecutor
from overnight.processes import table, tree
from overnight.processes.capture import LOG_LIMIT_BYTES
from overnight.testing.executors import RecordingChannel, new_order

PATIENCE_S = 30.0
TASKS = """
import ctypes, json, os, pathlib, signal, subprocess, sys, threading, time

def pid(): return os.getpid()
def echo(value=None): print("hello"); return value
def shout(text): print(text); os.system(f"echo c-{text}"); return os.getpid()
def c_print(text): ctypes.CDLL(None).printf(text.encode()); return os.getpid()
def not_json(): return {1, 2}
def nan(): return float("nan")
def needs_x(x): return x
def exits(): sys.exit(0)
def interrupted(): raise KeyboardInterrupt
def vanishes(): os._exit(7)
def crashes(): signal.raise_signal(signal.SIGSEGV)
def segfaults(): ctypes.string_at(0)
def prints_lots(megabytes):
    for _ in range(megabytes):
        sys.stdout.write("x" * 999_999 + "\\n")
def prints_nothing_but_dies_loudly(): raise ValueError("the reason")
def closes_all_and_waits(): os.closerange(3, 4096); time.sleep(100)
def closes_all_and_returns(): os.closerange(0, 4096); return 1
def writes_garbage():
    for fd in range(3, 4096):
        try: os.write(fd, b"garbage\\n")
        except OSError: pass
    time.sleep(100)
def forks_and_returns():
    if os.fork() == 0: return "copy"
    os.wait()
    return "original"
def leaves_daemon(path, mark=True):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            if not mark: os.execve(sys.executable, [sys.executable, "-S", "-c", HIDE, path], {})
            pathlib.Path(path).write_text(str(os.getpid()))
            time.sleep(1000)
        os._exit(0)
    while not pathlib.Path(path).exists() or not pathlib.Path(path).read_text(): time.sleep(0.005)
    return "left one behind"
HIDE = '''
import os, signal, sys, time
signal.signal(15, signal.SIG_IGN)
open(sys.argv[1], "w").write(str(os.getpid()))
time.sleep(1000)
'''
def leaves_daemon_and_crashes(path): leaves_daemon(path); signal.raise_signal(signal.SIGSEGV)
def leaves_daemon_and_waits(path, ctx): leaves_daemon(path); ctx.progress(1); time.sleep(1000)
def leaves_thread(): threading.Thread(target=time.sleep, args=(1000,), daemon=True).start(); return os.getpid()
def leaves_zombie(): subprocess.Popen(["true"]); time.sleep(0.1); return os.getpid()
def keeps_output_open(): os.dup(1); return os.getpid()
def stubborn(ctx):
    signal.signal(signal.SIGTERM, signal.SIG_IGN); ctx.progress(1)
    while True: time.sleep(1000)
def blocks_everything(ctx):
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals)); ctx.progress(1)
    ctypes.PyDLL(None).sleep(1000)  # holds the interpreter's lock
def kills_keeper(ctx):
    ctx.progress(1); os.kill(os.getppid(), signal.SIGKILL); time.sleep(1000)
def signals_group(): os.killpg(0, signal.SIGKILL)
def grows_in_grandchild(megabytes):
    subprocess.run([sys.executable, "-S", "-c", f"x = b'x' * {megabytes * 1_000_000}; import time; time.sleep(2)"])
def shrinks(megabytes): data = b"x" * (megabytes * 1_000_000); return len(data)
def reports(count, ctx):
    for number in range(count): ctx.progress(number)
def reports_and_waits(ctx):
    for number in range(5): ctx.progress(number)
    while not ctx.cancelled: time.sleep(0.005)
def last_words(path, ctx):
    ctx.progress(1)
    while not ctx.cancelled: time.sleep(0.005)
    pathlib.Path(path).write_text("saved")
def environment(): return [os.environ.get("COLOUR"), os.getcwd(), sys.path[0]]
def descriptors(): return sorted(int(n) for n in os.listdir("/proc/self/fd"))
def big_in(value): return len(value)
def big_out(size): return "x" * size
def burns():
    end = time.thread_time() + 0.2
    while time.thread_time() < end: pass
def parks():
    from overnight.base.errors import Parking
    raise Parking({"sleep": 5})
class Agent:
    @staticmethod
    def train(): return "trained"
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tasks.py").write_text(TASKS)
    return tmp_path


@pytest.fixture
def executor():
    executor = ProcessExecutor(os.environ)
    yield executor
    executor.close(1.0)


@pytest.fixture
def channel():
    return RecordingChannel()


def start(executor, channel, folder, function, *, order_values=None, **args):
    order = new_order(folder, target=f"tasks:{function}", args=args, **(order_values or {}))
    executor.start(order, channel)
    return order


def run(executor, channel, folder, function, *, order_values=None, **args):
    order = start(executor, channel, folder, function, order_values=order_values, **args)
    return channel.outcome(order)


def result(executor, channel, folder, function, **args):
    outcome = run(executor, channel, folder, function, **args)
    assert outcome.kind == "succeeded", outcome
    return json.loads(outcome.result)


def wait_until(condition):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until, "it did not come to be in time"
        time.sleep(0.01)


def open_descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def is_dead(pid):
    entry = table.look(pid)
    return entry is None or not entry.alive


# -- re-use


def test_a_child_is_used_again(executor, channel, folder):
    assert result(executor, channel, folder, "pid") == result(executor, channel, folder, "pid")
    assert sum(kind == "child" for kind, _, _ in channel.news) == 1


def test_attempts_at_the_same_time_get_children_of_their_own(executor, channel, folder):
    orders = [start(executor, channel, folder, "reports_and_waits") for _ in range(3)]
    for order in orders:
        channel.wait("progress", order)
        executor.stop(order, "cancelled", 5.0)
    assert [channel.outcome(order).kind for order in orders] == ["cancelled"] * 3


def test_a_child_ends_after_its_number_of_orders(executor, channel, folder, monkeypatch):
    monkeypatch.setattr(process, "MAX_ORDERS", 2)
    pids = [result(executor, channel, folder, "pid") for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


def test_an_idle_child_ends(executor, channel, folder, monkeypatch):
    monkeypatch.setattr(process, "IDLE_S", 0.1)
    pid = result(executor, channel, folder, "pid")
    wait_until(lambda: is_dead(pid))


def test_a_child_has_the_environment_of_its_executor_and_works_in_the_project_folder(channel, folder):
    executor = ProcessExecutor({**os.environ, "COLOUR": "red"})
    assert result(executor, channel, folder, "environment") == ["red", str(folder), str(folder)]
    executor.close(1.0)


def test_a_warm_child_waits_for_the_next_attempt_when_this_one_gets_no_pipe(executor, channel, folder, monkeypatch):
    pid = result(executor, channel, folder, "pid")

    def no_pipe():
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as machine:
        machine.setattr(os, "pipe", no_pipe)
        outcome = run(executor, channel, folder, "pid")
    assert (outcome.kind, outcome.error.family) == ("failed", "transient")
    assert "Too many open files" in outcome.error.message
    assert result(executor, channel, folder, "pid") == pid


@pytest.mark.parametrize("function", ["leaves_thread", "keeps_output_open", "forks_and_returns", "not_json"])
def test_what_was_printed_never_lands_in_another_log(executor, channel, folder, function):
    run(executor, channel, folder, function)
    pids = []
    for text in ("one", "two"):
        order = start(executor, channel, folder, "shout", text=text)
        pids.append(json.loads(channel.outcome(order).result))
        assert Path(order.log_path).read_text() == f"{text}\nc-{text}\n"
    assert pids[0] == pids[1]


@pytest.mark.parametrize("function", ["leaves_thread", "keeps_output_open"])
def test_a_child_with_something_left_behind_is_not_used_again(executor, channel, folder, function):
    assert result(executor, channel, folder, function) != result(executor, channel, folder, "pid")


def test_a_zombie_left_behind_is_collected_and_the_child_used_again(executor, channel, folder):
    assert result(executor, channel, folder, "leaves_zombie") == result(executor, channel, folder, "pid")


def test_what_c_code_has_buffered_is_in_the_log(executor, channel, folder):
    order = start(executor, channel, folder, "c_print", text="from C")
    channel.outcome(order)
    assert Path(order.log_path).read_text() == "from C"


def test_a_child_holds_few_descriptors_and_does_not_collect_them(executor, channel, folder):
    first = result(executor, channel, folder, "descriptors")
    for _ in range(5):
        last = result(executor, channel, folder, "descriptors")
    assert first == last
    assert len(first) <= 5  # the three standard ones, the control socket, the folder that is listed


def test_the_host_does_not_collect_descriptors(executor, channel, folder):
    result(executor, channel, folder, "pid")
    before = open_descriptors()
    for _ in range(20):
        result(executor, channel, folder, "echo")
    # A child that was replaced meanwhile keeps its descriptors until it has ended.
    wait_until(lambda: open_descriptors() <= before)


# -- values


def test_large_arguments_and_results_pass(executor, channel, folder):
    assert result(executor, channel, folder, "big_in", value="x" * 5_000_000) == 5_000_000
    assert len(result(executor, channel, folder, "big_out", size=5_000_000)) == 5_000_000


@pytest.mark.parametrize("function", ["not_json", "nan"])
def test_a_result_that_is_not_json_fails_for_good(executor, channel, folder, function):
    outcome = run(executor, channel, folder, function)
    assert (outcome.kind, outcome.error.family, outcome.error.type) == ("failed", "permanent", "NotJson")


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("tasks:nothing", "has no function 'nothing'"),
        ("nowhere:f", "there is no module 'nowhere'"),
        ("tasks", "must be 'module:function'"),
        ("tasks:needs_x", "missing 1 required positional argument"),
    ],
)
def test_a_target_that_cannot_be_called_is_a_user_mistake(executor, channel, folder, target, says):
    order = new_order(folder, target=target)
    executor.start(order, channel)
    outcome = channel.outcome(order)
    assert (outcome.error.family, outcome.error.type) == ("user", "InvalidTask")
    assert says in outcome.error.message


def test_a_method_of_a_class_is_found(executor, channel, folder):
    assert result(executor, channel, folder, "Agent.train") == "trained"


def test_a_function_of_the_main_file_is_found_and_its_main_part_does_not_run(channel, folder):
    program = folder / "program.py"
    program.write_text("def f():\n    return __name__\nif __name__ == '__main__':\n    raise SystemExit('ran')\n")
    executor = ProcessExecutor(os.environ, main_path=str(program))
    order = new_order(folder, target="__main__:f")
    executor.start(order, channel)
    assert channel.outcome(order).result == '"__mp_main__"'
    executor.close(1.0)


def test_a_project_folder_that_is_not_there_is_named(executor, channel, folder):
    order = new_order(folder, target="tasks:pid", project_dir=str(folder / "gone"))
    executor.start(order, channel)
    outcome = channel.outcome(order)
    assert outcome.error.family == "user"
    assert "gone" in outcome.error.message


def test_parking_comes_back_with_what_it_waits_for(executor, channel, folder):
    outcome = run(executor, channel, folder, "parks")
    assert (outcome.kind, outcome.waiting_for) == ("parked", {"sleep": 5})


# -- endings


@pytest.mark.parametrize(
    ("function", "says"),
    [
        ("vanishes", "exited with code 7"),
        ("crashes", "SIGSEGV"),
        ("segfaults", "SIGSEGV"),
        ("closes_all_and_waits", "closed its pipe"),
        ("closes_all_and_returns", "exited with code 74"),
        ("signals_group", "SIGKILL"),
        ("kills_keeper", "keeper was killed"),
    ],
)
def test_a_child_without_a_result_is_a_transient_failure_that_says_how_it_ended(
    executor, channel, folder, function, says
):
    outcome = run(executor, channel, folder, function)
    assert (outcome.kind, outcome.error.family, outcome.error.type) == ("failed", "transient", "WorkerLost")
    assert says in outcome.error.message
    assert result(executor, channel, folder, "echo", value=1) == 1


@pytest.mark.parametrize(("function", "says"), [("exits", "sys.exit(0)"), ("interrupted", "KeyboardInterrupt")])
def test_leaving_by_an_exception_is_a_failure_of_the_run_and_not_of_the_child(
    executor, channel, folder, function, says
):
    before = result(executor, channel, folder, "pid")
    outcome = run(executor, channel, folder, function)
    assert outcome.kind == "failed"
    assert says in outcome.error.message
    assert result(executor, channel, folder, "pid") == before


def test_garbage_in_the_pipe_fails_the_run(executor, channel, folder):
    outcome = run(executor, channel, folder, "writes_garbage")
    assert outcome.kind == "failed"
    assert "something else than results" in outcome.error.message


def test_a_forked_copy_that_returns_does_not_report(executor, channel, folder):
    assert result(executor, channel, folder, "forks_and_returns") == "original"


def test_the_traceback_is_in_the_log(executor, channel, folder):
    order = start(executor, channel, folder, "prints_nothing_but_dies_loudly")
    channel.outcome(order)
    text = Path(order.log_path).read_text()
    assert "ValueError: the reason" in text
    assert "calling.py" not in text


# -- what is left behind


@pytest.mark.parametrize("mark", [True, False])
def test_a_daemon_that_a_finished_run_left_is_ended_before_the_run_is_done(executor, channel, folder, mark):
    assert result(executor, channel, folder, "leaves_daemon", path=str(folder / "pid"), mark=mark) == "left one behind"
    assert is_dead(int((folder / "pid").read_text()))


def test_a_daemon_of_a_crashed_run_is_ended(executor, channel, folder):
    outcome = run(executor, channel, folder, "leaves_daemon_and_crashes", path=str(folder / "pid"))
    assert "SIGSEGV" in outcome.error.message
    assert is_dead(int((folder / "pid").read_text()))


def test_a_daemon_is_found_also_when_the_keeper_was_killed(executor, channel, folder):
    order = start(executor, channel, folder, "leaves_daemon_and_waits", path=str(folder / "pid"))
    channel.wait("progress", order)
    os.kill(channel.of("child", order)[0][0], signal.SIGKILL)
    assert channel.outcome(order).kind == "failed"
    assert is_dead(int((folder / "pid").read_text()))


# -- stopping


@pytest.mark.parametrize("function", ["stubborn", "blocks_everything"])
def test_what_does_not_listen_is_killed_after_the_grace_time(executor, channel, folder, function):
    order = start(executor, channel, folder, function)
    channel.wait("progress", order)
    began = time.monotonic()
    executor.stop(order, "timed_out", 0.4)
    assert channel.outcome(order).kind == "timed_out"
    assert 0.3 <= time.monotonic() - began < 5


def test_a_stopped_run_has_its_grace_time(executor, channel, folder):
    order = start(executor, channel, folder, "last_words", path=str(folder / "saved"))
    channel.wait("progress", order)
    executor.stop(order, "cancelled", 20.0)
    assert channel.outcome(order).kind == "cancelled"
    assert (folder / "saved").read_text() == "saved"


def test_a_stopped_run_takes_its_daemon_along(executor, channel, folder):
    order = start(executor, channel, folder, "leaves_daemon_and_waits", path=str(folder / "pid"))
    channel.wait("progress", order)
    executor.stop(order, "cancelled", 0.2)
    assert channel.outcome(order).kind == "cancelled"
    assert is_dead(int((folder / "pid").read_text()))


def test_a_run_that_is_stopped_before_its_child_is_recorded_never_works(channel, folder):
    executor = ProcessExecutor(os.environ)
    recording, recorded = threading.Event(), threading.Event()

    class SlowChannel(RecordingChannel):
        def child_started(self, order, pid, started):
            recording.set()
            assert recorded.wait(PATIENCE_S)

    slow = SlowChannel()
    order = start(executor, slow, folder, "last_words", path=str(folder / "saved"))
    assert recording.wait(PATIENCE_S)
    executor.stop(order, "cancelled", 0.0)
    recorded.set()
    assert slow.outcome(order).kind == "cancelled"
    assert not (folder / "saved").exists()
    executor.close(1.0)


def test_a_child_that_cannot_be_recorded_does_not_work(channel, folder):
    executor = ProcessExecutor(os.environ)
    pids = []

    class BrokenChannel(RecordingChannel):
        def child_started(self, order, pid, started):
            pids.append(pid)
            raise OSError("no space left")

    broken = BrokenChannel()
    outcome = run(executor, broken, folder, "leaves_daemon", path=str(folder / "pid"))
    assert outcome.kind == "failed"
    assert "no space left" in outcome.error.message
    assert is_dead(pids[0])
    assert not (folder / "pid").exists()
    executor.close(1.0)


def test_close_leaves_no_thread_and_no_descriptor(channel, folder):
    threads, descriptors = threading.active_count(), open_descriptors()
    executor = ProcessExecutor(os.environ)
    order = start(executor, channel, folder, "stubborn")
    result(executor, channel, folder, "pid")
    channel.wait("progress", order)
    executor.close(0.2)
    executor.close(0.2)
    assert channel.outcome(order).kind == "cancelled"
    assert (threading.active_count(), open_descriptors()) == (threads, descriptors)


# -- limits and measures


def test_the_memory_of_what_a_run_starts_counts(executor, channel, folder):
    outcome = run(executor, channel, folder, "grows_in_grandchild", megabytes=150)
    assert outcome.kind == "succeeded"
    assert 0.15 < outcome.usage.peak_memory_gb < 0.4


def test_peak_memory_and_cpu_belong_to_one_run_of_a_warm_child(executor, channel, folder):
    large = run(executor, channel, folder, "shrinks", megabytes=120).usage
    busy = run(executor, channel, folder, "burns").usage
    idle = run(executor, channel, folder, "echo").usage
    assert large.peak_memory_gb > 0.12 > idle.peak_memory_gb > 0.005
    assert busy.cpu_s >= 0.2 > idle.cpu_s


def test_200_mb_of_output_end_well_in_logs_of_bounded_size(executor, channel, folder):
    order = start(executor, channel, folder, "prints_lots", megabytes=200)
    assert channel.outcome(order).kind == "succeeded"
    log = Path(order.log_path)
    assert 0 < log.stat().st_size <= LOG_LIMIT_BYTES
    assert 0 < Path(f"{log}.1").stat().st_size <= LOG_LIMIT_BYTES
    assert len(list(log.parent.iterdir())) == 2


def test_a_log_that_cannot_be_written_is_told_once_and_harms_nothing(executor, channel, folder):
    order = start(executor, channel, folder, "prints_lots", megabytes=2, order_values={"log_path": "/dev/full"})
    assert channel.outcome(order).kind == "succeeded"
    problems = [figures["log_problem"] for figures in channel.of("progress", order)]
    assert len(problems) == 1
    assert "No space left" in problems[0]


def test_a_run_without_a_log_works(executor, channel, folder):
    assert (
        run(executor, channel, folder, "prints_lots", megabytes=1, order_values={"log_path": None}).kind == "succeeded"
    )


def test_the_last_progress_of_many_wins(executor, channel, folder):
    order = start(executor, channel, folder, "reports", count=2000)
    channel.outcome(order)
    assert channel.of("progress", order)[-1] == {"done": 1999}
    assert len(channel.of("progress", order)) < 100


def test_held_back_progress_is_sent_while_the_function_goes_on(executor, channel, folder):
    order = start(executor, channel, folder, "reports_and_waits")
    wait_until(lambda: {"done": 4} in channel.of("progress", order))
    executor.stop(order, "cancelled", 5.0)
    channel.outcome(order)


# -- the host

HOST = """
import os, signal, sys, threading
from overnight.executors.process import ProcessExecutor
from overnight.testing.executors import RecordingChannel, new_order
from pathlib import Path

def host():
    channel, executor = RecordingChannel(), ProcessExecutor(os.environ)
    args = {"path": sys.argv[3]} if sys.argv[3:] else {}
    order = new_order(Path(sys.argv[1]), target="tasks:" + sys.argv[2], args=args)
    executor.start(order, channel)
    channel.wait("progress", order)
    pid, started = channel.of("child", order)[0]
    if os.fork() == 0:  # a copy that holds the host's end of every line open
        signal.pause()
    print(pid, int(started), flush=True)
    signal.pause()

thread = threading.Thread(target=host)
thread.start()
thread.join()
"""


def start_host(folder, *arguments):
    source = str(Path(tree.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", textwrap.dedent(HOST), str(folder), *arguments],
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("function", ["leaves_daemon_and_waits", "blocks_everything"])
def test_children_end_within_five_seconds_of_the_death_of_their_host(folder, function):
    arguments = [str(folder / "pid")] if function == "leaves_daemon_and_waits" else []
    host = start_host(folder, function, *arguments)
    pid = int(host.stdout.readline().split()[0])
    tree_below = [entry.pid for entry in table.below([pid], table.snapshot())]
    copies = [entry for entry in table.below([host.pid], table.snapshot()) if entry.pid not in (pid, *tree_below)]
    assert tree_below
    host.kill()
    host.wait()
    died = time.monotonic()
    wait_until(lambda: is_dead(pid) and all(is_dead(member) for member in tree_below))
    assert time.monotonic() - died < 5
    for copy in copies:
        tree.send(copy, signal.SIGKILL)
    host.stdout.close()


def test_a_tree_is_ended_from_its_record_alone(folder):
    host = start_host(folder, "leaves_daemon_and_waits", str(folder / "pid"))
    pid, started = (int(word) for word in host.stdout.readline().split())
    members = [entry for entry in table.snapshot().values() if entry.pid in (host.pid, pid)]
    members += [e for e in table.below([host.pid], table.snapshot()) if e.pid != int((folder / "pid").read_text())]
    for member in members:
        tree.send(member, signal.SIGKILL)
    host.wait()
    host.stdout.close()
    daemon = int((folder / "pid").read_text())
    assert not is_dead(daemon)
    assert tree.end_tree(pid, started, 0.1) == []
    assert is_dead(daemon)


def test_a_large_child_that_is_idle_ends_soon_and_a_small_one_stays(monkeypatch, tmp_path):
    monkeypatch.setattr("overnight.executors.process.LARGE_GB", 0.05)
    monkeypatch.setattr("overnight.executors.process.LARGE_IDLE_S", 0.2)
    with overnight.Project.create(tmp_path) as project:
        (tmp_path / "large_tasks.py").write_text(
            "import os\n\ndef small():\n    return os.getpid()\n\ndef large():\n"
            "    held = b'x' * 80_000_000\n    return os.getpid()\n"
        )
        for name in ("small", "large"):
            project.add_task(overnight.Task(task_id=name, action=f"large_tasks:{name}"))
        with project.running():
            small = project.result(project.submit("small"), 20)
            assert project.result(project.submit("small"), 20) == small, "it is used again"
            large = project.result(project.submit("large"), 20)
            assert large == small
            deadline = time.monotonic() + 10
            while Path(f"/proc/{large}").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            assert not Path(f"/proc/{large}").exists()
            assert project.result(project.submit("small"), 20) != large
