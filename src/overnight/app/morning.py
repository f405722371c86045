"""The morning report: what the last day has brought, gathered from what is on record, and written for people."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from overnight.app import launch, schedule, targets
from overnight.app.loop_status import loop_status
from overnight.app.notifying import post_of
from overnight.app.services import last_told
from overnight.app.workplace import Workplace
from overnight.base.errors import OvernightError
from overnight.base.files import replace_file
from overnight.base.instants import US, from_datetime, iso, to_datetime
from overnight.base.zones import zone_of
from overnight.campaigns.generators.loading import REPLAY
from overnight.data.tables import experience_batches, experiences
from overnight.engine import approvals, gaps, pausing
from overnight.engine.model import State, Task
from overnight.engine.tables import runs
from overnight.learning.tables import executions
from overnight.learning.tables import verdicts as strategy_verdicts
from overnight.llm.budget import Amount
from overnight.llm.replay import Replay
from overnight.registry import deployments
from overnight.registry import store as registry
from overnight.registry.rollout import Status
from overnight.registry.tables import deployments as rollouts
from overnight.registry.tables import served, versions
from overnight.registry.versions import Version
from overnight.reports.morning import lines
from overnight.reports.morning_page import morning_page
from overnight.reports.targets import target_line
from overnight.resources.used import between

Json = dict[str, Any]
TASK = "notify-morning"
DAY_US = 86_400 * US
DAYS = 30
J_PER_KWH = 3.6e6
LLM_FILES = (f"campaigns/*/{REPLAY}", f"data/{REPLAY}")
"""Where campaigns, and a project's own agents, write down what they ask of language models."""
HOUR = 7
"""At which the day of a report that is made afterwards ends, in the project's time zone."""
_MOST_PLANNED, _MOST_FAILED, _MOST_READ = 8, 10, 20_000


def facts_of(project: Workplace, end_us: int) -> Json:
    """Return what the 24 hours before an instant have brought, and what stands now.

    `ran` (by task), `better`, `refused`, `needs` (what a person has to do), `cost`, `planned` (the next firings),
    `next` (of each model), and `trends` of 30 days (UTC), by name, with `days`. What was not measured is None.
    `current` says whether it is of the last day: of an earlier one is told what came then, and not what stands now.
    """
    begin_us = end_us - DAY_US
    current = end_us > project.clock.now_us() - DAY_US
    with project.database.read() as connection:
        facts: Json = {
            "project": project.config.project.name or project.folder.name,
            "from": iso(begin_us),
            "to": iso(end_us),
            "ran": _ran(connection, begin_us, end_us),
            "better": [],
            "refused": [],
            "current": current,
            "needs": [
                *(_standing(project, connection) if current else ()),
                *_went_wrong(connection, begin_us, end_us),
                *(_services_lost(project) if current else ()),
            ],
            "targets": [target_line(one) for one in targets.standing(project)] if current else [],
            "cost": {**_cost(connection, begin_us, end_us), **_language_models(project.state_dir, begin_us, end_us)},
            **_trends(connection, end_us),
        }
        for found in (_versions, _rollouts, _strategies):
            for good, what, why in found(connection, begin_us, end_us):
                facts["better" if good else "refused"].append({"what": what, "why": why})
    ahead = schedule.coming(project, project.clock.now_us() + DAY_US, most=1) if current else {}
    firings = sorted((instants[0], task) for task, instants in ahead.items())[:_MOST_PLANNED]
    facts["planned"] = [{"at": iso(at_us), "task": task} for at_us, task in firings]
    facts["next"] = (
        [{"model": one["model_type"], "why": one["next"]} for one in loop_status(project)] if current else []
    )
    return facts


