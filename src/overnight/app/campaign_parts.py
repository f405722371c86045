"""What the flow of a campaign works with."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from overnight.app.campaign_plans import plan_of
from overnight.base.clock import Clock
from overnight.base.config import Config
from overnight.campaigns.gate import Specification
from overnight.campaigns.orders import Campaign
from overnight.db.database import Database
from overnight.flows.campaign.flow import Campaigns
from overnight.flows.campaign.then import Train
from overnight.reports.campaign_status import Statuses


def parts_of(
    config: Config, database: Database, *, state_dir: Path, known: Sequence[str], clock: Clock, train: Train
) -> Campaigns:
    """Return the parts, by this configuration; `known` are the names of the campaigns."""

    def statuses(campaign: Campaign, specification: Specification) -> Statuses:
        return Statuses(campaign=campaign, specification=specification, logs=state_dir / "logs", clock=clock)

    plan = partial(plan_of, config, state_dir, known)
    return Campaigns(database=database, plan=plan, statuses=statuses, train=train)
