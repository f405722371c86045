"""A run as a person reads it."""

import json
from collections.abc import Iterator
from datetime import tzinfo
from typing import TYPE_CHECKING, Any

from overnight.base.instants import iso
from overnight.cli.printing import clock_time, compact, moment, span, span_us

if TYPE_CHECKING:
    from overnight.base.refs import ErrorRef, Usage
    from overnight.engine.gaps import MissedSpan
    from overnight.engine.model import Run

NOT_MEASURED = "not measured"
_LONGEST_VALUE = 2000

_STORY = {
    "started": "a worker took it",
    "resumed": "went on",
    "failed": "a try failed",
    "yielded": "given back to the queue by a worker that stopped",
    "set_back": "given back before it had written a checkpoint; waits before it is tried again",
    "lost": "its worker died; back in the queue",
    "parked": "began to wait",
    "completed": "completed",
    "cancelled": "cancelled",
}


def missed_json(span: "MissedSpan") -> dict[str, Any]:  # Any: JSON
    """Return instants that had no run for a program."""
    return {"from": iso(span.first_us), "to": iso(span.last_us), "count": span.count, "reason": span.reason}


def how_many(count: int | None) -> str:
    """Return the number of instants in words; None stands for more than were counted."""
    return "many" if count is None else str(count)


def facts(run: "Run", zone: tzinfo, now_us: int) -> Iterator[tuple[str, str]]:
    """Yield what a person wants to know of a run, as (name, text)."""
    tries = "1 try" if run.attempt == 1 else f"{run.attempt} tries"
    yield "created", moment(run.created_us, zone)
    if not run.state.final and run.due_us > run.created_us:
        yield "due", moment(run.due_us, zone)
    if run.started_us is not None:
        yield "started", moment(run.started_us, zone)
    if run.finished_us is not None:
        yield "finished", moment(run.finished_us, zone)
    if run.attempt:
        now_too = 0 if run.worker_id is None or run.started_us is None else max(0, now_us - run.started_us)
        yield "worked", f"{span_us(run.worked_us + now_too)} in {tries}{' so far' if now_too else ''}"
    yield "priority", run.priority
    optional: dict[str, Any] = {  # Any: numbers and text
        "started by": None if run.parent_id is None else f"run {run.parent_id}",
        "forked from": None if run.forked_from is None else f"run {run.forked_from}",
        "worker": run.worker_id,
        "waits for": None if run.waiting_for is None else waiting(run),
        "progress": None if run.progress is None else figures(run),
        "last heard from": None if run.heard_us is None else f"{span_us(max(0, now_us - run.heard_us))} ago",
        "arguments": run.args,
    }
    yield from ((name, str(value)) for name, value in optional.items() if value is not None)
    yield "used", used(run.usage)
    if run.error is not None:
        yield "error", reason(run.error)
    if run.result is not None:
        yield "result", shortened(run.result)


def reason(error: "ErrorRef | None") -> str:
    """Return why something ended badly, in one line; nothing for no error."""
    if error is None:
        return ""
    return error.message if error.type in ("Cancelled", "Blocked") else f"{error.type}: {error.message}"


def used(usage: "Usage") -> str:
    """Return what a run used; what was not measured says so."""
    values = {
        "cpu": None if usage.cpu_s is None else span(usage.cpu_s),
        "memory": None if usage.peak_memory_gb is None else f"{usage.peak_memory_gb:.3g} GB",
        "gpu": None if usage.gpu_s is None else span(usage.gpu_s),
        "cost": None if usage.cost is None else f"{usage.cost:.4g} USD",
    }
    return ", ".join(f"{name} {value or NOT_MEASURED}" for name, value in values.items())


def waiting(run: "Run") -> str:
    """Return what a run waits for."""
    match dict(run.waiting_for or {}):
        case {"runs": list(ids), **_rest}:
            return "runs " + ", ".join(map(str, ids))
        case {"question": number}:
            return f"an answer to question {number} (`overnight questions list`)"
        case {"until_us": at_us}:
            return iso(at_us) or ""
        case {"after": list(names)}:
            return "the tasks " + ", ".join(str(name) for name in names)
        case {"yield": True}:
            return "a worker"
        case other:
            return compact(other)


def figures(run: "Run") -> str:
    """Return the newest progress of a run as text."""
    values = json.loads(run.progress or "{}")
    done, total = values.pop("done", None), values.pop("total", None)
    parts = [] if done is None else [f"{done:g} of {total:g}" if total is not None else f"{done:g}"]
    parts += [
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    ]
    return ", ".join(parts)


def story(run: "Run", zone: tzinfo) -> Iterator[str]:
    """Yield what happened to a run, one line for each event."""
    yield f"{clock_time(run.created_us, zone, parts=True)}  submitted"
    for what, *rest in run.history:
        if what == "...":
            yield f"              ({rest[0]} more left out)"
            continue
        after_us, *more = rest
        said = f": {more[0]}" if more else ""
        happened = _STORY.get(what, what)
        yield f"{clock_time(run.created_us + after_us, zone, parts=True)}  {happened}{said}"


def shortened(text: str, limit: int = _LONGEST_VALUE) -> str:
    """Return the text, cut where it is long, with a note of how much is left out."""
    return text if len(text) <= limit else f"{text[:limit]} ... ({len(text) - limit} more characters; see --json)"


def remark(run: "Run", zone: tzinfo) -> str:
    """Return the one thing worth saying about a run in a list."""
    if run.error is not None:
        again = f", again at {clock_time(run.due_us, zone)}" if not run.state.final else ""
        return f"{reason(run.error)}{again}"
    if run.waiting_for is not None:
        return f"waits for {waiting(run)}"
    return figures(run) if run.progress is not None else ""
