"""A model of sentence similarity: it learns, resumes on the bit, and answers after a load as before."""

import csv
import random
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="the extra 'ml' is not installed")

import numpy as np

from model_driving import batches, drive, fingerprint, through_a_file
from overnight.base.errors import ConfigError, NotMeasured, UserMistake
from overnight.training.models.embedding import Embedding
from overnight.training.ports import Item

SETTINGS = {"batch_size": 16, "width": 8}
EPOCHS = 3
WHO = [("man", "guy"), ("woman", "lady"), ("child", "kid"), ("dog", "puppy"), ("cat", "kitten"), ("nurse", "medic")]
DOES = [("runs", "is running"), ("sings", "is singing"), ("cooks", "is cooking"), ("sleeps", "is sleeping")]
WHERE = [("in the park", "at the park"), ("in a house", "in a home"), ("on the road", "on the street")]
SLOTS = (WHO, DOES, WHERE)


def pairs(n: int, seed: int, start: int = 0) -> list[Item]:
    """Sentences with a subject, a verb and a place; how alike two are is how many of the three they share."""
    source = random.Random(seed)
    found = []
    for number in range(start, start + n):
        left = [source.choice(slot) for slot in SLOTS]
        right = [one if source.random() < 0.5 else source.choice(slot) for one, slot in zip(left, SLOTS, strict=True)]
        a, b = (" ".join(["the", *(source.choice(words) for words in side)]) for side in (left, right))
        value = sum(one == other for one, other in zip(left, right, strict=True)) / 3
        found.append({"id": f"p{number}", "input": {"a": a, "b": b}, "expected_output": value})
    return found


def prepared(n: int = 100, settings: dict | None = None) -> Embedding:
    trainer = Embedding({**SETTINGS, **(settings or {})}, 7)
    trainer.prepare(pairs(n, 1), pairs(60, 2, 1000), EPOCHS)
    return trainer


def test_it_learns_from_pairs():
    trainer = Embedding(SETTINGS, 7)
    trainer.prepare(pairs(300, 1), pairs(100, 2, 1000), 6)
    before = trainer.validate()
    losses = drive(trainer, 300, 6, 7)
    after = trainer.validate()
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert after.loss < before.loss
    assert after.metric > 0.7


@pytest.mark.parametrize("cut", [1, 6, 7, 8, 20])
def test_a_resumed_training_is_equal_on_the_bit(cut):
    whole = prepared()
    drive(whole, 100, EPOCHS, 7)
    first = prepared()
    drive(first, 100, EPOCHS, 7, until=cut)
    kept = through_a_file(first.state())
    second = prepared()
    second.restore(kept)
    assert fingerprint(second.state()) == fingerprint(kept)
    drive(second, 100, EPOCHS, 7, since=cut)
    assert fingerprint(second.state()) == fingerprint(whole.state())
    assert second.validate() == whole.validate()


def test_a_state_is_a_copy_and_validating_changes_nothing():
    trainer = prepared()
    rows, epoch = batches(trainer, 100, seed=7, epochs=1)[0]
    kept = trainer.state()
    said = fingerprint(kept)
    trainer.validate()
    trainer.predict([["a dog", "a cat"]])
    assert fingerprint(trainer.state()) == said
    trainer.train_batch(rows, epoch)
    assert fingerprint(kept) == said != fingerprint(trainer.state())


def test_a_saved_model_answers_the_same(tmp_path):
    trainer = prepared()
    drive(trainer, 100, EPOCHS, 7)
    outputs = {"type": "number", "highest": 1.0}
    assert trainer.schema() == {"inputs": {"type": "pair", "of": "text"}, "outputs": outputs}
    trainer.save(tmp_path)
    inputs = [item["input"] for item in pairs(20, 3)] + [["", ""], ["entirely unknown words", "the man sings"]]
    loaded = Embedding.load(tmp_path)
    assert loaded.predict(inputs) == trainer.predict(inputs)
    assert loaded.predict([]) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["about.json", "model.npz"]


def test_vectors_are_of_length_1_and_their_cosines_order_the_answers():
    trainer = prepared(settings={"scale": 5})
    inputs = [item["input"] for item in pairs(30, 4)]
    left, right = (trainer.embed([one[side] for one in inputs]) for side in ("a", "b"))
    assert np.linalg.norm(trainer.embed(["", "the man", "xyzzy"]), axis=1) == pytest.approx(1, abs=1e-4)
    answers = np.array(trainer.predict(inputs))
    assert (np.argsort((left * right).sum(axis=1)) == np.argsort(answers)).all()
    assert answers.min() >= 0 and answers.max() <= 5
    assert trainer.embed([]).shape == (0, left.shape[1])


