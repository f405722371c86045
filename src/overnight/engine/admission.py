"""What the engine asks of whoever shares out the machine's memory and GPUs."""

import json
from collections.abc import Mapping, Sequence
from typing import Protocol

from overnight.engine.model import Needs, Priority, Run
from overnight.resources.ledger import Want, rank_of
from overnight.resources.negotiator import Held
from overnight.resources.policy import GB

__all__ = ["Admission", "Held", "want_of"]


class Admission(Protocol):
    """Who lets runs have memory; see `resources.negotiator`. Asked and told by the worker's thread, answers at once."""

    granted: Mapping[int, tuple[str, ...]]
    """The runs that may begin, and the GPUs that each then has (UUIDs)."""

    def tell(self, held: Sequence[Held], wanted: Sequence[Want], places: int) -> None:
        """Take what is being worked on, what waits for memory, and how many more runs could begin."""

    @property
    def room_gb(self) -> float:
        """What services and runs may have together."""

    def assumed_bytes(self, gb: float) -> int:
        """Return what is reserved where the need is only assumed."""


def want_of(run: Run, needs: Needs, admission: Admission, *, yields: bool, now_us: int | None) -> Want:
    """Return what a run asks of the machine; `now_us` None for one that has it, which waits no longer."""
    need_bytes = int(needs.memory_gb * GB)
    if needs.memory_basis == "assumed":
        need_bytes = admission.assumed_bytes(needs.memory_gb)
    if needs.memory_basis != "given":
        # What an earlier try took is known better than what was expected of it.
        need_bytes = min(max(need_bytes, int((run.usage.peak_memory_gb or 0.0) * GB)), int(admission.room_gb * GB))
    job = json.loads(run.args).get("job_id") if run.args else None
    return Want(
        key=run.run_id,
        name=str(job or f"{run.task_id} #{run.run_id}"),
        need_bytes=need_bytes,
        rank=rank_of(run.priority.bonus_us, run.due_us, run.due_us if now_us is None else now_us),
        order=run.due_us - run.priority.bonus_us,
        yields=yields,
        known=needs.memory_basis != "assumed",
        preempts=run.priority is Priority.CRITICAL,
        gpus=needs.gpus,
        gpu_bytes=int(needs.gpu_memory_gb * GB),
    )
