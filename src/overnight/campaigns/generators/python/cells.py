"""The cells of a generator of Python samples: kinds of something, in packages, with what their numbers stand for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from overnight.campaigns.generators.python.library import Package

T = TypeVar("T")


class Cells(Generic[T]):
    """The cell "KIND/PACKAGE" holds what `find` finds of that kind in that package, read when it is needed."""

    def __init__(self, packages: Sequence[Package], find: Callable[[Package], Mapping[str, Sequence[T]]]) -> None:
        self._packages = {package.name: package for package in packages}
        self._find = find
        self._found: dict[str, Mapping[str, Sequence[T]]] = {}

    def names(self) -> list[str]:
        """Return the cells that hold anything, in the order of the packages."""
        return [f"{kind}/{name}" for name in self._packages for kind, held in self.in_package(name).items() if held]

    def held(self, cell: str) -> Sequence[T]:
        """Return what the numbers 0, 1, 2, ... of a cell stand for.

        Raises:
            KeyError: there is no such cell.
        """
        kind, _, name = cell.partition("/")
        return self.in_package(name)[kind]

    def in_package(self, name: str) -> Mapping[str, Sequence[T]]:
        """Return what a package holds, by kind."""
        if name not in self._found:
            self._found[name] = self._find(self._packages[name])
        return self._found[name]
