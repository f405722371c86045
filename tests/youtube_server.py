"""A server on loopback that speaks as much of YouTube's API as uploads need, and has every fault that a test asks for.

It follows developers.google.com/youtube/v3/guides/using_resumable_upload_protocol: a session that takes bytes in order,
308 with a Range that says how many, the video once all are there, and the same answer whenever it is asked again.
"""

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from loopback import Loopback

Fault = Callable[["Answerer", Callable[[], None]], None]
"""Gets the connection, and what would answer as YouTube does."""


@dataclass
class Session:
    about: dict
    size: int
    content: bytes = b""
    video_id: str | None = None


@dataclass
class State:
    videos: dict[str, dict] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    sessions: dict[str, Session] = field(default_factory=dict)
    captions: dict[str, list[str]] = field(default_factory=dict)
    thumbnails: dict[str, bytes] = field(default_factory=dict)


class YouTubeServer(Loopback):
    """Serves until the `with` block ends. `faults` holds what goes wrong, by the number of the request (from 1)."""

    def __init__(self) -> None:
        self.state = State()
        self.asked: list[str] = []
        """Each request: method, kind, and the range of bytes where it has one."""
        self.faults: dict[int, Fault] = {}
        self.always: Fault | None = None
        self.most_bytes: int | None = None
        """How many bytes of a piece are taken at the most."""
        self.a_page = 2
        """How many uploads of the channel are listed at once."""
        self.lock = threading.Lock()
        super().__init__(Answerer)

    def kinds(self) -> list[str]:
        return [one.partition(" ")[0] for one in self.asked]


class Answerer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_GET(self):
        self._take()

    def do_POST(self):
        self._take()

    def do_PUT(self):
        self._take()

    def log_message(self, *_):
        pass

    @property
    def youtube(self) -> YouTubeServer:
        return self.server.owner

    def _take(self):
        parts = urlsplit(self.path)
        self.query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        kind = ROUTES.get(parts.path, "?") if not parts.path.startswith("/session/") else "piece"
        if kind == "piece" and self.headers["Content-Range"].startswith("bytes */"):
            kind = "status"
        self.session = parts.path.rpartition("/")[2]
        youtube = self.youtube
        with youtube.lock:
            youtube.asked.append(f"{kind} {self.headers.get('Content-Range', '')}".strip())
            number = len(youtube.asked)
        fault = youtube.faults.pop(number, None) or youtube.always
        answer = getattr(self, f"_{kind}", self._unknown)
        if fault is None:
            answer()
        else:
            fault(self, answer)

    def read(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def say(self, status: int, value: object = None, **headers: str) -> None:
        content = b"" if value is None else json.dumps(value).encode()
        if self.answering:
            self.send_response(status)
            for name, text in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), text)
            self.end_headers()
            self.wfile.write(content)

    answering = True

    def error(self, status: int, reason: str) -> None:
        self.say(status, {"error": {"code": status, "errors": [{"reason": reason}]}})

    def _unknown(self):
        self.read()
        self.error(404, "notFound")

    def _token(self):
        told = parse_qs(self.read().decode())
        right = told.get("refresh_token") == ["refresh-secret"] and told.get("client_secret") == ["client-secret"]
        self.say(200 if right else 400, {"access_token": "token-secret"} if right else {"error": "invalid_grant"})

    def _begin(self):
        about = json.loads(self.read())
        if self.headers["Authorization"] != "Bearer token-secret":
            return self.error(401, "authError")
        name = f"s{len(self.youtube.state.sessions) + 1}-secret"
        self.youtube.state.sessions[name] = Session(about=about, size=int(self.headers["X-Upload-Content-Length"]))
        return self.say(200, Location=f"{self.youtube.url}/session/{name}")

    def _status(self):
        self.read()
        self._told(self.youtube.state.sessions.get(self.session))

    def _piece(self):
        session = self.youtube.state.sessions.get(self.session)
        begin, end, size = map(int, re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", self.headers["Content-Range"]).groups())
        if session is None:
            self.read()
            return self.error(404, "notFound")
        assert size == session.size
        assert begin == len(session.content), "bytes came that were not the next ones"
        got = b""
        while len(got) < end - begin + 1 and (more := self.rfile.read1(4096)):
            got += more
            if self.youtube.most_bytes is not None and len(got) > self.youtube.most_bytes:
                got = got[: self.youtube.most_bytes]
                session.content += got
                self.close_connection = True
                return None  # it breaks off: nobody tells how much has arrived
        session.content += got
        return self._told(session)

    def _told(self, session):
        if session is None:
            return self.error(404, "notFound")
        state = self.youtube.state
        if len(session.content) < session.size:
            held = {"Range": f"bytes=0-{len(session.content) - 1}"} if session.content else {}
            return self.say(308, **held)
        if session.video_id is None:
            session.video_id = f"yt{len(state.videos) + 1}"
            state.videos[session.video_id] = session.about
            state.contents[session.video_id] = session.content
        return self.say(200, {"id": session.video_id, **session.about})

    def _captions(self):
        body = self.read()
        video = re.search(rb'"videoId": "(\w+)"', body)[1].decode()
        there = self.youtube.state.captions.setdefault(video, [])
        if there:
            return self.error(409, "captionExists")
        there.append(body.partition(b"text/vtt\r\n\r\n")[2].partition(b"\r\n--")[0].decode())
        return self.say(200, {"id": "caption"})

    def _thumbnail(self):
        self.youtube.state.thumbnails[self.query["videoId"]] = self.read()
        self.say(200, {"items": []})

    def _update(self):
        told = json.loads(self.read())
        self.youtube.state.videos[told["id"]]["snippet"] = told["snippet"]
        self.say(200, told)

    def _channels(self):
        self.read()
        self.say(200, {"items": [{"contentDetails": {"relatedPlaylists": {"uploads": "UU"}}}]})

    def _playlist(self):
        self.read()
        first = int(self.query.get("pageToken", "0"))
        last = first + self.youtube.a_page
        newest = list(reversed(self.youtube.state.videos.items()))
        items = [
            {"snippet": {"description": about["snippet"]["description"], "resourceId": {"videoId": video_id}}}
            for video_id, about in newest[first:last]
        ]
        more = {"nextPageToken": str(last)} if last < len(newest) else {}
        self.say(200, {"items": items, **more})


ROUTES = {
    "/token": "token",
    "/upload/youtube/v3/videos": "begin",
    "/upload/youtube/v3/captions": "captions",
    "/upload/youtube/v3/thumbnails/set": "thumbnail",
    "/youtube/v3/videos": "update",
    "/youtube/v3/channels": "channels",
    "/youtube/v3/playlistItems": "playlist",
}


def answers_status(status: int, reason: str = "") -> Fault:
    """Answer with a status and do nothing."""

    def fault(connection, _):
        connection.read()
        connection.error(status, reason)

    return fault


def breaks_before(connection, _):
    """Hang up, having done nothing."""
    connection.close_connection = True


def breaks_after(connection, answer):
    """Do what was asked, and hang up without an answer."""
    connection.answering = False
    answer()
    connection.close_connection = True


def calls_before(action: Callable[[], None]) -> Fault:
    """Call `action` before anything is done, and hang up."""

    def fault(connection, _):
        action()
        connection.close_connection = True

    return fault


def calls_after(action: Callable[[], None]) -> Fault:
    """Do what was asked, call `action`, and hang up without an answer."""

    def fault(connection, answer):
        connection.answering = False
        answer()
        action()
        connection.close_connection = True

    return fault