def _ran(connection: sa.Connection, begin_us: int, end_us: int) -> list[Json]:
    worked = sa.func.sum(runs.c.active_us + runs.c.earlier_us)
    query = sa.select(runs.c.task_id, runs.c.state, sa.func.count().label("ended"), worked.label("worked")).where(
        runs.c.finished_us >= begin_us, runs.c.finished_us < end_us
    )
    found: dict[str, Json] = {}
    for row in connection.execute(query.group_by(runs.c.task_id, runs.c.state)):
        one = found.setdefault(
            row.task_id, {"task": row.task_id, "completed": 0, "failed": 0, "cancelled": 0, "worked_s": 0.0}
        )
        one[str(row.state).lower()] += row.ended
        one["worked_s"] += float(row.worked or 0) / US
    return [found[name] for name in sorted(found)]


def _versions(connection: sa.Connection, begin_us: int, end_us: int) -> list[tuple[bool, str, str]]:
    query = sa.select(versions).where(versions.c.created_us >= begin_us, versions.c.created_us < end_us)
    found = []
    for row in connection.execute(query.order_by(versions.c.version_id)):
        verdict = json.loads(row.verdict)
        decision = verdict.get("decision")
        if decision is not None:
            what = f"{row.model} {row.number} ({decision})"
            found.append((decision == "ACCEPT", what, verdict.get("reason") or "no reason recorded"))
        elif connection.execute(_first_to_serve(row.model)).scalar() == row.version_id:
            found.append((True, f"{row.model} {row.number}", "the first version that serves"))
    return found


def _rollouts(connection: sa.Connection, begin_us: int, end_us: int) -> list[tuple[bool, str, str]]:
    query = sa.select(rollouts.c.deployment_id).where(rollouts.c.ended_us >= begin_us, rollouts.c.ended_us < end_us)
    found = []
    for deployment_id in connection.execute(query.order_by(rollouts.c.deployment_id)).scalars().all():
        one = deployments.find(connection, deployment_id)
        assert one is not None, "its row was just read"
        good = one.state.status is Status.COMPLETED
        candidate = registry.of_number(connection, one.model, one.candidate)
        if good and candidate is not None and candidate.objection is not None:
            continue  # somebody wanted it: nothing says that it is better, and it stands where a person is needed
        what = f"{one.model} {one.candidate} {str(one.state.status).replace('_', ' ')}"
        found.append((good, what, one.message))
    return found


def _strategies(connection: sa.Connection, begin_us: int, end_us: int) -> list[tuple[bool, str, str]]:
    table = strategy_verdicts.c
    query = sa.select(strategy_verdicts).where(table.at_us >= begin_us, table.at_us < end_us)
    return [
        (row.decision == "ACCEPT", f"strategy {row.candidate} ({row.decision})", json.loads(row.verdict)["reason"])
        for row in connection.execute(query.order_by(table.verdict_id))
    ]


def _first_to_serve(model: str) -> sa.Select[tuple[int]]:
    return sa.select(served.c.version_id).where(served.c.model == model).order_by(served.c.served_id).limit(1)


def _standing(project: Workplace, connection: sa.Connection) -> list[Json]:
    """Return what waits for a person now, with what to do about it."""
    found = [
        {"what": f"question {one.question_id}: {one.prompt}", "do": f"overnight answer {one.question_id} CHOICE"}
        for one in approvals.open_questions(connection)
    ]
    found += [
        {"what": f"{one.task_id} is paused: {one.why}", "do": f"overnight tasks resume {one.task_id}"}
        for one in pausing.pauses(connection)
    ]
    found += [
        {
            "what": f"{one.model} {one.number} serves, of which the gate said {one.objection}",
            "do": f"overnight rollback {one.model}",
        }
        for one in _serving(connection)
        if one.objection is not None
    ]
    return found


