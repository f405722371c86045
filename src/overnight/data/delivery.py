"""Brings an exported dataset to another place, so that whoever sees its manifest there sees all of it.

Everything arrives under temporary names, and is verified where it arrived. Only then the files get their names, and the
manifest last. So a dataset that is there stays as it is, and whole, until the new one can take its place, at the cost
of room for both; while the names change, there is no manifest. What no longer belongs to the dataset is left there.

The new manifest is the first to come, under its temporary name: it says of which dataset the files are that a delivery
which was killed has left behind, also of those that have their names already. The next one goes on from them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from overnight.base.errors import TransientError, UserMistake
from overnight.data.datasets import MANIFEST
from overnight.data.delivery_ssh import SSH, Host
from overnight.data.delivery_store import Store
from overnight.data.shipment import Found, Item, Place, Shipment, Stock, dataset_in, digest_of, shipment_of


@dataclass(frozen=True, kw_only=True)
class Delivered:
    """A dataset that is at its target: `bytes` are those of its `files`, `sent_bytes` what this delivery sent."""

    target: str
    dataset: str
    files: int
    bytes: int
    sent_bytes: int
    manifest_sha256: str


def deliver(
    folder: Path, target: str, *, ssh: Sequence[str] = SSH, progress: Callable[[int, int], None] = lambda *_: None
) -> Delivered:
    """Bring the dataset in `folder`, written by `datasets.write_dataset`, to the target, and return what was done.

    The target is the folder that the dataset is to be: a path here, an fsspec URL ("s3://BUCKET/FOLDER"), or
    "ssh://[USER@]HOST[:PORT]/FOLDER", where "/~/FOLDER" is below the home folder, and needs a POSIX shell there with
    sha256sum or shasum. `ssh` is the client with its options; it must not ask for anything.

    May be repeated, and goes on from what has arrived: a file that is there is not sent again, and over ssh not even
    the first part of one; to other places a file of which only a part was sent is sent anew. There must be no second
    delivery to the same target at the same time. `progress` is told how many bytes of how many have arrived; that may
    fall where a file has to be sent again.

    Raises:
        UserMistake: the folder holds no dataset, the target is none or holds another dataset or may not be written.
        MissingExtra: what such a URL needs is not installed.
        DamagedBlob: a file here is not what the manifest says.
        TransientError: the target cannot be reached or was lost, its disk is full, or a file did not arrive as it was
            sent.
    """
    load = shipment_of(folder)
    place: Place = Host(target, ssh) if target.startswith("ssh://") else Store(target)
    stock = place.look(load.items)
    _check_owner(place, load, stock)
    trip = _Trip(place, load.size, progress)
    lacking = [(item, state) for item, state in zip(load.items, stock.found, strict=True) if not state.whole]
    trip.pass_by(sum(item.size for item, state in zip(load.items, stock.found, strict=True) if state.whole))
    if not lacking and stock.manifest is not None and digest_of(stock.manifest) == load.manifest.sha256:
        trip.pass_by(load.manifest.size)
    else:
        trip.bring(load.manifest, Found())
        for item, state in lacking:
            trip.bring(item, state)
        place.settle([item for item, _ in lacking], load.manifest)
    return Delivered(
        target=place.shown,
        dataset=load.dataset,
        files=len(load.items) + 1,
        bytes=load.size,
        sent_bytes=trip.sent_bytes,
        manifest_sha256=load.manifest.sha256,
    )


def _check_owner(place: Place, load: Shipment, stock: Stock) -> None:
    """Refuse a target that holds something else than this dataset, or a part of it."""
    manifest = stock.coming if stock.manifest is None else stock.manifest
    dataset = None if manifest is None else dataset_in(manifest)
    others = [item.name for item, state in zip(load.items, stock.found, strict=True) if state.other]
    if dataset is not None and dataset != load.dataset:
        raise UserMistake(
            f"{place.shown}: holds the dataset {dataset!r}, and this is {load.dataset!r}: deliver to another folder"
        )
    if dataset is None and (others or stock.manifest is not None):
        raise UserMistake(
            f"{place.shown}: holds another {(others or [MANIFEST])[0]}, of no dataset that is known: "
            "deliver to another folder"
        )


class _Trip:
    """Brings one file after the other, and counts."""

    def __init__(self, place: Place, total: int, progress: Callable[[int, int], None]) -> None:
        self._place, self._total, self._progress = place, total, progress
        self._behind = self._at = self.sent_bytes = 0

    def pass_by(self, size: int) -> None:
        """Count what is there already."""
        self._behind += size
        self._progress(self._behind, self._total)

    def bring(self, item: Item, state: Found) -> None:
        """Bring an item under its temporary name; what is there of it is made use of where it is right."""
        begun = state.part_bytes if item.begins_with(state.part_bytes, state.part_sha256) else 0
        there = state.part_sha256 == item.sha256
        # A part that was right and is not when it is whole: what an earlier try had on its way still came in.
        if not there and not self._send(item, begun) and not self._send(item, 0):
            raise TransientError(f"{self._place.shown}: {item.name} does not arrive there as it is sent")
        self._at = 0
        self.pass_by(item.size)

    def _send(self, item: Item, begun: int) -> bool:
        self._at = begun
        return self._place.send(item, begun, self._count)

    def _count(self, size: int) -> None:
        self._at += size
        self.sent_bytes += size
        self._progress(self._behind + self._at, self._total)
