"""What a person should know about the counts of a snapshot. Pure."""

from collections.abc import Mapping
from typing import Any

FEWEST = 100
"""Kept records below which a person is told that there are few."""


def remarks(statistics: Mapping[str, Any]) -> list[str]:  # Any: JSON
    """Return a line for what is too little, or little; nothing where all is well."""
    kept = statistics["filtered"]
    if not statistics["meets_minimum"]:
        return [f"{kept} records are fewer than the minimum of {statistics['minimum']}"]
    return [f"{kept} records are few (fewer than {FEWEST})"] if kept < FEWEST else []
