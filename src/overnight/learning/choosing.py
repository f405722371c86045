"""Which strategy executes work that is no exercise: the one that is asked for, or the one that was learned or set."""

from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from overnight.base.errors import UserMistake
from overnight.base.learning import LEARNED
from overnight.base.learning_settings import LearningSettings
from overnight.learning import store
from overnight.learning.defaults import Choice, chosen
from overnight.learning.strategies import Strategy, Way, digests_of, named, strategies_of


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A strategy of one way, and why that one."""

    name: str
    why: str
    way: Way

    def to_args(self) -> dict[str, Any]:  # Any: JSON
        """Return it as the argument `strategy` of a task's run."""
        way = asdict(self.way)
        return {"name": self.name, "why": self.why, "training": way["training"], "agent": way["agent"]}


def check(settings: LearningSettings, strategy: str) -> None:
    """Refuse what cannot execute work that is no exercise.

    Raises:
        ConfigError: the settings of the strategies are wrong.
        UnknownName: there is no such strategy.
        UserMistake: it is an ensemble.
    """
    if strategy != LEARNED:
        _one_way(named(strategies_of(settings), strategy))


def choose(connection: sa.Connection, settings: LearningSettings, type_: str, strategy: str) -> Chosen:
    """Return the strategy of that name; of "learned", the one that executes such work.

    Where an ensemble was learned, or a strategy that the settings no longer have, another one stands in and says so.

    Raises:
        ConfigError, UnknownName, UserMistake: see `check`.
    """
    known = strategies_of(settings)
    if strategy != LEARNED:
        return Chosen(name=strategy, why="it was asked for", way=_one_way(named(known, strategy)))
    choice = chosen(store.changes(connection), type_, settings.default, digests_of(known, asdict(settings.agent)))
    usable = {name: one for name, one in known.items() if not one.members}
    if choice.strategy in usable:
        return _chosen(usable, choice)
    wrong = "an ensemble, which executes exercises alone" if choice.strategy in known else "no strategy any more"
    name = settings.default if settings.default in usable else next(iter(usable))
    return _chosen(usable, Choice(strategy=name, why=f"{choice.strategy} is {wrong}"))


def _chosen(usable: dict[str, Strategy], choice: Choice) -> Chosen:
    return Chosen(name=choice.strategy, why=choice.why, way=_one_way(usable[choice.strategy]))


def _one_way(one: Strategy) -> Way:
    if one.members:
        raise UserMistake(f"strategy: {one.name} is an ensemble, which executes exercises alone")
    return one.ways[0]
