"""Say what a function is for, or write the function that a docstring speaks of.

`describe`: from the function to the prose of its docstring. That cannot be executed; a check compares with the
docstring, and runs the examples, so that the function is known to do what its docstring shows. `write`: from the
signature and the whole docstring to the function; a check puts the answer's code into the function and runs all
examples.

A cell is a direction in a package, a number one function; one whose examples do not pass has no sample. `count` says
how many numbers a cell has.

What a check measures:

- consistency: the share of the function's lines that ran when the examples passed; what did not run was not verified.
- groundedness: to describe, the share of the answer's longer words that the function's text holds too (in its names or
  its strings); to write, the share of the names in the answer that the task explains.
- coherence: the share of the function's parameters that the docstring speaks of; it abstains where there are none.
"""

import inspect
import re
from collections.abc import Sequence

from overnight.campaigns.generators.python.answers import Unfit, code_blocks, conversation, subject_of, text_of, tried
from overnight.campaigns.generators.python.cells import Cells
from overnight.campaigns.generators.python.functions import without_docstring
from overnight.campaigns.generators.python.judging import definition_of, has_secret
from overnight.campaigns.generators.python.library import Package
from overnight.campaigns.generators.python.mutations import Code
from overnight.campaigns.generators.python.skeletons import skeleton_of
from overnight.campaigns.generators.python.workshop import Subject, Workshop, scattered
from overnight.campaigns.ports import COHERENCE, CONSISTENCY, GROUNDEDNESS, Checked, Draft, Message

