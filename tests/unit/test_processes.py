"""Children, their identity, their trees and what they may see."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from overnight.processes import linux, table, tree
from overnight.processes.limits import Limits
from overnight.processes.probe import process_facts, sandbox_level
from overnight.processes.sandbox import Sandbox, enter
from overnight.processes.spawn import scrubbed, spawn

PYTHON = [sys.executable, "-I", "-S", "-c"]


def wait_until(condition, patience_s=20):
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, "it did not come to be in time"
        time.sleep(0.01)


def outcome_of(program, *arguments, env=None, **options):
    """What a Python program prints, and its child when it is gone."""
    news, report = os.pipe()
    child = spawn(
        [*PYTHON, program, *arguments], env=env or scrubbed(os.environ), stdout=report, stderr=report, **options
    )
    os.close(report)
    child.go()
    with os.fdopen(news, "rb") as file:
        printed = file.read().decode()
    child.wait()
    return printed, child


@pytest.fixture
def sleeper():
    process = subprocess.Popen(["sleep", "1000"])
    yield process
    process.kill()
    process.wait()


# -- identity


def test_a_process_is_the_same_until_it_is_dead(sleeper):
    started = table.started_of(sleeper.pid)
    assert table.same_process(sleeper.pid, started)
    sleeper.kill()
    wait_until(lambda: not table.same_process(sleeper.pid, started))
    assert not table.look(sleeper.pid).alive, "a zombie is dead"


def test_another_process_with_the_same_pid_is_not_the_same(sleeper):
    assert not table.same_process(sleeper.pid, table.started_of(sleeper.pid) - 1)
    assert not table.same_process(2**22 + 1, 1.0)


def test_the_start_survives_as_a_float_and_is_not_moved_by_exec():
    printed, child = outcome_of("import os; print(os.getpid())")
    assert float(int(child.started)) == child.started < 2**53
    assert int(printed) == child.worker_pid != child.pid


def test_a_signal_never_hits_a_process_that_has_taken_over_the_pid(sleeper):
    entry = table.look(sleeper.pid)
    assert not tree.send(entry._replace(started=entry.started - 1), signal.SIGKILL)
    assert sleeper.poll() is None
    assert tree.send(entry, signal.SIGKILL)
    assert sleeper.wait() == -signal.SIGKILL


def test_below_lists_descendants_parents_first_and_no_dead_ones():
    alive = {pid: table.Entry(pid, ppid, 1.0, "S") for pid, ppid in [(1, 0), (2, 1), (3, 2), (4, 1)]}
    assert [entry.pid for entry in table.below([2], alive)] == [3]
    assert {entry.pid for entry in table.below([1], alive)} == {2, 3, 4}
    dead = {**alive, 2: table.Entry(2, 1, 1.0, "Z")}
    assert {entry.pid for entry in table.below([1], dead)} == {3, 4}


def test_memory_of_forked_processes_counts_shared_pages_once():
    program = """
import os, signal
data = b"x" * 60_000_000
for _ in range(3):
    if os.fork() == 0:
        signal.pause()
