"""The files that let a machine keep `overnight up` running, and the commands that switch it on: text in, text out.

Three kinds: a unit of systemd, an agent of launchd, a task of the Windows Task Scheduler. Nothing here touches the
machine.
"""

import re
import shlex
import unicodedata
from dataclasses import dataclass
from html import escape
from typing import Literal

Kind = Literal["systemd", "launchd", "windows"]

STOP_S = 330
"""How long the machine waits for the end of what is being worked on before it kills."""
RESTART_S = 10
"""How long it waits before it starts the service again."""

_PLAIN = re.compile(r"[\w@+=:,./-]+", re.ASCII)
_SUFFIXES: dict[Kind, str] = {"systemd": ".service", "launchd": ".plist", "windows": ".xml"}


@dataclass(frozen=True, kw_only=True)
class Service:
    """What is to be kept running: a project's worker.

    No text may hold control characters: a unit has no way to write them.
    """

    project: str
    """What the project is called; the service is named after it."""

    python: str
    """Absolute path of the interpreter that has Overnight."""

    folder: str
    """Absolute path of the project."""

    user: str | None = None
    """The account of a system unit; None: the service is a person's own."""

    @property
    def command(self) -> tuple[str, ...]:
        """The words that start the worker."""
        return (self.python, "-m", "overnight", "--project", self.folder, "up", "--foreground")


def unit_name(project: str) -> str:
    """Return what the service of a project is called: letters, digits and "-", so that no tool takes it amiss."""
    return f"overnight-{_slug(project)}"


def label(project: str) -> str:
    """Return what launchd calls the service."""
    return f"overnight.{_slug(project)}"


def _slug(project: str) -> str:
    ascii_only = unicodedata.normalize("NFKD", project).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9]+", "-", ascii_only).strip("-") or "project"


def file_name(kind: Kind, service: Service) -> str:
    """Return the name that the file must have."""
    name = label(service.project) if kind == "launchd" else unit_name(service.project)
    return name + _SUFFIXES[kind]


def text_of(kind: Kind, service: Service) -> str:
    """Return the text of the file."""
    if kind == "systemd":
        return systemd_unit(service)
    return launchd_agent(service) if kind == "launchd" else windows_task(service)


def systemd_unit(service: Service) -> str:
    """Return a unit of the person's own service manager, or of the machine's if the service has an account."""
    account = [] if service.user is None else [f"User={service.user}", f"Group={service.user}"]
    lines = [
        "[Unit]",
        f"Description=Overnight works on {_systemd_value(service.folder)}",
        "",
        "[Service]",
        "Type=exec",
        *account,
        f"WorkingDirectory={_systemd_value(service.folder)}",
        f"ExecStart={_systemd_command(service)}",
        "ExecReload=/bin/kill -HUP $MAINPID",
        "Restart=always",
        f"RestartSec={RESTART_S}",
        f"TimeoutStopSec={STOP_S}",
        "KillMode=mixed",
        "NoNewPrivileges=yes",
        "",
        "[Install]",
        f"WantedBy={'default.target' if service.user is None else 'multi-user.target'}",
    ]
    return "\n".join(lines) + "\n"


def _systemd_value(path: str) -> str:
    """Return a path as a value that systemd takes as it stands but for "%"; quotes would become a part of it."""
    # A backslash at the end of a line would join the next one to it, and blanks there are dropped.
    end = "/" if path.endswith("\\") or path != path.rstrip() else ""
    return path.replace("%", "%%") + end


def _systemd_command(service: Service) -> str:
    words = service.command
    if re.search(r"[\"'\\]", service.python):
        # systemd refuses programs of such a name, however they are quoted; a shell does not.
        words = ("/bin/sh", "-c", 'exec "$0" "$@"', *words)
    # The colon keeps "$" from being a variable. Systems older than systemd 244 do not know it.
    colon = ":" if any("$" in word for word in words) else ""
    return colon + " ".join(map(_systemd_word, words))


def _systemd_word(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    return '"{}"'.format(word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%"))


def launchd_agent(service: Service) -> str:
    """Return a property list for launchd's agents of a person."""
    # Here, because every command would wait for it and this one alone needs it.
    import plistlib

    agent = {
        "Label": label(service.project),
        "ProgramArguments": list(service.command),
        "WorkingDirectory": service.folder,
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": RESTART_S,
        "ExitTimeOut": STOP_S,
    }
    return plistlib.dumps(agent, sort_keys=False).decode()


def windows_task(service: Service) -> str:
    """Return a task of the Task Scheduler, which wants it in a file of UTF-16."""
    arguments = " ".join(_windows_word(word) for word in service.command[1:])
    # No encoding is declared, so that the text is right in UTF-8 too. What is said about batteries is not the default.
    return f"""<?xml version="1.0"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>Overnight works on {escape(service.folder, quote=False)}</Description>
  </RegistrationInfo>
  <Triggers>
    <BootTrigger>
      <Enabled>true</Enabled>
    </BootTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <LogonType>S4U</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <RestartOnFailure>
      <Interval>PT1M</Interval>
      <Count>999</Count>
    </RestartOnFailure>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(service.python, quote=False)}</Command>
      <Arguments>{escape(arguments, quote=False)}</Arguments>
      <WorkingDirectory>{escape(service.folder, quote=False)}</WorkingDirectory>
    </Exec>
  </Actions>
</Task>
"""


def _windows_word(word: str) -> str:
    if _PLAIN.fullmatch(word):
        return word
    # Backslashes mean themselves unless a quote follows, and one does at the end.
    return '"{}"'.format(re.sub(r'(\\*)("|$)', lambda found: found[1] * 2 + found[2].replace('"', '\\"'), word))


def is_of(service: Service, text: str) -> bool:
    """Return whether the text of a unit or an agent is of a service of the same folder."""
    own = {
        f"WorkingDirectory={_systemd_value(service.folder)}",
        f"<string>{escape(service.folder, quote=False)}</string>",
    }
    return any(line.strip("\t") in own for line in text.split("\n"))


def next_commands(kind: Kind, service: Service, file: str) -> tuple[str, ...]:
    """Return the command lines that switch the service on once its `file` is written."""
    unit, path = unit_name(service.project), shlex.quote(file)
    if kind == "launchd":
        return (f"launchctl bootstrap gui/$UID {path}",)
    if kind == "windows":
        return (f'schtasks /Create /TN {unit} /XML "{file}"', f"schtasks /Run /TN {unit}")
    if service.user is None:
        return (
            "systemctl --user daemon-reload",
            f"systemctl --user enable --now {unit}",
            "loginctl enable-linger $USER",
        )
    folder = shlex.quote(service.folder)
    return (
        f"sudo useradd --system --home-dir {folder} --shell /usr/sbin/nologin {service.user}",
        # Before the folder belongs to the account: root copies nothing that the account could have changed.
        f"sudo cp {path} /etc/systemd/system/",
        f"sudo chown -R {service.user}: {folder}",
        "sudo systemctl daemon-reload",
        f"sudo systemctl enable --now {unit}",
    )
