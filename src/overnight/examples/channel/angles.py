"""From which side a video looks at a topic, and what is said between its parts. Pure.

The role of a section follows from its heading; an angle says which roles a video is made of, and in which order. What
stands here is said in every script, so it holds no figure and claims nothing about any topic.
"""

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from prose import sentences


class Role(StrEnum):
    """What a section is for."""

    LEAD = "lead"
    HOW = "how"
    EXAMPLE = "example"
    CODE = "code"
    COST = "cost"
    USE = "use"
    MISTAKES = "mistakes"
    CHOICE = "choice"
    SUMMARY = "summary"
    OTHER = "other"


@dataclass(frozen=True, kw_only=True)
class Angle:
    """A side of a topic: its name in a title, the section that it is about, and those to tell, most wanted first."""

    label: str
    focus: Role
    order: tuple[Role, ...]


ANGLES: Mapping[str, Angle] = {
    "idea": Angle(label="the idea", focus=Role.HOW, order=(Role.HOW, Role.EXAMPLE, Role.COST, Role.USE)),
    "example": Angle(
        label="one example, step by step", focus=Role.EXAMPLE, order=(Role.HOW, Role.EXAMPLE, Role.MISTAKES, Role.COST)
    ),
    "code": Angle(label="the code", focus=Role.CODE, order=(Role.HOW, Role.CODE, Role.MISTAKES, Role.COST)),
    "cost": Angle(label="the cost", focus=Role.COST, order=(Role.EXAMPLE, Role.COST, Role.CHOICE, Role.HOW)),
    "use": Angle(label="the uses", focus=Role.USE, order=(Role.HOW, Role.USE, Role.CHOICE, Role.COST)),
    "mistakes": Angle(
        label="mistakes to avoid", focus=Role.MISTAKES, order=(Role.EXAMPLE, Role.CODE, Role.MISTAKES, Role.HOW)
    ),
    "choice": Angle(label="when to choose what", focus=Role.CHOICE, order=(Role.COST, Role.USE, Role.CHOICE, Role.HOW)),
}

_HEADINGS: Sequence[tuple[Role, str]] = (
    (Role.SUMMARY, r"in short|summary|key points|conclusion|recap"),
    (Role.CHOICE, r"choos|instead|alternativ|something else|versus|\bvs\b|compared"),
    (Role.MISTAKES, r"mistake|pitfall|avoid|trap|wrong|troubleshoot"),
    (Role.EXAMPLE, r"example|walk|step by step|case study"),
    (Role.HOW, r"^how|works|the idea|principle|overview|background"),
    (Role.CODE, r"\bpython\b|\bcode\b|implement|\bprogram\b"),
    (Role.USE, r"where|used|uses|usage|in practice|applications"),
    (Role.COST, r"cost|fast|speed|memory|complexity|performance|price"),
)

ROADMAP: Mapping[Role, str] = {
    Role.HOW: "the idea itself",
    Role.EXAMPLE: "an example",
    Role.CODE: "the program",
    Role.COST: "the cost",
    Role.USE: "the uses",
    Role.MISTAKES: "the mistakes to avoid",
    Role.CHOICE: "the alternatives",
}

OPENINGS: Mapping[Role, Sequence[str]] = {
    Role.HOW: ("Let us begin with the idea itself.", "First of all, how does this work?", "We start with the idea."),
    Role.EXAMPLE: ("Let us begin with an example.", "An example says more than a definition, so we start with one."),
    Role.CODE: ("Let us begin with the program.", "We start with the program itself."),
    Role.COST: ("Let us begin with the cost.", "First of all, what does this cost?"),
    Role.USE: ("Let us begin with the uses.", "First of all, who needs this?"),
    Role.MISTAKES: ("Let us begin with what goes wrong.",),
    Role.CHOICE: ("Let us begin with the alternatives.",),
    Role.OTHER: ("Let us begin.", "First things first."),
}
TRANSITIONS: Mapping[Role, Sequence[str]] = {
    Role.HOW: ("So how does that work?", "Now to the idea itself."),
    Role.EXAMPLE: ("An example makes this concrete.", "Let us try it out.", "Here is what that means in an example."),
    Role.CODE: (
        "Now the same idea as a program.",
        "How would you write this as a program?",
        "Let us look at the program.",
    ),
    Role.COST: ("What does all of this cost?", "Next question: what is the price?", "Now to the bill."),
    Role.USE: (
        "Where would you meet this in practice?",
        "And who makes use of this?",
    ),
    Role.MISTAKES: (
        "Now for what goes wrong in practice.",
        "A word of caution before you try.",
        "So where are the traps?",
    ),
    Role.CHOICE: ("This is not always the right choice, however.", "And when is something else the better choice?"),
    Role.OTHER: ("Next: {heading}.", "Now to the next part: {heading}."),
}
HOOK_ENDS: Mapping[Role, Sequence[str]] = {
    Role.HOW: ("Here is how that works.", "Let us see why."),
    Role.EXAMPLE: ("Let us follow one example from its first step to its last.", "Here is one example, step by step."),
    Role.CODE: ("Let us write the program.", "Let us look at the program."),
    Role.COST: ("Let us look at the bill.", "Let us count."),
    Role.USE: ("Here is where that matters.", "Here is where you would meet that."),
    Role.MISTAKES: ("And still things can go wrong. Here is how.", "Here is what you should watch out for."),
    Role.CHOICE: ("Here is when to choose what.",),
}
SUMMARIES: Sequence[str] = ("Let us sum up.", "What should you remember?", "In short.")
FAREWELLS: Sequence[str] = ("A good topic to go on with is {next}.", "If you want to go on from here, look at {next}.")


def sides_of(roles: Container[Role]) -> list[str]:
    """Return the angles that documents with sections of such roles can be told from; the idea alone without any."""
    return [name for name, angle in ANGLES.items() if angle.focus in roles] or ["idea"]


def role_of(heading: str, title: str) -> Role:
    """Return what a section is for, by its heading; the one that is headed like its document is the lead."""
    if heading == title:
        return Role.LEAD
    lower = heading.lower()
    return next((role for role, pattern in _HEADINGS if re.search(pattern, lower)), Role.OTHER)


def points_of(summary: str) -> list[str]:
    """Return the sentences of a summary without the one that only announces it."""
    said = sentences(summary)
    return [one for one in said if one not in SUMMARIES] or said


def listed(parts: Sequence[str]) -> str:
    """Return parts as a list in words: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
