"""Generated samples that a test needs, made by nobody."""

from overnight.campaigns.intake import Candidate
from overnight.campaigns.ports import Checked, Draft, Message, Origin

GOOD = Checked(terms={"consistency": 1.0, "groundedness": 0.8, "coherence": 0.9})


def candidate(number, task, answer="42", *, checked=GOOD, skeleton=None):
    messages = (
        Message(role="system", content="be brief"),
        Message(role="user", content=task),
        Message(role="assistant", content=answer),
    )
    return Candidate(
        origin=Origin(domain="code", generator="test/1", cell="a", number=number),
        draft=Draft(messages=messages, skeleton=skeleton or task, source={"name": "test", "licence": "MIT"}),
        checked=checked,
    )
