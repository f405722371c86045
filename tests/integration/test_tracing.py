"""Traces of runs, as an OpenTelemetry collector on loopback gets them from a daemon."""

import contextlib
import logging
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from overnight.app import tracing
from overnight.app.daemon import Daemon
from overnight.app.describing import steps_of
from overnight.app.journal import FILE
from overnight.app.project import Project
from overnight.app.signals import Stop
from overnight.app.tracing import Ids, Tracer, spans_of
from overnight.base.backoff import Backoff
from overnight.base.errors import MissingExtra, OvernightError
from overnight.engine.model import Priority, Run, State, Task

pytest.importorskip("opentelemetry.exporter.otlp.proto.http")

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

PATIENCE_S = 30.0
OTHERS = "opentelemetry"


class Collector:
    """Takes traces until the `with` block ends; while `hangs` is set, it takes them and does not answer."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.paths: list[str] = []
        self.hangs = threading.Event()
        self.freed = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.hangs.is_set():
                    collector.freed.wait(PATIENCE_S)
                    return
                collector.paths.append(self.path)
                collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self.port = self._server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> "Collector":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.freed.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def spans(self) -> list[Span]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def span(self, name: str) -> Span:
        [span] = [span for span in self.spans if span.name == name]
        return span


@pytest.fixture
def collector() -> Iterator[Collector]:
    with Collector() as found:
        yield found


@pytest.fixture
def nowhere() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def attributes(of: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in of.attributes}


def times(span: Span) -> tuple[int, int]:
    return span.start_time_unix_nano, span.end_time_unix_nano


def hello() -> str:
    return "hello"


def broken() -> None:
    raise RuntimeError("the disk is\nfull")


def add_tasks(project: Project) -> None:
    retry = Backoff(base_s=0.01, cap_s=0.01)
    project.add_task(Task(task_id="hello", action=hello, executor="thread"))
    project.add_task(Task(task_id="broken", action=broken, executor="thread", max_retries=1, retry=retry))
    project.add_task(Task(task_id="after", action=hello, executor="thread", after=("broken",)))
    project.add_task(Task(task_id="family", action=family, executor="thread", flow=True))


def family(flow: Any) -> str:
    flow.step("measure", hello)
    flow.wait(flow.start("hello"))
    return flow.ask("go", "Shall it go on?")


def opened(folder: Path, endpoint: str | None = None) -> Project:
    project = Project.create(folder, overrides={"telemetry.otlp_endpoint": endpoint} if endpoint else {})
    add_tasks(project)
    return project


@contextlib.contextmanager
def up(folder: Path, endpoint: str) -> Iterator[Project]:
    """Have a daemon work on the project of the folder, for the length of the block."""
    stop, raised = Stop(), []
    with opened(folder, endpoint) as project:

        def work() -> None:
            try:
                Daemon(project).run(stop, lambda daemon: ("", lambda: None))
            except BaseException as error:  # noqa: BLE001  # shown by the test's own thread
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield project
        finally:
            stop.ask()
            thread.join(PATIENCE_S)
    assert raised == []


def finished(folder: Path) -> int:
    """Return a run that has completed, of which nobody has told a tracer."""
    with opened(folder) as project:
        run_id = project.submit("hello")
        project.run(until_idle=True)
    return run_id


def ended(*run_ids: int) -> list[dict[str, Any]]:
    return [{"run": run_id, "task": "hello", "event": "completed"} for run_id in run_ids]


def until(done: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < give_up, "it did not come to pass"
        time.sleep(0.01)


# -- what the collector gets


def test_a_completed_run_is_a_span_of_its_own_trace(tmp_path, collector):
    with up(tmp_path, collector.url) as project:
        run = project.wait(project.submit("hello"), PATIENCE_S)
    [span] = collector.spans
    assert collector.paths == ["/v1/traces"]
    assert span.name == "hello"
    assert times(span) == (run.created_us * 1000, run.finished_us * 1000)
    assert (len(span.trace_id), len(span.span_id), span.parent_span_id) == (16, 8, b"")
    assert span.status.code == Status.STATUS_CODE_UNSET
    assert attributes(span) == {
        "overnight.run_id": run.run_id,
        "overnight.task_id": "hello",
        "overnight.state": "COMPLETED",
        "overnight.attempt": 1,
        "overnight.start_lag_s": (run.started_us - run.due_us) / 1e6,
        **({} if run.usage.cpu_s is None else {"overnight.cpu_s": run.usage.cpu_s}),
    }


def test_what_a_child_has_used_is_told(tmp_path, collector):
    with up(tmp_path, collector.url) as project:
        action = (sys.executable, "-I", "-S", "-c", "bytearray(60_000_000)")
        project.add_task(Task(task_id="child", action=action, executor="command"))
        run = project.wait(project.submit("child"), PATIENCE_S)
    told = attributes(collector.span("child"))
    assert told["overnight.cpu_s"] == run.usage.cpu_s > 0
    assert told["overnight.peak_memory_gb"] == run.usage.peak_memory_gb >= 0.06


def test_who_sends_is_named_after_the_project(tmp_path, collector):
    folder = tmp_path / "cinema"
    folder.mkdir()
    run_id = finished(folder)
    with opened(folder) as project:
        tracer = Tracer(project, f"{collector.url}/")
        tracer.tell(ended(run_id))
        tracer.close()
    assert collector.paths == ["/v1/traces"]
    told = attributes(collector.requests[0].resource_spans[0].resource)
    assert (told["service.name"], told["overnight.project"]) == ("overnight", "cinema")


def test_a_failed_run_has_a_span_for_each_try_and_says_why(tmp_path, collector):
    with up(tmp_path, collector.url) as project:
        run = project.wait(project.submit("broken"), PATIENCE_S)
    whole = collector.span("broken")
    assert (run.state, run.attempt) == ("FAILED", 2)
    assert (whole.status.code, whole.status.message) == (Status.STATUS_CODE_ERROR, run.error.message)
    assert "the disk is" in whole.status.message
    assert times(whole) == (run.created_us * 1000, run.finished_us * 1000)
    assert attributes(whole)["overnight.attempt"] == 2
    first, second = collector.span("try 1"), collector.span("try 2")
    assert {first.trace_id, second.trace_id} == {whole.trace_id}
    assert {first.parent_span_id, second.parent_span_id} == {whole.span_id}
    assert len({first.span_id, second.span_id, whole.span_id}) == 3
    at = [(run.created_us + entry[1]) * 1000 for entry in run.history]
    assert [entry[0] for entry in run.history] == ["started", "failed", "started", "failed"]
    assert (times(first), times(second)) == ((at[0], at[1]), (at[2], at[3]))
    assert (first.status.code, first.status.message) == (Status.STATUS_CODE_ERROR, run.history[1][2])


def test_a_run_that_was_blocked_is_told_and_is_no_error(tmp_path, collector):
    with up(tmp_path, collector.url) as project:
        project.wait(project.submit("broken", with_dependants=True), PATIENCE_S)
        until(lambda: project.runs(task_id="after", state=State.CANCELLED))
        [blocked] = project.runs(task_id="after")
    span = collector.span("after")
    assert times(span) == (blocked.created_us * 1000, blocked.finished_us * 1000)
    assert attributes(span)["overnight.state"] == "CANCELLED"
    assert "overnight.start_lag_s" not in attributes(span)
    assert span.status.code == Status.STATUS_CODE_UNSET


def test_a_flow_its_steps_and_the_run_that_it_started_are_one_trace_across_daemons(tmp_path, collector):
    with up(tmp_path, collector.url) as project:
        flow_id = project.submit("family")
        until(project.questions)
        until(lambda: project.get(flow_id).parked)
    child = collector.span("hello")
    assert [span.name for span in collector.spans] == ["hello"]
    with up(tmp_path, collector.url) as project:
        [question] = project.questions()
        project.answer(question.question_id, "yes")
        run = project.wait(flow_id, PATIENCE_S)
        [child_run] = [found for found in project.runs() if found.parent_id == flow_id]
        recorded = steps_of(project, flow_id)[0]
    assert run.state == "COMPLETED"
    whole, step = collector.span("family"), collector.span("measure")
    assert times(whole) == (run.created_us * 1000, run.finished_us * 1000)
    assert times(child) == (child_run.created_us * 1000, child_run.finished_us * 1000)
    assert whole.parent_span_id == b""
    assert (child.trace_id, child.parent_span_id) == (whole.trace_id, whole.span_id)
    assert (step.trace_id, step.parent_span_id) == (whole.trace_id, whole.span_id)
    assert times(step) == (recorded.started_us * 1000, recorded.finished_us * 1000)
    parts = {
        span.name: attributes(span)["overnight.step_kind"] for span in collector.spans if span not in (whole, child)
    }
    assert parts == {
        "measure": "step",
        "start hello": "start",
        f"wait {child_run.run_id}": "wait",
        "ask go": "ask",
    }
    assert len({span.span_id for span in collector.spans}) == len(collector.spans) == 6


def test_a_restarted_daemon_gives_a_run_the_same_ids_and_another_folder_gives_others(tmp_path, collector):
    run_id = finished(tmp_path)
    for _ in range(2):
        with opened(tmp_path) as project:
            tracer = Tracer(project, collector.url)
            tracer.tell(ended(run_id))
            tracer.close()
    first, second = collector.spans
    assert first == second
    here, there = Ids(folder=str(tmp_path)), Ids(folder=str(tmp_path / "copy"))
    assert int.from_bytes(first.span_id, "big") == here.span(run_id) != there.span(run_id)
    assert int.from_bytes(first.trace_id, "big") == here.trace(run_id) != there.trace(run_id)


def test_the_end_of_a_grandchild_names_the_trace_of_the_first_flow(tmp_path, collector):
    def outer(flow):
        flow.wait(flow.start("inner"))

    def inner(flow):
        flow.wait(flow.start("hello"))

    with up(tmp_path, collector.url) as project:
        project.add_task(Task(task_id="inner", action=inner, executor="thread", flow=True))
        project.add_task(Task(task_id="outer", action=outer, executor="thread", flow=True))
        project.wait(project.submit("outer"), PATIENCE_S)
    first, second, third = (collector.span(name) for name in ("outer", "inner", "hello"))
    assert first.trace_id == second.trace_id == third.trace_id
    assert (second.parent_span_id, third.parent_span_id) == (first.span_id, second.span_id)


def test_many_runs_are_sent_in_several_batches_and_each_once(tmp_path, collector, monkeypatch):
    monkeypatch.setattr(tracing, "RUNS_AT_ONCE", 3)
    monkeypatch.setattr(tracing, "SPANS_AT_ONCE", 2)
    with up(tmp_path, collector.url) as project:
        run_ids = [project.submit("hello") for _ in range(7)]
        for run_id in run_ids:
            project.wait(run_id, PATIENCE_S)
    assert sorted(attributes(span)["overnight.run_id"] for span in collector.spans) == run_ids
    assert len(collector.requests) >= 4


def test_an_end_that_never_came_is_not_told(tmp_path, collector):
    with opened(tmp_path) as project:
        run_id = project.submit("hello")
        tracer = Tracer(project, collector.url)
        tracer.tell([*ended(run_id, 10**6), {"task": "hello", "event": "paused"}])
        tracer.close()
    assert collector.requests == []
    assert tracer.lost == 0


def test_no_try_reaches_across_what_is_left_out_of_a_long_history():
    entries = (
        ("started", 1),
        ("failed", 2, "one"),
        ("started", 3),
        ("...", 40),
        ("failed", 5, "x"),
        ("started", 6),
        ("lost", 7),
        ("started", 8),
        ("completed", 9),
    )
    run = Run(
        run_id=1, task_id="hello", state=State.COMPLETED, priority=Priority.NORMAL, queue=None, created_us=100,
        due_us=100, rank=None, finished_us=109, history=entries,
    )  # fmt: skip
    tries = spans_of(run, [], 1, Ids(folder="/"))[1:]
    assert [(span.name, span.start_us, span.end_us) for span in tries] == [
        ("try 1", 101, 102), ("try", 106, 107), ("try", 108, 109),
    ]  # fmt: skip
    assert [span.error for span in tries] == ["one", None, None]


# -- a collector that is away


def test_an_outage_is_one_line_and_its_end_says_what_was_lost(tmp_path, nowhere, monkeypatch, caplog):
    monkeypatch.setattr(tracing, "SEND_EVERY_S", 0.05)
    monkeypatch.setattr(tracing, "ANSWER_S", 1.5)  # room for a second try
    caplog.set_level(logging.INFO)
    run_id = finished(tmp_path)

    def said(event: str) -> list[str]:
        return [record.getMessage() for record in caplog.records if f"event={event} " in record.getMessage()]

    def lose(tracer: Tracer) -> None:
        before = tracer.lost
        tracer.tell(ended(run_id))
        until(lambda: tracer.lost > before)

    with opened(tmp_path) as project, closing(Tracer(project, f"http://127.0.0.1:{nowhere}")) as tracer:
        lose(tracer)
        # It counts first, and says so then.
        until(lambda: said("traces_fail"))
        lose(tracer)
        assert len(said("traces_fail")) == 1
        assert "refused" in said("traces_fail")[0]
        with Collector(nowhere) as collector:
            tracer.tell(ended(run_id))
            until(lambda: said("traces_lost"))
            assert [span.name for span in collector.spans] == ["hello"]
        assert said("traces_lost") == ["event=traces_lost runs=2"]
        lose(tracer)
        until(lambda: len(said("traces_fail")) == 2)
    assert [record.name for record in caplog.records if record.name.startswith(OTHERS)] == []


def test_a_daemon_works_and_stops_in_time_while_the_collector_is_away(tmp_path, nowhere):
    with up(tmp_path, f"http://127.0.0.1:{nowhere}") as project:
        runs = [project.wait(project.submit("hello"), PATIENCE_S) for _ in range(3)]
        since = time.monotonic()
    assert time.monotonic() - since < 6
    assert {run.state for run in runs} == {State.COMPLETED}
    assert "Traceback" not in (tmp_path / ".overnight" / FILE).read_text()


@pytest.mark.parametrize("hangs", [False, True])
def test_closing_does_not_wait_for_a_collector(tmp_path, collector, nowhere, hangs, caplog):
    collector.hangs.set()
    run_id = finished(tmp_path)
    with opened(tmp_path) as project:
        tracer = Tracer(project, collector.url if hangs else f"http://127.0.0.1:{nowhere}")
        tracer.tell(ended(run_id))
        since = time.monotonic()
        tracer.close()
        assert time.monotonic() - since < 4
        collector.freed.set()
        until(lambda: not any(thread.name == "overnight-tracing" for thread in threading.enumerate()))
    assert [record.name for record in caplog.records if record.name.startswith(OTHERS)] == []


def test_runs_beyond_those_that_may_wait_are_counted_and_not_kept(tmp_path, collector, monkeypatch):
    monkeypatch.setattr(tracing, "MOST_WAITING", 3)
    monkeypatch.setattr(tracing, "SEND_EVERY_S", 60)
    with opened(tmp_path) as project:
        run_ids = [project.submit("hello") for _ in range(5)]
        project.run(until_idle=True)
        with closing(Tracer(project, collector.url)) as tracer:
            tracer.tell(ended(*run_ids))
            assert tracer.lost == 2
    assert [attributes(span)["overnight.run_id"] for span in collector.spans] == run_ids[:3]


def test_a_database_that_cannot_be_read_costs_traces_and_nothing_else(tmp_path, collector, monkeypatch, caplog):
    monkeypatch.setattr(tracing, "SEND_EVERY_S", 0.05)
    run_id = finished(tmp_path)
    with opened(tmp_path) as project, closing(Tracer(project, collector.url)) as tracer:
        with monkeypatch.context() as patch:
            patch.setattr(project.database, "read", lambda: (_ for _ in ()).throw(OvernightError("it is locked")))
            tracer.tell(ended(run_id))
            until(lambda: tracer.lost == 1)
        tracer.tell(ended(run_id))
        until(lambda: collector.spans)
    assert [record.getMessage() for record in caplog.records if record.name == "overnight.tracing"] == [
        'event=traces_fail error="it is locked"',
        "event=traces_lost runs=1",
    ]


# -- what it needs


def test_without_the_extra_the_daemon_says_what_to_install_and_lets_go(tmp_path, collector, monkeypatch):
    with opened(tmp_path, collector.url) as project:
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)
            with pytest.raises(MissingExtra) as caught:
                Daemon(project).run(Stop(), lambda daemon: ("", lambda: None))
        assert str(caught.value) == (
            "telemetry.otlp_endpoint: traces need the extra 'otel': pip install 'overnight[otel]'"
        )
    with up(tmp_path, collector.url) as project:
        assert project.wait(project.submit("hello"), PATIENCE_S).state == State.COMPLETED


def test_without_an_endpoint_nothing_of_opentelemetry_is_needed(tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == OTHERS]:
        monkeypatch.setitem(sys.modules, name, None)
    with opened(tmp_path) as project:
        stop = Stop()
        stop.ask()
        Daemon(project).run(stop, lambda daemon: ("", lambda: None))
    assert "event=down" in (tmp_path / ".overnight" / FILE).read_text()
