"""Which parameters are tried next: Optuna's tree of Parzen estimators, which is told all that was measured so far.

Bergstra, Bardenet, Bengio and Kégl (2011, NeurIPS, "Algorithms for Hyper-Parameter Optimization", section 4). The study
lives as long as one call: what is known comes from the caller, so that Optuna keeps nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from overnight.base.errors import MissingExtra
from overnight.training.tuning.space import Parameters, Range, Space, lies_in

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

TRIES = 100
"""Suggestions that are asked for until one is new: a space of few values is soon tried out."""


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is known of a trial: `values` by rung, higher is better; `ended` says that it has been at the last rung."""

    parameters: Parameters
    values: Mapping[int, float]
    ended: bool


def needs_hpo() -> None:
    """Say that Optuna is missing before anything is done; it is not loaded here.

    Raises:
        MissingExtra: it is not installed.
    """
    if find_spec("optuna") is None:
        raise MissingExtra("tuning needs the extra 'hpo': pip install 'overnight[hpo]'")


def suggest(space: Space, known: Sequence[Known], *, count: int, seed: int) -> list[dict[str, Any]]:
    """Return at most `count` new sets of parameters; fewer where nearly all that there are were tried.

    The same arguments give the same parameters.

    Raises:
        MissingExtra: Optuna is not installed.
    """
    needs_hpo()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Those of one wave have no values yet: each is to keep away from the others.
    sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    distributions = {name: _distribution(one) for name, one in space.items()}
    for one in known:
        if one.values and lies_in(space, one.parameters):
            study.add_trial(_frozen(one, distributions))
    tried = [dict(one.parameters) for one in known]
    found: list[dict[str, Any]] = []
    for _ in range(TRIES):
        if len(found) == count:
            break
        parameters = dict(study.ask(distributions).params)
        if parameters not in tried:
            tried.append(parameters)
            found.append(parameters)
    return found


def _distribution(one: Range) -> "BaseDistribution":
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if one.choices:
        return CategoricalDistribution(one.choices)
    if one.whole:
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(one.low, one.high, log=one.log)


def _frozen(one: Known, distributions: "Mapping[str, BaseDistribution]") -> "FrozenTrial":
    """Return the trial as Optuna keeps those that have ended: a pruned one counts by how far it came, and its value."""
    from optuna.trial import TrialState, create_trial

    return create_trial(
        state=TrialState.COMPLETE if one.ended else TrialState.PRUNED,
        value=one.values[max(one.values)],
        params={name: one.parameters[name] for name in distributions},
        distributions=dict(distributions),
        intermediate_values=dict(one.values),
    )
