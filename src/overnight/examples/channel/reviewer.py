"""The quality reviewer: measures a finished video, and says approve, flag or reject, and why.

Five scores from 0 to 10 are made of stated measurements (`review_scores`), and their sum by weight decides: 8 and more
is approved, 6 and more is flagged for a person, less is rejected. A flaw that no sum makes good (`review_faults`) takes
an approval away: a wrong number, no captions, black, silence and the like. The reasons name it first.
"""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import channel_files as files
import review_media
import review_texts
from catching_up import work_off
from claim_checks import Claim
from consensus import graded
from review_faults import Flaw, flaws
from review_scores import PARTS, overall, reasons, score

from overnight.base.errors import UserMistake, said_by
from overnight.base.ports import RunContext

Json = dict[str, Any]  # Any: what an agent has written
NEEDED = (files.SCRIPT, files.LESSON, files.VOICE, files.ASSEMBLY)


def reviewer(ctx: RunContext, video_id: str | None = None) -> Json:
    """Review a video, by default those that wait for it.

    Raises:
        UnknownName: there is no such video, or it is not finished.
        Stopped: it was cancelled; nothing was written.
    """

    def make(one: str) -> Json:
        review = reviewed(one, lambda: ctx.cancelled)
        files.write(one, files.REVIEW, review)
        ctx.count("videos_reviewed")
        ctx.progress(waiting.index(one) + 1, len(waiting), decision=review["decision"], overall=review["overall"])
        return {"video_id": one, **{name: review[name] for name in ("decision", "overall", "scores", "reasons")}}

    waiting = [video_id] if video_id else files.waiting_for(files.REVIEW, needs=NEEDED)
    return work_off(ctx, waiting, make)


def reviewed(video_id: str, cancelled: Any = lambda: False, *, root: Path | None = None) -> Json:
    """Return the review of a video."""
    script, lesson, voice, assembly = (files.read(video_id, name, root=root) for name in NEEDED)
    claims = review_texts.claims_of(script, lesson)
    try:
        seen = review_media.look(files.folder_of(video_id, root=root), script, voice, assembly, cancelled)
    except UserMistake as error:
        return _unreadable(video_id, claims, said_by(error))
    measurements = {**review_texts.measured(script, lesson, claims), **seen.figures}
    scores = {name: score(parts, measurements) for name, parts in PARTS.items()}
    found = flaws(measurements, claims, seen.overflows, seen.technical)
    decision = decided(overall(scores), found)
    return {
        "video_id": video_id,
        "scores": {name: round(one, 2) for name, one in scores.items()},
        "overall": round(overall(scores), 2),
        "decision": decision,
        "reasons": why(found, claims, measurements, scores),
        "faults": [asdict(one) for one in found],
        "claims": [_told(one) for one in claims],
        "measurements": measurements,
        "technical": seen.technical,
    }


def decided(total: float, found: Sequence[Flaw]) -> str:
    """Return what the sum and the flaws of a video come to: approve, flag or reject."""
    if any(one.hopeless for one in found):
        return "reject"
    decision = graded(total)
    return "flag" if found and decision == "approve" else decision


def why(found: Sequence[Flaw], claims: Sequence[Claim], measurements: Json, scores: Json) -> list[str]:
    """Return the reasons in words: flaws, claims without support, and what cost points, the lowest score first."""
    told = [f"{one.name}: {one.why}" for one in found]
    told += [
        f"{one.fault}: {one.where}: {one.text!r}: {one.why}"
        for one in claims
        if not one.supported and one.fault not in review_texts.CONTRADICTED
    ]
    for name in sorted(scores, key=lambda name: scores[name]):
        told += [f"{name} {scores[name]:.1f}: {reason}" for reason in reasons(PARTS[name], measurements)]
    if not claims:
        told.append("accuracy: no sentence holds a number or a name that could be checked against its source")
    return told


def _told(claim: Claim) -> Json:
    return {"text": claim.text, "where": claim.where, "source": claim.source, "supported": claim.supported,
            "fault": claim.fault, "why": claim.why}  # fmt: skip


def _unreadable(video_id: str, claims: Sequence[Claim], said: str) -> Json:
    """Return the review of a video whose file cannot be looked at: nothing is measured, and it is rejected."""
    return {
        "video_id": video_id,
        "scores": dict.fromkeys(PARTS, 0.0),
        "overall": 0.0,
        "decision": "reject",
        "reasons": [f"unreadable: {said}"],
        "faults": [asdict(Flaw(name="unreadable", why=said, hopeless=True))],
        "claims": [_told(one) for one in claims],
        "measurements": {},
        "technical": {"video": None, "audio": None, "subtitles": [], "captions": []},
    }
