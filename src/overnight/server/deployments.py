"""Rollouts over HTTP: deploy, roll back, look, steer; which version answers; and what came of served requests."""

import hashlib
import json
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

from fastapi import FastAPI, Header, Query
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from overnight.app import deployments, feedback, outcomes
from overnight.base.errors import UserMistake
from overnight.base.instants import from_datetime
from overnight.registry.evidence import Served
from overnight.registry.plans import STRATEGIES
from overnight.registry.rollout import Reason, Status
from overnight.server import shapes
from overnight.server.shapes import Content, Limit, Number, Plain, Sent, Wanted, answers, choice, shape, takes

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

BY_API = "API"
"""Who has asked, where nobody says it."""
_DEPLOYED = shape(
    deployment_id="integer", model_version="string", status=choice(*Status), current_percentage="number",
    message="string",
)  # fmt: skip
_COUNTS = shape(requests="integer", errors="integer", timeouts="integer", slow="integer", invalid="integer")
_DEPLOYMENT = shape(
    deployment_id="integer", model_type="string", model_version="string", champion="string?", status=choice(*Status),
    current_percentage="number", reason="string?", message="string", strategy=choice(*STRATEGIES), stage="integer?",
    steps="array", plan="object", candidate_counts=_COUNTS, champion_counts=_COUNTS, requests_of_stage="integer",
    guards="object", lifts="object", winner="string?", shadow="object?", by="string", run_id="integer",
    created_at="string", updated_at="string", stage_since="string?", ended_at="string?",
)  # fmt: skip
_EXPLAINED = shape(
    decision_id="integer", at="string", by="string", asked="string?", reason=choice(*Reason), message="string",
    status=choice(*Status), current_percentage="number", candidate_counts=_COUNTS, champion_counts=_COUNTS,
    guards="object", again={"type": ["boolean", "null"]},
)  # fmt: skip
_SPLIT = shape(
    model="string", champion="string", candidate="string?", percentage="number", salt="integer",
    deployment_id="integer?", shadow="boolean",
)  # fmt: skip


Routed = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[^\x00-\x1f]+:[0-9]{1,18}$", max_length=220)], ...],
    Query(max_length=1000, description="A model and its number of requests, such as `nlu:12`."),
]


class Deploy(Sent):
    """What is to be rolled out, and how."""

    model_version: Plain
    model_type: Plain
    strategy: Literal["immediate", "gradual_rollout", "canary", "ab_test", "blue_green", "shadow"] | None = None
    """Without it, what `[models.NAME] deploy` says."""
    config: dict[str, Any] = Field(default_factory=dict)
    by: Plain = BY_API
    """Who asks, for the record."""


class Rollback(Sent):
    """Which model is to go back, and to which version: without it, the one that served before."""

    model_type: Plain
    previous_version: Plain | None = None
    by: Plain = BY_API


class OneOutcome(Sent):
    """What came of one served request.

    With `version` and `key` it counts in a rollout; without, it tells what a prediction of this daemon came to.
    """

    request_id: Plain
    key: Annotated[str | None, Field(min_length=1, max_length=1000)] = None
    """What the version was chosen by, such as a user's id."""
    version: Plain | None = None
    expected_output: Any = None
    """What would have been right; it becomes an experience."""
    percentage: float | None = Field(None, ge=0, le=100)
    """The candidate's share of the keys when the version was chosen."""
    deployment_id: int | None = Field(None, ge=1, lt=2**63)
    ok: bool = True
    timed_out: bool = False
    invalid: bool = False
    latency_ms: float | None = Field(None, ge=0, le=1e9)
    score: float | None = Field(None, ge=0, le=1)
    at: Annotated[datetime | None, Field(strict=False)] = None


