"""Repair what somebody broke: functions with doctests, with one small mistake in them that a doctest finds.

A mistake is an edit of the function's text (`python.mutations`). It makes a sample only when an example of the
function's own docstring fails with it and passes without it, with the code really put into the function. Most samples
ask for the function, repaired; a share asks for the line, and why it is wrong. A check puts the answer's code into the
function, and runs all its examples; then it runs the task's code, which has to fail.

A cell is a kind of mistake in a package. A number stands for up to three mistakes of that kind in one function: the
first that is noticed makes the sample, and where none is there is no sample of that number, though there may be one of
the next. `count` says how many numbers a cell has.

What a check measures:

- consistency: the share of the answer's lines that ran when its examples passed; what did not run was not verified.
- groundedness: the share of the names in the function that the task explains; the rest stands elsewhere in its module.
- It abstains from coherence: nothing that could be measured of it tells one such sample from another.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict

from overnight.campaigns.generators.python.answers import (
    NOT_THE_FORM,
    Unfit,
    code_blocks,
    conversation,
    subject_of,
    text_of,
    tried,
)
from overnight.campaigns.generators.python.bench import Shown
from overnight.campaigns.generators.python.cells import Cells
from overnight.campaigns.generators.python.judging import has_secret, same_code
from overnight.campaigns.generators.python.library import Package
from overnight.campaigns.generators.python.mutations import OPERATORS, Edit, edits_of, mutant
from overnight.campaigns.generators.python.skeletons import skeleton_of
from overnight.campaigns.generators.python.workshop import Subject, Workshop, printed, scattered, typed
from overnight.campaigns.ports import CONSISTENCY, GROUNDEDNESS, Checked, Draft, Message

_MOST_EDITS = 9
"""Edits of one kind in one function: more of them would teach little else."""
_EDITS_A_NUMBER = 3
_FIND_EVERY = 4
_LONGEST_OUTPUT = 600
_TRIED, _TRIED_OF_A_FUNCTION, _SURVIVED = 20, 4, 0.9
"""A module is a fault of the harness when more than this share of so many mutants survive; half as many say enough."""

_MISTAKES = {
    "arguments": "two arguments have changed places",
    "arithmetic": "the arithmetic operator is another than it should be",
    "boolean": "`and` and `or` were mixed up",
    "boundary": "it begins or ends one place too early or too late",
    "call": "a function was taken for a similar one",
    "comparison": "the comparison is another than it should be",
    "condition": "the condition is the opposite of what it should be",
    "constant": "the constant is another than it should be",
    "default": "the default is another than it should be",
    "leaving": "it is left at the wrong place",
    "name": "a parameter was taken for another one",
    "negation": "a negation is missing",
}
"""What the answer says of a line; of a statement that is missing there is no line to name."""
_LINE = re.compile(r"\ALine (\d+) is wrong:\n")


Number = tuple[Subject, tuple[Edit, ...]]
"""What a number stands for: some edits of one kind, in one function."""


class PythonBugs:
    """Implements campaigns/ports.Generator.

    `left_out` are modules that were found to be a fault of the harness, with what was seen; `refused` counts the
    mutants that were refused, by the reason. Both tell what this process has met so far.
    """

    name = "python_bugs"
    version = 1
    at_once = 1

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._cells: Cells[Number] = Cells(workshop.packages, self._numbers)
        self._judged: set[str] = set()
        self.left_out: dict[str, str] = {}
        self.refused: Counter[str] = Counter()

    def cells(self) -> Sequence[str]:
        """Return the kinds of mistakes in each package that has any."""
        return self._cells.names()

    def count(self, cell: str) -> int:
        """Return how many numbers the cell has."""
        return len(self._cells.held(cell))

    def draft(self, cell: str, number: int) -> Draft | None:
        """Return the sample of the first of the number's mistakes that is noticed; None where none is."""
        numbers = self._cells.held(cell)
        if number >= len(numbers):
            return None
        subject, edits = numbers[number]
        if not self._workshop.own(subject).passed or self._is_left_out(subject):
            return None
        made = (self._draft(subject, cell.split("/", maxsplit=1)[0], edit) for edit in edits)
        return next((draft for draft in made if draft is not None), None)

    def check(self, draft: Draft) -> Checked:
        """Run the answer's code, which has to pass, and the task's, which has to fail."""
        try:
            task, answer = conversation(draft)
            subject, broken = subject_of(self._workshop, draft), text_of(draft, "broken")
            find = text_of(draft, "form") == "find"
            code = _with_line(answer, broken) if find else code_blocks(answer, 1)[0]
            if same_code(code, broken):
                raise Unfit("the answer is copied from the task")
            ran = tried(self._workshop, subject, code)
            noticed = self._noticed(subject, broken)
            if noticed is None:
                raise Unfit("nothing is wrong in the task")
            if task != _task(subject, broken, noticed, find=find):
                raise Unfit("its task is damaged")
        except Unfit as unfit:
            return unfit.checked()
        return Checked(terms={CONSISTENCY: ran, GROUNDEDNESS: subject.explained(_typed(subject, noticed) or "")})

    def _numbers(self, package: Package) -> dict[str, list[Number]]:
        """Return the numbers of a package's cells: one of each function before a second one of any."""
        found: dict[str, list[tuple[int, str, Number]]] = {operator: [] for operator in OPERATORS}
        for subject in self._workshop.subjects(package):
            name = subject.function.name
            for operator, edits in self._edits(subject.function.text).items():
                mixed = sorted(edits, key=lambda edit: scattered(name, edit))[:_MOST_EDITS]
                for start in range(0, len(mixed), _EDITS_A_NUMBER):
                    chosen = tuple(mixed[start : start + _EDITS_A_NUMBER])
                    found[operator].append((start, scattered(operator, name), (subject, chosen)))
        in_order = {operator: sorted(numbers, key=lambda one: one[:2]) for operator, numbers in found.items()}
        return {operator: [number for _, _, number in numbers] for operator, numbers in in_order.items()}

    def _edits(self, text: str) -> Mapping[str, Sequence[Edit]]:
        told = ("edits", f"{self.name}/{self.version}", text)
        kept = self._workshop.kept.get(*told)
        if kept is None:
            found = edits_of(text)
            self._workshop.kept.put({name: [asdict(edit) for edit in edits] for name, edits in found.items()}, *told)
            return found
        return {name: [Edit(**edit) for edit in edits] for name, edits in kept.items()}

    def _is_left_out(self, subject: Subject) -> bool:
        """Tell whether nearly all mutants of the function's module survive: then nothing that is done there counts."""
        module = subject.function.module
        if module not in self._judged:
            self._judged.add(module)
            tried_out, noticed = self._surveyed(subject.package, module)
            if tried_out >= _TRIED // 2 and tried_out - noticed > _SURVIVED * tried_out:
                self.left_out[module] = f"{tried_out - noticed} of {tried_out} mutants survive"
        return module in self.left_out

    def _surveyed(self, package: Package, module: str) -> tuple[int, int]:
        texts = (one.function.text for one in self._workshop.subjects(package) if one.function.module == module)
        told = ("survey", f"{self.name}/{self.version}", package.name, package.version, module, *texts)
        kept = self._workshop.kept.get(*told)
        if kept is None:
            kept = self._survey(package.name, module)
            self._workshop.kept.put(kept, *told)
        tried_out, noticed = kept
        return tried_out, noticed

    def _survey(self, package: str, module: str) -> tuple[int, int]:
        """Return how many mutants were tried out and noticed; it ends when the module is beyond doubt."""
        mutants: dict[str, list[tuple[Subject, Edit]]] = {}
        for numbers in self._cells.in_package(package).values():
            for subject, edits in numbers:
                if subject.function.module == module:
                    mutants.setdefault(subject.function.name, []).append((subject, edits[0]))
        tried_out = noticed = 0
        for subject, edit in (one for some in mutants.values() for one in some[:_TRIED_OF_A_FUNCTION]):
            broken = mutant(subject.function.text, edit) if self._workshop.own(subject).passed else None
            if broken is not None:
                tried_out += 1
                noticed += self._noticed(subject, broken) is not None
            if tried_out >= _TRIED or noticed > (1 - _SURVIVED) * _TRIED:
                break
        return tried_out, noticed

    def _noticed(self, subject: Subject, broken: str) -> Shown | None:
        """Return the first example that fails with the code and passes without."""
        trial = self._workshop.with_code(subject, broken)
        if trial.fault is not None:
            self.refused[trial.fault] += 1
            return None
        needed = self._workshop.own(subject).passed
        return next((one for one in trial.shown if one.number in needed and not one.passed), None)

    def _draft(self, subject: Subject, operator: str, edit: Edit) -> Draft | None:
        text = subject.function.text
        broken = mutant(text, edit)
        noticed = None if broken is None else self._noticed(subject, broken)
        if broken is None or noticed is None:
            return None
        find = operator in _MISTAKES and _on_one_line(text, edit) and int(scattered(edit, text), 16) % _FIND_EVERY == 0
        task = _task(subject, broken, noticed, find=find)
        answer = _found(text, broken, edit, _MISTAKES[operator]) if find else f"```python\n{text}\n```"
        if task is None or has_secret(task + answer):
            return None
        form = "find" if find else "repair"
        return Draft(
            messages=[Message(role="user", content=task), Message(role="assistant", content=answer)],
            skeleton=skeleton_of(f"python_bugs/{form}", broken, text),
            source=subject.source,
            facts={
                "package": subject.package.name,
                "function": subject.function.name,
                "form": form,
                "broken": broken,
            },
        )


