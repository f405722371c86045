"""Measure the gate: how often it accepts what is not better, how often it finds what is, and how long it takes.

    python benchmarks/gate.py [--quick] [--json]

All cases are drawn from known distributions with fixed seeds, so that the truth is known. In the nulls candidate and
champion are equally good but not identical. In the one that says "swapped" they change roles at random in every trial,
as two training seeds do; the other skewed ones keep their direction. Beside the gate stand the naive rule (a higher
mean is better) and Student's paired t-test. A rate from m trials has a standard error of sqrt(rate (1 - rate) / m).
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random

from overnight.proof.distributions import binomial_mid_p, t_quantile
from overnight.proof.forms import Form, GateSpec, Looks
from overnight.proof.gate import Decision, judge
from overnight.proof.metrics import judge_answers, metric_named
from overnight.proof.paired import compare
from overnight.proof.power import items_needed

ALPHA = 0.05
SIZES = (9, 20, 30, 100, 1000)
Pairs = tuple[list[float], list[float]]
Draw = Callable[[Random], float]


def student_t3(random: Random) -> float:
    return random.gauss(0, 1) / math.sqrt(random.gammavariate(1.5, 2) / 3)


def exponential(random: Random) -> float:
    return random.expovariate(1) - 1


def with_ties(draw: Draw, share: float) -> Draw:
    return lambda random: draw(random) if random.random() < share else 0.0


def negative(draw: Draw) -> Draw:
    return lambda random: -draw(random)


def pairs_of(draw: Draw, random: Random, n: int, *, gain: float = 0.0, swap: bool = False) -> Pairs:
    """Scores of n items whose differences come from `draw`; the champion's carry what both share."""
    sign = random.choice((-1, 1)) if swap else 1
    champion = [random.gauss(0, 2) for _ in range(n)]
    return [old + sign * draw(random) + gain for old in champion], champion


def wins_and_losses(random: Random, n: int, better: float, worse: float, right: float = 0.6) -> Pairs:
    """0/1 scores: the candidate alone is right on a share `better`, the champion alone on `worse`."""
    candidate, champion = [], []
    for _ in range(n):
        u = random.random()
        both = float(random.random() < right)
        candidate.append(1.0 if u < better else 0.0 if u < better + worse else both)
        champion.append(0.0 if u < better else 1.0 if u < better + worse else both)
    return candidate, champion


def ratings(random: Random) -> float:
    return random.choices((-2.0, -1.0, 0.0, 1.0, 2.0), (1, 2, 6, 2, 1))[0]


NULLS: dict[str, Callable[[Random, int], Pairs]] = {
    "right or wrong, 10 % differ": lambda random, n: wins_and_losses(random, n, 0.05, 0.05),
    "right or wrong, 30 % differ": lambda random, n: wins_and_losses(random, n, 0.15, 0.15),
    "normal": lambda random, n: pairs_of(lambda r: r.gauss(0, 1), random, n),
    "heavy tails (t, 3 degrees)": lambda random, n: pairs_of(student_t3, random, n),
    "ratings, half ties": lambda random, n: pairs_of(ratings, random, n),
    "70 % ties, normal": lambda random, n: pairs_of(with_ties(lambda r: r.gauss(0, 1), 0.3), random, n),
    "exponential, swapped": lambda random, n: pairs_of(exponential, random, n, swap=True),
    "exponential, few big wins": lambda random, n: pairs_of(exponential, random, n),
    "exponential, few big losses": lambda random, n: pairs_of(negative(exponential), random, n),
    "70 % ties, few big losses": lambda random, n: pairs_of(with_ties(negative(exponential), 0.3), random, n),
    "log-normal, few huge losses": lambda random, n: pairs_of(
        lambda r: math.exp(0.5) - r.lognormvariate(0, 1), random, n
    ),
}


def naive(candidate: list[float], champion: list[float]) -> bool:
    return math.fsum(candidate) > math.fsum(champion)


def student(candidate: list[float], champion: list[float]) -> bool:
    n = len(candidate)
    differences = [new - old for new, old in zip(candidate, champion, strict=True)]
    mean = math.fsum(differences) / n
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    return mean > t_quantile(ALPHA, n - 1) * spread / math.sqrt(n) if spread else mean > 0


