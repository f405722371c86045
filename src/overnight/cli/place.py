"""Which project a command is about, and how it is opened so that each mistake in it is one line."""

import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from overnight.base.errors import ConfigError, NotAProject, OvernightError, UserMistake
from overnight.base.loading import loading
from overnight.base.settings import FILE, STATE_FOLDER, find_project, load_config

if TYPE_CHECKING:
    from overnight.app.project import Project
    from overnight.base.config import Config


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the command line looks for a project: in `folder`, or from the current folder upwards."""

    folder: Path | None = None

    def find(self) -> Path:
        """Return the project's folder.

        Raises:
            NotAProject: there is none.
        """
        if self.folder is None:
            return find_project(Path())
        if not (self.folder / FILE).is_file():
            raise NotAProject(f"--project: there is no {FILE} in {self.folder}; `overnight init DIR` makes a project")
        return self.folder.resolve()

    def state_dir(self) -> Path:
        """Return the folder of the project's durable state.

        Raises:
            NotAProject: there is no project.
        """
        return self.find() / STATE_FOLDER

    def config(self) -> "Config":
        """Return the project's configuration."""
        return load_config(self.find())

    def open(self) -> "Project":
        """Open the project with its own module.

        Raises:
            ConfigError: its module raised something; the message names the line.
        """
        with loading():
            from overnight.app.project import Project

        folder = self.find()
        try:
            return Project.open(folder)
        except (OvernightError, OSError):
            raise
        except (Exception, SystemExit) as error:
            where = _line_in(folder, error)
            if where is None:
                raise
            said = str(error.msg if isinstance(error, SyntaxError) else error) or "no reason given"
            raise ConfigError(f"{where}: {type(error).__name__}: {said}") from error


def place_of(ctx: typer.Context) -> Place:
    """Return what the command line was told about its place."""
    place = ctx.find_root().obj
    assert isinstance(place, Place)
    return place


def number(text: str) -> int:
    """Return the number of a run or a question.

    Raises:
        UserMistake: it is none.
    """
    if not (text.isascii() and text.isdigit() and int(text) < 2**63):
        raise UserMistake(f"{text!r} is not a number; `overnight runs list` and `overnight questions list` show them")
    return int(text)


def _line_in(folder: Path, error: BaseException) -> str | None:
    """Return "FILE, line N" of the innermost line of the project's own code that the error went through."""
    places = [(frame.filename, frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    if isinstance(error, SyntaxError) and error.filename is not None:
        places.append((error.filename, error.lineno))
    for name, line in reversed(places):
        path = Path(name)
        if path.is_relative_to(folder) and ".venv" not in path.parts and "site-packages" not in path.parts:
            return f"{path.relative_to(folder)}, line {line}"
    return None
