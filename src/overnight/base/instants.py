"""Durable instants: integer microseconds since the Unix epoch, UTC, and how to turn them into dates. Pure."""

from datetime import UTC, datetime

US = 1_000_000
"""Microseconds in a second."""


def to_datetime(at_us: int) -> datetime:
    """Return the instant as an aware datetime in UTC."""
    return datetime.fromtimestamp(at_us // US, tz=UTC).replace(microsecond=at_us % US)


def from_datetime(at: datetime) -> int:
    """Return the aware datetime as microseconds since the Unix epoch."""
    if at.tzinfo is None:
        raise ValueError(f"an instant needs a time zone, got {at!r}")
    whole = at.replace(microsecond=0)
    return int(whole.timestamp()) * US + at.microsecond


def iso(at_us: int | None) -> str | None:
    """Return the instant as ISO 8601 text with milliseconds, in UTC; None stays None."""
    return None if at_us is None else to_datetime(at_us).isoformat(timespec="milliseconds")
