"""The models that a daemon serves: routed by the splits, loaded on demand, each request's outcome handed on.

Nothing heavy is loaded before the first request: a trainer brings NumPy when it is asked for.
"""

import logging
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, assert_never

from overnight.app.fetched import Files
from overnight.app.journal import logfmt
from overnight.app.workplace import Workplace
from overnight.base.errors import (
    DeployFailed,
    HardFailure,
    ModelFailed,
    ModelTimedOut,
    NoTurn,
    OvernightError,
    UnknownName,
    UserMistake,
    said_by,
)
from overnight.base.serving_settings import DeployerSettings, ServedSettings
from overnight.base.settings import environment
from overnight.base.vocabulary import suggestion
from overnight.registry import store as registry
from overnight.registry.deployments import SHADOWED
from overnight.registry.routing import Split, chosen, share
from overnight.serving import shadow
from overnight.serving.deployers.command import Command
from overnight.serving.deployers.http_hook import HttpHook
from overnight.serving.deployers.inside import Inside
from overnight.serving.host import Answered, ModelHost
from overnight.serving.outcomes import Outcomes, Served, Sink
from overnight.serving.ports import Deployer, VersionRef
from overnight.serving.requests import Request, record
from overnight.serving.resident import Resident
from overnight.serving.shadow import Asked, Compared, Shadows
from overnight.serving.turns import Turns

MOST_INPUTS = 1000
"""Of one request."""
LOOK_EVERY_S = 1.0
"""Between two looks at the splits; what this process changes is looked at at once."""
LINGER_S = 10.0
"""How long a version stays resident that no split names any more, for requests that were routed before."""
_RECORD_WAIT_S = 1.0
_NEWS = frozenset({"deployment", "model_ready"})
_log = logging.getLogger("overnight.serving")


@dataclass(frozen=True, kw_only=True)
class Predicted:
    """What was answered, by which version, and under which ids outcomes may be told later."""

    outputs: list[Any]
    model_version: str
    request_ids: list[str]


