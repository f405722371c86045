"""Whether what comes now is something else than what came before. Pure.

`two_sample` is the classifier two-sample test of Lopez-Paz and Oquab (2017, "Revisiting classifier two-sample tests",
ICLR): a classifier learns on one half of both samples which of them an input is of; on the other half it is right as
often as a coin where they are alike, whatever the classifier. Here it is naive Bayes over what is in the inputs: words,
and numbers by quartile. `fallen` is Fisher's exact test (1935, The Design of Experiments) in one direction.

These decide when it is worth training again, and nothing else: they are asked again and again, so that each false alarm
costs a training, and no version serves for it.
"""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

MOST = 500
"""Inputs of each sample that are compared."""
LEAST = 20
"""Inputs that each sample has to have."""
_LONG_TEXT = 2000
_MOST_LEAVES = 400


@dataclass(frozen=True, kw_only=True)
class Drift:
    """How well two samples can be told apart: the share of `n` inputs that was, and how likely that is by chance."""

    accuracy: float
    p: float
    n: int


def two_sample(before: Sequence[Any], now: Sequence[Any]) -> Drift | None:  # Any: JSON inputs
    """Return how well the newest inputs can be told from earlier ones; None where either are fewer than `LEAST`.

    As many are taken of each, at most `MOST`, and halved, by chance; what the inputs are is its seed, so that the same
    ones give the same answer, whatever their order.
    """
    size = min(len(before), len(now), MOST)
    if size < LEAST:
        return None
    samples = _binned(*_drawn((before, now), size))
    learn = [sample[::2] for sample in samples]
    asked = [sample[1::2] for sample in samples]
    scores = _naive_bayes(learn)
    right = sum((scores(tokens) > 0) is bool(which) for which, sample in enumerate(asked) for tokens in sample)
    n = sum(map(len, asked))
    return Drift(accuracy=right / n, p=sum(math.comb(n, k) for k in range(right, n + 1)) / 2**n, n=n)


def fallen(before: Sequence[bool], now: Sequence[bool]) -> tuple[float, float]:
    """Return by how much the share of successes has fallen, and how likely a fall like that is by chance.

    Raises:
        ZeroDivisionError: either is empty.
    """
    first, second = sum(before) / len(before), sum(now) / len(now)
    good, n, m = sum(before) + sum(now), len(before), len(now)
    total = math.comb(n + m, good)
    # So few successes among the newest, or fewer, given how many there are in all.
    tail = sum(math.comb(m, k) * math.comb(n, good - k) for k in range(max(0, good - n), sum(now) + 1))
    return first - second, tail / total


def _drawn(samples: Iterable[Sequence[Any]], size: int) -> list[list[Any]]:
    """Return so many inputs of each sample, in an order by chance.

    No order by what an input is would do: like ones would stand together, and be chosen, or parted evenly among the
    halves, by what they are. Then also samples that are alike are told apart.
    """
    ordered = [sorted(((_text(one), one) for one in sample), key=itemgetter(0)) for sample in samples]
    seed = hashlib.blake2b(digest_size=8)
    for sample in ordered:
        for text, _ in sample:
            seed.update(text)
    key = seed.digest()
    return [[sample[place][1] for place in sorted(range(len(sample)), key=_lot(key))[:size]] for sample in ordered]


def _lot(key: bytes) -> Callable[[int], bytes]:
    """Return what gives each place a number by lot; another key gives others."""
    return lambda place: hashlib.blake2b(place.to_bytes(8, "big"), key=key, digest_size=8).digest()


def _text(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _binned(before: Sequence[Any], now: Sequence[Any]) -> list[list[frozenset[str]]]:
    """Return the tokens of all inputs; a number is one of four, by the quartiles of both samples together."""
    leaves = [[dict(_leaves(one)) for one in sample] for sample in (before, now)]
    numbers: dict[str, list[float]] = {}
    for one in (*leaves[0], *leaves[1]):
        for path, value in one.items():
            if isinstance(value, float):
                numbers.setdefault(path, []).append(value)
    cuts = {path: _quartiles(sorted(values)) for path, values in numbers.items()}
    return [[_tokens(one, cuts) for one in sample] for sample in leaves]


def _quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    size = len(values)
    return values[size // 4], values[size // 2], values[3 * size // 4]


def _tokens(leaves: Mapping[str, float | str], cuts: Mapping[str, tuple[float, float, float]]) -> frozenset[str]:
    found = set[str]()
    for path, value in leaves.items():
        if isinstance(value, float):
            found.add(f"{path}#{sum(value > cut for cut in cuts[path])}")
        else:
            found.update(f"{path}:{word}" for word in value.casefold().split())
            found.add(f"{path}~{len(value).bit_length()}")
    return frozenset(found)


def _leaves(value: Any, path: str = "") -> Iterable[tuple[str, float | str]]:
    """Yield what stands in an input, with where; of long lists the beginning, of long texts how long they are."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _leaves(one, f"{path}.{name}")
    elif isinstance(value, list | tuple):
        for place, one in enumerate(value[:_MOST_LEAVES]):
            yield from _leaves(one, f"{path}[{place}]")
    elif isinstance(value, bool) or value is None:
        yield path, str(value)
    elif isinstance(value, float) and math.isnan(value):
        yield path, "nan"
    elif isinstance(value, int | float):
        yield path, _float(value)
    else:
        text = str(value)
        yield path, text if len(text) <= _LONG_TEXT else ""
        if len(text) > _LONG_TEXT:
            yield f"{path}|", float(len(text))


def _float(value: float) -> float:
    try:
        return float(value)
    except OverflowError:  # an integer beyond what floats can hold
        return math.inf if value > 0 else -math.inf


def _naive_bayes(learn: Sequence[Sequence[frozenset[str]]]) -> Callable[[frozenset[str]], float]:
    """Return the log-odds that some tokens are of the second sample, as far as they have shown."""
    counts = [Counter(token for tokens in sample for token in tokens) for sample in learn]
    sizes = [len(sample) for sample in learn]
    odds = {
        token: math.log((counts[1][token] + 1) / (sizes[1] + 2)) - math.log((counts[0][token] + 1) / (sizes[0] + 2))
        for token in {*counts[0], *counts[1]}
    }
    return lambda tokens: math.fsum(odds.get(token, 0.0) for token in sorted(tokens))
