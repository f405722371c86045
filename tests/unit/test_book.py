"""Tasks are checked when they are added: one clear line names the task, the field, the value and what is allowed."""

from collections.abc import Callable
from typing import Any

import pytest

from overnight.base.backoff import Backoff
from overnight.base.errors import InvalidTask, UnknownName
from overnight.base.instants import iso
from overnight.engine.book import Book
from overnight.engine.cron import Every, Once
from overnight.engine.model import Needs, Task

RETRY = Backoff(base_s=7.0)


def work() -> None:
    """Do nothing."""


def make(**values: Any) -> Book:
    return Book([Task(**{"task_id": "t", "action": work, **values})], RETRY)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"task_id": ""}, "task_id: '' is not a name"),
        ({"task_id": "two words"}, "task_id: 'two words' is not a name"),
        ({"task_id": 5}, "task_id: 5 is not text"),
        ({"priority": "URGENT"}, "task 't': priority: 'URGENT' is not one of CRITICAL, HIGH, NORMAL, LOW"),
        ({"schedule": "* * * * *", "every": "1m"}, "task 't': give one of schedule, every and once"),
        ({"max_retries": -1}, "task 't': max_retries: -1 is below 0"),
        ({"max_retries": "3"}, "task 't': max_retries: '3' is not a whole number"),
        ({"max_retries": None}, "task 't': max_retries: None is not a whole number"),
        ({"timeout_s": 0}, "task 't': timeout_s: 0 is not a time"),
        ({"timeout_s": float("nan")}, "task 't': timeout_s: nan is not a time"),
        ({"timeout_s": float("inf")}, "task 't': timeout_s: inf is not a time (more than 0 s, at most 100 years)"),
        ({"timeout_s": 1e305}, "task 't': timeout_s: 1e+305 is not a time (more than 0 s, at most 100 years)"),
        ({"timeout_s": True}, "task 't': timeout_s: True is not a number of seconds"),
        ({"retry": 5}, "task 't': retry: 5 is not Backoff(base_s=..., factor=..., cap_s=..., jitter=...)"),
        ({"enabled": "no"}, "task 't': enabled: 'no' is not True or False"),
        ({"enabled": None}, "task 't': enabled: None is not True or False"),
        ({"flow": 1}, "task 't': flow: 1 is not True or False"),
        ({"agent_name": 5}, "task 't': agent_name: 5 is not text"),
        ({"schedule": 5}, "task 't': schedule: 5 is not text"),
        ({"every": 30}, "task 't': every: 30 is not text"),
        ({"once": 5}, "task 't': once: 5 is not text"),
        ({"timezone": 3}, "task 't': timezone: 3 is not text"),
        ({"timezone": None}, "task 't': timezone: None is not text"),
        ({"timeout_s": "5m"}, "task 't': timeout_s: '5m' is not a number of seconds"),
        ({"max_concurrent": 0}, "task 't': max_concurrent: 0 is below 1"),
        ({"max_concurrent": 1.5}, "task 't': max_concurrent: 1.5 is not a whole number"),
        ({"after": ("t",)}, "task 't': after: a task cannot come after itself"),
        ({"after": "other"}, "task 't': after: 'other' is not a list of task ids"),
        ({"after": (1,)}, "task 't': after: (1,) is not a list of task ids"),
        ({"after": ("other",)}, "task 't': after: there is no task 'other' (tasks: t)"),
        ({"needs": {"cpus": 1}}, "task 't': needs: {'cpus': 1} is not Needs("),
        ({"executor": "proces"}, "task 't': executor: 'proces' is not one of inline, thread, process, command"),
        ({"executor": "thread", "timeout_s": 5}, "task 't': executor 'thread' cannot keep a timeout_s"),
        ({"flow": True, "executor": "process"}, "task 't': executor: a flow runs in 'thread' or 'inline', not 'proc"),
        ({"action": "no_colon"}, "task 't': action: 'no_colon' is not written 'module:function'"),
        ({"action": ":f"}, "task 't': action: ':f' is not written 'module:function'"),
        ({"action": 5}, "task 't': action: 5 is not a function"),
        ({"action": ["ls"]}, "task 't': action: ['ls'] is not a function"),
        ({"action": ()}, "task 't': action: () is not a command line"),
        ({"action": ("ls", 1)}, "task 't': action: ('ls', 1) is not a command line"),
        ({"action": ("ls",), "executor": "thread"}, "task 't': action: ('ls',) cannot run in executor 'thread'"),
        ({"action": "m:f", "executor": "command"}, "task 't': action: 'm:f' cannot run in executor 'command'"),
        ({"action": lambda: 1}, "task 't': action: a child process cannot find <function"),
        ({"args": {"x": object()}}, "task 't': args: "),
        ({"schedule": "61 * * * *"}, "task 't': schedule '61 * * * *': '61' is not a minute"),
        ({"every": "soon"}, "task 't': every 'soon' is not a period"),
        ({"once": "2027-01-01", "timezone": "Mars"}, "task 't': timezone 'Mars' is not a name"),
        ({"once": "soon"}, "task 't': once 'soon' is not an instant"),
        ({"schedule": "* * * * *", "timezone": "Mars"}, "task 't': timezone 'Mars' is not a name"),
    ],
)
def test_bad_task_is_one_clear_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        make(**values)
    assert str(caught.value).startswith(line)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"cpus": -1}, "needs.cpus: -1 is not a number of cores"),
        ({"cpus": float("nan")}, "needs.cpus: nan is not a number of cores"),
        ({"cpus": float("inf")}, "needs.cpus: inf is not a number of cores"),
        ({"cpus": "2"}, "needs.cpus: '2' is not a number of cores"),
        ({"gpus": 1.0}, "needs.gpus: 1.0 is not a number of GPUs"),
        ({"gpus": -1}, "needs.gpus: -1 is not a number of GPUs"),
        ({"gpus": 1, "gpu_memory_gb": "8"}, "needs.gpu_memory_gb: '8' is not a number of gigabytes"),
        ({"gpu_memory_gb": 8}, "needs.gpu_memory_gb: it is that of each GPU; set needs.gpus too"),
        ({"locks": "gpu"}, "needs.locks: 'gpu' is not a list of names"),
        ({"locks": (1,)}, "needs.locks: (1,) is not a list of names"),
    ],
)
def test_bad_needs_are_one_clear_line(values: dict[str, Any], line: str) -> None:
    with pytest.raises(InvalidTask) as caught:
        Needs(**values)
    assert str(caught.value).startswith(line)


