"""The run in which a campaign's samples are made: it plans, has candidates made, judges them, and leaves batches.

It works in a child process without a database. What it leaves in the spool is what counts: wherever it is killed, the
next try is told what the ledger has and goes on from there, with nothing made twice and nothing left out.
"""

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from overnight.base.clock import Clock, SystemClock
from overnight.base.errors import ConfigError, PermanentError, TransientError
from overnight.base.ports import RunContext
from overnight.base.settings import environment
from overnight.campaigns import ledger, pidfile
from overnight.campaigns.handed import NOTHING, read_candidate
from overnight.campaigns.intake import Candidate, Intake, digest_of, stored_text_of, text_of
from overnight.campaigns.orders import Campaign, Domain, Json, Phase
from overnight.campaigns.planning import DomainPlan, Known, neediest, pilot_shares, seed_of, shares
from overnight.campaigns.pool import Answer, Pool
from overnight.campaigns.ports import Checked, Draft, Origin
from overnight.campaigns.spool import CellLine, Row, Spool, TextLine, Try
from overnight.campaigns.worker import MOST_GOOD
from overnight.processes import table

if TYPE_CHECKING:
    from overnight.campaigns.regions import Regions

SPOOL = "spool"
ORCHESTRATOR_PID, CAMPAIGN_PID = "orchestrator.pid", "campaign.pid"
"""Files that name the process of this run, and the one that stands for the generator."""
TARGET, DRY, CANDIDATES, BUDGET, STOPPED = "target", "dry", "candidates", "budget", "stopped"
"""Why it has ended: all is there, a domain has no more to give, too many candidates, what may be spent on samples is
spent, or somebody wanted it."""
_BATCH, _BATCH_S = 50, 1.0
_ORDER, _DEEP = 8, 2
"""Candidates of an order, and orders that a process has before it."""
_EACH_THREAD = 4
"""Candidates of an order for each thread, where many make them."""
_MOST_WAITING = 200
"""Batches that nobody has taken; then it waits."""
_LOOK_S = 0.2
MANY_CELLS = 50
"""A generator that names so many says itself where the regions of its space are."""


def make_samples(ctx: RunContext, *, campaign: Json, phase: Phase) -> Json:
    """Make the samples of a campaign, or of its pilot, and return how it went.

    Returns `ended` (see above), `why` (None, or one line), `judged` and `accepted` by domain, and for a pilot
    `planted`: for each domain and kind of bad samples how many were let through, and of how many.

    Raises:
        ConfigError: a generator cannot be made.
        TransientError: the processes that make samples are lost again and again.
    """
    with sigterm() as told:
        return _Making(ctx, Campaign.from_dict(campaign), phase, SystemClock(), told).perform()


