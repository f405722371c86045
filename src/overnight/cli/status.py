"""What `overnight status` shows: the daemon, its health, what it works on, what waits, what comes next."""

import json
from collections.abc import Iterator
from datetime import tzinfo
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from overnight.app import launch, schedule, targets
from overnight.app.project import Project
from overnight.base.errors import ConfigError
from overnight.base.instants import US, from_datetime, iso
from overnight.cli import live
from overnight.cli.describe import figures, how_many, missed_json
from overnight.cli.printing import STYLES, short_moment, span
from overnight.engine import counters, gaps, pausing, store
from overnight.engine.overview import first_ready, standing
from overnight.reports.targets import Produced, target_line

Json = dict[str, Any]  # Any: JSON
ASK_S = 3.0
"""How long the daemon may take to answer."""
NEXT = 5
DAY_US = 86400 * US


def look(project: Project) -> Json:
    """Return how the project stands; the health is what the daemon itself answers."""
    daemon = launch.find(project.state_dir)
    now_us = project.clock.now_us()
    with project.database.read() as connection:
        found = standing(connection)
        active = store.worked_on(connection)
        ready = first_ready(connection, NEXT)
        paused = pausing.pauses(connection)
        missed = gaps.spans(connection, since_us=now_us - DAY_US, limit=NEXT)
        counted = counters.figures(connection, now_us, project.config.project.timezone)
    coming = sorted(
        (at_us, task_id)
        for task_id, instants in schedule.coming(project, now_us + DAY_US, most=NEXT).items()
        for at_us in instants
    )
    return {
        **_about(daemon),
        "worked_on": project.is_worked_on,
        "queue": {name: getattr(found, name) for name in ("ready", "later", "waiting", "held", "active")},
        "active": [_run(run, now_us) for run in active],
        "ready": [{"run_id": run.run_id, "task_id": run.task_id, "due": iso(run.due_us)} for run in ready],
        "questions": len(project.questions()),
        "paused": [{"task_id": one.task_id, "since": iso(one.since_us), "why": one.why} for one in paused],
        "missed": [{"task_id": one.task_id, **missed_json(one), "meaning": one.reason.meaning} for one in missed],
        "next": [{"at": iso(at_us), "task_id": task_id} for at_us, task_id in coming[:NEXT]],
        "counted": counted,
        "targets": [vars(one) for one in targets.standing(project)],
        "timezone": project.config.project.timezone,
    }


def _about(daemon: launch.Daemonic | None) -> Json:
    health = None if daemon is None else _ask(daemon.url)
    return {
        "status": "down" if daemon is None else "unhealthy" if health is None else health["status"],
        "daemon": None if daemon is None else {"pid": daemon.pid, "url": daemon.url, "since": daemon.since},
        "reload_error": None if daemon is None else daemon.reload_error,
        "health": health,
    }


def look_from_outside(state_dir: Path, mistake: str) -> Json:
    """Return what can be known of a project whose configuration is wrong now: how its daemon does.

    Raises:
        ConfigError: no daemon is up, so that there is nothing but the mistake.
    """
    daemon = launch.find(state_dir)
    if daemon is None:
        raise ConfigError(mistake)
    return {**_about(daemon), "reload_error": mistake}


def _run(run: Any, now_us: int) -> Json:  # Any: an engine.model.Run
    worked_us = run.active_us + (0 if run.started_us is None else max(0, now_us - run.started_us))
    return {
        "run_id": run.run_id,
        "task_id": run.task_id,
        "attempt": run.attempt,
        "worked_s": worked_us / US,
        "progress": None if run.progress is None else figures(run),
    }


def _ask(url: str) -> Json | None:
    """Return what the daemon says of its health; None where it does not answer."""
    import urllib.error
    import urllib.request

    try:
        # The address is the daemon's own, from its file, on this machine.
        with urllib.request.urlopen(f"{url}/health", timeout=ASK_S) as answer:  # noqa: S310
            found: Json = json.load(answer)
    except urllib.error.HTTPError as error:
        try:
            found = json.load(error)
        except ValueError:
            return None
    except (OSError, ValueError):
        return None
    return found


def show(found: Json) -> None:
    """Print it for a person."""
    live.show(_page(found))


def _page(found: Json) -> Iterator[live.Line]:
    return lines(found, ZoneInfo(found.get("timezone", "UTC")))


def lines(found: Json, zone: tzinfo) -> Iterator[live.Line]:
    """Yield the lines that a person reads, each with its style."""
    yield from _daemon(found)
    if "queue" not in found:
        return
    queue = found["queue"]
    parts = [f"{queue[name]} {name}" for name in ("active", "ready", "later", "waiting", "held") if queue[name]]
    yield f"runs       {', '.join(parts) or 'none'}", None
    for run in found["active"]:
        progress = f", {run['progress']}" if run["progress"] else ""
        yield f"  run {run['run_id']} of {run['task_id']}: {span(run['worked_s'])}{progress}", STYLES["IN_PROGRESS"]
    for run in found["ready"]:
        yield f"  run {run['run_id']} of {run['task_id']} is ready", None
    if found["questions"] or found["paused"]:
        number = found["questions"] + len(found["paused"])
        yield f"for you    {number} waiting: `overnight review list`", "yellow"
    for one in found["paused"]:
        yield f"  {one['task_id']} is paused: {one['why']}", "yellow"
    for one in found["missed"]:
        yield (
            f"missed     {one['task_id']}: {how_many(one['count'])} up to {_at(one['to'], zone)}, {one['meaning']}",
            "yellow",
        )
    for place, one in enumerate(found["next"]):
        yield f"{'next' if not place else '':<11}{_at(one['at'], zone)}  {one['task_id']}", None
    for place, (name, value) in enumerate(found["counted"].items()):
        yield f"{'counted' if not place else '':<11}{name} {value:g}", None
    produced = [Produced(**one) for one in found["targets"]]
    for place, one in enumerate([one for one in produced if one.short or not one.over]):
        yield f"{'targets' if not place else '':<11}{target_line(one)}", "yellow" if one.short else None


def _daemon(found: Json) -> Iterator[live.Line]:
    daemon, health = found["daemon"], found["health"]
    if daemon is None:
        other = " (another process works on the project)" if found["worked_on"] else "; `overnight up` starts it"
        yield f"down       no daemon of this project{other}", "bold red"
        return
    style = "green" if found["status"] == "healthy" else "bold red"
    up = "" if health is None else f" for {span(health['uptime_seconds'])}"
    yield f"{found['status']:<11}process {daemon['pid']}, up{up}, {daemon['url']}", style
    if health is None:
        yield "  it does not answer; `overnight logs` shows what it wrote down last", "bold red"
    for problem in [] if health is None else health["problems"]:
        yield f"  {problem['text']}; {problem['advice']}", "bold red"
    if found["reload_error"]:
        yield f"  the changed configuration was refused: {found['reload_error']}", "bold red"


def _at(text: str, zone: tzinfo) -> str:
    from datetime import datetime

    return short_moment(from_datetime(datetime.fromisoformat(text)), zone)


def watch_it(project: Project) -> None:
    """Show it once a second until Ctrl-C; on a terminal in one place."""
    live.watch(lambda: _page(look(project)))
