"""What the samples are made from: modules of the standard library and of distributions that the caller names.

Modules are found by their files and read as text, so nothing is imported here: that happens in the child that tries
code out. A distribution whose licence its metadata does not tell is left out.
"""

import platform
import sysconfig
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

from overnight.campaigns.generators.python.functions import Function, functions_of

STANDARD = (
    "_pydecimal",
    "collections",
    "difflib",
    "enum",
    "fractions",
    "heapq",
    "http.cookiejar",
    "importlib.metadata",
    "importlib.metadata._functools",
    "importlib.metadata._itertools",
    "ipaddress",
    "json.encoder",
    "pickle",
    "pickletools",
    "shutil",
    "statistics",
    "textwrap",
    "typing",
    "zipfile",
)
"""Modules of the standard library whose import does nothing but define, and that have functions with doctests."""
_STANDARD_LICENCE = "PSF-2.0"
_PRELUDES = {
    "music21": "from music21 import *",
    "numpy": "import numpy as np",
    "pandas": "import numpy as np\nimport pandas as pd",
    "scipy": "import numpy as np",
}
"""What the examples of a distribution take for granted: what its own test runner defines before them."""
_NOT_FOR_USE = {"tests", "test", "testing", "_vendor", "vendor", "conftest", "setup", "__main__", "examples"}
_UNKNOWN = {"", "UNKNOWN", "Other/Proprietary License"}
_LONGEST_LICENCE = 60


@dataclass(frozen=True, kw_only=True)
class Package:
    """A distribution, or a module of the standard library. `files` are its modules and where their source is."""

    name: str
    licence: str
    version: str
    prelude: str
    files: Sequence[tuple[str, Path]]

    @property
    def source(self) -> dict[str, str]:
        """What a sample says of where it comes from."""
        return {"package": self.name, "licence": self.licence, "version": self.version}


def packages(distributions: Sequence[str]) -> list[Package]:
    """Return the packages, always in the same order; distributions without a known licence are left out.

    Raises:
        importlib.metadata.PackageNotFoundError: a distribution is not installed.
    """
    found = [_standard(name) for name in STANDARD]
    found += [one for name in sorted(set(distributions)) if (one := _distribution(name)) is not None]
    return found


def functions_in(module: str, path: Path) -> tuple[Function, ...]:
    """Return the functions with doctests of a module."""
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ()
    return tuple(functions_of(module, source)) if ">>>" in source else ()


def _standard(name: str) -> Package:
    root = Path(sysconfig.get_paths()["stdlib"], *name.split("."))
    path = root / "__init__.py" if root.is_dir() else root.with_suffix(".py")
    return Package(
        name=name,
        licence=_STANDARD_LICENCE,
        version=platform.python_version(),
        prelude="",
        files=[(name, path)],
    )


def _distribution(name: str) -> Package | None:
    found = metadata.distribution(name)
    licence = licence_of(found)
    if licence is None:
        return None
    return Package(
        name=name,
        licence=licence,
        version=found.version,
        prelude=_PRELUDES.get(name, ""),
        files=sorted(_modules(found)),
    )


def _modules(distribution: metadata.Distribution) -> Iterator[tuple[str, Path]]:
    for file in distribution.files or ():
        parts = PurePosixPath(file).with_suffix("").parts
        if file.suffix != ".py" or _NOT_FOR_USE & set(parts) or not all(part.isidentifier() for part in parts):
            continue
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if module and not parts[-1].startswith("test_"):
            yield module, Path(str(distribution.locate_file(file)))


def licence_of(distribution: metadata.Distribution) -> str | None:
    """Return the licence that the metadata tells: as an expression, in a word, or by classifiers; None without."""
    told = distribution.metadata
    short = next((told[key] for key in ("License-Expression", "License") if key in told), "").strip()
    if short not in _UNKNOWN and len(short) <= _LONGEST_LICENCE and "\n" not in short:
        return short
    classified = [one.split(" :: ")[-1] for one in told.get_all("Classifier") or () if one.startswith("License ::")]
    named = [one for one in classified if one not in _UNKNOWN]
    return " and ".join(named) or None