@contextmanager
def sigterm() -> Iterator[Callable[[], bool]]:
    """Give what tells whether SIGTERM has come, which ends the samples and not this process."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield lambda: bool(came)
    finally:
        signal.signal(signal.SIGTERM, before)


class _Stopped(Exception):
    """Somebody wants an end."""


class _Spent(Exception):
    """Nothing is left to buy samples with; the message says of what."""


@dataclass(kw_only=True)
class _Domain:
    plan: DomainPlan
    intake: Intake
    regions: "Regions | None"
    generator: str
    at_once: int = 1
    pilot: list[tuple[str, int]] = field(default_factory=list)
    """Accepted samples of the pilot: cell and number."""

    def take(self, cell: str, text: str) -> None:
        """Note where an accepted sample lies."""
        if self.regions is not None:
            self.regions.add(cell, text)


class _Making:
    def __init__(
        self, ctx: RunContext, campaign: Campaign, phase: Phase, clock: Clock, told: Callable[[], bool]
    ) -> None:
        self._ctx = ctx
        self._campaign = campaign
        self._pilot = phase == "pilot"
        self._clock = clock
        self._told = told
        self._folder = Path(campaign.folder)
        self._spool = Spool(self._folder / SPOOL)
        self._me = Try(run_id=ctx.run_id, token=ctx.token)
        self._pids: dict[str, tuple[int, float]] = {}
        self._domains: dict[str, _Domain] = {}
        self._digests = set[str]()
        self._rows: list[Row] = []
        self._unwritten: list[tuple[str, str, int]] = []
        self._batches = 0
        self._written_s = clock.monotonic()

    def perform(self) -> Json:
        """Make them."""
        with self._named(), Pool(self._campaign, env=environment(), now_s=self._clock.monotonic) as pool:
            try:
                return self._perform(pool)
            except _Stopped:
                self._write()
                by_signal = pool.stopped or self._told()
                return self._result(STOPPED, "the generator was stopped by SIGTERM" if by_signal else "it was stopped")
            except _Spent as spent:
                self._write()
                return self._result(BUDGET, str(spent))

    def _perform(self, pool: Pool) -> Json:
        counts = {}
        for domain in self._campaign.domains:
            self._tell("reading what there is")
            counts[domain.name] = self._asked(pool, {"count": domain.name})["counts"]
            _check_supply(domain, counts[domain.name]["cells"])
        # Behind the names: who gets them is the only one that writes to the spool.
        self._spool.ask(self._me, {name: told["generator"] for name, told in counts.items()})
        self._prepare(counts)
        ended, why = self._make(pool)
        return self._result(ended, why, self._plant(pool) if self._pilot and ended == TARGET else {})

    def _asked(self, pool: Pool, order: Json) -> Json:
        answer = pool.ask(0, order, stopped=lambda: self._stopped)
        self._name(CAMPAIGN_PID, pool.pid)
        if not answer:
            raise _Stopped
        return _said(answer)

    @contextmanager
    def _named(self) -> Iterator[None]:
        """Name this process, and the one that stands for the generator, in files, as long as they work."""
        me = os.getpid()
        self._name(ORCHESTRATOR_PID, me)
        try:
            yield
        finally:
            for name, (pid, started) in self._pids.items():
                pidfile.release(self._folder / name, pid, started)

    def _name(self, file: str, pid: int | None) -> None:
        started = None if pid is None else table.started_of(pid)
        if pid is None or started is None or self._pids.get(file) == (pid, started):
            return
        told = pidfile.claim(self._folder / file, pid, started, name=self._campaign.name)
        if told is not None:
            sys.stderr.write(f"{told}\n")
        self._pids[file] = (pid, started)

    def _prepare(self, counts: Mapping[str, Json]) -> None:
        """Wait until the ledger has all that earlier tries have left, and take what it knows."""
        pause = threading.Event()
        while not self._spool.answered(self._me):
            if self._stopped:
                raise _Stopped
            pause.wait(_LOOK_S)
        known: dict[str, dict[str, Known]] = {name: {} for name in counts}
        self._domains = {}
        for line in self._spool.known(self._me):
            if isinstance(line, dict):
                cell = CellLine.from_json(line)
                known.setdefault(cell.domain, {})[cell.cell] = cell.known
                continue
            if not self._domains:
                self._open(counts, known)
            self._remember(TextLine.from_json(line))
        if not self._domains:
            self._open(counts, known)

    def _open(self, counts: Mapping[str, Json], known: Mapping[str, Mapping[str, Known]]) -> None:
        targets = {domain.name: domain.target for domain in self._campaign.domains}
        contaminated = _contaminated(self._campaign.evaluation)
        most = shares(targets, self._campaign.most)
        if self._pilot:
            judged = {name: sum(one.pilot for one in cells.values()) for name, cells in known.items()}
            most = pilot_shares(targets, self._campaign.pilot_size, judged)
        for domain in self._campaign.domains:
            chance = None
            if not self._campaign.active:
                chance = Random(seed_of(self._campaign.seed, domain.name, known[domain.name]))  # noqa: S311
            regions = _regions(self._campaign, domain.name, counts[domain.name]["cells"])
            plan = DomainPlan(
                counts[domain.name]["cells"],
                known[domain.name],
                target=float("inf") if self._pilot else domain.target,
                most=most[domain.name],
                pilot=self._pilot,
                random=chance,
                regions=regions,
            )
            intake = Intake(domain.terms, contaminated=contaminated, digests=self._digests)
            told = counts[domain.name]
            self._domains[domain.name] = _Domain(
                plan=plan, intake=intake, regions=regions, generator=told["generator"], at_once=told["at_once"]
            )

    def _remember(self, line: TextLine) -> None:
        text = stored_text_of(line.body)
        # Also of a domain that is no longer there: the ledger takes no text twice.
        self._digests.add(digest_of(text))
        domain = self._domains.get(line.domain)
        if domain is not None:
            domain.intake.remember([(text, line.skeleton)])
            domain.take(line.cell, text)
            if line.pilot:
                domain.pilot.append((line.cell, line.number))

    @property
    def _stopped(self) -> bool:
        return self._ctx.cancelled or self._told()

    def _make(self, pool: Pool) -> tuple[str, str | None]:
        """Have candidates made until all is there, and return why it has ended."""
        while True:
            if self._stopped or pool.stopped:
                raise _Stopped
            self._order(pool)
            self._name(CAMPAIGN_PID, pool.pid)
            for answer in pool.answers(_LOOK_S):
                self._take(answer)
            if len(self._rows) >= _BATCH or self._clock.monotonic() - self._written_s >= _BATCH_S:
                self._write()
            if not any(pool.waiting(place) for place in range(self._campaign.workers)):
                self._write()
                ended = self._ended()
                if ended is not None:
                    return ended

    def _order(self, pool: Pool) -> None:
        """Give each process orders, of the domain that lacks the most."""
        if len(self._spool.waiting()) > _MOST_WAITING:
            return
        plans = {name: domain.plan for name, domain in self._domains.items()}
        able = set(plans)
        for place in sorted(range(self._campaign.workers), key=pool.waiting):
            mine = able & self._domains_of(place)
            while pool.waiting(place) < _DEEP and (name := neediest(plans, mine)) is not None:
                at_once = self._domains[name].at_once
                pairs = plans[name].ask(_ORDER if at_once == 1 else _EACH_THREAD * at_once)
                if pairs:
                    pool.send(place, {"make": name, "pairs": pairs, "threads": at_once})
                else:
                    mine.discard(name)
                    able.discard(name)

    def _domains_of(self, place: int) -> set[str]:
        """Return whose candidates a process makes: the last one all of those that many threads make, so that no more
        of them are at work than they allow; the others all others, where there are any."""
        threaded = {name for name, domain in self._domains.items() if domain.at_once > 1}
        rest = set(self._domains) - threaded
        if not threaded or self._campaign.workers == 1:
            return threaded | rest
        return threaded if place == self._campaign.workers - 1 else rest

    def _ended(self) -> tuple[str, str | None] | None:
        plans = {name: domain.plan for name, domain in self._domains.items()}
        if all(plan.full for plan in plans.values()):
            lacking = [name for name, plan in plans.items() if not self._pilot and plan.accepted < plan.target]
            if lacking:
                return CANDIDATES, "; ".join(self._lacks(name, "no further candidate may be made") for name in lacking)
            return TARGET, None
        dry = [name for name, plan in plans.items() if not plan.full and plan.dry]
        if dry and all(plan.full or plan.dry for plan in plans.values()):
            return DRY, "; ".join(self._lacks(name, "its generator has no more to give") for name in dry)
        return None

    def _lacks(self, name: str, why: str) -> str:
        plan = self._domains[name].plan
        if self._pilot:
            return f"{name}: {plan.judged} of {plan.most:g} candidates: {why}"
        return f"{name}: {plan.accepted:,} of {plan.target:,} accepted: {why}"

    def _take(self, answer: Answer) -> None:
        if answer.last:
            return
        name, content = answer.order["make"], answer.content
        if "error" in content:
            _said(content)
        domain, cell, number = self._domains[name], content["cell"], content["number"]
        self._unwritten.append((name, cell, number))
        wanted = domain.plan.made(cell, number)
        made = _lost(content["lost"]) if "lost" in content else read_candidate(content)
        if made is None:
            domain.plan.none(cell)
        if made is None or not wanted:
            return
        draft, checked = made
        origin = Origin(domain=name, generator=domain.generator, cell=cell, number=number)
        [judged] = domain.intake.judge([Candidate(origin=origin, draft=draft, checked=checked)])
        domain.plan.judge(cell, accepted=judged.reason is None)
        if judged.reason is None:
            domain.take(cell, text_of(draft))
            if self._pilot:
                domain.pilot.append((cell, number))
        self._rows.append(ledger.row_of(judged, pilot=self._pilot))

    def _write(self) -> None:
        """Leave what was judged."""
        self._written_s = self._clock.monotonic()
        if self._rows:
            self._batches += 1
            self._spool.put(self._me, self._batches, self._rows)
            self._rows = []
        for name, cell, number in self._unwritten:
            self._domains[name].plan.written(cell, number)
        self._unwritten = []
        self._tell("making")

    def _tell(self, doing: str) -> None:
        plans = {name: domain.plan for name, domain in self._domains.items()}
        done = sum(plan.judged if self._pilot else plan.accepted for plan in plans.values())
        total = self._campaign.pilot_size if self._pilot else self._campaign.target
        self._ctx.progress(done, total, phase="pilot" if self._pilot else "full", doing=doing)

    def _plant(self, pool: Pool) -> dict[str, dict[str, tuple[int, int]]]:
        """Return for each domain and kind of planted bad samples how many were let through, and of how many."""
        self._tell("planting bad samples")
        found = {}
        for name, domain in self._domains.items():
            # Of all cells the first numbers, before others.
            pairs = sorted(domain.pilot, key=lambda pair: (pair[1], pair[0]))[:MOST_GOOD]
            planted = self._asked(pool, {"plant": name, "pairs": pairs})["planted"]
            found[name] = {kind: (passed, among) for kind, (passed, among) in planted.items()}
        return found

    def _result(
        self, ended: str, why: str | None, planted: Mapping[str, Mapping[str, tuple[int, int]]] | None = None
    ) -> Json:
        return {
            "ended": ended,
            "why": why,
            "judged": {name: domain.plan.judged for name, domain in self._domains.items()},
            "accepted": {name: domain.plan.accepted for name, domain in self._domains.items()},
            "planted": dict(planted or {}),
        }


def _said(answer: Json) -> Json:
    """Return an answer that is none of a mistake.

    Raises:
        ConfigError, PermanentError, TransientError: it is one.
        _Spent: nothing is left to buy samples with.
    """
    if "error" in answer:
        kinds = {"user": ConfigError, "transient": TransientError}
        raise (
            _Spent(answer["error"]) if answer["spent"] else kinds.get(answer["family"], PermanentError)(answer["error"])
        )
    return answer


def _check_supply(domain: Domain, cells: Mapping[str, int | None]) -> None:
    """Refuse to begin where a generator has fewer numbers than it is to give samples.

    Raises:
        ConfigError: it has.
    """
    numbers = [count for count in cells.values() if count is not None]
    if len(numbers) == len(cells) and sum(numbers) < domain.target:
        raise ConfigError(
            f"{domain.name}: {domain.target:,} samples are wanted, and its generator has {sum(numbers):,} at the most; "
            "give it more to make them from (campaigns.NAME.packages), or a lower target"
        )


def _regions(campaign: Campaign, domain: str, cells: Mapping[str, int | None]) -> "Regions | None":
    """Return the regions of a domain; None where its cells are as many, or one, so that there is no choice."""
    if not campaign.active or not 1 < len(cells) < MANY_CELLS:
        return None
    from overnight.campaigns.regions import Regions

    return Regions(f"{campaign.seed}/{domain}")


def _contaminated(files: Sequence[str]) -> Callable[[str], str | None]:
    """Return what tells where a text stands in these files; None for each where there are none."""
    if not files:
        return lambda text: None
    from overnight.campaigns.contamination import Contamination, evaluation_texts

    return Contamination(text for file in files for text in evaluation_texts(Path(file)))


def _lost(why: str) -> tuple[Draft, Checked]:
    """Return a candidate of which nothing is left."""
    return NOTHING, Checked(fault=why)
