"""Which strategy to try next, and what another choice would have brought."""
