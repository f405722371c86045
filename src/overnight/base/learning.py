"""What several rooms say of strategy learning: how its tasks are called."""

LEARN = "overnight:learn"
"""The flow that executes exercises, and judges and applies what they teach."""
EXERCISE = "overnight:exercise"
"""The task in which one exercise is executed by one strategy."""
CODING_EXERCISE = "overnight:coding_exercise"
"""The same for an exercise that a coding agent executes, each of whose calls has a time limit of its own."""
