"""Which texts are almost the same: candidates by MinHash and locality-sensitive hashing, each verified exactly.

Leskovec, Rajaraman and Ullman, "Mining of Massive Datasets", chapter 3: a MinHash value of two texts is equal with the
probability s, the Jaccard similarity of their shingles (3.3.3). b bands of r values each make two texts a candidate if
all values of one band are equal, which happens with the probability 1 - (1 - s^r)^b (3.4.2). r and b are chosen so
that this is at least 0.95 at the threshold, and with the longest bands that 96 values allow: the longer a band, the
fewer pairs below the threshold have to be verified. For 0.85 that is r = 8 and b = 10 (0.958); 0.99 at 0.88.
"""

import math
from array import array
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from overnight.base.errors import MissingExtra, UserMistake
from overnight.text.clusters import Clusters
from overnight.text.normalise import fold
from overnight.text.shingles import SHORTEST, alike, numbers_of, shingles

RECALL = 0.95
"""Share of the pairs at the threshold that become candidates."""
_MOST_VALUES = 96
# Texts of one bucket that are compared each with each; each further one is compared with one text of a few clusters.
_EACH_WITH_EACH = 32
_CLUSTERS_MET = 8
# Shingles that are sketched at once: 16 MB.
_AT_ONCE = 2_000_000


@dataclass(frozen=True, kw_only=True)
class Bands:
    """How the MinHash values of a text are cut: `count` bands of `rows` values."""

    count: int
    rows: int

    @property
    def values(self) -> int:
        """MinHash values ("permutations") of a text."""
        return self.count * self.rows


def near_duplicates(texts: Sequence[str], *, threshold: float = 0.85, seed: int = 0) -> list[int]:
    """Return, for each text, the index of the first text of its cluster: its own where it stands alone.

    Texts whose folded forms are equal share a cluster, but for those that fold to nothing: each stands alone. Other
    texts are joined where the Jaccard similarity of their shingles, counted exactly, reaches `threshold` (above 0, at
    most 1); at 1 only equal ones are. Joining is transitive: the ends of a chain may be less alike than the threshold.
    The same texts and `seed` (0 or greater) give the same clusters.

    No pair is joined wrongly; a pair at the threshold is missed with a probability of at most 0.05, one further above
    it much more rarely (below a threshold of 0.031, more often). Where more than 32 different texts share a bucket,
    each further one is compared there only with one text of each of the first 8 clusters that the bucket shows. So the
    time stays linear, however many texts share a phrase; but a pair is then found only if they meet in another, smaller
    bucket, or through those clusters, and that may depend on the order of the texts. Else the order does not matter.

    Raises:
        UserMistake: the threshold is not above 0 and at most 1.
        MissingExtra: rensa is not installed.
    """
    if not 0 < threshold <= 1:
        raise UserMistake(f"threshold must be above 0 and at most 1, got {threshold!r}")
    distinct: list[str] = []
    firsts: list[int] = []
    known: dict[str, int] = {}
    number_of: list[int] = []
    for at, folded in enumerate(map(fold, texts)):
        number = known.setdefault(folded, len(distinct)) if folded else len(distinct)
        if number == len(distinct):
            distinct.append(folded)
            firsts.append(at)
        number_of.append(number)
    del known  # of a million texts 80 MB
    clusters = Clusters(len(distinct))
    if threshold < 1:
        _join_similar(distinct, clusters, threshold, seed)
    return [firsts[clusters.first(number)] for number in number_of]


def bands_for(threshold: float) -> Bands:
    """Return the longest bands of at most 96 values that find a pair at the threshold with probability `RECALL`.

    From 1 - (1 - t^r)^b >= p follows b >= log(1 - p) / log(1 - t^r).
    """
    best = Bands(count=_MOST_VALUES, rows=1)
    for rows in range(1, _MOST_VALUES + 1):
        count = math.log1p(-RECALL) / math.log1p(-(threshold**rows))
        if count * rows > _MOST_VALUES or math.ceil(count) * rows > _MOST_VALUES:
            break
        best = Bands(count=math.ceil(count), rows=rows)
    return best


