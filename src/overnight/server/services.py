"""Services over HTTP: how they stand, and starting, stopping and restarting one."""

from typing import TYPE_CHECKING, Any, Literal

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from overnight.server.shapes import Name, answers, choice, many, shape
from overnight.supervisor.policy import Status
from overnight.supervisor.startup import Mode

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

_SERVICE = shape(
    status=choice(*Status), since="string", adopted="boolean", pid="integer?", phase="integer", required="boolean",
    restarts="integer", memory_bytes="integer?", why="string?", log="string?",
)  # fmt: skip
_LINK = shape(service="string", link="string", ok="boolean", problem="string?")
_STATUS = shape(
    mode=choice(*Mode), services={"type": "object", "additionalProperties": _SERVICE}, links=many(_LINK)
)  # fmt: skip


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the operations."""

    @app.get("/api/services", tags=["services"], responses=answers(_STATUS))
    def services() -> JSONResponse:
        """Tell how the project stands with its services, and each of them."""
        return JSONResponse(daemon.services.status())

    @app.post("/api/services/{name}/{what}", tags=["services"], responses=answers(_SERVICE, 400, 404, 409))
    def ask(name: Name, what: Literal["start", "stop", "restart"]) -> JSONResponse:
        """Have a service started, stopped or restarted, and tell how it stands at once; what follows takes its time."""
        daemon.services.ask(name, what)
        found: dict[str, Any] = daemon.services.status()["services"][name]
        return JSONResponse(found)
