"""Models in this process: loaded beside each other, swapped while they answer, taken away once they are idle.

A request takes one reference to what is resident and answers by that; whatever is loaded, swapped or taken away
meanwhile, it ends on the version that it began on.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from overnight.base.errors import (
    DeployFailed,
    HardFailure,
    MissingExtra,
    ModelFailed,
    ModelTimedOut,
    UnknownName,
    UserMistake,
    said_by,
)
from overnight.serving.answers import Kinds, fault, kind_of, same_schema
from overnight.serving.ports import VersionRef
from overnight.serving.resident import Model, Resident

DRAIN_S = 30.0
"""How long it is waited for the last requests of a version that is taken away; they end well in any case."""
PROBES = 8
"""Inputs that the champion has answered, and that a version is asked before it serves; from so many answers on it is
known what kind of thing the champion answers."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a version has answered, and how long it took, without the wait for its turn."""

    number: str
    outputs: list[Any]  # Any: as the model_type has them
    ms: float


@dataclass(frozen=True, kw_only=True)
class _Place:
    """The versions of one model. Never changed, only replaced."""

    champion: Resident | None = None
    residents: Mapping[str, Resident] = field(default_factory=dict)


class ModelHost:
    """The models of this process. Safe to use from any thread."""

    def __init__(
        self,
        load: Callable[[VersionRef], Model],
        *,
        now_s: Callable[[], float],
        timeout_s: Callable[[str], float],
    ) -> None:
        """`timeout_s` tells how long a model may take for an answer."""
        self._load, self._now_s, self._timeout_s = load, now_s, timeout_s
        self._places: Mapping[str, _Place] = {}
        self._probes: dict[str, tuple[Any, ...]] = {}
        self._kinds: dict[tuple[str, str], tuple[int, Kinds]] = {}
        """How many answers of a champion were seen, and of what kinds they are."""
        self._learning = threading.Lock()
        self._changing = threading.RLock()

    # What is resident.

    def load(self, ref: VersionRef) -> Resident:
        """Make a version resident beside the others, and return it: who holds it can ask it, even when it is let go.

        Raises:
            HardFailure: its files are not what they were, or its code does not load them.
            MissingExtra: what it needs is not installed.
        """
        with self._changing:
            place = self._places.get(ref.model, _Place())
            if ref.number in place.residents:
                return place.residents[ref.number]
            verify(ref)
            try:
                model = self._load(ref)
            except MissingExtra:
                raise
            except Exception as error:
                raise HardFailure(f"{ref.model} {ref.number} does not load: {said_by(error)}") from error
            resident = Resident(ref, model, self._now_s)
            self._replace(ref.model, replace(place, residents={**place.residents, ref.number: resident}))
            return resident

    def healthy(self, ref: VersionRef) -> str | None:
        """Return why a version cannot serve: what it makes of inputs that the champion has answered is no answer."""
        resident = self._places.get(ref.model, _Place()).residents.get(ref.number)
        if resident is None:
            return f"{ref.model} {ref.number} is not loaded"
        probes = list(self._probes.get(ref.model, ()))
        if not probes:
            return None
        try:
            self.ask(resident, probes)
        except (ModelFailed, UserMistake) as error:
            return said_by(error)
        return None

    def swap(self, ref: VersionRef) -> None:
        """Let a version that is resident be the champion.

        Raises:
            DeployFailed: it is not resident.
        """
        with self._changing:
            place = self._places.get(ref.model, _Place())
            resident = place.residents.get(ref.number)
            if resident is None:
                raise DeployFailed(f"{ref.model} {ref.number} is not loaded")
            self._replace(ref.model, replace(place, champion=resident))

    def unload(self, ref: VersionRef, drain_s: float = DRAIN_S) -> None:
        """Take a version away, and wait until it answers nothing any more."""
        with self._changing:
            place = self._places.get(ref.model, _Place())
            resident = place.residents.get(ref.number)
            if resident is None:
                return
            residents = {number: one for number, one in place.residents.items() if one is not resident}
            champion = None if place.champion is resident else place.champion
            self._replace(ref.model, _Place(champion=champion, residents=residents))
            self._kinds.pop((ref.model, ref.number), None)
        resident.wait(drain_s)

    def residents(self, model: str) -> Mapping[str, Resident]:
        """Return the versions of a model that are resident, by number."""
        return self._places.get(model, _Place()).residents

    def all_residents(self) -> list[Resident]:
        """Return all versions that are resident."""
        return [resident for place in self._places.values() for resident in place.residents.values()]

    def champion(self, model: str) -> str | None:
        """Return the version that answers where none is named."""
        champion = self._places.get(model, _Place()).champion
        return None if champion is None else champion.ref.number

    def _replace(self, model: str, place: _Place) -> None:
        self._places = {**self._places, model: place}

    # Answering.

    def answer(self, model: str, inputs: Sequence[Any], number: str | None = None) -> Answered:
        """Return what a version answers; without `number`, the champion.

        Raises:
            UnknownName: it is not resident.
            OvernightError: see `ask`.
        """
        place = self._places.get(model, _Place())
        resident = place.champion if number is None else place.residents.get(number)
        if resident is None:
            raise UnknownName(f"{model} {number or 'has no champion that'} is not loaded")
        return self.ask(resident, inputs)

    def ask(self, resident: Resident, inputs: Sequence[Any]) -> Answered:
        """Return what a version answers that `load` or `residents` has given, taken away since or not.

        Raises:
            UserMistake: an input does not fit.
            HardFailure: what it answers is not finite, or another kind of thing than the champion answers.
            ModelTimedOut: it did not answer in time.
            ModelFailed: it raised something else.
        """
        name = f"{resident.ref.model} {resident.ref.number}"
        try:
            outputs, ms = resident.ask(inputs, self._timeout_s(resident.ref.model))
        except (UserMistake, ModelTimedOut):
            raise
        except Exception as error:
            raise ModelFailed(f"{name} failed: {said_by(error)}") from error
        wrong = fault(outputs, len(inputs)) or self._other_kind(resident, inputs, outputs)
        if wrong:
            raise HardFailure(f"{name}: {wrong}")
        if self._champion_of(resident.ref.model) is resident:
            self._learn(resident.ref, inputs, outputs)
        return Answered(number=resident.ref.number, outputs=outputs, ms=ms)

    def _champion_of(self, model: str) -> Resident | None:
        return self._places.get(model, _Place()).champion

    def _other_kind(self, resident: Resident, inputs: Sequence[Any], outputs: Sequence[Any]) -> str | None:
        """Return in how far these answers are of another kind than those of a champion with the same schema."""
        champion = self._champion_of(resident.ref.model)
        if champion is None or champion is resident or not same_schema(champion.ref.number, resident.ref.number):
            return None
        name = (champion.ref.model, champion.ref.number)
        _, known = self._kinds.get(name, (0, Kinds()))
        if all(known.fit(one) for one in outputs):
            return None
        try:
            # What is rare may have come here first: the champion, asked the same, shows whether it knows it too.
            self.ask(champion, inputs)
        except (ModelFailed, UserMistake):
            return None
        seen, known = self._kinds.get(name, (0, Kinds()))
        other = next((one for one in outputs if not known.fit(one)), None)
        if other is None or seen < PROBES:
            return None
        return f"answers {kind_of(other)} where {champion.ref.number} answers {known}"

    def _learn(self, ref: VersionRef, inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
        """Remember what the champion is asked, and what kinds of things it answers."""
        with self._learning:
            seen, known = self._kinds.get((ref.model, ref.number), (0, Kinds()))
            for output in outputs:
                known = known.with_(output)
            self._kinds[ref.model, ref.number] = (seen + len(outputs), known)
            probes = self._probes.get(ref.model, ())
            if len(probes) < PROBES:
                self._probes[ref.model] = (*probes, *inputs[: PROBES - len(probes)])


def verify(ref: VersionRef) -> None:
    """See to it that the files of a version are what its manifest says.

    Raises:
        HardFailure: one is missing, is another, or is not in the manifest.
    """
    name = f"{ref.model} {ref.number}"
    found = {path.relative_to(ref.folder).as_posix(): path for path in ref.folder.rglob("*") if path.is_file()}
    strange = sorted(set(found) ^ set(ref.manifest))
    if strange:
        raise HardFailure(f"{name}: {strange[0]!r} is {'not in its manifest' if strange[0] in found else 'missing'}")
    for file, about in ref.manifest.items():
        if _digest(found[file]) != about["sha256"]:
            raise HardFailure(f"{name}: {file!r} is altered: its SHA-256 is not that of the manifest")


def verified(ref: VersionRef) -> None:
    """See to it as `verify` does, for what hands the files on to others.

    Raises:
        DeployFailed: they are not what the manifest says.
    """
    try:
        verify(ref)
    except HardFailure as error:
        raise DeployFailed(str(error)) from error


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
