"""The uploader: puts every approved video where viewers are, the oldest first, each once.

By default that is a folder with feeds and pages; with `where="youtube"` it is YouTube, as far as the day's quota goes.
`upload.json` is written when a video is there, and says where. What has been learned from A/B tests by then decides its
title and description, and where nothing has, the default template does; `upload.json` says which. When the test of a
video that is there is decided later, the winner takes its place.
"""

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import channel_files as files
import video_texts
from angles import points_of
from uploads import local, youtube
from uploads.quota import Limits, Quota, Spent
from uploads.youtube import Video, YouTube

from overnight.base.clock import SystemClock, iso, to_datetime
from overnight.base.errors import PermanentError, TransientError, UserMistake, said_by
from overnight.base.ports import RunContext
from overnight.base.settings import environment

Json = dict[str, Any]  # Any: what an agent has written
SITE = str(files.DATA / "published")
SESSION = "uploading.json"
"""In a video's folder while it is on its way to YouTube: the session of the upload."""


def uploading(
    ctx: RunContext,
    *,
    where: str = "local",
    site: str = SITE,
    name: str = "The channel",
    address: str = "http://127.0.0.1:8000",
    privacy: str = "private",
    uploads_a_day: int = 100,
    units_a_day: int = 10_000,
    api: str = youtube.API,
    tokens: str = youtube.TOKENS,
    piece_bytes: int = 32 * youtube.STEP,
    pause_s: float = 1.0,
) -> Json:
    """Upload what is approved and not yet there.

    `site` is the folder of the local channel, `address` where it is served, `name` what it is called. The rest is for
    YouTube: who may see a video ("private", "unlisted", "public"), the day's quota, and the addresses of its API.

    A video whose files are broken stops no other: `problems` of the result says of each what is wrong.

    Raises:
        UserMistake: `where` is neither, or YouTube's variables are not in the environment.
        TransientError: some video could not be uploaded now; the others are, and the next run goes on.
        PermanentError: all that waits is broken, or the file that counts YouTube's quota is damaged.
    """
    if where == "local":
        target: _Local | _YouTube = _Local(Path(site), name, address.rstrip("/"))
    elif where == "youtube":
        clock = SystemClock()
        limits = Limits(uploads=uploads_a_day, units=units_a_day)
        quota = Quota(files.DATA / "youtube_quota.json", limits, to_datetime(clock.now_us()))
        quota.left()  # a damaged file is told once, not of each video
        made = YouTube(quota=quota, variables=environment(), api=api, tokens=tokens, piece_bytes=piece_bytes,
                       pause_s=pause_s)  # fmt: skip
        target = _YouTube(made, privacy)
    else:
        raise UserMistake(f"where: {where!r} is neither 'local' nor 'youtube'")
    with _alone():
        return _batch(ctx, target)


class _Local:
    """The folder."""

    where = "local"

    def __init__(self, site: Path, name: str, address: str) -> None:
        self._site, self._name, self._address = site, name, address

    def put(self, video_id: str, told: Json) -> Json:
        """Publish a video, and return what is said of it."""
        folder, script = files.folder_of(video_id), files.read(video_id, files.SCRIPT)
        assembly = files.read(video_id, files.ASSEMBLY)
        found = {one: folder / one for one in local.FILES if (folder / one).is_file()}
        if (folder / told["thumbnail"]).is_file():
            found["thumbnail.png"] = folder / told["thumbnail"]
        published = told.get("at") or iso(SystemClock().now_us())
        entry = {
            "video_id": video_id,
            "title": told["title"],
            "description": told["description"],
            "summary": " ".join(points_of(script["summary"])),
            "tags": told["tags"],
            "published": published,
            "duration_s": assembly["duration_s"],
            "chapters": assembly.get("chapters", []),
            "sources": video_texts.sources(script),
        }
        local.publish(self._site, entry, found)
        return {"where": self.where, "id": video_id, "url": f"{self._address}/videos/{video_id}/", "at": published}

    def rest(self, upload: Json, video_id: str) -> Json:
        """Return what is left to do for a video that is there: nothing."""
        return upload

    def change(self, video_id: str, upload: Json) -> None:
        """Give a video that is there another title, description and thumbnail."""
        self.put(video_id, upload)

    def finish(self) -> dict[str, str]:
        """Write pages and feeds, once after all videos; return what is wrong with videos that are there."""
        return local.write_site(self._site, name=self._name, address=self._address)


class _YouTube:
    """YouTube."""

    where = "youtube"

    def __init__(self, made: YouTube, privacy: str) -> None:
        self._made, self._privacy = made, privacy

    def put(self, video_id: str, told: Json) -> Json:
        """Upload a video, and return what is said of it."""
        state = files.folder_of(video_id) / SESSION
        found = self._made.upload(self._video(video_id, told), state)
        done = {
            "where": self.where,
            "id": found,
            "url": f"https://www.youtube.com/watch?v={found}",
            "left": self._parts(video_id),
        }
        return {**done, "at": iso(SystemClock().now_us())}

    def rest(self, upload: Json, video_id: str) -> Json:
        """Send captions and thumbnail, and return what is written down then."""
        folder = files.folder_of(video_id)
        youtube.forget(folder / SESSION)
        for part in list(upload["left"]):
            if part == "captions":
                self._made.captions(upload["id"], folder / files.VTT)
            else:
                self._made.thumbnail(upload["id"], folder / upload["thumbnail"])
            upload = {**upload, "left": [one for one in upload["left"] if one != part]}
            files.write(video_id, files.UPLOAD, upload)
        return upload

    def change(self, video_id: str, upload: Json) -> None:
        """Give a video that is there another title, description and thumbnail."""
        self._made.update(upload["id"], self._video(video_id, upload))
        picture = files.folder_of(video_id) / upload["thumbnail"]
        if picture.is_file():
            self._made.thumbnail(upload["id"], picture)

    def finish(self) -> dict[str, str]:
        """Return what is wrong with videos that are there: YouTube keeps them."""
        return {}

    def _video(self, video_id: str, told: Json) -> Video:
        return Video(
            path=files.folder_of(video_id) / files.VIDEO,
            title=told["title"],
            description=told["description"],
            tags=tuple(told["tags"]),
            marker=f"Reference: {video_id}",
            privacy=self._privacy,
        )

    def _parts(self, video_id: str) -> list[str]:
        folder = files.folder_of(video_id)
        has = (("captions", (folder / files.VTT).is_file()), ("thumbnail", any(folder.glob("thumbnail_*.png"))))
        return [part for part, there in has if there]


