"""What can be set, as frozen values with the default beside each name; `base.settings.load_config` fills them in.

The text under a field documents it. Units are in the names. What a value means beyond its type (a cron line, a task
that must exist) is checked by the part that uses it.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from overnight.base.campaign_settings import CampaignSettings
from overnight.base.engine_settings import EngineSettings, TaskSettings
from overnight.base.fleet_settings import AgentSettings, NightlySettings, ProductionSettings
from overnight.base.gate_settings import GateSettings
from overnight.base.hiding import HIDDEN
from overnight.base.learning_settings import LearningSettings
from overnight.base.loop_settings import LoopSettings
from overnight.base.pool_settings import PoolSettings
from overnight.base.registry_settings import MlflowSettings, RegistrySettings
from overnight.base.resource_settings import ResourceSettings, ServiceSettings
from overnight.base.service_settings import LogSettings, NotifySettings, ServerSettings, TelemetrySettings
from overnight.base.serving_settings import AbTestSettings, ServedSettings
from overnight.base.table import Table
from overnight.base.target_settings import TargetSettings
from overnight.base.training_settings import ExperiencesSettings, TrainingSettings

DEFAULT = "default"
"""The origin of a value that nobody set."""

_SECRET = re.compile(
    r"secret|token|passw|passphrase|(api|access|private)[_-]?key|credential|authorization|cookie", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(\w://[^:/@\s]*:)[^@/\s]+(@)")
_URL_PARAMETER = re.compile(r"([?&](?:[\w.%-]*(?:password|token|secret|key|sig|signature))=)[^&\s]+", re.I)
_TEMPLATE = re.compile(r"(?:[A-Za-z]+ )?\$\{\w+\}")


@dataclass(frozen=True, kw_only=True)
class ProjectSettings(Table):
    """`[project]`: what the project is called and where its code is."""

    name: str | None = None
    """What reports call the project; without it, the folder's name."""

    module: str | None = None
    """Name of a Python module of the project folder with a function `configure(project)`."""

    timezone: str = "UTC"
    """Time zone of the tasks' schedules, by its IANA name."""


SourceKind = Literal["csv", "jsonl", "parquet", "folder", "json", "feed", "sql"]


@dataclass(frozen=True, kw_only=True)
class SourceSettings(Table):
    """`[sources.NAME]`: where records come from."""

    kind: SourceKind
    """How it is read: a file ("csv", "jsonl", "parquet"), a "folder" of files, "json" over HTTP, a "feed" (RSS or
    Atom), or an "sql" query."""

    category: str | None = None
    """The category that its records belong to; without it, the source's own name."""

    path: str | None = None
    """File or folder, relative to the project folder, or "package:NAME/FILE" for one in an installed package."""

    url: str | None = None
    """Address of what is read over HTTP, or of a database; "{region}" stands for the region, "${NAME}" for a variable
    of the environment."""

    query: str | None = None
    """The statement whose rows are the records, for "sql"."""

    pattern: str = "**/*"
    """Which files of a "folder" are read."""

    records: str | None = None
    """Where the list of records is in a "json" answer, as a JMESPath expression; without it, the answer is the list."""

    fields: Mapping[str, str] = field(default_factory=dict)
    """Which field of a record (id, title, views, ..., or a name of your own) comes from which column or expression;
    without it, columns go by their names."""

    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers of each request; "${NAME}" stands for a variable of the environment."""

    next: str | None = None
    """Where the next page's address or token is in a "json" answer, as a JMESPath expression."""

    next_parameter: str | None = None
    """The query parameter that takes the next page's token; without it, `next` is an address."""

    page_parameter: str | None = None
    """The query parameter that takes the page's number, from `first_page` on, until a page is empty."""

    first_page: Annotated[int, Ge(0)] = 1
    """The number of the first page."""

    max_pages: Annotated[int, Ge(1)] = 100
    """Pages that are read at the most; what lies beyond is said not to have been read."""

    regions: tuple[str, ...] = ()
    """Regions that are asked for one by one; each record carries its own, and one may fail without the others."""

    platform: str | None = None
    """What records of this source name as their platform; without it, the source's name."""

    as_of: str | None = None
    """The instant, in ISO 8601, that recency counts from; without it, when the content was fetched or last changed."""

    timeout_s: Annotated[float, Gt(0)] = 30.0
    """Seconds that one request may take, from the first byte sent to the last byte read."""

    max_retries: Annotated[int, Ge(0)] = 3
    """Further tries of a request after an error that may go away by itself."""

    per_second: Annotated[float, Gt(0)] = 2.0
    """Requests a second to one host at the most."""

    max_mb: Annotated[float, Gt(0)] = 100.0
    """Megabytes (10^6 bytes), unpacked, of one file, or of all answers of one source and region together."""

    max_rows: Annotated[int, Ge(1)] = 1_000_000
    """Rows that are read of one source and region at the most, unreadable ones counted too; what lies beyond is said
    not to have been read."""