def gate(candidate: list[float], champion: list[float]) -> bool:
    return judge(candidate, champion, GateSpec(alpha=ALPHA)).decision is Decision.ACCEPT


def rates(case: Callable[[Random, int], Pairs], n: int, trials: int, rules: dict[str, Callable[..., bool]]) -> dict:
    random = Random(f"{n}")
    accepted = dict.fromkeys(rules, 0)
    for _ in range(trials):
        pairs = case(random, n)
        for name, rule in rules.items():
            accepted[name] += rule(*pairs)
    return {name: count / trials for name, count in accepted.items()}


def false_acceptance(trials: int) -> Iterator[dict]:
    rules = {"gate": gate, "naive": naive, "student": student}
    for name, case in NULLS.items():
        for n in SIZES:
            yield {"null": name, "n": n, "trials": trials, **rates(case, n, trials, rules)}


def exact_level(n: int, share: float) -> float:
    """The chance that the mid-p test accepts when wins and losses are equally likely; `share` of the items differ."""
    level = 0.0
    for untied in range(1, n + 1):
        differ = math.comb(n, untied) * share**untied * (1 - share) ** (n - untied)
        accepted = (math.comb(untied, wins) for wins in range(untied + 1) if _accepts(wins, untied - wins))
        level += differ * sum(accepted) / 2**untied
    return level


def _accepts(wins: int, losses: int) -> bool:
    return binomial_mid_p(wins, losses) < ALPHA


def exact_levels() -> list[dict]:
    rows = []
    for n in (10, 12, 20, 30, 50, 100):
        levels = {share / 50: exact_level(n, share / 50) for share in range(1, 51)}
        half = max(level for share, level in levels.items() if share <= 0.5)
        rows.append({"n": n, "at_most_half_differ": half, "any_share_differs": max(levels.values())})
    return rows


def power(trials: int) -> list[dict]:
    rows = []
    planted = {
        "right or wrong: 17.8 % better, 5.3 % worse": (
            lambda random, n: wins_and_losses(random, n, 0.178, 0.053),
            (30, 50, 100, 200),
        ),
        "normal, gain of 0.3 standard deviations": (
            lambda random, n: pairs_of(lambda r: r.gauss(0, 1), random, n, gain=0.3),
            (10, 30, 100, 200),
        ),
        "heavy tails, gain of 0.3 standard deviations": (
            lambda random, n: pairs_of(student_t3, random, n, gain=0.3 * math.sqrt(3)),
            (10, 30, 100, 200),
        ),
    }
    some = {"gate": gate, "student": student}
    any_time = GateSpec(looks=Looks.ANY_TIME)
    rules = {**some, "any_time": lambda new, old: judge(new, old, any_time).decision is Decision.ACCEPT}
    for name, (case, sizes) in planted.items():
        rows += [
            {"planted": name, "n": n, "trials": trials, **rates(case, n, trials, rules if "right" in name else some)}
            for n in sizes
        ]
    return rows


def advice(trials: int) -> list[dict]:
    """Is a gain found in 80 % of cases with the number of items that the gate asks for?"""
    cases: dict[str, tuple[Callable[[Random, int], Pairs], float]] = {
        "right or wrong, 12.5 points": (lambda random, n: wins_and_losses(random, n, 0.178, 0.053), 0.125),
        "right or wrong, 3 points": (lambda random, n: wins_and_losses(random, n, 0.115, 0.085), 0.03),
        "normal, 0.2": (lambda random, n: pairs_of(lambda r: r.gauss(0, 1), random, n, gain=0.2), 0.2),
        "normal, 0.8": (lambda random, n: pairs_of(lambda r: r.gauss(0, 1), random, n, gain=0.8), 0.8),
    }
    rows = []
    for name, (case, gain) in cases.items():
        seen = compare(*case(Random(0), 20_000))
        needed = items_needed(seen, gain / seen.unit)
        found = rates(case, needed, trials, {"gate": gate})["gate"]
        rows.append({"case": name, "items_needed": needed, "trials": trials, "found": found})
    return rows


PEEKS = 10
"""Items between two looks."""


