"""What a person reads while waiting is computed from what the run told."""

import json
from datetime import UTC
from zoneinfo import ZoneInfo

import pytest

from overnight.base.ids import RunId, TaskId, Token
from overnight.base.refs import ErrorRef, Usage
from overnight.cli.describe import figures, remark, shortened, story, used, waiting
from overnight.cli.printing import amount, clean, clock_time, print_table, span
from overnight.cli.progress import Meter, News, status
from overnight.engine.model import Priority, Run, State


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.at = 0.0

    def now_us(self) -> int:
        return int(self.at * 1e6)

    def monotonic(self) -> float:
        return self.at


def a_run(**changed: object) -> Run:
    known = {
        "run_id": RunId(7),
        "task_id": TaskId("train"),
        "state": State.IN_PROGRESS,
        "priority": Priority.NORMAL,
        "queue": None,
        "created_us": 0,
        "due_us": 0,
        "rank": None,
        "attempt": 1,
        "token": Token(1),
        "worker_id": "me",
    }
    return Run(**{**known, **changed})  # type: ignore[arg-type]


def at(done: float, total: float | None = 100, **changed: object) -> Run:
    told = {"done": done} | ({} if total is None else {"total": total})
    return a_run(progress=json.dumps(told), **changed)


def test_the_pace_is_what_was_done_since_it_was_first_seen():
    clock = Hands()
    meter = Meter(clock)
    assert meter.pace(at(20)) is None
    clock.at = 4.0
    pace = meter.pace(at(40))
    assert pace is not None
    assert (pace.per_s, pace.left_s) == (5.0, 12.0)
    assert status(at(40), meter) == "40 of 100, 5/s, 12 s left"


def test_a_new_try_starts_the_measurement_anew():
    clock = Hands()
    meter = Meter(clock)
    meter.pace(at(90))
    clock.at = 10.0
    assert meter.pace(at(10, token=Token(2))) is None
    clock.at = 11.0
    pace = meter.pace(at(20, token=Token(2)))
    assert pace is not None
    assert pace.per_s == 10.0


def test_without_a_total_no_time_left_is_claimed():
    clock = Hands()
    meter = Meter(clock)
    meter.pace(at(1, None))
    clock.at = 1.0
    assert status(at(3, None), meter) == "3, 2/s"


@pytest.mark.parametrize("told", ['{"done": "half"}', '{"done": true}', "{}", '{"loss": 1}'])
def test_progress_of_another_kind_claims_no_number(told):
    assert status(a_run(progress=told), Meter(Hands())) == "in progress"


def test_a_run_that_begins_and_ends_between_two_looks_is_told_to_have_begun():
    news = News(None, every_change=True)
    parent, pending = a_run(run_id=RunId(1)), a_run(run_id=RunId(2), state=State.PENDING)
    assert list(news.lines([parent])) == ["run 1 of train is in progress"]
    assert list(news.lines([parent, pending])) == ["run 2 of train is pending"]
    never_seen = a_run(run_id=RunId(3), state=State.COMPLETED)
    ended = [parent._replace(state=State.COMPLETED), pending._replace(state=State.COMPLETED), never_seen]
    assert list(news.lines(ended)) == ["run 2 of train is in progress", "run 3 of train is in progress"]
    assert list(news.lines(ended)) == []
    assert list(News(None, every_change=True).lines(ended)) == [], "all had ended before anybody looked"


def test_who_waits_for_what_is_said():
    parked = a_run(worker_id=None, waiting_for={"question": 3})
    assert status(parked, Meter(Hands())) == "waits for an answer to question 3 (`overnight questions list`)"
    assert waiting(a_run(waiting_for={"runs": [1, 2]})) == "runs 1, 2"
    assert waiting(a_run(waiting_for={"after": ["a", "b"]})) == "the tasks a, b"
    assert waiting(a_run(waiting_for={"until_us": 1_000_000})) == "1970-01-01T00:00:01.000+00:00"
    assert waiting(a_run(waiting_for={"moon": 1})) == '{"moon": 1}'


def test_what_was_not_measured_says_so():
    assert used(Usage(cpu_s=0.25)) == "cpu 0.25 s, memory not measured, gpu not measured, cost not measured"


def test_a_story_has_a_line_for_each_event_and_counts_what_is_left_out():
    told = story(a_run(history=(("started", 1000), ("failed", 2_000_000, "boom"), ("...", 40))), UTC)
    assert list(told) == [
        "00:00:00.000  submitted",
        "00:00:00.001  a worker took it",
        "00:00:02.000  a try failed: boom",
        "              (40 more left out)",
    ]


def test_a_retry_tells_its_reason_and_its_time():
    error = ErrorRef(family="transient", type="OSError", message="no route")
    run = a_run(state=State.RETRYING, worker_id=None, error=error, due_us=3_600_000_000)
    assert remark(run, ZoneInfo("Europe/Berlin")) == "OSError: no route, again at 02:00:00"
    assert remark(at(3, 4), UTC) == "3 of 4"
    assert figures(a_run(progress='{"done": 2, "loss": 0.123456, "phase": "fit"}')) == "2, loss 0.1235, phase fit"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0031, "3 ms"),
        (0.314, "0.31 s"),
        (9.96, "10 s"),
        (47.2, "47 s"),
        (60, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (7500, "2 h 5 min"),
        (273600, "3 d 4 h"),
    ],
)
def test_spans_are_said_as_people_say_them(seconds, said):
    assert span(seconds) == said


def test_bytes_are_said_as_people_say_them():
    assert [amount(size) for size in (12, 3450, 84.6e9, 2e12)] == ["12 bytes", "3.45 kB", "84.6 GB", "2 TB"]


def test_control_characters_are_shown_not_obeyed():
    assert clean("a\x1b[31mb\tc\nd") == "a\\x1b[31mb c\nd"
    assert clean("first\n   second", one_line=True) == "first second"
    assert clock_time(1_500_000, UTC, parts=True) == "00:00:01.500"


def test_only_the_last_column_of_a_table_gives_way(capsys):
    long = "word " * 30
    print_table(("NAME", "TEXT"), [("n" * 40, long)])
    cut = capsys.readouterr().out.splitlines()
    assert cut[1].startswith("n" * 40 + "  word")
    assert cut[1].endswith("…")
    assert max(map(len, cut)) <= 80
    print_table(("NAME", "TEXT"), [("n" * 40, long)], fold=True)
    folded = capsys.readouterr().out
    assert folded.split().count("word") == 30
    assert max(map(len, folded.splitlines())) <= 80


def test_a_long_value_says_how_much_is_left_out():
    assert shortened("x" * 12, 10) == "xxxxxxxxxx ... (2 more characters; see --json)"
