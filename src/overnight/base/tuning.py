"""What several rooms say of tuning: how its task is called."""

TUNE = "overnight:tune"
"""The flow that tries parameters of an agent, and has the gate judge the best ones."""