def peeking(trials: int) -> Iterator[dict]:
    """How often a candidate of equal skill is accepted at any of the looks after every ten items, up to n."""
    cases: dict[str, tuple[Callable[[Random, int], Pairs], tuple[float, float] | None, int]] = {
        "right or wrong, 10 % differ": (NULLS["right or wrong, 10 % differ"], None, 1000),
        "right or wrong, 30 % differ": (NULLS["right or wrong, 30 % differ"], None, 1000),
        "shares, uniform": (lambda random, n: ([random.random() for _ in range(n)], [0.5] * n), (0.0, 1.0), 200),
    }
    for name, (case, bounds, most) in cases.items():
        any_time = GateSpec(looks=Looks.ANY_TIME, bounds=bounds)
        rules = {
            "any_time": lambda new, old, spec=any_time: judge(new, old, spec).decision is Decision.ACCEPT,
            "fixed": gate,
            "student": student,
        }
        for n in (100, most):
            random, accepted = Random(n), dict.fromkeys(rules, 0)
            for _ in range(trials):
                new, old = case(random, n)
                for rule_name, rule in rules.items():
                    looks = range(PEEKS, n + 1, PEEKS)
                    accepted[rule_name] += any(rule(new[:look], old[:look]) for look in looks)
            shares = {key: count / trials for key, count in accepted.items()}
            yield {"null": name, "up_to": n, "trials": trials, **shares}


def forms(trials: int) -> list[dict]:
    """How often a candidate is accepted that is exactly at what its form asks for, and has to be refused."""
    gain = GateSpec(form=Form.MINIMUM_GAIN)
    margin = GateSpec(form=Form.NON_INFERIORITY, margin=0.05)
    lower = GateSpec(form=Form.MINIMUM_GAIN, lower_is_better=True)
    cases: dict[str, tuple[GateSpec, Callable[[Random, int], Pairs]]] = {
        # 60 % right: 5 % of the 40 % that are left are 2 points; 35 % right: 5 % of them are 1.75 points.
        "minimum gain, 60 % right": (gain, lambda random, n: exactly(random, n, 0.60, 0.02)),
        "minimum gain, 35 % right": (gain, lambda random, n: exactly(random, n, 0.35, 0.0175)),
        "minimum gain, errors": (lower, lambda random, n: errors(random, n, 0.95)),
        "non-inferiority, margin 0.05": (margin, lambda random, n: exactly(random, n, 0.60, -0.05)),
    }
    rows = []
    for name, (spec, case) in cases.items():
        rule = {"accepted": lambda new, old, spec=spec: judge(new, old, spec).decision is Decision.ACCEPT}
        rows += [{"form": name, "n": n, "trials": trials, **rates(case, n, trials, rule)} for n in (30, 100, 300)]
    return rows


def exactly(random: Random, n: int, right: float, gain: float) -> Pairs:
    """0/1 scores: the champion is right on a share, the candidate on `gain` more; 15 % or so differ either way."""
    lost = 0.1
    won = (lost * right + gain) / (1 - right)
    champion = [float(random.random() < right) for _ in range(n)]
    return [float(random.random() >= lost) if old else float(random.random() < won) for old in champion], champion


def errors(random: Random, n: int, share: float) -> Pairs:
    """Errors of both, exponential and independent; the candidate's are smaller by the share."""
    return [share * random.expovariate(1) for _ in range(n)], [random.expovariate(1) for _ in range(n)]


def groups(trials: int) -> list[dict]:
    """How often an equally good candidate is called worse in any of five groups, and one that is worse in one."""
    rows = []
    for n in (50, 100, 500):
        random, called, found = Random(n), 0, 0
        names = [str(at % 5) for at in range(n)]
        for _ in range(trials):
            called += bool(judge(*wins_and_losses(random, n, 0.15, 0.15), groups=names).worse_in)
            new, old = wins_and_losses(random, n, 0.178, 0.053)
            bad = [
                0.0 if name == "0" and random.random() < 0.5 else score for score, name in zip(new, names, strict=True)
            ]
            found += "0" in judge(bad, old, groups=names).worse_in
        rows.append({"n": n, "trials": trials, "called_worse": called / trials, "half_lost_in_one": found / trials})
    return rows


Answers = tuple[list, list, list, list[str] | None]
"""Truths, the candidate's answers, the champion's, and the groups of the items where whole groups are drawn."""
RESAMPLES = 400


