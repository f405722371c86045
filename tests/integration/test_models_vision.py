"""The trainer of images: on small drawings always, on real digits where the data is."""

import gzip
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

np = pytest.importorskip("numpy")
pytest.importorskip("sklearn")

from model_driving import batches, resumed_at, same, trained  # noqa: E402
from overnight.base.errors import ConfigError, NotMeasured, PermanentError, UserMistake  # noqa: E402
from overnight.training.models.convolution import Network  # noqa: E402
from overnight.training.models.gradients import cross_entropy  # noqa: E402
from overnight.training.models.vision import SIDE, Vision  # noqa: E402
from overnight.training.ports import State  # noqa: E402

EPOCHS = 2


def drawing(kind: str, seed: int, side: int = SIDE) -> dict:
    """An item: a bright bar that stands, lies, or a square, somewhere on noise."""
    chance = np.random.default_rng([seed, len(kind)])
    image = chance.integers(0, 120, (side, side))
    at = chance.integers(4, side - 12, 2)
    tall, wide = {"standing": (10, 2), "lying": (2, 10), "square": (6, 6)}[kind]
    image[at[0] : at[0] + tall, at[1] : at[1] + wide] = 255
    return {"id": f"{kind} {seed}", "input": {"rows": image.tolist()}, "expected_output": kind}


KINDS = ("standing", "lying", "square")
TRAINING = [drawing(kind, n) for n in range(60) for kind in KINDS]
VALIDATION = [drawing(kind, n) for n in range(1000, 1010) for kind in KINDS]


def new() -> Vision:
    return Vision({"batch_size": 32}, seed=5)


@pytest.fixture(scope="module")
def whole() -> Vision:
    return trained(new(), TRAINING, VALIDATION, seed=3, epochs=EPOCHS)


def test_it_learns_what_is_drawn():
    trainer = trained(Vision({}, seed=5), TRAINING, VALIDATION, seed=3, epochs=8)
    found = trainer.validate()
    assert found.metric > 0.7 and found.loss < 0.9
    answers = trainer.predict([item["input"] for item in VALIDATION])
    right = [answer["label"] == item["expected_output"] for answer, item in zip(answers, VALIDATION, strict=True)]
    assert sum(right) / len(right) == found.metric
    assert all(1 / 3 <= answer["confidence"] <= 1 for answer in answers)


@settings(max_examples=4)
@given(st.integers(0, 12))
def test_a_training_that_was_cut_after_any_batch_ends_with_the_same_bits(whole, cut):
    assert same(resumed_at(new, TRAINING, VALIDATION, cut, epochs=EPOCHS), whole.state())


def test_measuring_changes_nothing(whole):
    before = whole.state()
    first, again = whole.validate(), whole.validate()
    assert first == again and same(before, whole.state())


def test_without_items_to_validate_on_nothing_is_measured():
    trainer = new()
    trainer.prepare(TRAINING, [], 1)
    assert trainer.validate().loss is None and trainer.validate().metric is None


def test_a_class_that_only_the_validation_part_has_is_never_right():
    trainer = new()
    strangers = [{**item, "expected_output": "circle"} for item in VALIDATION]
    trainer.prepare(TRAINING, strangers, 1)
    assert trainer.validate().loss is None and trainer.validate().metric == 0


def test_what_was_saved_answers_as_before(whole, tmp_path):
    inputs = [item["input"] for item in VALIDATION]
    before = whole.predict(inputs)
    outputs = {"type": "class", "classes": sorted(KINDS)}
    assert whole.schema() == {"inputs": {"type": "image"}, "outputs": outputs}
    whole.save(tmp_path)
    assert Vision.load(tmp_path).predict(inputs) == before
    assert {path.suffix for path in tmp_path.iterdir()} == {".npz", ".json"}


def test_classes_may_be_numbers(tmp_path):
    items = [{**item, "expected_output": KINDS.index(item["expected_output"])} for item in TRAINING]
    trainer = trained(new(), items, [], seed=3, epochs=1)
    trainer.save(tmp_path)
    assert Vision.load(tmp_path).predict([items[0]["input"]])[0]["label"] in (0, 1, 2)


def test_images_of_other_sizes_are_brought_to_one():
    trainer = new()
    trainer.prepare([drawing(kind, n, side) for n in range(6) for side in (20, 28, 56) for kind in KINDS], [], 1)
    assert trainer._images.shape == (54, SIDE, SIDE)
    checkered = {"rows": np.kron([[0, 255], [255, 0]], np.ones((28, 28), int)).tolist()}
    small = {"rows": np.kron([[0, 255], [255, 0]], np.ones((14, 14), int)).tolist()}
    assert trainer.predict([checkered]) == trainer.predict([small])


