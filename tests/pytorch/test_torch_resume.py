"""A training in PyTorch that is cut or killed anywhere ends with the same bits."""

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is not installed; `make test-torch` runs these")

import torch_models as models
from torch_models import COUNT, PLAN, HalfSums, Means, Sums, TiedSums, bits, prepared

from killed_training import after, train_and_be_killed, watching
from overnight.training.checkpoints import Checkpoints
from overnight.training.ports import State
from overnight.training.run import Interrupted, Plan, train

# A trainer, its settings, and at every which batch it is cut: each third one meets every place within a step too.
VARIANTS = {
    "plain": (Sums, {"accumulate": 1}, 1),
    "gradients of three batches": (Sums, {"accumulate": 3}, 1),
    "gradients of all batches of an epoch": (Sums, {"accumulate": 100}, 2),
    "forward pass in bfloat16": (Sums, {"precision": "bfloat16", "accumulate": 2}, 3),
    "forward pass in float16": (Sums, {"precision": "float16", "accumulate": 2}, 3),
    "weights in bfloat16": (HalfSums, {"accumulate": 2}, 3),
    "shared weights, momentum, two rates": (TiedSums, {"accumulate": 2, "clip": 0}, 3),
    "two inputs, a buffer that is not saved": (Means, {"accumulate": 2, "schedule": "constant"}, 3),
}


# Nine batches an epoch.
SHORT = Plan(epochs=2, count=COUNT, seed=3, checkpoint_every=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_that_is_stopped_at_any_batch_goes_on_to_the_same_bits(tmp_path, variant):
    kind, settings, every = VARIANTS[variant]
    calm = prepared(kind, epochs=SHORT.epochs, **settings)
    calm_history = train(calm, SHORT, None, watching())
    for batches in range(1, 18, every):
        cut, resumed = (prepared(kind, epochs=SHORT.epochs, **settings) for _ in range(2))
        folder = tmp_path / str(batches)
        with pytest.raises(Interrupted):
            train(cut, SHORT, Checkpoints(folder=folder, token=1), watching(after(batches)))
        history = train(resumed, SHORT, Checkpoints(folder=folder, token=2), watching())
        assert bits(resumed) == bits(calm), batches
        assert [{**one, "seconds": 0} for one in history] == [{**one, "seconds": 0} for one in calm_history]


def test_a_training_that_is_stopped_again_and_again_goes_on_to_the_same_bits(tmp_path):
    calm = prepared()
    train(calm, PLAN, None, watching())
    for token in range(1, 100):
        trainer = prepared()
        try:
            train(trainer, PLAN, Checkpoints(folder=tmp_path, token=token), watching(after(4)))
            break
        except Interrupted:
            continue
    assert token == 9
    assert bits(trainer) == bits(calm)


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("place", "number"),
    [
        ("half written", 4),
        ("between write and rename", 4),
        ("removing", 1),
        ("in a batch", 14),
    ],
)
def test_killed_anywhere_and_resumed_a_training_ends_with_the_same_bits(tmp_path, place, number):
    calm = prepared()
    train(calm, PLAN, None, watching())
    train_and_be_killed(tmp_path, place, number, module="pytorch.torch_models")
    resumed, checkpoints = prepared(), Checkpoints(folder=tmp_path, token=2)
    assert checkpoints.newest() is not None
    train(resumed, PLAN, checkpoints, watching())
    assert bits(resumed) == bits(calm)


def test_gradients_that_no_step_has_used_are_in_the_state_and_only_they():
    trainer = prepared(accumulate=3)
    trainer.train_batch(np.arange(4), 0)
    names = {name.split(".")[0] for name in trainer.state().arrays}
    assert names == {"model", "gradient", "chance"}
    trainer.train_batch(np.arange(4), 0)
    trainer.train_batch(np.arange(4), 0)
    names = {name.split(".")[0] for name in trainer.state().arrays}
    assert names == {"model", "optimiser", "chance"}


def test_a_state_holds_plain_arrays_and_is_not_changed_by_going_on():
    trainer = prepared(HalfSums)
    models.trained(trainer, epochs=1)
    state = trainer.state()
    before = {name: one.tobytes() for name, one in state.arrays.items()}
    assert {one.dtype.kind for one in state.arrays.values()} <= set("fiu")
    models.trained(trainer, epochs=1)
    assert {name: one.tobytes() for name, one in state.arrays.items()} == before
    assert "bfloat16" in state.values["types"].values()


def test_a_state_of_another_model_is_refused():
    from overnight.base.errors import PermanentError

    with pytest.raises(PermanentError, match=r"'0\.weight' has the shape \(8, 6\), and here it is \(9, 6\)"):
        prepared(width=9).restore(prepared().state())
    with pytest.raises(PermanentError, match="only one of the two has"):
        prepared(TiedSums).restore(prepared().state())


def test_a_state_from_a_machine_with_cuda_goes_on_without():
    state = prepared().state()
    more = State(arrays={**state.arrays, "chance.1": state.arrays["chance.0"]}, values=state.values)
    trainer = prepared()
    trainer.restore(more)
    assert bits(trainer) == bits(prepared())
