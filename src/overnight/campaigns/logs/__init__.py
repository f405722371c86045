"""Logs of generators that Overnight does not know: read as they grow, understood by patterns, and judged."""