def test_the_gradients_are_those_of_the_loss():
    trainer = prepared()
    drive(trainer, 100, 1, 7)
    rows = np.arange(12)
    loss, slopes = trainer.slopes(rows, None)
    for name, place in (
        ("features", 30),
        ("groups", (1, 0)),
        ("gates", (0, 1)),
        ("gates", (-1, 4)),
        ("calibration", 0),
    ):
        step = np.float32(0.01)
        found = []
        for sign in (1, -1):
            trainer.weights[name][place] += sign * step
            found.append(trainer.slopes(rows, None)[0])
            trainer.weights[name][place] -= sign * step
        assert slopes[name][place] == pytest.approx((found[0] - found[1]) / (2 * step), rel=0.05, abs=2e-5)
    assert loss > 0


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        ({"input": "a"}, "input: neither an object with a and b nor a list of two texts"),
        ({"input": {"a": "x"}}, "input.b: missing"),
        ({"input": {"a": 1, "b": "x"}}, "input.a: not a text"),
        ({"input": ["x"]}, "input: not two texts"),
        ({"input": ["x", "y"]}, "expected_output: not a number"),
        ({"input": ["x", "y"], "expected_output": True}, "expected_output: not a number"),
        (
            {"input": ["x", "y"], "expected_output": float("nan")},
            "expected_output: not from 0 to 1 (the setting `scale`)",
        ),
        ({"input": ["x", "y"], "expected_output": -1}, "expected_output: not from 0 to 1 (the setting `scale`)"),
        ({"input": ["x", "y"], "expected_output": 10**400}, "expected_output: not from 0 to 1 (the setting `scale`)"),
        ({"input": {"a": "x", "b": "y"}, "expected_output": 0.5}, None),
        ({"input": ("x", "y"), "expected_output": 1}, None),
    ],
)
def test_what_is_wrong_with_an_item_is_said_in_a_line(item, wrong):
    assert Embedding({}, 0).check(item) == wrong


def test_what_cannot_be_learnt_from_is_refused():
    with pytest.raises(ConfigError, match=r"^settings: there is no 'widht'; did you mean width\?"):
        Embedding({"widht": 3}, 0)
    with pytest.raises(ConfigError, match=r"^settings.dropout: 1 is not below 1$"):
        Embedding({"dropout": 1}, 0)
    with pytest.raises(NotMeasured, match=r"^9 pairs are too few to learn from, at least 10 are needed$"):
        Embedding({}, 0).prepare(pairs(9, 1), [], 1)
    with pytest.raises(NotMeasured, match=r"^all pairs are equally similar"):
        Embedding({}, 0).prepare([{**item, "expected_output": 1} for item in pairs(20, 1)], [], 1)
    with pytest.raises(UserMistake, match=r"^item 'p3': expected_output: not from 0 to 1"):
        Embedding({}, 0).prepare([*pairs(3, 1), {**pairs(1, 1, 3)[0], "expected_output": 5}], [], 1)
    with pytest.raises(UserMistake, match=r"^input 0: input: not two texts$"):
        prepared().predict([["one"]])


def test_without_items_to_validate_on_nothing_is_measured():
    trainer = Embedding(SETTINGS, 7)
    trainer.prepare(pairs(20, 1), [], 1)
    assert (trainer.validate().loss, trainer.validate().metric) == (None, None)
    trainer.prepare(pairs(20, 1), [{**item, "expected_output": 1} for item in pairs(5, 2)], 1)
    assert trainer.validate().metric is None


def sts(path: Path) -> list[Item]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    return [
        {"id": str(place), "input": {"a": a, "b": b}, "expected_output": float(value)}
        for place, (a, b, value) in enumerate(rows)
    ]


@pytest.mark.no_cover
@pytest.mark.needs_data
@pytest.mark.timeout(600)
def test_how_well_it_orders_real_pairs(test_data):
    folder = test_data / "embedding"
    training = sts(folder / "stsb-en-train.csv")
    trainer = Embedding({"scale": 5}, 0)
    trainer.prepare(training, sts(folder / "stsb-en-dev.csv"), 5)
    drive(trainer, len(training), 5, 0)
    seen = trainer.validate()
    print(f"Spearman {seen.metric:.4f}")
    assert seen.metric > 0.81
