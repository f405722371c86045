"""The HTTP application: `GET /health` and `GET /metrics`."""

from typing import TYPE_CHECKING

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder

from overnight.server.metrics import registry_of

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

UNHEALTHY = 503
HOSTS = {"127.0.0.1", "localhost", "[::1]"}


def build(daemon: "Daemon") -> FastAPI:
    """Return the application of a daemon."""
    app = FastAPI(title="Overnight", docs_url=None, redoc_url=None)
    registry = registry_of(daemon)

    @app.middleware("http")
    async def only_for_this_machine(request: Request, call_next):  # type: ignore[no-untyped-def]  # FastAPI's own
        # A page on the web could make a browser ask here under a name of its own (DNS rebinding).
        host = request.headers.get("host", "").rpartition(":")[0] or request.headers.get("host", "")
        if host not in HOSTS:
            return JSONResponse({"error": "this address is asked for under another name"}, status_code=421)
        return await call_next(request)

    @app.get("/health")
    def health() -> JSONResponse:
        """Tell whether the daemon makes progress: 200, or 503 with what is wrong."""
        body = daemon.health()
        return JSONResponse(body, status_code=200 if body["status"] == "healthy" else UNHEALTHY)

    @app.get("/metrics")
    def metrics(request: Request) -> Response:
        """Return what the daemon measures, for Prometheus."""
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=kind)

    return app
