"""What several rooms say of training jobs: how their tasks are called, and what a job gets that does not say."""

JOB, TRAINING, COMPARING = "overnight:job", "overnight:training", "overnight:comparing"
"""The flow of a job; the task in which a model is trained here, with "/POOL" behind it there; and the one in which two
versions answer about the same items. No project is likely to give these names to tasks of its own."""

DEFAULT_EPOCHS = 20
DEFAULT_INTERVAL = 10
"""Epochs between two checkpoints."""
