"""Services of a real daemon: started, adopted, restarted, stopped; with real processes, ports and signals."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest
from test_rollouts import Clock

from daemons import Daemon, wait_for
from overnight.app import daemon
from overnight.app.launch import DAEMON_LOCK
from overnight.app.lock import is_held
from overnight.app.project import Project
from overnight.app.services import last_told, left
from overnight.app.signals import Stop
from overnight.base.clock import SystemClock
from overnight.base.resource_settings import HealthSettings, ServiceSettings
from overnight.processes.table import look, pids_below, started_of
from overnight.server.serving import serve
from overnight.supervisor import minder
from overnight.supervisor.record import Record
from overnight.supervisor.startup import Mode
from overnight.supervisor.watch import Supervisor

PROGRAM = Path(__file__).parents[1] / "small_service.py"


def free_port(given=set()):  # noqa: B006 -- the system may offer a port again that nobody has taken yet
    while True:
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        if port not in given:
            given.add(port)
            return port


def table(name, port, *flags, more=""):
    words = json.dumps(["{python}", str(PROGRAM), str(port), *flags])
    health = f'url = "http://127.0.0.1:{port}/health", path = "status", equals = "ok", every_s = 0.2, failures = 2'
    return (
        f"[services.{name}]\ncommand = {words}\nbackoff_s = 0.05\ngrace_s = 2.0\nstart_timeout_s = 30.0\n"
        f"health = {{ {health}, timeout_s = 0.5 }}\n{more}"
    )


def ask(port, path="/health"):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        return json.loads(answer.read())


def pid_at(port):
    return ask(port)["pid"]


def gone(pid):
    return (entry := look(pid)) is None or not entry.alive


@pytest.fixture
def port():
    return free_port()


@pytest.fixture
def project(tmp_path):
    made = Daemon(tmp_path / "p")
    yield made
    made.run("down", "--force")
    assert processes_of(made) == []


def processes_of(project):
    """Return the processes that carry the mark of a service of this project."""
    mark = f"OVERNIGHT_SERVICE={project.state.resolve()}:".encode()
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark in (entry / "environ").read_bytes() and not gone(int(entry.name)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def services(project):
    """Return what the daemon, or `ps` where none is up, tells of the services."""
    if not is_held(project.state / DAEMON_LOCK):
        return json.loads(project.run("ps", "--json").stdout)
    return json.loads(project.get("/api/services")[1])


def one(project, name="web"):
    return services(project)["services"][name]


def up_again(project, before, port):
    """Wait until another process than before serves at the port, and is up."""

    def there():
        try:
            return pid_at(port) != before and one(project)["status"] == "up"
        except OSError:
            return False

    wait_for(there)
    return pid_at(port)


class TestUpAndDown:
    def test_phases_links_and_a_summary_and_down_leaves_nothing(self, project):
        first, second = free_port(), free_port()
        links = f'links = {{ db = "http://127.0.0.1:{second}/link/db" }}\n'
        project.write(table("db", first) + table("web", second, more=f'phase = 2\nafter = ["db"]\n{links}'))
        said = project.up()
        lines = [line.split() for line in said.splitlines()]
        assert [words[:2] for words in lines if words[0] in ("phase", "db", "web", "links", "FULL")] == [
            ["phase", "1"], ["db", "up"], ["phase", "2"], ["web", "up"], ["links"], ["web", "->"], ["FULL", "MODE:"],
        ]  # fmt: skip
        assert "web -> db: ok" in said and "FULL MODE: 2 of 2 services are up" in said
        assert ask(second)["url"] == project.about["url"], "it is told where the daemon answers"
        assert "serves" in project.ok("logs", "--service", "web")
        found = services(project)
        assert found["mode"] == "full" and found["services"]["web"]["memory_bytes"] > 1e6
        assert "web" in project.ok("ps")
        told = json.loads(project.ok("ps", "--json"))
        assert told["mode"] == "full" and told["services"]["web"]["memory_bytes"] > 1e6
        pids = [pid_at(first), pid_at(second)]
        project.ok("down")
        assert all(map(gone, pids)) and processes_of(project) == []
        order = [
            line.split("name=")[1].split()[0] for line in project.log().splitlines() if "status='stopping'" in line
        ]
        assert order == ["web", "db"]
        assert "no daemon looks after them" in project.ok("ps")

    def test_a_link_that_fails_is_tried_again_until_it_works(self, project, port, monkeypatch):
        monkeypatch.setattr("overnight.supervisor.watch.LINKS_EVERY_S", 0.2)
        project.write(table("web", port, more=f'links = {{ db = "http://127.0.0.1:{port}/link/broken" }}\n'))
        stop = Stop()
        with Project.open(project.folder) as opened:
            living = Thread(target=daemon.Daemon(opened).run, args=(stop, serve))
            living.start()
            wait_for(lambda: (project.state / "services.json").exists() and services(project)["mode"] == "degraded")
            assert "answered 500" in services(project)["links"][0]["problem"]
            ask(port, "/mend")
            wait_for(lambda: services(project)["mode"] == "full")
            assert services(project)["links"][0]["ok"]
            stop.ask()
            living.join()

    def test_what_works_already_is_adopted_and_left_alone(self, project, port):
        command = [sys.executable, str(PROGRAM), str(port)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as stranger:
            wait_for(lambda: _answers(port))
            project.write(table("web", port))
            assert "adopted: it works already" in project.up()
            assert one(project)["adopted"] and pid_at(port) == stranger.pid
            refused = project.run("restart", "web")
            assert refused.returncode == 2 and "is not ours to restart" in refused.stderr
            project.ok("down")
            assert pid_at(port) == stranger.pid
            stranger.kill()

    def test_a_required_one_that_ends_at_once_fails_with_its_last_lines_and_nothing_is_left(self, project, port):
        words = json.dumps(["{python}", "-c", "print('no database'); print('giving up')"])
        bad = f"[services.bad]\ncommand = {words}\nphase = 2\n"
        project.write(table("web", port) + bad + f"{table('late', free_port())}phase = 3\n".replace("phase = 3\n", ""))
        done = project.run("up")
        assert done.returncode == 1
        assert "bad              given up: exited with code 0, before it worked" in done.stdout
        assert "    | giving up" in done.stdout and "FAILED: bad" in done.stdout
        assert processes_of(project) == [] and project.run("status").returncode == 1
        assert not (project.state / "daemon.json").exists()

    def test_without_an_optional_one_it_is_degraded(self, project, port):
        missing = '[services.mail]\ncommand = ["no_such_program"]\nrequired = false\n'
        broken = f'links = {{ mail = "http://127.0.0.1:{port}/link/broken" }}\n'
        project.write(table("web", port, more=broken) + missing)
        said = project.up()
        assert "mail             given up: could not be started" in said and "'no_such_program'" in said
        assert "web -> mail: FAILED" in said and "answered 500" in said
        assert "DEGRADED: 1 of 2 services are up; missing: mail" in said and "web does not reach mail" in said
        assert project.causes() == ["service"]
        assert project.run("ps").returncode == 1

    def test_only_some_and_twice(self, project, port):
        other = free_port()
        project.write(table("web", port, more='after = ["db"]\n') + table("db", free_port()) + table("rest", other))
        said = project.up("--only", "web")
        assert "FULL MODE: 2 of 2" in said and one(project, "rest")["status"] == "down"
        again = project.run("up")
        assert again.returncode == 2 and "is up for this project" in again.stderr
        assert "rest             up" in project.ok("up", "--only", "rest")
        wrong = project.run("up", "--only", "wbe")
        assert wrong.returncode != 0 and "there is no service 'wbe'" in wrong.stderr
        project.ok("down")
        assert "up:" in project.up("--no-services") and services(project)["services"]["web"]["status"] == "down"
        assert processes_of(project) == []

    def test_one_more_is_started_with_what_it_needs_and_ends_nothing_where_it_cannot_be(self, project, port):
        db, bad = free_port(), '[services.bad]\ncommand = ["{python}", "-c", "raise SystemExit(3)"]\n'
        project.write(table("web", port) + table("db", db) + table("late", free_port(), more='after = ["db"]\n') + bad)
        project.up("--only", "web")
        before = pid_at(port)
        refused = project.run("up", "--only", "bad")
        assert refused.returncode == 1 and "given up: exited with code 3, before it worked" in refused.stdout
        assert "late             up" in project.ok("up", "--only", "late")
        assert one(project, "db")["status"] == "up"
        wait_for(lambda: services(project)["mode"] == "degraded")
        assert pid_at(port) == before and project.causes() == ["service"]

    def test_a_restart_of_one_that_is_broken_meanwhile_says_so_at_once(self, project, port):
        program = project.folder / "program.py"
        program.write_text(PROGRAM.read_text())
        project.write(table("web", port).replace(str(PROGRAM), "program.py"))
        project.up()
        program.write_text("raise SystemExit('broken')")
        done = project.run("restart", "web")
        assert done.returncode == 1 and done.stdout.count("| broken") == 1
        assert "given up: exited with code 1, before it worked" in done.stdout

    def test_up_that_is_stopped_meanwhile_says_so(self, project, port):
        project.write(f'[services.slow]\ncommand = ["sleep", "60"]\nhealth = {{ port = {port} }}\n')
        with ThreadPoolExecutor() as pool:
            coming = pool.submit(project.run, "up")
            wait_for(lambda: is_held(project.state / DAEMON_LOCK))
            assert "has ended" in project.ok("down"), "also where it has hardly begun"
            done = coming.result()
        assert done.returncode == 1 and "FULL" not in done.stdout
        assert "has ended while its services came up" in done.stdout or "it ended with" in done.stderr
        assert processes_of(project) == []

    def test_one_that_dies_in_the_background_is_started_again(self, project, port):
        project.write(table("web", port, "--daemonise"))
        project.up()
        before = pid_at(port)
        os.kill(before, signal.SIGKILL)
        up_again(project, before, port)
        assert one(project)["restarts"] == 1

    def test_one_that_puts_itself_into_the_background_is_minded_too(self, project, port):
        project.write(table("web", port, "--daemonise"))
        assert "web              up" in project.up()
        pid = pid_at(port)
        project.ok("down")
        assert gone(pid)

    def test_one_that_ignores_sigterm_is_killed_after_its_grace_time(self, project, port):
        project.write(table("web", port, "--ignore-term"))
        project.up()
        pid = pid_at(port)
        project.ok("down")
        assert gone(pid)

    def test_another_signal_may_ask_it_to_end(self, project, port):
        project.write(
            table("web", port, "--ignore-term", more='stop_signal = "SIGINT"\n').replace(
                "grace_s = 2.0", "grace_s = 60.0"
            )
        )
        project.up()
        pid = pid_at(port)
        project.ok("down")
        assert gone(pid)

    @pytest.mark.parametrize("hidden", ["behind a shell", "in the background"])
    def test_the_signal_reaches_it_wherever_it_is(self, project, port, hidden):
        flags = ("--ignore-term", "--daemonise") if hidden == "in the background" else ("--ignore-term",)
        toml = table("web", port, *flags, more='stop_signal = "SIGINT"\n').replace("grace_s = 2.0", "grace_s = 60.0")
        if hidden == "behind a shell":
            words = json.dumps(["sh", "-c", f"{sys.executable} {PROGRAM} {port} --ignore-term; true"])
            toml = re.sub(r"command = .*", f"command = {words}", toml)
        project.write(toml)
        project.up()
        pid = pid_at(port)
        project.ok("down")
        assert gone(pid)

    def test_what_it_prints_is_kept_up_to_a_size(self, project, port):
        project.write(table("web", port, "--shout", more="log_mb = 0.2\n"))
        project.up()
        logs = list((project.state / "logs" / "services").glob("web.log*"))
        assert {path.name for path in logs} == {"web.log", "web.log.1"}
        assert all(path.stat().st_size <= 200_000 for path in logs)
        assert "serves" in project.ok("logs", "--service", "web", "-n", "100")


def _answers(port):
    try:
        return ask(port)
    except OSError:
        return None


class TestFaults:
    def test_a_port_that_a_stranger_has_is_said(self, project, port):
        with socket.socket() as stranger:
            stranger.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stranger.bind(("127.0.0.1", port))
            stranger.listen(64)
            project.write(table("web", port))
            done = project.run("up")
        assert done.returncode == 1
        assert f"given up: port {port} is taken by process {os.getpid()} (" in done.stdout
        assert "does not answer as its health should" in done.stdout and processes_of(project) == []

    def test_a_port_that_another_project_has_is_said_though_it_works(self, project, port, tmp_path):
        other = Daemon(tmp_path / "other")
        try:
            other.write(table("api", port))
            other.up()
            project.write(table("web", port))
            done = project.run("up")
            assert done.returncode == 1
            assert f"port {port} is taken by service api of the project in {other.folder.resolve()}" in done.stdout
            assert one(other, "api")["status"] == "up"
        finally:
            other.run("down")

    def test_an_answer_of_200_with_an_error_in_it_is_no_health(self, project, port):
        project.write(table("web", port).replace('equals = "ok"', 'equals = "ready"').replace("30.0", "1.0"))
        done = project.run("up")
        assert done.returncode == 1
        assert "did not work within 1 s" in done.stdout and 'status is "ok", and not "ready"' in done.stdout

    @pytest.mark.parametrize("fault", ["/hang", "/say/bad", "/exit/3", "kill", "kill its minder"])
    def test_one_that_dies_hangs_or_tells_of_an_error_is_started_again(self, project, port, fault):
        project.write(table("web", port))
        project.up()
        before, keeper = pid_at(port), one(project)["pid"]
        if fault == "kill":
            os.kill(before, signal.SIGKILL)
        elif fault == "kill its minder":
            os.kill(look(keeper).ppid, signal.SIGKILL)
        else:
            try:
                ask(port, fault)
            except OSError:
                assert fault == "/exit/3"
        up_again(project, before, port)
        wait_for(lambda: gone(before))
        assert one(project)["restarts"] == 1 and project.health()["status"] == "healthy"

    def test_one_that_leaks_is_started_again(self, project, port):
        # On a busy machine it does not answer in time while it grows: that is not what ends it here.
        patient = table("web", port, more="max_memory_gb = 0.3\n").replace("failures = 2", "failures = 1000")
        project.write(patient)
        project.up()
        before = pid_at(port)
        with suppress(OSError):  # it may be ended before it has answered
            ask(port, "/grow")
            ask(port, "/grow")
        up_again(project, before, port)
        assert "of memory, max_memory_gb is 0.3" in project.log()

    def test_one_that_dies_again_and_again_is_given_up_until_somebody_restarts_it(self, project, port):
        project.write(table("web", port, more="max_restarts = 1\n"))
        project.up()
        first = pid_at(port)
        os.kill(first, signal.SIGKILL)
        os.kill(up_again(project, first, port), signal.SIGKILL)
        wait_for(lambda: one(project)["status"] == "given_up")
        assert "given up after 1 restarts in 600 s: was killed by SIGKILL" in one(project)["why"]
        assert project.causes() == ["service"] and project.run("status").returncode == 1
        assert "web              up" in project.ok("restart", "web")
        assert project.health()["status"] == "healthy"
        before = pid_at(port)
        project.ok("restart", "web")
        assert pid_at(port) != before, "one that is up is started anew too"

    def test_a_killed_daemon_leaves_its_services_and_the_next_one_takes_them_up(self, project, port):
        project.write(table("web", port))
        project.up()
        pid, daemon = pid_at(port), project.about["pid"]
        project.kill()
        wait_for(lambda: gone(daemon))
        assert pid_at(port) == pid, "nobody lost an answer"
        assert one(project)["status"] == "left"
        assert "web              up" in project.up()
        assert pid_at(port) == pid and not one(project)["adopted"], "it is ours"
        project.ok("down")
        assert gone(pid)

    def test_what_a_killed_daemon_has_left_is_stopped_by_down(self, project, port):
        project.write(table("web", port, "--ignore-term"))
        project.up()
        pid = pid_at(port)
        project.kill()
        assert "stopped: web, left by a daemon that was killed" in project.ok("down")
        assert gone(pid) and processes_of(project) == []

    def test_what_was_left_and_does_not_work_is_replaced(self, project, port):
        project.write(table("web", port))
        project.up()
        pid = pid_at(port)
        project.kill()
        ask(port, "/say/bad")
        project.up()
        assert gone(pid) and pid_at(port) != pid

    def test_a_clock_that_jumps_starts_nothing_anew_and_one_that_dies_then_is_still_started_again(self, project, port):
        project.write(table("web", port, more="max_memory_gb = 1.0\n"))
        clock, stop = Clock(), Stop()
        with Project.open(project.folder, clock=clock) as opened:
            living = Thread(target=daemon.Daemon(opened).run, args=(stop, serve))
            living.start()
            wait_for(lambda: _answers(port) and one(project)["status"] == "up")
            before = pid_at(port)
            for seconds in (86_400.0, -2 * 86_400.0):
                clock.ahead_us += round(seconds * 1e6)
                looked = ask(port)["looks"]
                wait_for(lambda before=looked: ask(port)["looks"] > before + 5)
                assert pid_at(port) == before and one(project)["restarts"] == 0
            os.kill(before, signal.SIGKILL)
            up_again(project, before, port)
            assert one(project)["restarts"] == 1
            stop.ask()
            living.join()

    def test_on_a_full_disk_nothing_is_started_that_could_not_be_found_again(self, project, port):
        project.write(table("web", port))
        (project.state).mkdir(exist_ok=True)
        (project.state / "services").write_text("no folder")
        done = project.run("up")
        (project.state / "services").unlink()
        assert done.returncode == 1 and "could not be started" in done.stdout
        assert processes_of(project) == []

    @pytest.mark.parametrize(
        ("toml", "why"),
        [
            ('[services.web]\ncommand = ["x"]\nafter = ["db"]\n', "services.web.after: there is no service 'db'"),
            ('[services.web]\ncommand = ["${NOT_SET_HERE}"]\n', "the environment has no variable 'NOT_SET_HERE'"),
            ('[services.web]\ncommand = ["x"]\nrestart = "sometimes"\n', "services.web.restart"),
        ],
    )
    def test_bad_settings_are_one_line(self, project, toml, why):
        project.write(toml)
        done = project.run("up")
        assert done.returncode == 2 and why in done.stderr and len(done.stderr.splitlines()) == 1


class TestInOneProcess:
    @pytest.fixture
    def watch(self, tmp_path):
        """Begin to look after a service `web` with these settings."""
        begun = []

        def watched(**settings):
            about = {"project": tmp_path, "state_dir": tmp_path, "clock": SystemClock(), "environment": {}}
            begun.append(Supervisor({"web": ServiceSettings(**settings)}, **about))
            begun[-1].start()
            return begun[-1]

        yield watched
        for supervisor in begun:
            supervisor.stop(lambda: True)

    def test_who_is_given_up_is_told_while_a_service_is_being_started(self, watch, monkeypatch):
        begins, may_end = Event(), Event()

        def slow(order):
            begins.set()
            may_end.wait(60)
            raise OSError("no such program")

        monkeypatch.setattr(minder, "begin", slow)
        supervisor = watch(command=("web",))
        assert begins.wait(60)
        with ThreadPoolExecutor(1) as pool:
            told = pool.submit(supervisor.given_up)
            done, _ = wait([told], timeout=10)
            may_end.set()
        assert done and told.result() == {}
        wait_for(supervisor.given_up)
        assert "could not be started: no such program" in supervisor.given_up()["web"]

    def test_one_that_is_being_restarted_when_all_end_stays_down(self, watch, port, tmp_path):
        words = ("{python}", str(PROGRAM), str(port), "--ignore-term")
        url = f"http://127.0.0.1:{port}/health"
        supervisor = watch(command=words, grace_s=1.0, health=HealthSettings(url=url))
        wait_for(lambda: supervisor.mode is Mode.FULL)
        supervisor.ask("web", "restart")
        supervisor.stop()
        assert last_told(tmp_path)["services"]["web"]["status"] == "down"
        assert left(tmp_path) == [] and not (tmp_path / "services" / "web.json").exists()

    def test_what_nobody_minds_any_more_is_killed(self):
        with subprocess.Popen(["sleep", "600"]) as kept:
            pid, started = kept.pid, started_of(kept.pid)
            Record(name="web", pid=pid, started=0.0, keeper_pid=pid, keeper_started=started).end()
            assert kept.wait(60) == -signal.SIGKILL


def test_jobs_leave_the_memory_of_a_service_that_is_started_here_alone(project, port):
    project.write(table("web", port))
    project.up()

    def told():
        found = json.loads(project.ok("resources", "--json"))
        return next((one for one in found.get("services", []) if one["name"] == "web" and one["used_bytes"]), None)

    assert wait_for(told)["used_bytes"] > 1e6
    assert pids_below(one(project)["pid"])
