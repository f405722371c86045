"""What people write when they mean one of our words, so that a mistake is answered with the right word."""

from collections.abc import Iterable
from difflib import get_close_matches

# The words of other systems, and older ones; difflib finds the misspelt ones.
FOREIGN = {
    "active": "enabled",
    "agent": "agent_name",
    "arguments": "args",
    "backfill": "catch_up",
    "backoff_factor": "factor",
    "base": "base_s",
    "base_seconds": "base_s",
    "callable": "action",
    "cap": "cap_s",
    "cap_seconds": "cap_s",
    "catchup": "catch_up",
    "catchup_window": "catch_up_window_s",
    "command": "action",
    "concurrency_policy": "overlap",
    "concurrency": "max_concurrent",
    "cores": "cpus",
    "cpu": "cpus",
    "cron": "schedule",
    "database_url": "database",
    "db": "database",
    "dependencies": "after",
    "depends_on": "after",
    "dsn": "database",
    "entrypoint": "action",
    "file": "path",
    "function": "action",
    "grace": "grace_s",
    "grace_seconds": "grace_s",
    "handler": "action",
    "interval": "every",
    "kwargs": "args",
    "label": "target",
    "max_attempts": "max_retries",
    "max_concurrency": "max_concurrent",
    "max_delay": "cap_s",
    "max_parallel": "max_concurrent",
    "max_workers": "max_concurrent",
    "misfire_grace_time": "catch_up_window_s",
    "overlap_policy": "overlap",
    "params": "args",
    "parameters": "args",
    "requires": "after",
    "retries": "max_retries",
    "retry_delay": "base_s",
    "run_at": "once",
    "significance": "alpha",
    "sql": "query",
    "timeout": "timeout_s",
    "timeout_sec": "timeout_s",
    "timeout_seconds": "timeout_s",
    "tz": "timezone",
    "upstream": "after",
    "workers": "max_concurrent",
    # values
    "background": "LOW",
    "default": "NORMAL",
    "highest": "CRITICAL",
    "lowest": "LOW",
    "medium": "NORMAL",
    "shell": "command",
    "subprocess": "process",
    "urgent": "CRITICAL",
}


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that was most likely meant, or None."""
    by_lower = {item.lower(): item for item in known}
    lowered = word.lower().replace("-", "_")
    foreign = FOREIGN.get(lowered, "").lower()
    if foreign in by_lower:
        return by_lower[foreign]
    close = get_close_matches(lowered, by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def suggestion(word: str, known: Iterable[str]) -> str:
    """Return '; did you mean X? (A, B, C)', the list of what is allowed in its own order; just X where that is all."""
    allowed = list(known)
    meant = nearest(word, allowed)
    hint = f"; did you mean {meant}?" if meant else ""
    if allowed == [meant]:
        return hint
    return f"{hint} ({', '.join(allowed)})" if hint else f"; known are {', '.join(allowed)}"
