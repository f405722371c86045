"""The built-in trainers learn the same bits in every process, whatever the hashes of texts are there."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("sklearn")

PROGRAM = """
import test_models_embedding as embedding, test_models_nlu as nlu
import test_models_vision as vision, test_models_voice as voice
from model_driving import drive, fingerprint, trained
for model in (nlu, vision):
    trainer = trained(model.new(), model.TRAINING, model.VALIDATION, seed=3, epochs=model.EPOCHS)
    print(fingerprint(trainer.state()))
for model, count in ((embedding, 100), (voice, voice.N)):
    trainer = model.prepared()
    drive(trainer, count, model.EPOCHS, 3)
    print(fingerprint(trainer.state()))
"""


def test_another_process_with_other_hashes_learns_the_same():
    here = Path(__file__).parent
    path = os.pathsep.join([str(here), str(here.parent), *sys.path])
    said = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True, timeout=200
        )
        said.add(done.stdout)
    assert len(said) == 1 and len(said.pop().split()) == 4
