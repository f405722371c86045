"""The command line does what it says, ends with the right exit code, and answers mistakes in one line."""

import ctypes
import errno
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from overnight.app import examples
from overnight.app.project import Project
from overnight.app.schema import HEAD
from overnight.base.errors import UserMistake
from overnight.cli import app as cli
from overnight.cli import init
from overnight.engine.model import State

TOML = """
[tasks.hello]
action = ["echo", '{"greeted": "world"}']

[tasks.later]
action = ["true"]
after = ["hello"]

[tasks.fails]
action = ["sh", "-c", "echo about to fail; exit 3"]
max_retries = 0

[tasks.sleeper]
action = ["sleep", "60"]
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str | None
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project of commands, which is the current folder; what it imports is forgotten afterwards."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "overnight.toml").write_text(TOML)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    known = set(sys.modules)
    yield folder
    for name in set(sys.modules) - known:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(folder)):
            del sys.modules[name]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def call(*arguments: str) -> Said:
        capfd.readouterr()
        code = cli.main(arguments)
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture
def child() -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start the real command line in processes of their own; what is left at the end of a test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str, **options) -> subprocess.Popen[str]:
        pipe = subprocess.PIPE
        pipes = {"stdin": subprocess.DEVNULL, "stdout": pipe, "stderr": pipe, "text": True, **options}
        started.append(subprocess.Popen([sys.executable, "-m", "overnight", *arguments], **pipes))
        return started[-1]

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.wait(timeout=60)
        for stream in (process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def ended(process: subprocess.Popen[str]) -> Said:
    out, err = process.communicate(timeout=60)
    return Said(process.returncode, out, err)


def wait_until(true: Callable[[], object]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.02)


def state_of(folder: Path, run_id: int) -> str | None:
    """Read the state without opening the project, which would take part in it."""
    file = folder / ".overnight" / "overnight.db"
    if not file.exists():
        return None
    with closing(sqlite3.connect(file, timeout=10)) as connection:
        try:
            row = connection.execute("SELECT state FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        except sqlite3.OperationalError:
            return None
    return None if row is None else str(row[0])


def one_line(text: str) -> bool:
    return text.startswith("overnight: ") and text.count("\n") == 1 and "Traceback" not in text


# -- a newcomer


def test_a_newcomer_gets_from_nothing_to_a_result(tmp_path, child):
    assert ended(child("init", "mine", cwd=tmp_path)).code == 0
    ran = ended(child("tasks", "run", "hello", "--arg", "name=Ada", "--arg", "times=2", cwd=tmp_path / "mine"))
    assert (ran.code, ran.out.splitlines()[1]) == (0, '  {"greeted":"Ada","times":2}')
    logs = ended(child("--project", "mine", "runs", "logs", "1", cwd=tmp_path))
    assert logs.out == "1: hello, Ada!\n2: hello, Ada!\n"


def test_a_new_project_names_its_files_and_what_to_do_next(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    said = run("init", "mine")
    assert "mine is a project now: overnight.toml, tasks.py" in said.out
    assert "overnight tasks run hello" in said.out


def test_an_example_is_copied_without_what_its_tests_left_behind(tmp_path, monkeypatch, run):
    source = tmp_path / "examples" / "films"
    (source / "__pycache__").mkdir(parents=True)
    (source / ".overnight").mkdir()
    (source / "overnight.toml").write_text("# Films, rated.\n")
    (source / "agents.py").write_text("")
    (source / "__pycache__" / "agents.pyc").write_text("")
    monkeypatch.setattr(examples, "_FOLDER", tmp_path / "examples")
    assert run("init", "--example", "films", str(tmp_path / "a" / "mine")).code == 0
    assert sorted(path.name for path in (tmp_path / "a" / "mine").rglob("*")) == ["agents.py", "overnight.toml"]
    assert "Films, rated." in run("init", "--list").out
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["mine"]


def test_what_to_do_next_with_an_example_fits_it(tmp_path, run):
    said = {name: run("init", "--example", name, str(tmp_path / name)).out for name in ("channel", "music_video")}
    assert "overnight train" not in said["channel"] and "overnight train" in said["music_video"]
    assert all("README.md says what to try first" in text for text in said.values())


def test_many_files_of_a_new_project_are_counted_so_that_what_to_do_next_is_seen(tmp_path, run):
    lines = run("init", "--example", "channel", str(tmp_path / "mine")).out.splitlines()
    assert re.search(r": overnight\.toml, README\.md, \d+ more, \d+ in knowledge/, \d+ in uploads/$", lines[0])
    assert lines[-1].endswith("README.md says what to try first") and len(lines) <= 4


@pytest.mark.parametrize(
    ("files", "shown"),
    [
        ([f"{name}.py" for name in "abcdefghij"], "a.py, b.py, c.py, d.py, e.py, f.py, g.py, h.py, i.py, j.py"),
        (["a.py", *(f"texts/{name}.md" for name in "abcdefghij")], "a.py, 10 in texts/"),
        ([*(f"{name}.py" for name in "abcdefghij"), "overnight.toml"], "overnight.toml, 10 more"),
    ],
)
def test_few_files_are_named_and_many_counted(files, shown):
    assert init._listed(files) == shown


def test_every_example_is_listed_with_what_it_shows(run):
    shown = run("init", "--list").out
    assert {"minimal", "music_video"} <= {line.split()[0] for line in shown.splitlines()[1:] if line[0] != " "}


@pytest.mark.parametrize(
    ("there", "arguments", "said"),
    [
        ("mine/notes.txt", ["mine"], "mine is not empty"),
        ("mine/overnight.toml", ["mine"], "mine is a project already"),
        ("mine", ["mine"], "mine is a file"),
        ("mine", ["mine/deep/below"], ": mine is a file"),
        ("other", ["mine", "--example", "musik_video"], "did you mean music_video?"),
        ("other", [], "DIR is missing"),
    ],
)
def test_what_cannot_become_a_project_is_refused_in_one_line(tmp_path, monkeypatch, run, there, arguments, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / there).parent.mkdir(exist_ok=True)
    (tmp_path / there).write_text("")
    before = sorted(tmp_path.rglob("*"))
    found = run("init", *arguments)
    assert found.code == 2
    assert one_line(found.err)
    assert said in found.err
    assert sorted(tmp_path.rglob("*")) == before


def test_an_empty_folder_becomes_a_project(tmp_path, run):
    (tmp_path / "mine").mkdir()
    assert run("init", str(tmp_path / "mine")).code == 0
    assert (tmp_path / "mine" / "tasks.py").is_file()


@pytest.mark.parametrize("name", [".", "../mine"])
def test_the_folder_that_a_shell_stands_in_becomes_a_project_in_place(tmp_path, child, name):
    (tmp_path / "mine").mkdir()
    before = (tmp_path / "mine").stat().st_ino
    shell = f"{sys.executable} -m overnight init {name} && {sys.executable} -m overnight config check"
    found = subprocess.run(shell, shell=True, cwd=tmp_path / "mine", capture_output=True, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")
    assert "ok: " in found.stdout
    assert (tmp_path / "mine").stat().st_ino == before


def test_what_cannot_be_moved_into_an_empty_folder_leaves_it_empty(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    replace = Path.replace

    def full(path, target):
        if path.name == "overnight.toml" and Path(target).parent == tmp_path / "mine":
            raise OSError(errno.ENOSPC, "No space left on device")
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserMistake, match="mine cannot be made a project: No space"):
        examples.new_project(tmp_path / "mine")
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_working_directory_that_is_gone_is_one_line(tmp_path, monkeypatch, run):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    for arguments in (["status"], ["tasks", "list"], ["init", "."]):
        found = run(*arguments)
        assert (found.code, one_line(found.err)) == (2, True)
        assert "was removed or replaced: `cd` to one that is there" in found.err


# -- running tasks


def test_a_task_is_worked_on_here_where_nobody_else_does(project, run):
    said = run("tasks", "run", "hello")
    assert said.code == 0
    assert "run 1 of hello COMPLETED" in said.out
    assert '"greeted"' in said.out


def test_a_failed_run_ends_with_1_and_says_where_to_look(project, run):
    said = run("tasks", "run", "fails")
    assert said.code == 1
    assert "run 1 of fails FAILED" in said.out
    assert "overnight runs logs 1" in said.out
    assert run("runs", "logs", "1").out == "about to fail\n"


def test_json_is_all_that_stands_on_stdout(project, run):
    said = run("tasks", "run", "hello", "--json").json
    assert (said["state"], said["result"], said["usage"]["gpu_s"]) == ("COMPLETED", {"greeted": "world"}, None)
    assert [entry["event"] for entry in said["history"]] == ["started", "completed"]


def test_dependants_follow_only_on_request(project, run):
    assert run("tasks", "run", "hello").code == 0
    assert len(run("runs", "list", "--json").json) == 1
    said = run("tasks", "run", "hello", "--with-dependants", "--json").json
    assert [(other["task_id"], other["state"]) for other in said["dependants"]] == [("later", "COMPLETED")]


def test_arguments_are_json_or_else_text(project, run):
    with Project.open(project).running():
        said = run("tasks", "run", "hello", "--json", "--arg", "n=3", "--arg", "who=Ada", "--arg", 'x={"y": [1]}').json
    assert said["args"] == {"n": 3, "who": "Ada", "x": {"y": [1]}}


def test_beside_a_worker_a_run_is_queued_or_waited_for(project, run):
    with Project.open(project) as other, other.running():
        queued = run("tasks", "run", "hello")
        waited = run("tasks", "run", "hello", "--wait")
    assert (queued.code, waited.code) == (0, 0)
    assert "in the queue of the process" in queued.out
    assert "run 2 of hello COMPLETED" in waited.out


def test_a_second_worker_is_told_who_the_first_is(project, run):
    with Project.open(project) as other, other.running():
        said = run("run")
    assert said.code == 2
    assert one_line(said.err)
    assert f"process {os.getpid()}" in said.err


def test_the_worker_tells_each_event_and_stops_when_idle(project, run):
    with Project.open(project) as other:
        other.submit("hello", with_dependants=True)
    said = run("run", "--until-idle")
    assert said.code == 0
    told = [line.split(maxsplit=1)[1] for line in said.out.splitlines()[1:-1]]
    assert told == [
        "run 1  hello  started",
        "run 1  hello  completed",
        "run 2  later  submitted",
        "run 2  later  started",
        "run 2  later  completed",
    ]


def test_ctrl_c_puts_the_run_back_and_says_how_to_go_on(project, child):
    process = child("tasks", "run", "sleeper", cwd=project)
    wait_until(lambda: state_of(project, 1) == "IN_PROGRESS")
    process.send_signal(signal.SIGINT)
    said = ended(process)
    assert said.code == 130
    assert "run 1 of sleeper is in the queue again: `overnight run` goes on" in said.err
    assert state_of(project, 1) == "PENDING"


def test_a_killed_worker_is_replaced_by_who_waits(project, child):
    worker = child("run", cwd=project)
    assert worker.stdout is not None
    worker.stdout.readline()
    waiting = child("tasks", "run", "sleeper", "--wait", cwd=project)
    wait_until(lambda: state_of(project, 1) == "IN_PROGRESS")
    worker.send_signal(signal.SIGKILL)
    ended(worker)
    assert waiting.stderr is not None
    lines = iter(waiting.stderr.readline, "")
    assert any("is gone; going on here" in line for line in lines)
    waiting.send_signal(signal.SIGINT)
    assert ended(waiting).code == 130


# -- looking at runs


def test_a_run_is_shown_with_its_story_and_what_was_not_measured(project, run):
    run("tasks", "run", "fails")
    said = run("runs", "show", "1").out
    assert said.startswith("run 1 of fails: FAILED\n")
    assert "gpu not measured" in said
    assert re.search(r"\d\d:\d\d:\d\d\.\d{3}  a worker took it", said)


def test_times_are_those_of_the_project(project, run):
    (project / "overnight.toml").write_text(TOML + '[project]\ntimezone = "Asia/Kathmandu"\n')
    run("tasks", "run", "hello")
    created = run("runs", "show", "1", "--json").json["created"]
    hour, minute = int(created[11:13]), int(created[14:16])
    later = (hour * 60 + minute + 345) % 1440
    assert f"{later // 60:02d}:{later % 60:02d}:" in run("runs", "list").out
    assert "+0545" in run("runs", "show", "1").out


def test_runs_are_found_by_state_and_task(project, run):
    for name in ("hello", "fails", "hello"):
        run("tasks", "run", name)
    assert [item["run_id"] for item in run("runs", "list", "--state", "completed", "--json").json] == [3, 1]
    assert [item["run_id"] for item in run("runs", "list", "--task", "fails", "--json").json] == [2]
    assert [item["run_id"] for item in run("runs", "list", "--limit", "1", "--json").json] == [3]


def test_without_a_terminal_lists_have_no_colours_and_80_columns(project, run):
    run("tasks", "run", "fails")
    said = run("runs", "list").out
    assert "\x1b" not in said
    assert max(map(len, said.splitlines())) <= 80


def test_on_a_terminal_there_is_colour(project, child):
    master, slave = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    process = child("tasks", "run", "hello", cwd=project, stdout=slave, stderr=slave, env=env)
    os.close(slave)
    shown = b""
    try:
        while chunk := os.read(master, 4096):
            shown += chunk
    except OSError:
        pass
    os.close(master)
    assert process.wait(timeout=60) == 0
    assert b"\x1b[32mrun 1 of hello COMPLETED" in shown


def test_what_a_run_printed_cannot_steer_the_terminal(project, run):
    (project / "overnight.toml").write_text('[tasks."a"]\naction = ["printf", "{\\"x\\": \\"\\\\\\\\u001b[2J\\"}"]\n')
    said = run("tasks", "run", "a")
    assert said.code == 0, said
    assert "\x1b" not in said.out + run("runs", "show", "1").out


def test_a_log_is_followed_until_its_run_ends(project, run, child):
    talks = "echo one; while [ ! -e go ]; do sleep 0.02; done; echo two"
    action = json.dumps(["sh", "-c", talks])
    (project / "overnight.toml").write_text(f"[engine]\ngrace_s = 5\n[tasks.talks]\naction = {action}\n")
    with Project.open(project) as other, other.running():
        run_id = other.submit("talks")
        follower = child("runs", "logs", str(run_id), "-f", cwd=project)
        assert follower.stdout is not None
        assert follower.stdout.readline() == "one\n"
        (project / "go").touch()
        assert ended(follower) == Said(0, "two\n", "")


def test_a_log_that_was_put_aside_is_printed_too(project, run):
    run("tasks", "run", "hello")
    log = project / ".overnight" / "logs" / "runs" / "1.log"
    log.with_name("1.log.1").write_text("earlier\n")
    assert run("runs", "logs", "1").out == 'earlier\n{"greeted": "world"}\n'


def test_a_run_without_output_says_so_and_prints_nothing(project, run):
    run("tasks", "run", "later")
    said = run("runs", "logs", "1")
    assert (said.code, said.out, said.err) == (0, "", "run 1 has printed nothing\n")


def test_a_queued_run_is_cancelled_at_once(project, run):
    with Project.open(project) as other:
        other.submit("hello")
    assert run("runs", "cancel", "1").out == "run 1 of hello is CANCELLED\n"
    assert run("runs", "cancel", "1").code == 2


def test_a_run_is_cancelled_also_where_after_is_wrong(project, run):
    with Project.open(project) as other:
        other.submit("hello")
    (project / "overnight.toml").write_text(TOML.replace('after = ["hello"]', 'after = ["helo"]'))
    assert run("tasks", "list").code == 2
    assert run("runs", "cancel", "1").out == "run 1 of hello is CANCELLED\n"


def test_limits_are_told_in_good_english(project, run):
    (project / "overnight.toml").write_text(
        "".join(f'[tasks.t{tries}]\naction = ["true"]\nmax_retries = {tries}\n' for tries in range(3))
    )
    shown = [line.rpartition(", ")[2] for line in run("tasks", "list").out.splitlines()[1:]]
    assert shown == ["no retries", "1 retry", "2 retries"]


def test_the_only_task_is_named_once(project, run):
    (project / "overnight.toml").write_text('[tasks.hello]\naction = ["true"]\n')
    assert run("tasks", "run", "helo").err == "overnight: there is no task 'helo'; did you mean hello?\n"
    assert run("tasks", "run", "xyz").err == "overnight: there is no task 'xyz'; known are hello\n"


def test_a_flow_asks_is_answered_and_forked(project, run):
    (project / "overnight.toml").write_text('[project]\nmodule = "cli_flow_tasks"\n')
    (project / "cli_flow_tasks.py").write_text(
        "from overnight import Task\n"
        "def plan(flow):\n"
        "    first = flow.step('first', lambda: 1)\n"
        "    return [first, flow.ask('go', 'Shall we?', ['yes', 'no'])]\n"
        "def configure(project):\n"
        "    project.add_task(Task(task_id='plan', action=plan))\n"
    )
    with Project.open(project) as other, other.running():
        other.submit("plan")
        wait_until(other.questions)
    [question] = run("questions", "list", "--json").json
    assert (question["prompt"], question["choices"], question["run_id"]) == ("Shall we?", ["yes", "no"], 1)
    assert "Shall we?" in run("questions", "list").out
    assert "not one of the choices (yes, no)" in run("answer", "1", "maybe").err
    assert run("answer", "1", "yes").code == 0
    assert run("run", "--until-idle").code == 0
    shown = run("runs", "show", "1", "--json").json
    assert shown["result"] == [1, "yes"]
    assert [(step["kind"], step["name"]) for step in shown["steps"]] == [("step", "first"), ("ask", "go")]
    assert "step first" in run("runs", "show", "1").out
    assert run("runs", "fork", "1", "--step", "1").code == 0
    with Project.open(project) as other:
        assert other.get(2).forked_from == 1


# -- mistakes


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["tasks", "run", "helo"], 2, "there is no task 'helo'; did you mean hello?"),
        (["tasks", "run", "hello", "--args", "{bad"], 2, "--args: '{bad' is not JSON"),
        (["tasks", "run", "hello", "--args", "[1]"], 2, "is not a JSON object"),
        (["tasks", "run", "hello", "--arg", "x"], 2, "'x' is not KEY=VALUE"),
        (["tasks", "run", "hello", "--arg", "x=1", "--arg", "x=2"], 2, "'x' is given twice"),
        (["tasks", "run", "hello", "--arg", "x=1", "--args", "{}"], 2, "not both"),
        (["tasks", "run"], 2, "Missing argument 'NAME'"),
        (["runs", "show", "99"], 2, "there is no run 99"),
        (["runs", "show", "abc"], 2, "'abc' is not a number"),
        (["runs", "show", "99999999999999999999"], 2, "is not a number"),
        (["runs", "logs", "99"], 2, "there is no run 99"),
        (["runs", "fork", "99"], 2, "there is no run 99"),
        (["runs", "list", "--state", "done"], 2, "'done' is not a state"),
        (["runs", "list", "--limit", "0"], 2, "--limit"),
        (["runs", "lst"], 2, "Did you mean 'list'?"),
        (["answer", "7", "yes"], 2, "there is no question 7"),
        (["--project", "nowhere", "runs", "list"], 2, "there is no overnight.toml in nowhere"),
        (["restore", "nothing.zip"], 2, "there is no file nothing.zip"),
        (["backup", "b.zip"], 2, "there is no database yet"),
        (["frobnicate"], 2, "No such command 'frobnicate'"),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(project, run, arguments, code, said):
    found = run(*arguments)
    assert found.code == code
    assert found.out == ""
    assert one_line(found.err)
    assert said in found.err
    if (project / ".overnight" / "overnight.db").exists():
        assert run("runs", "list", "--json").json == []


def test_without_a_project_the_line_says_how_to_make_one(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    said = run("runs", "list")
    assert said.code == 2
    assert "`overnight init DIR` makes a project" in said.err
    assert list(tmp_path.iterdir()) == []


def test_the_project_is_found_from_below_and_named_anywhere(project, monkeypatch, run):
    below = project / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert run("runs", "list").code == 0
    monkeypatch.chdir("/")
    for arguments in (["--project", str(project), "runs", "list"], ["runs", "list", f"--project={project}"]):
        assert run(*arguments).code == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("import nonsense_module\n", "line 1: ModuleNotFoundError"),
        ("def configure(project:\n", "line 1: SyntaxError"),
        ("def configure(project):\n    1 / 0\n", "line 2: ZeroDivisionError"),
        ("import sys\nsys.exit(3)\n", "line 2: SystemExit"),
        ("x = 1\n", "has no function configure(project)"),
    ],
)
def test_an_error_in_the_projects_own_module_names_its_line(project, run, source, said):
    (project / "overnight.toml").write_text('[project]\nmodule = "cli_broken_tasks"\n')
    (project / "cli_broken_tasks.py").write_text(source)
    found = run("config", "check")
    assert found.code == 2
    assert one_line(found.err)
    assert said in found.err


def test_a_newer_database_is_refused_and_left_alone(project, run):
    run("runs", "list")
    file = project / ".overnight" / "overnight.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    content = file.read_bytes()
    for arguments in (["runs", "list"], ["tasks", "run", "hello"], ["db", "upgrade"]):
        said = run(*arguments)
        assert said.code == 1
        assert one_line(said.err)
        assert "9999" in said.err
    assert file.read_bytes() == content
    checked = run("db", "check")
    assert checked.code == 1
    assert "a newer Overnight wrote it" in checked.out


def test_runs_of_a_task_that_nobody_knows_are_refused_with_those_that_there_are(project, run):
    said = run("runs", "list", "--task", "helo")
    assert (said.code, said.out, one_line(said.err)) == (2, "", True)
    assert "there is no task 'helo'; did you mean hello? (fails, hello, later, sleeper)" in said.err
    assert run("runs", "list", "--task", "helo", "--json").code == 2
    assert run("runs", "list", "--task", "hello").out == "no runs\n"


def test_runs_of_a_task_that_the_project_no_longer_has_are_listed(project, run):
    assert run("tasks", "run", "hello").code == 0
    (project / "overnight.toml").write_text("")
    assert " hello " in run("runs", "list", "--task", "hello").out
    assert run("runs", "list", "--task", "hello", "--state", "failed").out == "no runs\n"


def without_power_over_files() -> None:
    """Let root obey the permissions of files, as everybody else does."""
    for capability in (1, 2):
        ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)


@pytest.mark.parametrize(
    ("arguments", "unbuffered"),
    [
        (["runs", "list"], False),
        (["runs", "list"], True),
        (["runs", "list", "--json"], False),
        (["runs", "logs", "1"], False),
        (["--version"], True),
    ],
)
def test_a_full_standard_output_is_one_line(project, run, child, arguments, unbuffered):
    assert run("tasks", "run", "fails").code == 1
    env = {**buffered(), "PYTHONUNBUFFERED": "1"} if unbuffered else buffered()
    with Path("/dev/full").open("w") as full:
        said = ended(child(*arguments, cwd=project, stdout=full, env=env))
    assert said.code == 1
    assert said.err == "overnight: standard output cannot be written: No space left on device\n"


def test_a_run_whose_report_cannot_be_printed_has_ended_all_the_same(project, run, child):
    with Path("/dev/full").open("w") as full:
        said = ended(child("tasks", "run", "hello", cwd=project, stdout=full))
    assert said.code == 1
    assert said.err.splitlines()[-1] == "overnight: standard output cannot be written: No space left on device"
    assert run("runs", "show", "1", "--json").json["state"] == "COMPLETED"


def test_a_read_only_folder_is_one_line(project, run, child):
    project.chmod(0o555)
    try:
        said = ended(child("runs", "list", cwd=project, preexec_fn=without_power_over_files))
    finally:
        project.chmod(0o755)
    assert said.code == 1
    assert one_line(said.err)
    assert "Permission denied" in said.err


@pytest.mark.parametrize(
    "arguments", [("status",), ("runs", "list"), ("config", "check"), ("tasks", "run", "hello")], ids=" ".join
)
def test_a_read_only_state_folder_is_one_line_that_names_the_file(project, run, child, arguments):
    assert run("runs", "list").code == 0
    state = project / ".overnight"
    state.chmod(0o555)
    try:
        said = ended(child(*arguments, cwd=project, preexec_fn=without_power_over_files))
    finally:
        state.chmod(0o755)
    assert (said.code, one_line(said.err)) == (1, True)
    assert f"{state / 'overnight.db'}: " in said.err
    assert "is the folder read-only? `overnight doctor` looks" in said.err


@pytest.mark.parametrize("name", ["/proc/foo", "/proc/foo/bar"])
def test_where_no_project_can_be_made_the_folder_is_named_as_it_was_typed(run, name):
    said = run("init", name)
    assert (said.code, one_line(said.err)) == (2, True)
    assert said.err.startswith(f"overnight: {name} cannot be made a project: ")
    assert "/proc/." not in said.err


def test_a_damaged_database_is_one_line(project, run):
    (project / ".overnight").mkdir()
    (project / ".overnight" / "overnight.db").write_bytes(os.urandom(5000))
    said = run("runs", "list")
    assert said.code == 1
    assert one_line(said.err)
    assert run("doctor").code == 1


def test_a_traceback_is_shown_on_request_only(project, run):
    assert "Traceback" not in run("runs", "show", "9").err
    assert "Traceback" in run("--debug", "runs", "show", "9").err
    assert "Traceback" in run("runs", "show", "9", "--debug").err


def test_a_defect_shows_its_traceback_and_asks_for_a_report(project, run, monkeypatch):
    monkeypatch.setattr(Project, "runs", lambda self, **options: 1 / 0)
    said = run("runs", "list")
    assert said.code == 1
    assert "ZeroDivisionError" in said.err
    assert "this is a defect of Overnight" in said.err.splitlines()[-1]


def buffered() -> dict[str, str]:
    """The environment with a buffered stdout: unbuffered, Python itself takes a short write for a whole one."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_a_reader_that_was_never_there_is_noticed_at_the_end(tmp_path, child):
    reader, writer = os.pipe()
    os.close(reader)
    process = child("--version", cwd=tmp_path, stdout=writer, env=buffered())
    os.close(writer)
    assert ended(process) == Said(1, None, "")


