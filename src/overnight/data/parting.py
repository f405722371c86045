"""Which samples are for training, which for choosing a model, and which for the test: no group is torn apart. Pure."""

import hashlib
from collections.abc import Mapping, Sequence

from overnight.text.clusters import Clusters

TRAIN, VAL, TEST = "train", "val", "test"
SHARES: Mapping[str, float] = {TRAIN: 0.8, VAL: 0.1, TEST: 0.1}


def parted(keys: Sequence[Sequence[str]], *, seed: int) -> list[str]:
    """Return the part of each sample: train, val or test, 80, 10 and 10 percent of them as nearly as groups allow.

    `keys` name, for each sample, what it shares with others, such as its source and its cluster of near duplicates.
    Samples with a common key are of one group, and so are those that are linked by others; one without a key stands
    alone. Groups come in an order that the seed draws; each goes to the part that lacks most, in proportion, of those
    with room for it, and where none has room to the one that lacks most. A group of more than a tenth of all samples
    is never for choosing or testing as long as training has room, so that few large groups can leave those empty.
    """
    groups: dict[int, list[int]] = {}
    for sample, group in enumerate(groups_of(keys)):
        groups.setdefault(group, []).append(sample)
    aims = {part: share * len(keys) for part, share in SHARES.items()}
    held = dict.fromkeys(SHARES, 0)
    found = [TRAIN] * len(keys)
    for _, samples in sorted(groups.items(), key=lambda item: _drawn(seed, keys, item[1])):
        with_room = [part for part in SHARES if held[part] + len(samples) <= aims[part]]
        if with_room:
            chosen = max(with_room, key=lambda part: 1 - held[part] / aims[part])
        else:
            chosen = max(SHARES, key=lambda part: aims[part] - held[part])
        held[chosen] += len(samples)
        for sample in samples:
            found[sample] = chosen
    return found


def _drawn(seed: int, keys: Sequence[Sequence[str]], samples: Sequence[int]) -> bytes:
    """Return the group's place in the order, which follows from its keys where it has any."""
    name = min((key for sample in samples for key in keys[sample]), default=f"sample {samples[0]}")
    return hashlib.blake2b(f"{seed}/{name}".encode(errors="surrogatepass"), digest_size=16).digest()


def groups_of(keys: Sequence[Sequence[str]]) -> list[int]:
    """Return, for each sample, the first sample of its group."""
    clusters = Clusters(len(keys))
    holder: dict[str, int] = {}
    for sample, held in enumerate(keys):
        for key in held:
            clusters.join(sample, holder.setdefault(key, sample))
    return [clusters.first(sample) for sample in range(len(keys))]
