"""From the accepted samples of a campaign to folders that programs for fine-tuning load."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion
from overnight.campaigns import ledger, record
from overnight.campaigns.intake import stored_text_of
from overnight.campaigns.ports import DRAWN
from overnight.campaigns.record import Launch, Stand
from overnight.data.datasets import Sample, write_dataset
from overnight.db.database import Database
from overnight.text.duplicates import near_duplicates

FORMAT = "chatml"
ALIKE = 0.7
"""Share of equal shingles from which two samples stay together: none is above what the campaign lets through."""
Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Output:
    """A folder that is to be written: `domains` are those whose samples it holds, all where there are none."""

    folder: Path
    domains: Sequence[str] = ()


def export(
    database: Database, name: str, outputs: Sequence[Output], *, form: str = FORMAT, seed: int = 1
) -> list[Json]:
    """Write each of the folders, one after another, and return their manifests with their `folder`.

    Samples of one source text, of one skeleton, or that are alike (`ALIKE`), are in one part: training, validation or
    test.

    Raises:
        UserMistake: there is no such campaign or domain, nothing was accepted, or a folder holds something else.
        MissingExtra: what the files need is not installed.
        OSError: a folder cannot be written; what was there before is untouched.
    """
    with database.read() as connection:
        stand = record.find(connection, name)
        if stand is None:
            raise UserMistake(f"campaign {name!r} was never begun")
        found = list(ledger.exported(connection, stand.campaign_id))
        about = _About(connection, stand)
    known = sorted({one.domain for one in found})
    if not found:
        raise UserMistake(f"campaign {name!r} has no accepted samples to export")
    for output in outputs:
        for domain in output.domains:
            if domain not in known:
                raise UserMistake(f"campaign {name!r} has no samples of {domain!r}{suggestion(domain, known)}")
    return [_written(output, found, about, form, seed) for output in outputs]


def _written(output: Output, found: Sequence[ledger.Exported], about: "_About", form: str, seed: int) -> Json:
    chosen = [one for one in found if not output.domains or one.domain in output.domains]
    alike = near_duplicates([stored_text_of(one.body) for one in chosen], threshold=ALIKE)
    samples = [_sample(one, first) for one, first in zip(chosen, alike, strict=True)]
    said = about.of(output.folder.name, chosen)
    return {"folder": str(output.folder), **write_dataset(samples, output.folder, about=said, form=form, seed=seed)}


def _sample(one: ledger.Exported, alike: int) -> Sample:
    body = json.loads(one.body)
    source = body["source"]
    shared = [] if DRAWN in source else [f"source {source.get('name')}"]
    groups = [*shared, f"skeleton {one.skeleton}", f"alike {alike}"]
    return Sample(conversation=body["messages"], quality_0_1=one.quality, source=source, groups=groups)


class _About:
    """What the card of a data set says of how it was made."""

    def __init__(self, connection: sa.Connection, stand: Stand) -> None:
        self._stand = stand
        self._verdict = record.verdict_of(connection, stand.campaign_id)
        self._launches: Sequence[Launch] = record.launches_of(connection, stand.campaign_id)

    def of(self, name: str, chosen: Sequence[ledger.Exported]) -> Any:  # Any: an About
        """Return the card's words for these samples."""
        from overnight.data.cards import About

        version = "none: no pilot was judged" if self._verdict is None else str(self._verdict["version"])
        return About(name=name, made=list(self._made(chosen)), gate_version=version)

    def _made(self, chosen: Sequence[ledger.Exported]) -> Iterator[str]:
        counts: dict[str, int] = {}
        for one in chosen:
            counts[one.generator] = counts.get(one.generator, 0) + 1
        yield f"campaign {self._stand.name} of Overnight"
        for generator, count in sorted(counts.items()):
            yield f"{count:,} by the generator {generator}"
        if self._verdict is not None:
            yield f"pilot {self._verdict['decision']}: {self._verdict['reason']}"
        for launch in self._launches:
            if launch.forced is not None:
                yield f"launched without an approved pilot by {launch.by}: {launch.forced}"


def outputs_of(given: Mapping[str, Sequence[str]], folder: Path) -> list[Output]:
    """Return outputs by name as folders below the campaign's own."""
    return [Output(folder=folder / name, domains=tuple(domains)) for name, domains in given.items()]
