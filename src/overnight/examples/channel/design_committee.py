"""The design committee: applies what the trend scout proposes for the style guide, or refuses it with reasons.

Three judges look at different things: how much evidence stands behind the changes, how far numbers go, and whether the
guide stays one that agents and people can follow, its titles too. They decide by the rule of all committees
(`consensus`): where they are split, or only half agree, a person decides. Where no number changes, who judges numbers
has no say. A template of titles that does nothing but shout is refused, whatever stands behind it.

`design_committee` is a flow; its work is done by the tasks `design_judges` and `design_decided`.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import channel_files as files
import style_guide
import title_quality
import video_texts
from consensus import Member, decide
from trend_scout import FEWEST, PROPOSAL, changed, hash_of

from overnight.base.clock import SystemClock, iso
from overnight.base.errors import UnknownName, UserMistake, said_by
from overnight.base.files import replace_file, text_of, write_json
from overnight.engine.flow import Flow

Json = dict[str, Any]  # Any: JSON
TITLE = "title_template"
GOOD = 2 * FEWEST
"""Winners or decided tests behind a change that are worth all points."""
MOST_CHANGE = 0.5
"""By which part a number may change before it is worth no points."""


def design_committee(flow: Flow) -> Json:
    """Judge the proposal that waits; ask a person where the judges do not agree."""
    judged = flow.wait(flow.start("design_judges"))[0].value()
    if judged["decision"] in ("split", "flag"):
        question = f"Style guide: {judged['why']}. The change:\n{judged['diff']}Shall it be applied?"
        judged["decision"] = flow.ask("style guide", question, ("approve", "reject"))
        judged["why"] = f"a person said {judged['decision']}; before: {judged['why']}"
    if judged["decision"] == "nothing":
        return judged  # type: ignore[no-any-return]  # JSON
    args = {"decision": judged["decision"], "why": judged["why"], "base": judged["base"]}
    return flow.wait(flow.start("design_decided", args))[0].value()  # type: ignore[no-any-return]  # JSON


def design_judges() -> Json:
    """Judge the proposal that waits, and write down what each judge says."""
    proposal = _proposal()
    if proposal is None or proposal["state"] != "proposed":
        return {"decision": "nothing", "why": "no proposal waits"}
    guide = text_of(Path(style_guide.FILE))
    told = {"diff": proposal["diff"], "base": proposal["base"]}
    if hash_of(guide) != proposal["base"]:
        return {**told, "decision": "reject", "why": "the style guide was changed since the proposal was made"}
    changes = proposal["changes"]
    members = judges(guide, changes, _heads())
    found = decide(members)
    write_json(PROPOSAL, {**proposal, "members": [asdict(one) for one in members], "consensus": asdict(found)})
    reasons = "; ".join(reason for one in members for reason in one.reasons)
    if not _numbers(changes):
        reasons += "; reach has no say, as no number changes"
    if any(_shouts(one) for one in changes):
        return {**told, "decision": "reject", "why": f"the titles would do nothing but shout ({reasons})"}
    return {**told, "decision": found.decision, "why": f"{found.why} ({reasons})"}


def design_decided(decision: str, why: str, base: str) -> Json:
    """Apply the proposal, or refuse it, and write down which and why."""
    proposal = _proposal()
    if proposal is None or proposal["base"] != base:
        raise UnknownName("the proposal that was decided on is not there any more; the next one is judged anew")
    guide = text_of(Path(style_guide.FILE))
    applied = decision == "approve"
    if applied and hash_of(guide) == base:
        replace_file(Path(style_guide.FILE), changed(guide, proposal["changes"]))
    elif applied and guide != changed(guide, proposal["changes"]):
        applied, why = False, f"the style guide was changed since the proposal was made; {why}"
    state = "applied" if applied else "refused"
    write_json(PROPOSAL, {**proposal, "state": state, "why": why, "decided_at": iso(SystemClock().now_us())})
    return {"state": state, "why": why, "diff": proposal["diff"]}


def judges(guide: str, changes: Sequence[Json], heads: Sequence[Json]) -> list[Member]:
    """Return what the judges say of changes; `heads` are what titles are tried on."""
    reach = [_reach(changes)] if _numbers(changes) else []
    return [_evidence(changes), *reach, _legibility(guide, changes, heads)]


def _heads() -> list[Json]:
    """Return topic and angle of each video that has a script."""
    return [
        video_texts.head_of(files.read(one, files.TOPIC), script) for one, script in files.every(files.SCRIPT).items()
    ]


def _numbers(changes: Sequence[Json]) -> list[Json]:
    return [one for one in changes if isinstance(one["before"], int | float) and one["before"]]


def _shouts(change: Json) -> bool:
    return change["rule"] == TITLE and title_quality.measured(change["after"], []).calm == 0


def _evidence(changes: Sequence[Json]) -> Member:
    """Score the least-supported change by how many tests or winners stand behind it."""
    behind = {one["rule"]: _behind(one) for one in changes}
    least = min(behind.values())
    score = 10 * min(1.0, (least + GOOD) / (2 * GOOD)) if least >= FEWEST else 0.0
    told = ", ".join(f"{rule} by {count}" for rule, count in behind.items())
    return _member("evidence", "counts what was measured", score, {"behind": behind}, f"changes are backed: {told}")


def _behind(change: Json) -> int:
    figures = change["figures"]
    if figures and "winners" in figures[0]:
        return min(len(figures[0]["winners"]), len(figures[0]["underperformers"]))
    return len(figures)


def _reach(changes: Sequence[Json]) -> Member:
    """Score how far numbers go from where they were, and how many rules change at once."""
    parts = [abs(one["after"] - one["before"]) / abs(one["before"]) for one in _numbers(changes)]
    furthest = max(parts)
    score = max(0.0, 10 * (1 - furthest / MOST_CHANGE / 2) - 1.5 * (len(changes) - 1))
    why = f"{len(changes)} rules change, a number by {100 * furthest:.0f} % at the most"
    return _member("reach", "prefers small steps", score, {"rules": len(changes), "furthest": furthest}, why)


def _legibility(guide: str, changes: Sequence[Json], heads: Sequence[Json]) -> Member:
    """Score whether agents can read the guide afterwards, whether each change says why, and what titles it makes."""
    try:
        style_guide.parse(changed(guide, changes))
    except UserMistake as error:
        return _member("legibility", "reads the guide as agents do", 0.0, {"parses": False}, said_by(error))
    told = sum(bool(one["why"]) for one in changes) / len(changes)
    why = f"the guide can be read, and {100 * told:.0f} % of the changes say why"
    made = [title_quality.measured(one["after"], heads) for one in changes if one["rule"] == TITLE]
    score = min([10 * told, *(one.score for one in made)])
    measurements = {"parses": True, "told": told, "titles": [asdict(one) for one in made]}
    reasons = "; ".join([why, *(one.told for one in made)])
    return _member("legibility", "reads the guide as agents do", score, measurements, reasons)


def _member(name: str, profile: str, score: float, measurements: Json, why: str) -> Member:
    return Member(name=name, profile=profile, weight=1.0, score=score, measurements=measurements, reasons=[why])


def _proposal() -> Json | None:
    try:
        return json.loads(PROPOSAL.read_text())  # type: ignore[no-any-return]  # JSON
    except FileNotFoundError:
        return None
