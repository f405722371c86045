"""Arrays by name as one .npz; nothing in it is pickled."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.errors import PermanentError
from overnight.base.files import replace_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Arrays = Mapping[str, NDArray[Any]]

_MARK = "array."


def packed(arrays: "Arrays") -> bytes:
    """Return the arrays as the content of a file.

    Raises:
        ValueError: one of them holds objects, which would have to be pickled.
    """
    import numpy as np

    file = BytesIO()
    # In front of each name, because NumPy's own arguments have names too.
    np.savez(file, allow_pickle=False, **{f"{_MARK}{name}": one for name, one in arrays.items()})
    return file.getvalue()


def unpacked(content: bytes) -> "dict[str, NDArray[Any]]":
    """Return what `packed` has packed."""
    import numpy as np

    with np.load(BytesIO(content), allow_pickle=False) as found:
        return {name.removeprefix(_MARK): found[name] for name in found.files}


def put_back(kept: "Arrays", into: "Arrays") -> None:
    """Copy what a state has kept into the arrays of the same names, in place.

    Raises:
        PermanentError: the state is another model's.
    """
    for name, array in into.items():
        found = kept.get(name)
        if found is None or found.shape != array.shape or found.dtype != array.dtype:
            raise PermanentError(f"the state does not fit these items and settings: {name!r} is missing or different")
        array[...] = found


def save_arrays(path: Path, arrays: "Arrays") -> None:
    """Replace `path` by these arrays."""
    replace_file(path, packed(arrays))


def load_arrays(path: Path) -> "dict[str, NDArray[Any]]":
    """Return what `save_arrays` wrote."""
    return unpacked(path.read_bytes())
