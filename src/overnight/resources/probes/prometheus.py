"""Reads the numbers out of Prometheus text. Pure.

The format is version 0.0.4 of https://prometheus.io/docs/instrumenting/exposition_formats/.
"""

import re
from dataclasses import dataclass

_LINE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)[ \t]*"
    r'(?:\{(?:[^"{}]|"(?:[^"\\]|\\.)*")*\}[ \t]*)?'
    r"(?<=[ \t}])(?P<value>\S+)(?:[ \t]+-?\d+)?[ \t]*"
)


@dataclass(frozen=True, kw_only=True)
class Names:
    """What a server calls its numbers: requests that run or wait (added up), and a counter of what it has served."""

    active: tuple[str, ...]
    served: str | None = None
    lazy: bool = False
    """Whether a number is missing until it was first set."""


BUILT_IN = {
    "vllm": Names(
        active=("vllm:num_requests_running", "vllm:num_requests_waiting"), served="vllm:request_success_total"
    ),
    "tgi": Names(active=("tgi_batch_current_size", "tgi_queue_size"), served="tgi_request_count", lazy=True),
    "llama.cpp": Names(
        active=("llamacpp:requests_processing", "llamacpp:requests_deferred"), served="llamacpp:n_decode_total"
    ),
}
"""By `kind`. Sources: https://docs.vllm.ai/en/latest/design/metrics/,
https://huggingface.co/docs/text-generation-inference/reference/metrics (its router makes a number when it first sets
it), and tools/server/README.md of llama.cpp (`--metrics`). Ollama has no such text."""


def totals(text: str) -> dict[str, float]:
    """Return the value of each metric, all of its label sets added up.

    Raises:
        ValueError: a line is none of the format; it is named.
    """
    found: dict[str, float] = {}
    for number, line in enumerate(text.split("\n"), 1):
        content = line.strip(" \t\r")
        if content and not content.startswith("#"):
            match = _LINE.fullmatch(content)
            try:
                name, value = match["name"], float(match["value"])  # type: ignore[index]  # None is told below
            except (TypeError, ValueError):
                raise ValueError(f"line {number} is no Prometheus text") from None
            found[name] = found.get(name, 0.0) + value
    return found
