"""Uploads to YouTube that go on after any crash and never happen twice.

The protocol is YouTube's resumable one (developers.google.com/youtube/v3/guides/using_resumable_upload_protocol). A
session is asked for, and its address is on disk before the first byte of the video is sent; a session without bytes
makes no video. Before the last byte is sent, it is on disk that the upload may have ended. From then on, and whenever a
session is taken up again, the server is asked by the session how much it has, and nothing is sent before it answers. A
session that is gone after it may have ended leaves one place to look: the channel's own uploads, for the line that
each description ends with. Only where that is not found, the video is sent again.

Google's client is not used: it keeps the address of a session to itself, and that is what has to be on disk.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from overnight.base.errors import ConfigError, PermanentError, TransientError, said_by
from overnight.base.files import stamp_of, sync_folder, write_json
from uploads.quota import COSTS, UNITS, UPLOADS, Quota
from uploads.wire import Broken, Part, Reply, ask

Json = dict[str, Any]  # Any: JSON
API = "https://www.googleapis.com"
TOKENS = "https://oauth2.googleapis.com/token"
SECRETS = ("YOUTUBE_CLIENT_ID", "YOUTUBE_CLIENT_SECRET", "YOUTUBE_REFRESH_TOKEN")
STEP = 256 * 1024
"""Pieces of an upload, but the last one, are a whole number of these."""
TRIES = 5
PAGES = 20
"""Pages of 50 of the newest uploads that are looked through for a video whose session is gone: 1,000 videos, ten days
of 100 each, for 20 units of the day's 10,000. What lies further back is sent again."""
_TIMEOUT_S = 60.0
_LONGEST_S = 60.0


@dataclass(frozen=True, kw_only=True)
class Video:
    """What is uploaded. `marker` is the last line of its description, by which it can be found again."""

    path: Path
    title: str
    description: str
    tags: tuple[str, ...]
    marker: str
    privacy: str = "private"
    category: str = "27"
    language: str = "en"

    def resource(self) -> Json:
        """Return it as YouTube takes it."""
        return {"snippet": self.snippet(), "status": {"privacyStatus": self.privacy, "selfDeclaredMadeForKids": False}}

    def snippet(self) -> Json:
        """Return what a viewer reads."""
        return {
            "title": self.title,
            "description": f"{self.description}\n\n{self.marker}",
            "tags": list(self.tags),
            "categoryId": self.category,
            "defaultLanguage": self.language,
        }


