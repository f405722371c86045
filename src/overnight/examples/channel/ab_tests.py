"""The A/B test orchestrator: tries three variants of each video's title, thumbnail and description.

A test is begun for each approved video. It goes on as long as the evidence names no winner, which may be for ever, and
without a source of metrics it stays where it is: views come from `metrics_reading` and from nowhere else.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import channel_files as files
import metrics_reading
from ab_evidence import Arm, begun, gone_on, verdict
from metrics_reading import Row
from video_texts import VARIANTS, variants

from overnight.base.clock import SystemClock, iso
from overnight.base.errors import OvernightError, UserMistake, said_by
from overnight.base.ports import RunContext

Json = dict[str, Any]  # Any: what an agent has written
NO_SOURCE = "no source of metrics is set (the argument metrics of the task)"


def ab_tests(ctx: RunContext, metrics: str = "", video_id: str | None = None) -> Json:
    """Begin the tests of approved videos, and take up what the metrics say of those that go on.

    `metrics` is the path of a file or an address (see `metrics_reading`). A video whose files are broken stops no
    other test: `problems` of the result says of each what is wrong.

    Raises:
        UnknownName: there is no video `video_id`, or the committee has not decided on it.
    """
    if video_id:
        files.read(video_id, files.COMMITTEE)  # who names a video is told at once that it is none
    waiting = [video_id] if video_id else files.waiting_for(files.AB, needs=(files.COMMITTEE, files.ASSEMBLY))
    approved, problems = files.approved(waiting)
    begun_now = [one for one, told in files.each(approved, _begin, problems) if told]
    there = [one for one in files.videos() if files.has(one, files.AB)]
    going_on = [one for one, state in files.each(there, _state, problems) if state == "collecting"]
    rows, why = _rows(metrics)
    decided = []
    for number, (one, test) in enumerate(files.each(going_on, lambda one: _gone_on(one, rows, why), problems)):
        ctx.progress(number, len(going_on), video=one)
        if test["status"] == "decided":
            decided.append({"video_id": one, "winner": test["winner"], "why": test["why"]})
    if problems:
        print(f"left out: {files.listed(problems)}")  # noqa: T201 -- the run's log
    return {"video_id": begun_now[0] if begun_now else None, "begun": begun_now, "going_on": len(going_on),
            "decided": decided, "metrics": why or metrics, "problems": problems}  # fmt: skip


def _gone_on(video_id: str, rows: Sequence[Row] | None, no_rows: str | None) -> Json:
    test = taken_up(files.read(video_id, files.AB), rows, no_rows)
    files.write(video_id, files.AB, test)
    return test


def test_of(video_id: str, root: Path | None = None) -> Json:
    """Return the test of a video before anybody has seen it."""
    topic, script, assembly = (
        files.read(video_id, name, root=root) for name in (files.TOPIC, files.SCRIPT, files.ASSEMBLY)
    )
    evidence = begun(VARIANTS)
    return {
        "test_id": f"ab-{video_id}",
        "video_id": video_id,
        "begun_at": iso(SystemClock().now_us()),
        "variants": variants(topic, script, assembly),
        "status": "collecting",
        "why": NO_SOURCE,
        "views": dict.fromkeys(VARIANTS, 0),
        "evidence": evidence,
    }


def taken_up(test: Json, rows: Sequence[Row] | None, no_rows: str | None) -> Json:
    """Return a test after a reading of the metrics; as it was, with the reason, where they say nothing of it."""
    if rows is None:
        return {**test, "why": no_rows}
    arms = _arms(test, rows)
    if arms is None:
        return {**test, "why": "the metrics have no impressions and views of each variant of this video yet"}
    try:
        evidence = gone_on(test["evidence"], arms)
    except UserMistake as error:
        return {**test, "why": f"the last reading was left out: {error}"}
    said = verdict(evidence)
    gone = {
        **test,
        "evidence": evidence,
        "views": {name: arm.views for name, arm in arms.items()},
        "figures": dict(said.figures),
        "why": said.why,
    }
    if said.winner is not None:
        gone |= {"status": "decided", "winner": said.winner, "criterion": said.criterion}
        gone["decided_at"] = iso(SystemClock().now_us())
    return gone


def _arms(test: Json, rows: Sequence[Row]) -> Mapping[str, Arm] | None:
    names = [one["variant"] for one in test["variants"]]
    mine = {row.variant: row for row in rows if row.video_id == test["video_id"] and row.variant in names}
    if set(mine) != set(names) or any(row.impressions is None for row in mine.values()):
        return None
    return {
        str(name): Arm(impressions=row.impressions or 0, views=row.views, watched=row.watched)
        for name, row in mine.items()
    }


def _rows(metrics: str) -> tuple[list[Row] | None, str | None]:
    """Return the rows, or why there are none: a source that does not answer stops no test from beginning."""
    if not metrics:
        return None, NO_SOURCE
    try:
        return metrics_reading.read(metrics), None
    except OvernightError as error:
        return None, said_by(error)


def _begin(video_id: str) -> bool:
    if files.has(video_id, files.AB):
        return False
    files.write(video_id, files.AB, test_of(video_id))
    return True


def _state(video_id: str) -> str:
    return str(files.read(video_id, files.AB)["status"])
