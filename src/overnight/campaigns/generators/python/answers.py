"""Reads what a check is given, and tries out the code of an answer. What cannot be accepted is raised as `Unfit`."""

from typing import Any

from overnight.campaigns.generators.python.bench import Trial
from overnight.campaigns.generators.python.judging import blocks_of, definition_of, has_secret
from overnight.campaigns.generators.python.workshop import Subject, Workshop
from overnight.campaigns.ports import Checked, Draft

NOT_THE_FORM = "the answer does not have the form that was asked for"


class Unfit(Exception):
    """A draft cannot be accepted; `fault` and `detail` are those of `Checked`."""

    def __init__(self, fault: str, detail: str | None = None) -> None:
        super().__init__(fault)
        self.fault, self.detail = fault, detail

    def checked(self) -> Checked:
        """Return what a check says of the draft."""
        return Checked(fault=self.fault, detail=self.detail)


def subject_of(workshop: Workshop, draft: Draft) -> Subject:
    """Return the function that a draft was made from.

    Raises:
        Unfit: it does not say which one.
    """
    names = text_of(draft, "package"), text_of(draft, "function")
    subject = workshop.find(*names)
    if subject is None:
        raise Unfit("its facts are damaged", f"there is no function {names[1]!r}")
    return subject


def text_of(draft: Draft, key: str) -> str:
    """Return a fact that is a text.

    Raises:
        Unfit: there is none.
    """
    value: Any = draft.facts.get(key)  # Any: JSON
    if not isinstance(value, str):
        raise Unfit("its facts are damaged", f"{key} is {value!r}"[:200])
    return value


def conversation(draft: Draft) -> tuple[str, str]:
    """Return the task and the answer.

    Raises:
        Unfit: there is another conversation, an empty answer, or a secret in it.
    """
    if [one.role for one in draft.messages] != ["user", "assistant"]:
        raise Unfit("it is not one question and one answer")
    task, answer = draft.messages[0].content, draft.messages[1].content
    if has_secret(task + answer):
        raise Unfit("it holds a secret")
    if not answer.strip():
        raise Unfit("the answer is empty")
    return task, answer


def code_blocks(answer: str, count: int) -> list[str]:
    """Return the blocks of code of an answer.

    Raises:
        Unfit: there are more or less of them, or one does not end.
    """
    blocks = blocks_of(answer)
    if blocks is None:
        raise Unfit("the answer is cut off")
    if len(blocks) != count:
        raise Unfit(NOT_THE_FORM)
    return blocks


def tried(workshop: Workshop, subject: Subject, code: str) -> float:
    """Return which share of a code's lines ran when all examples passed that pass with the function's own.

    Raises:
        Unfit: one fails, or the code is not the function that was asked for.
    """
    definition = definition_of(code)
    if definition is None:
        raise Unfit("the answer is not one function")
    if definition.name != subject.function.qualname.split(".")[-1]:
        raise Unfit("the answer is another function")
    needed = workshop.own(subject).passed
    if not needed:
        raise Unfit("the function's own doctest does not pass", workshop.own(subject).fault)
    trial = workshop.with_code(subject, code, measured=True)
    if trial.fault is not None:
        raise Unfit("the answer cannot be tried out", trial.fault)
    if not needed <= trial.passed:
        raise Unfit("a doctest fails with the answer", _first_failure(trial, needed))
    if not trial.ran:
        raise Unfit("nothing of the answer ran")
    return trial.ran


def _first_failure(trial: Trial, needed: frozenset[int]) -> str | None:
    return next((one.got[:400] for one in trial.shown if one.number in needed and not one.passed), None)