def labelled(
    weights: str, random: Random, n: int, *, right: float = 0.7, other: float = 1.0, gain: float = 0.0
) -> Answers:
    """Labels that are right with a chance; of a share `other` of the items the two versions answer independently."""
    classes = "abcdefghij"[: len(weights.split())]
    truths = random.choices(classes, [float(weight) for weight in weights.split()], k=n)

    def answer(truth: str, chance: float) -> str:
        return truth if random.random() < chance else random.choice(classes)

    champion = [answer(truth, right) for truth in truths]
    candidate = [
        answer(truth, right + gain) if random.random() < other else old
        for truth, old in zip(truths, champion, strict=True)
    ]
    return truths, candidate, champion, None


def other_mistakes(random: Random, n: int) -> Answers:
    """One version takes a class for the next one, the other for any: as good by symmetry; roles are swapped."""
    truths = random.choices("abc", k=n)
    mistakes = [[truth if random.random() < 0.7 else "bca"["abc".index(truth)] for truth in truths]]
    mistakes += [[truth if random.random() < 0.7 else random.choice("abc".replace(truth, "")) for truth in truths]]
    random.shuffle(mistakes)
    return truths, *mistakes, None


def ranked(
    random: Random, n: int, *, noise: float, other: float = 1.0, steps: float = 0.0, better: float = 1.0
) -> Answers:
    """Scores that are the truth and noise; `better` times the noise in the candidate's; rounded to `steps`."""
    truths = [random.gauss(0, 1) for _ in range(n)]
    champion = [truth + random.gauss(0, noise) for truth in truths]
    candidate = [
        truth + random.gauss(0, noise * better) if random.random() < other else old
        for truth, old in zip(truths, champion, strict=True)
    ]
    sides = (truths, candidate, champion)
    if steps:
        sides = tuple([round(value / steps) * steps for value in side] for side in sides)
    return *sides, None


