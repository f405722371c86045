"""Where the files of a source are: below the project folder or in an installed package, and nowhere else."""

import importlib.util
from pathlib import Path, PurePosixPath

from overnight.base.errors import ConfigError, MissingExtra

PACKAGE = "package:"


def locate(name: str, path: str, project_dir: Path, *, folder: bool = False, key: str = "path") -> Path:
    """Return the file, or the folder, that source `name` means by `path`; `key` is the setting that says so.

    A path is relative to the project folder, or "package:NAME/FILE" for what an installed Python package carries. Links
    are followed before it is judged.

    Raises:
        ConfigError: there is no such file or folder, or it lies outside of the project.
        MissingExtra: the package is not installed.
    """
    key = f"sources.{name}.{key}"
    try:
        place = _in_package(key, path) if path.startswith(PACKAGE) else _in_project(key, path, project_dir)
        there = place.is_dir() if folder else place.is_file()
    except (OSError, ValueError, RuntimeError) as error:  # a name too long, a NUL in it, links in a circle
        raise ConfigError(f"{key}: {path!r} cannot be looked up: {error}") from error
    if not there:
        raise ConfigError(f"{key}: there is no {'folder' if folder else 'file'} {path!r}")
    return place


def _in_project(key: str, path: str, project_dir: Path) -> Path:
    place = (project_dir / path).resolve()
    if not place.is_relative_to(project_dir.resolve()):
        raise ConfigError(
            f"{key}: {path!r} lies outside of the project; allowed are files of the project folder "
            f'and "{PACKAGE}NAME/FILE"'
        )
    return place


def _in_package(key: str, path: str) -> Path:
    """Return a data file of an installed package; the package's code is not run."""
    package, _, inside = path.removeprefix(PACKAGE).partition("/")
    if not package.isidentifier() or not inside or ".." in PurePosixPath(inside).parts or inside.startswith("/"):
        raise ConfigError(f'{key}: {path!r} is not "{PACKAGE}NAME/FILE" with a file inside of the package')
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise MissingExtra(f"{key}: the package {package!r} is not installed here; run `pip install {package}`")
    return Path(spec.submodule_search_locations[0]) / inside
