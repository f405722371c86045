"""Reads what viewers did: from a file, from an HTTP address, or from YouTube Analytics. Nothing else writes views.

A source is JSON, with what came since each video was published:

    {"rows": [{"video_id": "...", "variant": "a", "impressions": 21000, "views": 1100, "likes": 40,
               "watched": [12, 30, ..., 310]}]}

`impressions` says how often a video was offered, `views` how often it was begun (all of these from an impression),
`watched` how many views lasted 0, 1, ... 10 tenths of the video. Only `video_id` and `views` have to be there;
`variant` says of which variant of an A/B test a row is; a video has one row, or one for each of its variants. A table
as YouTube Analytics answers it (`columnHeaders` and `rows`) will do as well; its videos are known by the ids that the
uploader got.
"""

import json
import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import channel_files as files

from overnight.base.errors import UserMistake
from overnight.base.files import text_of
from overnight.resources.probes.call import call, parsed

TIMEOUT_S = 20.0
TENTHS = 11
MOST = 10**12
"""Of anything that is counted; more is a mistake of whoever wrote it."""
_COLUMNS = {
    "video": "video_id",
    "views": "views",
    "likes": "likes",
    "videoThumbnailImpressions": "impressions",
    "averageViewPercentage": "average_percent",
}
NO_HEADERS: Mapping[str, str] = {}


@dataclass(frozen=True, kw_only=True)
class Row:
    """What came of a video, or of one variant of it, so far; None where the source does not tell.

    `watched` counts views by tenths of the video; `average_watched` is the mean share of the video, 0 to 1. `left_out`
    has a line for each figure that cannot be.
    """

    video_id: str
    views: int
    variant: str | None = None
    impressions: int | None = None
    likes: int | None = None
    watched: tuple[int, ...] = ()
    average_watched: float | None = None
    left_out: tuple[str, ...] = ()


def read(source: str, *, headers: Mapping[str, str] = NO_HEADERS, root: Path | None = None) -> list[Row]:
    """Return the rows of a source: the path of a file (in the project's folder, where it is relative), or an address.

    Raises:
        UserMistake: it cannot be read, a row is not what it has to be, or its views count twice; the message names it.
        TransientError: the address does not answer.
    """
    if source.startswith(("http://", "https://")):
        parsed(source, "metrics")
        text = call("GET", source, timeout_s=TIMEOUT_S, headers=headers).decode(errors="replace")
    else:
        text = text_of((root or Path()) / source)
    try:
        told = json.loads(text)
    except (ValueError, RecursionError):
        raise UserMistake(f'{source}: is no JSON; {{"rows": [{{"video_id": ..., "views": ...}}]}} is meant') from None
    rows = told.get("rows") if isinstance(told, dict) else None
    if not isinstance(rows, list):
        raise UserMistake(f'{source}: has no list "rows"')
    table = "columnHeaders" in told
    if table:
        rows = _named(told["columnHeaders"], rows, source)
    found = {number: _row(row, f"{source}: row {number}") for number, row in enumerate(rows, start=1)}
    if table:
        known = ids_elsewhere(root)
        found = {n: replace(row, video_id=known[row.video_id]) for n, row in found.items() if row.video_id in known}
    _check_counted_once(found, source)
    return list(found.values())


def ids_elsewhere(root: Path | None = None) -> dict[str, str]:
    """Return our ids of videos by the ids that they have where they were uploaded."""
    return {str(upload["id"]): video_id for video_id, upload in files.every(files.UPLOAD, root=root).items()}


def whole(rows: Sequence[Row]) -> dict[str, Row]:
    """Return one row for each video, the sum of its variants' rows."""
    found: dict[str, Row] = {}
    for row in rows:
        found[row.video_id] = _sum(found[row.video_id], row) if row.video_id in found else row
    return found


