"""What sets of parameters reach on the exercises in the training of models, and whether the checks tell them apart.

    python benchmarks/exercises.py [--quick] [--json]

16 exercises of each complexity (quick: 8), all made from one seed and executed with each of four sets of parameters:
`idle` learns nothing, `plain` are the defaults, `careful` learns slowly, stops early and asks three models, `bold`
learns ten times as fast. For each type of task and set: how often each check was passed, the mean of the accuracy (or
macro-F1), its share of the way from answering always the same to the better of two simple learners (`way`), and the
mean seconds. Aims: `idle` never passes the check of its accuracy; what `plain` reaches falls from easy to hard; of each
type but the separable one, `plain`, `careful` and `bold` together pass between a tenth and nine tenths of the checks of
accuracy.
"""

import argparse
import tempfile
from collections import defaultdict
from pathlib import Path
from statistics import mean

from rig import machine, show

from overnight.learning.exercises import COMPLEXITIES, Exercise
from overnight.learning.generation import TYPES, generate
from overnight.learning.items import load, one_core
from overnight.learning.parameters import TrainingParameters
from overnight.learning.recipes import Recipe
from overnight.learning.reference import Reference, reference
from overnight.learning.trainings import execute

SETS = {
    "idle": TrainingParameters(epochs=1, learning_rate=1e-5),
    "plain": TrainingParameters(),
    "careful": TrainingParameters(learning_rate=0.001, regularisation=0.01, early_stopping=5, ensemble=3, epochs=60),
    "bold": TrainingParameters(learning_rate=0.03, regularisation=0, epochs=20),
}
SEED, FULL, QUICK = 7, 16, 8


def known(exercise: Exercise) -> Reference:
    with one_core():
        return reference(load(Recipe.from_dict(exercise.work)), exercise.checks[0].metric)


def measure(count: int) -> dict[str, dict[str, dict[str, float]]]:
    """Return the mean of each figure, by type and set of parameters."""
    found: dict[str, dict[str, dict[str, list[float]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for exercise in (one for complexity in COMPLEXITIES for one in generate(complexity, count, SEED)):
        far = known(exercise)
        for name, parameters in SETS.items():
            done, figures = execute(exercise, [parameters], 1), found[exercise.type][name]
            for check, judged in done.checks.items():
                figures[check].append(float(judged.passed))
            value = done.checks["accuracy"].value
            figures["value"].append(value)
            figures["way"].append((value - far.majority) / (far.best - far.majority))
            figures["time_s"].append(done.time_s)
    return {
        kind: {name: {key: round(mean(values), 3) for key, values in figures.items()} for name, figures in sets.items()}
        for kind, sets in found.items()
    }


def missed(figures: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """Return the aims that were missed."""
    found = [f"{kind}.idle.accuracy" for kind, sets in figures.items() if sets["idle"]["accuracy"] > 0]
    reached = [mean(figures[kind]["plain"]["value"] for kind in TYPES[complexity]) for complexity in COMPLEXITIES]
    if reached != sorted(reached, reverse=True):
        found.append("plain.value")
    learn = ("plain", "careful", "bold")
    passed = {kind: mean(figures[kind][name]["accuracy"] for name in learn) for kind in TYPES["medium"] + TYPES["hard"]}
    return found + [f"{kind}.accuracy" for kind, share in passed.items() if not 0.1 <= share <= 0.9]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    figures = measure(QUICK if asked.quick else FULL)
    aims = {"missed": ", ".join(missed(figures)) or "none", "aim_met": not missed(figures)}
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        show({"machine": machine(Path(folder)), **figures, "aims": aims}, as_json=asked.json)
    return 0 if aims["aim_met"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