@dataclass(kw_only=True)
class YouTube:
    """The API for one run of the uploader. `piece_bytes` are sent at a time; `pause_s` is the first wait of a retry."""

    quota: Quota
    variables: Mapping[str, str]
    api: str = API
    tokens: str = TOKENS
    piece_bytes: int = 32 * STEP
    pause_s: float = 1.0
    _token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        missing = missing_of(self.variables)
        if missing:
            raise ConfigError(f"uploads to YouTube need {missing} in the environment; or use where = 'local'")
        if self.piece_bytes < STEP or self.piece_bytes % STEP:
            raise ConfigError(f"piece_bytes: {self.piece_bytes!r} is not a multiple of {STEP}")

    def upload(self, video: Video, state: Path) -> str:
        """Upload a video, or go on with it, and return its id. `state` is the file that remembers the session.

        Raises:
            Spent: the day's uploads are spent; the session, if there is one, stays for the next day.
            TransientError: the server does not answer; the session stays.
            PermanentError: the server refuses the video.
        """
        known = _read(state)
        stamp = list(stamp_of(video.path) or (0, 0))
        if known and known["stamp"] != stamp and not known["may_have_ended"]:
            known = None  # another file by now, and the old one cannot have become a video
        had = None if known is None else self._had(known, video)
        if isinstance(had, str):
            return had
        if known is None or had is None or known["stamp"] != stamp:
            known, had = self._begun(video, stamp, state), 0
        return self._sent(known, had, video, state)

    def captions(self, youtube_id: str, path: Path, language: str = "en") -> None:
        """Add captions; those of the same language and name that are there already are left."""
        about = {"snippet": {"videoId": youtube_id, "language": language, "name": "", "isDraft": False}}
        url = f"{self.api}/upload/youtube/v3/captions?uploadType=multipart&part=snippet"
        kind = "multipart/related; boundary=overnight-part"
        body = _two_parts(about, path.read_bytes(), "text/vtt")
        reply = self._metered("captions", "POST", url, {"Content-Type": kind}, body)
        if reply.status != 409:
            _check(reply, "captions")

    def thumbnail(self, youtube_id: str, path: Path) -> None:
        """Set the picture of a video; setting it again changes nothing."""
        url = f"{self.api}/upload/youtube/v3/thumbnails/set?uploadType=media&videoId={quote(youtube_id)}"
        _check(self._metered("thumbnail", "POST", url, {"Content-Type": "image/png"}, path.read_bytes()), "thumbnail")

    def update(self, youtube_id: str, video: Video) -> None:
        """Change title, description and tags; doing it again changes nothing."""
        body = json.dumps({"id": youtube_id, "snippet": video.snippet()}).encode()
        url = f"{self.api}/youtube/v3/videos?part=snippet"
        _check(self._metered("update", "PUT", url, {"Content-Type": "application/json"}, body), "update")

    def _begun(self, video: Video, stamp: list[int], state: Path) -> Json:
        """Ask for a session and write its address down."""
        url = f"{self.api}/upload/youtube/v3/videos?uploadType=resumable&part=snippet,status"
        headers = {
            "Content-Type": "application/json; charset=UTF-8",
            "X-Upload-Content-Type": "video/mp4",
            "X-Upload-Content-Length": str(stamp[1]),
        }
        self.quota.take(UPLOADS)
        reply = self._patiently("POST", url, headers, json.dumps(video.resource()).encode())
        self._check_upload(reply)
        session = reply.headers.get("location")
        if not session:
            raise TransientError("YouTube answered without the address of a session")
        known = {"session": session, "stamp": stamp, "may_have_ended": False}
        write_json(state, known)
        return known

    def _had(self, known: Json, video: Video) -> int | str | None:
        """Ask how far a session is: its bytes, or the id of the video that came of it; None: it is gone for nothing."""
        size = known["stamp"][1]
        reply = self._patiently("PUT", known["session"], {"Content-Range": f"bytes */{size}"}, b"")
        if reply.status in (404, 410):
            return self._found(video) if known["may_have_ended"] else None
        if reply.status == 308:
            return _received(reply)
        self._check_upload(reply)
        return _id_of(reply)

    def _found(self, video: Video) -> str | None:
        """Look for the video among the channel's newest uploads, page by page."""
        asked = {"part": "contentDetails", "mine": "true"}
        [channel, *_] = self._listed("channels", asked)["items"]
        asked = {
            "part": "snippet",
            "maxResults": "50",
            "playlistId": channel["contentDetails"]["relatedPlaylists"]["uploads"],
        }
        for _ in range(PAGES):
            page = self._listed("playlistItems", asked)
            for item in page["items"]:
                if item["snippet"]["description"].endswith(video.marker):
                    return str(item["snippet"]["resourceId"]["videoId"])
            if "nextPageToken" not in page:
                break
            asked["pageToken"] = page["nextPageToken"]
        return None

    def _listed(self, what: str, asked: Mapping[str, str]) -> Json:
        reply = self._metered("list", "GET", f"{self.api}/youtube/v3/{what}?{urlencode(asked)}", {}, b"")
        _check(reply, what)
        return json.loads(reply.body)  # type: ignore[no-any-return]  # JSON

    def _sent(self, known: Json, offset: int, video: Video, state: Path) -> str:
        """Send what is missing, and return the id of the video."""
        size, stuck = known["stamp"][1], 0
        while stuck < TRIES:
            part = Part(path=video.path, begin=offset, size=min(self.piece_bytes, size - offset))
            if part.begin + part.size == size and not known["may_have_ended"]:
                known = known | {"may_have_ended": True}
                write_json(state, known)
            reply = self._piece(known["session"], part, size)
            if reply is not None and reply.status == 308:
                had: int | str | None = _received(reply)
            elif reply is not None and reply.status in (200, 201):
                return _id_of(reply)
            elif reply is not None and reply.status < 500 and reply.status not in (401, 404, 410):
                self._check_upload(reply)
            else:
                had = self._had(known, video)  # nobody knows what arrived
            if had is None:
                break
            if isinstance(had, str):
                return had
            stuck = stuck + 1 if had <= offset else 0
            if stuck:
                time.sleep(min(_LONGEST_S, self.pause_s * 2 ** (stuck - 1)))
            offset = had
        raise TransientError("the upload does not get on; the next try asks first what became of it")

    def _piece(self, session: str, part: Part, size: int) -> Reply | None:
        """Send a piece and return the answer; None where nobody knows whether it arrived."""
        headers = {**self._authorised(), "Content-Type": "video/mp4"}
        headers["Content-Range"] = f"bytes {part.begin}-{part.begin + part.size - 1}/{size}"
        try:
            reply = ask("PUT", session, headers, part, timeout_s=_TIMEOUT_S)
        except Broken:
            return None
        if reply.status == 401:
            self._token = ""
        return reply

    def _metered(self, what: str, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Ask for something that costs units."""
        self.quota.take(UNITS, COSTS[what])
        reply = self._patiently(method, url, headers, body)
        if reply.status == 429 or _reason(reply) == "quotaExceeded":
            raise self.quota.spent(UNITS)
        return reply

    def _patiently(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        """Ask, and again where the server has a fault or nothing gets through; for requests that may be repeated."""
        why = ""
        for attempt in range(TRIES):
            if attempt:
                time.sleep(min(_LONGEST_S, self.pause_s * 2 ** (attempt - 1)))
            try:
                reply = ask(method, url, {**headers, **self._authorised()}, body, timeout_s=_TIMEOUT_S)
            except Broken as error:
                why = str(error)
                continue
            if reply.status == 401:
                self._token, why = "", "YouTube does not take the token"
            elif reply.status < 500:
                return reply
            else:
                why = f"YouTube answered {reply.status}"
        raise TransientError(f"{why}, {TRIES} times")

    def _authorised(self) -> dict[str, str]:
        if not self._token:
            self._token = _token(self.variables, self.tokens)
        return {"Authorization": f"Bearer {self._token}"}

    def _check_upload(self, reply: Reply) -> None:
        """Raise what an answer to a request about an upload says, if it is not a 200 or 201."""
        if reply.status == 429 or _reason(reply) in ("quotaExceeded", "uploadLimitExceeded", "rateLimitExceeded"):
            raise self.quota.spent(UPLOADS)
        _check(reply, "video")


def missing_of(variables: Mapping[str, str]) -> str:
    """Return the names of the secrets that are not there, in words; nothing where all are."""
    return ", ".join(name for name in SECRETS if not variables.get(name))


def authorised(variables: Mapping[str, str], tokens: str = TOKENS) -> dict[str, str]:
    """Return the headers of one request to YouTube Analytics, which has a quota of its own.

    Raises:
        ConfigError: the secrets are not in the environment, or are not taken.
        TransientError: the server of tokens does not answer.
    """
    missing = missing_of(variables)
    if missing:
        raise ConfigError(f"metrics of YouTube need {missing} in the environment; or name a file or an address")
    return {"Authorization": f"Bearer {_token(variables, tokens)}"}


def analytics(address: str, first: str, last: str) -> str:
    """Return the address that asks for the figures of the channel's videos from one day to another."""
    asked = {
        "ids": "channel==MINE",
        "startDate": first,
        "endDate": last,
        "metrics": "views,likes,averageViewPercentage",
        "dimensions": "video",
        "sort": "-views",
        "maxResults": "200",
    }
    return f"{address}?{urlencode(asked)}"


def forget(state: Path) -> None:
    """Remove what was remembered of an upload that has ended, and is written down elsewhere."""
    state.unlink(missing_ok=True)
    sync_folder(state.parent)


def _token(variables: Mapping[str, str], tokens: str) -> str:
    names = ("client_id", "client_secret", "refresh_token")
    told = {name: variables[one] for name, one in zip(names, SECRETS, strict=True)}
    body = urlencode({**told, "grant_type": "refresh_token"}).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    reply = ask("POST", tokens, kind, body, timeout_s=_TIMEOUT_S)
    if reply.status >= 500:
        raise TransientError(f"the server of tokens answered {reply.status}")
    if reply.status != 200:
        raise ConfigError(f"the server of tokens answered {reply.status}: are {', '.join(SECRETS)} right?")
    return str(json.loads(reply.body)["access_token"])


def _read(state: Path) -> Json | None:
    """Return what is remembered of an upload.

    Raises:
        PermanentError: it is damaged, and whether the video has gone up is not known.
    """
    try:
        return json.loads(state.read_text())  # type: ignore[no-any-return]  # JSON
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise PermanentError(
            f"{state}: is damaged: {said_by(error)}; look on YouTube whether the video is there, and remove this file "
            "only if it is not"
        ) from None


def _received(reply: Reply) -> int:
    """Return how many bytes a 308 says have arrived: "bytes=0-41" are 42, and no range is none."""
    told = reply.headers.get("range", "")
    return int(told.rpartition("-")[2]) + 1 if told else 0


def _id_of(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["id"])
    except (ValueError, KeyError, TypeError):
        raise TransientError("YouTube took the video and answered without its id; the next try asks again") from None


def _reason(reply: Reply) -> str:
    try:
        return str(json.loads(reply.body)["error"]["errors"][0]["reason"])
    except (ValueError, KeyError, IndexError, TypeError):
        return ""


def _check(reply: Reply, what: str) -> None:
    if reply.status not in (200, 201, 204):
        kind = TransientError if reply.status >= 500 or reply.status in (401, 408, 429) else PermanentError
        raise kind(f"YouTube answered {reply.status} for the {what}{f' ({_reason(reply)})' if _reason(reply) else ''}")


def _two_parts(about: Json, content: bytes, kind: str) -> bytes:
    head = b"--overnight-part\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
    middle = f"\r\n--overnight-part\r\nContent-Type: {kind}\r\n\r\n".encode()
    return head + json.dumps(about).encode() + middle + content + b"\r\n--overnight-part--\r\n"
