"""How what a generator makes reaches the ledger: a file for each batch, whole or not there, taken in order.

The process that makes samples has no database. It puts batches of rows here, each under its own name and forced to
disk, and whoever works on the campaign takes them into the ledger and removes them; a batch that is taken twice adds
nothing. Before it begins, it asks for what is known, and gets that once all batches of earlier tries are taken.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overnight.base.files import replace_file, sync_folder
from overnight.campaigns.planning import Known

Row = list[object]
_BATCH, _ASK, _KNOWN = ".batch", ".ask", ".known"


class Spool:
    """The folder of one campaign's batches. A `Try` is one of those who write, of whom the newest comes last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, one: "Try", number: int, rows: Sequence[Row]) -> None:
        """Leave a batch.

        Raises:
            OSError: it cannot be written; nothing is there then.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{one.name}-{number:09d}{_BATCH}"
        replace_file(path, json.dumps(rows, ensure_ascii=False, separators=(",", ":")))

    def waiting(self) -> list[Path]:
        """Return the batches that nobody has taken yet, oldest first."""
        return sorted(self.folder.glob(f"*{_BATCH}"))

    def taken(self, batches: Sequence[Path]) -> None:
        """Remove batches whose rows are in the ledger."""
        for path in batches:
            path.unlink(missing_ok=True)

    def put_aside(self, batch: str) -> None:
        """Have a damaged batch no longer wait; its samples are not known then, and are made again."""
        with suppress(FileNotFoundError):
            (self.folder / batch).replace(self.folder / f"{batch}.damaged")

    def ask(self, one: "Try", generators: Mapping[str, str]) -> None:
        """Ask for what is known, and say by which generators the domains are made."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.folder / f"{one.name}{_ASK}", json.dumps(dict(generators)))

    def asked(self, run_id: int) -> "Question | None":
        """Return what the newest try of a run says, if it waits for what is known; None where none does."""
        waiting = sorted(self.folder.glob(f"{run_id:012d}-*{_ASK}"))
        if not waiting:
            return None
        token = int(waiting[-1].name.removesuffix(_ASK).partition("-")[2])
        generators = json.loads(waiting[-1].read_text(encoding="utf-8"))
        return Question(asker=Try(run_id=run_id, token=token), generators=generators)

    def answer(self, one: "Try", lines: Iterator[Any]) -> None:  # Any: JSON
        """Say what is known to a try, and forget what was said to earlier ones."""
        path = self.folder / f"{one.name}{_KNOWN}"
        new = path.with_suffix(".new")
        with new.open("w", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        new.replace(path)
        sync_folder(self.folder)
        for old in [*self.folder.glob(f"*{_ASK}"), *self.folder.glob(f"*{_KNOWN}")]:
            if old != path and old.name.split(".")[0] <= one.name:
                old.unlink(missing_ok=True)

    def answered(self, one: "Try") -> bool:
        """Return whether `known` can be read."""
        return (self.folder / f"{one.name}{_KNOWN}").exists()

    def known(self, one: "Try") -> Iterator[Any]:  # Any: JSON
        """Yield the lines of what is known, and remove the file behind the last one."""
        path = self.folder / f"{one.name}{_KNOWN}"
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
        with suppress(OSError):
            path.unlink()


@dataclass(frozen=True, kw_only=True)
class Try:
    """One that makes samples: a run, and its token of now. By their `name`, as text, newer ones come later."""

    run_id: int
    token: int

    @property
    def name(self) -> str:
        """Return what its files begin with."""
        return f"{self.run_id:012d}-{self.token:06d}"


@dataclass(frozen=True, kw_only=True)
class Question:
    """A try that waits for what is known, and the generator of each domain with its version."""

    asker: Try
    generators: Mapping[str, str]


class Damaged(Exception):
    """A batch that a disk has damaged; its argument is the name of the file."""


def read_batch(path: Path) -> list[Row]:
    """Return the rows of a batch.

    Raises:
        Damaged: it is none.
    """
    try:
        rows: list[Row] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise Damaged(path.name) from error
    return rows


@dataclass(frozen=True, kw_only=True)
class CellLine:
    """What is known of a cell, as a line of what is said to a generator."""

    domain: str
    cell: str
    known: Known

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {"domain": self.domain, "cell": self.cell, **asdict(self.known)}

    @classmethod
    def from_json(cls, line: dict[str, Any]) -> "CellLine":
        """Return what `to_json` made."""
        values = dict(line)
        domain, cell = values.pop("domain"), values.pop("cell")
        return cls(domain=domain, cell=cell, known=Known(**values))


@dataclass(frozen=True, kw_only=True)
class TextLine:
    """An accepted sample, as a line of what is said to a generator: `pilot` says whether it belongs to the pilot."""

    domain: str
    cell: str
    number: int
    pilot: int
    body: str
    skeleton: str

    def to_json(self) -> list[Any]:
        """Return it as a JSON-able list."""
        return [self.domain, self.cell, self.number, self.pilot, self.body, self.skeleton]

    @classmethod
    def from_json(cls, line: list[Any]) -> "TextLine":
        """Return what `to_json` made."""
        domain, cell, number, pilot, body, skeleton = line
        return cls(domain=domain, cell=cell, number=number, pilot=pilot, body=body, skeleton=skeleton)