def _went_wrong(connection: sa.Connection, begin_us: int, end_us: int) -> list[Json]:
    """Return what went wrong in that time, with what to do about it."""
    found = []
    failed = sa.select(runs.c.run_id, runs.c.task_id, runs.c.error, runs.c.parent_id).where(
        runs.c.state == State.FAILED, runs.c.finished_us >= begin_us, runs.c.finished_us < end_us
    )
    for row in connection.execute(failed.order_by(runs.c.run_id.desc()).limit(_MOST_FAILED)):
        error = json.loads(row.error or "{}").get("message", "no reason recorded").splitlines()[0]
        found.append(
            {"what": f"{row.task_id} failed (run {row.run_id}): {error}", "do": f"overnight runs show {row.run_id}"}
        )
    found += [
        {
            "what": f"{one.count or 'very many'} instants of {one.task_id} were missed: {one.reason.meaning}",
            "do": f"overnight backfill {one.task_id}",
        }
        for one in gaps.spans(connection, since_us=begin_us, limit=_MOST_FAILED)
        if one.noted_us < end_us
    ]
    return found


def _services_lost(project: Workplace) -> list[Json]:
    """Return the services that whoever looks after them has given up; none where nobody does."""
    if launch.find(project.state_dir) is None:
        return []
    return [
        {"what": f"service {name}: {one['why']}", "do": f"overnight restart {name}"}
        for name, one in last_told(project.state_dir)["services"].items()
        if one["status"] == "given_up"
    ]


def _serving(connection: sa.Connection) -> list[Version]:
    found = (registry.of_number(connection, *one) for one in sorted(registry.champions(connection).items()))
    return [version for version in found if version is not None]


def _cost(connection: sa.Connection, begin_us: int, end_us: int) -> Json:
    span = (runs.c.finished_us >= begin_us, runs.c.finished_us < end_us)
    row = connection.execute(
        sa.select(
            sa.func.count().label("runs"),
            sa.func.sum(runs.c.cpu_s).label("cpu_s"),
            sa.func.count(runs.c.cpu_s).label("cpu_runs"),
            sa.func.sum(runs.c.gpu_s).label("gpu_s"),
            sa.func.count(runs.c.gpu_s).label("gpu_runs"),
            sa.func.sum(runs.c.cost).label("usd"),
        ).where(*span, runs.c.started_us.is_not(None))
    ).one()
    table = executions.c
    agents = connection.execute(
        sa.select(sa.func.sum(table.cost_usd)).where(table.at_us >= begin_us, table.at_us < end_us)
    ).scalar()
    paid = [float(one) for one in (row.usd, agents) if one is not None]
    energy = between(connection, begin_us, end_us)
    return {
        **row._mapping,
        "usd": sum(paid) if paid else None,
        "energy_kwh": None if energy is None else energy.joules / J_PER_KWH,
        "energy_s": None if energy is None else energy.seconds,
    }


def _language_models(state_dir: Path, begin_us: int, end_us: int) -> Json:
    """Return what was asked of language models, and the files that do not tell it; None where none was asked."""
    spent, unread = Amount(), []
    files = sorted(one for pattern in LLM_FILES for one in state_dir.glob(pattern))
    for file in files:
        try:
            with Replay(file) as replay:
                spent += replay.sent_between(begin_us, end_us)
        except OvernightError:
            unread.append(str(file.relative_to(state_dir)))
    known = len(files) > len(unread)
    return {
        "llm_tokens": spent.tokens if known else None,
        "llm_usd": spent.usd if known else None,
        "llm_unread": unread,
    }


