"""From the `[campaigns.NAME]` tables to a generator that is a program of its own."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from overnight.base.campaign_settings import CampaignSettings
from overnight.base.errors import ConfigError, UserMistake
from overnight.base.vocabulary import suggestion
from overnight.campaigns.logs.patterns import Patterns
from overnight.campaigns.orders import External

_PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}")


def external_of(name: str, settings: CampaignSettings, project: Path, workers: int) -> External | None:
    """Return the external generator of a campaign; None for one whose samples Overnight makes itself.

    Raises:
        ConfigError: the settings do not go together.
    """
    where = f"campaigns.{name}"
    commands = {"pilot_command": settings.pilot_command, "full_command": settings.full_command}
    lacking = [key for key, words in commands.items() if not words]
    if len(lacking) == len(commands):
        return None
    if lacking:
        raise ConfigError(f"{where}: pilot_command and full_command go together; {lacking[0]} is missing")
    if settings.domains:
        raise ConfigError(
            f"{where}: a campaign with a pilot_command has no domains of its own; "
            f"take out {', '.join(f'[{where}.domains.{domain}]' for domain in settings.domains)}"
        )
    values = {"output_name": output_name(settings), "workers": str(workers)}
    return External(
        pilot=_filled(f"{where}.pilot_command", settings.pilot_command, {"target": str(settings.pilot_size), **values}),
        full=_filled(f"{where}.full_command", settings.full_command, {"target": str(settings.target), **values}),
        log=None if settings.log is None else str(project / settings.log),
        poll_pilot_s=settings.poll_pilot_s,
        poll_full_s=settings.poll_full_s,
        start_s=settings.start_s,
        stall_s=settings.stall_s,
        patterns=patterns_of(name, settings),
    )


def output_name(settings: CampaignSettings) -> str:
    """Return what a campaign's commands are to call what they make."""
    return settings.output_name or f"full_campaign_{settings.target}"


def patterns_of(name: str, settings: CampaignSettings) -> dict[str, tuple[str, ...]]:
    """Return the patterns of a campaign that are others than those of `Patterns`.

    Raises:
        ConfigError: one of them is none.
    """
    found = {key: tuple(some) for key, some in vars(settings.patterns).items() if some}
    try:
        Patterns(**found)
    except UserMistake as error:
        raise ConfigError(f"campaigns.{name}.{error}") from None
    return found


def _filled(where: str, words: Sequence[str], values: Mapping[str, str]) -> list[str]:
    """Return the words with every `{name}` replaced; each stays one word, whatever it contains."""

    def value(match: "re.Match[str]") -> str:
        if match[1] not in values:
            raise ConfigError(
                f"{where}: there is no {{{match[1]}}}{suggestion(match[1], list(values))}; "
                f"known are {', '.join(f'{{{one}}}' for one in values)}"
            )
        return values[match[1]]

    return [_PLACEHOLDER.sub(value, word) for word in words]
