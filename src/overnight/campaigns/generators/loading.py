"""From the name of a generator to the generator itself."""

import inspect
from collections.abc import Mapping
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import Any

from overnight.base.errors import ConfigError, said_by
from overnight.base.settings import environment
from overnight.base.vocabulary import suggestion
from overnight.campaigns.orders import Campaign, Domain
from overnight.campaigns.ports import Generator

PYTHON = {
    "python_bugs": "overnight.campaigns.generators.python_bugs:PythonBugs",
    "python_predict": "overnight.campaigns.generators.python_predict:PythonPredict",
    "python_doc": "overnight.campaigns.generators.python_doc:PythonDoc",
}
"""Those that share a workshop, in which code is tried out."""
LLM = "llm"
"""The one that asks a language model."""
DRAWN = {
    "sql_tasks": "overnight.campaigns.generators.sql_tasks:SqlTasks",
    "regex_tasks": "overnight.campaigns.generators.regex_tasks:RegexTasks",
}
BUILT_IN = (*PYTHON, *DRAWN, LLM)
REPLAY = "llm.db"
"""What language models were asked and answered, in the campaign's folder: none is paid twice, and one purse."""
FOUND = "python.db"
"""What was found out about functions, in the campaign's folder."""
_OF_ONE = ("name", "version", "cells", "count", "draft", "check")


class Generators:
    """Makes the generators of one process, when they are needed. Close it to end what they have started."""

    def __init__(self, campaign: Campaign) -> None:
        self._packages = campaign.packages
        self._folder = Path(campaign.folder)
        self._made: list[Any] = []
        self._workshop: Any = None  # Any: a Workshop, which is loaded when it is needed

    def make(self, domain: Domain) -> Generator:
        """Return a built-in generator, or the project's own "module:name": a class, or a function that returns one.

        Raises:
            ConfigError: there is none, it is no generator, or it cannot be made with these settings.
        """
        made = self._make(domain.generator, domain.settings)
        self._made.append(made)
        return made

    def _make(self, generator: str, settings: Mapping[str, Any]) -> Generator:
        if generator == LLM:
            return self._llm(settings)
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

    def _llm(self, settings: Mapping[str, Any]) -> Generator:
        from overnight.campaigns.generators.llm import LlmTasks

        return LlmTasks(llm_settings(settings, environment()), self._folder / REPLAY)

    def _shared(self) -> Any:
        from overnight.campaigns.generators.python.workshop import Workshop

        if self._workshop is None:
            self._workshop = Workshop(self._packages, self._folder / FOUND)
        return self._workshop

    def close(self) -> None:
        """End what the generators have started."""
        for made in self._made:
            if callable(close := getattr(made, "close", None)):
                close()
        if self._workshop is not None:
            self._workshop.close()


def llm_settings(settings: Mapping[str, Any], variables: Mapping[str, str]) -> Any:
    """Return the settings of a generator that asks a language model; `api_key_env` names the variable of its key.

    Raises:
        ConfigError: one is unknown or missing, the key stands there itself, or its variable is not set.
        UserMistake: one cannot work.
    """
    from overnight.campaigns.generators.llm_settings import LlmSettings

    given = dict(settings)
    if "api_key" in given:
        raise ConfigError('api_key: a key does not belong here; api_key_env = "NAME" names the variable that holds it')
    variable = given.pop("api_key_env", None)
    if variable is not None and not variables.get(str(variable)):
        raise ConfigError(f"api_key_env: the variable {variable} is not set")
    known = [item.name for item in fields(LlmSettings) if item.name != "api_key"]
    for name in given:
        if name not in known:
            raise ConfigError(f"there is no setting {name!r}{suggestion(name, known)}")
    for name in ("base_url", "model", "topics"):
        if name not in given:
            raise ConfigError(f"{name} is missing: base_url, model and topics say who is asked for what")
    return LlmSettings(**given, api_key=None if variable is None else variables[str(variable)])


def _of(spec: str) -> Any:  # Any: what the module holds
    module, _, name = spec.partition(":")
    found = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    if not (inspect.isclass(found) or callable(found)):
        raise TypeError(f"{spec} is neither a class nor a function")
    return found
