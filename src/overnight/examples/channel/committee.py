"""The review committee: judges with different profiles, who read different measurements of the same video.

They agree or they are split (`consensus`). What they approve is approved if the review approves it too; what the review
rejects stays rejected; everything between goes to a person, as a question that `overnight review list` shows and
`overnight review approve` or `reject` answers. No other video waits for that answer.

`review_committee` and `committee_question` are flows; their work is done by `committee_judges` and `committee_answer`.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

import channel_files as files
from consensus import Consensus, Member, decide
from review_scores import PARTS, Part, reasons, score

from overnight.base.errors import UserMistake
from overnight.base.ports import RunContext
from overnight.engine.flow import Flow

Json = dict[str, Any]  # Any: what an agent has written
ANSWERS = ("approve", "reject")
MOST_JUDGED = 20
"""Videos that one run decides on: more than ever wait, unless something is wrong."""


def _of(names: str) -> tuple[Part, ...]:
    """Return the parts of reviews that measure these figures."""
    by_name = {part.name: part for parts in PARTS.values() for part in parts}
    return tuple(by_name[name] for name in names.split())


PROFILES: Mapping[str, tuple[str, float, tuple[Part, ...]]] = {
    "teacher": (
        "asks what is learned",
        0.3,
        _of("objectives objectives_covered examples summary_points flesch words_per_minute"),
    ),
    "fact checker": ("asks whether it is true", 0.25, _of("claims_supported wrong_claims sections_cited")),
    "viewer": (
        "asks whether one would stay",
        0.25,
        _of("hook_words hook_pull changes_per_minute stillest_s scene_kinds manners"),
    ),
    "picture editor": ("asks what it looks like", 0.12, _of("black_s frozen_s overflows contrast seen_contrast")),
    "reader of captions": ("asks who can follow it", 0.08, _of("captioned_share caption_late_s loudness_off_lu")),
}


def review_committee(flow: Flow, video_id: str | None = None) -> Json:
    """Let the judges decide on the reviewed videos; where they do not, ask a person, and wait for nobody."""
    args = {} if video_id is None else {"video_id": video_id}
    first: Json | None = None
    for _ in range(MOST_JUDGED):
        judged: Json = flow.wait(flow.start("committee_judges", args))[0].value()
        if judged["decision"] == "split":
            flow.start("committee_question", {"video_id": judged["video_id"], "why": judged["why"]})
        first = first or judged
        if not judged["more"] or video_id is not None:
            break
    return first or {}


def committee_question(flow: Flow, video_id: str, why: str) -> Json:
    """Ask a person whether a video is approved, and write down the answer."""
    question = f"{video_id}: {why}. Watch {files.folder_of(video_id) / files.VIDEO}. Shall it be published?"
    answer = flow.ask(video_id, question, ANSWERS)
    return flow.wait(flow.start("committee_answer", {"video_id": video_id, "answer": answer}))[0].value()  # type: ignore[no-any-return]  # JSON


def committee_judges(ctx: RunContext, video_id: str | None = None) -> Json:
    """Judge the oldest video that is reviewed and not judged yet.

    A run that was killed when it had written its decision down finds that again: else nobody would be asked.
    """
    mine = next((told for told in _told() if told.get("run_id") == ctx.run_id), None)
    if mine is not None:
        return _shown(mine)
    one = video_id or files.next_for(files.COMMITTEE, needs=files.REVIEW)
    if one is None:
        return {"video_id": None, "decision": "nothing", "why": "no reviewed video waits", "more": False}
    review = files.read(one, files.REVIEW)
    members = judges(review["measurements"])
    found = decide(members)
    decision, why = decided(found, review["decision"], review["reasons"])
    told = {
        "video_id": one,
        "run_id": ctx.run_id,
        "members": [asdict(member) for member in members],
        "consensus": found.consensus,
        "mean": found.mean,
        "range": found.range,
        "decision": decision,
        "why": why,
    }
    files.write(one, files.COMMITTEE, told)
    ctx.count({"approve": "videos_approved", "reject": "videos_rejected", "split": "videos_asked_about"}[decision])
    return _shown(told)


def _told() -> Iterator[Json]:
    """Yield what the committee has decided so far, the newest first."""
    for video_id in reversed(files.videos()):
        if files.has(video_id, files.COMMITTEE):
            yield files.read(video_id, files.COMMITTEE)


def _shown(told: Json) -> Json:
    """Return what is told of a decision, and whether there is more to decide."""
    more = bool(files.waiting_for(files.COMMITTEE, needs=files.REVIEW))
    return {**{name: told[name] for name in ("video_id", "decision", "why", "consensus", "range")}, "more": more}


def committee_answer(video_id: str, answer: str) -> Json:
    """Write down what a person has decided on a video."""
    if answer not in ANSWERS:
        raise UserMistake(f"answer: {answer!r} is none of {', '.join(ANSWERS)}")
    told = files.read(video_id, files.COMMITTEE)
    if told.get("answered") == answer:
        return {"video_id": video_id, "decision": answer, "why": told["why"]}
    why = f"a person said {answer}; before: {told['why']}"
    files.write(video_id, files.COMMITTEE, {**told, "decision": answer, "answered": answer, "why": why})
    return {"video_id": video_id, "decision": answer, "why": why}


def judges(measurements: Mapping[str, float | None]) -> list[Member]:
    """Return what each profile says of a video's measurements."""
    found = []
    for name, (profile, weight, parts) in PROFILES.items():
        mine = {part.name: measurements.get(part.name) for part in parts}
        found.append(
            Member(
                name=name,
                profile=profile,
                weight=weight,
                score=score(parts, mine),
                measurements=mine,
                reasons=reasons(parts, mine),
            )
        )
    return found


def decided(found: Consensus, review: str, why: list[str]) -> tuple[str, str]:
    """Return approve, reject or split (a person decides), and why, from what judges and review say."""
    told = "; ".join(why[:3])
    if review == "reject" or found.decision == "reject":
        return "reject", f"the review says {review}: {told}" if review == "reject" else f"{found.why}: {told}"
    if review == found.decision == "approve":
        return "approve", found.why
    said = f"the review says {review}{f' ({told})' if told else ''}"
    return "split", f"{said}, the judges say {found.decision} ({found.why})"