@dataclass(kw_only=True)
class _Batch:
    """What a run has done so far."""

    done: list[str] = field(default_factory=list)
    problems: list[Json] = field(default_factory=list)
    """What is broken, and will be the next time."""
    failed: list[Json] = field(default_factory=list)
    """What may go well the next time."""
    spent: str | None = None


def _batch(ctx: RunContext, target: _Local | _YouTube) -> Json:
    there = [one for one in files.videos() if files.has(one, files.UPLOAD)]
    waiting, problems = files.approved(files.waiting_for(files.UPLOAD, needs=(files.COMMITTEE, files.ASSEMBLY)))
    batch, tests = _Batch(problems=problems), _tests()
    for number, video_id in enumerate([*there, *waiting]):
        ctx.progress(number, len(there) + len(waiting), video=video_id)
        _try(batch, video_id, target, tests, put=number >= len(there))
        if batch.spent and number >= len(there):
            break
    batch.problems += [{"video_id": one, "why": why} for one, why in target.finish().items()]
    ctx.count("videos_uploaded", len(batch.done))
    told = files.listed([*batch.failed, *batch.problems])
    if batch.failed:
        raise TransientError(f"{len(batch.done)} uploaded, {len(batch.failed) + len(batch.problems)} not: {told}")
    if batch.problems and not batch.done:
        raise PermanentError(f"nothing could be uploaded: {told}")
    if batch.problems:
        print(f"left out: {told}")  # noqa: T201 -- the run's log
    left = [one for one in waiting if one not in batch.done]
    return {"video_id": batch.done[0] if batch.done else None, "uploaded": batch.done, "waiting": left,
            "spent": batch.spent, "problems": batch.problems}  # fmt: skip


def _try(batch: _Batch, video_id: str, target: _Local | _YouTube, tests: Sequence[Json], *, put: bool) -> None:
    """Put a video where viewers are, or see after one that is there; what goes wrong with it is written down."""
    try:
        if put:
            _put(video_id, target, tests)
            batch.done.append(video_id)
        _kept_up(video_id, target)
    except Spent as error:
        batch.spent = said_by(error)
    except files.BROKEN as error:
        batch.problems.append(files.broken(video_id, error))
    except (TransientError, OSError) as error:
        batch.failed.append(files.broken(video_id, error))


def _put(video_id: str, target: _Local | _YouTube, tests: Sequence[Json]) -> None:
    files.need(video_id, files.VIDEO)
    told = texts(video_id, tests)
    upload = {**told, **target.put(video_id, told)}
    files.write(video_id, files.UPLOAD, upload)


def _kept_up(video_id: str, target: _Local | _YouTube) -> None:
    """Do what is left for a video that is there, and let the winner of its test take the place of what it has."""
    upload = files.read(video_id, files.UPLOAD)
    if upload["where"] != target.where:
        return  # it went to the other one, before the setting was changed
    upload = target.rest(upload, video_id)
    test = files.read(video_id, files.AB) if files.has(video_id, files.AB) else {}
    if test.get("status") != "decided" or test["winner"] == upload["variant"]:
        return
    winner = next(one for one in test["variants"] if one["variant"] == test["winner"])
    upload = {**upload, **winner, "texts_by": f"A/B test {test['test_id']}: {test['why']}"}
    target.change(video_id, upload)
    files.write(video_id, files.UPLOAD, upload)


def texts(video_id: str, tests: Sequence[Json]) -> Json:
    """Return title, description, tags and thumbnail of a video, and by which of the A/B tests they were chosen."""
    topic, script, assembly = (files.read(video_id, one) for one in (files.TOPIC, files.SCRIPT, files.ASSEMBLY))
    offered = {one["style"]: one for one in video_texts.variants(topic, script, assembly)}
    style, why = video_texts.preferred(tests, offered)
    chosen = offered.get(style, next(iter(offered.values())))
    return {"video_id": video_id, **chosen, "tags": video_texts.tags(topic, script), "texts_by": why}


def _tests() -> list[Json]:
    """Return the A/B tests that can be read; a damaged one says nothing, and its video is told of it."""
    tests = []
    for test in files.every(files.AB).values():
        with suppress(*files.BROKEN):
            video_texts.preferred([test])
            tests.append(test)
    return tests


@contextmanager
def _alone() -> Iterator[None]:
    """Be the only uploader of this project; the kernel lets go of the lock when a process dies.

    Raises:
        TransientError: another one is at work.
    """
    files.DATA.mkdir(parents=True, exist_ok=True)
    with (files.DATA / "uploading.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(
                "another upload of this project is at work; this one waits for its next turn"
            ) from None
        yield
