"""Records over HTTP: harvest them, read them, see how the sources stand."""

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse

from overnight.app import records
from overnight.base.instants import to_datetime
from overnight.data import store
from overnight.server import shapes
from overnight.server.shapes import Content, Name, Plain, Sent, answers, shape, takes

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

_SOURCES = shapes.many({"type": "object"})
_HARVEST = shape(
    category="string", snapshot="string?", records="integer", stale="boolean", statistics={}, sources=_SOURCES
)
_STANDS = shape(category="string", snapshot="string?", made_at="string?", statistics={}, sources=_SOURCES, remarks={})
_RECORDS = shape(type="string", snapshot="string?", total="integer", records=shapes.many({"type": "object"}))


class Wish(Sent):
    """Which category is harvested."""

    type: Plain
    force: bool = False
    """Whether every source is asked for all it has, and nothing older stands in for one that fails."""


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the operations."""
    project = daemon.project

    @app.post("/api/harvest", tags=["data"], openapi_extra=takes(Wish), responses=answers(_HARVEST, 400, 404, 503))
    def harvest(content: Content) -> JSONResponse:
        """Ask the sources of a category, and answer when its newest snapshot is made."""
        wish = shapes.read(Wish, content)
        category = records.check_category(project, wish.type)
        return JSONResponse(project.harvest(category, force=wish.force).to_json())

    @app.get("/api/harvest/stats", tags=["data"], responses=answers(shape(categories=shapes.many(_STANDS))))
    def stats() -> JSONResponse:
        """Tell how each category stands: its newest snapshot, and what came of its sources last."""
        return JSONResponse({"categories": [one.to_json() for one in records.status(project)]})

    @app.get("/api/data/{type}", tags=["data"], responses=answers(_RECORDS, 400, 404))
    def data(
        type: Name,  # the word of the API
        limit: shapes.Limit = 100,
        max_age_hours: Annotated[float | None, Query(ge=0, le=1e6, description="Since it was harvested.")] = None,
        min_score: Annotated[float | None, Query(ge=0, le=10, description="Quality, 0 to 10.")] = None,
    ) -> JSONResponse:
        """Read the records of a category's newest snapshot, the best first; `total` is how many fit."""
        category = records.check_category(project, type)
        with project.database.read() as connection:
            snapshot = store.newest(connection, category)
        found = [] if snapshot is None else records.records(project, snapshot)
        if max_age_hours is not None:
            since = to_datetime(project.clock.now_us()) - timedelta(hours=max_age_hours)
            found = [one for one in found if one["harvested_at"] >= since.isoformat(timespec="seconds")]
        if min_score is not None:
            found = [one for one in found if (one["quality_score"] or 0.0) >= min_score]
        body: dict[str, Any] = {"type": category, "snapshot": None if snapshot is None else snapshot.snapshot_id}
        return JSONResponse({**body, "total": len(found), "records": found[:limit]})
