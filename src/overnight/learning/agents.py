"""Executes an exercise by a coding agent: asks it, looks at what it leaves, asks it again, and judges what it has left.

Each way of a strategy works at a desk of its own; of an ensemble, what passes most of the exercise's open checks
counts, of equal ones that of the first member.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from overnight.base.clock import Clock, SystemClock
from overnight.learning.checks import Expected, Judged, ProgramCheck, last_figure, unmeasured
from overnight.learning.desk import COST, AgentCommand, Desk
from overnight.learning.executed import Executed, all_known, judged
from overnight.learning.exercises import Exercise
from overnight.learning.parameters import AgentParameters
from overnight.learning.workspaces import Workspace

REVIEW = "Read what you have written once more as its strictest reviewer would, and mend what is wrong or missing."
MOST_DEPTH = 3
KEPT_CHARACTERS = 200_000
"""Of an answer that is kept with the run, so that it can be judged again."""
_REVIEWING = ", reviewing"
_FEEDBACK = 2000
"""Characters of what a check has printed that the agent is told."""


def execute(
    exercise: Exercise,
    ways: Sequence[AgentParameters],
    agent: AgentCommand,
    *,
    clock: Clock | None = None,
    seed: int = 0,
) -> Executed:
    """Have the agent work, and judge what it leaves.

    Time is that which the agent's command has taken in all its calls, and not that of the checks; memory is the most
    that one call with all its processes has held, in MB of 10^6 bytes; cost is the sum of what the calls say. `seed`
    tells repeats apart: the agent finds it in the variable OVERNIGHT_SEED.

    Raises:
        UserMistake: the exercise's `work` is no workspace.
        CannotExecute: the agent, or a check, cannot be started here.
    """
    work = Workspace.from_dict(exercise.work)
    clock = clock or SystemClock()
    with tempfile.TemporaryDirectory(prefix="overnight-", ignore_cleanup_errors=True) as folder:
        told = replace(agent, environment={**agent.environment, "OVERNIGHT_SEED": str(seed)})
        done = [_Session(work, way, told, Path(folder) / f"way-{at}", clock) for at, way in enumerate(ways)]
        for one in done:
            one.work()
        best = max(done, key=lambda one: one.passed)
        checked = _checked(exercise, work, best.answer, best.missing, Path(folder), clock)
    peaks = all_known([peak for one in done for peak in one.peak_bytes])
    costs = all_known([cost for one in done for cost in one.costs])
    measured = {
        "time_s": sum(call["time_s"] for one in done for call in one.calls),
        "memory_mb": None if peaks is None else max(peaks) / 1e6,
        "cost_usd": None if costs is None else sum(costs),
    }
    checked |= {one.name: judged(one, measured) for one in exercise.checks if isinstance(one, Expected)}
    facts = [one.facts() for one in done]
    return Executed(
        checks={check.name: checked[check.name] for check in exercise.checks},
        time_s=measured["time_s"],
        memory_mb=measured["memory_mb"],
        cost_usd=measured["cost_usd"],
        answers=() if best.missing else _answers(checked),
        facts=facts[0] if len(facts) == 1 else {"ways": facts, "chosen": done.index(best)},
    )


def judge(exercise: Exercise, answer: Mapping[str, str], *, clock: Clock | None = None) -> Executed:
    """Judge an answer that was kept, by the checks that programs make; no agent is asked.

    Raises:
        UserMistake: the exercise's `work` is no workspace.
        CannotExecute: a check cannot be started here.
    """
    work, clock = Workspace.from_dict(exercise.work), clock or SystemClock()
    began_s = clock.monotonic()
    with tempfile.TemporaryDirectory(prefix="overnight-", ignore_cleanup_errors=True) as folder:
        missing = [f"{name} is missing" for name in work.answer if name not in answer] or _untouched(work, answer)
        checked = _checked(exercise, work, answer, missing, Path(folder), clock)
    return Executed(
        checks=checked,
        time_s=clock.monotonic() - began_s,
        memory_mb=None,
        answers=() if missing else _answers(checked),
        facts={"answer": dict(answer)},
    )


class _Session:
    """One way of working: what was done, and what is left of it."""

    def __init__(self, work: Workspace, way: AgentParameters, agent: AgentCommand, folder: Path, clock: Clock) -> None:
        self._work, self._way, self._agent, self._folder, self._clock = work, way, agent, folder, clock
        self._desk = Desk(folder / "desk", clock)
        self._verifications = 0
        self.calls: list[dict[str, Any]] = []  # Any: JSON
        self.costs: list[float | None] = []
        self.peak_bytes: list[int | None] = []
        self.answer: Mapping[str, str] = {}
        self.missing: Sequence[str] = ()
        self.passed = 0

    def work(self) -> None:
        """Ask for each stage as often as the parameters say, and take what is left in the end."""
        self._desk.lay_out(self._work.files)
        for stage in self._work.stages:
            prompt, wrong = f"{stage.prompt}\n\nLeave these files: {', '.join(self._work.answer)}", ""
            for attempt in range(1, self._way.attempts + 1):
                succeeded = self._ask(stage.role, attempt, prompt + wrong)
                why = self._wrong()
                if succeeded and not why:
                    break
                wrong = f"\n\nThe last attempt did not succeed. {why}"
            if self._way.self_review:
                self._ask(f"{stage.role}{_REVIEWING}", 1, f"{prompt}\n\n{REVIEW}")
        self._collect()
        self.passed = 0 if self.missing else sum(one.passed for _, one, _ in self._looked(MOST_DEPTH))

    def facts(self) -> dict[str, Any]:  # Any: JSON
        """Return what was done."""
        return {
            "calls": self.calls,
            "attempts": max((call["attempt"] for call in self.calls), default=0),
            "reviews": sum(call["role"].endswith(_REVIEWING) for call in self.calls),
            "verifications": self._verifications,
            "open_checks_passed": self.passed,
            "missing": list(self.missing),
            "answer": dict(self.answer) if sum(map(len, self.answer.values())) <= KEPT_CHARACTERS else None,
        }

    def _ask(self, role: str, attempt: int, prompt: str) -> bool:
        way = self._way
        values = {"prompt": prompt, "model": way.model, "temperature": f"{way.temperature:g}", "role": role}
        called = self._desk.ask(self._agent, values)
        what = {"role": role, "attempt": attempt, "model": way.model, "temperature": way.temperature}
        self.calls.append({**what, "exit": called.exit, "time_s": called.time_s})
        pattern = self._agent.cost
        self.costs.append(None if pattern is None else last_figure(pattern, COST, called.printed))
        self.peak_bytes.append(called.peak_bytes)
        return called.succeeded

    def _wrong(self) -> str:
        """Return what is wrong with what the agent has left so far, as far as is looked; "" for nothing."""
        if self._way.verification_depth == 0:
            return ""
        self._collect()
        self._verifications += 1
        if self.missing:
            return f"{'; '.join(self.missing)}."
        for name, one, printed in self._looked(self._way.verification_depth):
            self._verifications += 1
            if not one.passed:
                return f"The check {name!r} fails: {one.detail or ''}\n{printed[-_FEEDBACK:]}"
        return ""

    def _collect(self) -> None:
        found = {name: self._desk.answer(name) for name in self._work.answer}
        self.answer = {name: content for name, (content, _) in found.items() if content is not None}
        self.missing = [why for _, why in found.values() if why is not None] or _untouched(self._work, self.answer)

    def _looked(self, depth: int) -> Iterator[tuple[str, Judged, str]]:
        """Yield the checks that need nothing hidden, up to a depth, with what they say and print."""
        programs = [name for name in self._work.answer if name.endswith(".py")]
        readable = ProgramCheck(name="Python can read it", command=("{python}", "-m", "py_compile", *programs))
        for check in (*([readable] if programs else []), *self._work.verify[: depth - 1]):
            desk = Desk(Path(tempfile.mkdtemp(dir=self._folder)), self._clock)
            desk.lay_out(self._work.files, self.answer)
            yield check.name, *desk.look(check)


def _untouched(work: Workspace, answer: Mapping[str, str]) -> list[str]:
    """Return what is wrong with an answer in which nothing was done: all of its files are as given, or empty."""
    if any(content.strip() != work.files.get(name, "").strip() for name, content in answer.items()):
        return []
    return [f"{name} is {'as it was given' if name in work.files else 'empty'}" for name in answer]


def _checked(  # noqa: PLR0917
    exercise: Exercise,
    work: Workspace,
    answer: Mapping[str, str],
    missing: Sequence[str],
    folder: Path,
    clock: Clock,
) -> dict[str, Judged]:
    """Return what the checks by programs say, each in a fresh folder: what one writes, another one does not see."""
    found: dict[str, Judged] = {}
    for place, check in enumerate(one for one in exercise.checks if isinstance(one, ProgramCheck)):
        if missing:
            found[check.name] = unmeasured("; ".join(missing))
            continue
        desk = Desk(folder / f"check-{place}", clock)
        desk.lay_out(work.files, answer, work.hidden)
        found[check.name], _ = desk.look(check)
    return found


def _answers(checked: Mapping[str, Judged]) -> tuple[str, ...]:
    """Return what can be compared with another repeat: whether each check is passed."""
    return tuple(f"{name}: {one.passed}" for name, one in checked.items())
