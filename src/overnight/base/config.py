"""What can be set, as frozen values with the default beside each name; `base.settings.load_config` fills them in.

The text under a field documents it. Units are in the names. What a value means beyond its type (a cron line, a task
that must exist) is checked by the part that uses it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Lt, MinLen

from overnight.base.refs import ExecutorName

PriorityName = Literal["CRITICAL", "HIGH", "NORMAL", "LOW"]
DEFAULT = "default"
"""The origin of a value that nobody set."""

_SECRET = re.compile(r"secret|token|passw|passphrase|api_?key|access_?key|private_?key|credential|authorization", re.I)
_URL_PASSWORD = re.compile(r"(\w://[^:/@\s]*:)[^@/\s]+(@)")
_URL_PARAMETER = re.compile(r"([?&](?:\w*(?:password|token|secret|key|sig|signature))=)[^&\s]+", re.I)
HIDDEN = "********"


class _Table:
    """A table of the configuration: what it does not know is refused, and text is never taken for a number."""

    __pydantic_config__: ClassVar[Mapping[str, object]] = {"extra": "forbid", "strict": True, "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class ProjectSettings(_Table):
    """`[project]`: what the project is called and where its code is."""

    name: str | None = None
    """What reports call the project; without it, the folder's name."""

    module: str | None = None
    """Name of a Python module of the project folder with a function `configure(project)`."""

    timezone: str = "UTC"
    """Time zone of the tasks' schedules, by its IANA name."""


@dataclass(frozen=True, kw_only=True)
class RetrySettings(_Table):
    """`[engine.retry]`: how long a failed run waits before its next try."""

    base_s: Annotated[float, Ge(0)] = 60.0
    """Wait after the first failure, in seconds."""

    factor: Annotated[float, Ge(1)] = 2.0
    """How much longer each further wait is."""

    cap_s: Annotated[float, Ge(0)] = 3600.0
    """Longest wait, in seconds."""

    jitter: Annotated[float, Ge(0), Lt(1)] = 0.0
    """Share of the wait by which it is made longer or shorter at random."""


@dataclass(frozen=True, kw_only=True)
class EngineSettings(_Table):
    """`[engine]`: how runs are executed."""

    max_concurrent: Annotated[int, Ge(1)] = 3
    """Runs at once in this project; parked flows do not count."""

    database: Annotated[str, MinLen(1)] = "sqlite:///.overnight/overnight.db"
    """URL of the database that holds all state: SQLite (relative to the project folder) or PostgreSQL."""

    grace_s: Annotated[float, Ge(0)] = 300.0
    """Seconds that running work gets when the project is stopped, before it goes back to the queue."""

    retry: RetrySettings = field(default_factory=RetrySettings)
    """Waits between tries."""


@dataclass(frozen=True, kw_only=True)
class GateSettings(_Table):
    """`[gate]`: when a new version counts as better."""

    alpha: Annotated[float, Gt(0), Lt(0.5)] = 0.05
    """Largest chance of accepting a version that is not better, one-sided."""


@dataclass(frozen=True, kw_only=True)
class NeedsSettings(_Table):
    """`[tasks.NAME.needs]`: what a run reserves while it is worked on."""

    cpus: Annotated[float, Ge(0)] = 0.0
    """Cores; 0 means not counted."""

    locks: tuple[str, ...] = ()
    """Names of locks that only one run holds at a time."""


@dataclass(frozen=True, kw_only=True)
class TaskSettings(_Table):
    """`[tasks.NAME]`: a definition of work; NAME is the task's id."""

    action: str | tuple[str, ...]
    """What to run: "module:function", or a command as a list of words."""

    flow: bool = False
    """True if the function is a durable flow: its first parameter is then a `Flow`."""

    agent_name: str | None = None
    """The agent that the work is for."""

    priority: PriorityName = "NORMAL"
    """How urgent its runs are: CRITICAL, HIGH, NORMAL or LOW."""

    schedule: str | None = None
    """When it starts: minute, hour, day of month, month, day of week, as in cron."""

    every: str | None = None
    """The time between two starts, such as "30s"."""

    once: str | None = None
    """The one instant at which it starts, in ISO 8601."""

    after: tuple[str, ...] = ()
    """Tasks that must have COMPLETED in the same cycle."""

    max_retries: Annotated[int, Ge(0)] = 3
    """Tries after the first one."""

    timeout_s: Annotated[float, Gt(0)] | None = None
    """Seconds after which a run is stopped; without it, the default for this kind of action."""

    needs: NeedsSettings = field(default_factory=NeedsSettings)
    """What a run reserves."""

    max_concurrent: Annotated[int, Ge(1)] | None = 1
    """Runs of this task at once."""

    enabled: bool = True
    """Whether its triggers fire; a run by hand always works."""

    executor: ExecutorName | None = None
    """Where its runs execute: inline, thread, process or command; without it, what suits the action."""

    args: Mapping[str, Any] = field(default_factory=dict)  # Any: the task's own JSON
    """What the function is called with."""


