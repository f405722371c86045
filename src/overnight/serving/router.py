"""`overnight.Router`: which version answers, decided in the user's own process.

The splits are asked for once a second and kept in memory and in a file, so that requests are routed whether the daemon
can be reached or not. A decision reads one table, which is replaced as a whole: no lock, no other thread in its way.
"""

import atexit
import hashlib
import itertools
import json
import logging
import os
import threading
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import fields
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from overnight.base.clock import SystemClock
from overnight.base.errors import DaemonAway, DaemonFailed, UnknownName, UserMistake, said_by
from overnight.base.files import write_json
from overnight.base.settings import daemon_url, environment
from overnight.base.vocabulary import suggestion
from overnight.client.wire import Answer, Lost, Wire
from overnight.registry.routing import Key, Split, chooser, share
from overnight.serving.outcomes import CLOSING_S, Batch, Counts, Outcomes, Served

POLL_EVERY_S = 1.0
TIMEOUT_S = 5.0
_FIRST_TIMEOUT_S = 1.0
_AGAIN = frozenset({408, 429})
"""Answers below 500 after which a batch is sent again."""
_FIELDS = frozenset(field.name for field in fields(Split))
_log = logging.getLogger("overnight.router")


class Entry(NamedTuple):
    """How the requests for one model are split."""

    choose: Callable[[Key], str]
    percentage: float
    deployment_id: int | None
    routed: Iterator[int]
    """Counts the requests, in one step that no other thread comes between."""


