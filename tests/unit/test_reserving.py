"""What is asked of the machine's ledger for a candidate of a rollout."""

from types import SimpleNamespace

from overnight.app.reserving import Reservations
from overnight.engine.model import Priority
from overnight.resources.negotiator import Answer
from overnight.resources.policy import CRITICAL, HIGH, NORMAL

HOUR_US = 3600 * 10**6
ROLLOUT = SimpleNamespace(deployment_id=3, model="nlu", candidate="v1.0.1", created_us=50 * HOUR_US)


class Memory:
    def reserve(self, want):
        self.want = want
        return Answer(granted=True)


def test_a_candidate_waits_in_line_like_a_run_of_its_age():
    memory, now_us = Memory(), 0
    reservations = Reservations(lambda: memory, lambda: now_us)
    ranks = []
    for hours in (0, 4, 24):
        now_us = ROLLOUT.created_us + hours * HOUR_US
        assert reservations.ask(ROLLOUT, 7).granted
        ranks.append(memory.want.rank)
    assert ranks == [NORMAL, HIGH, CRITICAL], "smaller runs do not pass it for ever"
    assert memory.want.order == ROLLOUT.created_us - Priority.NORMAL.bonus_us, "that of a run of the same instant"
    assert (memory.want.preempts, memory.want.yields, memory.want.need_bytes) == (False, False, 7)
