"""What a strategy means for a campaign: how its language models are asked."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from overnight.campaigns.generators.loading import LLM
from overnight.campaigns.orders import Campaign
from overnight.learning.parameters import AgentParameters
from overnight.learning.transfer import transferred_to_model

Json = dict[str, Any]


def by_strategy(plan: Campaign, strategy: Mapping[str, Any] | None) -> tuple[Campaign, Json | None]:
    """Return the campaign with the strategy (`Chosen.to_args`) in the settings of its language models, and what to say.

    Generators that are no language models have none of its parameters.
    """
    if strategy is None:
        return plan, None
    agent = AgentParameters.from_dict(strategy["agent"])
    asked = [one.name for one in plan.domains if one.generator == LLM]
    found = {one.name: transferred_to_model(agent, one.settings) for one in plan.domains if one.name in asked}
    domains = [
        replace(one, settings={**one.settings, **found[one.name].settings}) if one.name in found else one
        for one in plan.domains
    ]
    unused = sorted({name for one in found.values() for name in one.unused})
    said = {
        "name": strategy["name"],
        "why": strategy["why"],
        "unused": unused if asked else ["any of its parameters: no language model makes samples here"],
    }
    return replace(plan, domains=domains), said
