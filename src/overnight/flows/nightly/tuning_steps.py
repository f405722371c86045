"""The steps of tuning: each reads and writes the database and files, and returns what the next one needs, as JSON."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from overnight.base.errors import PermanentError, UserMistake
from overnight.base.files import replace_file, write_json
from overnight.data.snapshots import canonical, records_of
from overnight.db.writer import Tx
from overnight.engine import store as runs
from overnight.engine.model import State
from overnight.flows.nightly.night import Json, Nightly
from overnight.flows.nightly.records import Record, held_out_of
from overnight.flows.nightly.trainings import SEED, fetch_parents, lay_out, settings_of, spec_of
from overnight.proof.gate import Decision
from overnight.proof.multiple import lord
from overnight.proof.splits import choose_held_out
from overnight.registry import store, verdicts
from overnight.registry.versions import Version
from overnight.reports.nightly import BASELINE
from overnight.training.tuning import ledger
from overnight.training.tuning.halving import CURRENT, next_places, rungs_of, winner_of
from overnight.training.tuning.ledger import Change, Tried
from overnight.training.tuning.sampler import Known, suggest
from overnight.training.tuning.space import Range, size_of
from overnight.training.tuning.trial import TRAINING, VALIDATION
from overnight.training.versions import ABOUT

VALIDATION_SHARE, FEWEST_VALIDATION = 0.25, 100
"""Of the training items; more than that share where it takes more to reach this number, but never more than half."""
FEWEST = 20
"""Training items below which nothing is tried."""
LEARNT = "learnt.json"


def version_of(night: Nightly, name: str) -> Version:
    """Return the version of an agent whose training items are those of the trials.

    The one that serves; where none does, because the current parameters were refused, the newest one.

    Raises:
        UserMistake: there is none, or what it has learnt from is not known.
    """
    with night.database.read() as connection:
        version = store.serving(connection, name) or store.newest(connection, name)
    if version is None:
        raise UserMistake(f"agent {name!r} was not trained yet: `overnight train --agent {name}` comes first")
    if version.run_id is None or not version.manifest or version.removed_us is not None:
        raise UserMistake(f"version {version.number} of agent {name!r} does not tell what it has learnt from any more")
    return version


def begin(night: Nightly, run_id: int, wish: Json) -> Json:
    """Lay out what trials read, and return all that the tuning goes by."""
    name = wish["agent"]
    if name not in night.agents:
        raise UserMistake(f"there is no agent {name!r} any more")
    version = version_of(night, name)
    folder = night.work(run_id)
    # An earlier attempt may have gone by another version.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(folder / LEARNT, _learnt(night, version))
    training, _ = _items(night, version.snapshot_id, folder)
    if len(training) < FEWEST:
        raise UserMistake(f"agent {name!r} learns from {len(training)} records; {FEWEST} are needed to try parameters")
    salt = f"tuning {wish['seed']}"
    ids = [record["id"] for record in training]
    split = choose_held_out(ids, share=VALIDATION_SHARE, minimum=FEWEST_VALIDATION, salt=salt)
    replace_file(folder / TRAINING, canonical(training))
    write_json(folder / VALIDATION, list(split.held_out))
    parents, missing = fetch_parents(night, name, folder)
    if missing is not None:
        raise UserMistake(f"agent {missing!r}, whose predictions {name!r} learns from, has no version that serves")
    settings, base = settings_of(night, name), spec_of(name, night.agents[name])
    trials = 1 + min(wish["trials"], size_of(_space(wish)))
    return {
        **{key: wish[key] for key in ("agent", "space", "seed", "by")},
        "tuning_id": run_id,
        "trials": int(trials),
        "settings": settings,
        "basis": ledger.basis_of(base),
        "spec": base,
        "snapshot": version.snapshot_id,
        "parents": parents,
        "rungs": rungs_of(len(split.train)),
    }


def _learnt(night: Nightly, version: Version) -> list[str]:
    """Return the ids of the items that the version was trained on."""
    with TemporaryDirectory() as folder:
        night.registry.fetch(version, Path(folder))
        return list(json.loads((Path(folder) / ABOUT).read_text())["learnt"])


def _items(night: Nightly, snapshot: str, folder: Path) -> tuple[list[Record], list[Record]]:
    """Return the records of the snapshot that the version has learnt from, and those that the gate measures on."""
    records = records_of(night.blobs.get(snapshot))
    learnt = frozenset(json.loads((folder / LEARNT).read_text()))
    held_out = frozenset(held_out_of(records))
    training = [record for record in records if record["id"] in learnt]
    return training, [record for record in records if record["id"] in held_out - learnt]


def _space(told: Json) -> dict[str, Range]:
    return {name: Range.from_dict(one) for name, one in told["space"].items()}


def ask(night: Nightly, begun: Json) -> list[Json]:
    """Return the next wave, of each run `trial`, `rung`, the tuned `parameters` and its `args`; [] if all is done."""
    with night.database.read() as connection:
        rows = ledger.tried(connection, begun["tuning_id"])
    done = [row.evaluation for row in rows]
    parameters = {row.trial: dict(row.parameters) for row in rows}
    known = len(parameters)
    places = next_places(done, trials=begun["trials"], rungs=len(begun["rungs"]))
    fresh = sorted({place.trial for place in places if place.trial >= max(known, 1)})
    parameters.setdefault(
        CURRENT, {name: begun["settings"][name] for name in begun["space"] if name in begun["settings"]}
    )
    new = suggest(_space(begun), _known(rows, begun), count=len(fresh), seed=_seed(begun, known)) if fresh else []
    parameters.update(zip(fresh, new, strict=False))
    places = [place for place in places if place.trial in parameters]
    if not places:
        # All that there is to try was tried: what is among the best may still go on.
        places = next_places(done, trials=known, rungs=len(begun["rungs"]))
    return [
        {
            "trial": place.trial,
            "rung": place.rung,
            "parameters": parameters[place.trial],
            "args": _args(night, begun, place.trial, place.rung, parameters[place.trial]),
        }
        for place in places
    ]


def _args(night: Nightly, begun: Json, trial: int, rung: int, parameters: Mapping[str, object]) -> Json:
    return {
        "agent": {**begun["spec"], "settings": {**begun["settings"], **parameters}},
        "work": str(night.work(begun["tuning_id"])),
        "parents": begun["parents"],
        "seed": SEED,
        "items": begun["rungs"][rung],
        "trial": trial,
        "rung": rung,
    }


def _known(rows: Sequence[Tried], begun: Json) -> list[Known]:
    last = len(begun["rungs"]) - 1
    found = []
    for trial in sorted({row.trial for row in rows}):
        mine = [row for row in rows if row.trial == trial]
        values = {row.rung: row.value for row in mine if row.value is not None}
        found.append(Known(parameters=mine[0].parameters, values=values, ended=last in values))
    return found


def _seed(begun: Json, known: int) -> int:
    """Return the seed of the suggestions that follow on so many trials."""
    return int.from_bytes(hashlib.blake2b(f"{begun['seed']}/{known}".encode(), digest_size=4).digest(), "big")


def tell(night: Nightly, begun: Json, asked: Sequence[Json], ended: Sequence[Json]) -> int:
    """Keep what a wave came to; return how many evaluations have failed.

    Raises:
        PermanentError: the current parameters cannot be tried, so that nothing could be compared with them.
    """
    with night.database.read() as connection:
        found = runs.by_ids(connection, [end["run_id"] for end in ended])
    rows = [_row(one, end, found[end["run_id"]].active_us / 1e6) for one, end in zip(asked, ended, strict=True)]
    night.database.writer.do(lambda tx: ledger.note(tx, begun["tuning_id"], rows))
    failed = [row for row in rows if row.value is None]
    for row in failed:
        if row.trial == CURRENT:
            raise PermanentError(f"the current parameters cannot be tried: {row.error}")
    return len(failed)


def _row(one: Json, end: Json, seconds: float) -> Tried:
    good = end["state"] == State.COMPLETED
    measured = end["result"] if good else dict.fromkeys(("items", "measured", "value", "lower", "upper"))
    return Tried(
        run_id=end["run_id"],
        trial=one["trial"],
        rung=one["rung"],
        parameters=one["parameters"],
        items=measured["items"],
        measured=measured["measured"],
        value=measured["value"],
        lower=measured["lower"],
        upper=measured["upper"],
        error=None if good else end["error"] or f"ended {end['state']}",
        seconds=seconds,
    )


def choose(night: Nightly, begun: Json) -> Json:
    """Return the trial whose parameters are judged, where one is above the current ones, and what is known of it."""
    with night.database.read() as connection:
        rows = ledger.tried(connection, begun["tuning_id"])
        [current] = [row for row in rows if (row.trial, row.rung) == (CURRENT, len(begun["rungs"]) - 1)]
        run = runs.get(connection, current.run_id)
    assert run is not None and run.result is not None, "it has completed"
    about = {key: json.loads(run.result)[key] for key in ("metric", "best")}
    winner = winner_of([row.evaluation for row in rows], rungs=len(begun["rungs"]))
    if winner is None:
        reason = "no other parameters did better than the current ones on the items for validation"
        return {**about, "winner": None, "parameters": None, "reason": reason}
    [row] = [row for row in rows if (row.trial, row.rung) == (winner, len(begun["rungs"]) - 1)]
    return {**about, "winner": winner, "parameters": dict(row.parameters), "reason": None}


def prepare(night: Nightly, begun: Json, chosen: Json) -> Json:
    """Lay out the training of the best parameters on all training items, and what the judge has to know.

    Tunings that are judged on the same held-out items share alpha as a stream does (`proof.multiple.lord`): each tries
    again what the gate has refused.
    """
    name, folder = begun["agent"], night.work(begun["tuning_id"])
    training, held_out = _items(night, begun["snapshot"], folder)
    ids = sorted(record["id"] for record in held_out)
    ready = lay_out(
        night,
        name,
        folder / "winner",
        begun["snapshot"],
        records=canonical([*training, *held_out]),
        held_out=ids,
        settings={**begun["settings"], **chosen["parameters"]},
    )
    if "error" in ready:
        raise PermanentError(ready["error"])
    told = hashlib.sha256("\n".join(ids).encode("utf-8", "surrogatepass")).hexdigest()
    with night.database.read() as connection:
        earlier = [one == Decision.ACCEPT for one in ledger.decisions(connection, name, told)]
    return {**ready, "alpha": lord(earlier, alpha=verdicts.spec_of(night.config.gate).alpha), "held_out_id": told}


def adopt(night: Nightly, begun: Json, ready: Json, chosen: Json, line: Json) -> bool:
    """Keep the verdict, and where it is ACCEPT the parameters as those that the agent is trained with; tell whether.

    Better than a naive baseline is a reason to have other parameters only where no version of the current ones serves.
    """
    verdict = line["verdict"]
    compared = verdict["against"] != BASELINE or line["note"] is None
    accepted = bool(verdict["decision"] == Decision.ACCEPT) and compared
    row = {
        "tuning_id": begun["tuning_id"],
        "agent": begun["agent"],
        "held_out": ready["held_out_id"],
        "version": line["version"],
        "run_id": line["run"],
        "decision": verdict["decision"],
        "level": ready["alpha"],
    }
    tuned = {name: value for name, value in begun["settings"].items() if value != begun["spec"]["settings"].get(name)}
    one = Change(
        agent=begun["agent"],
        how="tuned",
        by=begun["by"],
        tuning_id=begun["tuning_id"],
        parameters={**tuned, **chosen["parameters"]},
        basis=begun["basis"],
    )

    def keep(tx: Tx) -> None:
        ledger.judged(tx, row)
        if accepted:
            ledger.change(tx, one)

    night.database.writer.do(keep)
    return accepted


def clean_up(night: Nightly, run_id: int) -> None:
    """Remove what trials have read: what they came to is in the database, and the version in the registry."""
    shutil.rmtree(night.work(run_id), ignore_errors=True)
