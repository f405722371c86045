"""The daemon as a user meets it: up, status, logs, reload, down, and what others read of it."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from daemons import Daemon, wait_for
from overnight.cli.app import main

TASKS = """
[tasks.tick]
action = "work:tick"
every = "1s"
executor = "thread"

[tasks.counting]
action = "work:count"

[tasks.slow]
action = "work:slow"
max_retries = 0
"""
MODULE = """
import time

def tick():
    return 1

def count(ctx):
    ctx.count("videos_produced", 2)

def slow(ctx):
    while not ctx.cancelled:
        time.sleep(0.05)

def configure(project):
    pass
"""


@pytest.fixture(scope="module")
def lasting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that the tests share: none of them stops it."""
    daemon = Daemon(tmp_path_factory.mktemp("daemon") / "my films", TASKS, MODULE)
    try:
        daemon.up()
        yield daemon
    finally:
        daemon.end()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    made = Daemon(tmp_path / "p", TASKS, MODULE)
    try:
        yield made
    finally:
        made.end()


def test_up_returns_when_it_works_and_says_what_to_do_next(lasting):
    assert lasting.get("/health")[0] == 200
    assert lasting.health()["status"] == "healthy"
    assert set(lasting.health()) == {
        "status", "uptime_seconds", "last_decision_age_s", "queue", "active_training_jobs", "experience_buffer_size",
        "models_deployed", "problems",
    }  # fmt: skip


def test_a_second_up_says_who_is_up(lasting):
    done = lasting.run("up")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(rf"overnight: process {lasting.about['pid']} is up .*`overnight down` stops it\n", done.stderr)
    done = lasting.run("up", "--foreground")
    assert done.returncode == 2
    assert f"process {lasting.about['pid']}" in done.stderr


def test_schedules_fire_on_time_and_the_log_tells_it(lasting):
    wait_for(lambda: lasting.log().count("task=tick event=completed") >= 3)
    assert "task=tick" in lasting.ok("logs", "--task", "tick", "-n", "2")
    assert "task=tick" not in lasting.ok("logs", "--task", "slow")
    assert len(lasting.ok("logs", "-n", "3").splitlines()) == 3


def test_status_shows_the_daemon_and_what_comes(lasting):
    done = lasting.run("status")
    assert done.returncode == 0
    assert f"process {lasting.about['pid']}" in done.stdout
    assert "tick" in done.stdout
    found = json.loads(lasting.ok("status", "--json"))
    assert (found["status"], found["daemon"]["pid"]) == ("healthy", lasting.about["pid"])


def test_metrics_are_those_of_prometheus(lasting):
    from prometheus_client.parser import text_string_to_metric_families

    wait_for(lambda: lasting.log().count("task=tick event=completed") >= 1)
    code, text = lasting.get("/metrics")
    metrics = {metric.name: metric for metric in text_string_to_metric_families(text)}
    assert code == 200
    done = {sample.labels["event"]: sample.value for sample in metrics["overnight_events"].samples if sample.labels}
    assert done["completed"] >= 1
    lags = {sample.name: sample.value for sample in metrics["overnight_start_lag_seconds"].samples}
    assert lags["overnight_start_lag_seconds_count"] >= 1
    assert metrics["overnight_healthy"].samples[0].value == 1
    assert metrics["overnight_memory_bytes"].samples[0].value > 20e6
    assert {"overnight_runs", "overnight_queue_age_seconds", "overnight_commit_seconds"} <= set(metrics)


def test_another_name_for_this_machine_is_refused(lasting):
    assert lasting.get("/health", {"Host": "evil.example:80"})[0] == 421
    port = lasting.about["url"].rpartition(":")[2]
    assert lasting.get("/health", {"Host": f"localhost:{port}"})[0] == 200


def test_it_answers_on_this_machine_alone(lasting):
    assert lasting.about["url"].startswith("http://127.0.0.1:")


def test_a_run_by_hand_is_done_by_the_daemon_and_counts(lasting):
    lasting.ok("tasks", "run", "counting", "--wait")
    state = lasting.state / "data" / "tasks" / "orchestrator_state.json"
    wait_for(lambda: json.loads(state.read_text())["metrics"].get("videos_produced_today") == 2)
    found = json.loads(state.read_text())
    assert set(found) == {"timestamp", "uptime_hours", "task_queue", "active_tasks", "metrics"}
    assert found["metrics"]["videos_produced_total"] == 2
    assert "videos_produced_today 2" in lasting.ok("status")


