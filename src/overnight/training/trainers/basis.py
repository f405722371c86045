"""What the built-in learners share: one thread, settings with known names, folds by hash, estimators as files."""

import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.errors import ConfigError, MissingExtra, NotMeasured
from overnight.base.files import replace_file
from overnight.base.vocabulary import suggestion
from overnight.proof.splits import fold_of, position
from overnight.training.agents import TrainContext
from overnight.training.one_core import one_core

if TYPE_CHECKING:
    from numpy import int64
    from numpy.typing import NDArray

Record = Mapping[str, Any]  # Any: a cell holds whatever JSON holds

FOLDS = 5
FEWEST = 10
"""Records below which nothing is learnt."""


def needs_ml() -> None:
    """Say that scikit-learn is missing before anything is done; it is not loaded here, which takes a second of a core.

    Raises:
        MissingExtra: it is not installed.
    """
    if find_spec("sklearn") is None:
        raise MissingExtra("the built-in learners need the extra 'ml': pip install 'overnight[ml]'")


@contextmanager
def one_thread() -> Iterator[None]:
    """Keep what a learner computes to one core; see `one_core`.

    Raises:
        MissingExtra: scikit-learn is not installed.
    """
    needs_ml()
    with one_core():
        yield


def settings_of(ctx: TrainContext, defaults: Mapping[str, float]) -> dict[str, float]:
    """Return the agent's settings; see `with_defaults`."""
    return with_defaults(ctx.settings, defaults)


def with_defaults(
    settings: Mapping[str, Any],  # Any: a person wrote it
    defaults: Mapping[str, float],
    *,
    may_be_0: Collection[str] = (),
    below_1: Collection[str] = (),
    whose: str = "this learner",
) -> dict[str, float]:
    """Return the settings, with the defaults for those that are not set; those of a whole default are whole.

    Raises:
        ConfigError: there is no such setting, or its value is no number above 0 (or none that its name may have).
    """
    for name, value in settings.items():
        if name not in defaults:
            known = suggestion(name, sorted(defaults)) if defaults else f"; {whose} has none"
            raise ConfigError(f"settings: there is no {name!r}{known}")
        least = "of at least 0" if name in may_be_0 else "above 0"
        number = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
        if not number or value < 0 or (value == 0 and name not in may_be_0):
            raise ConfigError(f"settings.{name}: {value!r} is not a number {least}")
        if name in below_1 and value >= 1:
            raise ConfigError(f"settings.{name}: {value!r} is not below 1")
        if isinstance(defaults[name], int) and value != int(value):
            raise ConfigError(f"settings.{name}: {value!r} is not a whole number")
    return {**defaults, **settings}


def target_of(ctx: TrainContext) -> str:
    """Return the column that is learnt.

    Raises:
        ConfigError: there is none.
    """
    if ctx.target is None:
        raise ConfigError("target: missing; name the column that is to be learnt")
    return ctx.target


def inputs_of(ctx: TrainContext, data: Sequence[Record]) -> tuple[str, ...]:
    """Return the columns that are learnt from: those of the settings, else all but id, target and group."""
    if ctx.inputs:
        return ctx.inputs
    return tuple(sorted({name for record in data for name in record} - {"id", ctx.target, ctx.group}))


def enough(data: Sequence[Record], fewest: int = FEWEST) -> list[Record]:
    """Return the records sorted by id.

    Raises:
        NotMeasured: there are too few.
    """
    if len(data) < fewest:
        raise NotMeasured(f"{len(data)} records are too few to learn from, at least {fewest} are needed")
    return sorted(data, key=lambda record: str(record["id"]))


def sampled(records: Sequence[Record], most: int) -> list[Record]:
    """Return at most so many records, chosen by a hash of their ids, in the order in which they came."""
    if len(records) <= most:
        return list(records)
    places = {str(record["id"]): position(str(record["id"]), salt="", purpose="sample") for record in records}
    kept = set(sorted(places, key=lambda name: (places[name], name))[:most])
    return [record for record in records if str(record["id"]) in kept]


def folds_of(data: Sequence[Record], seed: int) -> "list[tuple[NDArray[int64], NDArray[int64]]]":
    """Return (rows to fit on, rows to apply to) for each fold; a record's fold follows from its id."""
    import numpy as np

    fold = np.array([fold_of(str(record["id"]), folds=FOLDS, salt=f"cv {seed}") for record in data])
    rows = [np.flatnonzero(fold == number) for number in range(FOLDS)]
    return [(np.setdiff1d(np.arange(len(data)), apply), apply) for apply in rows if 0 < len(apply) < len(data)]


def save_estimator(estimator: Any, path: Path) -> None:  # Any: scikit-learn has no types
    """Write a fitted scikit-learn estimator."""
    import skops.io

    replace_file(path, skops.io.dumps(estimator))


def load_estimator(path: Path) -> Any:
    """Read what `save_estimator` wrote; a file with types that skops does not trust by itself is refused."""
    import skops.io

    return skops.io.loads(path.read_bytes(), trusted=[])