def _trends(connection: sa.Connection, end_us: int) -> Json:
    """Return figures of the last 30 days (UTC), one for each day; None where nothing was measured."""
    last = end_us // DAY_US
    days = list(range(last - DAYS + 1, last + 1))
    since_us = days[0] * DAY_US
    on_day = (runs.c.finished_us // DAY_US).label("day")
    query = sa.select(on_day, runs.c.state, sa.func.count()).where(
        runs.c.finished_us >= since_us, runs.c.finished_us < end_us
    )
    grouped = connection.execute(query.group_by(on_day, runs.c.state))
    ended = Counter[tuple[int, str]]({(day, state): count for day, state, count in grouped})
    accepted = Counter[int]()
    mine = sa.select(versions.c.created_us, versions.c.verdict).where(
        versions.c.created_us >= since_us, versions.c.created_us < end_us
    )
    for created_us, verdict in connection.execute(mine):
        accepted[created_us // DAY_US] += json.loads(verdict).get("decision") == "ACCEPT"
    received = _received(connection, since_us, end_us)
    told = _answers(connection, since_us, end_us)
    return {
        "days": [to_datetime(day * DAY_US).date().isoformat() for day in days],
        "trends": {
            "runs completed": [float(ended[day, State.COMPLETED]) for day in days],
            "runs failed": [float(ended[day, State.FAILED]) for day in days],
            "versions accepted": [float(accepted[day]) for day in days],
            "experiences": [float(received[day]) for day in days],
            # Of a day that was not read to its end nothing is said.
            "share of right answers": [
                sum(told[day]) / len(told[day]) if told[day] and len(told[day]) == received[day] else None
                for day in days
            ],
        },
    }


def _received(connection: sa.Connection, since_us: int, end_us: int) -> Counter[int]:
    """Return how many experiences came, by day."""
    on_day = (experience_batches.c.received_us // DAY_US).label("day")
    query = (
        sa.select(on_day, sa.func.count().label("came"))
        .select_from(experiences)
        .join(experience_batches, experience_batches.c.number == experiences.c.batch)
        .where(experience_batches.c.received_us >= since_us, experience_batches.c.received_us < end_us)
    )
    return Counter({row.day: row.came for row in connection.execute(query.group_by(on_day))})


def _answers(connection: sa.Connection, since_us: int, end_us: int) -> Mapping[int, list[bool]]:
    """Return whether the answers were right, by day, of the newest experiences."""
    query = (
        sa.select(experience_batches.c.received_us, experiences.c.body)
        .join(experience_batches, experience_batches.c.number == experiences.c.batch)
        .where(experience_batches.c.received_us >= since_us, experience_batches.c.received_us < end_us)
        .order_by(experiences.c.number.desc())
        .limit(_MOST_READ)
    )
    found: dict[int, list[bool]] = defaultdict(list)
    for received_us, body in connection.execute(query):
        found[received_us // DAY_US].append(bool(json.loads(body).get("success")))
    return found


def files_of(state_dir: Path, day: str) -> tuple[Path, Path]:
    """Return where the report of a day is, as text and as a page."""
    logs = state_dir / "logs"
    return logs / f"morning_report_{day}.txt", logs / f"morning_report_{day}.html"


def write(project: Workplace, end_us: int) -> tuple[Json, Path, Path]:
    """Make the report of the day before an instant, write it, and return its facts and files."""
    facts = facts_of(project, end_us)
    day = day_of(project, end_us).isoformat()
    text, markup = files_of(project.state_dir, day)
    replace_file(text, "\n".join(lines(facts)) + "\n")
    replace_file(markup, morning_page(facts))
    return facts, text, markup


def day_of(project: Workplace, at_us: int) -> date:
    """Return the day of an instant in the project's time zone."""
    return to_datetime(at_us).astimezone(zone_of(project.config)).date()


def end_of(project: Workplace, day: date) -> int:
    """Return when the day of a report ends that is made afterwards: 7 o'clock on it, or now, if that is earlier."""
    ends = datetime.combine(day, time(HOUR), zone_of(project.config))
    return min(from_datetime(ends), project.clock.now_us())


def task_of(project: Workplace) -> Task:
    """Return the task that makes the report and sends it; `notify.morning.schedule` is set.

    Without an address the report is only written.
    """

    def tell() -> Json:
        facts, text, _ = write(project, project.clock.now_us())
        post = post_of(project.config)
        if post is not None:
            post(f"Overnight, {facts['project']}: the morning report", text.read_text())
        return {"report": str(text), "needs": len(facts["needs"]), "sent": post is not None}

    return Task(
        task_id=TASK,
        action=tell,
        executor="thread",
        schedule=project.config.notify.morning.schedule,
        timezone=project.config.project.timezone,
    )