def test_a_damaged_state_file_is_rewritten_from_the_database(lasting):
    state = lasting.state / "data" / "tasks" / "orchestrator_state.json"
    wait_for(state.exists)
    state.write_text("{ not json")
    wait_for(lambda: "{ not" not in state.read_text() and json.loads(state.read_text())["uptime_hours"] > 0)
    state.unlink()
    wait_for(state.exists)


def test_health_is_kept_by_day_and_in_the_database(lasting):
    files = wait_for(lambda: list((lasting.state / "data" / "logs").glob("health_????????.json")))
    found = json.loads(files[0].read_text())
    assert list(found) == [
        "timestamp", "uptime_hours", "task_queue_size", "active_tasks", "completed_tasks", "failed_tasks", "metrics",
    ]  # fmt: skip
    assert found["metrics"]["last_health_check"] == found["timestamp"]
    wait_for(lambda: rows(lasting, "SELECT body FROM vitals"))
    assert json.loads(rows(lasting, "SELECT body FROM vitals")[0][0])["timestamp"]


def test_the_coming_day_is_in_a_file(lasting):
    plan = lasting.state / "data" / "schedules" / "next.json"
    found = json.loads(wait_for(lambda: plan.exists() and plan.read_text()))
    assert [line["task_id"] for line in found["often"]] == ["tick"]


def rows(daemon: Daemon, query: str) -> list[tuple[object, ...]]:
    with sqlite3.connect(f"file:{daemon.state / 'overnight.db'}?mode=ro", uri=True) as connection:
        return connection.execute(query).fetchall()


def test_a_changed_configuration_is_taken_up_and_a_wrong_one_refused(daemon):
    daemon.up()
    daemon.write(TASKS + '[tasks.fresh]\naction = "work:tick"\nevery = "1s"\nexecutor = "thread"\n')
    wait_for(lambda: "task=fresh event=completed" in daemon.log())
    daemon.write(TASKS + '[tasks.fresh]\naction = "work:tick"\ndependencies = ["tick"]\n')
    wait_for(lambda: "event=reload_refused" in daemon.log())
    done = daemon.run("reload")
    assert done.returncode == 2
    assert "tasks.fresh.dependencies: unknown key; did you mean" in done.stderr
    before = daemon.log().count("task=fresh event=completed")
    wait_for(lambda: daemon.log().count("task=fresh event=completed") > before)
    status = daemon.run("status")
    assert (status.returncode, "tasks.fresh.dependencies" in status.stdout) == (0, True)
    daemon.write(TASKS + '[log]\nlevel = "ERROR"\n[engine]\nmax_concurrent = 7\n')
    assert "engine.max_concurrent takes effect with the next" in daemon.ok("reload")
    after = daemon.log()
    wait_for(lambda: daemon.health()["uptime_seconds"] > 0)
    daemon.ok("tasks", "run", "counting", "--wait")
    assert daemon.log() == after, "nothing less than an error is written any more"


def test_changed_code_of_the_module_is_taken_up(daemon):
    daemon.up()
    module = MODULE.replace("return 1", "return 'changed'")
    daemon.write(TASKS, module)
    wait_for(lambda: "event=reloaded" in daemon.log())
    assert "changed" in daemon.ok("tasks", "run", "tick", "--wait")
    daemon.write(TASKS, "def tick(:\n")
    wait_for(lambda: "event=reload_refused" in daemon.log())
    daemon.write(TASKS, module)
    wait_for(lambda: daemon.log().count("event=reloaded") >= 2)


def test_down_lets_runs_end_and_force_puts_them_back(daemon):
    daemon.up()
    daemon.ok("tasks", "run", "slow")
    wait_for(lambda: daemon.health()["queue"]["active"])
    assert "down: process" in daemon.ok("down", "--force")
    assert rows(daemon, "SELECT state FROM runs WHERE task_id = 'slow'") == [("PENDING",)]
    assert not (daemon.state / "daemon.json").exists()
    assert daemon.run("down").stdout == "not up: nothing to stop\n"
    done = daemon.run("status")
    assert (done.returncode, done.stdout.split()[0]) == (1, "down")


