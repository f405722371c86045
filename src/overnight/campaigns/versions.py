"""By which versions of its generators a campaign's pilot was made, and what becomes of it when they are others.

What a pilot has shown holds for the generators that made it, and for no others. So where one is another now, the next
pilot is made anew in its domain, and nothing beyond a pilot is made before that was judged.
"""

from collections.abc import Mapping

import sqlalchemy as sa

from overnight.campaigns.intake import REPLACED
from overnight.campaigns.tables import ACCEPTED, samples
from overnight.db.writer import Tx

Generators = Mapping[str, str]
"""Name and version of the generator of each domain, such as "python_bugs/1"."""


def changed(connection: sa.Connection, campaign_id: int, now: Generators) -> dict[str, str]:
    """Return the domains whose pilot was made by other generators than those of now, and by which."""
    pilot = sa.select(samples.c.sample_id).where(samples.c.campaign_id == campaign_id, samples.c.pilot == 1)
    made_by = sa.select(samples.c.domain, samples.c.generator).distinct()
    query = made_by.where(samples.c.campaign_id == campaign_id, samples.c.sample_id.in_(pilot))
    return {domain: by for domain, by in connection.execute(query) if now.get(domain, by) != by}


def begin_anew(tx: Tx, campaign_id: int, now: Generators, *, keep: bool) -> None:
    """Have samples that generators of other versions made belong to the pilot no longer.

    Without `keep`, for a pilot that was not approved, none of them is accepted any more.
    """
    for domain in changed(tx.connection, campaign_id, now):
        of_pilot = (samples.c.campaign_id == campaign_id, samples.c.pilot == 1, samples.c.domain == domain)
        before = sa.update(samples).where(*of_pilot, samples.c.generator != now[domain])
        if not keep:
            tx.connection.execute(before.where(ACCEPTED).values(reason=REPLACED, detail=f"{now[domain]} came after it"))
        tx.connection.execute(before.values(pilot=0))


def told(before: Mapping[str, str], now: Generators) -> str:
    """Return in a line which generators are others than those of the pilot."""
    return "; ".join(f"{now[domain]} makes {domain}, and {by} made its pilot" for domain, by in sorted(before.items()))