def test_the_gradient_is_the_slope_of_the_loss():
    chance = np.random.Generator(np.random.PCG64(1))
    network = Network.new(chance, 3)
    network.weights = {name: weight.astype(np.float64) for name, weight in network.weights.items()}
    images, targets = chance.normal(size=(4, SIDE, SIDE)), np.eye(3)[[0, 1, 2, 1]]

    def loss() -> float:
        return float(cross_entropy(network.forward(images)[0], targets)[0].mean())

    logits, trace = network.forward(images)
    slopes = network.backward(trace, cross_entropy(logits, targets)[1])
    for name, weight in network.weights.items():
        way = chance.normal(size=weight.shape)
        network.weights[name] = weight + 1e-6 * way
        above = loss()
        network.weights[name] = weight - 1e-6 * way
        below = loss()
        network.weights[name] = weight
        assert (above - below) / 2e-6 == pytest.approx(float((slopes[name] * way).sum()), rel=1e-4, abs=1e-7), name


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({"input": {"rows": [[0]]}}, "expected_output: missing; the class as a text or a whole number"),
        ({"input": {"rows": [[0]]}, "expected_output": 1.5}, "expected_output: 1.5 is neither a text nor"),
        ({"input": {"rows": [[0]]}, "expected_output": True}, "expected_output: True is neither a text nor"),
        ({"expected_output": "a"}, "input: missing; "),
        ({"input": "a.png", "expected_output": "a"}, "input: neither "),
        ({"input": {"rows": [[0]], "path": "a"}, "expected_output": "a"}, "input: neither "),
        ({"input": {"path": ""}, "expected_output": "a"}, "input.path: '' is not the name of a file"),
        ({"input": {"rows": []}, "expected_output": "a"}, "input.rows: not a list of lists"),
        ({"input": {"rows": [[0, 1], [0]]}, "expected_output": "a"}, "input.rows: row 1 has 1 pixels, row 0 has 2"),
        ({"input": {"rows": [[0, 256]]}, "expected_output": "a"}, "input.rows: row 0 holds something else"),
        ({"input": {"rows": [[0.5]]}, "expected_output": "a"}, "input.rows: row 0 holds something else"),
        ({}, "input: missing; "),
    ],
)
def test_what_is_wrong_with_an_item_is_one_line(item, said):
    line = Vision.check(item)
    assert line is not None and line.startswith(said) and "\n" not in line


@pytest.mark.parametrize("expected", [3, 0, "three"])
def test_a_good_item_is_left_alone(expected):
    assert Vision.check({"input": {"rows": [[0, 255], [1, 2]]}, "expected_output": expected}) is None
    assert Vision.check({"input": {"path": "three.png"}, "expected_output": expected}) is None


@pytest.mark.parametrize(
    ("given_settings", "said"),
    [
        ({"lerning_rate": 1}, "did you mean learning_rate?"),
        ({"dropout": 1}, "settings.dropout: 1 is not below 1"),
        ({"shift": -1}, "settings.shift: -1 is not a number of at least 0"),
        ({"shift": 28}, "settings.shift: 28 moves an image"),
        ({"batch_size": 2.5}, "2.5 is not a whole number"),
        ({"learning_rate": float("nan")}, "nan is not a number above 0"),
    ],
)
def test_a_wrong_setting_is_named(given_settings, said):
    with pytest.raises(ConfigError) as caught:
        Vision(given_settings, seed=0)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("items", "said"),
    [(TRAINING[:5], "5 images are too few"), ([TRAINING[0]] * 12, "every image is a 'standing'; there is nothing")],
)
def test_too_little_to_learn_from_is_one_line(items, said):
    with pytest.raises(NotMeasured, match=said):
        new().prepare(items, [], 1)


def test_the_state_of_another_network_is_refused(whole):
    trainer = new()
    trainer.prepare([item for item in TRAINING if item["expected_output"] != "square"], [], 1)
    with pytest.raises(PermanentError, match="the state does not fit"):
        trainer.restore(whole.state())
    with pytest.raises(PermanentError, match="the state does not fit"):
        trainer.restore(State(arrays={}, values={}))


def test_images_come_from_files_where_pillow_is_installed(whole, tmp_path):
    image = pytest.importorskip("PIL.Image")
    rows = TRAINING[0]["input"]["rows"]
    image.fromarray(np.array(rows, dtype=np.uint8)).save(tmp_path / "bar.png")
    assert whole.predict([{"path": str(tmp_path / "bar.png")}]) == whole.predict([{"rows": rows}])
    (tmp_path / "text.png").write_text("no image")
    for name in ("text.png", "absent.png"):
        with pytest.raises(UserMistake, match=f"image 0: .*{name} cannot be read"):
            whole.predict([{"path": str(tmp_path / name)}])


def test_without_pillow_the_error_says_what_to_install(whole, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(UserMistake, match=r"image 0: reading bar\.png needs Pillow: pip install pillow"):
        whole.predict([{"path": "bar.png"}])


def test_what_is_no_image_is_not_answered(whole):
    with pytest.raises(UserMistake, match=r"image 1: input\.rows: not a list"):
        whole.predict([TRAINING[0]["input"], {"rows": []}])
    assert whole.predict([]) == []


@pytest.mark.no_cover
@pytest.mark.needs_data
@pytest.mark.timeout(600)
def test_digits_are_read_from_8000_examples(test_data, long_form):
    folder = test_data / "vision"
    pixels = gzip.decompress((folder / "t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    images = np.frombuffer(pixels, np.uint8).reshape(-1, 28, 28)
    labels = gzip.decompress((folder / "t10k-labels-idx1-ubyte.gz").read_bytes())[8:]
    items = [
        {"id": str(place), "input": {"rows": image.tolist()}, "expected_output": label}
        for place, (image, label) in enumerate(zip(images, labels, strict=True))
    ]
    trainer = trained(Vision({}, seed=0), items[:8000], items[8000:], seed=0, epochs=10 if long_form else 3)
    assert len(batches(trainer, 8000, seed=0, epochs=1)) == 160
    accuracy = trainer.validate().metric
    print(f"accuracy {accuracy:.4f}")
    assert accuracy > (0.98 if long_form else 0.95)