def _typed(subject: Subject, noticed: Shown) -> str | None:
    """Return the example that fails with all that it needs, as typed; None where that is too long."""
    setup = subject.setup(noticed.number, silent=True)
    return None if setup is None else setup + typed(subject.function.examples[noticed.number].source)


def _task(subject: Subject, broken: str, noticed: Shown, *, find: bool) -> str | None:
    shown, got = _typed(subject, noticed), printed(noticed.got)
    if shown is None or len(got) > _LONGEST_OUTPUT:
        return None
    want = subject.function.examples[noticed.number].want.rstrip()
    wanted = f"This should print\n\n```\n{want}\n```" if want else "This should print nothing"
    came = f"but it gives\n\n```\n{got}\n```" if got else "but it prints nothing."
    wish = (
        "Which line is wrong, what should it be, and why? The function's first line is line 1."
        if find
        else "Give the whole function, repaired."
    )
    return (
        f"There is one mistake in `{subject.function.name}`.\n\n```python\n{shown}```\n\n{wanted}\n\n{came}\n\n"
        f"This is the function:\n\n```python\n{broken}\n```\n\n{wish}"
    )


def _found(text: str, broken: str, edit: Edit, mistake: str) -> str:
    number = text[: edit.start].count("\n")
    wrong, right = broken.split("\n")[number], text.split("\n")[number]
    return (
        f"Line {number + 1} is wrong:\n\n```python\n{wrong}\n```\n\n"
        f"It should be:\n\n```python\n{right}\n```\n\nThe reason: {mistake}."
    )


def _on_one_line(text: str, edit: Edit) -> bool:
    return "\n" not in edit.text and "\n" not in text[edit.start : edit.end]


def _with_line(answer: str, broken: str) -> str:
    """Return the broken function with the line that an answer names as the answer says that it should be.

    Raises:
        Unfit: it names none, or one that is not there.
    """
    wrong, right = code_blocks(answer, 2)
    line, lines = _LINE.match(answer), broken.split("\n")
    if line is None or "\nThe reason: " not in answer:
        raise Unfit(NOT_THE_FORM)
    place = int(line[1]) - 1
    if not 0 <= place < len(lines) or lines[place].strip() != wrong.strip():
        raise Unfit("the answer names a line that is not there")
    indent = lines[place][: len(lines[place]) - len(lines[place].lstrip())]
    return "\n".join([*lines[:place], indent + right.strip(), *lines[place + 1 :]])