class Router:
    """Chooses versions, and tells the daemon what came of it. Safe to use from any thread, also after a fork.

    Close it, or use it in a `with` block: that hands on the outcomes that wait. An interpreter that ends does so too.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        models: Mapping[str, str] | None = None,
        state: str | Path | None = None,
    ) -> None:
        """Without `url`, the one in OVERNIGHT_URL, or of the daemon of the project of this folder, or port 8090 here.

        `models` says which version answers for a model while nothing is known of it. `state` is the folder of the file
        with the splits that were known last; without it, one in the user's cache.

        Raises:
            UserMistake: the address cannot be used.
        """
        self._url = url
        self._clock = SystemClock()
        self._now_s, self._now_us = self._clock.monotonic, self._clock.now_us
        Wire(self.url, TIMEOUT_S)
        self._fallback = {name: Split(model=name, champion=version) for name, version in (models or {}).items()}
        self._splits: dict[str, Split] = {}
        self._table: dict[str, Entry] = {}
        self._routed: dict[str, Iterator[int]] = {}
        self._told: dict[str, int] = {}
        self._etag: str | None = None
        self._error: str | None = None
        self._file = _file_of(url, state)
        self._closed = False
        self.update([])
        self._recall()
        self._ask_for_splits(_FIRST_TIMEOUT_S)
        self._begin()
        atexit.register(self.close)
        # A child of a fork has none of the threads, and its parent hands on what waited here.
        os.register_at_fork(after_in_child=partial(_begin_again, weakref.WeakMethod(self._begin)))

    @property
    def url(self) -> str:
        """Where the daemon is asked."""
        return (self._url or daemon_url(Path())).rstrip("/")

    @property
    def counts(self) -> Counts:
        """How many outcomes wait, were sent, were dropped, were refused; the last error."""
        return self._outcomes.counts

    @property
    def error(self) -> str | None:
        """Why the splits could not be asked for last; None where they could."""
        return self._error

    @property
    def splits(self) -> Mapping[str, Split]:
        """The splits in force, by model."""
        return self._fallback | self._splits

    def choose(self, model_type: str, key: Key) -> str:
        """Return the version that answers requests of this key, such as a user's id.

        Raises:
            UnknownName: nothing is known of that model; the message names the nearest one.
            DaemonAway: nothing is known at all.
        """
        try:
            entry = self._table[model_type]
        except KeyError:
            raise self._unknown(model_type) from None
        version = entry.choose(key)
        next(entry.routed)
        return version

    def serve(self, model_type: str, key: Key) -> "Serving":
        """Return a `with` block that serves one request, and whose outcome counts.

        Raises: see `choose`.
        """
        try:
            entry = self._table[model_type]
        except KeyError:
            raise self._unknown(model_type) from None
        return Serving(self, model_type, key, entry)

    def update(self, splits: Iterable[Split]) -> None:
        """Route by these splits from now on; models that are not among them have the version given at first."""
        found = {split.model: split for split in splits}
        table = {
            name: Entry(
                chooser(split), share(split), split.deployment_id, self._routed.setdefault(name, itertools.count())
            )
            for name, split in (self._fallback | found).items()
        }
        self._splits, self._table = found, table

    def close(self, timeout_s: float = CLOSING_S) -> None:
        """Hand on the outcomes that wait, for no longer than that, and end the threads. Decisions go on."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        self._look.set()
        self._outcomes.close(timeout_s)
        self._poller.join(TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def record(self, served: Served) -> None:
        """Add an outcome; `serve` does so."""
        self._outcomes.put(served)

    def new_id(self) -> str:
        """Return an id for a request."""
        return f"{self._name}-{next(self._numbers):x}"

    # The two threads.

    def _begin(self) -> None:
        if self._closed:
            return
        self._name, self._numbers = uuid.uuid4().hex, itertools.count(1)
        self._look = threading.Event()
        self._outcomes = Outcomes(self._send)
        self._poller = threading.Thread(target=self._poll, name="overnight-router", daemon=True)
        self._poller.start()

    def _poll(self) -> None:
        while not self._closed:
            self._look.wait(POLL_EVERY_S)
            self._look.clear()
            if not self._closed:
                self._ask_for_splits(TIMEOUT_S)

    def _ask_for_splits(self, timeout_s: float) -> None:
        """Take up what the daemon says; what was known stays where it says nothing that can be used."""
        try:
            answer = Wire(self.url, timeout_s).ask("GET", "/api/routing" + self._news(), None, known=self._etag)
            if answer.code == 304:
                self._error = None
                return
            if answer.code != 200:
                raise DaemonAway(f"{self.url} answers {answer.code}{_said(answer)}")
            self._take_up(answer.body)
        except Exception as error:  # noqa: BLE001  # whatever it is, requests go on to be routed
            said = str(error) if isinstance(error, Lost) else said_by(error)
            if said != self._error:
                _log.warning("event=splits_not_asked url=%s error=%s", self.url, said)
            self._error = said
        else:
            self._error = None
            with suppress(OSError):
                write_json(self._file, answer.body)

    def _news(self) -> str:
        """Return how many requests of each model that the daemon knows were routed since it was told, as a query."""
        news = []
        for model in self._splits:
            number = next(self._routed[model])
            if count := number - self._told.get(model, 0):
                news.append(("routed", f"{model}:{count}"))
            self._told[model] = number + 1
        return f"?{urlencode(news)}" if news else ""

    def _take_up(self, body: Mapping[str, Any]) -> None:
        self.update([_split(one) for one in body["splits"]])
        self._etag = str(body["etag"])

    def _recall(self) -> None:
        """Take up what was known last, as far as it is there and whole."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            self._take_up(json.loads(self._file.read_bytes()))

    def _send(self, batch: Batch) -> None:
        """Hand on a batch.

        Raises:
            DaemonAway, DaemonFailed: it is to be handed on again.
            UserMistake: it is refused.
        """
        content = json.dumps(batch.to_json()).encode()
        try:
            answer = Wire(self.url, TIMEOUT_S).ask("POST", "/api/outcomes", content)
        except Lost as error:
            raise DaemonAway(f"{self.url} does not answer: {error}") from error
        if answer.code >= 500 or answer.code in _AGAIN:
            raise DaemonFailed(f"{self.url} answers {answer.code}{_said(answer)}")
        if answer.code != 200:
            raise UserMistake(f"{self.url} refuses outcomes with {answer.code}{_said(answer)}")
        if answer.body.get("etag") not in (None, self._etag):
            self._look.set()

    def _unknown(self, model_type: str) -> UnknownName | DaemonAway:
        if self._table or self._error is None:
            return UnknownName(f"no version of {model_type!r} serves{suggestion(model_type, sorted(self._table))}")
        return DaemonAway(
            f"no split is known yet, and {self.url} does not tell ({self._error}); `overnight up` starts a daemon, "
            "Router(models={...}) says what serves until then"
        )


class Serving:
    """One request that is served: a `with` block around the call of the model of that `version`.

    An exception that leaves the block is an error, a TimeoutError also a time-out; both go on their way. What ends a
    block otherwise (a cancelled request, Ctrl-C) says nothing about the model, and is not recorded.
    """

    __slots__ = (
        "_began_s", "_counts", "_entry", "_invalid", "_router", "_score", "key", "model_type", "request_id", "version",
    )  # fmt: skip

    def __init__(self, router: Router, model_type: str, key: Key, entry: Entry) -> None:
        self.version = entry.choose(key)
        next(entry.routed)
        self.model_type, self.key = model_type, key
        self.request_id = router.new_id()
        self._router, self._entry, self._began_s = router, entry, 0.0
        self._invalid, self._counts = False, True
        self._score: float | None = None

    @property
    def score(self) -> float | None:
        """How good the answer was, 0 to 1; set it, if that is known by now.

        Raises:
            UserMistake: it is set to something else. Nothing is recorded then: the fault is not the model's.
        """
        return self._score

    @score.setter
    def score(self, value: float | None) -> None:
        self._counts = value is None or (isinstance(value, int | float) and 0 <= value <= 1)
        if not self._counts:
            raise UserMistake(f"score: {value!r} is not a number from 0 to 1")
        self._score = None if value is None else float(value)

    def invalid(self) -> None:
        """Say that the answer cannot be used, such as text that should have been JSON."""
        self._invalid = True

    def __enter__(self) -> Self:
        self._began_s = self._router._now_s()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        router, entry = self._router, self._entry
        if not self._counts or (kind is not None and not issubclass(kind, Exception)):
            return
        ms = 1000 * (router._now_s() - self._began_s)
        timed_out = kind is not None and issubclass(kind, TimeoutError)
        served = Served(
            request_id=self.request_id,
            model=self.model_type,
            key=self.key,
            version=self.version,
            percentage=entry.percentage,
            deployment_id=entry.deployment_id,
            ok=kind is None,
            timed_out=timed_out,
            invalid=self._invalid,
            latency_ms=ms,
            score=self._score,
            at_us=router._now_us(),
        )
        router.record(served)


def _begin_again(begin: "weakref.WeakMethod[Callable[[], None]]") -> None:
    again = begin()
    if again is not None:
        again()


def _split(value: Mapping[str, Any]) -> Split:  # Any: JSON
    """Return a split as the daemon tells it; what a newer one says beside is left out.

    Raises:
        ValueError, TypeError: it cannot be used.
    """
    split = Split(**{name: inner for name, inner in value.items() if name in _FIELDS})
    chooser(split)("")
    return split


def _said(answer: Answer) -> str:
    error = answer.body.get("error")
    return f": {error}" if error else ""


def _file_of(url: str | None, state: str | Path | None) -> Path:
    """Return where the splits of that daemon are kept (XDG base directories)."""
    env = environment()
    whose = url or env.get("OVERNIGHT_URL") or str(Path().resolve())
    given = env.get("XDG_CACHE_HOME", "")
    base = Path(given) if Path(given).is_absolute() else Path(env.get("HOME") or Path.home()) / ".cache"
    folder = base / "overnight" if state is None else Path(state)
    return folder / f"routing-{hashlib.sha256(whose.encode(errors='surrogatepass')).hexdigest()[:16]}.json"
