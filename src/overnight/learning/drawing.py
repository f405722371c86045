"""Makes exercises of all kinds: those that train models, and, where there is one, those for a coding agent."""

from overnight.base.errors import UserMistake
from overnight.base.vocabulary import suggestion
from overnight.learning import generation
from overnight.learning.coding import families
from overnight.learning.exercises import COMPLEXITIES, Complexity, Exercise


def types_of(complexity: Complexity, *, agent: bool) -> tuple[str, ...]:
    """Return the types of task that take turns."""
    return (*generation.TYPES[complexity], *(families.TYPES[complexity] if agent else ()))


def all_types() -> tuple[str, ...]:
    """Return every type of task that exercises can have."""
    found = (kind for one in COMPLEXITIES for kind in types_of(one, agent=True))
    return (*found, families.FLEET)


def draw(complexity: Complexity, count: int, seed: int, *, agent: bool, focus: str | None = None) -> list[Exercise]:
    """Return that many exercises; with `focus`, all of that type. `agent` says whether there is a coding agent.

    Types take turns; those of `families.FLEET` are made with that focus alone.

    Raises:
        UserMistake: the complexity has no such type.
        MissingExtra: scikit-learn, or what checks the work of agents, is not installed.
    """
    types = types_of(complexity, agent=agent)
    if focus is not None:
        known = (*types_of(complexity, agent=True), families.FLEET)
        if focus not in known:
            raise UserMistake(f"focus: {complexity} exercises have no type {focus!r}{suggestion(focus, known)}")
        types = (focus,)
    trained = [kind for kind in types if kind in generation.TYPES[complexity]]
    made = {kind: generation.generate(complexity, -(-count // len(types)), seed, focus=kind) for kind in trained}
    found = []
    for place in range(count):
        kind, number = types[place % len(types)], place // len(types)
        found.append(made[kind][number] if kind in made else families.make(complexity, kind, seed, number))
    return found
