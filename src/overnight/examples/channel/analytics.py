"""The analytics committee: finds winners and underperformers, and writes down what follows for the next videos.

It writes `.overnight/data/recommendations.json`, which the curator reads for topics and angles, and the trend scout for
the style guide:

    {made_at, source, videos, findings: [...], winners: [ids], underperformers: [ids], split: [ids],
     too_few_views: [ids], left_out: [lines], topics: [{topic, change, reason}], angles: [{angle, change, reason}], why}

`change` lies between -1 and 1: by which part of the others' figure the furthest figure of these videos is above or
below.

Without a source of metrics, and of videos with too few views, it says nothing, and says so.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import channel_files as files
import metrics_reading
from findings import Finding, as_json, by_trait, findings, too_few, verdicts
from metrics_reading import Row, whole
from uploads import youtube

from overnight.base.clock import SystemClock, iso, to_datetime
from overnight.base.files import write_json
from overnight.base.ports import RunContext
from overnight.base.settings import environment

Json = dict[str, Any]  # Any: what an agent has written
YOUTUBE_ANALYTICS = "https://youtubeanalytics.googleapis.com/v2/reports"
SINCE_DAYS = 90
TOLD = ("videos", "winners", "underperformers", "split", "left_out", "topics", "angles", "why")


def analytics(ctx: RunContext, metrics: str = "", api: str = YOUTUBE_ANALYTICS, tokens: str = youtube.TOKENS) -> Json:
    """Read the metrics, judge, and write the recommendations.

    `metrics` is the path of a file, an address (see `metrics_reading`), or "youtube" for YouTube Analytics.
    """
    rows, why = [], "no source of metrics is set (the argument metrics of the task)"
    if metrics:
        rows, why = list(whole(_rows(metrics, api, tokens)).values()), ""
    told = recommended(rows, _traits("topic"), _traits("angle"))
    if metrics and not told["findings"]:
        why = "no video stands out yet"
    made = {"made_at": iso(SystemClock().now_us()), "source": metrics or None, **told, "why": why}
    write_json(files.RECOMMENDATIONS, made)
    ctx.progress(1, 1, videos=len(rows), findings=len(told["findings"]))
    return {name: made[name] for name in TOLD}


def recommended(rows: Sequence[Row], topics: Mapping[str, str], angles: Mapping[str, str]) -> Json:
    """Return what the figures say, and what follows for topics and angles."""
    found = findings(rows)
    sides = verdicts(found)
    return {
        "videos": len(rows),
        "findings": [as_json(one) for one in found],
        "winners": [one for one, side in sides.items() if side == "winner"],
        "underperformers": [one for one, side in sides.items() if side == "underperformer"],
        "split": [one for one, side in sides.items() if side == "split"],
        "too_few_views": too_few(rows),
        "left_out": [line for row in rows for line in row.left_out],
        "topics": _preferred("topic", topics, found),
        "angles": _preferred("angle", angles, found),
    }


def _preferred(name: str, traits: Mapping[str, str], found: Sequence[Finding]) -> list[Json]:
    """Return what is wanted more or less often: where the videos of a kind do not point in two directions."""
    told = []
    for trait, sides in by_trait(traits, found).items():
        up, down = sides.get("winner", []), sides.get("underperformer", [])
        if bool(up) is not bool(down):
            mine = [one for one in found if one.video_id in (up or down)]
            change = max(map(_change, mine), key=abs)
            reason = "; ".join(f"{one.video_id}: {one.words}" for one in mine)
            told.append({name: trait, "change": round(change, 3), "reason": reason})
    return told


def _change(one: Finding) -> float:
    """Return by which part of the others' figure a video's is above or below; all of it above where they have none."""
    return max(-1.0, min(1.0, one.value / one.others - 1)) if one.others else 1.0


def _traits(name: str) -> dict[str, str]:
    return {one: str(topic[name]) for one, topic in files.every(files.TOPIC).items() if topic.get(name)}


def _rows(metrics: str, api: str, tokens: str) -> list[Row]:
    if metrics != "youtube":
        return metrics_reading.read(metrics)
    now = to_datetime(SystemClock().now_us())
    first = (now - timedelta(days=SINCE_DAYS)).date().isoformat()
    headers = youtube.authorised(environment(), tokens)
    return metrics_reading.read(youtube.analytics(api, first, now.date().isoformat()), headers=headers)
