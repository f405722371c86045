"""Models and their versions over HTTP."""

from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from overnight.app import models
from overnight.server.shapes import Name, answers, many, shape

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

_VERSION = shape(
    version="string", created="string", serves="boolean", tags=many({"type": "string"}), parent="string?",
    run_id="integer?", job_id="string?", snapshot="string", code="object", signature="object", metrics="object",
    verdict="object", files="object", artifact_removed="string?", origin="object?",
)  # fmt: skip
_SERVICE = shape(version="string", since="string", by="string?", why="string")
_MODEL = shape(
    model_type="string", serving="string?", tags="object", versions=many(_VERSION), history=many(_SERVICE),
)  # fmt: skip


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the operations."""
    project = daemon.project

    @app.get("/api/models", tags=["models"], responses=answers(shape(models=many(_MODEL))))
    def listed() -> JSONResponse:
        """List the models that have versions, with all of these, newest first."""
        return JSONResponse({"models": [models.model_json(one) for one in models.list_models(project)]})

    @app.get("/api/models/{model_type}", tags=["models"], responses=answers(_MODEL, 400, 404))
    def one_model(model_type: Name) -> JSONResponse:
        """Tell which version of a model serves, all its versions, and what has served when, by whom and why."""
        return JSONResponse(models.model_json(models.find_model(project, model_type)))
