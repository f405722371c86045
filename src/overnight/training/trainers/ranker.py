"""An order of records by what they will come to: learnt from ranks, so that a few giants do not decide everything."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from overnight.proof.rankings import normal_scores
from overnight.training.agents import TrainContext
from overnight.training.trainers.basis import Record
from overnight.training.trainers.regressor import Regressor

if TYPE_CHECKING:
    from overnight.training.trainers.regressor import Values

FEWEST_IN_GROUP = 5
"""Records of a query from which on their order among themselves is learnt; else the order among all."""


class Ranker(Regressor):
    """Scores records, higher first; measured by NDCG@10 over the queries that `group` names. Settings: see `Regressor`.

    What is learnt are normal scores of the target; see `proof.rankings.normal_scores`.
    """

    metric = "ndcg@10"

    def train(self, data: list[dict], ctx: TrainContext) -> dict:  # type: ignore[type-arg]  # see Regressor
        """Learn the order by `ctx.target`; see `Regressor.train`."""
        answer = super().train(data, ctx)
        self.scale, self.offset = None, 0.0
        return answer

    def wanted(self, records: Sequence[Record], target: str, ctx: TrainContext) -> "Values":
        """Return normal scores of the targets, within each query that has enough records."""
        import numpy as np

        numbers = super().wanted(records, target, ctx).tolist()
        found = np.array(normal_scores(numbers))
        groups: dict[str, list[int]] = {}
        for place, record in enumerate(records):
            groups.setdefault(str(record.get(ctx.group or "")), []).append(place)
        if ctx.group is not None and all(len(places) >= FEWEST_IN_GROUP for places in groups.values()):
            for places in groups.values():
                found[places] = normal_scores([numbers[place] for place in places])
        return found

    def loss(self, wanted: "Values", predicted: "Values") -> float:
        """Return minus the rank correlation; 0 for a constant, which orders nothing."""
        import numpy as np

        ours, theirs = (np.argsort(np.argsort(values)) for values in (wanted, predicted))
        return 0.0 if np.ptp(predicted) < 1e-6 else -float(np.corrcoef(ours, theirs)[0, 1])
