"""Where versions are resident while they are rolled out, and what recorded requests say of a candidate beforehand."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from overnight.app.models import find_version
from overnight.app.models_host import Models
from overnight.app.reserving import Reservations
from overnight.app.trying import tried
from overnight.app.workplace import Workplace
from overnight.base.errors import DeployFailed, HardFailure, ModelTimedOut, OvernightError, UserMistake, said_by
from overnight.flows.rollout import BESIDE, Room, Stored, Tried
from overnight.registry import deployments, store
from overnight.registry.deployments import Deployment
from overnight.registry.rollout import Status
from overnight.registry.versions import size_of
from overnight.resources.policy import GB
from overnight.serving import requests
from overnight.serving.ports import VersionRef
from overnight.serving.replay import Answer, answers, paired, replay

REPLAYED = 200
"""Recorded requests that both versions are asked, at the most."""
REPLAY_S = 60.0
"""For how long, at the most; one after the other, each for half of it, beside the time that it takes to load one."""


@dataclass(frozen=True, kw_only=True)
class Hosted:
    """Versions that the daemon has loaded, here or by the hooks of `[models.NAME.deployer]`."""

    project: Workplace
    models: Models
    stored: Stored
    """For models that others load."""
    reservations: Reservations

    _serves: dict[str, str] = field(default_factory=dict, init=False)
    """The version that was made the champion last, by model, as far as this process did it."""
    _alone: dict[int, str] = field(default_factory=dict, init=False)
    """Why a candidate cannot be resident beside the champion, by deployment: asked once, it waits for less since."""
    _kept: set[int] = field(default_factory=set, init=False)
    """Deployments whose candidate has its memory from this process."""
    _turns: dict[str, threading.Lock] = field(default_factory=dict, init=False)
    """Who tells the deployer of a model something; see `Deployer`."""

    def room(self, one: Deployment) -> Room | None:
        """Reserve as much memory for the candidate as its files have bytes.

        It waits where runs have that memory; not where services have it, and not where it is to serve at once. Then it
        needs what it has more than the champion, in whose place it can be.
        """
        if not self._served(one):
            return BESIDE
        why = self._alone.get(one.deployment_id)
        if why is None:
            answer = self.reservations.ask(one, self._size(one.model, one.candidate))
            if answer.granted:
                return BESIDE
            if not answer.hopeless and one.plan.strategy != "immediate":
                return None
            why = f"{one.candidate} {answer.why}"
        # Until one of the two is taken away.
        self.models.turns.begin(one.model)
        return self._room_instead(one, why)

    def _room_instead(self, one: Deployment, why: str) -> Room | None:
        """Reserve what it needs in the champion's place, if it is to be tried there."""
        message = why if one.champion is None else f"{why}, where {one.champion} serves"
        if one.champion is None or not (one.plan.replay or one.plan.swaps):
            self.reservations.release(one)
            return Room(beside=False, instead=False, message=message)
        self._alone[one.deployment_id] = why
        size = self._size(one.model, one.candidate)
        answer = self.reservations.ask(one, max(0, size - self._size(one.model, one.champion)))
        if not answer.granted:
            if not answer.hopeless and one.plan.strategy != "immediate":
                return None
            self.reservations.release(one)
        return Room(beside=False, instead=answer.granted, message=message)

    def _size(self, model: str, number: str) -> int:
        return size_of(find_version(self.project, model, number).manifest)

    def load(self, one: Deployment) -> str:
        """Make the candidate resident beside the champion, and see whether it can serve.

        Raises:
            OvernightError: it does not load, or cannot serve.
        """
        if not self._served(one):
            self.stored.load(one)
            return "its files are as they were stored; those who route requests load it"
        with self._turn(one.model), self.reservations.loading(one, here=self._inside(one.model)):
            ref = self._loaded(one)
            self._kept.add(one.deployment_id)
        return f"{one.candidate} is resident beside {one.champion or 'nobody'} ({ref.size / GB:.3g} GB of files)"

    def _loaded(self, one: Deployment) -> VersionRef:
        deployer, ref = self.models.deployer(one.model), self.models.ref(one.model, one.candidate)
        deployer.load(ref)
        wrong = deployer.healthy(ref)
        if wrong is not None:
            deployer.unload(ref)
            raise DeployFailed(f"{one.candidate} cannot serve: {wrong}")
        return ref

    def swap(self, one: Deployment) -> str:
        """Make the candidate resident in the champion's place; where it cannot serve, the champion is back.

        Raises:
            OvernightError: it does not load, or cannot serve.
        """
        if not self._served(one):
            return self.stored.swap(one)
        here = self._inside(one.model)
        with self._turn(one.model), self.models.turn(one.model), self.reservations.loading(one, here=here):
            self._serves.pop(one.model, None)
            self._take_away(one.model, one.champion)
            try:
                ref = self._loaded(one)
            except OvernightError:
                self._instead(one.model, one.candidate, one.champion)
                raise
            self.models.deployer(one.model).swap(ref)
            self._serves[one.model] = one.candidate
            self._kept.add(one.deployment_id)
        return f"{one.candidate} is resident in the place of {one.champion or 'nobody'}"

    def _take_away(self, model: str, number: str | None) -> None:
        if number is not None:
            self.models.deployer(model).unload(self.models.files.named(model, number))

    def _instead(self, model: str, goes: str | None, serves: str | None) -> None:
        """Have one version serve in the place of another one."""
        self._take_away(model, goes)
        self._serves.pop(model, None)
        self._let_serve(model, serves)

    def _beside(self, model: str, goes: str | None, serves: str | None) -> None:
        """Have a version serve, and take another one away then."""
        self._let_serve(model, serves)
        self._take_away(model, goes)

    def _let_serve(self, model: str, number: str | None) -> None:
        if number is not None:
            deployer, ref = self.models.deployer(model), self.models.ref(model, number)
            deployer.load(ref)
            deployer.swap(ref)
            self._serves[model] = number

    def unload(self, one: Deployment) -> str:
        """Let the version that serves from now on be the champion, and take the other one away.

        Where that fails, and the other one still serves, it is caught up with.
        """
        if not self._served(one):
            return self.stored.unload(one)
        serves = one.state.status is Status.COMPLETED and not one.plan.shadow
        stays, goes = (one.candidate, one.champion) if serves else (one.champion, one.candidate)
        # The champion is not there any more.
        swapped = one.state.alone or self._serves.get(one.model) == one.candidate
        try:
            with self._turn(one.model):
                if not (serves or swapped):
                    self._take_away(one.model, goes)
                elif not swapped and self._fits_beside(one):
                    self._beside(one.model, goes, stays)
                else:
                    with self.models.turn(one.model):
                        self._instead(one.model, None if serves and swapped else goes, stays)
        finally:
            self.reservations.release(one)
            self._alone.pop(one.deployment_id, None)
            self._kept.discard(one.deployment_id)
            if goes is None or self._serves.get(one.model) != goes:
                self.models.turns.end(one.model)
        return f"{stays or 'nobody'} serves" + (f"; {goes} is unloaded" if goes else ", and nothing else is resident")

    def _fits_beside(self, one: Deployment) -> bool:
        """Tell whether both may be resident in the end; a version may have been let to serve before it was there."""
        return one.state.opened or self.reservations.ask(one, self._size(one.model, one.candidate)).granted

    def behind(self) -> dict[str, str]:
        """Return the champions that were not made to serve yet, by model.

        Of models that others load, those that are being rolled out, and those of this process that nobody has asked
        yet, none is.
        """
        models = self.project.config.models
        ours = {one.ref.model for one in self.models.host.all_residents()}
        ours |= {name for name in models if not self._inside(name)}
        if not ours:
            return {}
        with self.project.database.read() as connection:
            champions = store.champions(connection)
            ours -= deployments.open_ids(connection).keys()
        return {name: number for name, number in champions.items() if name in ours and self._serves.get(name) != number}

    def catch_up(self, model: str) -> None:
        """Make the champion serve, if that was not done yet, and take away the version that served before.

        Raises:
            OvernightError: one of the two cannot be done; a version that cannot be taken away is left.
        """
        with self._turn(model):
            number = self.behind().get(model)
            if number is None:
                return
            before = self._serves.get(model)
            if self.models.turns.single(model):
                with self.models.turn(model):
                    self._instead(model, before, number)
                self.models.turns.end(model)
            else:
                self._beside(model, before, number)

    def without_memory(self) -> list[Deployment]:
        """Return the rollouts whose candidate may be asked here, and has no memory from this process yet."""
        with self.project.database.read() as connection:
            # Asked each second: what was counted is read only of those that may be among them.
            ids = deployments.open_ids(connection).items()
            new = [number for model, number in ids if number not in self._kept and self._inside(model)]
            found = [one for number in new if (one := deployments.find(connection, number)) is not None]
        return [one for one in found if (one.state.opened or one.state.loaded) and self._served(one)]

    def keep(self, model: str) -> None:
        """Reserve memory for a candidate that was resident before this process began, and load it once it has some.

        Raises:
            OvernightError: it has none yet, or does not load.
        """
        with self._turn(model):
            for one in self.without_memory():
                if one.model == model:
                    self._keep(one)

    def _keep(self, one: Deployment) -> None:
        size = self._size(one.model, one.candidate)
        if one.state.alone:
            assert one.champion is not None, "it is in its place"
            size = max(0, size - self._size(one.model, one.champion))
        answer = self.reservations.ask(one, size)
        if not answer.granted:
            raise DeployFailed(f"{one.candidate} {answer.why}")
        if not one.state.alone:
            # Who asks an alone one loads it in its turn.
            with self.reservations.loading(one, here=True):
                self.models.deployer(one.model).load(self.models.ref(one.model, one.candidate))
        self._kept.add(one.deployment_id)

    def elsewhere(self) -> list[str]:
        """Return the models that others serve, and that have been told of their champion."""
        return [model for model in list(self._serves) if not self._inside(model)]

    def ask_after(self, model: str) -> str | None:
        """Return why whoever serves a model elsewhere cannot; it may have begun anew, and is told again what serves.

        Raises:
            OvernightError: that cannot be done in the middle of a rollout; else `catch_up` does it.
        """
        with self._turn(model):
            number = self._serves.get(model)
            if number is None:
                return None
            with self.project.database.read() as connection:
                one = deployments.open_of(connection, model)
            alone = one is not None and one.state.alone
            deployer = self.models.deployer(model)
            serves = self.models.ref(model, one.candidate if one is not None and alone else number)
            wrong = deployer.healthy(serves)
            if wrong is None:
                return None
            if one is None:
                del self._serves[model]
                return wrong
            deployer.load(serves)
            deployer.swap(serves)
            if one.state.opened and not alone:
                deployer.load(self.models.ref(model, one.candidate))
            return wrong

    def _turn(self, model: str) -> threading.Lock:
        return self._turns.setdefault(model, threading.Lock())

    def replay(self, one: Deployment, room: Room) -> Tried | None:
        """Put recorded requests to both versions: what only one of them can answer, or answers right, decides.

        Where there is room for one only, the candidate is there as long as nobody asks; who does has the champion back.
        """
        try:
            return self._replayed(one, room)
        finally:
            if not (room.beside or one.plan.swaps):
                # Nobody knows when a person decides, and whether it is ever loaded then.
                self.reservations.release(one)

    def _replayed(self, one: Deployment, room: Room) -> Tried | None:
        if one.champion is None or not self._inside(one.model) or not self._served(one):
            return None
        with self.project.database.read() as connection:
            recorded = requests.newest(connection, one.model, REPLAYED)

        def asked(number: str) -> Callable[[object], Answer]:
            return lambda item: self._answer(one.model, number, item)

        if room.beside:
            over = self._over_in(REPLAY_S)
            within = (item for item in recorded if not over())
            return tried(replay(within, asked(one.champion), asked(one.candidate)))
        # Each has its time: what is asked of one only makes no pair.
        theirs = answers(recorded, asked(one.champion), stop=self._over_in(REPLAY_S / 2))
        if not theirs:
            return None
        with self._turn(one.model), self.models.turn(one.model) as wanted:
            self._take_away(one.model, one.champion)
            try:
                self.models.deployer(one.model).load(self.models.ref(one.model, one.candidate))
                over = self._over_in(REPLAY_S / 2)
                mine = answers(recorded, asked(one.candidate), stop=lambda: wanted() or over())
            except OvernightError as error:
                mine = [Answer(ok=False, hard=True, error=said_by(error))]
            finally:
                self._instead(one.model, one.candidate, one.champion)
        return tried(paired(recorded, theirs, mine))

    def _over_in(self, seconds: float) -> Callable[[], bool]:
        """Return what tells whether so much time has passed from now on."""
        now_s = self.project.clock.monotonic
        until_s = now_s() + seconds
        return lambda: now_s() >= until_s

    def _answer(self, model: str, number: str, item: object) -> Answer:
        try:
            answered = self.models.ask(model, number, [item])
        except HardFailure as error:
            return Answer(ok=False, hard=True, error=said_by(error))
        except UserMistake as error:
            return Answer(ok=False, invalid=True, error=said_by(error))
        except OvernightError as error:
            return Answer(ok=False, timed_out=isinstance(error, ModelTimedOut), error=said_by(error))
        return Answer(ok=True, output=answered.outputs[0], ms=answered.ms)

    def _served(self, one: Deployment) -> bool:
        """Tell whether this daemon, or what its settings name, makes versions of the model serve."""
        if not self._inside(one.model):
            return True
        signature = find_version(self.project, one.model, one.candidate).signature
        return isinstance(signature.get("trainer"), str)

    def _inside(self, model: str) -> bool:
        settings = self.project.config.models.get(model)
        return settings is None or settings.deployer.kind == "inside"
