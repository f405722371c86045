"""The last phases: reports and logs, clearing up, the result for other programs."""

import gzip
import json
import shutil
from datetime import datetime, timedelta
from pathlib import Path

from overnight.base.errors import said_by
from overnight.base.files import replace_file, write_json
from overnight.base.instants import from_datetime, to_datetime
from overnight.engine import cron
from overnight.engine import store as runs
from overnight.engine.model import State
from overnight.fleet import roster
from overnight.flows.nightly.night import TASK, Json, Nightly
from overnight.reports.daily import daily_report
from overnight.reports.history import metrics_of, only
from overnight.reports.monitor import entry_of
from overnight.reports.page import daily_page

TAIL_BYTES = 20_000
"""How much of a failed training's log goes into the monitor's log."""


def earlier(night: Nightly, flow_id: int) -> list[Json]:
    """Return the results of the nights before this one, oldest first."""
    with night.database.read() as connection:
        found = runs.newest(connection, limit=1_000_000, task_id=TASK, state=State.COMPLETED)
    return [json.loads(run.result) for run in reversed(found) if run.result is not None and run.run_id != flow_id]


def metrics_of_project(night: Nightly, result: Json) -> Json:
    """Return the project's own figures; one that fails is named with the reason and has no number."""
    found: Json = {}
    for name, spec in night.config.nightly.metrics.items():
        try:
            found[name] = {"value": float(night.load(f"nightly.metrics.{name}", spec)(result)), "error": None}
        except Exception as error:  # noqa: BLE001 - the project's own code must not stop the report
            found[name] = {"value": None, "error": said_by(error)}
    return found


def report(night: Nightly, flow_id: int, result: Json) -> Json:
    """Write what a person and other programs read about the night; return the paths."""
    monitoring = night.config.nightly.monitoring
    before = earlier(night, flow_id)
    learners = roster.learners(night.agents)
    written: Json = {}
    if monitoring.generate_reports:
        # The report of a day tells of the whole fleet; a training of some agents does not take its place.
        day = datetime.fromisoformat(result["timestamp"]).date().isoformat()
        name = f"daily_report_{day}" if learners.keys() <= result["agents"].keys() else f"agents_report_{flow_id}"
        text, page = (night.logs / f"{name}.{suffix}" for suffix in ("txt", "html"))
        fleet = only(before, learners)
        replace_file(text, daily_report(result, fleet, night.name))
        replace_file(page, daily_page(result, fleet, night.name))
        written |= {"report": str(text), "page": str(page)}
    if monitoring.track_metrics:
        write_json(night.logs / "training_metrics.json", {"nights": [metrics_of(one) for one in [*before, result]]})
        written["metrics"] = str(night.logs / "training_metrics.json")
    if monitoring.save_logs:
        _add_to_monitor(night, result)
        written["log"] = str(night.logs / "training_monitor.log")
    return written


def _add_to_monitor(night: Nightly, result: Json) -> None:
    """Add the night to the log, with the output of the trainings that failed, where their stack traces are."""
    path = night.logs / "training_monitor.log"
    outputs = {
        name: _tail(night.logs / "runs" / f"{agent['run']}.log")
        for name, agent in result["agents"].items()
        if agent.get("error") and agent.get("run") is not None
    }
    text = entry_of(result, outputs)
    known = path.read_text(errors="replace") if path.exists() else ""
    # The step may have been cut off behind this line, and is done again then.
    if text not in known:
        replace_file(path, known + text)


def _tail(path: Path) -> str:
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""


def clean_up(night: Nightly, flow_id: int, now: str) -> Json:
    """Archive old logs, remove what the trainings worked in, and tidy the database."""
    shutil.rmtree(night.work(flow_id), ignore_errors=True)
    days = night.config.nightly.monitoring.log_retention_days
    archived = _archive(night.logs, datetime.fromisoformat(now) - timedelta(days=days))
    return {
        "removed": ["work"],
        "archived": archived,
        "database": night.database.tidy(),
        "next_scheduled": next_start(night, now),
    }


def _archive(logs: Path, before: datetime) -> list[str]:
    """Compress reports and logs of runs that are older; what is appended to every night stays."""
    kept = {"training_metrics.json", "training_monitor.log"}
    found = []
    for path in sorted([*logs.glob("*"), *logs.glob("runs/*")]):
        if path.is_file() and path.name not in kept and path.stat().st_mtime < before.timestamp():
            target = logs / "archive" / f"{path.relative_to(logs).as_posix().replace('/', '-')}.gz"
            replace_file(target, gzip.compress(path.read_bytes(), mtime=0))
            path.unlink()
            found.append(path.name)
    return found


def next_start(night: Nightly, now: str) -> str | None:
    """Return when the next nightly training begins by its schedule, in ISO 8601; None where none is scheduled."""
    nightly = night.config.nightly
    if not nightly.enabled:
        return None
    schedule = cron.parse_cron(nightly.schedule, night.config.project.timezone)
    at_us = cron.next_after(schedule, from_datetime(datetime.fromisoformat(now)))
    return None if at_us is None else to_datetime(at_us).isoformat()