def flow_of_name(flow: object) -> None:
    """Have a first parameter named `flow`."""


class Hidden:
    """A callable whose parameters nobody can read."""

    __signature__ = "none"

    def __call__(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize(
    ("values", "executor", "timeout_s", "target", "flow"),
    [
        ({}, "process", 600, f"{__name__}:work", False),
        ({"timeout_s": 5}, "process", 5, f"{__name__}:work", False),
        ({"action": "m:f"}, "process", 600, "m:f", False),
        ({"action": ("ls", "-l")}, "command", 600, None, False),
        ({"action": flow_of_name}, "thread", None, None, True),
        ({"action": "m:f", "flow": True, "timeout_s": 9}, "thread", 9, None, True),
        ({"action": lambda: 1, "executor": "inline"}, "inline", None, None, False),
        ({"action": Hidden(), "executor": "thread"}, "thread", None, None, False),
    ],
)
def test_what_was_left_open_is_decided_by_the_kind_of_action(
    values: dict[str, Any], executor: str, timeout_s: float | None, target: str | None, flow: bool
) -> None:
    entry = make(**values).get("t")
    assert (entry.executor, entry.timeout_s, entry.target, entry.task.flow) == (executor, timeout_s, target, flow)


def test_book_knows_triggers_retries_and_dependants() -> None:
    own = Backoff(base_s=1.0)
    tasks = [
        Task(task_id="a", action=work, every="30s", retry=own),
        Task(task_id="b", action=work, after=("a", "a")),
        Task(task_id="c", action=work, after=["a", "b"]),  # type: ignore[arg-type]  # as a TOML file gives it
    ]
    book = Book(tasks, RETRY)
    assert [entry.task.task_id for entry in book] == ["a", "b", "c"]
    assert book.get("a").dependants == ("b", "c")
    assert book.get("b").task.after == ("a",)
    assert book.after == {"a": (), "b": ("a",), "c": ("a", "b")}
    assert (book.get("a").trigger, book.get("a").trigger_text) == (Every(period_us=30_000_000), "every 30s")
    assert (book.get("a").retry, book.get("b").retry) == (own, RETRY)
    assert "a" in book
    assert book.find("nobody") is None
    with pytest.raises(UnknownName, match=r"there is no task 'nobody'; known are a, b, c"):
        book.get("nobody")
    with pytest.raises(UnknownName, match="there is no task 'a'; the project has no tasks yet"):
        Book([], RETRY).get("a")
    with pytest.raises(InvalidTask, match="there are two tasks 'a'"):
        Book([tasks[0], tasks[0]], RETRY)


@pytest.mark.parametrize(
    ("text", "zone", "instant"),
    [
        ("2027-07-01T04:30", "UTC", "2027-07-01T04:30:00.000+00:00"),
        ("2027-07-01T04:30", "Europe/Berlin", "2027-07-01T02:30:00.000+00:00"),
        ("2027-07-01T04:30Z", "Europe/Berlin", "2027-07-01T04:30:00.000+00:00"),
    ],
)
def test_once_is_local_time_of_the_task_unless_it_has_an_offset(text: str, zone: str, instant: str) -> None:
    entry = make(once=text, timezone=zone).get("t")
    assert entry.trigger_text == f"once {instant}"
    assert isinstance(entry.trigger, Once)
    assert iso(entry.trigger.at_us) == instant


def test_a_book_that_need_not_be_whole_knows_what_it_can_of_the_parents() -> None:
    tasks = [
        Task(task_id="a", action=work, after=("b", "gone")),
        Task(task_id="b", action=work, after=("a",)),
    ]
    with pytest.raises(InvalidTask, match="there is no task 'gone'"):
        Book(tasks, RETRY)
    book = Book(tasks, RETRY, whole=False)
    assert (book.get("a").dependants, book.get("b").dependants) == (("b",), ("a",))


def test_function_inside_a_function_is_refused_for_a_child_process() -> None:
    def nested() -> None:
        """Be unreachable by name."""

    action: Callable[[], None] = nested
    with pytest.raises(InvalidTask, match="move it to the top of a module, or give executor='thread'"):
        make(action=action)
