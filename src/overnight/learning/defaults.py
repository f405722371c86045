"""Which strategy executes a type of task, and why. Pure.

It follows from what was changed so far. What a person has set comes first, and stays until it is unset; then what was
learned and not rolled back, as long as it has the parameters that were compared; then the default of the settings. A
type's own strategy comes before that of all types. What was learned holds for the types that were compared, and for
jobs, tasks and campaigns, which are no exercises and cannot be compared.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from overnight.base.errors import UserMistake
from overnight.base.learning import CAMPAIGNS, JOBS, TASKS

ALL = ""
"""Stands for all types."""
_OTHER_WORK = (JOBS, TASKS, CAMPAIGNS)
How = Literal["learned", "rolled_back", "set", "unset"]


@dataclass(frozen=True, kw_only=True)
class Change:
    """A change of a default: of which type, to which strategy (None where it takes one back), how and by whom.

    `parameters` stand for those by which a strategy was compared before it was learned, `compared` are the types in
    which it was; None where nothing was.
    """

    type: str
    strategy: str | None
    how: How
    by: str
    at_us: int
    verdict_id: int | None = None
    parameters: Collection[str] | None = None
    compared: Collection[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The strategy that executes, and why."""

    strategy: str
    why: str


@dataclass(kw_only=True)
class _Standing:
    hand: dict[str, Change] = field(default_factory=dict)
    learned: dict[str, list[Change]] = field(default_factory=dict)


def chosen(changes: Iterable[Change], type_: str, fallback: str, parameters: Mapping[str, Collection[str]]) -> Choice:
    """Return the strategy that executes a type of task.

    `changes` are oldest first; `parameters` are what stands for those of each strategy today.
    """
    standing = _standing(changes)
    for of in (type_, ALL):
        if of in standing.hand:
            one = standing.hand[of]
            return Choice(strategy=str(one.strategy), why=f"{one.by} has set it{_of(of)}")
    passed: list[str] = []
    for of in (type_, ALL) if type_ == ALL or type_.startswith(_OTHER_WORK) else (type_,):
        for one in reversed(standing.learned.get(of, [])):
            wrong = outdated(str(one.strategy), one.parameters, parameters)
            if wrong is None:
                return Choice(strategy=str(one.strategy), why=_as(_learned(one, type_), passed))
            passed.append(wrong)
    return Choice(strategy=fallback, why=_as("the default of the settings", passed))


def outdated(strategy: str, compared: Collection[str] | None, parameters: Mapping[str, Collection[str]]) -> str | None:
    """Return why what was compared of a strategy says nothing of it today; None where it does.

    `compared` stand for its parameters then, `parameters` for those of each strategy today.
    """
    if compared is None or set(compared) <= set(parameters.get(strategy, ())):
        return None
    if strategy not in parameters:
        return f"{strategy} is no strategy any more"
    return f"{strategy} has other parameters now; `overnight learn run` measures it"


def before_last(changes: Sequence[Change], type_: str) -> str | None:
    """Return what a rollback of what was learned of a type goes back to; None where that is what the settings say.

    Raises:
        UserMistake: nothing was learned of it that could be rolled back.
    """
    learned = _standing(changes).learned.get(type_)
    if not learned:
        raise UserMistake(f"nothing was learned{_of(type_)} that could be rolled back")
    return learned[-2].strategy if len(learned) > 1 else None


def newest_learned(changes: Iterable[Change]) -> list[str]:
    """Return the types of which the newest verdict that was not rolled back has set the default, ALL among them.

    Raises:
        UserMistake: nothing was learned that could be rolled back.
    """
    last = [some[-1] for some in _standing(changes).learned.values() if some]
    if not last:
        raise UserMistake("nothing was learned that could be rolled back")
    newest = max(one.verdict_id or 0 for one in last)
    return sorted(one.type for one in last if (one.verdict_id or 0) == newest)


def set_by(type_: str, compared: Sequence[str]) -> list[str]:
    """Return the types of which an accepted verdict sets the default: `type_` is that of its session, or ALL."""
    return [*([ALL] if type_ == ALL else []), *compared]


def _standing(changes: Iterable[Change]) -> _Standing:
    found = _Standing()
    for one in changes:
        if one.how == "set":
            found.hand[one.type] = one
        elif one.how == "unset":
            found.hand.pop(one.type, None)
        elif one.how == "learned":
            found.learned.setdefault(one.type, []).append(one)
        elif found.learned.get(one.type):
            found.learned[one.type].pop()
    return found


def _learned(one: Change, type_: str) -> str:
    told = f"learned{_of(one.type)}, verdict {one.verdict_id}"
    if one.type == type_ != ALL or not one.compared:
        return told
    return f"{told}: compared in {', '.join(one.compared)}" + (f", not in {type_}" if type_ != ALL else "")


def _as(why: str, passed: Sequence[str]) -> str:
    """Return a reason with that for which the newest of what was passed over does not execute."""
    return f"{why}, as {passed[0]}" if passed else why


def _of(type_: str) -> str:
    return f" for {type_}" if type_ else ""
