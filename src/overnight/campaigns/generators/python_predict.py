"""Say what Python prints: the examples in the docstrings of functions, with the function to read.

The answer is what really comes out when the example is run in a fresh copy of a process, and what the docstring says:
an example of which the two differ by a character makes no sample. A check runs the example again and compares.

A cell is a kind of answer in a package, a number one example of that kind; an example that does not come out as its
docstring says leaves a number without a sample. `count` says how many numbers a cell has.

What a check measures:

- consistency: the share of the function's lines that ran for the answer; an answer that needs little of the function
  is little of a proof that it was understood.
- groundedness: the share of the names in the function that the task explains; the rest stands elsewhere in its module.
- It abstains from coherence: nothing that could be measured of it tells one such sample from another.
"""

import ast
import doctest
from collections.abc import Sequence
from typing import Any

from overnight.campaigns.generators.python.answers import Unfit, conversation, subject_of, text_of
from overnight.campaigns.generators.python.cells import Cells
from overnight.campaigns.generators.python.judging import has_secret
from overnight.campaigns.generators.python.library import Package
from overnight.campaigns.generators.python.skeletons import skeleton_of
from overnight.campaigns.generators.python.workshop import Subject, Workshop, scattered, typed
from overnight.campaigns.ports import CONSISTENCY, GROUNDEDNESS, Checked, Draft, Message

KINDS = ("bool", "collection", "number", "object", "several_lines", "text")
_LONGEST_ANSWER = 400
_IN_ANOTHER_PROCESS = ("...", "<BLANKLINE>", " at 0x", "Traceback (")
"""What an answer must not hold: it stands for something else, or is another one each time."""


class PythonPredict:
    """Implements campaigns/ports.Generator."""

    name = "python_predict"
    version = 1
    at_once = 1

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._cells: Cells[tuple[Subject, int]] = Cells(workshop.packages, self._examples)

    def cells(self) -> Sequence[str]:
        """Return the kinds of answers in each package that has any."""
        return self._cells.names()

    def count(self, cell: str) -> int:
        """Return how many numbers the cell has."""
        return len(self._cells.held(cell))

    def draft(self, cell: str, number: int) -> Draft | None:
        """Return the sample of one example; None where it does not run it, or not as its docstring says."""
        examples = self._cells.held(cell)
        if number >= len(examples):
            return None
        subject, place = examples[number]
        example = subject.function.examples[place]
        setup = subject.setup(place, silent=False)
        shown = next((one for one in self._workshop.own(subject).shown if one.number == place), None)
        if setup is None or shown is None or not shown.reached or shown.got != example.want:
            return None
        told, answer = setup + typed(example.source), example.want.rstrip("\n")
        task = _task(subject, told)
        if has_secret(task + answer):
            return None
        plain = "".join(line[4:] for line in told.splitlines(keepends=True))
        return Draft(
            messages=[Message(role="user", content=task), Message(role="assistant", content=answer)],
            skeleton=skeleton_of("python_predict", subject.function.text, plain, answer),
            source=subject.source,
            facts={
                "package": subject.package.name,
                "function": subject.function.name,
                "example": place,
                "typed": told,
            },
        )

    def check(self, draft: Draft) -> Checked:
        """Run the example and compare what it prints with the answer."""
        try:
            task, answer = conversation(draft)
            subject, shown = subject_of(self._workshop, draft), text_of(draft, "typed")
            if task != _task(subject, shown):
                raise Unfit("its task is damaged")
            place = _place_of(draft, subject)
            trial = self._workshop.until(subject, place)
            came = next((one for one in trial.shown if one.number == place), None)
            if came is None or not came.passed:
                raise Unfit("the example does not print what its docstring says", trial.fault)
            if not trial.ran:
                raise Unfit("nothing of the function ran")
            if answer != came.got.rstrip("\n"):
                raise Unfit(_difference(answer, came.got, task), came.got[:_LONGEST_ANSWER])
        except Unfit as unfit:
            return unfit.checked()
        return Checked(terms={CONSISTENCY: trial.ran, GROUNDEDNESS: subject.explained(shown)})

    def _examples(self, package: Package) -> dict[str, list[tuple[Subject, int]]]:
        found: dict[str, list[tuple[Subject, int]]] = {kind: [] for kind in KINDS}
        for subject in self._workshop.subjects(package):
            for place, example in enumerate(subject.function.examples):
                if _can_be_asked(example):
                    found[kind_of(example.want)].append((subject, place))
        for examples in found.values():
            examples.sort(key=lambda one: scattered(one[0].function.name, one[1]))
        return found


def kind_of(want: str) -> str:
    """Return which of KINDS an output is."""
    if "\n" in want.rstrip("\n"):
        return "several_lines"
    try:
        value = ast.literal_eval(want.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return "object"
    kinds: tuple[tuple[type | tuple[type, ...], str], ...] = (
        (bool, "bool"),
        ((int, float, complex), "number"),
        ((str, bytes), "text"),
        ((list, tuple, dict, set, frozenset), "collection"),
    )
    return next((name for kind, name in kinds if isinstance(value, kind)), "object")


def _can_be_asked(example: doctest.Example) -> bool:
    want = example.want
    fits = 0 < len(want.strip()) <= _LONGEST_ANSWER and not any(part in want for part in _IN_ANOTHER_PROCESS)
    return fits and not example.options.get(doctest.SKIP) and example.exc_msg is None


def _task(subject: Subject, told: str) -> str:
    return (
        f"This is `{subject.function.name}`:\n\n```python\n{subject.function.text}\n```\n\n"
        f"What does the last of these statements print?\n\n```python\n{told}```\n\nAnswer with the output alone."
    )


def _difference(answer: str, came: str, task: str) -> str:
    if came.startswith(answer.rstrip()):
        return "the answer is cut off"
    if len(answer) > len(came) and answer.strip() in task:
        return "the answer is copied from the task"
    return "the answer is not what is printed"


def _place_of(draft: Draft, subject: Subject) -> int:
    place: Any = draft.facts.get("example")  # Any: JSON
    if not isinstance(place, int) or not 0 <= place < len(subject.function.examples):
        raise Unfit("its facts are damaged", f"example is {place!r}"[:200])
    return place
