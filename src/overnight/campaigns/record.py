"""Where a campaign stands, in the database: its phase, who works on it, the gate's verdicts, and its launches."""

import json
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from overnight.base.files import to_json
from overnight.campaigns.gate import Verdict
from overnight.campaigns.phases import Phase
from overnight.campaigns.tables import campaigns, launches, verdicts
from overnight.db.writer import Tx

Json = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Stand:
    """A campaign as the database has it; `phase` is None before its first one."""

    campaign_id: int
    name: str
    created_us: int
    run_id: int | None
    phase: Phase | None
    stopping: bool


@dataclass(frozen=True, kw_only=True)
class Launch:
    """Who launched the whole campaign, when (microseconds, UTC), and why, where that person needed no verdict."""

    by: str
    forced: str | None
    at_us: int


def find(connection: sa.Connection, name: str) -> Stand | None:
    """Return the campaign of that name; None where there is none."""
    row = connection.execute(sa.select(campaigns).where(campaigns.c.name == name)).fetchone()
    return None if row is None else _stand(row)


def every(connection: sa.Connection) -> list[Stand]:
    """Return all campaigns, by name."""
    return [_stand(row) for row in connection.execute(sa.select(campaigns).order_by(campaigns.c.name))]


def _stand(row: Any) -> Stand:  # Any: a database row
    values = dict(row._mapping)
    phase = None if values["phase"] is None else Phase(values["phase"])
    return Stand(**{**values, "phase": phase, "stopping": bool(values["stopping"])})


def begin(tx: Tx, campaign_id: int, run_id: int) -> None:
    """Note who works on it now."""
    _set(tx, campaign_id, run_id=run_id, stopping=0)


def enter(tx: Tx, campaign_id: int, phase: Phase) -> None:
    """Note its phase."""
    _set(tx, campaign_id, phase=str(phase))


def want_stop(tx: Tx, campaign_id: int) -> None:
    """Note that somebody wants it to stop."""
    _set(tx, campaign_id, stopping=1)


def _set(tx: Tx, campaign_id: int, **values: Any) -> None:
    tx.connection.execute(sa.update(campaigns).where(campaigns.c.campaign_id == campaign_id).values(**values))


def judged(tx: Tx, campaign_id: int, verdict: Verdict) -> None:
    """Keep what the gate said."""
    [verdict_id] = tx.dialect.allocate(tx.connection, verdicts, 1)
    row = {
        "verdict_id": verdict_id,
        "campaign_id": campaign_id,
        "version": verdict.version,
        "decision": str(verdict.decision),
        "verdict": to_json({**asdict(verdict), "reason": verdict.reason}),
        "at_us": tx.now_us,
    }
    tx.connection.execute(sa.insert(verdicts).values(row))


def verdict_of(connection: sa.Connection, campaign_id: int) -> Json | None:
    """Return the newest verdict (the fields of a `gate.Verdict`, its `reason` and `at_us`); None before the first."""
    query = sa.select(verdicts).where(verdicts.c.campaign_id == campaign_id).order_by(verdicts.c.verdict_id.desc())
    row = connection.execute(query.limit(1)).fetchone()
    return None if row is None else {**json.loads(row.verdict), "at_us": row.at_us}


def launch(tx: Tx, campaign_id: int, run_id: int, *, by: str, forced: str | None) -> None:
    """Note the launch of a run, once; `forced` is the reason of one that needs no verdict."""
    mine = sa.select(launches.c.launch_id).where(launches.c.campaign_id == campaign_id, launches.c.run_id == run_id)
    if tx.connection.execute(mine.limit(1)).fetchone() is not None:
        return  # the step that notes it comes again after a crash
    [launch_id] = tx.dialect.allocate(tx.connection, launches, 1)
    row = {
        "launch_id": launch_id,
        "campaign_id": campaign_id,
        "run_id": run_id,
        "by": by,
        "forced": forced,
        "at_us": tx.now_us,
    }
    tx.connection.execute(sa.insert(launches).values(row))


def launches_of(connection: sa.Connection, campaign_id: int) -> list[Launch]:
    """Return the launches, oldest first."""
    query = sa.select(launches.c.by, launches.c.forced, launches.c.at_us)
    query = query.where(launches.c.campaign_id == campaign_id).order_by(launches.c.launch_id)
    return [Launch(**row._mapping) for row in connection.execute(query)]
