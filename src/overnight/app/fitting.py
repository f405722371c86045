"""Whether experiences fit their model_type, as its trainer says."""

from collections.abc import Callable, Mapping
from typing import Any

from overnight.app.workplace import Workplace
from overnight.base.errors import OvernightError, UserMistake, said_by
from overnight.training.kinds import load_trainer

Check = Callable[[Mapping[str, Any]], str | None]  # Any: an experience's own JSON
"""Returns what is wrong with an experience, in one line; None where nothing is."""


def check_of(project: Workplace, model_type: str, spec: str | None, settings: Mapping[str, Any]) -> Check:
    """Return how the trainer "module:Class" looks at an experience.

    A program (`spec` None) is not asked: it says so itself when it is started. What is returned raises UserMistake
    where the trainer's own code does not get through.

    Raises:
        UserMistake, ConfigError, MissingExtra: there is no such trainer, or it does not take these settings.
    """
    if spec is None:
        return lambda item: None
    with project.loading():
        trainer = load_trainer(model_type, spec)

    def wrong(error: Exception) -> UserMistake:
        return UserMistake(f"trainer {spec!r} cannot look at the settings and experiences: {said_by(error)}")

    try:
        made = trainer(settings, 0)
    except OvernightError:
        raise
    except Exception as error:
        raise wrong(error) from error

    def check(item: Mapping[str, Any]) -> str | None:
        try:
            return made.check(item)
        except OvernightError:
            raise
        except Exception as error:
            raise wrong(error) from error

    return check
