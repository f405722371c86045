"""One agent at work, in a child process: the version that serves answers, or a class that does not learn."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from overnight.base.errors import (
    NotMeasured,
    OvernightError,
    PermanentError,
    TransientError,
    UserMistake,
    said_by,
)
from overnight.base.files import to_json
from overnight.base.hiding import Hiding
from overnight.base.ports import RunContext
from overnight.base.settings import environment
from overnight.training.agents import load_class
from overnight.training.versions import Trained


@dataclass(frozen=True, kw_only=True)
class ActContext:
    """What an agent's `act` gets beside its input.

    `folder` is there, and what is written into it is kept; a second try finds what the first one has left. `settings`
    are the agent's own, from `agents.NAME.settings`. `key` is the key of a service, None for any other agent.
    """

    folder: Path
    settings: Mapping[str, Any] = field(default_factory=dict)  # Any: the agent's own TOML
    key: str | None = field(default=None, repr=False)
    run: RunContext | None = field(default=None, repr=False)

    def progress(self, done: float, total: float | None = None, **figures: float | str) -> None:
        """Tell how far the work is; figures are shown beside it."""
        if self.run is not None:
            self.run.progress(done, total, **figures)

    @property
    def cancelled(self) -> bool:
        """True once somebody asked to stop; return soon."""
        return self.run is not None and self.run.cancelled


def act_job(
    ctx: RunContext,
    *,
    agent: Mapping[str, Any],  # Any: JSON
    given: Mapping[str, Any],
    folder: str,
    version: str | None = None,
) -> Any:  # Any: JSON
    """Return what an agent answers to the input: `act(input, ctx)` with all that was given.

    `agent` has its `name`, `class`, `settings` and the variable of its `key`; `folder` is where what it makes is kept.
    `version` is the folder of the version that serves; the predictions of the agents that it uses are among its input,
    as they were in its training. An agent that does not learn has none, and is made of its class.

    Raises:
        NotMeasured: the agent has no `act`.
        ConfigError: the class of one that does not learn cannot be used.
        PermanentError: it answers something else than JSON, or raises what is no error of ours: those pass through.
            No message holds the key.
    """
    name, kept = str(agent["name"]), Path(folder)
    key = None if agent["key"] is None else environment().get(agent["key"])
    kept.mkdir(parents=True, exist_ok=True)
    context = ActContext(folder=kept, settings=agent["settings"], key=key, run=ctx)
    try:
        act, seen = _of_class(agent) if version is None else _of_version(Path(version), given)
        if not callable(act):
            raise NotMeasured(f"agent {name!r} has no act(input, ctx)")
        answer = act({**given, **seen}, context)
        to_json(answer, what=f"what {name}.act returned")
    except SystemExit as error:
        raise _told(PermanentError(f"act called sys.exit({error.code!r})"), key) from None
    except Exception as error:
        told = _told(error, key)
        if told is error and key is None:
            raise
        # What led to it may hold the key, and would be in the log.
        raise told from (None if key else error)
    finally:
        with suppress(OSError):  # what an agent has made is kept, and an empty folder is not
            kept.rmdir()
    return answer


def _told(error: Exception, key: str | None) -> Exception:
    """Return the error as it may leave: with a family, and without the key, also where its cause would tell it."""
    ours = error if isinstance(error, OvernightError) else PermanentError(said_by(error))
    said = Hiding([key] if key else ()).text(str(ours))
    if said == str(ours):
        return ours
    return {"transient": TransientError, "user": UserMistake}.get(ours.family, PermanentError)(said)


def _of_class(agent: Mapping[str, Any]) -> tuple[Callable[..., Any], Mapping[str, Any]]:
    return load_class(agent["name"], agent["class"], "act(input, ctx)")().act, {}


def _of_version(folder: Path, given: Mapping[str, Any]) -> tuple[Callable[..., Any] | None, Mapping[str, Any]]:
    trained = Trained.load(folder)
    [seen] = trained.show([{"id": "brief", **given}])
    return getattr(trained.agent, "act", None), seen