def test_a_killed_daemon_is_noticed_and_the_next_one_takes_over(daemon):
    daemon.up()
    daemon.ok("tasks", "run", "slow")
    wait_for(lambda: daemon.health()["queue"]["active"])
    pid = daemon.about["pid"]
    daemon.kill()
    wait_for(lambda: not alive(pid))
    assert daemon.run("status").stdout.startswith("down")
    assert "nothing to stop" in daemon.ok("down")
    daemon.up()
    wait_for(lambda: daemon.health()["queue"]["active"])
    assert daemon.about["pid"] != pid
    assert rows(daemon, "SELECT losses FROM runs WHERE task_id = 'slow'") == [(1,)]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_stopped_daemon_that_does_not_listen_is_killed_by_force(daemon):
    daemon.up()
    os.kill(daemon.about["pid"], signal.SIGSTOP)
    done = daemon.run("status")
    assert (done.returncode, "does not answer" in done.stdout) == (1, True)
    assert "was killed" in daemon.ok("down", "--force")


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ('[tasks.a]\naction = "work:tick"\nafter = ["nothing"]\n', "there is no task 'nothing'"),
        ('[tasks.a]\naction = "work:tick"\nafter=["b"]\n[tasks.b]\naction="work:tick"\nafter=["a"]\n', "a -> b -> a"),
        ('[tasks.a]\naction = "work:tick"\nschedule = "0 0 * * * *"\n', "overnight.toml: tasks.a.schedule: '0 0 *"),
        ('[tasks.a]\naction = "work:tick"\nschedule = "0 0 31 2 *"\n', "never fires, there is no day 31 in month 2"),
        ('[tasks.a]\naction = "work:tick"\nschedule = "0 0 * * *"\ntimezone = "Europe/Berlm"\n', "Europe/Berlin"),
        ('[tasks.a]\naction = "work:tick"\ntimeout_s = 0\n', "timeout_s"),
        ("[tasks.a]\naction = []\n", "action"),
        ("[tasks.a]\nevery = '1s'\n", "action"),
        ('[tasks.a]\naction = "campaign:x"\n', "there is no campaign 'x'"),
        ('[tasks.a]\naction = "nightly"\n', "has no agents"),
        ('[tasks.a]\naction = "act"\nagent_name = "nobody"\n', "not an agent"),
        ('[tasks.a]\naction = "work:tick"\noverlap = "sometimes"\n', "overlap"),
        ('[tasks.a]\naction = "work:tick"\nrate_limit = "often"\n', "is not a rate"),
        ('timezone = "Middle/Earth"\n', "'Middle/Earth' is not a time zone"),
        ('[notify.stats]\nschedule = "0 9 * * 1"\n', "notify.urls is empty"),
        ('[notify]\nurls = ["nonsense"]\n', "none that Apprise knows"),
        (
            '[notify]\nurls = ["json://${NO_SUCH_VARIABLE}"]\n',
            "notify.urls: address 1: the environment has no variable 'NO_SUCH_VARIABLE'",
        ),
    ],
)
def test_what_is_wrong_with_the_configuration_keeps_it_from_coming_up_and_is_one_line(daemon, capsys, toml, says):
    daemon.write(toml)
    # In this process: what `up` starts in the background says the same (see the next test).
    assert main(["--project", str(daemon.folder), "up", "--foreground"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.err.startswith("overnight: ")
    assert not (daemon.state / "daemon.json").exists()
    sys.modules.pop("work", None)


def test_what_keeps_a_daemon_from_coming_up_is_said_by_up(daemon):
    daemon.write('[tasks.a]\naction = "work:tick"\nafter = ["nothing"]\n')
    done = daemon.run("up")
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no task 'nothing'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_two_tasks_of_one_id_are_refused(daemon):
    daemon.write(TASKS + '[tasks.tick]\naction = "work:tick"\n')
    done = daemon.run("up")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_a_port_that_is_taken_is_named(daemon):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        text = (daemon.folder / "overnight.toml").read_text().replace("port = 0", f"port = {port}")
        (daemon.folder / "overnight.toml").write_text(text)
        done = daemon.run("up")
    assert done.returncode == 2
    assert f"127.0.0.1:{port} cannot be used" in done.stderr
    assert not (daemon.state / "daemon.json").exists()


def test_another_worker_on_the_project_is_named(daemon):
    from overnight.app.project import Project

    with Project.open(daemon.folder) as project, project.running():
        done = daemon.run("up")
    assert done.returncode == 2
    assert f"process {os.getpid()}" in done.stderr


def test_a_wrong_level_is_refused(daemon):
    done = daemon.run("up", "--log-level", "loud")
    assert (done.returncode, "DEBUG, INFO, WARNING, ERROR" in done.stderr) == (2, True)


def test_follow_prints_what_comes(lasting):

    command = [
        sys.executable,
        "-m",
        "overnight",
        "--project",
        str(lasting.folder),
        "logs",
        "-f",
        "--task",
        "tick",
        "-n",
        "0",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as following:
        try:
            assert following.stdout is not None
            assert "task=tick" in following.stdout.readline()
        finally:
            following.send_signal(signal.SIGINT)
            assert following.wait(10) == 130
