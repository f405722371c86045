"""What a campaign is at. Pure."""

from enum import StrEnum


class Phase(StrEnum):
    """What a campaign is at."""

    MONITORING_PILOT = "monitoring_pilot"
    VALIDATING_PILOT = "validating_pilot"
    VALIDATION_COMPLETE = "validation_complete"
    CAMPAIGN_LAUNCHED = "campaign_launched"
    CAMPAIGN_COMPLETE = "campaign_complete"
    LAUNCH_FAILED = "launch_failed"
    VALIDATION_FAILED = "validation_failed"
    STOPPED = "stopped"

    @property
    def ended(self) -> bool:
        """Return whether nobody works on a campaign of this phase."""
        return self not in (self.MONITORING_PILOT, self.VALIDATING_PILOT, self.CAMPAIGN_LAUNCHED)
