"""From the name of a generator to the generator itself."""

import inspect
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from overnight.base.errors import ConfigError, said_by
from overnight.base.vocabulary import suggestion
from overnight.campaigns.ports import Generator

PYTHON = {
    "python_bugs": "overnight.campaigns.generators.python_bugs:PythonBugs",
    "python_predict": "overnight.campaigns.generators.python_predict:PythonPredict",
    "python_doc": "overnight.campaigns.generators.python_doc:PythonDoc",
}
"""Those that share a workshop, in which code is tried out."""
DRAWN = {
    "sql_tasks": "overnight.campaigns.generators.sql_tasks:SqlTasks",
    "regex_tasks": "overnight.campaigns.generators.regex_tasks:RegexTasks",
}
BUILT_IN = (*PYTHON, *DRAWN)
_OF_ONE = ("name", "version", "cells", "count", "draft", "check")


class Generators:
    """Makes the generators of one process, when they are needed. Close it to end what they have started."""

    def __init__(self, packages: Sequence[str]) -> None:
        self._packages = packages
        self._workshop: Any = None  # Any: a Workshop, which is loaded when it is needed

    def make(self, generator: str, settings: Mapping[str, Any]) -> Generator:
        """Return a built-in generator, or the project's own "module:name": a class, or a function that returns one.

        Raises:
            ConfigError: there is none, it is no generator, or it cannot be made with these settings.
        """
        if generator in PYTHON:
            return _of(PYTHON[generator])(self._shared(), **settings)  # type: ignore[no-any-return]  # checked below
        if generator in DRAWN:
            return _of(DRAWN[generator])(**settings)  # type: ignore[no-any-return]  # as above
        if ":" not in generator:
            raise ConfigError(f"there is no generator {generator!r}{suggestion(generator, BUILT_IN)}")
        try:
            made = _of(generator)(**settings)
        except Exception as error:
            raise ConfigError(f"generator {generator!r} cannot be made: {said_by(error)}") from error
        lacking = [name for name in _OF_ONE if not hasattr(made, name)]
        if lacking:
            raise ConfigError(f"generator {generator!r} has no {', '.join(lacking)}; see docs/how-to-campaign.md")
        return made  # type: ignore[no-any-return]  # checked just now

    def _shared(self) -> Any:
        from overnight.campaigns.generators.python.workshop import Workshop

        if self._workshop is None:
            self._workshop = Workshop(self._packages)
        return self._workshop

    def close(self) -> None:
        """End what the generators have started."""
        if self._workshop is not None:
            self._workshop.close()


def _of(spec: str) -> Any:  # Any: what the module holds
    module, _, name = spec.partition(":")
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (inspect.isclass(found) or callable(found)):
        raise TypeError(f"{spec} is neither a class nor a function")
    return found
