"""The morning report as text: what a day has brought, what needs a person, what it cost, what comes next. Pure."""

import textwrap
from collections.abc import Sequence
from typing import Any

from overnight.reports.boxes import span
from overnight.reports.sparks import spark

Json = dict[str, Any]  # Any: whatever JSON holds
WIDTH = 100
NOT_MEASURED = "not measured"


def lines(facts: Json) -> list[str]:
    """Return the report; `facts` are those of `app.morning.facts_of`."""
    parts = [
        f"Morning report of {facts['project']}: {moment(facts['from'])} to {moment(facts['to'])} UTC",
        "",
        *_part("Needs a person", [f"{one['what']} -> {one['do']}" for one in facts["needs"]], "nothing"),
        *_part("Got better", [f"{one['what']}: {one['why']}" for one in facts["better"]], "nothing was shown to be"),
        *_part("Refused or taken back", [f"{one['what']}: {one['why']}" for one in facts["refused"]], "nothing"),
        *_part("Ran", [ran_line(one) for one in facts["ran"]], "nothing"),
        *(_part("Targets", facts["targets"], "none") if facts["targets"] else []),
        *_part("Cost", [f"{name}: {value}" for name, value in cost_lines(facts["cost"])], "nothing"),
        *_part("Planned", planned_lines(facts), "nothing"),
        "Last 30 days",
        *(f"  {name:<28}{spark(values)}  {_newest(values, facts['days'])}" for name, values in facts["trends"].items()),
    ]
    return [line.rstrip() for line in parts]


def moment(instant: str) -> str:
    """Return an instant (ISO 8601) to the minute."""
    return instant[:16].replace("T", " ")


def _part(title: str, found: Sequence[str], nothing: str) -> list[str]:
    wrapped = [
        line
        for one in found or [nothing]
        for line in textwrap.wrap(one, WIDTH, initial_indent="  ", subsequent_indent="      ")
    ]
    return [title, *wrapped, ""]


def ran_line(one: Json) -> str:
    """Return what is said of a task: how its runs ended, and how long they worked."""
    ends = [f"{one[word]} {word}" for word in ("completed", "failed", "cancelled") if one[word]]
    return f"{one['task']}: {', '.join(ends)}, {span(one['worked_s'])} of work"


def cost_lines(cost: Json) -> list[tuple[str, str]]:
    """Return what the day cost, each with what was not measured."""

    def hours(seconds: float | None, measured: int) -> str:
        if seconds is None:
            return NOT_MEASURED
        left = cost["runs"] - measured
        return f"{seconds / 3600:.3g} h" + (f", of {left} of {cost['runs']} runs {NOT_MEASURED}" if left else "")

    money = NOT_MEASURED if cost["usd"] is None else f"{cost['usd']:.2f} USD"
    return [
        ("processor", hours(cost["cpu_s"], cost["cpu_runs"])),
        ("GPU", hours(cost["gpu_s"], cost["gpu_runs"])),
        ("energy", _energy(cost["energy_kwh"], cost["energy_s"])),
        ("machines and agents that were paid for", money),
        ("language models", _language_models(cost)),
    ]


def _language_models(cost: Json) -> str:
    """Return what was asked of them; a request without an answer counts as the most that it could cost."""
    tokens, usd = cost["llm_tokens"], cost["llm_usd"]
    unread = "".join(f"; {file} cannot be read" for file in cost["llm_unread"])
    if tokens is None:
        return f"{NOT_MEASURED}{unread}" if unread else "none was ever asked"
    price = f"{usd:.2f} USD" if usd or not tokens else "of no price that anybody has set"
    return f"{tokens:,} tokens, {price}{unread}"


def _energy(kwh: float | None, seconds: float | None) -> str:
    """Return what processors, their memory and GPUs have used, whoever has worked on them."""
    if kwh is None or seconds is None:
        return f"{NOT_MEASURED}; overnight doctor says why"
    return f"{kwh:.3g} kWh of the whole machine, measured for {seconds / 3600:.1f} h"


def planned_lines(facts: Json) -> list[str]:
    """Return what fires next, and what each model waits for."""
    firings = [f"{moment(one['at'])} UTC  {one['task']}" for one in facts["planned"]]
    return [*firings, *(f"{one['model']}: {one['why']}" for one in facts["next"])]


def _newest(values: Sequence[float | None], days: Sequence[str]) -> str:
    """Return the newest value, with its day where that is not the last one."""
    known = [(value, day) for value, day in zip(values, days, strict=True) if value is not None]
    if not known:
        return NOT_MEASURED
    value, day = known[-1]
    return f"{value:.3g}" + ("" if day == days[-1] else f" (on {day})")
