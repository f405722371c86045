"""What a coding agent is given to work on: files, what it is asked, and what is looked at afterwards, as JSON. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from overnight.base.errors import UserMistake
from overnight.learning.checks import ProgramCheck, shown, storable, table, text
from overnight.learning.exercises import WORKSPACE

MOST_FILES = 100
MOST_CHARACTERS = 1_000_000
"""Of all files of a workspace together: more is no exercise, but a project."""
_LONGEST_PATH = 200


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A part of the work, and who is asked for it: the agents of a fleet take turns in one workspace."""

    role: str
    prompt: str

    @classmethod
    def from_dict(cls, found: object, where: str) -> Self:
        """Return the stage that stands at a place of a file.

        Raises:
            UserMistake: a key is missing or unknown, or a value cannot be.
        """
        values = table(found, where, ("role", "prompt"))
        for key, value in values.items():
            text(value, f"{where}.{key}")
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Workspace:
    """A folder to work in, and what becomes of it.

    `files` are there from the beginning, by their paths; the agent is asked for the `stages`, one after the other, and
    is expected to leave the files `answer`. Of all that it leaves these alone are looked at, in a fresh folder, beside
    `files` and `hidden`, which it has never seen. `verify` are checks that need nothing hidden: as many as a strategy
    wants to are made while it works.
    """

    stages: tuple[Stage, ...]
    answer: tuple[str, ...]
    files: Mapping[str, str]
    hidden: Mapping[str, str]
    verify: tuple[ProgramCheck, ...]

    @classmethod
    def from_dict(cls, work: Mapping[str, Any]) -> Self:  # Any: a person wrote it
        """Return the workspace that an exercise's `work` is.

        Raises:
            UserMistake: a key is missing or unknown, or a value cannot be; the message names it. Paths lead nowhere
                but into the workspace.
        """
        values = table(work, "work", ("kind", "stages", "answer"), ("files", "hidden", "verify"))
        found = cls(
            stages=tuple(
                Stage.from_dict(one, f"work.stages[{place}]")
                for place, one in enumerate(_listed(values["stages"], "work.stages"))
            ),
            answer=tuple(
                _path(one, f"work.answer[{place}]")
                for place, one in enumerate(_listed(values["answer"], "work.answer"))
            ),
            files=_files(values.get("files", {}), "work.files"),
            hidden=_files(values.get("hidden", {}), "work.hidden"),
            verify=tuple(
                ProgramCheck.from_dict(one, f"work.verify[{place}]")
                for place, one in enumerate(_checks(values.get("verify", []), "work.verify"))
            ),
        )
        found._check()
        return found

    def to_dict(self) -> dict[str, Any]:  # Any: JSON
        """Return the workspace as JSON."""
        return {
            "kind": WORKSPACE,
            "stages": [vars(stage) for stage in self.stages],
            "answer": list(self.answer),
            "files": dict(self.files),
            "hidden": dict(self.hidden),
            "verify": [check.to_dict() for check in self.verify],
        }

    def _check(self) -> None:
        for name in self.hidden:
            if name in self.answer:
                raise UserMistake(f"work.hidden: {name!r} is an answer, and would stand in for it")
        names = {*self.files, *self.hidden, *self.answer}
        if len(names) > MOST_FILES:
            raise UserMistake(f"work: {len(names)} files; {MOST_FILES} at the most")
        characters = sum(map(len, (*self.files.values(), *self.hidden.values())))
        if characters > MOST_CHARACTERS:
            raise UserMistake(f"work: files of {characters:,} characters; {MOST_CHARACTERS:,} at the most")
        for name in names:
            folder = next((one for one in names if one.startswith(f"{name}/")), None)
            if folder is not None:
                raise UserMistake(f"work: {name!r} cannot be a file and the folder of {folder!r}")


def _listed(found: object, where: str) -> Sequence[Any]:
    if not isinstance(found, list) or not found:
        raise UserMistake(f"{where}: {shown(found)} is not a list of at least 1")
    return found


def _checks(found: object, where: str) -> Sequence[Any]:
    if not isinstance(found, list):
        raise UserMistake(f"{where}: {shown(found)} is not a list of checks by programs; [] is one without any")
    return found


def _files(found: object, where: str) -> Mapping[str, str]:
    if not isinstance(found, Mapping) or not all(isinstance(value, str) for value in found.values()):
        raise UserMistake(f"{where}: it is no table of paths with the texts of files")
    for name, content in found.items():
        if not content.isascii() and any("\ud800" <= one <= "\udfff" for one in content):
            raise UserMistake(f"{where}: {shown(name)} holds half of a surrogate pair, which is no text")
    return {_path(name, where): content for name, content in found.items()}


def _path(found: object, where: str) -> str:
    """Return a path that stays inside of the workspace, in its one form."""
    if not isinstance(found, str) or not found or len(found) > _LONGEST_PATH:
        raise UserMistake(f"{where}: {shown(found)} is no path")
    storable(found, where)
    parts = [part for part in found.split("/") if part not in ("", ".")]
    if found.startswith("/") or ".." in parts or not parts:
        raise UserMistake(f"{where}: {found!r} leads out of the workspace")
    return "/".join(parts)