@dataclass(frozen=True, kw_only=True)
class SourceSettings(_Table):
    """`[sources.NAME]`: where records come from."""

    kind: Literal["sql"]
    """How it is read: "sql"."""

    query: Annotated[str, MinLen(1)]
    """The statement whose rows are the records."""

    path: Annotated[str, MinLen(1)]
    """File of an SQLite database, relative to the project folder, or "package:NAME/FILE" for one in a package."""


@dataclass(frozen=True, kw_only=True)
class AgentSettings(_Table):
    """`[agents.NAME]`: a learner of the fleet."""

    class_: Annotated[str, MinLen(1)] = field(metadata={"key": "class"})
    """The agent's class, as "module:Class"."""

    after: tuple[str, ...] = ()
    """Agents that are trained before it."""

    timeout_s: Annotated[float, Gt(0)] = 300.0
    """Seconds that one training may take."""

    source: str | None = None
    """Name of the source that its records come from."""

    target: str | None = None
    """Column that it learns to predict."""

    scale: tuple[float, float] | None = None
    """Lowest and highest value of the target; records beyond are set aside."""

    inputs: tuple[str, ...] = ()
    """Columns that it may learn from, and that the naive baseline may use; no other is shown to it."""


@dataclass(frozen=True, kw_only=True)
class Settings(_Table):
    """The tables of `overnight.toml`."""

    project: ProjectSettings = field(default_factory=ProjectSettings)
    """What the project is called and where its code is."""

    engine: EngineSettings = field(default_factory=EngineSettings)
    """How runs are executed."""

    gate: GateSettings = field(default_factory=GateSettings)
    """When a new version counts as better."""

    tasks: Mapping[str, TaskSettings] = field(default_factory=dict)
    """Definitions of work, by task id."""

    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    """Where records come from, by name."""

    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    """The fleet, by name."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One value as a person may see it (secrets hidden), and who set it: a file, a variable, a flag or nobody."""

    key: str
    value: Any  # Any: whatever TOML can hold
    origin: str


@dataclass(frozen=True, kw_only=True)
class Config(Settings):
    """The settings of one project, each with its origin."""

    project_dir: Path
    """The folder of `overnight.toml`."""

    set_by: Mapping[str, str] = field(default_factory=dict)
    """Dotted key to origin, for the values that somebody set."""

    @property
    def database_url(self) -> str:
        """The URL of the database, with a relative SQLite file put below the project folder.

        What means something in a URL is escaped in the folder's name, so that exactly this folder is opened.
        """
        head, sep, file = self.engine.database.partition(":///")
        if head.startswith("sqlite") and sep and file and not file.startswith((":memory:", "/")):
            # Not `quote`: it refuses names that are not UTF-8, which stand as they are in a URL that lives in memory.
            folder = str(self.project_dir).replace("%", "%25").replace("?", "%3F")
            return f"{head}:///{Path(folder) / file}"
        return self.engine.database

    def origins(self) -> list[Setting]:
        """Return every value in the order of this file, those of tables with names by name; secrets are hidden."""
        return [
            Setting(key=key, value=shown(key, value), origin=self.set_by.get(key, DEFAULT))
            for section in fields(Settings)
            for key, value in _leaves(section.name, getattr(self, section.name))
        ]


def key_of(name: str, metadata: Mapping[str, Any]) -> str:
    """Return what a field is called in TOML: its name, unless that is a word of Python's."""
    return str(metadata.get("key", name))


def shown(key: str, value: Any) -> Any:
    """Return the value as it may be shown: passwords in URLs, and all that a secret's name holds, are hidden."""
    if isinstance(value, Mapping):
        return {name: shown(str(name), inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [shown(key, inner) for inner in value]
    if value not in (None, "") and _SECRET.search(key.rpartition(".")[2]):
        return HIDDEN
    if isinstance(value, str):
        return _URL_PARAMETER.sub(rf"\g<1>{HIDDEN}", _URL_PASSWORD.sub(rf"\g<1>{HIDDEN}\g<2>", value))
    return value


def _leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value):
        for item in fields(value):
            yield from _leaves(f"{prefix}.{key_of(item.name, item.metadata)}", getattr(value, item.name))
    elif isinstance(value, Mapping) and any(is_dataclass(inner) for inner in value.values()):
        for name in sorted(value):
            yield from _leaves(f"{prefix}.{name}", value[name])
    elif not (isinstance(value, Mapping) and prefix in {item.name for item in fields(Settings)}):
        yield prefix, value
