"""`POST /api/experiences`: batches of served interactions, as they come."""

import json
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from pydantic import WithJsonSchema

from overnight.app import intake
from overnight.base.errors import UnfitExperiences, UserMistake
from overnight.data.batches import MOST_BYTES, batch_of
from overnight.server import shapes
from overnight.server.shapes import Plain, Sent, answers, shape, takes

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

MISTAKE, TOO_LARGE = 400, 413


class Batch(Sent):
    """Served interactions that came together."""

    experiences: Annotated[list[Any], WithJsonSchema(shapes.many(shapes.EXPERIENCE))]
    model_type: Plain
    batch_id: Plain | None = None
    """The same id twice is the same batch."""
    created_at: str | None = None


_TAKEN = shape(
    accepted="integer", duplicates="integer", batch_id="string", buffer_size="integer", job_id="string?",
)  # fmt: skip


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the address to the application.

    The body is read and looked through by hand: a model for each experience would take longer than its way to disk.
    """

    def take(body: bytes) -> dict[str, Any]:  # Any: JSON
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise UserMistake(f"the body is not JSON: {error}") from error
        added = intake.add(daemon.project, batch_of(value, named=False))
        names = ("accepted", "duplicates", "batch_id", "buffer_size", "job_id")
        return {name: getattr(added, name) for name in names}

    @app.post("/api/experiences", tags=["data"], openapi_extra=takes(Batch), responses=answers(_TAKEN, 400, 503))
    async def add_experiences(request: Request) -> JSONResponse:
        """Take a batch {batch_id?, model_type, experiences[], created_at?}, all of it or nothing.

        200 {accepted, duplicates, batch_id, buffer_size, job_id}, when it is on disk; 400 {error, details[]}, and then
        nothing was taken. The same batch twice, and the same experience in two batches, adds nothing.
        """
        body = await _body_of(request)
        if body is None:
            error = f"the body is larger than {MOST_BYTES:,} bytes; send it in several batches"
            return JSONResponse({"error": error, "details": []}, status_code=TOO_LARGE)
        try:
            return JSONResponse(await run_in_threadpool(take, body))
        except UserMistake as error:
            details = error.details if isinstance(error, UnfitExperiences) else ()
            return JSONResponse({"error": str(error), "details": list(details)}, status_code=MISTAKE)


async def _body_of(request: Request) -> bytes | None:
    """Return the body of a request; None where it is too large, and then no more of it is kept."""
    parts, size = list[bytes](), 0
    async for part in request.stream():
        size += len(part)
        if size > MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)
