"""Outcomes of served requests: each batch counts once, and what follows for a rollout is decided in its transaction."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

from overnight.app.workplace import Workplace
from overnight.db.writer import Tx
from overnight.flows import rollout as program
from overnight.registry import deployments, rollout
from overnight.registry.evidence import Served, taken, tally
from overnight.registry.rollout import Look
from overnight.serving.outcomes import Batch as Gathered
from overnight.serving.outcomes import Sink, text_of

KEPT_US = 24 * 3600 * 10**6
"""For how long it is remembered which batches have come."""
MOST = 1000
"""Outcomes of a batch at the most."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Outcomes of one model, under a name that tells a batch that is sent again from a new one."""

    batch_id: str
    model_type: str
    outcomes: Sequence[Served]


@dataclass(frozen=True, kw_only=True)
class Taken:
    """What became of a batch: how many outcomes count in a rollout, and whether the batch had come before."""

    counted: int
    duplicate: bool


def sink_of(project: Workplace) -> Sink:
    """Return what takes the outcomes of a host, or of a router in this process."""

    def take_all(batch: Gathered) -> Taken:
        served = [
            Served(**{name: getattr(one, name) for name in _SAME}, key=text_of(one.key)) for one in batch.outcomes
        ]
        return take(project, Batch(batch_id=batch.batch_id, model_type=batch.model, outcomes=served))

    return take_all


_SAME = tuple(field.name for field in fields(Served) if field.name != "key")


def take(project: Workplace, batch: Batch) -> Taken:
    """Count the outcomes of a batch and decide what follows, in one transaction."""

    def change(tx: Tx) -> Taken:
        if not deployments.new_batch(tx, batch.batch_id):
            return Taken(counted=0, duplicate=True)
        deployments.forget_batches(tx, tx.now_us - KEPT_US)
        found = deployments.open_of(tx.connection, batch.model_type)
        one = None if found is None else deployments.for_update(tx, found.deployment_id)
        if one is None or one.state.status.over:
            return Taken(counted=0, duplicate=False)
        counts = deployments.counted(tx, one, batch.outcomes)
        if not counts:
            return Taken(counted=0, duplicate=False)
        one = replace(one, evidence=taken(one.evidence, one.plan, tally(one.plan, counts)), heard_us=tx.now_us)
        deployments.write_evidence(tx, one, one.evidence)
        look = Look(now_us=tx.now_us, heard_us=tx.now_us)
        move = rollout.decide(one.plan, one.state, one.evidence, look)
        if move is not None:
            program.settle(tx, project.book, one, move, look=look, by=program.GUARD)
        return Taken(counted=len(counts), duplicate=False)

    return project.database.writer.do(change)
