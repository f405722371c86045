"""A service is found, measured and asked as it really is, and whatever it does wrong is said in bounded time."""

import os
import subprocess
import sys
import time
import uuid

import pytest

from model_servers import LLAMA, SPIN, TGI, VLLM, MetricsServer, OllamaServer, process
from overnight.base.clock import SystemClock
from overnight.base.errors import ConfigError, TransientError
from overnight.base.resource_settings import CallSettings, ServiceSettings
from overnight.processes import table
from overnight.resources.idleness import Idleness
from overnight.resources.probes.call import call
from overnight.resources.probes.gpu import Device
from overnight.resources.probes.processes import Glance, Processes
from overnight.resources.probes.services import ServiceProbe, check
from overnight.testing.clock import FakeClock
from web_server import WebServer, answers, answers_json, drips, hangs, head, redirects, sends


@pytest.fixture
def word():
    """A word that no other process has on its command line."""
    return f"service-{uuid.uuid4().hex}"


class Probed:
    """A service that is looked at as often as wanted."""

    def __init__(self, folder, clock=None, **settings):
        self.probe = ServiceProbe("chat", ServiceSettings(**settings), clock or SystemClock(), folder)

    def look(self):
        return self.probe.look(Processes())


# -- processes and their memory


def test_a_tree_is_measured_as_a_whole_and_shared_pages_once(tmp_path, word):
    with process("serve", word, mb=80, child_mb=40) as running:
        sample = Probed(tmp_path, words=("serve", word)).look()
        [child] = table.pids_below(running.pid)
        resident = table.memory_bytes([running.pid]) + table.memory_bytes([child])
    assert resident > 200e6, "the pages of the parent are the child's too"
    assert 120e6 < sample.used_bytes < 150e6
    assert sample.roots == ((running.pid, sample.roots[0][1]),)
    assert (sample.active, sample.problem) == (None, None)


class SlowClock(FakeClock):
    """Each look at it takes a second."""

    def monotonic(self):
        self.advance(1)
        return super().monotonic()


def test_between_two_readings_of_what_is_shared_growth_shows_at_once(tmp_path, word, monkeypatch):
    readings = []
    exact = table.memory_bytes
    monkeypatch.setattr(table, "memory_bytes", lambda pids: readings.append(pids) or exact(pids))
    clock = SlowClock()
    probed = Probed(tmp_path, clock, words=(word,))
    with process(word, mb=80, child_mb=20) as running:
        first = probed.look().used_bytes
        assert abs(probed.look().used_bytes - first) < 5e6
        running.stdin.write("50\n")
        running.stdin.flush()
        running.stdout.readline()
        assert 45e6 < probed.look().used_bytes - first < 150e6
        assert len(readings) == 1, "a second for one reading is too much for one each second"
        clock.advance(60)
        assert 45e6 < probed.look().used_bytes - first < 150e6
        assert len(readings) == 2


def test_between_two_readings_processes_that_are_new_count_in_full(tmp_path, word):
    probed = Probed(tmp_path, SlowClock(), words=(word,))
    with process(word, mb=80, child_mb=20):
        assert probed.look().used_bytes < 120e6
        with process(word, mb=20):
            assert probed.look().used_bytes > 200e6, "what they share was not asked"


def test_several_processes_with_the_words_belong_together(tmp_path, word):
    with process(word, mb=30) as one, process(word, mb=50) as two:
        sample = Probed(tmp_path, words=(word,)).look()
    assert {pid for pid, _ in sample.roots} == {one.pid, two.pid}
    assert sample.used_bytes > 80e6


