"""What several rooms say of campaigns: how their tasks are called."""

CAMPAIGN, SAMPLES, FOLLOWING = "overnight:campaign", "overnight:samples", "overnight:followed"
"""The flow of a campaign; the task in which its samples are made, and the one in which an external generator makes them
and is followed. No project is likely to give these names to tasks of its own."""
