"""What logged choices of a shop say of another policy, beside what that policy really brought there.

The Open Bandit sample (Saito, Aihara, Matsutani and Narita 2020, arXiv:2008.07146) lies in the wheel of obp 0.4.1,
which `make interop-open-bandit` downloads and does not install: 10,000 choices at random of campaign "all", and as
many by Bernoulli Thompson sampling, with the priors by which that policy chose.
"""

import csv
import io
import os
import re
import zipfile
from collections import Counter

import pytest

from overnight.learning.selection.off_policy import Logged, doubly_robust, snips

np = pytest.importorskip("numpy")
WHEEL = os.environ.get("OVERNIGHT_TEST_OPEN_BANDIT")
pytestmark = pytest.mark.skipif(WHEEL is None, reason="`make interop-open-bandit` downloads the data and runs this")
ALLOWED = 0.157
PLACES, DRAWS = 3, 100_000
MODEL = 20
"""Choices that the mean of all items counts for in the mean of each."""


def text(name):
    with zipfile.ZipFile(WHEEL) as wheel:
        return wheel.read(name).decode()


def rows(policy):
    return list(csv.DictReader(io.StringIO(text(f"obp/dataset/obd/{policy}/all/all.csv"))))


def priors():
    """Return alpha and beta of each item in campaign "all"."""
    part = re.search(r"^all:\n((?:[ -].*\n)*)", text("obp/policy/conf/prior_bts.yaml"), re.MULTILINE)[1]
    lists = [re.search(rf"{name}:\n((?:\s*- .*\n)*)", part)[1] for name in ("alpha", "beta")]
    return [np.array([float(one) for one in re.findall(r"- (\S+)", found)]) for found in lists]


def chances(alpha, beta):
    """Return how likely Bernoulli Thompson sampling shows each item at each of the places."""
    draw, found = np.random.default_rng(1), np.zeros((len(alpha), PLACES))
    for _ in range(20):
        best = np.argsort(-draw.beta(alpha, beta, size=(DRAWS // 20, len(alpha))), axis=1)[:, :PLACES]
        for place in range(PLACES):
            found[:, place] += np.bincount(best[:, place], minlength=len(alpha))
    return found / DRAWS


def test_the_value_of_thompson_sampling_is_told_from_choices_at_random(capsys):
    chance, logged = chances(*priors()), rows("random")
    really = np.mean([int(row["click"]) for row in rows("bts")])
    log = [
        Logged(
            reward=float(row["click"]),
            propensity=float(row["propensity_score"]),
            wanted=chance[int(row["item_id"]), int(row["position"]) - 1],
        )
        for row in logged
    ]
    shown, clicked = Counter(row["item_id"] for row in logged), Counter()
    for row in logged:
        clicked[row["item_id"]] += int(row["click"])
    middle = sum(clicked.values()) / len(logged)
    model = {item: (clicked[item] + MODEL * middle) / (shown[item] + MODEL) for item in shown}
    of_place = [sum(chance[int(item), place] * said for item, said in model.items()) for place in range(PLACES)]
    predicted = [model[row["item_id"]] for row in logged]
    expected = [of_place[int(row["position"]) - 1] for row in logged]
    found = {"SNIPS": snips(log), "doubly robust": doubly_robust(log, predicted, expected)}
    errors = {name: abs(one.value - really) / really for name, one in found.items()}
    with capsys.disabled():
        for name, error in errors.items():
            print(f"\n{name}: relative error {error:.3f}, effective sample size {found[name].effective:,.0f}", end="")
    assert all(error <= ALLOWED for error in errors.values()), errors
    assert all(one.lower <= really <= one.upper for one in found.values())
