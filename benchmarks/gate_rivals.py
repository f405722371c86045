"""Measure the bound of the gate beside its rivals, for differences that are not all of one size.

    python benchmarks/gate_rivals.py [--quick] [--json]

How often each calls the candidate better, at a one-sided level of 5 %: where both are equally good (at most 0.05 is
right), and where a gain is planted (more is better). Rivals: Student's paired t, the exact sign-flip permutation (2,000
drawn signs from 12 items on), BCa over items (Efron 1987, J. Am. Stat. Assoc. 82:171; 1,000 resamples), and the
skewness-guarded t alone. `docs/adr/0028-methods-of-the-gate.md` says what was chosen by these figures.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator
from statistics import NormalDist

import numpy as np

from overnight.proof.distributions import t_quantile
from overnight.proof.paired import bounds_of_mean, compare, fewest_untied

ALPHA = 0.05
SIZES = (9, 14, 20, 100)
NORMAL = NormalDist()
Draw = Callable[[np.random.Generator, int], np.ndarray]


def ties(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return values * (random.random(len(values)) < 0.3)


NULLS: dict[str, Draw] = {
    "normal": lambda random, n: random.standard_normal(n),
    "heavy tails (t, 3 degrees)": lambda random, n: random.standard_t(3, n),
    "ratings, half ties": lambda random, n: random.choice([-2.0, -1, 0, 1, 2], n, p=np.array([1, 2, 6, 2, 1]) / 12),
    "70 % ties, normal": lambda random, n: ties(random.standard_normal(n), random),
    "exponential, swapped": lambda random, n: (random.exponential(1, n) - 1) * random.choice([-1, 1]),
    "exponential, few big wins": lambda random, n: random.exponential(1, n) - 1,
    "exponential, few big losses": lambda random, n: 1 - random.exponential(1, n),
    "70 % ties, few big losses": lambda random, n: ties(1 - random.exponential(1, n), random),
    "log-normal, few huge losses": lambda random, n: math.exp(0.5) - random.lognormal(0, 1, n),
    "log-normal, sigma 2, either's": lambda random, n: random.lognormal(0, 2, n) * random.choice([-1, 1], n),
    "log-normal, sigma 2, few huge losses": lambda random, n: math.exp(2) - random.lognormal(0, 2, n),
}
BETTER: dict[str, Draw] = {
    "normal, 0.3 sd better": lambda random, n: random.standard_normal(n) + 0.3,
    "normal, 0.6 sd better": lambda random, n: random.standard_normal(n) + 0.6,
    "heavy tails, 0.3 sd better": lambda random, n: random.standard_t(3, n) + 0.3 * math.sqrt(3),
    "few big wins, 0.6 sd better": lambda random, n: random.exponential(1, n) - 0.4,
    "log-normal, sigma 2, losses of 0.4": lambda random, n: random.lognormal(0, 2, n) - 0.4 * random.lognormal(0, 2, n),
    "few big losses, 0.6 sd better": lambda random, n: 1.6 - random.exponential(1, n),
}


def gate(values: np.ndarray, random: np.random.Generator) -> bool:
    return compare(values.tolist(), [0.0] * len(values), alpha=ALPHA).lower > 0


def guarded(values: np.ndarray, random: np.random.Generator) -> bool:
    untied = values[values != 0].tolist()
    if len(untied) < fewest_untied(ALPHA):
        return False
    return bounds_of_mean(values.tolist(), ALPHA)[0] > 0 and bounds_of_mean(untied, ALPHA)[0] > 0


def student(values: np.ndarray, random: np.random.Generator) -> bool:
    n, spread = len(values), values.std(ddof=1)
    return bool(values.mean() > t_quantile(ALPHA, n - 1) * spread / math.sqrt(n)) if spread else bool(values[0] > 0)


def flips(values: np.ndarray, random: np.random.Generator) -> bool:
    n = len(values)
    every = n < 12
    signs = ((np.arange(2**n)[:, None] >> np.arange(n)) & 1) * 2 - 1 if every else random.choice([-1, 1], (2000, n))
    as_high = int((signs @ values >= values.sum() - 1e-12 * np.abs(values).sum()).sum())
    return (as_high / len(signs) if every else (as_high + 1) / (len(signs) + 1)) <= ALPHA


def bca(values: np.ndarray, random: np.random.Generator) -> bool:
    n, mean = len(values), values.mean()
    drawn = values[random.integers(0, n, (1000, n))].mean(axis=1)
    share = ((drawn < mean).mean() + (drawn <= mean).mean()) / 2
    spread = values - mean
    if not 0 < share < 1 or not spread.any():
        return False
    bias, point = NORMAL.inv_cdf(float(share)), NORMAL.inv_cdf(ALPHA)
    acceleration = float((spread**3).sum() / (6 * (spread**2).sum() ** 1.5))
    tail = NORMAL.cdf(bias + (bias + point) / (1 - acceleration * (bias + point)))
    return bool(np.quantile(drawn, tail) > 0)


RULES = {"gate": gate, "guarded t alone": guarded, "sign-flip": flips, "student": student, "BCa": bca}


def rates(case: Draw, n: int, trials: int) -> dict[str, float]:
    random = np.random.default_rng(n)
    counts = dict.fromkeys(RULES, 0)
    for _ in range(trials):
        values = case(random, n)
        for name, rule in RULES.items():
            counts[name] += rule(values, random)
    return {name: count / trials for name, count in counts.items()}


def measure(trials: int) -> Iterator[dict]:
    for kind, cases in (("equally good", NULLS), ("better", BETTER)):
        for name, case in cases.items():
            for n in SIZES:
                yield {"kind": kind, "case": name, "n": n, "trials": trials, **rates(case, n, trials)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few trials: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    rows = measure(50 if arguments.quick else 1000)
    if arguments.json:
        json.dump(list(rows), sys.stdout, indent=2)
        print()
        return
    for row in rows:
        shown = ", ".join(f"{name} {row[name]:.3f}" for name in RULES)
        print(f"{row['kind']:12} {row['case']:36} n = {row['n']:3}: {shown}", flush=True)


if __name__ == "__main__":
    main()
