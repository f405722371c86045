"""The first two phases: asking the sources, and laying out what each agent may learn from."""

from collections.abc import Mapping, Sequence
from typing import Any

from overnight.base.errors import ConfigError, PermanentError
from overnight.base.fleet_settings import AgentSettings
from overnight.data.categories import categories
from overnight.data.records import flat
from overnight.data.remarks import remarks
from overnight.data.snapshots import canonical, records_of, validate
from overnight.fleet.roster import TRAININGS
from overnight.flows.nightly.night import Json, Nightly, safely
from overnight.proof.splits import choose_held_out
from overnight.registry import store

HELD_OUT = 0.2
"""Share of the items that is held out, and never trained on."""
FEWEST_HELD_OUT = 200
"""More than that share is held out where it takes more to reach this number."""
FEWEST_TRAININGS = 20
"""Recorded trainings below which nothing is learnt from them."""

BOOKKEEPING = ("harvested_at", "source", "platform")

Record = dict[str, Any]


def harvest(night: Nightly, category: str, force: bool) -> Json:
    """Harvest a category; what is wrong with it as a whole costs the others nothing."""
    if category == TRAININGS:
        return {"recorded": _count_trainings(night)}
    if category not in categories(night.config):
        return {"skipped": f"no data: category {category!r} has no source"}

    def work() -> Json:
        found = night.harvest(category, force=force)
        told = found.to_json()
        if found.snapshot is None:
            reasons = "; ".join(f"{visit.source}: {visit.error}" for visit in found.visits)
            return {**told, "error": f"no source gave anything: {reasons}"}
        if not found.snapshot.statistics["meets_minimum"]:
            [reason] = remarks(found.snapshot.statistics)
            return {**told, "error": reason}
        return told

    return safely(work)


def lay_out(night: Nightly, name: str, harvested: Mapping[str, Json]) -> Json:
    """Make the snapshot of what the agent may see, and choose what is held out of it."""
    agent = night.agents[name]
    assert agent.data is not None, "the roster asks for it"
    category = harvested[agent.data]
    if category.get("skipped"):
        return {"skipped": category["skipped"]}
    if category.get("error"):
        return {"error": f"category {agent.data!r}: {category['error']}"}
    if agent.data == TRAININGS and category["recorded"] < FEWEST_TRAININGS:
        return {"skipped": f"{category['recorded']} of {FEWEST_TRAININGS} trainings recorded"}

    def work() -> Json:
        assert agent.data is not None
        records = _records(night, agent.data, category)
        _check_columns(night, name, agent, records)
        checked = validate(records, target=agent.target, scale=agent.scale)
        if not checked.kept:
            why = ", ".join(f"{count} {reason}" for reason, count in checked.counts.items())
            raise PermanentError(f"no record of category {agent.data!r} can be learnt from: {why}")
        kept = [_seen_by(agent, record) for record in checked.kept]
        return {
            "snapshot": night.blobs.put(canonical(kept)),
            "kept": len(kept),
            "set_aside": checked.counts,
            "held_out": held_out_of(kept),
        }

    return safely(work)


def held_out_of(records: Sequence[Record]) -> list[str]:
    """Return the ids of those records of a snapshot that are held out."""
    ids = [record["id"] for record in records]
    return list(choose_held_out(ids, share=HELD_OUT, minimum=FEWEST_HELD_OUT).held_out)


def _records(night: Nightly, data: str, category: Json) -> list[Record]:
    if data == TRAININGS:
        return trainings(night)
    return [flat(record) for record in records_of(night.blobs.get(category["snapshot"]))]


def _check_columns(night: Nightly, name: str, agent: AgentSettings, records: list[Record]) -> None:
    columns = sorted({column for record in records for column in record})
    wanted = [("inputs", column) for column in agent.inputs if column not in agent.after]
    wanted += [(key, getattr(agent, key)) for key in ("target", "group") if getattr(agent, key) is not None]
    for key, column in sorted(wanted, key=lambda one: one[0] != "target"):
        if column not in columns and column in night.agents:
            raise ConfigError(f"agents.{name}.{key}: {column!r} is an agent and no column: name it in `after` too")
        if column not in columns:
            raise ConfigError(
                f"agents.{name}.{key}: category {agent.data!r} has no column {column!r} (columns: {', '.join(columns)})"
            )


def _seen_by(agent: AgentSettings, record: Mapping[str, Any]) -> Record:
    """Return no more than the agent may see: what else is harvested does not make another snapshot."""
    if not agent.inputs:
        # How and when a record was received would make another snapshot every night, and says nothing about it.
        return {name: value for name, value in record.items() if name not in BOOKKEEPING and value is not None}
    columns = ["id", *(name for name in agent.inputs if name not in agent.after), agent.target, agent.group]
    return {column: record.get(column) for column in columns if column is not None}


def _count_trainings(night: Nightly) -> int:
    return len(trainings(night))


def trainings(night: Nightly) -> list[Record]:
    """Return what the trainings of this project have measured, a record each: what was known before, and what came.

    `improvement` is that of the candidate against what it was compared with, in % of the span from the naive baseline
    to the best value. Trainings whose improvement was not measured are left out.
    """
    with night.database.read() as connection:
        versions = [version for name in night.agents for version in store.history(connection, name)]
    found = []
    for version in versions:
        line = dict(version.metrics).get("line") or {}
        if line.get("improvement") is None or version.run_id is None:
            continue
        found.append(
            {
                "id": f"training-{version.run_id}",
                "agent": version.model,
                "learner": version.signature.get("class_"),
                "metric": line["metric_name"],
                "records": line["data_count"],
                "held_out": line["held_out"],
                "inputs": len(version.signature.get("inputs", ())),
                "against": line["compared_with"],
                "rival_quality": line["rival_quality"],
                "improvement": line["improvement"],
            }
        )
    return found
