"""What a trainer in PyTorch promises beside going on: equal bits and gradients, no pickle, clear words."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; `make test-torch` runs these")

import torch
from torch_models import PLAN, HalfSums, Means, Sums, TiedSums, bits, means, prepared, sums, trained, weights

from killed_training import watching
from overnight.base.errors import NotMeasured, PermanentError, UserMistake
from overnight.training.checkpoints import Checkpoints
from overnight.training.ports import Validation
from overnight.training.run import train

KINDS = [Sums, HalfSums, TiedSums, Means]


def test_the_same_seed_gives_the_same_bits_and_another_one_others():
    one, two, other = prepared(), prepared(), prepared(seed=6)
    assert weights(one) == weights(two) != weights(other)
    assert trained(one) == trained(two) != trained(other)
    assert bits(one) == bits(two) != bits(other)


@pytest.mark.parametrize("seed", [-1, 0, 2**63, 10**30])
def test_every_whole_number_is_a_seed(seed):
    assert weights(prepared(seed=seed)) == weights(prepared(seed=seed))


def test_two_trainings_in_one_process_do_not_disturb_each_other_nor_anybody_else():
    alone = prepared()
    losses = trained(alone)
    torch.manual_seed(99)
    drawn = torch.rand(3)
    torch.manual_seed(99)
    before = torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.backends.cudnn.deterministic
    one, two = prepared(), prepared(seed=6)
    from overnight.training.run import batches_of

    found = []
    for epoch in range(PLAN.epochs):
        for rows in batches_of(PLAN, 4, epoch):
            two.train_batch(rows, epoch)
            found.append(one.train_batch(rows, epoch))
        two.validate()
    assert found == losses and bits(one) == bits(alone)
    assert torch.equal(torch.rand(3), drawn)
    assert (torch.get_num_threads(), torch.get_deterministic_debug_mode(), torch.backends.cudnn.deterministic) == before


def test_a_training_computes_with_one_thread_and_deterministic_algorithms(monkeypatch):
    seen = []

    def build(self, facts):
        seen.append((torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()))
        return build_before(self, facts)

    build_before = Sums.build
    monkeypatch.setattr(Sums, "build", build)
    prepared()
    assert seen == [(1, True)]


@pytest.mark.parametrize("kind", KINDS)
def test_measuring_changes_nothing(kind):
    trainer = prepared(kind)
    trained(trainer, epochs=1)
    before = bits(trainer)
    assert trainer.validate() == trainer.validate()
    assert bits(trainer) == before


@pytest.mark.parametrize("count", [24, 27, 29, 32])
def test_gradients_of_n_batches_are_those_of_one_n_times_as_large(count):
    small = prepared(accumulate=3, batch_size=4, norm=False, dropout=0.0, count=count)
    large = prepared(accumulate=1, batch_size=12, norm=False, dropout=0.0, count=count)
    trained(small, epochs=3, count=count)
    trained(large, epochs=3, count=count)
    assert small.state().values["steps"] == large.state().values["steps"] == 3 * -(-count // 12)
    for one, two in zip(small.model.parameters(), large.model.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_it_learns_in_every_precision(precision):
    trainer = prepared(count=300, epochs=15, batch_size=20, accumulate=1, dropout=0.0, precision=precision, width=32)
    losses = trained(trainer, epochs=15, count=300)
    assert np.mean(losses[-15:]) < 0.5 * np.mean(losses[:15])
    assert trainer.validate().metric > 0.6


def test_mixed_precision_computes_in_it_and_keeps_weights_in_float32():
    trainer = prepared(precision="bfloat16")
    kinds = []
    trainer.model[0].register_forward_hook(lambda module, given, output: kinds.append(output.dtype))
    trained(trainer, epochs=1)
    assert set(kinds) == {torch.bfloat16}
    assert {part.dtype for part in trainer.model.parameters()} == {torch.float32}


def test_float16_scales_its_losses_and_the_scale_is_in_the_state():
    assert prepared(precision="float16").state().values["scaler"]["scale"] > 1
    assert prepared(precision="bfloat16").state().values["scaler"] == {}


def test_the_scale_of_losses_falls_where_gradients_overflow_and_goes_on_from_a_state():
    trainer = prepared(precision="float16", accumulate=1, norm=False)
    trainer._seen = (trainer._seen[0] * 1e4, trainer._seen[1])
    trained(trainer, epochs=1)
    scaler = trainer.state().values["scaler"]
    assert scaler["scale"] < prepared(precision="float16").state().values["scaler"]["scale"]
    resumed = prepared(precision="float16", accumulate=1, norm=False)
    resumed.restore(trainer.state())
    assert bits(resumed) == bits(trainer)


def test_long_gradients_are_shortened():
    one, two = prepared(TiedSums, clip=1e-6, accumulate=1), prepared(TiedSums, clip=0, accumulate=1)
    before = [part.detach().clone() for part in one.model.parameters()]
    for trainer in (one, two):
        trainer.train_batch(np.arange(8), 0)

    def moved(trainer):
        return max(float((a - b).detach().abs().max()) for a, b in zip(trainer.model.parameters(), before, strict=True))

    assert 0 < moved(one) <= 1e-6 < moved(two)


def test_the_learning_rate_follows_the_schedule_of_each_group():
    trainer = prepared(TiedSums, accumulate=1, warm_up=0.0)
    trained(trainer)
    rates = [group["lr"] for group in trainer._optimiser.param_groups]
    assert 0 < rates[1] < 1e-4 and rates[0] == pytest.approx(10 * rates[1])


# -- saved and loaded


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_answers_as_the_trained_one(tmp_path, kind):
    trainer = prepared(kind)
    trained(trainer)
    trainer.save(tmp_path)
    inputs = [item["input"] for item in sums(300, 9)]
    expected = trainer.predict(inputs)
    if kind is Means:
        # What is not saved with a model is not there afterwards.
        trainer.model.calls.zero_()
        expected = trainer.predict(inputs)
    loaded = kind.load(tmp_path)
    assert loaded.predict(inputs) == expected
    assert json.loads(json.dumps(expected)) == expected
    assert loaded.predict([]) == []


def test_answers_are_labels_with_their_probabilities():
    trainer = prepared(batch_size=10, epochs=40, count=200, dropout=0.0)
    trained(trainer, epochs=40, count=200)
    [low, high] = trainer.predict([[-1.0] * 6, [1.0] * 6])
    assert (low["label"], high["label"]) == ("low", "high") and 0.5 < low["confidence"] <= 1


def test_a_model_whose_device_is_gone_is_loaded_on_the_cpu(tmp_path):
    trainer = prepared()
    trainer.save(tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**about, "settings": {**about["settings"], "device": "cuda:99"}}))
    assert Sums.load(tmp_path).predict([[0.0] * 6]) == trainer.predict([[0.0] * 6])


def test_weights_of_another_model_are_refused(tmp_path):
    prepared().save(tmp_path)
    about = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**about, "settings": {**about["settings"], "width": 3}}))
    with pytest.raises(PermanentError, match=r"model\.safetensors is of another model"):
        Sums.load(tmp_path)


def looks_pickled(content: bytes) -> bool:
    """Tell whether the bytes are those of a pickle (protocol 2 and later), or an archive that holds one."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return any(looks_pickled(archive.read(name)) for name in archive.namelist())
    return content[:1] == b"\x80" and content[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")


@pytest.mark.parametrize("kind", KINDS)
def test_no_file_is_pickled(tmp_path, kind):
    trainer = prepared(kind, precision="float32" if kind is HalfSums else "float16")
    train(trainer, PLAN, Checkpoints(folder=tmp_path / "job", token=1), watching())
    trainer.save(tmp_path / "model")
    files = sorted(path for path in tmp_path.rglob("*") if path.is_file() and path.stat().st_size)
    assert {path.suffix for path in files} == {".npz", ".json", ".safetensors"}
    for path in files:
        assert not looks_pickled(path.read_bytes()), path
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as arrays:
                assert all(not arrays[name].dtype.hasobject for name in arrays.files)
    assert looks_pickled(saved_by_torch(trainer)), "the check finds what PyTorch itself would write"


def saved_by_torch(trainer) -> bytes:
    buffer = io.BytesIO()
    torch.save(trainer.model.state_dict(), buffer)
    return buffer.getvalue()


def test_weights_are_safetensors(tmp_path):
    prepared(HalfSums).save(tmp_path)
    content = (tmp_path / "model.safetensors").read_bytes()
    [length] = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    assert header["0.weight"] == {"dtype": "BF16", "shape": [8, 6], "data_offsets": header["0.weight"]["data_offsets"]}
    assert len(content) == 8 + length + max(one["data_offsets"][1] for one in header.values())


# -- what cannot work


def test_items_of_one_label_teach_nothing():
    with pytest.raises(NotMeasured, match="every item has the label 'low'"):
        Sums({}, 0).prepare([item for item in sums(60) if item["expected_output"] == "low"], [], 1)


def test_labels_that_are_not_trained_are_wrong_and_have_no_loss():
    trainer = Sums({}, 0)
    trainer.prepare(sums(), [{**item, "expected_output": "new"} for item in sums(5, 8)], 1)
    assert trainer.validate() == Validation(loss=None, metric=0.0)
    trainer = Sums({}, 0)
    trainer.prepare(sums(), [*sums(5, 8), {"input": [0.0] * 6, "expected_output": "new"}], 1)
    assert trainer.validate().loss > 0
    trainer = Sums({}, 0)
    trainer.prepare(sums(), [], 1)
    assert trainer.validate() == Validation()


def test_a_device_that_is_not_there_is_told():
    with pytest.raises(UserMistake, match=r"settings\.device: there is no 'cuda:99' here"):
        prepared(device="cuda:99")


def test_an_encoding_of_the_wrong_length_is_told(monkeypatch):
    monkeypatch.setattr(Sums, "encode", lambda self, inputs: torch.zeros(3, len(inputs)))
    with pytest.raises(UserMistake, match=r"Sums encodes 34 items as a tensor of shape \(3, 34\)"):
        prepared()


def test_a_model_that_keeps_more_than_tensors_is_refused(monkeypatch):
    class Counting(torch.nn.Linear):
        def get_extra_state(self):
            return {"calls": 1}

        def set_extra_state(self, state):
            pass

    monkeypatch.setattr(Sums, "build", lambda self, facts: torch.nn.Sequential(Counting(6, 3)))
    with pytest.raises(PermanentError, match=r"'0\._extra_state', which is no tensor"):
        prepared()


def test_versions_are_compared_by_labels_or_with_another_metric_by_the_loss():
    by_label, by_loss = prepared(Sums), prepared(Means)
    items = [{**item, "id": str(at)} for at, item in enumerate(sums(10))]
    found = by_label.scores(items)
    answers = by_label.predict([item["input"] for item in items])
    right = [answer["label"] == item["expected_output"] for answer, item in zip(answers, items, strict=True)]
    assert found == {item["id"]: float(one) for item, one in zip(items, right, strict=True)}
    assert (by_label.score_title, by_label.score_bounds) == ("accuracy", (0.0, 1.0))
    items = [{**item, "id": str(at)} for at, item in enumerate(means(10))]
    found = by_loss.scores(items)
    assert list(found) == [item["id"] for item in items] and max(found.values()) <= 0 < len(set(found.values())) - 1
    assert (by_loss.score_title, by_loss.score_bounds) == ("-loss", None)
