"""Looks at the rollouts of a project every second, for what follows from the time alone."""

from collections.abc import Collection
from concurrent.futures import Future

from overnight.app import deployments
from overnight.app.beginning import start_flow
from overnight.app.workplace import Workplace
from overnight.base.ids import RunId
from overnight.base.instants import US
from overnight.db.writer import Tx
from overnight.engine import store as runs
from overnight.flows import rollout as program
from overnight.registry import deployments as store
from overnight.registry import rollout
from overnight.registry.rollout import Look

LOOK_EVERY_S = 1.0
NOTED_EVERY_US = 10 * US
"""How often it is written, at the most, that requests are routed."""


class Rollouts:
    """The rollouts of a project, as its daemon sees to them."""

    def __init__(self, project: Workplace) -> None:
        self._project = project
        self._noted: Future[None] | None = None

    def routed(self, models: Collection[str]) -> None:
        """Note that requests for these models were routed, for all daemons of the database to see.

        Nobody waits for the note: who asks which version answers is told so also while nothing can be written.
        """
        if not models or (self._noted is not None and not self._noted.done()):
            return
        before_us = self._project.clock.now_us() - NOTED_EVERY_US
        with self._project.database.read() as connection:
            due = store.routed_before(connection, models, before_us)
        if due:
            self._noted = self._project.database.writer.submit(lambda tx: store.write_routed(tx, due))

    def work(self) -> None:
        """Decide what is due; end what nobody sees to any longer."""
        with self._project.database.read() as connection:
            found = store.all_open(connection)
            seen_to = runs.by_ids(connection, [one.run_id for one in found])
        for one in found:
            run = seen_to.get(RunId(one.run_id))
            if run is None or run.state.final:
                self._end(one.deployment_id, one.run_id, "is gone" if run is None else f"has ended as {run.state}")
            else:
                deployments.look_at(self._project, one)

    def _end(self, deployment_id: int, run_id: int, how: str) -> None:
        """End a deployment whose run has ended before it; another run of the flow cleans up, which is all it does."""

        def change(tx: Tx) -> None:
            one = store.for_update(tx, deployment_id)
            if one is None or one.run_id != run_id:
                return
            move = rollout.run_ended(one.state, f"run {run_id}, which saw to it, {how}; the champion serves everybody")
            if move is not None:
                one = store.give_run(tx, one, start_flow(tx, deployment_id))
                look = Look(now_us=tx.now_us, heard_us=one.heard_us)
                program.settle(tx, self._project.book, one, move, look=look, by=program.FLOW)

        self._project.database.writer.do(change)
