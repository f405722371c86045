"""Arrays by name in one .npz file; nothing in it is pickled."""

from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from overnight.base.files import replace_file

if TYPE_CHECKING:
    from numpy.typing import NDArray


def save_arrays(path: Path, arrays: "Mapping[str, NDArray[Any]]") -> None:
    """Replace `path` by these arrays."""
    import numpy as np

    file = BytesIO()
    np.savez(file, allow_pickle=False, **arrays)
    replace_file(path, file.getvalue())


def load_arrays(path: Path) -> "dict[str, NDArray[Any]]":
    """Return what `save_arrays` wrote."""
    import numpy as np

    with np.load(path, allow_pickle=False) as found:
        return {name: found[name] for name in found.files}
