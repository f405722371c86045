"""What reports and `overnight campaign inspect` read of a campaign. Only the samples that are shown are read whole.

What is counted stands in two indexes (see `tables`): bodies are most of a row, and SQLite reads the whole page that a
row lies in.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from overnight.base.errors import UserMistake
from overnight.base.instants import US
from overnight.campaigns.figures import (
    BINS,
    DECILES,
    RECENT_S,
    Decile,
    Domain,
    Figures,
    Point,
    Registered,
    Sample,
    curve,
    per_second,
)
from overnight.campaigns.gate import Specification
from overnight.campaigns.ports import Message
from overnight.campaigns.quality import Spread, spreads
from overnight.campaigns.tables import ACCEPTED, gates, samples

ACCEPTED_ONES, REFUSED_ONES = "accepted", "refused"
"""What `samples_page` takes for a reason beside those of the rows."""
SHOWN_OF_A_DECILE = 3

_of = samples.c
_CAMPAIGN = _of.campaign_id == sa.bindparam("campaign_id", type_=sa.BigInteger)


def figures_of(
    connection: sa.Connection, campaign_id: int, *, target: int, allocations: Mapping[str, int], now_us: int
) -> Figures:
    """Return the figures of a campaign.

    `target` is how many accepted samples it is to have, `allocations` says how many of them each domain is to give. The
    connection's view must be consistent (`Database.read`), so that the sums agree.
    """
    reader = _Reader(connection, campaign_id)
    counted, first_us, last_us = reader.counted(), *reader.ends()
    judged, accepted, unmeasured = _by_quality(counted)
    recent_us = None if first_us is None else max(first_us, now_us - RECENT_S * US)
    return Figures(
        target=target,
        domains=_domains(counted, reader.skeletons(), allocations),
        judged_by_quality=judged,
        accepted_by_quality=accepted,
        unmeasured=unmeasured,
        spreads=reader.spreads(),
        first_us=first_us,
        last_us=last_us,
        rate=None if recent_us is None else per_second(reader.accepted_after(recent_us), now_us - recent_us),
        rate_in_all=_rate_in_all(reader, first_us, last_us),
        deciles=reader.deciles(),
        coverage=reader.coverage(),
    )


def _rate_in_all(reader: "_Reader", first_us: int | None, last_us: int | None) -> float | None:
    if first_us is None or last_us is None:
        return None
    # What was there at the first instant took a time that nobody has measured.
    return per_second(reader.accepted_after(first_us), last_us - first_us)


_Counted = Sequence[tuple[str, str | None, int | None, int]]
"""Domain, reason, place in the histogram, and how many candidates have them."""


class _Reader:
    """Asks about one campaign."""

    def __init__(self, connection: sa.Connection, campaign_id: int) -> None:
        self._connection = connection
        self._campaign_id = campaign_id

    def _rows(self, query: sa.Select[Any], **more: object) -> Sequence[Any]:  # Any: rows of whatever columns
        return self._connection.execute(query, {"campaign_id": self._campaign_id, **more}).fetchall()

    def counted(self) -> _Counted:
        """Return how many candidates there are by domain, reason and place in the histogram."""
        edges = [(_of.quality < place / BINS, place - 1) for place in range(1, BINS)]
        place = sa.case(*edges, (_of.quality.is_not(None), BINS - 1), else_=None)
        each = sa.select(_of.domain, _of.reason, place.label("place")).where(_CAMPAIGN).subquery()
        return [tuple(row) for row in self._rows(sa.select(each, sa.func.count()).group_by(*each.c))]

    def ends(self) -> tuple[int | None, int | None]:
        """Return the first and the last instant at which anything was judged."""
        [(first_us, last_us)] = self._rows(sa.select(sa.func.min(_of.at_us), sa.func.max(_of.at_us)).where(_CAMPAIGN))
        return first_us, last_us

    def accepted_after(self, at_us: int) -> int:
        [(count,)] = self._rows(sa.select(sa.func.count()).where(_CAMPAIGN, ACCEPTED, _of.at_us > at_us))
        return int(count)

    def skeletons(self) -> dict[str, tuple[int, int]]:
        """Return by domain how many skeletons its accepted samples have, and how many samples the commonest."""
        count = sa.func.count().label("samples")
        # By skeleton first: by domain first, SQLite would take the index of the cells, and read every row for it.
        each = sa.select(_of.domain, count).where(_CAMPAIGN, ACCEPTED).group_by(_of.skeleton, _of.domain).subquery()
        found = sa.select(each.c.domain, sa.func.count(), sa.func.max(each.c.samples)).group_by(each.c.domain)
        return {domain: (different, most) for domain, different, most in self._rows(found)}

    def spreads(self) -> dict[str, Spread]:
        """Return what each term was over the pilot."""
        pilot = sa.select(_of.sample_id).where(_CAMPAIGN, _of.pilot == 1)
        rows = self._rows(sa.select(_of.terms).where(_CAMPAIGN, _of.sample_id.in_(pilot)))
        return spreads([json.loads(terms) for (terms,) in rows])

    def coverage(self) -> list[Point]:
        """Return how many cells had an accepted sample, by candidates judged."""
        judged = self._rows(
            sa.select(_of.at_us, sa.func.count()).where(_CAMPAIGN).group_by(_of.at_us).order_by("at_us")
        )
        first = sa.select(sa.func.min(_of.at_us)).where(_CAMPAIGN, ACCEPTED).group_by(_of.domain, _of.cell)
        return curve([(at, count) for at, count in judged], [at for (at,) in self._rows(first)])

    def deciles(self) -> list[Decile]:
        """Return the tenths of the accepted samples, of each those with the least ids: they are as good as drawn."""
        tenth = sa.func.ntile(DECILES).over(order_by=(_of.quality, _of.sample_id))
        cut = sa.select(_of.sample_id, _of.quality, tenth.label("tenth")).where(_CAMPAIGN, ACCEPTED)
        rows = cut.where(_of.quality.is_not(None)).subquery()
        ranked = sa.select(
            rows.c.sample_id,
            rows.c.tenth,
            sa.func.min(rows.c.quality).over(partition_by=rows.c.tenth).label("least"),
            sa.func.max(rows.c.quality).over(partition_by=rows.c.tenth).label("most"),
            sa.func.row_number().over(partition_by=rows.c.tenth, order_by=rows.c.sample_id).label("place"),
        ).subquery()
        chosen = sa.select(ranked).where(ranked.c.place <= SHOWN_OF_A_DECILE).order_by(ranked.c.tenth, ranked.c.place)
        picked = self._rows(chosen)
        whole = {one.sample_id: one for one in self._whole([row.sample_id for row in picked])}
        found: dict[tuple[int, float, float], list[Sample]] = defaultdict(list)
        for row in picked:
            found[row.tenth, row.least, row.most].append(whole[row.sample_id])
        return [Decile(number=key[0], least=key[1], most=key[2], samples=some) for key, some in found.items()]

    def _whole(self, ids: Sequence[str]) -> list[Sample]:
        query = sa.select(samples).where(_CAMPAIGN, _of.sample_id.in_(sa.bindparam("ids", expanding=True)))
        return [_sample(row) for row in self._rows(query, ids=ids)]


def _by_quality(counted: _Counted) -> tuple[list[int], list[int], int]:
    """Return the two histograms, and how many have no quality."""
    judged, accepted, unmeasured = [0] * BINS, [0] * BINS, 0
    for _, reason, place, count in counted:
        if place is None:
            unmeasured += count
            continue
        judged[place] += count
        accepted[place] += count if reason is None else 0
    return judged, accepted, unmeasured


def _domains(
    counted: _Counted, skeletons: Mapping[str, tuple[int, int]], allocations: Mapping[str, int]
) -> list[Domain]:
    outcomes: dict[str, Counter[str | None]] = {name: Counter() for name in allocations}
    for domain, reason, _, count in counted:
        outcomes.setdefault(domain, Counter())[reason] += count
    found = []
    for name, outcome in sorted(outcomes.items()):
        refused = [(reason, count) for reason, count in outcome.items() if reason is not None]
        different, most = skeletons.get(name, (0, 0))
        found.append(
            Domain(
                name=name,
                allocation=allocations.get(name),
                judged=outcome.total(),
                accepted=outcome[None],
                reasons=dict(sorted(refused, key=lambda one: (-one[1], one[0]))),
                skeletons=different,
                most_of_one=most,
            )
        )
    return found


def registered(connection: sa.Connection, campaign_id: int) -> list[Registered]:
    """Return everything that a pilot was ever asked for, oldest first; the last one holds."""
    query = sa.select(gates).where(gates.c.campaign_id == campaign_id).order_by(gates.c.gate_id)
    return [
        Registered(specification=Specification(**json.loads(row.specification)), by=row.by, at_us=row.at_us)
        for row in connection.execute(query)
    ]


def samples_page(
    connection: sa.Connection,
    campaign_id: int,
    *,
    domain: str | None = None,
    reason: str | None = None,
    after: str | None = None,
    limit: int = 20,
) -> list[Sample]:
    """Return candidates in the order in which they were judged, from behind the one whose id is `after`.

    `reason` is one that they were refused for, ACCEPTED_ONES, REFUSED_ONES, or None for all.

    Raises:
        UserMistake: there is no sample with the id `after`.
    """
    query = sa.select(samples).where(_of.campaign_id == campaign_id)
    if domain is not None:
        query = query.where(_of.domain == domain)
    if reason is not None:
        named = {ACCEPTED_ONES: ACCEPTED, REFUSED_ONES: ~ACCEPTED}
        query = query.where(named.get(reason, _of.reason == reason))
    if after is not None:
        last = sa.select(_of.at_us).where(_of.campaign_id == campaign_id, _of.sample_id == after)
        at_us = connection.execute(last).scalar()
        if at_us is None:
            raise UserMistake(f"the campaign has no sample {after!r}; leave it out to begin with the first one")
        query = query.where(sa.tuple_(_of.at_us, _of.sample_id) > sa.tuple_(at_us, after))
    query = query.order_by(_of.at_us, _of.sample_id).limit(limit)
    return [_sample(row) for row in connection.execute(query)]


def _sample(row: sa.Row[Any]) -> Sample:  # Any: of all columns
    told = json.loads(row.body)
    columns = {name: row._mapping[name] for name in Sample.__dataclass_fields__ if name in row._mapping}
    return Sample(
        **{
            **columns,
            "pilot": bool(row.pilot),
            "terms": json.loads(row.terms),
            "messages": tuple(Message(**one) for one in told["messages"]),
            "source": told["source"],
        }
    )


def choices(connection: sa.Connection, campaign_id: int) -> tuple[list[str], list[str]]:
    """Return the domains of a campaign, and why its candidates were refused, the most frequent reason first."""
    mine = samples.c.campaign_id == campaign_id
    domains = connection.execute(sa.select(_of.domain).where(mine).distinct().order_by(_of.domain)).scalars().all()
    counted = sa.select(_of.reason).where(mine, ~ACCEPTED).group_by(_of.reason).order_by(sa.func.count().desc())
    return list(domains), list(connection.execute(counted).scalars().all())
