"""Traces of runs, sent to an OpenTelemetry collector once the runs have ended.

A run is a span, and so is each step of a flow and, where it took several, each try; a run that a flow started stands
below the flow's, in the same trace. Spans of one trace are sent at different times, by different processes even, so
their ids are not drawn but follow from the project's folder and the run.
"""

import hashlib
import itertools
import logging
import queue
import threading
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from overnight.app.journal import logfmt
from overnight.app.project import Project
from overnight.base.errors import MissingExtra, TransientError, one_line, said_by
from overnight.base.ids import RunId
from overnight.base.instants import US
from overnight.engine import store
from overnight.engine.machine import SET_BACK
from overnight.engine.model import Run, State
from overnight.engine.tables import steps

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan

MOST_WAITING = 10_000
"""Ended runs that wait to be sent; of further ones there is no trace."""
RUNS_AT_ONCE = 100
SPANS_AT_ONCE = 512
SEND_EVERY_S = 1.0
"""Runs that end within this time go to the collector together."""
ANSWER_S = 10.0
"""How long the collector may take to answer, with all tries that are made."""
CLOSE_S = 2.0
"""How long what is left at the end may take; after it, what is under way is given up."""
GIVE_UP_S = 1.0

_FINAL_EVENTS = {"completed", "failed", "cancelled", "blocked"}
_TRY_ENDS = {"completed", "failed", "cancelled", "lost", "yielded", SET_BACK}
_EXPORTER_LOG = "opentelemetry.exporter.otlp.proto.http.trace_exporter"
_log = logging.getLogger("overnight.tracing")


@dataclass(frozen=True, kw_only=True)
class Span:
    """What is to be told of a stretch of time. Instants are microseconds since the epoch; `error` None means none."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int | None = None
    start_us: int
    end_us: int
    attributes: Mapping[str, str | int | float] = field(default_factory=dict)
    error: str | None = None


@dataclass(frozen=True, kw_only=True)
class StepTime:
    """When a step of a flow was worked on."""

    ordinal: int
    kind: str
    name: str
    started_us: int
    finished_us: int

    @property
    def label(self) -> str:
        """What it is called beside runs: starting a run is not called what the run is."""
        return self.name if self.kind in ("step", self.name) else f"{self.kind} {self.name}"


@dataclass(frozen=True, kw_only=True)
class Ids:
    """The ids of spans: the same ones whenever, and by whomever, they are asked for."""

    folder: str

    def trace(self, run_id: int) -> int:
        """Return the id of the trace that this run, which no flow started, is the root of."""
        return self._hash(f"trace {run_id}", 16)

    def span(self, run_id: int, part: str = "") -> int:
        """Return the id of the run's span, or of a part of it."""
        return self._hash(f"span {run_id} {part}", 8)

    def _hash(self, what: str, size: int) -> int:
        return int.from_bytes(hashlib.blake2b(f"{self.folder}\0{what}".encode(), digest_size=size).digest(), "big")


def spans_of(run: Run, its_steps: Sequence[StepTime], root_id: int, ids: Ids) -> list[Span]:
    """Return the spans of a run that has ended; `root_id` is the run at the root of its trace."""
    assert run.finished_us is not None
    trace_id, span_id = ids.trace(root_id), ids.span(run.run_id)
    whole = Span(
        name=run.task_id,
        trace_id=trace_id,
        span_id=span_id,
        parent_id=None if run.parent_id is None else ids.span(run.parent_id),
        start_us=run.created_us,
        end_us=run.finished_us,
        attributes=_attributes(run),
        error=run.error.message if run.state is State.FAILED and run.error is not None else None,
    )
    parts = [
        Span(
            name=step.label,
            trace_id=trace_id,
            span_id=ids.span(run.run_id, f"step {step.ordinal}"),
            parent_id=span_id,
            start_us=step.started_us,
            end_us=step.finished_us,
            attributes={"overnight.step_kind": step.kind, "overnight.step": step.ordinal},
        )
        for step in its_steps
    ]
    tries = list(_tries(run, trace_id, ids))
    return [whole, *(tries if len(tries) > 1 else ()), *parts]


def _attributes(run: Run) -> dict[str, str | int | float]:
    values: dict[str, str | int | float | None] = {
        "overnight.run_id": run.run_id,
        "overnight.task_id": run.task_id,
        "overnight.state": run.state.value,
        "overnight.attempt": run.attempt,
        "overnight.start_lag_s": _start_lag_s(run),
        "overnight.cpu_s": run.usage.cpu_s,
        "overnight.peak_memory_gb": run.usage.peak_memory_gb,
    }
    return {name: value for name, value in values.items() if value is not None}


