"""Asking the sources of a category, keeping what they gave, and making a snapshot of it.

The shell around `freshness`, `records` and `judge`. Sources are asked at the same time, each region by itself; what one
of them does wrong is its own line in the harvest log and costs the others nothing. What a source gave before stays in
the cache and counts in its place until it is too old.
"""

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from typing import Any, TypeVar, cast

from overnight.base.clock import Clock
from overnight.base.config import CategorySettings, Config, SourceSettings
from overnight.base.errors import DamagedBlob, OvernightError, UnknownName, one_line
from overnight.data import store
from overnight.data.answers import answers_of
from overnight.data.categories import sources_of
from overnight.data.freshness import DAY_US, HOUR_US, Standing, Status, standing
from overnight.data.judge import Judged, Rejected, Rules, judge
from overnight.data.quality import Scorer
from overnight.data.snapshots import canonical
from overnight.data.sources.reading import Found, Known, Page
from overnight.data.store import CachedPage, Snapshot, Visit
from overnight.db.blobs import Blobs
from overnight.db.database import Database
from overnight.db.writer import Tx

AT_ONCE = 8
"""Sources and regions that are asked at the same time."""

_Answered = tuple[CachedPage, tuple[Found, ...]]
T = TypeVar("T")
Json = dict[str, Any]  # Any: whatever JSON holds
Ask = Callable[[str, SourceSettings, str, Mapping[str, Known], Callable[[int], None]], Iterable[Page]]
"""Reads a source for a region; what is known of its pages goes along, and who is told of rows as they are read."""
Told = Callable[[str, str, int], None]
"""Takes the progress of a source and region: how many more rows were read."""


