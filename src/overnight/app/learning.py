"""Strategy learning of a project: begun, looked at, and its defaults set and taken back, from any process."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from overnight.app.seeing import result_of
from overnight.app.workplace import Workplace
from overnight.base.errors import UserMistake
from overnight.base.files import text_of, to_json
from overnight.base.ids import RunId
from overnight.base.instants import iso
from overnight.base.learning import CAMPAIGNS, JOBS, LEARN, TASKS
from overnight.base.settings import user
from overnight.base.vocabulary import suggestion
from overnight.db.writer import Tx
from overnight.engine import store as runs
from overnight.engine.model import Run
from overnight.engine.submit import Request, submit
from overnight.flows.learning import parts
from overnight.flows.learning.files import profiles_json
from overnight.learning import custom, store
from overnight.learning.choosing import Chosen, choose
from overnight.learning.coding.families import FLEET
from overnight.learning.defaults import ALL, Change, Choice, How, before_last, newest_learned, outdated, set_by
from overnight.learning.drawing import all_types, types_of
from overnight.learning.estimating import Estimate, estimates
from overnight.learning.evidence import from_file, to_file
from overnight.learning.exercises import complexity_of
from overnight.learning.scoring import weights_of
from overnight.learning.strategies import named, strategies_of
from overnight.learning.transfer import EPOCHS, transferred
from overnight.training.kinds import BUILT_IN, Kind, load_trainer

Json = dict[str, Any]


def begin(project: Workplace, wish: Mapping[str, Any]) -> tuple[RunId, bool]:
    """Ask for a run that learns, or return the one that has not ended; and whether there was one already.

    Raises:
        ConfigError, UserMistake: the settings, or what is wished for, do not go together, or one that has not ended
            was begun with another wish.
    """
    strategies_of(project.config.learning)
    weights_of(project.config.learning.weights)
    tasks = wish.get("tasks")
    custom.check_agent(tasks or (), wish.get("focus"), project.config.learning.agent.command)
    if wish.get("focus") is not None:
        own = None if tasks is None else sorted({str(one["type"]) for one in tasks})
        known = (*types_of(wish["complexity"], agent=True), FLEET)
        _check_type(str(wish["focus"]), known if own is None else own)
    args = to_json({"by": user(), **wish}, what="what is to be learned")

    def change(tx: Tx) -> tuple[RunId, bool]:
        newest = runs.newest(tx.connection, limit=1, task_id=LEARN)
        if newest and not newest[0].state.final:
            _check_same(newest[0], json.loads(args))
            return newest[0].run_id, True
        tx.news = True
        [run_id] = submit(tx, [Request(task_id=LEARN, args=args)])
        return RunId(run_id), False

    return project.database.writer.do(change)


def _check_same(run: Run, wish: Mapping[str, Any]) -> None:
    begun = json.loads(run.args or "{}")
    if _options(begun) == _options(wish):
        return
    others = ", of other exercises" if begun.get("tasks") and wish.get("tasks") not in (None, begun["tasks"]) else ""
    raise UserMistake(
        f"run {run.run_id} has not ended, which was begun by `{_command(begun)}`{others}: "
        f"that command goes on with it, and `overnight runs cancel {run.run_id}` drops it"
    )


def _options(wish: Mapping[str, Any]) -> Json:
    """Return what a session goes by, whoever wishes for it."""
    usual = {"validate": True, "focus": None, "tasks": None, "budget_s": None}
    return {**usual, **{name: value for name, value in wish.items() if name != "by"}}


def _command(wish: Mapping[str, Any]) -> str:
    """Return the command that wishes for it; the file of its exercises is not known any more."""
    told = _options(wish)
    words = [
        "overnight learn",
        *(["run", f"--iterations {told['iterations']}"] if told["iterations"] else ["validate"]),
    ]
    words += [f"--complexity {told['complexity']}", *([] if told["validate"] else ["--no-validate"])]
    words += [] if told["focus"] is None else [f"--focus {told['focus']}"]
    words += [] if told["tasks"] is None else ["--tasks FILE"]
    words += [] if told["budget_s"] is None else [f"--budget {told['budget_s']:g}s"]
    return " ".join(words)


def learn(project: Workplace, wish: Mapping[str, Any]) -> Json:
    """Begin or go on with learning, see it through, and return what came of it.

    Raises:
        RunFailed: nothing could be executed; and see `begin`.
        UserMistake: there is no such complexity, or an exercise of the wish cannot be executed.
    """
    complexity_of(wish["complexity"])
    if wish["tasks"] is not None:
        told = custom.read(to_json({"tasks": list(wish["tasks"])}), toml=False)
        wish = {**wish, "tasks": [one.to_dict() for one in told]}
    run_id, _ = begin(project, wish)
    return {"run_id": run_id, **result_of(project, run_id, "the learning")}


def tasks_of(path: Path) -> list[Json]:
    """Return the exercises of a file, JSON or (where it ends in .toml) TOML.

    Raises:
        UserMistake: it cannot be read, or an exercise of it cannot be executed; the message names file and place.
    """
    told = text_of(path)
    try:
        return [one.to_dict() for one in custom.read(told, toml=path.suffix == ".toml")]
    except UserMistake as error:
        raise UserMistake(f"{path}: {error}") from None


def status(project: Workplace) -> Json:
    """Return what was measured of each strategy, which of them execute and why, and the newest verdict.

    What another project has measured stands apart, as `imported`.
    """
    settings = project.config.learning
    told = parts.terms(settings)
    digests = parts.digests(told)
    with project.database.read() as connection:
        executions = store.executed(connection, digests, weights=told["weights"])
        changes = store.changes(connection)
        verdict = store.newest_verdict(connection)
        imported = store.prior(connection, digests)
    types, choice = sorted({one.type for one in executions}), parts.choices(told, changes)
    return {
        "strategies": profiles_json(told, executions),
        "parameters": told["strategies"],
        "default": asdict(choice(ALL)),
        "types": {type_: asdict(choice(type_)) for type_ in types},
        "verdict": None if verdict is None else {**verdict["verdict"], "at": iso(verdict["at_us"])},
        "imported": [{"project": origin, **asdict(one)} for origin, one in imported],
        "history": [{**asdict(one), "at_us": iso(one.at_us)} for one in changes],
    }


def default_of(project: Workplace, type_: str | None) -> Choice:
    """Return the strategy that executes a type of task, or what none was learned of, and why."""
    with project.database.read() as connection:
        return parts.choices(parts.terms(project.config.learning), store.changes(connection))(type_ or ALL)


def for_training(project: Workplace, kind: Kind, strategy: str, epochs: int) -> tuple[Json, int, dict[str, float]]:
    """Return a strategy as a job keeps it, and the epochs and settings that it means for a trainer.

    "learned" is the one that executes trainings of the model_type, whether it was learned or set.

    Raises:
        UnknownName: there is no such strategy.
        UserMistake: it is an ensemble, or the model_type is trained by a program, whose settings nobody knows.
    """
    if kind.trainer is None:
        raise UserMistake(
            f"strategy: {kind.model_type} is trained by a program, and what its settings are is not known"
        )
    defaults = getattr(load_trainer(kind.model_type, kind.trainer), "DEFAULTS", {})
    one = _chosen(project, f"{JOBS}{kind.model_type}", strategy)
    found = transferred(one.way.training, {**defaults, **kind.settings, EPOCHS: epochs})
    settings = dict(found.settings)
    return {"name": one.name, "why": one.why, "unused": list(found.unused)}, int(settings.pop(EPOCHS)), settings


def for_task(project: Workplace, task_id: str, strategy: str) -> Json:
    """Return a strategy as the argument `strategy` of a task's run: `name`, `why`, `training` and `agent`.

    "learned" is the one that executes the task, whether it was learned or set.

    Raises:
        UnknownName: there is no such strategy.
        UserMistake: it is an ensemble.
    """
    return _chosen(project, f"{TASKS}{task_id}", strategy).to_args()


def _chosen(project: Workplace, type_: str, strategy: str) -> Chosen:
    with project.database.read() as connection:
        return choose(connection, project.config.learning, type_, strategy)


def estimated(project: Workplace, type_: str | None) -> dict[str, Estimate]:
    """Return what each strategy would bring if it executed everything: of a type of task, or of all of them.

    Raises:
        UserMistake: nothing was executed to learn from, of that type or at all.
    """
    with project.database.read() as connection:
        told = parts.terms(project.config.learning)
        found = store.drawn(connection, parts.digests(told), type_, weights=told["weights"])
    if not found:
        raise UserMistake(
            f"nothing was executed to learn from{f' of {type_}' if type_ else ''}; `overnight learn run` does that"
        )
    return estimates(found)


def set_default(project: Workplace, strategy: str, type_: str | None) -> None:
    """Have a strategy execute, whatever is learned, until it is unset.

    Raises:
        UnknownName, UserMistake: there is no such strategy, or no such type.
    """
    named(strategies_of(project.config.learning), strategy)
    if type_ is not None:
        _check_type(type_, _known_types(project))
    _change(project, "set", {type_ or ALL: strategy})


def unset(project: Workplace, type_: str | None) -> None:
    """Take back what a person has set.

    Raises:
        UserMistake: nothing is set.
    """
    with project.database.read() as connection:
        changes = store.changes(connection)
    newest = next(
        (one for one in reversed(changes) if one.type == (type_ or ALL) and one.how in ("set", "unset")), None
    )
    if newest is None or newest.how == "unset":
        raise UserMistake("nothing is set" + (f" for {type_}" if type_ else "") + " that could be unset")
    _change(project, "unset", {type_ or ALL: None})


def rollback(project: Workplace, type_: str | None) -> list[str]:
    """Go back to what executed before the newest strategy that was learned, of a type or wherever it was.

    Returns the types that this concerns, ALL among them.

    Raises:
        UserMistake: nothing was learned.
    """
    with project.database.read() as connection:
        changes = store.changes(connection)
    types = newest_learned(changes) if type_ is None else [type_]
    _change(project, "rolled_back", {one: before_last(changes, one) for one in types})
    return types


def apply(project: Workplace) -> Json:
    """Make the candidate of the newest verdict the default, where it is ACCEPT; return the verdict.

    Raises:
        UserMistake: there is no verdict, its candidate is no strategy any more or has other parameters now, or it
            executes already.
    """
    with project.database.read() as connection:
        found, changes = store.newest_verdict(connection), store.changes(connection)
    if found is None:
        raise UserMistake("nothing was validated yet; `overnight learn run` does it")
    verdict: Json = {**found["verdict"], "verdict_id": found["verdict_id"]}
    if verdict["decision"] == "ACCEPT":
        told = parts.terms(project.config.learning)
        named(strategies_of(project.config.learning), verdict["candidate"])
        wrong = outdated(verdict["candidate"], verdict.get("parameters"), parts.digests(told))
        if wrong is not None:
            raise UserMistake(wrong)
        choice = parts.choices(told, changes)
        types = [
            one for one in set_by(verdict["type"], verdict["types"]) if choice(one).strategy != verdict["candidate"]
        ]
        if not types:
            raise UserMistake(f"{verdict['candidate']} executes already")
        _change(project, "learned", dict.fromkeys(types, verdict["candidate"]), verdict["verdict_id"])
    return verdict


def export(project: Workplace) -> Json:
    """Return what was measured here, for another project.

    Raises:
        UserMistake: nothing was.
    """
    with project.database.read() as connection:
        weights = weights_of(project.config.learning.weights)
        return to_file(store.export(connection, project.config.project.name or project.folder.name, weights))


def take_evidence(project: Workplace, path: Path) -> Json:
    """Take the evidence of another project as a prior.

    Return the `project`, and how much is `new`, `newer` than what came before, `known` and `usable`: evidence is for
    strategies that have the same parameters here.

    Raises:
        UserMistake: the file cannot be read, or is none of another project.
    """
    told = text_of(path)
    try:
        found = from_file(told)
        new, newer = project.database.writer.do(lambda tx: store.note_priors(tx, found, user()))
    except UserMistake as error:
        raise UserMistake(f"{path}: {error}") from None
    digests = parts.digests(parts.terms(project.config.learning))
    usable = sum(one.parameters in digests.get(one.strategy, ()) for one in found.evidence)
    known = len(found.evidence) - new - newer
    return {"project": found.project, "new": new, "newer": newer, "known": known, "usable": usable}


def _change(project: Workplace, how: How, strategies: Mapping[str, str | None], verdict_id: int | None = None) -> None:
    """Keep a change of the default of each of the types."""
    by = user()
    made = [
        Change(type=type_, strategy=strategy, how=how, by=by, at_us=0, verdict_id=verdict_id)
        for type_, strategy in strategies.items()
    ]
    parts.change(project.learning, parts.terms(project.config.learning), made)


def _known_types(project: Workplace) -> list[str]:
    """Return the types that ship, those of the project's work, and those that were executed or had a default."""
    models = {*BUILT_IN, *project.config.training.models}
    own = [f"{TASKS}{entry.task.task_id}" for entry in project.book.own()]
    made = [f"{CAMPAIGNS}{name}" for name in project.config.campaigns]
    with project.database.read() as connection:
        executions, changes = store.executed(connection), store.changes(connection)
    seen = {*(one.type for one in executions), *(one.type for one in changes)} - {ALL}
    ours = [*all_types(), *(f"{JOBS}{one}" for one in sorted(models)), *own, *made]
    return [*ours, *sorted(seen - set(ours))]


def _check_type(type_: str, known: Sequence[str]) -> None:
    if type_ not in known:
        raise UserMistake(f"there is no such type of task as {type_!r}{suggestion(type_, known)}")