DIRECTIONS = ("describe", "write")
_SHORTEST_PROSE, _LONGEST_PROSE = 40, 1_500
_LONGEST_DOCSTRING = 3_000
_LONGER_WORD = 4
_HEADING = re.compile(r"^\s*(Examples?|Usage|OMIT_FROM_DOCS)\b.*$|^\s*[-=~]{3,}\s*$", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+")
_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


class PythonDoc:
    """Implements campaigns/ports.Generator."""

    name = "python_doc"
    version = 1
    at_once = 1

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop
        self._cells: Cells[Subject] = Cells(workshop.packages, self._subjects)

    def cells(self) -> Sequence[str]:
        """Return the directions in each package that has functions for them."""
        return self._cells.names()

    def count(self, cell: str) -> int:
        """Return how many numbers the cell has."""
        return len(self._cells.held(cell))

    def draft(self, cell: str, number: int) -> Draft | None:
        """Return the sample of one function; None where its examples do not pass."""
        subjects = self._cells.held(cell)
        if number >= len(subjects):
            return None
        subject, direction = subjects[number], cell.split("/", maxsplit=1)[0]
        if not self._workshop.own(subject).passed:
            return None
        task, answer = _task(subject, direction), _answer(subject, direction)
        if has_secret(task + answer):
            return None
        return Draft(
            messages=[Message(role="user", content=task), Message(role="assistant", content=answer)],
            skeleton=skeleton_of(f"python_doc/{direction}", subject.function.text),
            source=subject.source,
            facts={"package": subject.package.name, "function": subject.function.name, "direction": direction},
        )

    def check(self, draft: Draft) -> Checked:
        """Compare the answer with the docstring, or run its code."""
        try:
            task, answer = conversation(draft)
            subject, direction = subject_of(self._workshop, draft), text_of(draft, "direction")
            if direction not in DIRECTIONS or task != _task(subject, direction):
                raise Unfit("its task is damaged")
            code = _described(subject, answer) if direction == "describe" else _written(answer)
            ran = tried(self._workshop, subject, code)
        except Unfit as unfit:
            return unfit.checked()
        grounded = _shared(answer, subject.function.text) if direction == "describe" else subject.explained("")
        terms = {CONSISTENCY: ran, GROUNDEDNESS: grounded}
        parameters = _code(subject).parameters
        if parameters:
            words = set(re.findall(r"\w+", subject.function.docstring))
            terms[COHERENCE] = sum(one in words for one in parameters) / len(parameters)
        return Checked(terms=terms)

    def _subjects(self, package: Package) -> dict[str, list[Subject]]:
        subjects = self._workshop.subjects(package)
        return {
            direction: _in_order([one for one in subjects if _fits(one, direction)], direction)
            for direction in DIRECTIONS
        }


def _in_order(subjects: Sequence[Subject], direction: str) -> list[Subject]:
    return sorted(subjects, key=lambda one: scattered(direction, one.function.name))


def _described(subject: Subject, answer: str) -> str:
    """Return the function's own code, where the answer is what its docstring says.

    Raises:
        Unfit: it is not.
    """
    prose = prose_of(subject.function.docstring)
    if answer == prose:
        return subject.function.text
    if prose.startswith(answer.rstrip()):
        raise Unfit("the answer is cut off")
    if answer.strip() in _task(subject, "describe"):
        raise Unfit("the answer is copied from the task")
    raise Unfit("the answer is not what the docstring says")


def _written(answer: str) -> str:
    """Return the code of the answer.

    Raises:
        Unfit: it is what the task gives: a function that does nothing.
    """
    code = code_blocks(answer, 1)[0]
    definition = definition_of(code)
    if definition is not None and not without_docstring(definition):
        raise Unfit("the answer is copied from the task")
    return code


def prose_of(docstring: str) -> str:
    """Return what a docstring says before its first example, headings of examples left out."""
    lines = inspect.cleandoc(docstring).split("\n")
    first = next((place for place, line in enumerate(lines) if line.lstrip().startswith(">>>")), len(lines))
    kept = lines[:first]
    while kept and (not kept[-1].strip() or _HEADING.match(kept[-1])):
        kept.pop()
    return "\n".join(kept)


def _fits(subject: Subject, direction: str) -> bool:
    if direction == "describe":
        return _SHORTEST_PROSE <= len(prose_of(subject.function.docstring)) <= _LONGEST_PROSE
    return len(subject.function.docstring) <= _LONGEST_DOCSTRING and '"""' not in subject.function.docstring


def _task(subject: Subject, direction: str) -> str:
    name = subject.function.name
    if direction == "describe":
        return f"Say what `{name}` does.\n\n```python\n{_bare(subject)}\n```"
    told = [f"    {line}".rstrip() for line in inspect.cleandoc(subject.function.docstring).split("\n")]
    stub = "\n".join([_head(subject), f'    """{told[0].lstrip()}', *told[1:], '    """'])
    return f"Write the function `{name}`: all of it, with a docstring of one line.\n\n```python\n{stub}\n```"


def _answer(subject: Subject, direction: str) -> str:
    if direction == "describe":
        return prose_of(subject.function.docstring)
    return f"```python\n{subject.function.text}\n```"


def _code(subject: Subject) -> Code:
    definition = definition_of(subject.function.text)
    assert definition is not None, "it is the text of a function"
    return Code(text=subject.function.text, function=definition)


def _head(subject: Subject) -> str:
    """Return the function's signature, as it stands in its text."""
    code = _code(subject)
    return code.text[: code.start(code.function.body[0])].rstrip()


def _bare(subject: Subject) -> str:
    """Return the function without its docstring: the summary would tell the answer."""
    code = _code(subject)
    if len(without_docstring(code.function)) == len(code.function.body):
        return code.text
    return code.text[: code.start(code.function.body[0])].rstrip() + code.text[code.end(code.function.body[0]) :]


def _shared(prose: str, text: str) -> float:
    """Return the share of the longer words of a prose that a text holds too, as a word or in a name."""
    words = {word.lower() for word in _WORD.findall(prose) if len(word) >= _LONGER_WORD}
    parts = {part.lower() for part in _PART.findall(text)}
    return sum(any(part.startswith(word[:5]) for part in parts) for word in words) / len(words) if words else 0.0
