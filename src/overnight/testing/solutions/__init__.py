"""Right answers to the exercises for coding agents, for the reference agent alone."""
