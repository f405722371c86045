"""The settings of trainers in PyTorch, and what happens where it is not installed: both need no PyTorch."""

import sys

import pytest

from overnight.base.errors import ConfigError, MissingExtra
from overnight.training.kinds import load_trainer
from overnight.training.models.torch_settings import SETTINGS, rate_at, settled
from overnight.training.models.torch_vision import TorchVision

VISION = "overnight.training.models.torch_vision:TorchVision"


def test_settings_have_defaults_and_a_subclass_may_have_others_and_more():
    assert settled({}, {}) == SETTINGS
    found = settled({"batch_size": 8, "width": 5}, {"width": 4, "learning_rate": 0.5})
    assert (found["batch_size"], found["width"], found["learning_rate"]) == (8, 5, 0.5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"batchsize": 1}, "settings: this trainer has no 'batchsize'.*batch_size"),
        ({"batch_size": 0}, r"settings\.batch_size: 0 is not a whole number from 1 on"),
        ({"accumulate": 1.5}, r"settings\.accumulate: 1\.5 is not a whole number"),
        ({"accumulate": True}, r"settings\.accumulate: True is not"),
        ({"learning_rate": 0}, r"settings\.learning_rate: 0 is not a number above 0"),
        ({"learning_rate": float("inf")}, r"settings\.learning_rate: inf is not"),
        ({"weight_decay": -1}, r"settings\.weight_decay: -1 is not a number from 0 on"),
        ({"schedule": "linear"}, r"settings\.schedule: 'linear' is not one of cosine, constant"),
        ({"warm_up": 2}, r"settings\.warm_up: 2 is not a share from 0 to 1"),
        ({"clip": None}, r"settings\.clip: None is not a number from 0 on"),
        ({"precision": "int8"}, r"settings\.precision: 'int8' is not one of float32, bfloat16, float16"),
        ({"device": "tpu"}, r"settings\.device: 'tpu' is not one of auto, cpu, cuda, cuda:N"),
        ({"device": 0}, r"settings\.device: 0 is not one of"),
        ({"dropout": 1.0}, r"settings\.dropout: 1\.0 is not a share from 0 on and below 1"),
        ({"width": 1.5}, r"settings\.width: 1\.5 is not a whole number"),
        ({"share": "a"}, r"settings\.share: 'a' is not a number"),
        ({"norm": 1}, r"settings\.norm: 1 is not true or false"),
        ({"kind": 1}, r"settings\.kind: 1 is not of the kind of 'gelu'"),
    ],
)
def test_what_cannot_be_used_is_named_in_one_line(given, message):
    with pytest.raises(ConfigError, match=message) as caught:
        settled(given, {"dropout": 0.1, "width": 4, "share": 0.5, "norm": True, "kind": "gelu"})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:1"])
def test_devices_are_named_as_pytorch_names_them(device):
    assert settled({"device": device}, {})["device"] == device


def test_the_rate_rises_and_falls_as_half_a_cosine():
    rates = [rate_at(step, 100, warm_up=0.1, schedule="cosine") for step in range(100)]
    assert rates[:10] == [pytest.approx(step / 10) for step in range(1, 11)]
    assert rates[10] == 1 and rates[55] == pytest.approx(0.5) and 0 < rates[99] < 0.001
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rate_at(99, 100, warm_up=0.1, schedule="constant") == 1
    assert rate_at(500, 100, warm_up=0, schedule="cosine") == pytest.approx(0)
    assert rate_at(0, 1, warm_up=1, schedule="cosine") == 1


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_without_the_extra_one_line_names_it(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(MissingExtra, match=r"^models in PyTorch need.*pip install 'overnight\[torch\]'$"):
        load_trainer("vision", VISION)({}, 0)


def test_without_the_extra_a_module_that_loads_pytorch_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "needs_it.py").write_text("import torch\n")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"needs the extra 'torch': pip install 'overnight\[torch\]'") as caught:
        load_trainer("sums", "needs_it:Sums")
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_called_torch_is_not_pytorch(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    (tmp_path / "torch").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    with pytest.raises(MissingExtra):
        TorchVision({}, 0)


IMAGE = [[0, 255, 3, 4]] * 4


@pytest.mark.parametrize(
    ("item", "wrong"),
    [
        ({"expected_output": 1}, 'input: not {"rows": [[0 to 255, ...], ...]}'),
        ({"input": {"path": "a.png"}, "expected_output": 1}, 'input: not {"rows"'),
        ({"input": {"rows": "abc"}, "expected_output": 1}, "input.rows: not a list of lists"),
        ({"input": {"rows": []}, "expected_output": 1}, "input.rows: an image has 4 rows and columns at the least"),
        ({"input": {"rows": [[1, 2, 3]] * 4}, "expected_output": 1}, "input.rows: an image has 4 rows"),
        ({"input": {"rows": [*IMAGE, [1] * 5]}, "expected_output": 1}, "input.rows: row 4 has 5 pixels, row 0 has 4"),
        ({"input": {"rows": [*IMAGE, [1, 2, 3, 256]]}, "expected_output": 1}, "input.rows: row 4 holds something"),
        ({"input": {"rows": [*IMAGE, [1, 2, 3, 0.5]]}, "expected_output": 1}, "input.rows: row 4 holds something"),
        ({"input": {"rows": IMAGE}}, "expected_output: None is neither a text nor a whole number"),
        ({"input": {"rows": IMAGE}, "expected_output": True}, "expected_output: True is neither"),
    ],
)
def test_what_is_wrong_with_an_image_is_told_without_pytorch(item, wrong):
    assert TorchVision.check(item).startswith(wrong)


def test_a_good_image_is_taken():
    assert TorchVision.check({"input": {"rows": IMAGE}, "expected_output": 7}) is None