def grouped(answers: Answers, size: int) -> Answers:
    """The same with groups of `size` items."""
    truths, candidate, champion, _ = answers
    return truths, candidate, champion, [str(at // size) for at in range(len(truths))]


def moods(random: Random, n: int) -> Answers:
    """n groups of 5 whose items share most of the noise of a version."""
    truths, candidate, champion, groups = grouped(ranked(random, 5 * n, noise=0.5), 5)
    for side in (candidate, champion):
        shared = [random.gauss(0, 1) for _ in range(n)]
        side[:] = [value + shared[at // 5] for at, value in enumerate(side)]
    return truths, candidate, champion, groups


def label_moods(random: Random, n: int) -> Answers:
    """n groups of 5 items, of which a version is good at some and bad at others."""
    truths = random.choices("abc", k=5 * n)
    sides = []
    for _ in range(2):
        chances = [random.choice((0.3, 0.95)) for _ in range(n)]
        sides.append([t if random.random() < chances[at // 5] else random.choice("abc") for at, t in enumerate(truths)])
    return truths, *sides, [str(at // 5) for at in range(5 * n)]


FIGURES: dict[str, tuple[str, Callable[[Random, int], Answers]]] = {
    "macro-F1, 3 even classes": ("macro_f1", lambda random, n: labelled("1 1 1", random, n)),
    "macro-F1, 3 even classes, other mistakes": ("macro_f1", other_mistakes),
    "macro-F1, 2 classes, one of them 10 %": ("macro_f1", lambda random, n: labelled("9 1", random, n, right=0.8)),
    "macro-F1, 5 classes, 52 % to 3 %": ("macro_f1", lambda random, n: labelled("16 8 4 2 1", random, n)),
    "macro-F1, the same, 12 % differ": ("macro_f1", lambda random, n: labelled("16 8 4 2 1", random, n, other=0.3)),
    "macro-F1, 10 classes, 33 % to 1 %": ("macro_f1", lambda random, n: labelled("30 20 10 8 6 4 3 2 1 1", random, n)),
    "macro-F1, groups of 5": ("macro_f1", label_moods),
    "Spearman, about 0.9": ("spearman", lambda random, n: ranked(random, n, noise=0.5)),
    "Spearman, about 0.4": ("spearman", lambda random, n: ranked(random, n, noise=2.0)),
    "Spearman, 15 % differ": ("spearman", lambda random, n: ranked(random, n, noise=1.0, other=0.15)),
    "Spearman, ties": ("spearman", lambda random, n: ranked(random, n, noise=1.0, steps=1.0)),
    "Spearman, groups of 5": ("spearman", moods),
    "NDCG@10, one ranking": ("ndcg@10", lambda random, n: ranked(random, n, noise=1.0)),
    "NDCG@10, one ranking, ties": ("ndcg@10", lambda random, n: ranked(random, n, noise=1.0, steps=1.0)),
    "NDCG@10, queries of 20": ("ndcg@10", lambda random, n: grouped(ranked(random, 20 * n, noise=1.0), 20)),
}
BETTER: dict[str, tuple[str, Callable[[Random, int], Answers]]] = {
    "macro-F1, 3 even classes, 0.8 against 0.7 right or guessed": (
        "macro_f1",
        lambda random, n: labelled("1 1 1", random, n, gain=0.1),
    ),
    "macro-F1, 5 classes, 0.85 against 0.7": (
        "macro_f1",
        lambda random, n: labelled("16 8 4 2 1", random, n, gain=0.15),
    ),
    "Spearman, noise 0.8 against 1": ("spearman", lambda random, n: ranked(random, n, noise=1.0, better=0.8)),
    "NDCG@10, one ranking, noise 0.5 against 1": (
        "ndcg@10",
        lambda random, n: ranked(random, n, noise=1.0, better=0.5),
    ),
    "NDCG@10, queries of 20, noise 0.8 against 1": (
        "ndcg@10",
        lambda random, n: grouped(ranked(random, 20 * n, noise=1.0, better=0.8), 20),
    ),
}


def figure_rates(
    cases: dict[str, tuple[str, Callable[[Random, int], Answers]]], sizes: Sequence[int], trials: int
) -> list:
    """How often the gate accepts by a figure that is not a mean over items; NDCG of queries is one, for comparison."""
    rows = []
    for name, (metric, case) in cases.items():
        for n in sizes:
            random, accepted = Random(f"{n}"), 0
            for _ in range(trials):
                truths, candidate, champion, groups = case(random, n)
                verdict = judge_answers(
                    metric_named(metric), truths, candidate, champion, groups=groups, random=random, resamples=RESAMPLES
                )
                accepted += verdict.decision is Decision.ACCEPT
            rows.append({"case": name, "n": n, "trials": trials, "resamples": RESAMPLES, "accepted": accepted / trials})
    return rows


def seconds() -> dict:
    random = Random(0)
    pairs = pairs_of(lambda r: r.gauss(0, 1), random, 10_000)
    start = time.perf_counter()
    judge(*pairs)
    judged = time.perf_counter() - start
    taken = {"judge_10000_pairs_s": judged}
    for metric, answers in (
        ("macro_f1", labelled("16 8 4 2 1", random, 3_500)),
        ("spearman", ranked(random, 3_500, noise=1.0)),
    ):
        start = time.perf_counter()
        judge_answers(metric_named(metric), *answers[:3], random=random)
        taken[f"judge_{metric}_of_3500_items_s"] = time.perf_counter() - start
    return taken


def measure(quick: bool) -> dict:
    trials = 300 if quick else 4_000
    return {
        "run_on": {
            "python": platform.python_version(),
            "machine": platform.machine(),
            "system": platform.system(),
            "cpus": os.cpu_count(),
            "load_1_min": os.getloadavg()[0],
        },
        "alpha": ALPHA,
        "seconds": seconds(),
        "exact_level_right_or_wrong": exact_levels(),
        "power": power(trials),
        "peeking_every_10": list(peeking(trials // 10)),
        "forms_at_their_threshold": forms(trials // 2),
        "groups": groups(trials // 4),
        "advice": advice(trials // 4),
        "figures_of_equal_skill": figure_rates(FIGURES, (30, 100, 300), trials // 4),
        "figures_of_a_better_candidate": figure_rates(BETTER, (30, 100, 300), trials // 10),
        "false_acceptance": list(false_acceptance(trials)),
    }


def show(figures: dict) -> None:
    for title, part in figures.items():
        rows = part if isinstance(part, list) else [part] if isinstance(part, dict) else [{title: part}]
        print(f"\n{title}")
        for row in rows:
            print("  " + ", ".join(f"{key} {_short(value)}" for key, value in row.items()))


def _short(value: object) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="few trials: a look, not a figure to quote")
    parser.add_argument("--json", action="store_true", help="print JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.quick)
    if arguments.json:
        json.dump(figures, sys.stdout, indent=2)
        print()
    else:
        show(figures)


if __name__ == "__main__":
    main()