class Models:
    """What answers requests in this process. Safe to use from any thread; `close` it."""

    def __init__(
        self,
        project: Workplace,
        *,
        splits: Callable[[Workplace], Mapping[str, Split]],
        sink: Sink | None = None,
        hard_failure: Callable[[int, str], object] | None = None,
    ) -> None:
        """`sink` takes the outcomes; `hard_failure` is told (deployment, reason)."""
        self._project, self._ask_splits, self._sink, self._hard_failure = project, splits, sink, hard_failure
        self.files = Files(project)
        self.host = ModelHost(self.files.load, now_s=project.clock.monotonic, timeout_s=self._timeout_s)
        self.turns = Turns(project.clock.monotonic)
        self._alone = set[str]()
        """Models of which this process has a candidate in the champion's place, because a split said so."""
        self._splits: Mapping[str, Split] = {}
        self._look_at = float("-inf")
        self._looking = threading.Lock()
        self._idle_since: dict[tuple[str, str], float] = {}
        self._pinned = set[tuple[str, str]]()
        self._broken: dict[tuple[str, str, int | None], str] = {}
        self._starting = threading.Lock()
        self._outcomes: Outcomes | None = None
        self._shadows: Shadows | None = None
        for model in project.config.models:
            # A mistake in the settings is told before anything serves.
            self.deployer(model)

    def close(self) -> None:
        """Hand on the outcomes that wait."""
        for one in (self._shadows, self._outcomes):
            if one is not None:
                one.close()

    def tell(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Look at the splits again at the next request, if these events may have changed them."""
        if any(event.get("event") in _NEWS for event in events):
            self._look_at = float("-inf")

    # Answering.

    def predict(self, model: str, inputs: Sequence[Any], key: str | None = None) -> Predicted:  # Any: JSON
        """Answer a request by the version that its key is assigned to; without `key`, by chance.

        Where a candidate fails, in whatever way, the champion answers, and the failure counts.

        Raises:
            UnknownName: no version of the model serves.
            UserMistake: an input does not fit, or there are too many.
            ModelFailed: the champion failed.
        """
        if not 0 < len(inputs) <= MOST_INPUTS:
            raise UserMistake(f"inputs: {len(inputs):,}; 1 to {MOST_INPUTS:,} can be answered at a time")
        settings = self._project.config.models.get(model)
        if settings is not None and settings.deployer.kind != "inside":
            raise UserMistake(f"{model!r} is served elsewhere, as [models.{model}.deployer] says; ask there")
        split = self._split(model)
        call = _Call(model=model, inputs=inputs, key=key or uuid.uuid4().hex, split=split)
        if split.shadow and split.candidate is not None:
            answered = self._shadowed(call, split.candidate)
        else:
            answered = self._routed(call, chosen(split, call.key))
        self._record(call, answered)
        return Predicted(outputs=answered.outputs, model_version=answered.number, request_ids=call.request_ids)

    def _routed(self, call: "_Call", number: str) -> Answered:
        percentage, champion = share(call.split), call.split.champion
        failed: OvernightError
        try:
            answered = self._ask(call.split, number, call.inputs)
        except (ModelFailed, UserMistake, DeployFailed) as error:
            if number == champion:
                if isinstance(error, ModelFailed) and not isinstance(error, NoTurn):
                    self._count(call, number, percentage, error)
                raise
            failed = error
            _log.warning("event=candidate_failed %s", logfmt({"model": call.model, "error": said_by(error)}))
        else:
            if answered.number == number:
                # Where versions take turns, another one may have come meanwhile: it tells nothing about a share.
                self._count(call, number, percentage, answered)
            return answered
        try:
            answered = self._ask(call.split, champion, call.inputs)
        except UserMistake:
            # Both say that it is the input that is wrong.
            raise
        except OvernightError:
            self._count(call, number, percentage, failed)
            raise
        self._count(call, number, percentage, failed)
        return answered

    def _shadowed(self, call: "_Call", candidate: str) -> Answered:
        """Answer by the champion, and have the candidate asked afterwards."""
        split = call.split
        answered, failed = None, None
        came: Answered | ModelFailed
        try:
            answered = came = self._ask(split, split.champion, call.inputs)
        except ModelFailed as error:
            failed = came = error

        def done(other: Answered | ModelFailed | None) -> None:
            # Both answers count, or the champion's alone: which of two an error is of is even only among pairs.
            self._count(call, split.champion, 0.0 if other is None else SHADOWED, came)
            if other is not None:
                self._count(call, candidate, SHADOWED, other)

        asked = Asked(
            model=call.model,
            champion=split.champion,
            candidate=candidate,
            deployment_id=split.deployment_id,
            inputs=call.inputs,
            answered=answered,
            done=done,
        )
        with self._starting:
            if self._shadows is None:
                self._shadows = Shadows(self._ask_shadow, self._keep)
        self._shadows.put(asked)
        if answered is None:
            assert failed is not None
            raise failed
        return answered

    def ask(self, model: str, number: str, inputs: Sequence[Any]) -> Answered:
        """Ask a version, loaded for that if need be; nothing is counted or recorded.

        Raises: see `predict`; and DeployFailed, where it cannot be loaded.
        """
        return self.host.ask(self._resident(self._split(model), number), inputs)

    def _ask(self, split: Split, number: str, inputs: Sequence[Any]) -> Answered:
        """Return what a version answers; tell of a candidate that has failed for good, and ask it no more."""
        if number == split.champion and not split.alone:
            return self.host.ask(self._resident(split, number), inputs)
        key = (split.model, number, split.deployment_id)
        if key in self._broken:
            raise HardFailure(self._broken[key])
        try:
            return self.host.ask(self._resident(split, number), inputs)
        except (HardFailure, DeployFailed) as error:
            self._broken[key] = said_by(error)
            if self._hard_failure is not None and split.deployment_id is not None:
                try:
                    self._hard_failure(split.deployment_id, said_by(error))
                except OvernightError as trouble:
                    _log.error("event=hard_failure_untold %s", logfmt({"error": said_by(trouble)}))
            raise

    def _resident(self, split: Split, number: str) -> Resident:
        """Return a version, loaded if need be; who holds it is answered, whatever is taken away meanwhile."""
        resident = self.host.residents(split.model).get(number)
        if resident is None:
            # Nobody removes the files in between, or finds out that there is room for one only.
            with self.files.lock:
                if self._has_room(split):
                    resident = self.host.load(self.ref(split.model, number))
        if resident is None:
            return self._in_turn(split.model)
        serves = self._splits.get(split.model, split).champion
        if number == serves and self.host.champion(split.model) != number:
            # Where it was taken away in between, another one serves by now.
            with suppress(DeployFailed):
                self.host.swap(resident.ref)
        return resident

    def _has_room(self, split: Split) -> bool:
        """Return whether a version may be loaded beside another one."""
        if split.alone or split.model in self._alone:
            return False
        # Where both are to answer although there is no room, a person has said so.
        return split.shadow or share(split) > 0 or not self.turns.single(split.model)

    def _in_turn(self, model: str) -> Resident:
        """Return the version that is to answer now; where another one has the only place, it gets that."""

        def find() -> Resident | None:
            return self.host.residents(model).get(self._split(model).champion)

        def change() -> Resident:
            split = self._split(model)
            for other in self.host.residents(model).values():
                self.take_away(other.ref)
            with self.files.lock:
                resident = self.host.load(self.ref(model, split.champion))
            self.host.swap(resident.ref)
            if split.alone:
                self._alone.add(model)
            return resident

        return self.turns.wait(model, find, change, self._timeout_s(model))

    @contextmanager
    def turn(self, model: str) -> Iterator[Callable[[], bool]]:
        """Have versions of a model take turns; see `serving.turns`."""
        self.turns.begin(model)
        with self.turns.turn(model) as wanted:
            # Who began to load the other version before has done so.
            with self.files.lock:
                pass
            yield wanted

    def _timeout_s(self, model: str) -> float:
        return self._project.config.models.get(model, ServedSettings()).timeout_s

    # Splits and versions.

    def _split(self, model: str) -> Split:
        # At first all wait for the one that looks; later they go on with what they know.
        if self._due() and self._looking.acquire(blocking=not self._splits):
            try:
                if self._due():
                    self._look()
            except OvernightError as error:
                if not self._splits:
                    raise
                _log.error("event=splits_not_read %s", logfmt({"error": said_by(error)}))
            finally:
                self._looking.release()
        split = self._splits.get(model)
        if split is None:
            with self._project.database.read() as connection:
                known = registry.models(connection)
            if model in known:
                raise UnknownName(f"no version of {model!r} serves yet; `overnight deploy` lets one serve")
            raise UnknownName(f"there is no model {model!r}{suggestion(model, known)}")
        return split

    def _due(self) -> bool:
        return not self._splits or self._project.clock.monotonic() >= self._look_at

    def _look(self) -> None:
        """Take up the splits of now, and take away the versions that none has named for a while."""
        now = self._project.clock.monotonic()
        self._look_at = now + LOOK_EVERY_S
        self._splits = dict(self._ask_splits(self._project))
        for model in list(self._alone):
            split = self._splits.get(model)
            if split is None or (not split.alone and split.champion in self.host.residents(model)):
                # Its turn is over: what serves now is there.
                self._alone.discard(model)
        needed = {(one.model, number) for one in self._splits.values() for number in (one.champion, one.candidate)}
        for resident in self.host.all_residents():
            name = (resident.ref.model, resident.ref.number)
            if name in needed | self._pinned:
                self._idle_since.pop(name, None)
            elif now - self._idle_since.setdefault(name, now) >= LINGER_S and not resident.in_flight:
                self.take_away(resident.ref)

    def take_away(self, ref: VersionRef) -> None:
        """Have a version answer no longer, and remove the copy of its files."""
        self._idle_since.pop((ref.model, ref.number), None)
        self.host.unload(ref)
        with self.files.lock:
            if ref.number not in self.host.residents(ref.model):
                self.files.remove(ref)

    def deployer(self, model: str) -> Deployer:
        """Return what makes versions of a model serve, as its settings say.

        Raises:
            ConfigError: they do not go together.
        """
        configured = self._project.config.models.get(model)
        settings = DeployerSettings() if configured is None else configured.deployer
        where = f"models.{model}.deployer"
        match settings.kind:
            case "inside":
                return _Pinning(self)
            case "http":
                return HttpHook(settings, where)
            case "command":
                return Command(settings, where, env=environment(), cwd=str(self._project.folder))
            case _:
                assert_never(settings.kind)

    def pin(self, ref: VersionRef) -> None:
        """Keep a version resident whether a split names it or not."""
        self._pinned.add((ref.model, ref.number))

    def unpin(self, ref: VersionRef) -> None:
        """Undo `pin`."""
        self._pinned.discard((ref.model, ref.number))

    def ref(self, model: str, number: str) -> VersionRef:
        """Return a version whose files lie in a folder, verified.

        Raises:
            UnknownName: there is no such version.
            HardFailure: its files are missing or altered.
        """
        resident = number in self.host.residents(model)
        return self.files.named(model, number) if resident else self.files.fetch(model, number)

    # What is kept of a request.

    def _ask_shadow(self, asked: Asked) -> Answered:
        return self._ask(self._split(asked.model), asked.candidate, asked.inputs)

    def _keep(self, sums: list[Compared]) -> None:
        try:
            self._project.database.writer.do(lambda tx: shadow.add(tx, sums))
        except OvernightError as error:
            _log.error("event=shadow_not_recorded %s", logfmt({"error": said_by(error)}))

    def _count(self, call: "_Call", number: str, percentage: float, came: Answered | OvernightError) -> None:
        """Hand on what came of a call: one outcome, however many inputs it has; its latency is that of one input."""
        if self._sink is None:
            return
        with self._starting:
            if self._outcomes is None:
                self._outcomes = Outcomes(self._sink)
        self._outcomes.put(
            Served(
                request_id=call.request_ids[0],
                model=call.model,
                key=call.key,
                version=number,
                percentage=percentage,
                deployment_id=call.split.deployment_id,
                ok=isinstance(came, Answered),
                timed_out=isinstance(came, ModelTimedOut),
                invalid=False,
                latency_ms=came.ms / len(call.inputs) if isinstance(came, Answered) else None,
                score=None,
                at_us=self._project.clock.now_us(),
            )
        )

    def _record(self, call: "_Call", answered: Answered) -> None:
        """Record the requests that are to be recorded; a database that cannot take them costs nobody his answer."""
        settings = self._project.config.models.get(call.model)
        part = 0.0 if settings is None else float(settings.record)
        now_us = self._project.clock.now_us()
        some = [
            Request(
                request_id=request_id,
                model=call.model,
                version=answered.number,
                key=call.key,
                input=one,
                output=output,
                at_us=now_us,
            )
            for request_id, one, output in zip(call.request_ids, call.inputs, answered.outputs, strict=True)
            if int(request_id[:8], 16) < part * 2**32
        ]
        if some:
            writer, now_s = self._project.database.writer, self._project.clock.monotonic
            until = now_s() + _RECORD_WAIT_S

            def meanwhile() -> None:
                if now_s() >= until:
                    raise TimeoutError

            try:
                # Waited for, so that an outcome may be told as soon as the answer is there.
                writer.wait(writer.join(record, some), meanwhile)
            except TimeoutError:
                _log.info("event=requests_recorded_late model=%s", call.model)
            except OvernightError as error:
                _log.error("event=requests_not_recorded %s", logfmt({"error": said_by(error)}))


class _Pinning(Inside):
    """Makes versions serve here: one that was asked for stays until it is taken away, whatever the splits say."""

    def __init__(self, models: Models) -> None:
        super().__init__(models.host)
        self._models = models

    def load(self, version: VersionRef) -> None:
        """Load the version, and keep it."""
        self._models.pin(version)
        super().load(version)

    def unload(self, version: VersionRef) -> None:
        """Take the version away."""
        self._models.unpin(version)
        self._models.take_away(version)


class _Call:
    """One request: its inputs have one key, and an id each."""

    def __init__(self, *, model: str, inputs: Sequence[Any], key: str, split: Split) -> None:
        self.model, self.inputs, self.key, self.split = model, inputs, key, split
        self.request_ids = [uuid.uuid4().hex for _ in inputs]
