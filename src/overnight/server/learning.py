"""Strategy learning over HTTP: how it stands, what is predicted, and outcomes that come in."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import JSONResponse
from pydantic import Field, WithJsonSchema

from overnight.app import learning, learning_outcomes
from overnight.app.loop_status import loop_status
from overnight.base.files import to_json
from overnight.server import shapes
from overnight.server.shapes import Content, Sent, Wanted, answers, many, shape, takes

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

MOST = 10_000
_OUTCOME = {
    "type": "object",
    "required": ["type", "success"],
    "properties": {
        "type": {"type": "string"},
        "success": {"type": ["boolean", "number"]},
        **{name: {"type": "string"} for name in ("agent", "strategy", "timestamp", "id")},
        **{name: {"type": "number"} for name in ("score", "time_s", "cost_usd", "propensity")},
        "features": {"type": "object"},
    },
}


class Outcomes(Sent):
    """What came of work elsewhere."""

    # Checked by what takes them; each place is named in the answer.
    outcomes: Annotated[list[Any], Field(max_length=MOST), WithJsonSchema(many(_OUTCOME))]


_CHOICE = shape(strategy="string", why="string")
_STATUS = shape(
    strategies="object", parameters="object", default=_CHOICE, types="object", verdict="object?",
    imported=many({"type": "object"}), history=many({"type": "object"}),
)  # fmt: skip
_PREDICTION = shape(
    type="string", agent="string?", n="integer", success_rate="number", reliability="number", predicted="number",
    confidence="number", interval="object", recommendation="string",
)  # fmt: skip
_LOOP = shape(
    model_type="string", serving="string?", unused="integer", needed="integer", next="string", next_schedule="string?",
    rules=many({"type": "string"}),
    under_way="string?", last_job="string?", rollout="object?", last=many({"type": "object"}),
)  # fmt: skip
_Type = Annotated[str, Query(alias="type", min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the operations."""
    project = daemon.project

    @app.get("/api/learning", tags=["learning"], responses=answers(_STATUS))
    def status() -> JSONResponse:
        """Tell what was measured of each strategy, which of them execute and why, and the newest verdict."""
        return JSONResponse(learning.status(project))

    @app.get("/api/loop", tags=["learning"], responses=answers(shape(models=many(_LOOP))))
    def loop() -> JSONResponse:
        """Tell of each model what serves, what was gathered, what follows next, and what the gate said last."""
        return JSONResponse({"models": loop_status(project)})

    @app.get("/api/learning/predict", tags=["learning"], responses=answers(_PREDICTION, 400, 404))
    def predict(type_: _Type, agent: Wanted = None) -> JSONResponse:
        """Predict whether a type of task succeeds, done by an agent (of an exercise: a strategy) or by anybody."""
        found = learning_outcomes.predict(project, type_, agent)
        return JSONResponse({"type": type_, "agent": agent, **asdict(found)})

    @app.post(
        "/api/learning/outcomes",
        tags=["learning"],
        openapi_extra=takes(Outcomes),
        responses=answers(shape(new="integer", known="integer"), 400),
    )
    def outcomes(content: Content) -> JSONResponse:
        """Take outcomes, all of them or, where one cannot be used, none; one that comes again counts once."""
        wish = shapes.read(Outcomes, content)
        return JSONResponse(learning_outcomes.take_all(project, [to_json(one) for one in wish.outcomes]))
