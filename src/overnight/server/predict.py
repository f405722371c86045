"""`POST /api/models/{type}/predict`: the models that this daemon serves."""

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from overnight.base.errors import DeployFailed, ModelFailed, UserMistake, one_line
from overnight.server import shapes
from overnight.server.problems import problem
from overnight.server.shapes import Content, Name, Plain, Sent, answers, shape, takes

if TYPE_CHECKING:
    from overnight.app.daemon import Daemon

FAILED = 500
_PREDICTED = shape(
    outputs=shapes.many({}), model_version="string", request_ids=shapes.many({"type": "string"}),
)  # fmt: skip


class Asked(Sent):
    """One input, or several that are answered by one version."""

    input: Any = None
    inputs: list[Any] | None = None
    key: Plain | None = None
    """What the version is chosen by, such as a user's id; without it, by chance."""


def add_to(app: FastAPI, daemon: "Daemon") -> None:
    """Add the operation."""

    @app.post(
        "/api/models/{type}/predict",
        tags=["models"],
        openapi_extra=takes(Asked),
        responses=answers(_PREDICTED, 400, 404, 503),
    )
    def predict(
        type: Name,  # the word of the API
        content: Content,
    ) -> JSONResponse:
        """Answer by the version that serves, in a rollout by the one that the key is assigned to.

        200 {outputs[], model_version, request_ids[]}; 500 where the model fails, which is told as such.
        """
        asked = shapes.read(Asked, content)
        if ("input" in asked.model_fields_set) == (asked.inputs is not None):
            raise UserMistake("input, or inputs: one of the two, the latter a list")
        inputs = [asked.input] if asked.inputs is None else asked.inputs
        try:
            predicted = daemon.models.predict(type, inputs, asked.key)
        except (DeployFailed, ModelFailed) as error:
            return problem(FAILED, one_line(error))
        return JSONResponse(
            {
                "outputs": predicted.outputs,
                "model_version": predicted.model_version,
                "request_ids": predicted.request_ids,
            }
        )
