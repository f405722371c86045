"""The only place that reads the environment, and where a project's configuration is put together.

Later sources win: the defaults, `overnight.toml` and the files that it includes, variables such as
`OVERNIGHT_ENGINE__MAX_CONCURRENT` (two underscores stand for a dot), flags. Every value keeps its origin, so that a
mistake is reported with the file or variable that holds it.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from overnight.base.config import Config
from overnight.base.errors import ConfigError, NotAProject
from overnight.base.schema import Key, Value, flatten, from_text, resolve, sections, validate

FILE = "overnight.toml"
STATE_FOLDER = ".overnight"
"""Where a project keeps its state."""
DAEMON_FILE = "daemon.json"
"""In which a daemon says, in the state folder, where it answers."""
DEFAULT_URL = "http://127.0.0.1:8090"
PREFIX = "OVERNIGHT_"
FLAG = "flag"
SHORT = {"ab_test_enabled": ("ab_test", "enabled")}
"""Variables that have a shorter name."""


def environment() -> dict[str, str]:
    """Return a copy of this process's environment, for a child's."""
    return dict(os.environ)


def user() -> str:
    """Return the name of whoever this process belongs to."""
    import getpass

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def tell_libraries(name: str, value: str) -> None:
    """Set a variable that a library reads as it starts, unless a person has set it."""
    os.environ.setdefault(name, value)


@contextmanager
def libraries_told(values: Mapping[str, str]) -> Iterator[None]:
    """Set variables that a library reads as it is loaded, and put back what was there."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


def find_project(start: Path) -> Path:
    """Return the nearest folder, from `start` upwards, that holds `overnight.toml`.

    Raises:
        NotAProject: there is none.
    """
    start = start.resolve()
    for folder in (start, *start.parents):
        if (folder / FILE).is_file():
            return folder
    raise NotAProject(f"there is no {FILE} in {start} or above it; `overnight init DIR` makes a project")


def daemon_url(start: Path) -> str:
    """Return where a daemon answers: OVERNIGHT_URL, or what that of the project of this folder says, or port 8090."""
    given = os.environ.get("OVERNIGHT_URL")
    if given:
        return given
    with suppress(NotAProject, OSError, ValueError, KeyError, TypeError):
        return str(json.loads((find_project(start) / STATE_FOLDER / DAEMON_FILE).read_bytes())["url"])
    return DEFAULT_URL


def load_config(project_dir: Path, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read the configuration of the project.

    `overrides` are the flags: dotted keys, such as "engine.max_concurrent", with values or their text.

    Raises:
        NotAProject: the folder holds no `overnight.toml`.
        ConfigError: a key is unknown or defined twice, a value is wrong, or a file cannot be read.
    """
    project_dir = project_dir.resolve()
    if not (project_dir / FILE).is_file():
        raise NotAProject(f"there is no {FILE} in {project_dir}; `overnight init DIR` makes a project")
    values = _from_files(project_dir)
    for key, value in [*_from_environment(values), *_from_flags(overrides or {}, values)]:
        values[key] = value
    settings = validate(values)
    return Config(
        **{name: getattr(settings, name) for name in sections()},
        project_dir=project_dir,
        set_by={".".join(key): value.origin for key, value in values.items()},
    )


def _from_files(project_dir: Path) -> dict[Key, Value]:
    values: dict[Key, Value] = {}
    waiting, read = [project_dir / FILE], set[Path]()
    while waiting:
        path = waiting.pop(0)
        origin = path.relative_to(project_dir).as_posix()
        if path in read:
            raise ConfigError(f"{origin}: included twice")
        read.add(path)
        table = _read(path, origin)
        waiting += [_inside(project_dir, path, name, origin) for name in _include(table, origin)]
        for key, content in flatten(table, origin):
            if key in values:
                raise ConfigError(f"{'.'.join(key)}: defined twice, in {values[key].origin} and in {origin}")
            values[key] = Value(content=content, origin=origin)
    return values


def _read(path: Path, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"{origin}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{origin}: not TOML: {error}") from error


def _include(table: dict[str, Any], origin: str) -> list[str]:
    names = table.pop("include", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f'{origin}: include: {names!r} is not a list of files, such as ["agents.toml"]')
    return names


def _inside(project_dir: Path, including: Path, name: str, origin: str) -> Path:
    path = (including.parent / name).resolve()
    if not path.is_relative_to(project_dir):
        raise ConfigError(f"{origin}: include: {name!r} is outside the project folder {project_dir}")
    return path


def _from_environment(known: Mapping[Key, Value]) -> Iterator[tuple[Key, Value]]:
    for name, text in sorted(os.environ.items()):
        if not name.startswith(PREFIX):
            continue
        words = name.removeprefix(PREFIX).lower().split("__")
        if words[0] in SHORT:
            words = list(SHORT[words[0]])
        if len(words) == 1:
            _refuse_single_underscore(name, words[0])
            continue
        key = resolve(words, known, name)
        yield key, Value(content=from_text(key, text), origin=name)


def _refuse_single_underscore(name: str, word: str) -> None:
    # Variables without two underscores are not settings, but this one was surely meant to be one.
    section, _, rest = word.partition("_")
    if section in sections() and rest:
        raise ConfigError(f"{name}: not a setting; did you mean {PREFIX}{section.upper()}__{rest.upper()}?")


def _from_flags(overrides: Mapping[str, Any], known: Mapping[Key, Value]) -> Iterator[tuple[Key, Value]]:
    for dotted, content in overrides.items():
        key = resolve(dotted.split("."), known, FLAG)
        yield key, Value(content=from_text(key, content) if isinstance(content, str) else content, origin=FLAG)
