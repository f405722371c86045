"""What generators hand over, made such that it can be kept: of the right types, of bounded size, and text.

A generator is the project's own code and may read poisoned sources. What it hands over crosses a socket, a file and a
database; what one of these would not take is here a fault of the one candidate, and not the end of the campaign.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, get_args

from overnight.base.errors import ConfigError
from overnight.campaigns.intake import KEPT_CHARACTERS, MOST_CHARACTERS, MOST_OF_A_REASON, TOO_LONG, escaped
from overnight.campaigns.ports import TERMS, Checked, Draft, Message, Role

FAILED = "the generator failed"
MOST_OF_A_DETAIL = 1000
"""Characters."""
_MOST_MESSAGES = 1000
Json = dict[str, Any]
NOTHING = Draft(messages=(), skeleton="", source={})
"""What stands for a draft of which nothing can be kept."""


def drafted(draft: object) -> tuple[Draft, Checked | None]:
    """Return the draft, or as much of it as can be kept with what is wrong; it is not to be checked then."""
    if not isinstance(draft, Draft):
        return NOTHING, failed(f"it made {_kind(draft)} where a draft is wanted")
    wrong = _wrong(draft)
    if wrong is not None:
        return NOTHING, failed(wrong)
    source = {escaped(name): escaped(value) for name, value in draft.source.items()}
    size = sum(len(one.content) for one in draft.messages) + len(draft.skeleton)
    size += sum(len(name) + len(value) for name, value in source.items())
    if size <= 2 * MOST_CHARACTERS and len(draft.messages) <= _MOST_MESSAGES:
        return Draft(messages=draft.messages, skeleton=draft.skeleton, source=source, facts=draft.facts), None
    kept = [Message(role=one.role, content=one.content[:KEPT_CHARACTERS]) for one in draft.messages[:2]]
    said = f"{size:,} characters in {len(draft.messages):,} messages, with skeleton and source"
    return Draft(messages=kept, skeleton="", source={}), Checked(fault=TOO_LONG, detail=said)


def _wrong(draft: Draft) -> str | None:
    """Return what of a draft is not what it has to be."""
    held: dict[str, Any] = vars(draft)
    messages, skeleton, source = held["messages"], held["skeleton"], held["source"]
    if not isinstance(messages, Sequence) or not all(isinstance(one, Message) for one in messages):
        return "the messages of its draft are none"
    for one in messages:
        if one.role not in get_args(Role) or not isinstance(one.content, str):
            return f"a message of its draft has the role {one.role!r:.50} and {_kind(one.content)}"
    if not isinstance(skeleton, str):
        return f"the skeleton of its draft is {_kind(skeleton)}"
    if not isinstance(source, Mapping) or not all(isinstance(one, str) for pair in source.items() for one in pair):
        return "the source of its draft holds something else than text"
    return None


def checked(found: object) -> Checked:
    """Return what a check said, or that it failed."""
    if not isinstance(found, Checked):
        return failed(f"its check returned {_kind(found)}")
    for name, value in found.terms.items():
        if name not in TERMS or not isinstance(value, int | float) or not 0 <= value <= 1:
            return failed(f"its check gave {name!s:.50} = {value!r:.50}")
    if not all(one is None or isinstance(one, str) for one in (found.fault, found.detail)):
        return failed("the fault that its check found is no text")
    return Checked(
        terms={name: float(value) for name, value in found.terms.items()},
        fault=None if found.fault is None else escaped(found.fault[:MOST_OF_A_REASON]),
        detail=None if found.detail is None else escaped(found.detail[:MOST_OF_A_DETAIL]),
    )


def failed(why: str) -> Checked:
    """Return that a generator has failed at a candidate, and why."""
    return Checked(fault=FAILED, detail=escaped(why[:MOST_OF_A_DETAIL]))


def cells_of(generator: Any) -> dict[str, int | None]:  # Any: what a project calls a generator
    """Return the cells of a generator, and how many numbers each has.

    Raises:
        ConfigError: they are not what they have to be.
    """
    found: dict[str, int | None] = {}
    for cell in generator.cells():
        if not isinstance(cell, str) or cell != escaped(cell)[:MOST_OF_A_REASON] or cell in found:
            raise ConfigError(f"generator {generator.name}: {cell!r:.50} is no name of a cell, or there twice")
        count = generator.count(cell)
        if count is not None and (not isinstance(count, int) or count < 0):
            raise ConfigError(f"generator {generator.name}: cell {cell!r} has {count!r:.50} numbers")
        found[cell] = count
    return found


def as_json(draft: Draft, said: Checked) -> Json:
    """Return a candidate as JSON-able values, without the facts that only its check needs."""
    return {
        "draft": {
            "messages": [asdict(one) for one in draft.messages],
            "skeleton": draft.skeleton,
            "source": dict(draft.source),
        },
        "checked": {"terms": dict(said.terms), "fault": said.fault, "detail": said.detail},
    }


def read_candidate(answer: Mapping[str, Any]) -> tuple[Draft, Checked] | None:
    """Return what `as_json` was given, without the facts; None where there is no sample of that number."""
    if "draft" not in answer:
        return None
    values = dict(answer["draft"])
    values["messages"] = [Message(**one) for one in values["messages"]]
    return Draft(**values), Checked(**answer["checked"])


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a {type(value).__name__}"
