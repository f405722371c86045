"""A service's file says what it should in the words of its reader, whatever the folder is called."""

import configparser
import os
import plistlib
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from overnight.app.service_files import (
    Service,
    file_name,
    is_of,
    label,
    launchd_agent,
    next_commands,
    systemd_unit,
    unit_name,
    windows_task,
)
from overnight.cli import app as cli

ODD = [
    "/srv/films",
    "/srv/my films",
    "/srv/100%c of $HOME",
    '/srv/a "quoted" b',
    "/home/jörg/Jörg's Größe",
    r"/srv/back\slash \n",
    "/srv/a & b <c> ]]>",
    "/srv/; rm -rf",
]
TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def service(folder="/srv/films", python="/opt/venv/bin/python", **more) -> Service:
    return Service(project="films", python=python, folder=folder, **more)


def unit(text: str) -> configparser.ConfigParser:
    """The unit; keys keep their case, and "%" stands for itself."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read_string(text)
    return parser


def words(line: str) -> list[str]:
    """What systemd makes of a command line that begins with a colon or holds no "$"."""
    assert line.startswith(":") or "$" not in line
    assert "%" not in line.replace("%%", "")
    return shlex.split(line.removeprefix(":").replace("%%", "%"))


def task(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def value(found: ElementTree.Element, path: str) -> str | None:
    return found.findtext("/".join(TASK + name for name in path.split("/")))


def windows_words(line: str) -> list[str]:
    """What a program finds in its argv: the rules of Microsoft's C runtime, letter by letter."""
    found, word, quoted, place = [], "", False, 0
    while place < len(line):
        slashes = len(line) - place - len(line[place:].lstrip("\\"))
        place += slashes
        if line[place : place + 1] == '"':
            word += "\\" * (slashes // 2) + ('"' if slashes % 2 else "")
            quoted = quoted if slashes % 2 else not quoted
            place += 1
        elif slashes:
            word += "\\" * slashes
        elif line[place] == " " and not quoted:
            found.append(word)
            word, place = "", place + 1
        else:
            word += line[place]
            place += 1
    return [*found, word]


# -- systemd


def test_a_unit_restarts_waits_for_what_is_worked_on_and_gains_no_rights():
    found = unit(systemd_unit(service()))
    assert dict(found["Service"]) == {
        "Type": "exec",
        "WorkingDirectory": "/srv/films",
        "ExecStart": "/opt/venv/bin/python -m overnight --project /srv/films up --foreground",
        "ExecReload": "/bin/kill -HUP $MAINPID",
        "Restart": "always",
        "RestartSec": "10",
        "TimeoutStopSec": "330",
        "KillMode": "mixed",
        "NoNewPrivileges": "yes",
    }
    assert dict(found["Install"]) == {"WantedBy": "default.target"}


def test_a_unit_of_the_machine_has_an_account_and_starts_with_the_machine():
    found = unit(systemd_unit(service(user="overnight")))
    assert (found["Service"]["User"], found["Service"]["Group"]) == ("overnight", "overnight")
    assert found["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize("path", ODD)
def test_systemd_reads_the_folder_and_the_words_as_they_are(path):
    found = unit(systemd_unit(service(folder=path)))["Service"]
    assert words(found["ExecStart"]) == [
        *("/opt/venv/bin/python", "-m", "overnight", "--project", path, "up", "--foreground")
    ]
    assert found["WorkingDirectory"].replace("%%", "%") == path
    assert "%" not in found["WorkingDirectory"].replace("%%", "")


@pytest.mark.parametrize("path", ODD)
def test_a_program_with_a_name_that_systemd_refuses_is_started_by_a_shell(path):
    found = words(unit(systemd_unit(service(python=path)))["Service"]["ExecStart"])
    refused = any(character in path for character in "\"'\\")
    assert found[:4] == (
        ["/bin/sh", "-c", 'exec "$0" "$@"', path] if refused else [path, "-m", "overnight", "--project"]
    )


def test_the_shell_starts_the_program_with_all_its_words(tmp_path):
    python = tmp_path / 'Jörg\'s "own" $HOME' / "python"
    python.parent.mkdir()
    python.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    python.chmod(0o755)
    line = words(unit(systemd_unit(service(python=str(python), folder="/srv/my films")))["Service"]["ExecStart"])
    said = subprocess.run(line, capture_output=True, text=True, check=True, timeout=10).stdout
    assert said.splitlines() == ["-m", "overnight", "--project", "/srv/my films", "up", "--foreground"]


@pytest.mark.parametrize("path", ["/srv/films ", "/srv/films\\"])
def test_the_end_of_a_folder_is_neither_dropped_nor_does_it_join_lines(path):
    assert f"\nWorkingDirectory={path}/\nExecStart=" in systemd_unit(service(folder=path))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
@pytest.mark.parametrize("user", [None, "owl"])
def test_systemd_has_nothing_to_remark_about_a_unit(tmp_path, user):
    folder = tmp_path / "Größe 100%c $HOME"
    folder.mkdir()
    shutil.copy(shutil.which("true") or "", folder / "python")
    fine = service(python=str(folder / "python"), folder=f"{folder}\\", user=user)
    shelled = service(python=f"{folder}/Jörg's", folder='/srv/"a"', user=user)
    lost = service(python=f"{folder}/nothing", user=user)
    assert verified(fine, tmp_path) == verified(shelled, tmp_path) == []
    [said] = verified(lost, tmp_path)
    assert f"{folder}/nothing is not executable" in said, "the path was read as it is"


def verified(wanted: Service, folder: Path) -> list[str]:
    """What systemd says about this unit; others of the machine may have faults of their own."""
    file = folder / file_name("systemd", wanted)
    file.write_text(systemd_unit(wanted))
    manager = "--user" if wanted.user is None else "--system"
    done = subprocess.run(
        ["systemd-analyze", "verify", manager, "--man=no", str(file)],
        env={**os.environ, "XDG_RUNTIME_DIR": str(folder), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return [line for line in (done.stdout + done.stderr).splitlines() if file.name in line]


# -- launchd


@pytest.mark.parametrize("path", ODD)
def test_an_agent_holds_what_launchd_needs(path):
    assert plistlib.loads(launchd_agent(service(folder=path)).encode()) == {
        "Label": "overnight.films",
        "ProgramArguments": [
            *("/opt/venv/bin/python", "-m", "overnight", "--project", path, "up", "--foreground"),
        ],
        "WorkingDirectory": path,
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 10,
        "ExitTimeOut": 330,
    }


# -- Windows


def test_a_task_starts_with_the_machine_and_again_after_a_failure_without_an_end():
    found = task(windows_task(service()))
    assert (found.tag, found.get("version")) == (f"{TASK}Task", "1.2")
    assert value(found, "Triggers/BootTrigger/Enabled") == "true"
    assert value(found, "Settings/RestartOnFailure/Interval") == "PT1M"
    assert value(found, "Settings/RestartOnFailure/Count") == "999"
    assert value(found, "Settings/ExecutionTimeLimit") == "PT0S"
    assert value(found, "Settings/MultipleInstancesPolicy") == "IgnoreNew"
    assert value(found, "Settings/StopIfGoingOnBatteries") == "false"
    assert value(found, "Principals/Principal/RunLevel") == "LeastPrivilege"


@pytest.mark.parametrize("path", [*ODD, "C:\\", r"C:\My Films" + "\\", r"C:\Jörg & Söhne\100%"])
def test_a_task_reads_the_folder_and_the_words_as_they_are(path):
    found = task(windows_task(service(folder=path, python=path)))
    assert value(found, "Actions/Exec/Command") == path
    assert value(found, "Actions/Exec/WorkingDirectory") == path
    line = value(found, "Actions/Exec/Arguments") or ""
    assert windows_words(line) == ["-m", "overnight", "--project", path, "up", "--foreground"]


# -- names and commands


@pytest.mark.parametrize(
    ("project", "name"),
    [
        ("films", "films"),
        ("My films 2", "My-films-2"),
        ("Käse/../x", "Kase-x"),
        ("--a_b--", "a-b"),
        ("日本", "project"),
        ("", "project"),
    ],
)
def test_names_hold_letters_digits_and_dashes(project, name):
    assert (unit_name(project), label(project)) == (f"overnight-{name}", f"overnight.{name}")


def test_the_commands_of_each_kind():
    assert next_commands("systemd", service(), "/x") == (
        "systemctl --user daemon-reload",
        "systemctl --user enable --now overnight-films",
        "loginctl enable-linger $USER",
    )
    assert next_commands("launchd", service(), "/my x") == ("launchctl bootstrap gui/$UID '/my x'",)
    assert next_commands("windows", service(), r"C:\my x")[0] == r'schtasks /Create /TN overnight-films /XML "C:\my x"'
    assert next_commands("systemd", service(folder="/srv/my films", user="owl"), "/srv/my films/x.service") == (
        "sudo useradd --system --home-dir '/srv/my films' --shell /usr/sbin/nologin owl",
        "sudo cp '/srv/my films/x.service' /etc/systemd/system/",
        "sudo chown -R owl: '/srv/my films'",
        "sudo systemctl daemon-reload",
        "sudo systemctl enable --now overnight-films",
    )


@pytest.mark.parametrize("text_of", [systemd_unit, launchd_agent])
@pytest.mark.parametrize("path", [*ODD, "/srv/films\\"])
def test_a_file_is_known_by_its_folder(text_of, path):
    text = text_of(service(folder=path))
    assert is_of(service(folder=path, python="/usr/bin/python3"), text)
    assert not is_of(service(folder=f"{path}2"), text)


# -- the command


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    return tmp_path / "home"


@pytest.fixture
def project(tmp_path, home):
    return made(tmp_path / "Jörg's 100% films")


def made(folder: Path, name: str | None = None) -> Path:
    folder.mkdir(parents=True)
    (folder / "overnight.toml").write_text("" if name is None else f'[project]\nname = "{name}"\n')
    return folder


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def run(folder: Path, *arguments: str) -> int:
    return cli.main(["--project", str(folder), "install-service", *arguments])


def test_a_unit_goes_to_the_persons_own_and_the_next_commands_are_printed(project, home, capsys):
    assert run(project) == 0
    assert files(home) == [".config/systemd/user/overnight-Jorg-s-100-films.service"]
    found = unit((home / files(home)[0]).read_text())["Service"]
    assert words(found["ExecStart"])[-7:] == [
        *(sys.executable, "-m", "overnight", "--project", str(project), "up", "--foreground")
    ]
    said = capsys.readouterr().out
    assert "  systemctl --user enable --now overnight-Jorg-s-100-films\n  loginctl enable-linger $USER\n" in said
    assert files(project) == ["overnight.toml"]


def test_the_configured_name_and_folder_of_settings_are_used(tmp_path, home, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    folder = made(tmp_path / "x", "Big Owl")
    assert [run(folder), run(folder)] == [0, 0], "its own file is replaced"
    assert files(tmp_path / "settings") == ["systemd/user/overnight-Big-Owl.service"]
    monkeypatch.setenv("XDG_CONFIG_HOME", "not/absolute")
    assert run(folder) == 0
    assert files(home) == [".config/systemd/user/overnight-Big-Owl.service"]


def test_a_mac_gets_an_agent_and_windows_a_task_in_utf_16(project, home, monkeypatch, capsys):
    monkeypatch.setattr(sys, "platform", "darwin")
    assert [run(project), run(project)] == [0, 0]
    [name] = files(home)
    assert name == "Library/LaunchAgents/overnight.Jorg-s-100-films.plist"
    assert plistlib.loads((home / name).read_bytes())["WorkingDirectory"] == str(project)
    assert "launchctl bootstrap gui/$UID " in capsys.readouterr().out
    monkeypatch.setattr(sys, "platform", "win32")
    assert [run(project), run(project)] == [0, 0]
    written = (project / "overnight-Jorg-s-100-films.xml").read_bytes()
    assert written.startswith(b"\xff\xfe<\x00")
    assert value(ElementTree.fromstring(written), "Actions/Exec/WorkingDirectory") == str(project)
    assert "schtasks /Create /TN overnight-Jorg-s-100-films /XML " in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["systemd", "launchd", "windows"])
def test_printing_writes_the_text_and_nothing_else(project, home, capsys, kind):
    text = {"systemd": systemd_unit, "launchd": launchd_agent, "windows": windows_task}[kind]
    assert run(project, "--kind", kind, "--print") == 0
    said = capsys.readouterr()
    assert said.out == text(Service(project=project.name, python=sys.executable, folder=str(project)))
    assert said.err == ""
    assert files(project) == ["overnight.toml"] and not home.exists()


def test_a_unit_of_the_machine_is_shown_and_stays_inside_the_project(project, home, capsys):
    assert run(project, "--system", "--user", "night_owl-2") == 0
    said = capsys.readouterr()
    assert not home.exists()
    assert files(project) == ["overnight-Jorg-s-100-films.service", "overnight.toml"]
    text = (project / "overnight-Jorg-s-100-films.service").read_text()
    assert "\nUser=night_owl-2\nGroup=night_owl-2\n" in text and text in said.out
    assert f"/etc/systemd/system/\n  sudo chown -R night_owl-2: {shlex.quote(str(project))}\n" in said.out
    assert said.err == f"night_owl-2 must be able to read and run {sys.executable}\n"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--system"], "--system needs --user NAME"),
        (["--user", "owl"], "--user needs --system"),
        (["--system", "--user", "root"], "does not run as root"),
        (["--system", "--user", "Owl"], "'Owl' is no account's name"),
        (["--system", "--user", "owl; reboot"], "'owl; reboot' is no account's name"),
        (["--system", "--user", "owl\n"], "is no account's name"),
        (["--system", "--user", ""], "'' is no account's name"),
        (["--system", "--user", "owl", "--kind", "launchd"], "--kind systemd only, not for launchd"),
        (["--kind", "cron"], "'cron'"),
        (["now"], "(now)"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(project, home, capsys, arguments, why):
    assert run(project, *arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("overnight: ") and said.err.count("\n") == 1 and why in said.err
    assert files(project) == ["overnight.toml"] and not home.exists()


@pytest.mark.parametrize("kind", ["systemd", "launchd"])
def test_the_file_of_another_project_of_the_same_name_is_spared(tmp_path, home, capsys, kind):
    first, second = made(tmp_path / "a" / "films"), made(tmp_path / "b" / "films")
    assert run(first, "--kind", kind) == 0
    [name] = files(home)
    before = (home / name).read_bytes()
    capsys.readouterr()
    assert run(second, "--kind", kind) == 2
    assert "is of another project; set project.name" in capsys.readouterr().err
    assert (home / name).read_bytes() == before


@pytest.mark.parametrize("name", [b"two\nlines", b"caf\xe9"])
def test_a_folder_that_no_unit_can_name_is_refused(tmp_path, home, capsys, name):
    folder = made(tmp_path / os.fsdecode(name))
    assert run(folder) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "rename that folder" in said
    assert not home.exists()


def test_outside_a_project_there_is_nothing_to_install(tmp_path, home, capsys):
    assert run(tmp_path) == 2
    assert capsys.readouterr().err.count("\n") == 1
