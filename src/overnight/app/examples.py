"""New projects from the examples that ship with the package."""

import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from overnight.base.errors import UnknownName, UserMistake
from overnight.base.settings import FILE
from overnight.base.vocabulary import suggestion

MINIMAL = "minimal"
"""What a new project starts from when no example is named."""

_FOLDER = Path(__file__).resolve().parents[1] / "examples"
_LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True, kw_only=True)
class Example:
    """An example project: its name, and what it shows, which is the comment at the top of its `overnight.toml`."""

    name: str
    about: str


def examples() -> list[Example]:
    """Return the examples, by name."""
    return [Example(name=file.parent.name, about=_about(file)) for file in sorted(_FOLDER.glob(f"*/{FILE}"))]


def new_project(folder: Path, example: str = MINIMAL) -> list[str]:
    """Make `folder` a project, all of it or nothing, and return the names of its files.

    Raises:
        UnknownName: there is no such example.
        UserMistake: `folder` is a project already, holds other things, or is a file; or nothing can be written there.
    """
    names = [found.name for found in examples()]
    if example not in names:
        raise UnknownName(f"there is no example {example!r}{suggestion(example, names)}")
    if (folder / FILE).exists():
        raise UserMistake(f"{folder} is a project already (it holds {FILE})")
    file = next((path for path in (folder, *folder.parents) if path.exists() and not path.is_dir()), None)
    if file is not None:
        raise UserMistake(f"{file} is a file; name a folder that is empty or does not exist yet")
    if folder.exists() and any(folder.iterdir()):
        raise UserMistake(f"{folder} is not empty; name a folder that is empty or does not exist yet")
    whole = folder.resolve()
    try:
        _make(whole, example)
    except OSError as error:
        raise UserMistake(f"{folder} cannot be made a project: {error.strerror or error}") from error
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _make(whole: Path, example: str) -> None:
    # An empty folder stays the folder that it is: a shell may stand in it, and its owner and its rights are somebody's.
    there = whole.exists()
    place = whole if there else whole.parent
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place, prefix=f".{whole.name}.") as staging:
        fresh = Path(staging) / "project"
        shutil.copytree(_FOLDER / example, fresh, ignore=_LEFT_OUT)
        if there:
            _move(fresh, whole)
        else:
            fresh.replace(whole)


def _move(source: Path, folder: Path) -> None:
    """Move all that is in `source` into `folder`, all of it or nothing; what makes it a project comes last."""
    names = sorted((path.name for path in source.iterdir()), key=lambda name: (name == FILE, name))
    moved = list[str]()
    try:
        for name in names:
            (source / name).replace(folder / name)
            moved.append(name)
    except BaseException:
        for name in moved:
            (folder / name).replace(source / name)
        raise


def _about(file: Path) -> str:
    first = file.read_text(encoding="utf-8").partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
