"""What several rooms say of strategy learning: how its tasks and types of task are called, and how a choice is said."""

from collections.abc import Mapping
from typing import Any

LEARN = "overnight:learn"
"""The flow that executes exercises, and judges and applies what they teach."""
EXERCISE = "overnight:exercise"
"""The task in which one exercise is executed by one strategy."""
CODING_EXERCISE = "overnight:coding_exercise"
"""The same for an exercise that a coding agent executes, each of whose calls has a time limit of its own."""
LEARNED = "learned"
"""Stands for whichever strategy executes a type of task."""
TASKS, JOBS, CAMPAIGNS, ROLLOUTS = "task:", "job:", "campaign:", "rollout:"
"""Begin the types of work that is no exercise: of a task's runs ("task:nightly_mail"), of the trainings of a model_type
("job:nlu"), of a campaign, of the rollouts of a model's versions."""


def said_of(strategy: Mapping[str, Any]) -> str:  # Any: JSON
    """Return in words which strategy executes, why that one, and which of its parameters are not used."""
    unused = f"; not used: {', '.join(strategy['unused'])}" if strategy["unused"] else ""
    return f"{strategy['name']} ({strategy['why']}){unused}"