def _sum(one: Row, other: Row) -> Row:
    both = bool(one.watched and other.watched)
    return Row(
        video_id=one.video_id,
        views=one.views + other.views,
        impressions=_plus(one.impressions, other.impressions),
        likes=_plus(one.likes, other.likes),
        watched=tuple(map(sum, zip(one.watched, other.watched, strict=True))) if both else (),
        left_out=(*one.left_out, *other.left_out),
    )


def _plus(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other


def _named(headers: object, rows: Sequence[Any], source: str) -> list[dict[str, Any]]:
    try:
        names = [_COLUMNS.get(one["name"], one["name"]) for one in headers]  # type: ignore[attr-defined]
        return [dict(zip(names, row, strict=True)) for row in rows]
    except (TypeError, KeyError, ValueError):
        raise UserMistake(f"{source}: columnHeaders and rows do not fit together") from None


def _row(told: object, where: str) -> Row:
    if not isinstance(told, dict) or not isinstance(told.get("video_id"), str):
        raise UserMistake(f'{where}: has no "video_id"')
    watched, variant = told.get("watched", []), told.get("variant")
    if variant is not None and not isinstance(variant, str):
        raise UserMistake(f"{where}: variant: {reprlib.repr(variant)} is no name")
    if not isinstance(watched, list) or len(watched) not in (0, TENTHS):
        raise UserMistake(f"{where}: watched: {TENTHS} counts are meant, one for each tenth of the video from 0 to 10")
    for number in (told.get("views"), *watched):
        _check(number, where)
    for name in ("impressions", "likes"):
        _check(told.get(name, 0), where)
    views, impressions = told["views"], told.get("impressions")
    if impressions is not None and views > impressions:
        raise UserMistake(f"{where}: has {views} views of {impressions} impressions; a view comes from an impression")
    if watched and sum(watched) != views:
        raise UserMistake(f"{where}: watched has {sum(watched)} views in all, and views says {views}")
    likes, too_many = _likes(told.get("likes"), views, where)
    average, no_share = _average(told.get("average_percent"), where)
    return Row(
        video_id=told["video_id"],
        variant=variant,
        views=views,
        impressions=impressions,
        likes=likes,
        watched=tuple(watched),
        average_watched=average,
        left_out=(*too_many, *no_share),
    )


def _likes(likes: int | None, views: int, where: str) -> tuple[int | None, list[str]]:
    """Return the likes, and why they are left out: nobody likes a video who has not begun it."""
    if likes is None or likes <= views:
        return likes, []
    return None, [f"{where}: {likes:,} likes of {views:,} views cannot be; the likes are left out"]


def _average(percent: object, where: str) -> tuple[float | None, list[str]]:
    """Return a mean share of the video, and why it is left out.

    Raises:
        UserMistake: it is no number.
    """
    if percent is None:
        return None, []
    if not isinstance(percent, int | float) or isinstance(percent, bool):
        raise UserMistake(f"{where}: average_percent: {reprlib.repr(percent)} is no number")
    if 0 <= percent <= 100:
        return percent / 100, []
    return None, [f"{where}: average_percent: {reprlib.repr(percent)} is not from 0 to 100; it is left out"]


def _check(number: object, where: str) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= MOST:
        raise UserMistake(
            f"{where}: {reprlib.repr(number)} is no count; views (and impressions, likes, watched) are whole numbers"
        )


def _check_counted_once(rows: Mapping[int, Row], source: str) -> None:
    """Refuse what would count views twice: two rows of one thing, or a video as a whole beside its variants."""
    seen: dict[str, dict[str | None, int]] = {}
    for number, row in rows.items():
        mine = seen.setdefault(row.video_id, {})
        if row.variant in mine:
            what = row.video_id if row.variant is None else f"{row.video_id}, variant {row.variant}"
            raise UserMistake(f"{source}: rows {mine[row.variant]} and {number} are both of {what}; one is meant")
        mine[row.variant] = number
        if None in mine and len(mine) > 1:
            whole_row, part = mine.pop(None), next(iter(mine.values()))
            raise UserMistake(
                f"{source}: row {whole_row} is of {row.video_id} as a whole, and row {part} of one of its variants: "
                "their views would count twice; give either"
            )