@dataclass(frozen=True, kw_only=True)
class Harvest:
    """What came of harvesting one category. `snapshot` None: no source gave anything, and nothing was changed."""

    category: str
    visits: tuple[Visit, ...]
    snapshot: Snapshot | None
    stale: bool
    """True where a source is missing, or what it gave is older than `data.fresh_h`."""

    @property
    def records(self) -> int:
        """How many records are kept."""
        return 0 if self.snapshot is None else int(self.snapshot.statistics["filtered"])

    def to_json(self) -> Json:
        """Return the harvest as programs read it."""
        return {
            "category": self.category,
            "snapshot": None if self.snapshot is None else self.snapshot.snapshot_id,
            "records": self.records,
            "stale": self.stale,
            "statistics": None if self.snapshot is None else self.snapshot.statistics,
            "sources": [visit.to_json() for visit in self.visits],
        }


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What one source and region gave: its line for the log, and the pages that count, with their rows."""

    visit: Visit
    pages: tuple[tuple[CachedPage, tuple[Found, ...]], ...]

    @property
    def answered(self) -> bool:
        """Whether the pages are what the source says now."""
        return self.visit.error is None


@dataclass(frozen=True, kw_only=True)
class Harvester:
    """Harvests the categories of one project. Safe to use from any thread."""

    config: Config
    database: Database
    blobs: Blobs
    cache: Blobs
    ask: Ask
    scorer: Callable[[str, CategorySettings], Scorer | None]
    duplicates: Callable[[Sequence[str], float], Sequence[int]]

    @property
    def _clock(self) -> Clock:
        return self.database.clock

    def harvest(self, category: str, *, force: bool = False, told: Told = lambda *_: None) -> Harvest:
        """Ask the sources of a category, judge what they gave, and make it the newest snapshot.

        With `force` every source is asked for all it has, and what it gave before does not stand in for it.

        Raises:
            ConfigError: there is no such category, or one of its settings is wrong; nothing was changed.
        """
        rules = self.config.categories.get(category, CategorySettings())
        scorer = self.scorer(category, rules)
        units = [
            (name, source, region)
            for name, source in sources_of(self.config, category).items()
            for region in source.regions or ("",)
        ]
        asked = at_once([partial(self._visit, *unit, force=force, told=told) for unit in units])
        visits = tuple(one.visit for one in asked)
        judged = self._judge(asked, rules, scorer) if any(one.pages for one in asked) else None
        snapshot = self._record(category, asked, judged)
        stale = any(visit.standing.stale(self.config.data.fresh_h) for visit in visits)
        return Harvest(category=category, visits=visits, snapshot=snapshot, stale=stale)

    def _visit(self, name: str, source: SourceSettings, region: str, *, force: bool, told: Told) -> _Asked:
        """Ask one source for one region; whatever is wrong with it becomes a line of the log."""
        began = self._clock.monotonic()
        told(name, region, 0)
        print_ = fingerprint(source)
        before = [page for page in self._cached(name, region) if page.fingerprint == print_]
        error: str | None = None
        answered: list[_Answered] = []
        try:
            tell = partial(told, name, region)
            answered = self._ask(lambda known: self.ask(name, source, region, known, tell), before, print_, force=force)
        except (OvernightError, OSError) as failure:
            error = one_line(failure)
        now_us = self._clock.now_us()
        stands = standing(
            failed=error is not None,
            changed=[page.blob for page, _ in answered] != [page.blob for page in before],
            checked_us=min((page.checked_us for page in before), default=None),
            now_us=now_us,
            keep_days=self.config.data.keep_days,
            force=force,
        )
        if stands.status is Status.CACHE:
            answered = self._from_cache(before)
            if not answered:
                stands = Standing(status=Status.MISSING)
        elif stands.status is Status.MISSING:
            answered = []
        count = sum(one.row is not None for _, found in answered for one in found)
        ms = round(1000 * (self._clock.monotonic() - began))
        visit = Visit(source=name, region=region, standing=stands, count=count, ms=ms, error=error, at_us=now_us)
        return _Asked(visit=visit, pages=tuple(answered))

    def _ask(
        self,
        read: Callable[[Mapping[str, Known]], Iterable[Page]],
        before: Sequence[CachedPage],
        print_: str,
        *,
        force: bool,
    ) -> list[_Answered]:
        """Read a source; where what it says is unchanged is gone from the cache, ask for all again."""
        known = {} if force else {page.key: _known(page) for page in before}
        try:
            return [self._keep(page, before, print_) for page in read(known)]
        except (UnknownName, DamagedBlob):
            if not known:
                raise
        return [self._keep(page, before, print_) for page in read({})]

    def _cached(self, name: str, region: str) -> list[CachedPage]:
        with self.database.read() as connection:
            return store.cached(connection, name, region)

    def _keep(self, page: Page, before: Sequence[CachedPage], print_: str) -> _Answered:
        """Put a page into the cache; one that says what it said before keeps the instant at which it came."""
        now_us = self._clock.now_us()
        known = next((one for one in before if one.key == page.key), None)
        if page.found is None:
            assert known is not None, "a source answers 'not modified' only about what is known"
            return replace(known, checked_us=now_us), self._rows(known)
        stored = [_stored(one) for one in page.found]
        blob = self.cache.put("".join(line for _, line in stored).encode("ascii"))
        kept = CachedPage(
            key=page.key,
            validators=page.validators,
            next=page.next,
            blob=blob,
            rows=len(stored),
            fingerprint=print_,
            fetched_us=known.fetched_us if known is not None and known.blob == blob else now_us,
            checked_us=now_us,
        )
        return kept, tuple(found for found, _ in stored)

    def _rows(self, page: CachedPage) -> tuple[Found, ...]:
        return tuple(_unpacked(self.cache.get(page.blob)))

    def _from_cache(self, before: Sequence[CachedPage]) -> list[_Answered]:
        """Return what the source gave before; nothing where a part is gone: a restored project has no cache."""
        try:
            return [(page, self._rows(page)) for page in before]
        except (UnknownName, DamagedBlob):
            return []

    def _judge(self, asked: Sequence[_Asked], rules: CategorySettings, scorer: Scorer | None) -> Judged:
        answers = [
            answer
            for one in asked
            for answer in answers_of(
                one.visit.source, self.config.sources[one.visit.source], one.visit.region, one.pages
            )
        ]
        return judge(
            answers,
            Rules(
                limit=rules.limit,
                threshold=rules.threshold,
                minimum=rules.minimum,
                near_duplicates=rules.near_duplicates,
            ),
            scorer,
            self.duplicates,
        )

    def _record(self, category: str, asked: Sequence[_Asked], judged: Judged | None) -> Snapshot | None:
        """Write what came of a harvest: blobs first, then all rows in one transaction."""
        visits = [one.visit for one in asked]
        snapshot_id = rejected = ""
        if judged is not None:
            snapshot_id = self.blobs.put(canonical(judged.kept))
            rejected = self.blobs.put(_rejects(judged.rejected))
        oldest_us = self._clock.now_us() - int(self.config.data.keep_days * DAY_US)

        def change(tx: Tx) -> Snapshot | None:
            for one in asked:
                if one.answered:
                    store.put_pages(tx, one.visit.source, one.visit.region, [page for page, _ in one.pages])
            store.forget_pages(tx, oldest_us)
            store.log(tx, category, visits)
            if judged is None:
                return None
            facts = {
                name: {
                    "fields": sorted(fact.fields),
                    "as_of": {region: at.isoformat() for region, at in fact.as_of.items()},
                }
                for name, fact in judged.facts.items()
            }
            lines = [visit.to_json() for visit in visits]
            return store.add_snapshot(tx, category, snapshot_id, rejected, judged.statistics, facts, lines)

        made = self.database.writer.do(change)
        # What was harvested is on disk: that the cache could not be tidied is the next harvest's matter.
        with contextlib.suppress(OSError, OvernightError):
            self._tidy()
        return made

    def _tidy(self) -> None:
        """Remove what the cache no longer needs; what another harvest is just storing is young."""
        with self.database.read() as connection:
            needed = store.cached_blobs(connection)
        self.cache.sweep(needed, self._clock.now_us() - HOUR_US)


def at_once(works: Sequence[Callable[[], T]]) -> list[T]:
    """Return what each work answers, in their order, done by up to `AT_ONCE` threads.

    Who interrupts the caller does not wait for the threads: they are daemons, and what they do later changes nothing.
    Raises what the first work that fails raises.
    """
    waiting, ended = queue.SimpleQueue[int](), queue.SimpleQueue[tuple[int, T | None, BaseException | None]]()
    for place in range(len(works)):
        waiting.put(place)

    def work() -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                place = waiting.get_nowait()
                try:
                    ended.put((place, works[place](), None))
                except BaseException as error:  # noqa: BLE001  # raised in the caller's thread
                    ended.put((place, None, error))

    for _ in range(min(AT_ONCE, len(works))):
        threading.Thread(target=work, name="overnight-harvest", daemon=True).start()
    answers: dict[int, T] = {}
    while len(answers) < len(works):
        place, answer, error = ended.get()
        if error is not None:
            raise error
        answers[place] = cast(T, answer)
    return [answers[place] for place in range(len(works))]


def fingerprint(source: SourceSettings) -> str:
    """Return a hash of the settings that what was read depends on; mappings and limits are applied afterwards."""
    parts = (source.kind, source.path, source.url, source.query, source.pattern, source.records, source.next)
    paging = (source.next_parameter, source.page_parameter, source.first_page, source.max_pages, source.max_rows)
    text = json.dumps([*parts, *paging, sorted(source.headers.items())])
    return sha256(text.encode()).hexdigest()[:16]


def _known(page: CachedPage) -> Known:
    return Known(validators=page.validators, next=page.next, rows=page.rows)


def _stored(found: Found) -> tuple[Found, str]:
    """Return what was found with its line for the cache; a row that is nested too deeply to be written is none."""
    try:
        return found, f"{json.dumps(found)}\n"
    except RecursionError:
        return _stored(Found(found.where, None, "nested too deeply"))


def _unpacked(content: bytes) -> Iterable[Found]:
    return (Found(*json.loads(line)) for line in content.splitlines())


def _rejects(rejected: Iterable[Rejected]) -> bytes:
    lines = (
        {
            "stage": str(one.stage),
            "reason": one.reason,
            "source": one.source,
            "where": one.where,
            "record": one.record,
        }
        for one in rejected
    )
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode("ascii")