def test_only_the_topmost_process_with_the_words_is_a_root(word):
    shell = subprocess.Popen(
        [
            "/bin/sh",
            "-c",
            f"{sys.executable} -I -S -c 'import sys; print(1, flush=True); sys.stdin.read()' {word}; true",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with shell:
        assert shell.stdout.readline() == b"1\n"
        seen = Processes()
        roots = seen.with_words((word,))
        assert [pid for pid, _ in roots] == [shell.pid]
        assert len(seen.tree(roots)) == 2
        shell.stdin.close()


def test_the_one_who_looks_and_what_it_stands_below_are_never_a_service():
    words = (table.command_line(os.getpid()).split(" ")[0],)
    roots = {pid for pid, _ in Processes().with_words(words)}
    assert roots.isdisjoint({os.getpid(), os.getppid()})


def test_a_service_that_does_not_run_uses_nothing_and_says_so(tmp_path, word):
    sample = Probed(tmp_path, words=(word,)).look()
    assert (sample.used_bytes, sample.pids, sample.roots, sample.active) == (0, (), (), None)
    assert sample.problem == "chat: `words` finds no process; it does not run"


def test_a_service_that_ends_is_gone_at_the_next_look(tmp_path, word):
    probed = Probed(tmp_path, words=(word,))
    with process(word):
        assert probed.look().used_bytes > 0
    assert probed.look().used_bytes == 0


@pytest.mark.parametrize("status", [200, 500])
def test_a_service_that_answers_but_is_not_found_is_not_taken_for_absent(tmp_path, word, status):
    with WebServer() as web:
        web.routes["/n"] = answers('{"n": 0}', status=status)
        sample = Probed(tmp_path, words=(word,), active_url=web.url("/n"), active_path="n").look()
    assert sample.used_bytes is None
    assert "runs unseen" in sample.problem


def test_a_service_at_whose_address_nobody_is_is_absent(tmp_path, word):
    with WebServer() as web:
        url = web.url("")
    sample = Probed(tmp_path, words=(word,), kind="vllm", url=url).look()
    assert (sample.used_bytes, sample.problem) == (0, "chat: `words` finds no process; it does not run")


def test_a_pid_file_names_the_process(tmp_path, word):
    probed = Probed(tmp_path, pid_file="run/service.pid")
    assert probed.look().used_bytes == 0
    (tmp_path / "run").mkdir()
    with process(word, mb=30) as running:
        (tmp_path / "run/service.pid").write_text(f"{running.pid}\n")
        sample = probed.look()
        assert sample.roots == ((running.pid, table.started_of(running.pid)),)
        assert sample.used_bytes > 30e6
    assert probed.look().used_bytes == 0


def test_a_pid_that_was_given_to_somebody_else_is_not_the_service(tmp_path, word):
    (tmp_path / "pid").write_text(f"{os.getpid()}")
    assert Probed(tmp_path, pid_file="pid", words=(word,)).look().roots == ()


@pytest.mark.parametrize("text", ["", "-1", "12 13", "pid", "½"])
def test_a_pid_file_without_a_pid_is_a_failed_look(tmp_path, text):
    (tmp_path / "pid").write_text(text)
    sample = Probed(tmp_path, pid_file="pid").look()
    assert sample.used_bytes is None
    assert "holds no process number" in sample.problem


def test_a_pid_file_that_cannot_be_read_is_a_failed_look(tmp_path):
    (tmp_path / "pid").mkdir()
    sample = Probed(tmp_path, pid_file="pid").look()
    assert sample.used_bytes is None
    assert sample.problem.startswith("chat: ")


def test_the_processes_of_the_tree_tell_what_it_holds_of_a_gpu(tmp_path, word):
    with process(word, child_mb=1) as running:
        [child] = table.pids_below(running.pid)
        held = {running.pid: 3, child: 4, os.getpid(): 50}
        device = Device(uuid="G", name="n", total_bytes=100, used_bytes=60, busy_percent=None, process_bytes=held)
        assert device.held_bytes(Probed(tmp_path, words=(word,)).look().pids) == 7


# -- requests


@pytest.mark.parametrize(("kind", "text", "before"), [("vllm", VLLM, 2), ("tgi", TGI, 0), ("llama.cpp", LLAMA, 0)])
def test_servers_that_are_known_tell_their_requests(tmp_path, word, kind, text, before):
    with MetricsServer(text) as server, process(word):
        probed = Probed(tmp_path, words=(word,), kind=kind, url=server.url + "/")
        sample = probed.look()
        assert (sample.active, sample.served, sample.problem) == (0, before, None)
        server.running, server.waiting, server.served = 3.0, 2.0, 7.0
        sample = probed.look()
        assert (sample.active, sample.served) == (5, 7 + before)
    assert {path for _, path, _ in server.asked} == {"/metrics"}


def test_a_number_that_tgi_has_not_set_yet_is_zero_and_one_of_vllm_is_missed(tmp_path, word):
    with MetricsServer("x 1\n") as server, process(word):
        assert Probed(tmp_path, words=(word,), kind="tgi", url=server.url).look().active == 0
        sample = Probed(tmp_path, words=(word,), kind="vllm", url=server.url).look()
    assert sample.active is None
    assert sample.problem == f"chat: {server.url}/metrics: there is no vllm:num_requests_running"
    assert sample.used_bytes > 0, "its memory is known all the same"


def test_any_server_tells_its_requests_by_metrics_or_by_json(tmp_path, word):
    with WebServer() as web, process(word):
        web.routes["/m"] = answers('a{x="1"} 2\na{x="2"} 3\nb 4\n')
        web.routes["/queue"] = answers_json({"exec_info": {"queue_remaining": 6}})
        by_metrics = Probed(tmp_path, words=(word,), metrics_url=web.url("/m"), metrics=("a", "b"))
        by_json = Probed(tmp_path, words=(word,), active_url=web.url("/queue"), active_path="exec_info.queue_remaining")
        assert (by_metrics.look().active, by_json.look().active) == (9, 6)


def test_ollama_counts_as_working_while_its_processes_do(tmp_path, word):
    clock = FakeClock()
    with OllamaServer(gemma3="2026-01-01T00:05:00.93355+02:00") as server:
        with process(word):
            probed = Probed(tmp_path, clock, words=(word,), kind="ollama", url=server.url)
            first = probed.look()
            assert (first.active, first.problem) == (None, None)
            clock.advance(10)
            second = probed.look()
            assert (second.active, second.problem) == (0, None)
            server.models["gemma3"] = "2026-01-01T00:06:00+02:00"
            assert probed.look().served == second.served + 59.06645
        with process(word, program=SPIN) as running:
            clock.advance(1)
            assert probed.look().active is None, "other processes than at the look before"
            before = table.cpu_s(running.pid)
            while table.cpu_s(running.pid) - before < 0.2:
                os.sched_yield()
            clock.advance(1)
            assert probed.look().active == 1


def test_looks_tell_since_when_a_service_is_idle(tmp_path, word):
    with MetricsServer(VLLM) as server, process(word):
        probed = Probed(tmp_path, words=(word,), kind="vllm", url=server.url)
        idleness, history = Idleness(), []
        for running, served in [(1.0, 0.0), (0.0, 1.0), (0.0, 1.0), (0.0, 2.0), (0.0, 2.0)]:
            server.running, server.served = running, served
            sample = probed.look()
            idleness = idleness.after(at_s=sample.at_s, active=sample.active, served=sample.served, idle_s=60)
            history.append(idleness.for_s > 0)
    assert history == [False, False, True, False, True]


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(head(200, {"Content-Length": 10**6}) + b"\r\n", id="body"),
        pytest.param(head(200, {}) + b"\r\n", id="endless"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX-A: ", id="head"),
    ],
)
def test_an_answer_that_drips_is_ended_in_time(start):
    with WebServer() as web:
        web.routes["/m"] = drips(start)
        began = time.monotonic()
        with pytest.raises(TransientError, match=r"did not answer within 0\.3 s"):
            call("GET", web.url("/m"), timeout_s=0.3)
        assert 0.3 <= time.monotonic() - began < 2


LONG = b"x 1\n" * 300_000


@pytest.mark.parametrize(
    ("route", "why"),
    [
        (hangs, "did not answer within 2 s"),
        (answers(status=500), "answered 500"),
        (answers(b'{"error": {"code": 501}}', status=501), "answered 501"),
        (redirects("http://127.0.0.1:1/"), "answered 302, another address, which is not followed"),
        (answers(LONG), "answered more than 1 MB"),
        (sends(head(200, {}), LONG), "answered more than 1 MB"),
        (sends(head(200, {"Content-Length": 1000}), b"x 1\n"), "broke off within its answer"),
        (sends(head(200, {"Transfer-Encoding": "chunked"}), b"40\r\nx 1\n"), "cannot be asked"),
        (sends(b""), "cannot be asked"),
        (sends(b"SSH-2.0-OpenSSH_9.6\r\n"), "cannot be asked"),
        (answers(b"<html>busy</html>"), "line 1 is no Prometheus text"),
        (answers(b"a NaN\n"), "nan is no number of requests"),
        (answers(b"a -1\n"), "-1.0 is no number of requests"),
        (answers(b"a +Inf\n"), "inf is no number of requests"),
        (answers(b"b 1\n"), "there is no a"),
    ],
)
def test_what_a_service_does_wrong_is_said_in_time(tmp_path, word, route, why):
    with WebServer() as web, process(word):
        web.routes["/m"] = route
        began = time.monotonic()
        sample = Probed(tmp_path, words=(word,), metrics_url=web.url("/m"), metrics=("a",)).look()
        assert time.monotonic() - began < 4
    assert sample.active is None
    assert why in sample.problem
    assert "\n" not in sample.problem
    assert sample.used_bytes > 0
    assert len(web.paths()) == 1


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "did not answer JSON"),
        (b"[" * 100_000, "did not answer JSON"),
        (b"[]", "the answer has no number at queue.running"),
        (b'{"queue": {"running": "3"}}', "the answer has no number at queue.running"),
        (b'{"queue": {"running": 1e999}}', "inf is no number of requests"),
    ],
)
def test_json_that_does_not_tell_is_said(tmp_path, word, body, why):
    with WebServer() as web, process(word):
        web.routes["/q"] = answers(body)
        sample = Probed(tmp_path, words=(word,), active_url=web.url("/q"), active_path="queue.running").look()
    assert why in sample.problem
    assert sample.active is None


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"models": 3},
        {"models": ["a"]},
        {"models": [{}]},
        {"models": [{"name": "a", "expires_at": "soon"}]},
        {"models": [{"name": "a", "expires_at": "2026-01-01T00:00:00"}]},
        {"models": [{"name": "", "expires_at": "2026-01-01T00:00:00Z"}]},
    ],
)
def test_what_is_no_ollama_is_said(tmp_path, word, answer):
    with WebServer() as web, process(word):
        web.routes["/api/ps"] = answers_json(answer)
        sample = Probed(tmp_path, words=(word,), kind="ollama", url=web.url("")).look()
    assert "did not answer as Ollama does" in sample.problem
    assert sample.active is None


