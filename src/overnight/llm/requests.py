"""What a language model is asked, and how its answer is read. Pure."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

Kind = Literal["text", "score"]
"""Of a field of an answer: a text that is not empty, or a number from 0 to 1."""
Way = Literal["json_schema", "json_object", "none"]
WAYS: Sequence[Way] = ("json_schema", "json_object", "none")
"""How an answer's form is asked for, from the strictest way to one that every endpoint knows: in words alone."""

_JSON: Mapping[Kind, Mapping[str, str]] = {"text": {"type": "string"}, "score": {"type": "number"}}
_FENCE = re.compile(r"\A\s*```(?:json)?\s*\n(.*)\n\s*```\s*\Z", re.DOTALL)
_TOKENS_BESIDE = 16
"""More than any template of a chat adds to a message."""


class Malformed(Exception):
    """An answer has not the form that was asked for; the message says why."""


@dataclass(frozen=True, kw_only=True)
class Said:
    """One message."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request for an answer that is a JSON object with these `fields`, all of them and no others.

    The same request is the same one for ever: what was answered to it is not paid again.
    """

    model: str
    messages: Sequence[Said]
    fields: Mapping[str, Kind]
    max_tokens: int
    temperature: float
    seed: int

    @property
    def key(self) -> str:
        """Return what tells it from all others: the SHA-256 of its canonical JSON, in hexadecimal digits."""
        told = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
        return hashlib.sha256(told.encode()).hexdigest()

    @property
    def most_tokens_in(self) -> int:
        """Return an upper bound of its prompt's tokens: a token stands for a byte at least, whatever the tokenizer."""
        texts = [
            *(message.content for message in self.messages),
            _in_words(self.fields),
            json.dumps(schema(self.fields)),
        ]
        return sum(len(text.encode(errors="surrogatepass")) + _TOKENS_BESIDE for text in texts)

    def body(self, *, way: Way, limit_name: str, stream: bool) -> dict[str, Any]:  # Any: JSON
        """Return what is sent to `/chat/completions`; `limit_name` is what the endpoint calls `max_tokens`."""
        messages = [asdict(message) for message in self.messages]
        if way != "json_schema":
            messages[-1]["content"] += "\n\n" + _in_words(self.fields)
        told: dict[str, Any] = {
            "model": self.model,
            "messages": messages,
            limit_name: self.max_tokens,
            "temperature": self.temperature,
            "seed": self.seed,
        }
        if way == "json_schema":
            named = {"name": "answer", "strict": True, "schema": schema(self.fields)}
            told["response_format"] = {"type": "json_schema", "json_schema": named}
        elif way == "json_object":
            told["response_format"] = {"type": "json_object"}
        if stream:
            told |= {"stream": True, "stream_options": {"include_usage": True}}
        return told


def schema(fields: Mapping[str, Kind]) -> dict[str, Any]:  # Any: JSON
    """Return the JSON schema of an answer with these fields."""
    return {
        "type": "object",
        "properties": {name: dict(_JSON[kind]) for name, kind in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }


def _in_words(fields: Mapping[str, Kind]) -> str:
    told = ", ".join(
        f'"{name}" ({"a text" if kind == "text" else "a number from 0 to 1"})' for name, kind in fields.items()
    )
    return f"Answer with one JSON object and nothing else. Its keys are: {told}."


def parsed(content: str, fields: Mapping[str, Kind]) -> dict[str, Any]:  # Any: texts and numbers
    """Return the fields of an answer.

    Raises:
        Malformed: it is not a JSON object, or a field is missing, unknown, or not of its kind.
    """
    fenced = _FENCE.match(content)
    try:
        found = json.loads(fenced[1] if fenced else content)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"it is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise Malformed("it is not a JSON object")
    if set(found) != set(fields):
        raise Malformed(f"its keys are {', '.join(sorted(found)) or 'none'}, and not {', '.join(sorted(fields))}"[:300])
    for name, kind in fields.items():
        _check(name, kind, found[name])
    return found


def _check(name: str, kind: Kind, value: Any) -> None:  # Any: JSON
    if kind == "text":
        if not isinstance(value, str) or not value.strip():
            raise Malformed(f"{name} is not a text")
        if "\x00" in value or any("\ud800" <= sign <= "\udfff" for sign in value):
            raise Malformed(f"{name} holds what no text holds: NUL, or half a surrogate pair")
    elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise Malformed(f"{name} is not a number from 0 to 1: {str(value)[:40]}")
