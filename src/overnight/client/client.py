"""`overnight.Client`: a running daemon from another program, over HTTP.

What may be asked twice is asked again when it fails: reading, and what carries a name of its own (a job's id, a run's
key, a batch's id), which the client gives where the caller does not. After 5 failures in a row it asks nothing for
30 s.
"""

import json
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import quote, urlencode

from overnight.base.backoff import Backoff
from overnight.base.clock import SystemClock
from overnight.base.errors import DaemonAway, InvalidTransition, QueueFull, TransientError, UnknownName, UserMistake
from overnight.base.jobs import DEFAULT_EPOCHS, DEFAULT_INTERVAL
from overnight.base.settings import daemon_url
from overnight.client.breaker import Breaker
from overnight.client.following import Event, Follower, pause
from overnight.client.wire import Answer, Lost, Wire

Json = dict[str, Any]  # Any: JSON
TRIES = 4
WAITS = Backoff(base_s=0.1, cap_s=2.0, jitter=0.5)
_AGAIN = {429, 500, 502, 503, 504}
_MISTAKES: Mapping[int, type[UserMistake]] = {404: UnknownName, 409: InvalidTransition}


class Client:
    """Asks a daemon. Safe to use from any thread; it holds no connection between two requests.

    Every method raises UserMistake (UnknownName, InvalidTransition) for what the daemon refuses, QueueFull where too
    many jobs wait, and DaemonAway where nobody answers.
    """

    def __init__(self, url: str | None = None, *, timeout_s: float = 30.0) -> None:
        """Without `url`, the one in OVERNIGHT_URL, or of the daemon of the project of this folder, or port 8090 here.

        Raises:
            UserMistake: the address cannot be used.
        """
        self.url = (url or daemon_url(Path())).rstrip("/")
        self._wire = Wire(self.url, timeout_s)
        self._lock = threading.Lock()
        self._breaker = Breaker()
        self._now_s = SystemClock().monotonic
        self._random = Random()  # noqa: S311  # spreads waits

    # Training.

    def submit_training(
        self,
        model_type: str,
        experiences: Iterable[Mapping[str, Any]],
        *,
        job_id: str | None = None,
        epochs: int = DEFAULT_EPOCHS,
        priority: str | None = None,
        checkpoint_interval: int = DEFAULT_INTERVAL,
    ) -> Json:
        """Ask for a training; return `job_id`, `status` (started, queued), `estimated_duration_seconds`.

        `checkpoint_interval` counts epochs; 0 means no checkpoints.
        """
        return self._post(
            "/api/training/start",
            {
                "job_id": job_id or f"{model_type[:60]}-{uuid.uuid4().hex[:16]}",
                "model_type": model_type,
                "experiences": list(experiences),
                "epochs": epochs,
                "priority": priority,
                "checkpoint_enabled": checkpoint_interval > 0,
                "checkpoint_interval": max(1, checkpoint_interval),
            },
            again=True,
        )

    def job(self, job_id: str) -> Json:
        """Return how a job stands."""
        return self._get(f"/api/training/status/{_part(job_id)}")

    def jobs(
        self,
        *,
        state: str | None = None,
        model_type: str | None = None,
        limit: int = 20,
        cursor: int | None = None,
    ) -> Json:
        """Return `jobs`, the newest first, and `next_cursor` for more."""
        return self._get("/api/training/jobs", state=state, model_type=model_type, limit=limit, cursor=cursor)

    def cancel(self, job_id: str) -> Json:
        """End a job; return `job_id` and `status`."""
        return self._post(f"/api/training/cancel/{_part(job_id)}")

    def stream(self, job_id: str, last_id: str = "") -> Iterator[Event]:
        """Yield a job's events, from its submission or behind the event `last_id`, until it has ended.

        Where the connection is lost it is made again, and nothing is missed or comes twice. Where streams do not come
        through (an old daemon, a proxy that holds them back), the job's status is asked for instead: those events have
        no id, and tell of no checkpoint.
        """
        follower = Follower(self._wire, f"/api/training/stream/{_part(job_id)}", last_id, self._random)
        return follower.follow(poll=lambda: self.job(job_id))

    # Data.

    def add_experiences(
        self, model_type: str, experiences: Sequence[Mapping[str, Any]], *, batch_id: str | None = None
    ) -> Json:
        """Hand over experiences for later trainings; the same `batch_id` twice is the same batch."""
        body = {
            "batch_id": batch_id or uuid.uuid4().hex,
            "model_type": model_type,
            "experiences": list(experiences),
        }
        return self._post("/api/experiences", body, again=True)

    def harvest(self, category: str, *, force: bool = False) -> Json:
        """Ask the sources of a category, and return what came of it; may take minutes."""
        return self._post("/api/harvest", {"type": category, "force": force}, timeout_s=3600.0)

    def data(
        self,
        category: str,
        *,
        limit: int = 100,
        max_age_hours: float | None = None,
        min_score: float | None = None,
    ) -> Json:
        """Return `records` of a category's newest snapshot, the best first."""
        return self._get(f"/api/data/{_part(category)}", limit=limit, max_age_hours=max_age_hours, min_score=min_score)

    # Tasks and runs.

    def tasks(self) -> list[Json]:
        """Return the project's tasks."""
        found: list[Json] = self._get("/api/tasks")["tasks"]
        return found

    def run_task(
        self,
        task_id: str,
        args: Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        priority: str | None = None,
        with_dependants: bool = False,
    ) -> Json:
        """Ask for a run of a task and return it; two requests with one `key` give one run."""
        body = {
            "args": None if args is None else dict(args),
            "key": key or uuid.uuid4().hex,
            "priority": priority,
            "with_dependants": with_dependants,
        }
        return self._post(f"/api/tasks/{_part(task_id)}/run", body, again=True)

    def runs(
        self, *, task_id: str | None = None, state: str | None = None, limit: int = 20, cursor: int | None = None
    ) -> Json:
        """Return `runs`, the newest first, and `next_cursor` for more."""
        return self._get("/api/runs", task_id=task_id, state=state, limit=limit, cursor=cursor)

    def run(self, run_id: int) -> Json:
        """Return all that is known of a run."""
        return self._get(f"/api/runs/{run_id}")

    def cancel_run(self, run_id: int) -> Json:
        """End a run and return it."""
        return self._post(f"/api/runs/{run_id}/cancel")

    def events(self, last_id: str = "") -> Iterator[Event]:
        """Yield all that happens, from now on or behind the event `last_id`; does not end by itself."""
        return Follower(self._wire, "/api/events", last_id, self._random).follow()

    # The daemon.

    def services(self) -> Json:
        """Tell how the project stands with its services (`mode`), each of the `services`, and its `links`."""
        return self._get("/api/services")

    def ask_service(self, name: str, what: str) -> Json:
        """Have a service started, stopped or restarted (`what`: start, stop, restart), and tell how it stands."""
        return self._post(f"/api/services/{_part(name)}/{_part(what)}", {})

    def resources(self) -> Json:
        """Return what of the daemon's machine is in use."""
        return self._get("/api/resources")

    def health(self) -> Json:
        """Return how the daemon does, healthy or not."""
        return self._checked(self._answer("GET", "/health", None, again=True, fine={200, 503}), {200, 503})

    # How it is asked.

    def _get(self, path: str, **query: Any) -> Json:  # Any: numbers and text
        given = {name: value for name, value in query.items() if value is not None}
        target = f"{path}?{urlencode(given)}" if given else path
        return self._checked(self._answer("GET", target, None, again=True))

    def _post(
        self, path: str, body: Json | None = None, *, again: bool = False, timeout_s: float | None = None
    ) -> Json:
        content = _encoded(body or {})
        return self._checked(self._answer("POST", path, content, again=again, timeout_s=timeout_s))

    def _answer(
        self,
        method: str,
        target: str,
        content: bytes | None,
        *,
        again: bool,
        fine: "set[int] | frozenset[int]" = frozenset(),
        timeout_s: float | None = None,
    ) -> Answer:
        """Return the answer; ask again while that may help. `again`: also where it may have been done already."""
        failures = 0
        while True:
            self._let_through()
            answer = lost = None
            try:
                answer = self._wire.ask(method, target, content, timeout_s)
            except Lost as error:
                lost = error
            finally:
                failed = answer is None or (answer.code >= 500 and answer.code not in fine and not _is_full(answer))
                self._note(failed=failed)
            failures += 1
            hopeless = failures >= TRIES or not (again or (lost is not None and not lost.sent))
            if answer is not None and (answer.code not in _AGAIN - fine or _is_full(answer) or hopeless):
                return answer
            if hopeless:
                raise DaemonAway(f"{self.url} does not answer: {lost}; `overnight up` starts a daemon") from lost
            wait_s = WAITS.wait_s(failures, self._random)
            pause(wait_s if answer is None else max(wait_s, min(answer.retry_after_s, WAITS.cap_s)))

    def _let_through(self) -> None:
        with self._lock:
            now = self._now_s()
            asked = self._breaker.asks(now)
            if asked is None:
                count, left_s = self._breaker.failures, self._breaker.left_s(now)
                raise DaemonAway(f"{self.url} failed {count} times in a row; it is asked again in {left_s:.0f} s")
            self._breaker = asked

    def _note(self, *, failed: bool) -> None:
        with self._lock:
            self._breaker = self._breaker.failed(self._now_s()) if failed else self._breaker.succeeded()

    def _checked(self, answer: Answer, fine: "set[int] | frozenset[int]" = frozenset({200})) -> Json:
        if answer.code in fine:
            return answer.body
        raise error_of(answer)


def error_of(answer: Answer) -> Exception:
    """Return what an answer that is none tells."""
    body, code = answer.body, answer.code
    details = "; ".join(f"{one['where']}: {one['what']}" for one in body.get("details") or [] if isinstance(one, dict))
    said = f"{body.get('error', f'answered with {code}')}{f' ({details})' if details else ''}"
    if _is_full(answer):
        return QueueFull(
            said, active_job_id=body.get("active_job_id"), retry_after_s=float(body["retry_after_seconds"])
        )
    if code >= 500:
        return DaemonAway(said)
    if code == 429:
        return TransientError(said)
    return _MISTAKES.get(code, UserMistake)(said)


def _is_full(answer: Answer) -> bool:
    return answer.code == 503 and "retry_after_seconds" in answer.body


def _encoded(body: Json) -> bytes:
    try:
        return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise UserMistake(f"what is sent is not JSON: {error}") from error


def _part(name: str) -> str:
    return quote(name, safe="")
