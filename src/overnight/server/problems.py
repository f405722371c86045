"""Errors as answers: {"error": ..., "details"?: [...]}. What a program does wrong shows no one where it stands."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from overnight.base.errors import (
    InvalidTransition,
    NotJson,
    OvernightError,
    QueueFull,
    TransientError,
    UnknownName,
    UserMistake,
    one_line,
)

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

RETRY_AFTER_S = 1
MOST_DETAILS = 20


def problem(code: int, error: str, headers: Mapping[str, str] | None = None, **more: Any) -> JSONResponse:  # Any: JSON
    """Return an error as an answer."""
    return JSONResponse({"error": error, **more}, status_code=code, headers=headers)


def add_to(app: FastAPI) -> None:
    """Answer errors."""

    def ours(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, OvernightError)
        return answer_of(error)

    def mistaken(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError | ValidationError)
        return problem(400, "the request cannot be used", details=_details(error.errors()))

    def plain(request: Request, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        return problem(error.status_code, error.detail, error.headers)

    app.add_exception_handler(OvernightError, ours)
    app.add_exception_handler(RequestValidationError, mistaken)
    app.add_exception_handler(ValidationError, mistaken)
    app.add_exception_handler(HTTPException, plain)


def answer_of(error: OvernightError) -> JSONResponse:
    """Return what an error of ours is answered with; raise it where it is the program's own fault."""
    said = one_line(error)
    match error:
        case UnknownName():
            return problem(404, said)
        case InvalidTransition():
            return problem(409, said)
        case UserMistake() | NotJson():
            return problem(400, said, details=[])
        case QueueFull():
            wait_s = round(error.retry_after_s)
            return problem(
                503, said, {"Retry-After": str(wait_s)}, active_job_id=error.active_job_id, retry_after_seconds=wait_s
            )
        case TransientError():
            return problem(503, said, {"Retry-After": str(RETRY_AFTER_S)})
        case _:
            raise error


def _details(errors: "Sequence[ErrorDetails]") -> list[dict[str, str]]:
    """Return where something is wrong and what, without the values: they may be large, or secret."""
    return [{"where": ".".join(str(part) for part in one["loc"]), "what": one["msg"]} for one in errors[:MOST_DETAILS]]