class Outcomes(Sent):
    """Outcomes of one model; the same `batch_id` counts once."""

    batch_id: Plain
    model_type: Plain
    outcomes: list[OneOutcome] = Field(max_length=outcomes.MOST)


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the operations."""
    _add_deploying(app, daemon)
    _add_looking(app, daemon)
    _add_routing(app, daemon)


def _add_deploying(app: FastAPI, daemon: "Daemon") -> None:
    project = daemon.project

    @app.post(
        "/api/models/deploy",
        tags=["models"],
        openapi_extra=takes(Deploy),
        responses=answers(_DEPLOYED, 400, 404, 409, text="The rollout is on disk, and begins."),
    )
    def deploy(content: Content) -> JSONResponse:
        """Roll a version out; 409 says which rollout of the model has not ended."""
        wish = shapes.read(Deploy, content)
        one = deployments.deploy(
            project, wish.model_type, wish.model_version, strategy=wish.strategy, config=wish.config, by=wish.by
        )
        told = deployments.as_json(project, one)
        return JSONResponse({name: told[name] for name in _DEPLOYED["required"]})

    @app.post(
        "/api/models/rollback",
        tags=["models"],
        openapi_extra=takes(Rollback),
        responses=answers(shape(model_type="string", model_version="string?", message="string"), 400, 404, 409),
    )
    def rollback(content: Content) -> JSONResponse:
        """Take back what is being rolled out; else have the version before serve again, at once."""
        wish = shapes.read(Rollback, content)
        return JSONResponse(deployments.rollback(project, wish.model_type, wish.previous_version, by=wish.by))

    for what, text in (
        ("pause", "Stay where it is; the guards go on."),
        ("resume", "Go on with a rollout that is paused or held."),
        ("promote", "Have the candidate serve everybody now."),
        ("abort", "End it; the champion serves everybody."),
        ("rollback", "Take the candidate back; the champion serves everybody."),
    ):
        _add_command(app, daemon, what, text)


def _add_command(app: FastAPI, daemon: "Daemon", what: str, text: str) -> None:
    @app.post(
        f"/api/deployments/{{deployment_id}}/{what}",
        tags=["models"],
        name=what,
        description=text,
        responses=answers(_DEPLOYMENT, 400, 404, 409),
    )
    def command(deployment_id: Number, by: Wanted = None) -> JSONResponse:
        one = deployments.steer(daemon.project, deployment_id, what, by=by or BY_API)
        return JSONResponse(deployments.as_json(daemon.project, one))


def _add_looking(app: FastAPI, daemon: "Daemon") -> None:
    project = daemon.project

    @app.get(
        "/api/deployments",
        tags=["models"],
        responses=answers(shape(deployments=shapes.many(_DEPLOYMENT)), 400),
    )
    def listed(model_type: Wanted = None, limit: Limit = 20) -> JSONResponse:
        """List deployments, the newest first."""
        found = deployments.newest_of(project, model=model_type, limit=limit)
        return JSONResponse({"deployments": [deployments.as_json(project, one) for one in found]})

    @app.get("/api/deployments/{deployment_id}", tags=["models"], responses=answers(_DEPLOYMENT, 400, 404))
    def one_of(deployment_id: Number) -> JSONResponse:
        """Tell how a deployment stands, what was counted, and how near each guard is to its limit."""
        return JSONResponse(deployments.as_json(project, deployments.deployment_of(project, deployment_id)))

    @app.get(
        "/api/deployments/{deployment_id}/decisions",
        tags=["models"],
        responses=answers(shape(decisions=shapes.many(_EXPLAINED)), 400, 404),
    )
    def decisions(deployment_id: Number) -> JSONResponse:
        """Tell every decision with the counts and e-values that led to it.

        `again` says whether the same rules give it again from what was recorded; null: numbers did not decide.
        """
        found = deployments.explain(project, deployment_id)
        return JSONResponse({"decisions": [{**one.told, "again": one.again} for one in found]})


def _add_routing(app: FastAPI, daemon: "Daemon") -> None:
    project = daemon.project

    def splits() -> tuple[list[dict[str, Any]], str]:
        found = [asdict(split) for split in deployments.splits(project)]
        return found, hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16]

    @app.get(
        "/api/routing",
        tags=["models"],
        responses={
            **answers(shape(splits=shapes.many(_SPLIT), etag="string"), 400),
            304: {"description": "It is as `If-None-Match` names it."},
        },
    )
    def routing(routed: Routed = (), if_none_match: Annotated[str | None, Header(max_length=100)] = None) -> Response:
        """Tell which version answers, for each model; `overnight.Router` asks every second.

        `routed`, once for each model, says how many of its requests were routed since the question before: a rollout
        that hears of no outcomes tells by it whether there is no traffic or nobody who tells.
        """
        counts = (one.rsplit(":", 1) for one in routed)
        daemon.rollouts.routed({model for model, count in counts if int(count)})
        found, etag = splits()
        if if_none_match is not None and if_none_match.strip('"') == etag:
            return Response(status_code=304, headers={"etag": f'"{etag}"'})
        return JSONResponse({"splits": found, "etag": etag}, headers={"etag": f'"{etag}"'})

    @app.post(
        "/api/outcomes",
        tags=["models"],
        openapi_extra=takes(Outcomes),
        responses=answers(
            shape(
                accepted="integer",
                duplicate="boolean",
                etag="string",
                experiences="integer",
                unknown=shapes.many({"type": "string"}),
            ),
            400,
            text="They count.",
        ),
    )
    def take(content: Content) -> JSONResponse:
        """Tell what came of served requests; what follows for a rollout is decided before the answer.

        `accepted` are those that count in a rollout of now. A batch may be sent again: the same `batch_id` counts once.
        Those without `version` become `experiences`; `unknown` are the requests of which none is recorded.
        """
        wish = shapes.read(Outcomes, content)
        told = [_served(one, project.clock.now_us()) for one in wish.outcomes if one.version is not None]
        batch = outcomes.Batch(batch_id=wish.batch_id, model_type=wish.model_type, outcomes=told)
        taken = outcomes.take(project, batch)
        later = [one.model_dump(include=one.model_fields_set) for one in wish.outcomes if one.version is None]
        learnt = feedback.learn(project, later)
        return JSONResponse(
            {
                "accepted": taken.counted,
                "duplicate": taken.duplicate,
                "etag": splits()[1],
                "experiences": learnt.experiences,
                "unknown": list(learnt.unknown),
            }
        )


def _served(one: OneOutcome, now_us: int) -> Served:
    if one.key is None or one.percentage is None:
        raise UserMistake(
            f"outcome of request {one.request_id!r}: a version needs the key and the percentage that it was chosen by"
        )
    return Served(
        **{
            **one.model_dump(exclude={"at", "expected_output"}),
            "at_us": now_us if one.at is None else from_datetime(one.at),
        }
    )