def test_what_an_address_hides_is_not_told(tmp_path, word):
    with WebServer() as web, process(word):
        url = web.url("/q?token=topsecret")
        sample = Probed(tmp_path, words=(word,), active_url=url, active_path="a").look()
    assert "answered 404" in sample.problem
    assert "topsecret" not in sample.problem


# -- settings that cannot work

FOUND = {"words": ("vllm serve",)}
CALL = CallSettings(url="http://127.0.0.1:1/x")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({}, "say how its processes are found"),
        ({"words": ("",)}, "say how its processes are found"),
        ({**FOUND, "kind": "vllm"}, "kind = 'vllm' needs `url`"),
        ({**FOUND, "active_url": "http://a/"}, "go together"),
        ({**FOUND, "active_path": "a"}, "go together"),
        ({**FOUND, "metrics_url": "http://a/"}, "needs `metrics`"),
        ({**FOUND, "metrics": ("a",)}, "needs `metrics_url`"),
        ({**FOUND, "wake": CALL}, "`wake` needs `release`"),
        (
            {**FOUND, "active_url": "http://a/", "active_path": "a..b"},
            "services.chat.active_path: 'a..b' is not a path",
        ),
        ({**FOUND, "url": "ftp://a/"}, "services.chat.url: 'ftp://a/' is not an address"),
        ({**FOUND, "url": "http://"}, "is not an address"),
        ({**FOUND, "url": "http://[::1/"}, "is not an address"),
        ({**FOUND, "url": "http://a:99999/"}, "is not an address"),
        ({**FOUND, "url": "http://a/ b"}, "is not an address"),
        ({**FOUND, "url": "http://me:topsecret@a/"}, "is not an address"),
        ({**FOUND, "release": CallSettings(url="file:///etc/passwd")}, "services.chat.release.url"),
    ],
)
def test_a_description_that_cannot_work_is_refused(settings, why):
    with pytest.raises(ConfigError) as caught:
        check("chat", ServiceSettings(**settings))
    assert why in str(caught.value)
    assert "topsecret" not in str(caught.value)


def test_a_service_without_an_address_is_measured_all_the_same(tmp_path):
    check("chat", ServiceSettings(**FOUND))
    check("chat", ServiceSettings(pid_file="a.pid", release=CALL))


def test_a_process_that_ends_during_the_look_is_a_failed_look(tmp_path, word):
    with process(word):
        seen = Processes()
        assert seen.with_words((word,))
    sample = Probed(tmp_path, words=(word,)).probe.look(seen)
    assert (sample.used_bytes, sample.problem) == (None, "chat: its memory cannot be read")


def test_who_look_at_about_the_same_time_read_the_processes_once():
    clock = FakeClock()
    glance = Glance(clock)
    first = glance.processes()
    clock.advance(0.4)
    assert glance.processes() is first
    clock.advance(0.1)
    assert glance.processes() is not first
