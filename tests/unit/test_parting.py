"""Training, choosing and testing have no group in common, and are 80, 10 and 10 percent as nearly as groups allow."""

from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.data.parting import SHARES, groups_of, parted

names = st.lists(
    st.lists(st.sampled_from([f"source {n}" for n in range(9)] + [f"near {n}" for n in range(30)]), max_size=3)
)


@given(keys=names, seed=st.integers(0, 2**32))
def test_no_group_is_torn_apart(keys, seed):
    parts = parted(keys, seed=seed)
    assert len(parts) == len(keys)
    where = defaultdict(set)
    for part, held in zip(parts, keys, strict=True):
        for key in held:
            where[key].add(part)
    assert all(len(found) == 1 for found in where.values())
    assert parts == parted(keys, seed=seed)


@given(keys=names)
def test_groups_are_what_common_keys_join(keys):
    groups = groups_of(keys)
    sets = [set(held) for held in keys]
    # The same by brute force: spread each sample's number until nothing changes.
    expected = list(range(len(keys)))
    for _ in keys:
        for one in range(len(keys)):
            for other in range(one):
                if sets[one] & sets[other]:
                    expected[one] = expected[other] = min(expected[one], expected[other])
    assert groups == expected


@given(count=st.integers(0, 300), seed=st.integers(0, 99))
def test_samples_that_stand_alone_are_parted_to_the_sample(count, seed):
    held = Counter(parted([[] for _ in range(count)], seed=seed))
    assert all(abs(held[part] - share * count) <= 1 for part, share in SHARES.items())


@given(sizes=st.lists(st.integers(1, 40), min_size=30, max_size=80), seed=st.integers(0, 99))
def test_many_groups_come_near_to_the_shares(sizes, seed):
    keys = [[f"group {number}"] for number, size in enumerate(sizes) for _ in range(size)]
    held = Counter(parted(keys, seed=seed))
    assert all(abs(held[part] - share * len(keys)) <= max(sizes) for part, share in SHARES.items())


def test_another_seed_parts_otherwise_and_order_does_not_matter():
    keys = [[f"source {n % 40}", f"near {n // 3}" if n % 40 == 0 else f"own {n}"] for n in range(400)]
    parts = {seed: dict(zip([held[0] for held in keys], parted(keys, seed=seed), strict=True)) for seed in (1, 2)}
    assert parts[1] != parts[2]
    backwards = keys[::-1]
    assert dict(zip([held[0] for held in backwards], parted(backwards, seed=1), strict=True)) == parts[1]


@pytest.mark.parametrize(("keys", "parts"), [([], []), ([["a"]] * 5, ["train"] * 5), ([[]], ["train"])])
def test_what_cannot_be_parted_is_for_training(keys, parts):
    assert parted(keys, seed=0) == parts
