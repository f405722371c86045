"""Checkpoints and the loop: killed anywhere and resumed, a training ends with the same bits."""

import json
import os

import numpy as np
import pytest

from killed_training import after, train_and_be_killed, watching
from overnight.base.errors import PermanentError, StaleToken
from overnight.training.checkpoints import Checkpoints, Place
from overnight.training.ports import State
from overnight.training.run import Interrupted, Plan, train
from small_trainer import Line, points

PLAN = Plan(epochs=6, count=33, seed=3, checkpoint_every=2)


def prepared(**settings):
    trainer = Line(settings, 5)
    trainer.prepare([{"id": str(n), **one} for n, one in enumerate(points(33))], points(10), PLAN.epochs)
    return trainer


def bits(trainer):
    return trainer.weights.tobytes() + trainer.speed.tobytes()


@pytest.fixture(scope="module")
def uninterrupted():
    trainer = prepared()
    history = train(trainer, PLAN, None, watching())
    return bits(trainer), [{**one, "seconds": 0} for one in history]


@pytest.mark.parametrize("batches", [*range(1, 12), 17, 18, 19, 50, 53])
def test_a_training_that_is_stopped_within_an_epoch_goes_on_to_the_same_bits(tmp_path, uninterrupted, batches):
    with pytest.raises(Interrupted):
        train(prepared(), PLAN, Checkpoints(folder=tmp_path, token=1), watching(after(batches)))
    trainer = prepared()
    history = train(trainer, PLAN, Checkpoints(folder=tmp_path, token=2), watching())
    assert (bits(trainer), [{**one, "seconds": 0} for one in history]) == uninterrupted


def test_a_training_that_is_stopped_again_and_again_goes_on_to_the_same_bits(tmp_path, uninterrupted):
    for token in range(1, 100):
        trainer = prepared()
        try:
            train(trainer, PLAN, Checkpoints(folder=tmp_path, token=token), watching(after(3)))
            break
        except Interrupted:
            continue
    assert token > 10
    assert bits(trainer) == uninterrupted[0]


@pytest.mark.parametrize(
    ("place", "number"),
    [
        *(("half written", number) for number in (1, 2, 3, 5)),
        *(("written, not forced to disk", number) for number in (3, 5, 7)),
        *(("between write and rename", number) for number in (1, 2, 4)),
        *(("renamed", number) for number in (1, 2, 3)),
        *(("removing", number) for number in (1, 2)),
        *(("in a batch", number) for number in (17, 18, 40)),
    ],
)
def test_killed_anywhere_and_resumed_a_training_ends_with_the_same_bits(tmp_path, uninterrupted, place, number):
    train_and_be_killed(tmp_path, place, number, module="integration.test_checkpoints")
    trainer = prepared()
    found = Checkpoints(folder=tmp_path, token=2)
    train(trainer, PLAN, found, watching())
    assert bits(trainer) == uninterrupted[0]
    assert not list(tmp_path.glob(".*.tmp")) and len(list(tmp_path.glob("epoch_*.npz"))) == len(
        list(tmp_path.glob("epoch_*.json"))
    )


def some(place, number=1.0, score=None, folder=None, token=1, keep=3):
    checkpoints = Checkpoints(folder=folder, token=token, keep=keep)
    checkpoints.save(place, State(arrays={"w": np.array([number])}, values={"n": number}), {"history": []}, score)
    return checkpoints


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    checkpoints = Checkpoints(folder=tmp_path, token=1)
    arrays = {
        "file": np.zeros(1),
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "b.c": np.array([np.nan, -0.0, 1e-310]),
    }
    values = {"random": np.random.default_rng(1).bit_generator.state, "x": 0.1}
    path = checkpoints.save(Place(epoch=10), State(arrays=arrays, values=values), {"loss_sum": 0.3}, 0.5)
    assert path.name == "epoch_0010.npz"
    found = checkpoints.newest()
    assert found.place == Place(epoch=10) and found.score == 0.5 and found.course == {"loss_sum": 0.3}
    assert found.state.values == values
    assert {name: (one.dtype, one.shape, one.tobytes()) for name, one in found.state.arrays.items()} == {
        name: (one.dtype, one.shape, one.tobytes()) for name, one in arrays.items()
    }


