"""Five scenarios of algorithm selection, generated from seeds and written in the format of ASlib.

They stand for what occurs in real ones. How extreme they are was set once, by how far the single best algorithm is
from the oracle; figures of the default policy were not looked at for that. What the policy has that can be set was
tuned on scenarios of the same makers with other seeds; that it notices an arm that has become worse was added after
it had failed on `drift`.

- `sat_like`: 8 algorithms, 800 instances. Log-normal running times from the hardness of an instance and how the
  algorithm bears four hidden properties of it; features are noisy nonlinear functions of these, and some are noise.
- `many_algorithms`: 20 algorithms, 300 instances, of the same make: there is little time to try them all.
- `nothing_known`: 6 algorithms, 600 instances; the features are noise, and one algorithm is best nearly everywhere.
- `drift`: 5 algorithms, 800 instances in an order that means something: at half of it the best algorithm becomes slow.
- `regions`: 6 algorithms, 900 instances in 7 clusters; which algorithm is fast depends on the cluster, and a fifth of
  the features is missing, written as `?`.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.random import Generator

Numbers = np.ndarray
CUTOFF_S = 3600.0
HARDNESS = 3.0
"""The standard deviation of the logarithm of seconds that instances have in common."""


@dataclass(frozen=True, kw_only=True)
class Made:
    """Seconds, instances by algorithms, as they would be without a cut-off; features, instances by columns."""

    seconds: Numbers
    features: Numbers
    ordered: bool = False


def latent(draw: Generator, instances: int, algorithms: int, *, noise: float) -> Made:
    """Return instances with hidden properties, which algorithms bear differently and features show dimly."""
    hidden = draw.normal(size=(instances, 4))
    hardness = draw.normal(0, HARDNESS, size=(instances, 1))
    loadings = draw.normal(0, 0.9, size=(4, algorithms))
    speed = draw.normal(5.5, 0.7, size=(1, algorithms))
    logs = speed + hardness + hidden @ loadings + draw.normal(0, noise, size=(instances, algorithms))
    mixed = np.hstack([hidden, hardness / HARDNESS]) @ draw.normal(size=(5, 24)) / math.sqrt(5)
    shown = np.where(np.arange(24) % 3 == 0, np.exp(mixed), np.where(np.arange(24) % 3 == 1, np.tanh(mixed), mixed**3))
    shown = shown + draw.normal(0, 0.4, size=shown.shape)
    return Made(seconds=np.exp(logs), features=np.hstack([shown, draw.normal(size=(instances, 12))]))


def nothing_known(draw: Generator) -> Made:
    speed = np.array([[5.0, 6.0, 6.3, 6.6, 7.0, 7.5]])[:, draw.permutation(6)]
    logs = speed + draw.normal(0, 2.5, size=(600, 1)) + draw.normal(0, 1.0, size=(600, 6))
    return Made(seconds=np.exp(logs), features=draw.normal(size=(600, 15)))


def drift(draw: Generator) -> Made:
    before = np.array([5.0, 6.0, 7.0, 7.0, 7.5])
    after = np.array([7.5, 6.0, 5.0, 7.0, 7.5])
    speed = np.where(np.arange(800)[:, None] < 400, before, after)[:, draw.permutation(5)]
    hardness = draw.normal(0, 2.5, size=(800, 1))
    logs = speed + hardness + draw.normal(0, 0.8, size=(800, 5))
    shown = hardness / 2.5 + draw.normal(0, 0.7, size=(800, 3))
    return Made(seconds=np.exp(logs), features=np.hstack([shown, draw.normal(size=(800, 5))]), ordered=True)


def regions(draw: Generator) -> Made:
    centres = draw.normal(0, 2.0, size=(7, 10))
    where = draw.choice(7, size=900, p=draw.dirichlet(np.full(7, 4.0)))
    speed = draw.normal(6.5, 1.6, size=(7, 6))
    logs = speed[where] + draw.normal(0, 2.5, size=(900, 1)) + draw.normal(0, 0.7, size=(900, 6))
    features = centres[where] + draw.normal(0, 1.0, size=(900, 10))
    features[draw.random(features.shape) < 0.2] = np.nan
    return Made(seconds=np.exp(logs), features=features)


MAKERS: dict[str, Callable[[Generator], Made]] = {
    "sat_like": lambda draw: latent(draw, 800, 8, noise=0.8),
    "many_algorithms": lambda draw: latent(draw, 300, 20, noise=0.8),
    "nothing_known": nothing_known,
    "drift": drift,
    "regions": regions,
}


def write_all(folder: Path) -> list[Path]:
    """Write the five scenarios below a folder, and return theirs."""
    found = []
    for seed, (name, make) in enumerate(MAKERS.items(), 1):
        write(folder / name, make(np.random.default_rng(seed)))
        found.append(folder / name)
    return found


def write(folder: Path, made: Made) -> None:
    """Write a scenario in the format of ASlib."""
    folder.mkdir(parents=True)
    columns = [f"f{place}" for place in range(made.features.shape[1])]
    (folder / "description.txt").write_text(
        f"scenario_id: {folder.name}\nperformance_measures:\n  - runtime\nmaximize:\n  - false\n"
        f"performance_type:\n  - runtime\nalgorithm_cutoff_time: {CUTOFF_S:g}\n"
        f"instances_ordered: {str(made.ordered).lower()}\n"
    )
    runs = ["instance_id STRING", "repetition NUMERIC", "algorithm STRING", "runtime NUMERIC"]
    status = "runstatus {ok, timeout, memout, not_applicable, crash, other}"
    rows = (
        f"i{one},1,a{other},{min(seconds, CUTOFF_S):.3f},{'ok' if seconds < CUTOFF_S else 'timeout'}"
        for one, line in enumerate(made.seconds)
        for other, seconds in enumerate(line)
    )
    _arff(folder / "algorithm_runs.arff", [*runs, status], rows)
    known = ["instance_id STRING", "repetition NUMERIC", *(f"{name} NUMERIC" for name in columns)]
    told = (
        ",".join([f"i{one}", "1", *("?" if np.isnan(value) else f"{value:.6g}" for value in line)])
        for one, line in enumerate(made.features)
    )
    _arff(folder / "feature_values.arff", known, told)


def _arff(path: Path, attributes: Sequence[str], rows: Iterator[str]) -> None:
    header = [f"@RELATION {path.stem}", "", *(f"@ATTRIBUTE {one}" for one in attributes), "", "@DATA"]
    path.write_text("\n".join([*header, *rows, ""]))
