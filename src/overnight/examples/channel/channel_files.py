"""The files of the channel's videos: `.overnight/data/videos/VIDEO_ID/`. Which files are there is a video's state.

Each agent reads what the agents before it wrote, and writes its own file only, as a whole and in one step. So an agent
that was killed leaves nothing half done, and its next run finds the same video again: `waiting_for` looks at files, not
at what somebody remembers. A video's id begins with the instant that it is made for: the oldest is the first by name.

A task's function works in the project's folder, which is where `root` points when it is left out.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from overnight.base.errors import OvernightError, PermanentError, UnknownName, said_by
from overnight.base.files import stamp_of, write_json

Json = dict[str, Any]  # Any: what an agent has written
T = TypeVar("T")

DATA = Path(".overnight") / "data"
"""Where a project keeps what its agents make."""
FOLDER = DATA / "videos"
RECOMMENDATIONS = DATA / "recommendations.json"
"""What the analytics committee writes, and curator and trend scout read; `analytics` says what is in it."""
TOPIC, SCRIPT, LESSON, VOICE = "topic.json", "script.json", "lesson.json", "voice.json"
ASSEMBLY, REVIEW, COMMITTEE, AB, UPLOAD = "assembly.json", "review.json", "committee.json", "ab.json", "upload.json"
VIDEO, SRT, VTT = "video.mp4", "captions.srt", "captions.vtt"
REFUSED = "refused.json"
"""{video_id, by, reason}: an agent cannot make its part, and will not the next time. The video goes no further."""
BROKEN = (PermanentError, UnknownName, FileNotFoundError, LookupError, TypeError, ValueError, AttributeError,
          StopIteration)  # fmt: skip
"""What is raised where files of a video are gone, damaged, or hold something else than they should."""
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,119}")


def videos_folder(root: Path | None = None) -> Path:
    """Return where the videos of a project are; `root` is the project's folder."""
    return (root or Path()) / FOLDER


def video_id_of(slot: str, topic: str) -> str:
    """Return the id of the video for a slot (ISO 8601, UTC: 2026-07-04T00:00) and a topic.

    The same slot and topic give the same id, so a curator that is run twice makes one video.
    """
    slug = "-".join(re.findall(r"[a-z0-9]+", topic.lower()))[:80].strip("-")
    return f"{stamp(slot)}-{slug or 'video'}"


def stamp(slot: str) -> str:
    """Return what the ids of a slot's videos begin with: the digits of its instant, to the minute."""
    return re.sub(r"\D", "", slot)[:12]


def folder_of(video_id: str, *, root: Path | None = None) -> Path:
    """Return the folder of a video, whether it is there or not.

    Raises:
        UnknownName: the id is none; it could name a file elsewhere.
    """
    if not isinstance(video_id, str) or not _ID.fullmatch(video_id):
        raise UnknownName(f"video_id: {video_id!r} is no id of a video (letters a-z, digits and - only)")
    return videos_folder(root) / video_id


def videos(*, root: Path | None = None) -> list[str]:
    """Return the ids of all videos that have a topic, the oldest first."""
    found = (path.parent.name for path in videos_folder(root).glob(f"*/{TOPIC}"))
    return sorted(name for name in found if _ID.fullmatch(name))


def has(video_id: str, name: str, *, root: Path | None = None) -> bool:
    """Tell whether a video has a file."""
    return (folder_of(video_id, root=root) / name).is_file()


def read(video_id: str, name: str, *, root: Path | None = None) -> Json:
    """Return what is in a JSON file of a video.

    Raises:
        UnknownName: there is no such video, or the video has no such file.
        PermanentError: the file holds no JSON object.
    """
    path = folder_of(video_id, root=root) / name
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        what = (
            f"the video {video_id!r} has no {name} yet" if path.parent.is_dir() else f"there is no video {video_id!r}"
        )
        raise UnknownName(f"{what}; there are {', '.join(videos(root=root)[-3:]) or 'no videos'}") from None
    except ValueError as error:
        raise PermanentError(f"{path}: cannot be read: {said_by(error)}; remove it to have it made again") from None
    if not isinstance(found, dict):
        raise PermanentError(f"{path}: is not a JSON object; remove it to have it made again")
    return found


def need(video_id: str, name: str, *, root: Path | None = None) -> Path:
    """Return where a file of a video is that another agent has made and that is no JSON.

    Raises:
        PermanentError: it is gone, or empty.
    """
    path = folder_of(video_id, root=root) / name
    if (stamp_of(path) or (0, 0))[1] == 0:
        raise PermanentError(f"{path}: is gone or empty; remove {ASSEMBLY} beside it to have it made again")
    return path


def broken(video_id: str, error: BaseException) -> Json:
    """Return what a result tells of a video whose files cannot be used."""
    plain = isinstance(error, OvernightError | OSError)
    why = said_by(error) if plain else f"its files hold something else than they should: {said_by(error)}"
    return {"video_id": video_id, "why": why}


def every(name: str, *, root: Path | None = None) -> dict[str, Json]:
    """Return what is in a JSON file of each video that has it, by the ids of the videos, the oldest first.

    A damaged one is left out: it stops no other video, and whoever works on its own video tells of it.
    """
    found = {}
    for one in videos(root=root):
        if has(one, name, root=root):
            with suppress(PermanentError, UnknownName):
                found[one] = read(one, name, root=root)
    return found


def write(video_id: str, name: str, value: Json, *, root: Path | None = None) -> Path:
    """Replace a JSON file of a video in one step, and return where it is."""
    path = folder_of(video_id, root=root) / name
    write_json(path, value)
    return path


def each(ids: Iterable[str], do: Callable[[str], T], problems: list[Json]) -> Iterator[tuple[str, T]]:
    """Do something with each video; where the files of one are broken, that is added to the problems."""
    for one in ids:
        try:
            done = do(one)
        except BROKEN as error:
            problems.append(broken(one, error))
        else:
            yield one, done


def approved(waiting: Iterable[str], *, root: Path | None = None) -> tuple[list[str], list[Json]]:
    """Return those of the videos that the committee has approved, and those of which it cannot be read, with why."""
    problems = list[Json]()
    decided = each(waiting, lambda one: read(one, COMMITTEE, root=root)["decision"], problems)
    return [one for one, decision in decided if decision == "approve"], problems


def listed(problems: Iterable[Json]) -> str:
    """Return what is wrong with videos on one line."""
    return "; ".join(f"{one['video_id']}: {one['why']}" for one in problems)


def refuse(video_id: str, *, by: str, reason: str, root: Path | None = None) -> None:
    """Write down that a video goes no further, and why: it waits for nobody any more."""
    write(video_id, REFUSED, {"video_id": video_id, "by": by, "reason": reason}, root=root)


def waiting_for(makes: str, *, needs: str | Iterable[str], root: Path | None = None) -> list[str]:
    """Return the videos that have all files of `needs` and not the file `makes`, the oldest first.

    A video that was refused is none of them.
    """
    needed = [needs] if isinstance(needs, str) else list(needs)
    return [
        video_id
        for video_id in videos(root=root)
        if not has(video_id, makes, root=root)
        and not has(video_id, REFUSED, root=root)
        and all(has(video_id, name, root=root) for name in needed)
    ]


def next_for(makes: str, *, needs: str | Iterable[str], root: Path | None = None) -> str | None:
    """Return the oldest video of `waiting_for`; None where nothing waits."""
    return next(iter(waiting_for(makes, needs=needs, root=root)), None)
