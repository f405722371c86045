"""The HTTP application; docs/reference/http.md tells what it answers, `/openapi.json` tells programs."""

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client.exposition import choose_encoder

from overnight.server import (
    data,
    deployments,
    engine,
    experiences,
    learning,
    models,
    predict,
    problems,
    services,
    streams,
    training,
)
from overnight.server.guard import Guard
from overnight.server.metrics import registry_of
from overnight.server.shapes import ERROR, answers, choice, content, many, shape

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

UNHEALTHY = 503
_HEALTH = shape(
    status=choice("healthy", "unhealthy"), uptime_seconds="number", last_decision_age_s="number", queue="object",
    active_training_jobs="integer?", experience_buffer_size="integer?", models_deployed="integer?",
    problems=many(shape(cause="string", text="string", advice="string")),
)  # fmt: skip
_RESOURCES = shape(
    memory_usage_gb="number?", memory_total_gb="number?", cpu_percent="number?", gpu_memory_gb="number?",
    gpu_utilization_percent="number?", active_training_jobs="integer?",
)  # fmt: skip
_GUARD = {
    413: "The body is larger than `server.max_body_mb`.",
    421: "The address is asked for under another name.",
    429: "Too many requests; `Retry-After` says when to try again.",
    500: "Internal error.",
}


def build(daemon: "Daemon") -> tuple[FastAPI, streams.Streams]:
    """Return the application of a daemon, and its streams, which end when they are closed."""
    refusals: dict[int | str, Any] = {code: content(text, ERROR) for code, text in _GUARD.items()}
    app = FastAPI(title="Overnight", docs_url=None, redoc_url=None, responses=refusals)
    app.add_middleware(Guard, settings=daemon.project.config.server, now_s=daemon.project.clock.monotonic)
    problems.add_to(app)
    _add_vitals(app, daemon)
    training.add_to(app, daemon)
    engine.add_to(app, daemon)
    data.add_to(app, daemon)
    deployments.add_to(app, daemon)
    experiences.add_to(app, daemon)
    predict.add_to(app, daemon)
    models.add_to(app, daemon)
    learning.add_to(app, daemon)
    services.add_to(app, daemon)
    return app, streams.add_to(app, daemon)


def _add_vitals(app: FastAPI, daemon: "Daemon") -> None:
    registry = registry_of(daemon)
    told = {**answers(_HEALTH, text="Healthy."), UNHEALTHY: content("Unhealthy.", _HEALTH)}

    @app.get("/health", tags=["daemon"], responses=told)
    def health() -> JSONResponse:
        """Tell whether the daemon makes progress: 200, or 503 with what is wrong."""
        body = daemon.health()
        return JSONResponse(body, status_code=200 if body["status"] == "healthy" else UNHEALTHY)

    @app.get("/api/resources", tags=["daemon"], responses=answers(_RESOURCES))
    def resources() -> JSONResponse:
        """Tell what of this machine is in use, by all that runs on it; 1 GB = 10^9 bytes, null: not measured."""
        use = daemon.machine.look()
        return JSONResponse(
            {
                "memory_usage_gb": use.memory_gb,
                "memory_total_gb": use.memory_total_gb,
                "cpu_percent": use.cpu_percent,
                "gpu_memory_gb": use.gpu_memory_gb,
                "gpu_utilization_percent": use.gpu_percent,
                "active_training_jobs": daemon.files.models.training,
            }
        )

    @app.get("/metrics", tags=["daemon"], response_class=Response)
    def metrics(request: Request) -> Response:
        """Return what the daemon measures, for Prometheus."""
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), media_type=kind)
