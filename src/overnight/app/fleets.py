"""Agents that are plain Python objects, trained without a project of one's own."""

import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from overnight.app.project import Project
from overnight.app.results import TrainingResult
from overnight.app.training import train
from overnight.base.errors import UserMistake
from overnight.base.files import replace_file, to_json
from overnight.flows.nightly.night import training_task

Records = Sequence[Mapping[str, Any]]  # Any: a cell holds whatever JSON holds

EVERYTHING = "records"
"""The category of records that all agents learn from."""


class Fleet:
    """A fleet of agents: objects, classes, or "module:Class", by name.

    `options` are the settings of agents as in `[agents.NAME]` of `overnight.toml`, by name: {"trend": {"target":
    "views", "after": ["audio"]}}. `folder` keeps the state, so that a later training meets the versions of an earlier
    one; without it, each training stands alone and leaves nothing behind.

    An object travels to the child process that trains it through a pipe, and is never on disk; what it saves is.

    Raises:
        UserMistake: there is no agent, or one of them cannot be transferred to another process.
    """

    def __init__(
        self,
        agents: Mapping[str, Any],
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        folder: str | Path | None = None,
    ) -> None:
        if not agents:
            raise UserMistake("a fleet needs at least one agent")
        self.agents = {name: agent() if isinstance(agent, type) else agent for name, agent in agents.items()}
        self.options = {name: dict(values) for name, values in (options or {}).items()}
        self.folder = None if folder is None else Path(folder)
        for name in self.options:
            if name not in self.agents:
                raise UserMistake(f"options: there is no agent {name!r} (agents: {', '.join(self.agents)})")

    def train(self, data: Records | Mapping[str, Records], *, verbose: bool = False) -> TrainingResult:
        """Train every agent and return what was measured; see `Project.train`.

        `data` are the records that all agents learn from, or those of each agent (or of each category that `options`
        name as `data`), by name. A record is a dict of JSON; one without an `id` is known by its content, and equal
        ones count once, so that nothing is both learnt from and measured on.

        Raises:
            UserMistake: the records cannot be used, or this is the main part of a program that a child process has
                loaded.
        """
        if getattr(sys.modules.get("overnight.app.child"), "serving", False):
            raise UserMistake("a child process has loaded this program: train below `if __name__ == '__main__':`")
        if self.folder is not None:
            return self._train(self.folder, data, verbose=verbose)
        with tempfile.TemporaryDirectory(prefix="overnight-fleet-") as folder:
            result = self._train(Path(folder), data, verbose=verbose)
            # What is loaded on demand later must be here before the folder is gone.
            for agent in result.agents.values():
                if agent.state in ("saved", "handed back"):
                    _ = agent.agent
            return result

    def _train(self, folder: Path, data: Records | Mapping[str, Records], *, verbose: bool) -> TrainingResult:
        categories = _by_category(data)
        folder.mkdir(parents=True, exist_ok=True)
        settings: dict[str, Any] = {"nightly.enabled": False}
        for category, records in categories.items():
            replace_file(folder / f"{category}.jsonl", _lines(category, records))
            settings |= {
                f"sources.{category}.kind": "jsonl",
                f"sources.{category}.path": f"{category}.jsonl",
                f"categories.{category}.limit": 10**9,
                f"categories.{category}.minimum": 0,
                f"categories.{category}.threshold": 0,
                f"categories.{category}.near_duplicates": 1,
            }
        named = {name: agent for name, agent in self.agents.items() if isinstance(agent, str)}
        for name in self.agents:
            settings |= self._settings_of(name, categories)
        instances = self.agents.keys() - named.keys()
        with Project.create(folder, overrides=settings, instances=instances) as project:
            for name in instances:
                project.parcels.give(training_task(name), self.agents[name])
            return train(project, verbose=verbose)

    def _settings_of(self, name: str, categories: Mapping[str, Records]) -> dict[str, Any]:
        own = {"data": name if name in categories else EVERYTHING, **self.options.get(name, {})}
        if own["data"] not in categories:
            raise UserMistake(f"data: there are no records for agent {name!r} (records: {', '.join(categories)})")
        if isinstance(self.agents[name], str):
            own["class"] = self.agents[name]
        return {
            f"agents.{name}.{key}": list(value) if isinstance(value, tuple) else value for key, value in own.items()
        }


def _by_category(data: Records | Mapping[str, Records]) -> dict[str, Records]:
    if isinstance(data, Mapping):
        return dict(data)
    if not isinstance(data, list | tuple):
        raise UserMistake(f"data: {type(data).__name__} is neither a list of records nor a dict of such lists")
    return {EVERYTHING: data}


def _lines(category: str, records: Records) -> str:
    """Return the records as JSON lines, each with the id that it has or its place."""
    lines = []
    for place, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise UserMistake(f"data: record {place} of {category!r} is a {type(record).__name__}, not a dict")
        lines.append(to_json(dict(record), what=f"record {place} of {category!r}"))
    return "".join(f"{line}\n" for line in lines)