def test_a_reader_that_goes_away_ends_it_quietly(project, child):
    with Project.open(project) as other:
        for _ in range(500):
            other.submit("hello")
    process = child("runs", "list", "--limit", "500", "--json", cwd=project, env=buffered())
    assert process.stdout is not None
    process.stdout.read(1)
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 1
    process.stderr.close()


# -- the project's health


def test_settings_are_shown_with_their_origin_and_without_secrets(project, run, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_ENGINE__MAX_CONCURRENT", "7")
    (project / "overnight.toml").write_text(TOML + '[engine]\ndatabase = "postgresql://joe:s3cret@h/d"\n')
    found = {item["key"]: item for item in run("config", "show", "--json").json}
    assert found["engine.max_concurrent"] == {
        "key": "engine.max_concurrent",
        "value": 7,
        "origin": "OVERNIGHT_ENGINE__MAX_CONCURRENT",
    }
    assert found["gate.alpha"]["origin"] == "default"
    assert "s3cret" not in run("config", "show").out + json.dumps(list(found.values()))


def test_a_configuration_that_fits_is_ok(project, run):
    said = run("config", "check")
    assert (said.code, said.out) == (0, f"ok: {project} (tasks 4, agents 0, module none)\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[engine]\nmax_concurent = 2\n", "did you mean max_concurrent?"),
        ('[tasks.a]\naction = ["true"]\nafter = ["b"]\n', "there is no task 'b'"),
        ('[project]\ntimezone = "Middle/Earth"\n', "'Middle/Earth' is not a time zone"),
        ("[engine\n", "not TOML"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(project, run, text, said):
    (project / "overnight.toml").write_text(text)
    found = run("config", "check")
    assert found.code == 2
    assert one_line(found.err)
    assert said in found.err


def test_the_doctor_tries_everything_and_names_what_it_found(project, run, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda number: time.sleep(0.002))  # in memory it would take no time
    said = run("doctor", "--json").json
    found = {check["name"]: check for check in said["checks"]}
    assert said["healthy"] is True
    assert {"python", "sqlite", "project", "database", "disk", "fsync", "pidfd", "sandbox"} <= set(found)
    assert found["sqlite"]["found"] == sqlite3.sqlite_version
    assert "none yet" in found["database"]["found"]
    assert float(found["fsync"]["found"].split()[0]) >= 2
    assert "no task" in found["sandbox"]["found"]
    assert all(check["advice"] for check in said["checks"] if check["verdict"] != "ok")
    assert not (project / ".overnight").exists()


def test_the_doctor_works_without_a_project(tmp_path, monkeypatch, run):
    monkeypatch.chdir(tmp_path)
    said = run("doctor")
    assert said.code == 0
    assert re.search(r"^warn project +none here$", said.out, re.M)


def test_the_database_is_checked_and_brought_up_to_date(project, run):
    assert f"at version {HEAD} now (it was empty)" in run("db", "upgrade").out
    assert "already" in run("db", "upgrade").out
    said = run("db", "check", "--json").json
    assert (said["version"], said["problems"]) == (said["newest"], [])


def test_a_backup_is_made_beside_a_worker_and_restored_without_one(project, run, tmp_path):
    target = str(tmp_path / "b.zip")
    with Project.open(project) as other, other.running():
        other.result(other.submit("hello"), timeout_s=60)
        assert run("backup", target).code == 0
        refused = run("restore", target, "--force")
        assert refused.code == 2
        assert "a restore needs the project for itself" in refused.err
    run("tasks", "run", "fails")
    assert run("backup", target).code == 2
    assert run("restore", target).code == 2
    assert run("restore", target, "--force").code == 0
    assert [item["task_id"] for item in run("runs", "list", "--json").json] == ["hello"]


@pytest.mark.postgres
def test_on_postgresql_the_same_commands_work_and_backups_are_handed_over(project, run, postgres_database, child):
    (project / "overnight.toml").write_text(TOML + f'[engine]\ndatabase = "{postgres_database}"\n')
    assert ended(child("tasks", "run", "hello", cwd=project)).code == 0
    assert [item["state"] for item in run("runs", "list", "--json").json] == [State.COMPLETED]
    assert "not measured" in run("db", "check").out
    (project / ".overnight" / "blobs").mkdir()
    for command in ("backup", "restore"):
        said = run(command, "f.dump")
        assert said.code == 1
        assert said.out.startswith("pg_")
        assert said.out.count("\n") == 1
        assert "blobs" in said.err