print("ready", flush=True)
signal.pause()
"""
    process = subprocess.Popen([*PYTHON, program], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"
    pids = [process.pid, *table.pids_below(process.pid)]
    assert len(pids) == 4
    assert 60e6 < table.memory_bytes([process.pid]) < 100e6
    assert 60e6 < table.memory_bytes(pids) < 120e6
    entry = table.look(process.pid)
    assert tree.end_tree(entry.pid, entry.started, 0) == []
    process.wait()
    process.stdout.close()


# -- children


def test_exit_code_signal_and_missing_program_are_told():
    assert outcome_of("raise SystemExit(3)")[1].exit == {"code": 3}
    assert outcome_of("import os; os.kill(os.getpid(), 9)")[1].exit == {"signal": 9}
    child = spawn(["no-such-program"], env={"PATH": "/bin"})
    child.go()
    child.wait()
    assert "no-such-program" in child.describe_exit()


def test_a_child_does_not_work_before_go(tmp_path):
    child = spawn(["touch", str(tmp_path / "worked")], env=scrubbed(os.environ))
    assert table.same_process(child.pid, child.started)
    child.abandon()
    assert not table.same_process(child.pid, child.started)
    assert not (tmp_path / "worked").exists()


def test_a_child_inherits_the_named_descriptors_and_the_given_environment_only(tmp_path):
    secret = os.open(tmp_path / "secret", os.O_CREAT | os.O_RDWR)
    named = os.open(tmp_path / "named", os.O_CREAT | os.O_RDWR)
    os.set_inheritable(secret, True)
    program = "import os; print(sorted(os.listdir('/proc/self/fd'), key=int)[3:], sorted(os.environ))"
    printed, _ = outcome_of(program, env={"COLOUR": "red"}, fds=(named,))
    os.close(secret)
    os.close(named)
    assert str(secret) not in printed.partition("]")[0].replace("'", "").strip("[").split(", ")
    assert f"'{named}'" in printed
    assert "['COLOUR', 'LC_CTYPE', 'OVERNIGHT_CHILD']" in printed or "['COLOUR', 'OVERNIGHT_CHILD']" in printed


def test_signals_are_at_their_defaults_in_a_child():
    program = "import signal as s; print([s.getsignal(n) == s.SIG_DFL for n in (s.SIGTERM, s.SIGHUP, s.SIGCHLD)])"
    assert outcome_of(program)[0] == "[True, True, True]\n"


def test_marks_of_children_of_children_are_joined():
    env = {**scrubbed(os.environ), tree.MARK: "1-2"}
    printed, child = outcome_of(f"import os; print(os.environ['{tree.MARK}'])", env=env)
    assert printed == f"1-2:{tree.mark_of(child.pid, child.started)}\n"


def test_scrubbed_keeps_no_secrets():
    assert scrubbed({"PATH": "p", "LC_ALL": "C", "AWS_SECRET_ACCESS_KEY": "s"}) == {"PATH": "p", "LC_ALL": "C"}


def test_cpu_time_and_peak_memory_of_the_whole_tree_are_told():
    burn = "import time\nx = b'x' * 50_000_000\nwhile time.process_time() < 0.2: pass"
    _, child = outcome_of(f"import subprocess, sys; subprocess.run([sys.executable, '-S', '-c', {burn!r}])")
    assert 0.2 <= child.cpu_s < 5
    assert child.peak_bytes > 50_000_000


def test_limits_hold_for_the_child(tmp_path):
    program = """
import os, resource as r
print([r.getrlimit(k)[0] for k in (r.RLIMIT_CORE, r.RLIMIT_FSIZE, r.RLIMIT_NOFILE)], os.nice(0))
"""
    printed, _ = outcome_of(program, limits=Limits(file_bytes=1000, open_files=64, nice=5))
    assert printed == f"[0, 1000, 64] {min(19, os.nice(0) + 5)}\n"


# -- trees

FAMILY = """
import os, signal, sys, time
def stay(name):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print(name, os.getpid(), flush=True)
    time.sleep(1000)
if os.fork() == 0: stay("child")
if os.fork() == 0:
    os.setpgid(0, 0); stay("other-group")
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: stay("daemon")
    os._exit(0)
if os.fork() == 0:
    os.setsid()
    unmarked = "import os, time; print('unmarked', os.getpid(), flush=True); time.sleep(1000)"
    os.execve(sys.executable, [sys.executable, "-S", "-c", unmarked], {})
stay("root")
"""


def start_family():
    news, report = os.pipe()
    child = spawn([*PYTHON, FAMILY], env=scrubbed(os.environ), stdout=report)
    os.close(report)
    child.go()
    with os.fdopen(news, "r") as file:
        family = dict(file.readline().split() for _ in range(5))
    return child, {name: int(pid) for name, pid in family.items()}


def survivors(family):
    entries = {name: table.look(pid) for name, pid in family.items()}
    return [name for name, entry in entries.items() if entry is not None and entry.alive]


@pytest.mark.parametrize("grace_s", [0.0, 0.1])
def test_a_whole_family_is_ended_by_its_keeper(grace_s):
    child, family = start_family()
    assert len(survivors(family)) == 5
    child.end(grace_s)
    child.wait()
    assert survivors(family) == []
    assert child.gone


def test_a_whole_family_is_ended_by_a_stranger_who_knows_the_record():
    child, family = start_family()
    assert tree.end_tree(child.pid, child.started, 0.1) == []
    assert survivors(family) == []
    child.wait()


def test_orphans_of_a_killed_keeper_are_found_by_their_mark():
    child, family = start_family()
    os.kill(child.pid, signal.SIGKILL)
    wait_until(lambda: "root" not in survivors(family))
    left = tree.end_tree(child.pid, child.started, 0)
    assert left == []
    assert set(survivors(family)) <= {"unmarked"}, "only one that threw its environment away gets out of sight"
    for name in survivors(family):
        tree.send(table.look(family[name]), signal.SIGKILL)
    child.wait()


def test_orphans_of_a_killed_keeper_that_were_seen_are_found_without_a_mark():
    child, family = start_family()
    assert child.members()
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    assert survivors(family) == []


def test_a_fork_bomb_is_ended():
    bomb = """
import os
for _ in range(6): os.fork()
print(1, flush=True)
while True:
    if os.fork() == 0: os._exit(0)
    os.wait()
