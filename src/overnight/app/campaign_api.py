"""A campaign in a few lines of Python."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from overnight.app import campaign_outputs, campaigns
from overnight.app.project import Project
from overnight.base.errors import RunFailed
from overnight.flows.campaign.export import FORMAT, Output

Json = dict[str, Any]


class Campaign:
    """A campaign of a project: training data made at scale, after a pilot that has to be good.

    What is left out is as `[campaigns.NAME]` has it; without a name, the project's one campaign is meant, and a folder
    without `overnight.toml` becomes a project.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        project: str | Path = ".",
        quality_threshold: float | None = None,
        min_pilot_samples: int | None = None,
        pilot_size: int | None = None,
        campaign_target: int | None = None,
        auto_launch: bool | None = None,
        workers: int | None = None,
        strategy: str | None = None,
    ) -> None:
        """`quality_threshold` is from 0 to 1, `campaign_target` counts accepted samples.

        By `strategy`, one of strategy learning or "learned", language models are asked.
        """
        self._name, self._strategy = name, strategy
        self._folder = Path(project)
        given = {
            "quality_threshold": quality_threshold,
            "min_pilot_samples": min_pilot_samples,
            "pilot_size": pilot_size,
            "target": campaign_target,
            "auto_launch": auto_launch,
            "workers": workers,
        }
        self._settings = {key: value for key, value in given.items() if value is not None}

    def run(self) -> Json:
        """Make the pilot, have it judged, make the whole campaign if it is approved, and return where that stands.

        A campaign that was interrupted goes on where it was. The answer has `phase`, `reason`, `accepted`, `judged`,
        `skeletons`, `domains`, `verdict` and `launches`.

        Raises:
            ConfigError, UnknownName, UserMistake: its settings do not go together, or there is no such strategy.
            RunFailed: it ended without all samples, or without what should follow; the message says why. A pilot that
                was rejected is no failure but an answer.
        """
        with Project.create(self._folder) as project:
            name = campaigns.name_of(project, self._name)
            asked = {} if self._strategy is None else {"strategy": self._strategy}
            wish = campaigns.with_environment(project, name, {"settings": self._settings, **asked})
            run_id, _ = campaigns.begin(project, name, wish)
            began = not project.is_worked_on
            if began:
                project.start()
            run = project.wait(run_id)
            if run.error is not None:
                raise RunFailed(f"campaign {name!r}: {run.error.message}")
            return campaigns.status(project, name)

    def status(self) -> Json:
        """Return where it stands; see `run`."""
        with Project.open(self._folder) as project:
            return campaigns.status(project, campaigns.name_of(project, self._name))

    def export(self, folder: str | Path, *, domains: Sequence[str] = (), form: str = FORMAT, seed: int = 1) -> Json:
        """Write the accepted samples (of these domains) into a folder for fine-tuning, and return its manifest.

        Raises:
            UserMistake: there is nothing to export, or the folder holds something else.
        """
        with Project.open(self._folder) as project:
            name = campaigns.name_of(project, self._name)
            output = Output(folder=Path(folder), domains=tuple(domains))
            [manifest] = campaign_outputs.export(project, name, [output], form=form, seed=seed)
        return manifest
