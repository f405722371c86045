"""Tensors as NumPy arrays and back, to the bit, and all that an optimiser and a model keep as tensors by name."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from overnight.base.errors import PermanentError
from overnight.training.ports import State

if TYPE_CHECKING:
    import torch

    Tensors = Mapping[str, torch.Tensor]

TYPES = "types"
"""Where a state keeps what NumPy has no type for: names of arrays, and PyTorch's name for what their bits mean."""


def packed(groups: "Mapping[str, Tensors]", values: Mapping[str, Any]) -> State:  # Any: JSON
    """Return copies of the tensors as arrays `GROUP.NAME`; bfloat16 and its like as integers of the same bits."""
    import torch

    arrays, types = {}, {}
    for group, tensors in groups.items():
        for name, tensor in tensors.items():
            found = tensor.detach().cpu().clone()
            try:
                array = found.numpy()
            except TypeError:
                array = found.view(torch.uint8 if found.element_size() == 1 else torch.int16).numpy()
                types[f"{group}.{name}"] = str(found.dtype).removeprefix("torch.")
            arrays[f"{group}.{name}"] = array
    return State(arrays=arrays, values={**values, TYPES: types})


def unpacked(state: State) -> "dict[str, dict[str, torch.Tensor]]":
    """Return the tensors that were `packed`, by group and name, in memory of PyTorch's own."""
    import torch

    groups: dict[str, dict[str, torch.Tensor]] = {}
    for full_name, array in state.arrays.items():
        group, _, name = full_name.partition(".")
        # A copy: PyTorch aligns its memory, and how that of others is aligned may decide the last digit of a sum.
        tensor = torch.from_numpy(array).clone()
        kind = state.values[TYPES].get(full_name)
        groups.setdefault(group, {})[name] = tensor if kind is None else tensor.view(getattr(torch, kind))
    return groups


def parts_of(model: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """Return all parameters and buffers, each once, also those that the model's `state_dict` leaves out.

    Raises:
        PermanentError: a module keeps something else (`get_extra_state`), which no checkpoint would have.
    """
    strange = [name for name in model.state_dict() if name.endswith("_extra_state")]
    if strange:
        raise PermanentError(f"the model keeps {strange[0]!r}, which is no tensor; checkpoints cannot keep that")
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def saved_parts_of(model: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """Return the parameters and buffers that a saved model needs, each once and contiguous."""
    kept = model.state_dict().keys()
    return {name: part.detach().cpu().contiguous() for name, part in parts_of(model).items() if name in kept}


def fill(parts: "Tensors", tensors: "Tensors", what: str) -> None:
    """Write the tensors into the parts of a model.

    Raises:
        PermanentError: names or shapes differ; the message says which, and `what` is meant.
    """
    import torch

    for name in sorted(parts.keys() ^ tensors.keys()):
        raise PermanentError(f"{what} is of another model: only one of the two has {name!r}")
    for name, part in parts.items():
        if part.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, and here it is {tuple(part.shape)}"
            raise PermanentError(f"{what} is of another model: {name!r} has the shape {shapes}")
    with torch.no_grad():
        for name, part in parts.items():
            part.copy_(tensors[name])


def optimiser_parts(optimiser: "torch.optim.Optimizer") -> "tuple[dict[str, torch.Tensor], dict[str, Any]]":
    """Return what an optimiser keeps for each parameter: tensors, and JSON for the rest, named `PLACE.KEY`."""
    import torch

    tensors: dict[str, torch.Tensor] = {}
    values: dict[str, Any] = {}  # Any: JSON
    for name, value in _kept(optimiser):
        if isinstance(value, torch.Tensor):
            tensors[name] = value
        else:
            values[name] = value
    return tensors, values


def _kept(optimiser: "torch.optim.Optimizer") -> Iterator[tuple[str, Any]]:
    for place, kept in optimiser.state_dict()["state"].items():
        yield from ((f"{place}.{key}", value) for key, value in kept.items())


def fill_optimiser(optimiser: "torch.optim.Optimizer", tensors: "Tensors", values: Mapping[str, Any]) -> None:
    """Have a new optimiser of the same parameters keep what `optimiser_parts` returned."""
    kept: dict[int, dict[str, Any]] = {}
    for name, value in {**tensors, **values}.items():
        place, _, key = name.partition(".")
        kept.setdefault(int(place), {})[key] = value
    optimiser.load_state_dict({"state": kept, "param_groups": optimiser.state_dict()["param_groups"]})