def _start_lag_s(run: Run) -> float | None:
    """Return how long after its due time the run began; None where it did not, or where that time is forgotten."""
    begun_us = next((run.created_us + at for what, at, *_ in run.history if what == "started"), None)
    # The next try of a run that failed, and a flow that slept, are due anew, and only that is kept.
    return None if begun_us is None or begun_us < run.due_us else (begun_us - run.due_us) / US


def _tries(run: Run, trace_id: int, ids: Ids) -> Iterator[Span]:
    names: Iterator[str] = (f"try {number}" for number in itertools.count(1))
    begun: int | None = None
    for place, (what, at, *note) in enumerate(run.history):
        if what == "started":
            begun = at
        elif what == "...":
            # Here the middle of a long history is left out, and with it how many tries there were.
            begun, names = None, itertools.repeat("try")
        elif what in _TRY_ENDS and begun is not None:
            yield Span(
                name=next(names),
                trace_id=trace_id,
                span_id=ids.span(run.run_id, f"try {place}"),
                parent_id=ids.span(run.run_id),
                start_us=run.created_us + begun,
                end_us=run.created_us + at,
                attributes={"overnight.ended": what},
                error=note[0] if what == "failed" and note else None,
            )
            begun = None


class Tracer:
    """Sends a trace of each run that ends, from when it is made until it is closed, in a thread of its own.

    A collector that does not answer costs a line in the log, and the traces of what was to be sent meanwhile.
    """

    def __init__(self, project: Project, endpoint: str) -> None:
        """`endpoint` is the collector's address, without "/v1/traces".

        Raises:
            MissingExtra: the extra `otel` is not installed.
        """
        self._database = project.database
        self._ids = Ids(folder=str(project.folder.resolve()))
        self._collector = _Collector(endpoint, project.config.name)
        self._waiting: queue.SimpleQueue[RunId] = queue.SimpleQueue()
        self._overflown = 0
        self._unsent = 0
        self._lost_said = 0
        self._away = False
        self._ended = threading.Event()
        self._given_up = threading.Event()
        self._thread = threading.Thread(target=self._go, name="overnight-tracing", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """How many ended runs there is no trace of: too many waited, or they could not be read or sent."""
        return self._overflown + self._unsent

    def tell(self, events: Sequence[Mapping[str, Any]]) -> None:  # Any: see db.stream.Event
        """Take note of runs that have ended. Called by one thread; waits for nobody."""
        for event in events:
            if event["event"] not in _FINAL_EVENTS:
                continue
            if self._waiting.qsize() < MOST_WAITING:
                self._waiting.put(event["run"])
            else:
                self._overflown += 1

    def close(self) -> None:
        """Send what is left, unless the collector is away or takes longer than about 3 s."""
        self._ended.set()
        self._thread.join(CLOSE_S)
        self._given_up.set()
        self._collector.close()
        self._thread.join(GIVE_UP_S)

    def _go(self) -> None:
        with self._collector.quiet():
            while not self._ended.wait(SEND_EVERY_S):
                self._send_waiting()
            if not self._away:
                self._send_waiting()

    def _send_waiting(self) -> None:
        while not self._given_up.is_set() and (run_ids := self._take()):
            try:
                self._send(run_ids)
            except Exception as error:  # noqa: BLE001  # the daemon works on without traces
                self._failed(len(run_ids), error)
                return
            self._succeeded()

    def _take(self) -> list[RunId]:
        taken: list[RunId] = []
        while len(taken) < RUNS_AT_ONCE:
            try:
                taken.append(self._waiting.get_nowait())
            except queue.Empty:
                break
        return taken

    def _send(self, run_ids: Sequence[RunId]) -> None:
        spans = self._read(run_ids)
        for first in range(0, len(spans), SPANS_AT_ONCE):
            self._collector.send(spans[first : first + SPANS_AT_ONCE])

    def _read(self, run_ids: Sequence[RunId]) -> list[Span]:
        with self._database.read() as connection:
            # A commit in doubt may have told of an end that never came.
            found = [run for run in store.by_ids(connection, run_ids).values() if run.state.final]
            roots = _roots(connection, found)
            its_steps = _steps(connection, [run.run_id for run in found])
        return [span for run in found for span in spans_of(run, its_steps[run.run_id], roots[run.run_id], self._ids)]

    def _failed(self, runs: int, error: Exception) -> None:
        self._unsent += runs
        if not self._away and not self._given_up.is_set():
            _log.warning("event=traces_fail %s", logfmt({"error": said_by(error)}))
        self._away = True

    def _succeeded(self) -> None:
        self._away = False
        lost = self.lost
        if lost > self._lost_said:
            _log.warning("event=traces_lost %s", logfmt({"runs": lost - self._lost_said}))
            self._lost_said = lost


def _roots(connection: sa.Connection, found: Sequence[Run]) -> dict[RunId, RunId]:
    """Return for each run the one at the root of its trace: the flow that started it, or the one that started that."""
    parents = {run.run_id: run.parent_id for run in found}
    while missing := {parent for parent in parents.values() if parent is not None} - parents.keys():
        known = store.by_ids(connection, missing)
        # A flow that was removed meanwhile started a trace, for all that can be known.
        parents.update({run_id: known[run_id].parent_id if run_id in known else None for run_id in missing})
    roots = {}
    for run in found:
        root = run.run_id
        while (parent := parents[root]) is not None:
            root = parent
        roots[run.run_id] = root
    return roots


def _steps(connection: sa.Connection, run_ids: Sequence[RunId]) -> dict[int, list[StepTime]]:
    columns = (steps.c.run_id, steps.c.ordinal, steps.c.kind, steps.c.name, steps.c.started_us, steps.c.finished_us)
    query = sa.select(*columns).where(steps.c.run_id.in_(run_ids)).order_by(steps.c.run_id, steps.c.ordinal)
    found: dict[int, list[StepTime]] = defaultdict(list)
    for run_id, ordinal, kind, name, started_us, finished_us in connection.execute(query):
        step = StepTime(ordinal=ordinal, kind=kind, name=name, started_us=started_us, finished_us=finished_us)
        found[run_id].append(step)
    return found


class _Collector:
    """Who takes spans, over HTTP."""

    def __init__(self, endpoint: str, project: str) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
            from opentelemetry.sdk.resources import Resource
        except ImportError as error:
            raise MissingExtra(
                "telemetry.otlp_endpoint: traces need the extra 'otel': pip install 'overnight[otel]'"
            ) from error
        self._exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=ANSWER_S)
        self._resource = Resource.create({"service.name": "overnight", "overnight.project": project})
        self._words = _Words()

    def quiet(self) -> "_Words":
        """Return a block in which the exporter writes no log from this thread: a line for each try, on stderr."""
        return self._words

    def send(self, spans: Sequence[Span]) -> None:
        """Send the spans.

        Raises:
            TransientError: the collector is away, or does not want them.
        """
        from opentelemetry.sdk.trace.export import SpanExportResult

        self._words.said = ""
        if self._exporter.export([self._told(span) for span in spans]) is not SpanExportResult.SUCCESS:
            raise TransientError(self._words.said)

    def close(self) -> None:
        """Send no more; what is under way in another thread is not tried again."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]  # the library's own

    def _told(self, span: Span) -> "ReadableSpan":
        # Made by hand: the SDK's tracer draws ids and asks the environment which spans to leave out.
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, Status, StatusCode, TraceFlags

        def context(span_id: int) -> SpanContext:
            return SpanContext(span.trace_id, span_id, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        return ReadableSpan(
            name=span.name,
            context=context(span.span_id),
            parent=None if span.parent_id is None else context(span.parent_id),
            resource=self._resource,
            attributes=span.attributes,
            status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
            start_time=span.start_us * 1000,
            end_time=span.end_us * 1000,
            instrumentation_scope=InstrumentationScope("overnight"),
        )


class _Words(logging.Filter):
    """Keeps the exporter's lines from the log, in a `with` block and for its thread; the first one says what is wrong.

    Else each try of each batch would be a line on stderr, and nothing else tells why a batch was not taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self.said = ""
        self._thread: int | None = None

    def __enter__(self) -> None:
        self._thread = threading.get_ident()
        logging.getLogger(_EXPORTER_LOG).addFilter(self)

    def __exit__(self, *_: object) -> None:
        logging.getLogger(_EXPORTER_LOG).removeFilter(self)

    def filter(self, record: logging.LogRecord) -> bool:
        if record.thread != self._thread:
            return True
        self.said = self.said or one_line(record.getMessage())
        return False
