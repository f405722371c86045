"""One agent at work: what the version that serves answers to an input, in a child process."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from overnight.base.errors import NotMeasured, PermanentError, said_by
from overnight.base.files import to_json
from overnight.training.versions import Trained


def act_job(*, folder: str, given: Mapping[str, Any]) -> Any:  # Any: JSON
    """Return what the version in the folder answers to the input: `act(input, ctx)` with all that was given.

    The predictions of the agents that it uses are among the input, as they were in its training.

    Raises:
        NotMeasured: the agent has no `act`.
        PermanentError: it answers something else than JSON, or raises.
    """
    trained = Trained.load(Path(folder))
    act = getattr(trained.agent, "act", None)
    if not callable(act):
        raise NotMeasured(f"agent {trained.spec.name!r} has no act(input, ctx)")
    [seen] = trained.show([{"id": "brief", **given}])
    try:
        answer = act({**given, **seen}, None)
        to_json(answer, what=f"what {trained.spec.name}.act returned")
    except SystemExit as error:
        raise PermanentError(f"act called sys.exit({error.code!r})") from error
    except Exception as error:
        raise PermanentError(said_by(error)) from error
    return answer