def test_objects_are_refused_because_they_would_be_pickled(tmp_path):
    with pytest.raises(ValueError, match=r"[Oo]bject"):
        some(Place(epoch=1), number=object(), folder=tmp_path)
    assert Checkpoints(folder=tmp_path, token=1).newest() is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-10]),
        lambda path: path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:]),
        lambda path: path.unlink(),
        lambda path: path.with_suffix(".json").write_text("{"),
        lambda path: path.with_suffix(".json").write_text("[]"),
        lambda path: path.with_suffix(".json").write_text(
            path.with_suffix(".json").read_text().replace('"n": 2.0', '"n": 3.0')
        ),
    ],
)
def test_a_damaged_newest_one_is_passed_over_and_named(tmp_path, damage):
    some(Place(epoch=10), 1.0, folder=tmp_path)
    checkpoints = some(Place(epoch=20), 2.0, folder=tmp_path)
    damage(tmp_path / "epoch_0020.npz")
    assert checkpoints.newest().place == Place(epoch=10)
    assert checkpoints.damaged == ["epoch_0020"]
    # What was damaged can be written again.
    some(Place(epoch=20), 2.0, folder=tmp_path)
    assert checkpoints.newest().place == Place(epoch=20) and checkpoints.damaged == []


def test_the_newest_and_the_best_are_kept(tmp_path):
    for epoch, score in enumerate([0.1, 0.9, 0.9, 0.3, 0.4, 0.5], start=1):
        some(Place(epoch=epoch), score=score, folder=tmp_path, keep=2)
    assert sorted(path.name for path in tmp_path.glob("epoch_*.npz")) == [
        "epoch_0002.npz",
        "epoch_0005.npz",
        "epoch_0006.npz",
    ]


def test_whoever_has_an_older_token_writes_nothing_any_more(tmp_path):
    old = Checkpoints(folder=tmp_path, token=1)
    old.take()
    new = Checkpoints(folder=tmp_path, token=2)
    new.take()
    with pytest.raises(StaleToken):
        some(Place(epoch=1), folder=tmp_path, token=1)
    with pytest.raises(StaleToken):
        old.take()
    assert new.newest() is None
    some(Place(epoch=1), folder=tmp_path, token=2)


def test_places_are_in_the_order_of_the_training():
    assert Place(epoch=9, batch=40) < Place(epoch=10) < Place(epoch=10, batch=1) < Place(epoch=10_000)
    assert Place(epoch=10, batch=32).name == "epoch_0010_batch_00032"


def test_a_loss_that_is_not_finite_ends_the_training_and_no_checkpoint_has_it(tmp_path):
    checkpoints = Checkpoints(folder=tmp_path, token=1)
    with pytest.raises(PermanentError, match=r"loss is nan in epoch 4, batch 1.*learning_rate"):
        train(prepared(bad_epoch=3), PLAN, checkpoints, watching())
    assert checkpoints.newest().place == Place(epoch=2)


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    checkpoints = some(Place(epoch=1), 1.0, folder=tmp_path)

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        some(Place(epoch=2), 2.0, folder=tmp_path)
    monkeypatch.undo()
    assert checkpoints.newest().place == Place(epoch=1)
    assert not list(tmp_path.glob(".*.tmp"))


def test_the_figures_tell_rate_and_time_left():
    told = []
    train(prepared(), PLAN, None, watching(told=told))
    last, middle = told[-1], told[len(told) // 2]
    assert last["items"] == 6 * 33 and last["time_left_s"] == 0
    assert middle["time_left_s"] > 0 and middle["items_per_s"] > 0
    assert {"epoch", "total_epochs", "loss", "val_loss", "val_metric"} <= set(last)


def test_each_epoch_sees_every_item_once_in_an_order_of_its_own():
    from overnight.training.run import batches_of

    orders = [np.concatenate(batches_of(PLAN, 4, epoch)) for epoch in (0, 1)]
    assert all(sorted(order) == list(range(33)) for order in orders)
    assert list(orders[0]) != list(orders[1])
    assert json.dumps(orders[0].tolist()) == json.dumps(np.concatenate(batches_of(PLAN, 4, 0)).tolist())
