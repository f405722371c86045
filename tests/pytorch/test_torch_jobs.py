"""Whole jobs with models in PyTorch: the one of the documentation, killed, and images."""

import gzip
import json
import os
import re
import signal
import time
import tomllib
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; `make test-torch` runs these")

from overnight import Project
from overnight.base.errors import NotMeasured, UserMistake
from overnight.processes.table import look
from overnight.registry import store as registry
from overnight.training.experiences import identified
from overnight.training.models.torch_settings import SETTINGS
from overnight.training.models.torch_vision import TorchVision
from overnight.training.run import Plan, batches_of

PAGE = (Path(__file__).parents[2] / "docs" / "how-to-model-in-pytorch.md").read_text()
WORDS = {
    "it": "giorno notte mattina sera acqua fuoco terra cielo amico casa strada libro parola mano piede cuore",
    "de": "tag nacht morgen abend wasser feuer erde himmel freund haus strasse buch wort hand fuss herz",
}


def block(kind):
    [found] = re.findall(rf"```{kind}\n(.*?)```", PAGE, re.S)
    return found


def experiences():
    return [{"input": word, "expected_output": language} for language, words in WORDS.items() for word in words.split()]


@pytest.fixture
def project(tmp_path):
    """A project with the documentation's model in its folder."""
    overrides = {"training.validation": 0.2, "engine.retry.base_s": 0.05, "server.port": 0}
    made = tmp_path / "project"
    with Project.create(made, overrides=overrides):
        pass
    (made / "words.py").write_text(block("python"))
    (made / "overnight.toml").write_text(f"{(made / 'overnight.toml').read_text()}\n{block('toml')}")
    with Project.open(made, overrides=overrides) as opened:
        yield opened


def ended(project, job_id, limit_s=100):
    until = time.monotonic() + limit_s
    while not (status := project.job(job_id)).ended:
        assert time.monotonic() < until, status
        time.sleep(0.05)
    return status


def digest(project):
    with project.database.read() as connection:
        version = registry.newest(connection, "words")
    return version.manifest["model.safetensors"]["sha256"]


@pytest.mark.timeout(300)
def test_the_model_of_the_documentation_is_trained_killed_and_ends_with_the_same_bits(project, tmp_path):
    wish = {"epochs": 40, "checkpoint_interval": 1}
    project.submit_training("words", experiences(), job_id="calm", **wish)
    with project.running():
        calm = ended(project, "calm")
        assert (calm.status, calm.model_version, calm.error) == ("completed", "v1.0.0", None)
        calm_digest = digest(project)
        project.submit_training("words", experiences(), job_id="killed", **wish)
        checkpoints = project.folder / ".overnight" / "checkpoints" / "killed"
        until = time.monotonic() + 60
        while not list(checkpoints.glob("epoch_*.json")):
            assert time.monotonic() < until
            time.sleep(0.002)
        with project.database.read() as connection:
            rows = connection.exec_driver_sql("SELECT pid FROM children").fetchall()
        for (pid,) in rows:
            if look(pid) is not None:
                os.kill(pid, signal.SIGKILL)
        killed = ended(project, "killed")
    assert (killed.status, killed.metric, killed.loss) == ("completed", "accuracy", calm.loss)
    run = project.get(killed.training_run_id)
    assert run.attempt == 2 and json.loads(run.result)["resumed_from"] is not None
    assert digest(project) == calm_digest


def test_the_page_has_all_settings_with_their_defaults():
    rows = dict(re.findall(r"^\| `(\w+)` \| (\S+) \|", PAGE, re.M))
    assert {name: json.loads(value) for name, value in rows.items()} == SETTINGS
    assert set(tomllib.loads(block("toml"))["training"]["models"]["words"]["settings"]) <= set(SETTINGS)


# -- images


def squares(count=60):
    """Images of a bright square above or below."""
    random = np.random.default_rng(1)
    found = []
    for n in range(count):
        image = random.integers(0, 60, (9, 8))
        row, column = (0 if n % 2 else 5) + random.integers(0, 2), random.integers(0, 5)
        image[row : row + 3, column : column + 3] = 220
        found.append({"input": {"rows": image.tolist()}, "expected_output": "above" if n % 2 else "below"})
    return [item for _, item in identified(found)]


def test_images_are_learnt_saved_and_named(tmp_path):
    trainer = TorchVision({"batch_size": 10, "width": 4}, 0)
    items = squares()
    assert {TorchVision.check(item) for item in items} == {None}
    trainer.prepare(items[:50], items[50:], 6)
    plan = Plan(epochs=6, count=50, seed=0, checkpoint_every=10)
    for epoch in range(6):
        for rows in batches_of(plan, 10, epoch):
            trainer.train_batch(rows, epoch)
    assert trainer.validate().metric == 1
    labels = sorted({item["expected_output"] for item in items})
    assert trainer.schema() == {"inputs": {"type": "image"}, "outputs": {"type": "class", "classes": labels}}
    trainer.save(tmp_path)
    inputs = [item["input"] for item in items]
    answers = TorchVision.load(tmp_path).predict(inputs)
    assert answers == trainer.predict(inputs)
    assert np.mean([a["label"] == item["expected_output"] for a, item in zip(answers, items, strict=True)]) > 0.95
    with pytest.raises(UserMistake, match=r"image 1: its rows and columns are \[4, 4\], and not \[9, 8\]"):
        trainer.predict([inputs[0], {"rows": [[0] * 4] * 4}])
    with pytest.raises(UserMistake, match=r"image 0: input: not"):
        trainer.predict(["a.png"])


def test_images_that_are_all_black_have_a_scale():
    items = [{"input": {"rows": [[0] * 4] * 4}, "expected_output": label} for label in (1, 2)]
    trainer = TorchVision({}, 0)
    trainer.prepare(items, [], 1)
    assert np.isfinite(trainer.train_batch(np.arange(2), 0))
    with pytest.raises(NotMeasured):
        TorchVision({}, 0).prepare(items[:1], [], 1)


@pytest.mark.needs_data
@pytest.mark.timeout(300)
def test_handwritten_digits_are_named(test_data):
    images = gzip.decompress((test_data / "vision" / "t10k-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((test_data / "vision" / "t10k-labels-idx1-ubyte.gz").read_bytes())
    pixels = np.frombuffer(images, np.uint8, offset=16).reshape(-1, 28, 28)
    items = [
        {"id": f"{n:05}", "input": {"rows": image.tolist()}, "expected_output": int(label)}
        for n, (image, label) in enumerate(zip(pixels, np.frombuffer(labels, np.uint8, offset=8), strict=True))
    ]
    epochs = 3
    trainer = TorchVision({}, 0)
    trainer.prepare(items[:8000], items[8000:], epochs)
    for epoch in range(epochs):
        for rows in batches_of(Plan(epochs=epochs, count=8000, seed=0, checkpoint_every=10), trainer.batch_size, epoch):
            trainer.train_batch(rows, epoch)
    accuracy = trainer.validate().metric
    print(f"accuracy on 2,000 digits after {epochs} epochs of 8,000: {accuracy:.4f}")
    assert accuracy >= 0.97
