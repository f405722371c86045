"""What served requests came to, told later: it becomes experiences that models learn from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overnight.app import intake
from overnight.app.workplace import Workplace
from overnight.base.instants import iso
from overnight.data.batches import Batch
from overnight.serving import requests
from overnight.serving.answers import answer_in, confidence_in, score
from overnight.serving.requests import Request

Told = Mapping[str, Any]  # Any: JSON
"""What is known of a request by now: its `request_id`, and `expected_output`, `score` (0 to 1) or both."""


@dataclass(frozen=True, kw_only=True)
class Learnt:
    """What became of told outcomes: new experiences, and requests that are not recorded (any more)."""

    experiences: int
    unknown: Sequence[str]


def learn(project: Workplace, outcomes: Sequence[Told]) -> Learnt:
    """Make experiences of recorded requests whose outcome is told, each once, whatever is told twice.

    Raises:
        UnfitExperiences: one could not be trained on; none of its model's were taken.
    """
    with project.database.read() as connection:
        known = requests.find(connection, {str(told["request_id"]) for told in outcomes})
    expected: dict[str, Any] = {}
    batches: dict[str, list[dict[str, Any]]] = {}
    for told in outcomes:
        request = known.get(str(told["request_id"]))
        experience = None if request is None else experience_of(request, told)
        if request is not None and experience is not None:
            batches.setdefault(request.model, []).append(experience)
            if "expected_output" in told:
                expected[request.request_id] = told["expected_output"]
    accepted = 0
    for model, experiences in batches.items():
        accepted += intake.add(project, Batch(model_type=model, experiences=experiences)).accepted
    if expected:
        project.database.writer.do(lambda tx: requests.tell(tx, expected))
    unknown = [str(told["request_id"]) for told in outcomes if str(told["request_id"]) not in known]
    return Learnt(experiences=accepted, unknown=unknown)


def experience_of(request: Request, told: Told) -> dict[str, Any] | None:
    """Return the experience that a request and its outcome make; None where nobody says what is right.

    What a person says is right is trusted (quality 1). An answer that was only scored stands for what is right, with
    its score as the quality; of one that was scored 0, it is not known what would have been right.
    """
    answer, points = answer_in(request.output), told.get("score")
    if "expected_output" in told:
        expected, quality = told["expected_output"], 1.0
        right = score(request.output, expected)
        success = right == 1 if right is not None else points is None or points >= 0.5
    elif points:
        expected, quality, success = answer, float(points), True
    else:
        return None
    sure = confidence_in(request.output)
    return {
        "type": "served",
        "input": request.input,
        "expected_output": expected,
        "actual_output": answer,
        "success": success,
        "confidence": 1.0 if sure is None else sure,
        "metadata": {"request_id": request.request_id, "version": request.version, "quality": quality},
        "timestamp": iso(request.at_us),
    }