def _join_similar(texts: Sequence[str], clusters: Clusters, threshold: float, seed: int) -> None:
    bands = bands_for(threshold)
    flags = _share_a_band(texts, bands, seed)
    numbers = [number for number, flag in enumerate(flags) if flag and len(texts[number]) >= SHORTEST]

    # A bucket is worked through with few texts at a time, and one text of a page has some thousand shingles.
    @lru_cache(2 * _EACH_WITH_EACH)
    def shingles_of(number: int) -> Set[object]:
        return shingles(texts[number])

    def similar(left: int, right: int) -> bool:
        return alike(shingles_of(left), shingles_of(right), threshold)

    for keys in band_keys([texts[number] for number in numbers], bands, seed):
        buckets: dict[int, list[int]] = {}
        for number, key in zip(numbers, keys, strict=True):
            buckets.setdefault(key, []).append(number)
        for bucket in buckets.values():
            if len(bucket) > 1:
                _join_bucket(bucket, clusters, similar)


def _join_bucket(bucket: Sequence[int], clusters: Clusters, similar: Callable[[int, int], bool]) -> None:
    """Join what is similar in a bucket; from `_EACH_WITH_EACH` texts on, a few clusters are all that is looked at."""
    met: list[int] = []
    for place, number in enumerate(bucket):
        if place == _EACH_WITH_EACH:
            one_of_each = {clusters.first(other): other for other in reversed(met)}
            met = sorted(one_of_each.values())[:_CLUSTERS_MET]
        first = clusters.first(number)
        new = True
        for other in met:
            if clusters.first(other) == first:
                new = False
            elif similar(number, other):
                clusters.join(number, other)
                first, new = clusters.first(number), False
        if place < _EACH_WITH_EACH or (new and len(met) < _CLUSTERS_MET):
            met.append(number)


def _share_a_band(texts: Sequence[str], bands: Bands, seed: int) -> list[bool]:
    """Return for each text whether another one has the same values in some band. Most texts need no further look."""
    # Its threshold is only for comparing two sketches, which is not done here.
    index = _rensa().RMinHashLSH(0.5, bands.values, bands.count)
    sketches = []
    done = 0
    for sketch in _sketches(texts, bands, seed):
        index.insert_matrix(sketch, done)
        sketches.append(sketch)
        done += sketch.len()
    return [flag for sketch in sketches for flag in index.query_duplicate_flags_matrix(sketch)]


def band_keys(texts: Sequence[str], bands: Bands, seed: int) -> list["array[int]"]:
    """Return for each band the hashes of its values, a number for each folded text that is not shorter than a shingle.

    Hashes of integers are always the same.
    """
    keys = [array("q") for _ in range(bands.count)]
    for sketch in _sketches(texts, bands, seed):
        for values in sketch.to_rows():
            for band, start in zip(keys, range(0, bands.values, bands.rows), strict=True):
                band.append(hash(tuple(values[start : start + bands.rows])))
    return keys


def _sketches(texts: Sequence[str], bands: Bands, seed: int) -> Iterator[Any]:  # Any: matrices of rensa
    """Yield the MinHash values of the texts, as matrices with a row for each text."""
    sketch = _rensa().RMinHash.digest_matrix_from_flat_token_hashes
    numbers, ends = array("Q"), array("Q", [0])
    for place, text in enumerate(texts, 1):
        numbers.extend(numbers_of(text))
        ends.append(len(numbers))
        if len(numbers) >= _AT_ONCE or place == len(texts):
            yield sketch(numbers, ends, bands.values, seed)
            numbers, ends = array("Q"), array("Q", [0])


def _rensa() -> Any:  # Any: rensa has no types
    try:
        import rensa
    except ImportError:
        raise MissingExtra("near duplicates need the extra `data`: pip install 'overnight[data]'") from None
    return rensa
