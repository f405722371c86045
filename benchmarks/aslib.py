"""Reads scenarios in the format of ASlib, the algorithm selection library (Bischl et al. 2016, Artif. Intell. 237:41).

A scenario is a folder. Of `description.txt`, which is YAML, the top-level keys are read that say what was measured; of
`algorithm_runs.arff` the first measure of each run, and of `feature_values.arff` what is known of each instance. What
else may lie there (`feature_runstatus.arff`, `feature_costs.arff`, `cv.arff`, ...) is not needed, and not looked at.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PENALTY = 10.0
"""A run that was ended at the cut-off counts as so many times the cut-off: PAR10."""
MISSING = "?"


class NotAScenario(Exception):
    """A file is missing or says what cannot be understood; the message names the file and the line."""


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """Instances in the order of the file, what each algorithm costs on each (less is better), and what is known of it.

    `costs` is instances by algorithms. `ordered`: that order means something, since what is best changes.
    """

    name: str
    algorithms: Sequence[str]
    instances: Sequence[str]
    costs: Sequence[Sequence[float]]
    features: Sequence[Mapping[str, float | str | None]]
    ordered: bool = False


def read(folder: Path) -> Scenario:
    """Read the scenario in a folder.

    Raises:
        NotAScenario: a file is missing, or says what cannot be understood.
    """
    about = description(folder / "description.txt")
    runs = list(_rows(folder / "algorithm_runs.arff"))
    if not runs:
        raise NotAScenario(f"{folder / 'algorithm_runs.arff'}: there are no runs")
    measure = _measure(about, runs[0], folder)
    algorithms = list(dict.fromkeys(run["algorithm"] for run in runs))
    instances = list(dict.fromkeys(run["instance_id"] for run in runs))
    price = _price(about, [_number(run[measure]) for run in runs])
    seen: dict[tuple[str, str], list[float]] = {}
    for run in runs:
        cost = price(_number(run[measure]), run.get("runstatus", "ok").lower())
        seen.setdefault((run["instance_id"], run["algorithm"]), []).append(cost)
    none = price(math.nan, "other")
    features = _features(folder / "feature_values.arff")
    return Scenario(
        name=_first(about.get("scenario_id")) or folder.name,
        algorithms=algorithms,
        instances=instances,
        costs=[[_mean(seen.get((one, name), [none])) for name in algorithms] for one in instances],
        features=[features.get(one, {}) for one in instances],
        ordered=_first(about.get("instances_ordered")).lower() == "true",
    )


# -- what was measured


def description(path: Path) -> dict[str, list[str]]:
    """Return the top-level keys of a description, each as the list of its values; what is nested deeper is left out.

    Not all of YAML, but what descriptions have: `key: value`, `key: [a, b]`, and lists of `- value` below a key.
    """
    found: dict[str, list[str]] = {}
    values: list[str] = []
    for line in _text(path).splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith(("#", "---")):
            continue
        if stripped.startswith("- ") or stripped == "-":
            values.append(_plain(stripped[1:]))
        elif not line[0].isspace():
            key, _, rest = line.partition(":")
            rest = rest.strip()
            inner = rest[1:-1].split(",") if rest.startswith("[") and rest.endswith("]") else [rest]
            values = [_plain(one) for one in inner if _plain(one)]
            found[key.strip()] = values
        else:
            # A nested key: what is listed below it belongs to it.
            values = []
    return found


def _plain(text: str) -> str:
    text = text.strip()
    if text[:1] in "'\"" and text[:1] == text[-1:] and len(text) > 1:
        return text[1:-1]
    return text.partition(" #")[0].strip()


def _first(values: Sequence[str] | None) -> str:
    return values[0] if values else ""


def _measure(about: Mapping[str, Sequence[str]], run: Mapping[str, str], folder: Path) -> str:
    known = [name for name in run if name not in ("instance_id", "repetition", "algorithm", "runstatus")]
    asked = _first(about.get("performance_measures")).lower()
    for name in known:
        if name == asked:
            return name
    if asked or not known:
        raise NotAScenario(f"{folder / 'algorithm_runs.arff'}: there is no column {asked!r}, only {', '.join(run)}")
    return known[0]


def _price(about: Mapping[str, Sequence[str]], values: Sequence[float]):
    """Return what says the cost of a run by its value and status."""
    finite = [value for value in values if math.isfinite(value)]
    if _first(about.get("performance_type")).lower() == "runtime":
        cutoff = _number(_first(about.get("algorithm_cutoff_time")))
        if not cutoff > 0:
            cutoff = max(finite, default=1.0)

        def runtime(value: float, status: str) -> float:
            return value if status == "ok" and value < cutoff else PENALTY * cutoff

        return runtime
    maximize = _first(about.get("maximize")).lower() == "true"
    # How far it is from the best there can be, so that a share of what the oracle has is one of something.
    top = max(1.0, *finite) if maximize else 0.0
    worst = max((abs(top - value) for value in finite), default=1.0)

    def quality(value: float, status: str) -> float:
        return abs(top - value) if status == "ok" and math.isfinite(value) else worst

    return quality


# -- tables


def _features(path: Path) -> dict[str, dict[str, float | str | None]]:
    """Return the features of each instance: the mean of its repetitions, None where all of them lack it."""
    found: dict[str, dict[str, list[float | str]]] = {}
    for row in _rows(path):
        mine = found.setdefault(row["instance_id"], {})
        for name, text in row.items():
            if name not in ("instance_id", "repetition"):
                mine.setdefault(name, []).extend([] if text == MISSING else [_number_or_text(text)])
    return {instance: {name: _typical(values) for name, values in mine.items()} for instance, mine in found.items()}


def _typical(values: Sequence[float | str]) -> float | str | None:
    numbers = [one for one in values if isinstance(one, float)]
    if numbers:
        return _mean(numbers)
    return values[0] if values else None


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of an ARFF file, as texts by the names of the columns, those in lower case that ASlib names."""
    names: list[str] = []
    in_data = False
    for number, raw in enumerate(_text(path).splitlines(), 1):
        line = raw.strip()
        if not line or line.startswith("%"):
            continue
        if not in_data:
            word = line.split(None, 1)[0].lower()
            in_data = word == "@data"
            if word == "@attribute":
                names.append(_attribute(line))
            continue
        values = _values(line)
        if len(values) == len(names) + 1 and values[-1] == "":
            values.pop()
        if len(values) != len(names):
            raise NotAScenario(f"{path}, line {number}: {len(values)} values for {len(names)} columns")
        yield dict(zip(names, values, strict=True))
    if not {"instance_id"} <= set(names) or not in_data:
        raise NotAScenario(f"{path}: it has no column instance_id, or no @DATA")


def _attribute(line: str) -> str:
    rest = line.split(None, 1)[1].strip()
    if rest[:1] in "'\"":
        return rest[1 : rest.index(rest[0], 1)]
    return rest.split(None, 1)[0]


def _values(line: str) -> list[str]:
    """Return the values of a row. A quote, single or double, stands around a value that has a comma in it."""
    found, value, quote, place = [], "", "", 0
    while place < len(line):
        letter = line[place]
        if quote and letter == "\\" and place + 1 < len(line):
            place += 1
            value += line[place]
        elif letter == quote:
            quote = ""
        elif not quote and letter in "'\"" and not value.strip():
            quote, value = letter, ""
        elif not quote and letter == ",":
            found.append(value.strip())
            value = ""
        else:
            value += letter
        place += 1
    return [*found, value.strip()]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _number_or_text(text: str) -> float | str:
    number = _number(text)
    return number if math.isfinite(number) else text


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise NotAScenario(f"{path}: {error.strerror}") from None
