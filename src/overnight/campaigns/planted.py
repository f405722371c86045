"""Bad samples that are made on purpose: a check that lets them through says nothing about the others. Pure.

Each is made from a draft that is thought to be good: its answer is taken away, cut off, replaced by its task, or by the
answer to another task.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from overnight.campaigns.ports import Draft, Message

EMPTY, TRUNCATED, COPIED, WRONG = "empty", "truncated", "copied", "wrong"
KINDS = (EMPTY, TRUNCATED, COPIED, WRONG)
EACH = 12
"""How many of each kind are planted in a pilot, where there are drafts enough."""


@dataclass(frozen=True, kw_only=True)
class Planted:
    """A draft that a check has to refuse."""

    kind: str
    draft: Draft


def planted(drafts: Sequence[Draft], *, each: int = EACH) -> Iterator[Planted]:
    """Yield bad drafts of every kind, from as many different good ones as there are."""
    for kind in KINDS:
        made = (damaged for place in range(len(drafts)) if (damaged := _damaged(kind, drafts, place)) is not None)
        for _, draft in zip(range(each), made, strict=False):
            yield Planted(kind=kind, draft=draft)


def _damaged(kind: str, drafts: Sequence[Draft], place: int) -> Draft | None:
    """Return the draft with a bad answer; None where its answer would not be another one."""
    draft = drafts[place]
    answer = draft.messages[-1].content
    if kind == EMPTY:
        bad = ""
    elif kind == TRUNCATED:
        bad = answer[: len(answer) // 2]
    elif kind == COPIED:
        bad = "\n".join(message.content for message in draft.messages[:-1])
    else:
        others = (other.messages[-1].content for other in (*drafts[place + 1 :], *drafts[:place]))
        bad = next((other for other in others if other.strip() != answer.strip()), answer)
    if bad.strip() == answer.strip():
        return None
    return replace(draft, messages=(*draft.messages[:-1], Message(role="assistant", content=bad)))