@dataclass(frozen=True, kw_only=True)
class CategorySettings(Table):
    """`[categories.NAME]`: which records of a category are kept."""

    limit: Annotated[int, Ge(1)] = 500
    """Records that are kept at the most, the best first."""

    threshold: Annotated[float, Ge(0), Le(10)] = 6.5
    """Lowest quality, 0 to 10, that is kept; it counts only where a quality is measured."""

    minimum: Annotated[int, Ge(0)] = 20
    """Kept records below which the category counts as too small to learn from."""

    near_duplicates: Annotated[float, Gt(0), Le(1)] = 0.85
    """Share of equal shingles (Jaccard) from which two texts count as one; 1 keeps all but equal ones."""

    scorer: str | None = None
    """The project's own quality, as "module:function"; without it, the category's built-in one, if there is one."""


@dataclass(frozen=True, kw_only=True)
class DataSettings(Table):
    """`[data]`: how records are harvested."""

    fresh_h: Annotated[float, Gt(0)] = 24.0
    """Hours after which what a source gave before counts as old."""

    keep_days: Annotated[float, Gt(0)] = 30.0
    """Days for which what a source gave is kept in the cache."""

    private_addresses: Literal["allow", "forbid"] = "allow"
    """Whether sources may be read from this machine and its private networks."""


@dataclass(frozen=True, kw_only=True)
class Settings(Table):
    """The tables of `overnight.toml`."""

    project: ProjectSettings = field(default_factory=ProjectSettings)
    """What the project is called and where its code is."""

    engine: EngineSettings = field(default_factory=EngineSettings)
    """How runs are executed."""

    gate: GateSettings = field(default_factory=GateSettings)
    """When a new version counts as better."""

    tasks: Mapping[str, TaskSettings] = field(default_factory=dict)
    """Definitions of work, by task id."""

    targets: Mapping[str, TargetSettings] = field(default_factory=dict)
    """How much tasks are to produce, by the name under which they count it."""

    data: DataSettings = field(default_factory=DataSettings)
    """How records are harvested."""

    sources: Mapping[str, SourceSettings] = field(default_factory=dict)
    """Where records come from, by name."""

    categories: Mapping[str, CategorySettings] = field(default_factory=dict)
    """Which records of a category are kept, by name."""

    agents: Mapping[str, AgentSettings] = field(default_factory=dict)
    """The fleet, by name."""

    nightly: NightlySettings = field(default_factory=NightlySettings)
    """The nightly training of the fleet."""

    production: ProductionSettings = field(default_factory=ProductionSettings)
    """The agents at work."""

    training: TrainingSettings = field(default_factory=TrainingSettings)
    """How training jobs work."""

    registry: RegistrySettings = field(default_factory=RegistrySettings)
    """Where model versions are kept."""

    models: Mapping[str, ServedSettings] = field(default_factory=dict)
    """How models serve, by name."""

    mlflow: MlflowSettings = field(default_factory=MlflowSettings)
    """An MLflow server that gets a copy."""

    resources: ResourceSettings = field(default_factory=ResourceSettings)
    """What of this machine's memory may be used."""

    services: Mapping[str, ServiceSettings] = field(default_factory=dict)
    """Other programs of this machine whose memory jobs must leave alone, by name."""

    loop: Mapping[str, LoopSettings] = field(default_factory=dict)
    """When models learn from experiences by themselves, by model_type."""

    experiences: ExperiencesSettings = field(default_factory=ExperiencesSettings)
    """Where served interactions come in."""

    pools: Mapping[str, PoolSettings] = field(default_factory=dict)
    """Other places where jobs may train, by name."""

    campaigns: Mapping[str, CampaignSettings] = field(default_factory=dict)
    """Training data made at scale, by name."""

    learning: LearningSettings = field(default_factory=LearningSettings)
    """Which strategy executes which type of task."""

    ab_test: AbTestSettings = field(default_factory=AbTestSettings)
    """How two versions are compared on users."""

    server: ServerSettings = field(default_factory=ServerSettings)
    """Where the daemon answers."""

    log: LogSettings = field(default_factory=LogSettings)
    """What the daemon writes down."""

    notify: NotifySettings = field(default_factory=NotifySettings)
    """Who is told when something is wrong."""

    telemetry: TelemetrySettings = field(default_factory=TelemetrySettings)
    """Where traces go."""


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
    def name(self) -> str:
        """What reports call the project."""
        return self.project.name or self.project_dir.name

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
    """Return the value as it may be shown: passwords in URLs, and all that a secret's name holds, are hidden.

    So are the values of headers, whatever they are called, but for those that a variable gives.
    """
    if isinstance(value, Mapping) and key.rpartition(".")[2] == "headers":
        return {name: inner if _TEMPLATE.fullmatch(str(inner)) else HIDDEN for name, inner in value.items()}
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
