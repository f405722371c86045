"""How requests and answers look in the OpenAPI document, and reading a request's body.

Bodies are read as bytes and checked in the thread of their handler: a large one must not hold up the event loop, in
which all streams are.
"""

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, StringConstraints

Schema = dict[str, Any]  # Any: JSON Schema
T = TypeVar("T", bound=BaseModel)
MOST_PAGE = 1000


def shape(**names: "str | Schema") -> Schema:
    """Return the schema of an object that has all these names; "number?" means a number or null."""
    properties = {name: _schema(kind) if isinstance(kind, str) else kind for name, kind in names.items()}
    return {"type": "object", "properties": properties, "required": list(properties)}


def _schema(kind: str) -> Schema:
    return {"type": [kind.removesuffix("?"), "null"] if kind.endswith("?") else kind}


def many(of: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": of}


def choice(*words: str) -> Schema:
    """Return the schema of one of these words."""
    return {"enum": list(words)}


ERROR = shape(error="string")
_MEANINGS = {
    400: "What was sent cannot be used; `error` says what, `details` where.",
    404: "There is no such thing.",
    409: "It is in a state that does not allow this.",
    503: "It cannot be done now; `Retry-After` says when to try again.",
}


def answers(schema: Schema, *codes: int, text: str = "OK") -> dict[int | str, dict[str, Any]]:
    """Return what an operation answers: what it is asked for, and errors with these codes."""
    found: dict[int | str, dict[str, Any]] = {200: content(text, schema)}
    found |= {code: content(_MEANINGS[code], ERROR) for code in codes}
    return found


def content(text: str, schema: Schema) -> dict[str, Any]:
    """Return an answer in JSON, as OpenAPI describes it."""
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def stream(text: str, *codes: int) -> dict[int | str, dict[str, Any]]:
    """Return what a stream answers."""
    events = {"description": text, "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    return {200: events, **{code: content(_MEANINGS[code], ERROR) for code in codes}}


EXPERIENCE = {
    "type": "object",
    "required": ["input", "expected_output"],
    "properties": {
        "type": {"type": "string"},
        "input": {},
        "expected_output": {},
        "actual_output": {},
        "success": {"type": "boolean"},
        "confidence": {"type": "number"},
        "metadata": {"type": "object"},
        "timestamp": {},
    },
}
"""An experience in the document of the API; what fits beyond that its trainer says."""


class Sent(BaseModel):
    """A body; what it does not know is refused."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


def takes(model: type[Sent]) -> dict[str, Any]:
    """Return what an operation says of the body that it reads by itself."""
    schema = {"application/json": {"schema": model.model_json_schema()}}
    return {"requestBody": {"required": True, "content": schema}}


def read(model: type[T], sent: bytes) -> T:
    """Return the body.

    Raises:
        pydantic.ValidationError: it is not what the model says; it is answered with 400.
    """
    return model.model_validate_json(sent)


async def _content_of(request: Request) -> bytes:
    return await request.body()


_NO_CONTROL = r"^[^\x00-\x1f\x7f]+$"
Content = Annotated[bytes, Depends(_content_of)]
Plain = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=_NO_CONTROL)]
"""Text without control characters, as names are."""
Name = Annotated[str, Path(max_length=200, pattern=_NO_CONTROL)]
Number = Annotated[int, Path(ge=1, lt=2**63)]
Limit = Annotated[int, Query(ge=1, le=MOST_PAGE, description="How many at the most.")]
Cursor = Annotated[int | None, Query(ge=1, lt=2**63, description="`next_cursor` of the page before.")]
Wanted = Annotated[str | None, Query(min_length=1, max_length=200, pattern=_NO_CONTROL)]


def page(name: str, items: list[Any], cursor: int | None) -> Mapping[str, Any]:  # Any: JSON
    """Return a page, and where the next one begins; null: there is none."""
    return {name: items, "next_cursor": cursor}
