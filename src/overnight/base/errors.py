"""Every error that Overnight raises on purpose.

    OvernightError
    |-- UserMistake            exit code 2; fixed by the person, never retried
    |   |-- ConfigError        a key, a value or a file of the configuration is wrong
    |   |-- NotAProject        no overnight.toml here
    |   |-- ProjectLocked      another process works on this project
    |   |-- UnknownName        no task, run or question of that name
    |   |-- InvalidTask        a task that cannot work as it is written
    |   |-- InvalidTransition  the run is in a state that does not allow this
    |   |-- UnfitExperiences   experiences that no training could use
    |   `-- MissingExtra       an optional dependency is not installed
    |-- TransientError         may go away by itself: retried
    |   |-- DatabaseBusy       another program holds the database
    |   |-- DatabaseBroken     the database is damaged, read-only or its disk is full
    |   |-- CommitInDoubt      the commit may or may not have taken effect
    |   |-- QueueFull          too many jobs wait already
    |   |-- DaemonAway         no daemon answers at the address
    |   |-- DaemonFailed       the daemon answers that it cannot do it now
    |   |-- EndpointAway       a language model's endpoint does not answer, or is overloaded
    |   `-- WorkerLost         the process that worked on the run is gone
    `-- PermanentError         will fail again in the same way: not retried
        |-- FlowChanged        a flow no longer asks for the steps that it recorded
        |-- NotJson            a result or an argument is not JSON
        |-- NewerDatabase      the database was written by a newer Overnight
        |-- DamagedBlob        a stored file is not what was stored
        |-- StaleToken         somebody else has the right to work on the run now
        |-- RunFailed          a run that was waited for ended FAILED or CANCELLED
        |-- DeployFailed       a version cannot be made to serve
        |-- ModelFailed        a model did not answer
        |   |-- ModelTimedOut  not in time
        |   |   `-- NoTurn  another version was in its place
        |   `-- HardFailure    it never will: it does not load, or answers what is no answer
        |-- BudgetSpent        tokens or money for language models are spent
        `-- NotMeasured        there is too little data to say anything

Beside the tree stands Parking, a BaseException: it unwinds a flow that waits and is no error.

Any other exception that a task raises counts as transient, because only the task knows better.
"""

from collections.abc import Sequence
from typing import Any


def one_line(error: object) -> str:
    """Return what an error says, on one line."""
    return " ".join(str(error).split())


def said_by(error: BaseException) -> str:
    """Return what an error says, on one line; one that is not of this tree, or says nothing, with its type."""
    text = one_line(error)
    return text if text and isinstance(error, OvernightError) else f"{type(error).__name__}: {text}".rstrip(": ")


class OvernightError(Exception):
    """Something went wrong; the message says what, and what to do next."""

    family = "permanent"


class UserMistake(OvernightError):
    """What was asked for cannot be done; the message names the key, the value and what is allowed."""

    family = "user"


class ConfigError(UserMistake):
    """A configuration file, variable or flag is wrong; nothing was changed."""


class NotAProject(UserMistake):
    """There is no overnight.toml in this folder; run `overnight init DIR` to make a project."""


class ProjectLocked(UserMistake):
    """Another process works on this project; the message names it. Submitting still works."""


class UnknownName(UserMistake):
    """There is no task, run or question of that name; the message lists the nearest ones."""


class InvalidTask(UserMistake):
    """The task cannot work as it is written; the message names the field."""


class InvalidTransition(UserMistake):
    """The run is in a state that does not allow what was asked."""


class UnfitExperiences(UserMistake):
    """Some experiences of a batch cannot be used, so none of it was taken; each of `details` says what is wrong."""

    def __init__(self, message: str, details: Sequence[str]) -> None:
        super().__init__(message)
        self.details = tuple(details)


class MissingExtra(UserMistake):
    """An optional dependency is missing; the message names the extra to install."""


class TransientError(OvernightError):
    """It may work the next time: raise it (or any unlisted exception) to be retried."""

    family = "transient"


class DatabaseBusy(TransientError):
    """Another program holds the database; nothing was written."""


class CommitInDoubt(TransientError):
    """The commit failed in a way that leaves open whether it took effect; read before writing again."""


class QueueFull(TransientError):
    """Too many jobs wait for the one that trains (`training.max_queue`); try again in `retry_after_s`."""

    def __init__(self, message: str, *, active_job_id: str | None, retry_after_s: float) -> None:
        super().__init__(message)
        self.active_job_id = active_job_id
        self.retry_after_s = retry_after_s


class DaemonAway(TransientError):
    """No daemon answers at the address, or it cannot answer now; `overnight up` starts one."""


class DaemonFailed(TransientError):
    """The daemon answers that it cannot do that now; its log says why."""


class EndpointAway(TransientError):
    """A language model's endpoint does not answer, or not soon enough; what it answered so far is kept."""


class WorkerLost(TransientError):
    """The process that worked on the run is gone; the run goes back to the queue."""


class PermanentError(OvernightError):
    """It will fail again in the same way: raise it to end a run without retries."""


class FlowChanged(PermanentError):
    """The flow's code no longer asks for the steps that were recorded; fork the run from an earlier step."""


class NotJson(PermanentError):
    """A result or an argument is not JSON (finite numbers, text, lists, objects with text keys)."""


class NewerDatabase(PermanentError):
    """The database was written by a newer Overnight; upgrade the program. The database was not touched."""


class DatabaseBroken(TransientError):
    """The database is damaged, read-only, or its disk is full; what was acknowledged is still on disk.

    Transient for the run that met it: once a person has made room, the same work may succeed.
    """


class DamagedBlob(PermanentError):
    """A stored file is not what was stored; restore it from a backup, or train again."""


class StaleToken(PermanentError):
    """Somebody else has the right to work on the run now; what this worker found out was not recorded."""


class RunFailed(PermanentError):
    """A run that was waited for ended FAILED or CANCELLED; the message gives its reason."""


class DeployFailed(PermanentError):
    """A version cannot be made to serve (or be taken away) where it was to; the message says why, in one line."""


class ModelFailed(PermanentError):
    """A model did not answer a request; what else it is asked may go well."""


class ModelTimedOut(ModelFailed):
    """A model did not answer within `timeout_s` of `[models.NAME]`, or still hangs at an earlier request."""


class NoTurn(ModelTimedOut):
    """No version was there in time, where there is room for one only: that tells nothing about any of them."""


class HardFailure(ModelFailed):
    """A version does not load, or answers what is not finite or of another kind: it is not asked again."""


class BudgetSpent(PermanentError):
    """A request to a language model does not fit into what is left to spend; the message says of what."""


class NotMeasured(PermanentError):
    """There is too little data to say anything; the message says how much is needed."""


class Parking(BaseException):
    """Unwinds a flow that waits; it is called again from the top when there is news.

    JSON-able `waiting_for` says what it waits for.

    Not an Exception, so that no `except Exception` of a flow swallows it.
    """

    def __init__(self, waiting_for: dict[str, Any]) -> None:
        super().__init__(waiting_for)
        self.waiting_for = waiting_for


class Yielding(BaseException):
    """Unwinds work that gives its place up for now: the run goes back into the queue, and this try does not count.

    The message says why. Not an Exception, so that no `except Exception` of the work swallows it.
    """


def family_of(error: BaseException) -> str:
    """Return 'user', 'transient' or 'permanent'; an exception that is not ours counts as transient."""
    return error.family if isinstance(error, OvernightError) else "transient"
