"""A data campaign: the flow, and what follows it."""