"""
    news, report = os.pipe()
    child = spawn([*PYTHON, bomb], env=scrubbed(os.environ), stdout=report)
    os.close(report)
    child.go()
    with os.fdopen(news, "rb") as file:
        assert file.read(2) == b"1\n"
    child.end(0)
    child.wait()
    assert table.marked(tree.MARK, tree.mark_of(child.pid, child.started)) == []


def test_a_child_is_ended_when_its_host_closes_the_line():
    child, family = start_family()
    child.line.shutdown(socket.SHUT_WR)
    wait_until(lambda: survivors(family) == [], 5)
    child.wait()


# -- sandbox


def sandbox_works():
    return sandbox_level(os.environ) == "namespaces"


CONNECT = """
import socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 2).close(); print("reached")
except OSError as error:
    print("cut off")
"""

LOOK = """
import os, sys, pathlib
home = pathlib.Path(sys.argv[1])
def writes(path):
    try:
        (path / "new").write_text("x"); return True
    except OSError:
        return False
seen = (home / "secret").exists(), writes(home), (home / "data" / "file").exists()
print(*seen, writes(home / "data"), writes(home / "work"))
"""


def test_the_sandbox_cuts_the_child_off_from_this_machines_loopback():
    if not sandbox_works():
        pytest.skip("this kernel allows no user, network and mount namespaces")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        assert outcome_of(CONNECT, port)[0] == "reached\n"
        printed, child = outcome_of(CONNECT, port, sandbox=Sandbox())
    assert (printed, child.sandboxed) == ("cut off\n", True)


def test_a_sandbox_with_the_network_reaches_what_this_process_reaches():
    if not sandbox_works():
        pytest.skip("this kernel allows no user, network and mount namespaces")
    with socket.create_server(("127.0.0.1", 0)) as server:
        printed, child = outcome_of(CONNECT, str(server.getsockname()[1]), sandbox=Sandbox(network=True))
    assert (printed, child.sandboxed) == ("reached\n", True)


def test_without_namespaces_a_sandbox_is_left_out_or_if_it_is_required_there_is_no_child(monkeypatch):
    def refuse(_flags):
        raise OSError("not here")

    monkeypatch.setattr(linux, "unshare", refuse)
    assert enter(Sandbox()) is False
    with pytest.raises(OSError, match="it runs in namespaces only, and this kernel gives this user none"):
        enter(Sandbox(required=True))


def test_the_sandbox_hides_a_folder_but_for_what_is_put_back(tmp_path):
    if not sandbox_works():
        pytest.skip("this kernel allows no user, network and mount namespaces")
    for name in ("data", "work"):
        (tmp_path / name).mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "data" / "file").write_text("x")
    sandbox = Sandbox(hidden=(str(tmp_path),), visible=(str(tmp_path / "data"),), writable=(str(tmp_path / "work"),))
    assert outcome_of(LOOK, str(tmp_path))[0] == "True True True True True\n"
    for new in tmp_path.rglob("new"):
        new.unlink()
    assert outcome_of(LOOK, str(tmp_path), sandbox=sandbox, cwd="/")[0] == "False False True False True\n"
    assert (tmp_path / "work" / "new").exists()
    assert not (tmp_path / "new").exists()


def test_a_writable_folder_on_a_root_that_is_read_only_can_be_written_to():
    if not sandbox_works():
        pytest.skip("this kernel allows no user, network and mount namespaces")
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        folder = Path(name)
        for inside in ("data", "work"):
            (folder / inside).mkdir()
        sandbox = Sandbox(hidden=("/var",), visible=("/",), writable=(str(folder / "work"),))
        assert outcome_of(LOOK, name, sandbox=sandbox, cwd="/")[0] == "False False False False True\n"
        assert (folder / "work" / "new").exists()


def test_a_sandboxed_child_has_no_capabilities():
    if not sandbox_works():
        pytest.skip("this kernel allows no user, network and mount namespaces")
    program = (
        "print([l.split()[1] for l in open('/proc/self/status') if l.startswith(('CapEff', 'CapBnd', 'NoNewPrivs'))])"
    )
    assert outcome_of(program, sandbox=Sandbox())[0] == "['0000000000000000', '0000000000000000', '1']\n"


def test_the_probes_say_what_was_tried_out():
    facts = process_facts(os.environ)
    assert facts.pidfd == hasattr(os, "pidfd_open")
    assert facts.subreaper
    assert facts.open_files > 0
    assert (facts.sandbox == "namespaces") == sandbox_works()
    assert facts.sandbox == "limits" or (facts.user_namespace and facts.net_namespace and facts.mount_namespace)
    assert not list(Path("/sys/fs/cgroup").rglob("overnight-trial-*"))
