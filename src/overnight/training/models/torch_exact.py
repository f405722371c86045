"""PyTorch that gives the same bits each time, and leaves the rest of the process as it was.

PyTorch keeps its generators, its number of threads and how exact it is for the whole process. Here they are a trainer's
own while it computes: two trainers in one process do not disturb each other.
https://docs.pytorch.org/docs/stable/notes/randomness.html says what decides the bits.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from overnight.base.errors import MissingExtra, UserMistake
from overnight.base.settings import tell_libraries

if TYPE_CHECKING:
    import torch

Tensors = Mapping[str, "torch.Tensor"]

MISSING = "models in PyTorch need the extra 'torch': pip install 'overnight[torch]'"


def needs_torch() -> None:
    """See that PyTorch is installed, without the seconds that loading it takes.

    Raises:
        MissingExtra: it is not, or safetensors is not.
    """
    for name in ("torch", "safetensors", "numpy"):
        found = find_spec(name)
        # A folder of that name that happens to be on the path has no origin.
        if found is None or found.origin is None:
            raise MissingExtra(MISSING)


def device_of(wanted: str, *, must: bool) -> "torch.device":
    """Return the device for "auto", "cpu", "cuda" or "cuda:N"; where it is not at hand and need not be, the CPU.

    Raises:
        UserMistake: it must be that one, and it is not there.
    """
    import torch

    if wanted == "cpu" or (wanted == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    device = torch.device("cuda" if wanted == "auto" else wanted)
    if (device.index or 0) < torch.cuda.device_count():
        return device
    if must:
        raise UserMistake(f"settings.device: there is no {wanted!r} here; PyTorch sees {torch.cuda.device_count()}")
    return torch.device("cpu")


@contextmanager
def exact(device: "torch.device") -> Iterator[None]:
    """Compute deterministically, and on the CPU with one thread: the order of a sum decides its last digit.

    What has no deterministic algorithm on the device raises a RuntimeError that names it.
    """
    import torch

    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    if device.type == "cpu":
        torch.set_num_threads(1)
    else:
        tell_libraries("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    # The same as `use_deterministic_algorithms`, which loads the compiler too: two seconds for nothing.
    torch.set_deterministic_debug_mode("error")
    try:
        with torch.backends.cudnn.flags(benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_deterministic_debug_mode(mode)
        torch.set_num_threads(threads)


class Chance:
    """All random numbers of one training: the states of PyTorch's generators, begun from a seed."""

    def __init__(self, seed: int, device: "torch.device") -> None:
        import torch

        self._device = device
        before = self._generators()
        torch.random.default_generator.manual_seed(seed % 2**63)
        if device.type == "cuda":
            torch.cuda.manual_seed_all(seed % 2**63)
        self._own = self._generators()
        self._set(before)

    def _generators(self) -> "list[torch.Tensor]":
        """Return the states of the CPU's generator, and behind it of each CUDA device."""
        import torch

        return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if self._device.type == "cuda" else [])]

    def _set(self, states: "list[torch.Tensor]") -> None:
        import torch

        torch.set_rng_state(states[0])
        if self._device.type == "cuda" and len(states) > 1:
            torch.cuda.set_rng_state_all(states[1:])

    @contextmanager
    def used(self) -> Iterator[None]:
        """Have everything draw from these generators, and nobody else."""
        before = self._generators()
        self._set(self._own)
        try:
            yield
        finally:
            self._own = self._generators()
            self._set(before)

    def tensors(self) -> "dict[str, torch.Tensor]":
        """Return the states, as bytes, by their place."""
        return {str(place): state for place, state in enumerate(self._own)}

    def restore(self, tensors: Tensors) -> None:
        """Go on from what `tensors` returned; a CUDA device that was not there before keeps its own."""
        states = [tensors[str(place)] for place in range(len(tensors))]
        self._own = [*states, *self._own[len(states) :]][: len(self._own)]


@contextmanager
def computing(device: "torch.device", chance: Chance) -> Iterator[None]:
    """Compute on the device, exactly, with this chance."""
    with exact(device), chance.used():
        yield


def on(device: "torch.device", tensors: Any) -> Any:  # Any: a tensor, or a tuple of them
    """Return the tensor, or each of a tuple of them, on the device."""
    return tuple(one.to(device) for one in tensors) if isinstance(tensors, tuple) else tensors.to(device)
